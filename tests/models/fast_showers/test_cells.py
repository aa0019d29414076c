"""The likelihood of cells against a direct evaluation, cell by cell, and its parts."""

import numpy as np
import pytest
from keras import ops

from calolab.models.fast_showers import losses
from calolab.models.fast_showers.lattice import CLASSES, GROUPS, PARTS, Lattice, Part
from calolab.models.fast_showers.losses import likelihood
from calolab.models.fast_showers.spectrum import BINS, EDGES, cumulative, deviation, drawn, log_likelihood
from tests.models.fast_showers.showers import THRESHOLD, randomised, sample, small


def window(values, x, y, reach):
    """Values around a cell, zero outside the layer, `(x, y)`."""
    padded = np.pad(values, reach)
    return padded[x : x + 2 * reach + 1, y : y + 2 * reach + 1]


def direct(cells, shower, conditions):
    """Minus the log likelihoods of hits and energies of one shower `(side, side, layer)`, one cell after the other."""
    weights, lattice = {variable.name: variable.numpy() for variable in cells.weights}, cells.lattice
    side, layers, middle = lattice.side, lattice.layers, lattice.side // 2
    hits, logs = (shower > 0) * 1.0, np.log(np.maximum(shower, THRESHOLD) / THRESHOLD)
    group_of = {layer: group for group in range(3) for layer in lattice.group(group)}
    everywhere = [(x, y) for x in range(side) for y in range(side)]
    near_core = {(x, y): max(abs(x - middle), abs(y - middle)) for x, y in everywhere}
    totals = np.zeros(2)
    for layer in range(layers):
        group = group_of[layer]
        given = [conditions[z] if 0 <= z < layers else 0 * conditions[0] for z in (layer, layer - 1, layer + 1)]
        state = np.concatenate([*given, weights["embedding"][:, layer]])
        for number in (0, 1):
            state = weights[f"encoder_{number}"] @ state + weights[f"encoder_bias_{number}"][:, 0]
            state = state / (1 + np.exp(-state))
        number_of = {}  # the pass of each cell
        for x, y in everywhere:
            which = CLASSES.index(((x - middle) % 2, (y - middle) % 2))
            quarter = CLASSES.index(((x - middle) // 2 % 2, (y - middle) // 2 % 2))
            number_of[x, y] = PARTS[group].index(Part(which, None if which or group else quarter))
        for (x, y), place in number_of.items():
            part, is_far = PARTS[group][place], near_core[x, y] > 6
            if not near_core[x, y]:
                continue
            earlier = np.array([[number_of[i, j] < place for j in range(side)] for i in range(side)])

            def features(z, allowed=True):
                exists = 0 <= z < layers
                return [one[..., z] * allowed if exists else 0 * hits[..., 0] for one in (hits, logs / 4)]

            ring = near_core[x, y] == 1
            radius = np.hypot(x - middle, y - middle)
            given = [radius / 5, np.log1p(radius) - 1.5, ring, not ring]
            left = [(i, j) for (i, j), other in number_of.items() if other >= place and near_core[i, j]]
            number = sum(hits[i, j, layer] for i, j in left)
            ring_energy, outside_energy = (
                sum(shower[i, j, layer] for i, j in left if (near_core[i, j] == 1) == wanted)
                for wanted in (True, False)
            )
            moments = [
                sum(factor(i - middle, j - middle) * shower[i, j, layer] for i, j in left)
                for factor in (lambda x, y: x, lambda x, y: y, lambda x, y: (x * x + y * y) * (max(abs(x), abs(y)) > 1))
            ]
            all_hits = sum(hits[i, j, layer] for i, j in everywhere if near_core[i, j])
            left_x, left_y = (one / (ring_energy + outside_energy + THRESHOLD) for one in moments[:2])
            dipole = sum(
                distance * one / (2 + abs(one) / 2) for distance, one in ((x - middle, left_x), (y - middle, left_y))
            )
            square = np.clip(moments[2] / (outside_energy + THRESHOLD), 3, 200)
            given.append(np.log((number + 0.2) / (len(left) - number + 0.2)) / 3)
            given.append(ring * (np.log(ring_energy / THRESHOLD + 1) - 4) / 2)
            given.append((not ring) * (np.log((outside_energy / THRESHOLD + 1) / (number + 0.5)) - 2) / 2)
            given.append((all_hits >= 4) * dipole / (radius + 1))
            given.append((all_hits >= 4) * (not ring) * np.log(square / 20) * np.log(radius**2 / 20) / 2)
            found = []
            if place:
                step = GROUPS[group][1]
                own, others = (
                    features(layer, earlier),
                    [*features(layer - step, earlier), *features(layer + step, earlier)],
                )
                known = window(np.where(earlier, 1, 0), x, y, 2)
                shifts = [(dx, dy) for dx in range(-2, 3) for dy in range(-2, 3)]
                classes = [CLASSES.index(((x + dx - middle) % 2, (y + dy - middle) % 2)) for dx, dy in shifts]
                sources = dict(zip(shifts, classes))
                if part.quarter is not None:
                    halves = [((x + dx - middle) // 2 % 2, (y + dy - middle) // 2 % 2) for dx, dy in shifts]
                    sources = {
                        shift: CLASSES.index(half) if other == 0 else 4
                        for shift, other, half in zip(shifts, classes, halves)
                    }
                limit = part.which if part.quarter is None else part.quarter
                inside = {shift: source < limit for shift, source in sources.items()}
                assert all(inside[dx - 2, dy - 2] for dx, dy in np.argwhere(known))
                around = [[shift for shift in shifts if sources[shift] == source] for source in range(limit)]
                if part.quarter is None:
                    near = [[shift for shift in some if max(map(abs, shift)) < 2] for some in around]
                else:
                    near = around
                for some in near if is_far else around:
                    found += [window(one, x, y, 2)[dx + 2, dy + 2] for one in own for dx, dy in some]
                found += [4 * window(one, x, y, 4).sum() / 81 for one in own]
                for some in [] if is_far else near:
                    found += [window(one, x, y, 2)[dx + 2, dy + 2] for one in others for dx, dy in some]
            if group:
                step = 2 // group
                beside = [*features(layer - step), *features(layer + step)]
                reach = [1] if is_far else range(3)
                found += [window(one, x, y, 1)[i, j] for one in beside for i in reach for j in reach]
                found += [2 * window(one, x, y, 2).sum() / 25 for one in beside]
            name = f"{group}_{part.which}" + ("" if part.quarter is None else f"_{part.quarter}") + "_far" * is_far
            size = cells.far_hidden if is_far else cells.hidden
            film = weights[f"film_{name}"] @ state + weights[f"film_bias_{name}"][:, 0]
            neurons = weights[f"first_{name}"] @ np.concatenate([given, found]) + film[:size]
            neurons = np.maximum(neurons, 0) * (1 + film[size : 2 * size])
            neurons = np.maximum(weights[f"second_{name}"] @ neurons + film[2 * size :], 0)
            odds = (weights[f"hit_{name}"] @ neurons)[0] + weights["hit_template"][layer, lattice.radii[x, y]]
            is_hit = shower[x, y, layer] > 0
            totals[0] += np.log1p(np.exp(-odds if is_hit else odds))
            if is_hit:
                logits = neurons @ weights[f"spectrum_{name}"] + weights[f"spectrum_bias_{name}"]
                logits = logits + weights["spectrum_template"][layer, lattice.radial_bins[x, y]]
                chances = np.exp(logits) / np.exp(logits).sum()
                position = min(np.searchsorted(EDGES, logs[x, y, layer], side="right") - 1, len(BINS) - 1)
                totals[1] -= np.log(chances[position] / BINS[position])
    return totals


@pytest.mark.parametrize("side", [5, 7, 21])
def test_the_likelihood_is_that_of_each_cell_given_those_before_it(side):
    gan = small(side, 5, hidden=4, context=3)
    cells = randomised(gan.networks["cells"].get_layer("cells"))
    showers = sample(2, side, 5, seed=3).values
    random = np.random.default_rng(4)
    conditions = random.standard_normal((2, 5, 8)).astype(np.float32)
    each = [direct(cells, showers[event], conditions[event]) for event in range(2)]
    expected = np.sum(each, axis=0)
    found = likelihood(cells, showers[..., None].astype(np.float32), conditions)
    np.testing.assert_allclose(np.array(found), expected, rtol=2e-4)


@pytest.mark.parametrize("group", [0, 1, 2])
def test_errors_of_what_is_left_are_those_of_the_cells_that_are_drawn(group):
    """Of ring and outside from the pass after their first cells, in proportion to their energies."""
    lattice = Lattice(21, 5)
    values = sample(4, 21, 5).values.reshape(4, 441, 5).transpose(1, 2, 0).astype(np.float32)
    sums = np.einsum("sc,cle->sle", lattice.moments.reshape(5, -1), values)
    found = [np.asarray(one) for one in losses._errors(group, lattice, (values > 0).astype(np.float32), sums)]
    assert len(found) == len(PARTS[group])
    for number, errors in enumerate(found):
        before = sum((lattice.zones(part).sum(axis=1) for part in PARTS[group][:number]), np.zeros(2))
        for zone, place in ((0, 1), (1, 2)):
            assert np.any(errors[zone] > 0) == (before[zone] > 0)
            hits = np.sum(values[np.ravel(lattice.zone) == place] > 0, axis=0)
            relative = errors[zone] * np.sqrt(np.maximum(hits, 1)) / np.maximum(sums[zone], 1e-9)
            assert np.ptp(relative[hits > 0]) < 1e-5 and relative.max() < 0.5
        assert np.all((errors[2] > 0) == (errors[0] + errors[1] > 0)) and np.all(errors[2] == errors[3])
        np.testing.assert_allclose(errors[4] * sums[1], 1.7 * errors[1] * sums[4], rtol=1e-4, atol=1e-12)


def test_the_expectation_of_the_loss_is_the_likelihood_of_all_cells():
    """Far cells count in some events only, the first ones, and more."""
    gan = small(21, 3, hidden=4, context=3)
    randomised(gan.networks["cells"].get_layer("cells"))
    random = np.random.default_rng(5)
    data = sample(8, 21, 3)
    cells = np.where(random.random(data.values.shape) < 0.05, 1e-3, data.values)[..., None].astype(np.float32)
    energy = data.labels["energy"][:, None].astype(np.float32)
    latent = random.standard_normal((8, losses.numbers_for_cells() * 3), dtype=np.float32)

    def loss(order):
        inputs = {"image": cells[order], "energy": energy[order], "latent": latent[order]}
        found, parts = losses.cells(gan, inputs, True)
        assert float(found) == pytest.approx(float(parts["hits"]) + float(parts["energies"]), rel=1e-5)
        return float(found)

    alone = [loss([event]) for event in range(8)]  # all cells of a single event count once
    turned = [loss(np.roll(np.arange(8), step)) for step in range(8)]
    assert np.mean(turned) == pytest.approx(np.mean(alone), rel=1e-4)
    assert np.std(turned) > 0.002 * np.mean(alone)


def test_drawn_energies_follow_the_histogram():
    random = np.random.default_rng(0)
    logits = np.repeat(random.normal(0, 2, (1, len(BINS))), 20_000, axis=0).astype(np.float32)
    uniform = np.linspace(1e-5, 1 - 1e-5, len(logits), dtype=np.float32)
    energies = np.asarray(drawn(ops.softmax(logits), uniform))
    assert np.all(np.diff(energies) >= 0) and EDGES[0] <= energies.min() and energies.max() <= EDGES[-1]
    expected = np.exp(logits[0]) / np.exp(logits[0]).sum()
    np.testing.assert_allclose(np.histogram(energies, EDGES)[0] / len(energies), expected, atol=3e-4)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    density = np.exp(np.asarray(log_likelihood(logs, energies)))
    np.testing.assert_allclose(np.mean(1 / density), EDGES[-1] - EDGES[0], rtol=0.05)
    np.testing.assert_allclose(cumulative(ops.softmax(logits), energies), uniform, atol=1e-4)
    np.testing.assert_allclose(deviation(ops.softmax(logits[:1])), np.exp(energies).std(), rtol=0.01)
