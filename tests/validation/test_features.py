"""Features of showers: against plain loops over cells, symmetries, and what they refuse."""

import numpy as np
import pytest

from calolab import datasets, spaces
from calolab.samples import Sample
from calolab.spaces import Layer, Space
from calolab.validation.features import high_level, shower_features

RINGS = Space(
    "rings",
    ("alpha", "r", "z"),
    ("rad", "mm", "mm"),
    (
        Layer((np.linspace(-np.pi, np.pi, 2), (0, 5, 10, 30)), (0, 10)),
        Layer((np.linspace(-np.pi, np.pi, 5), (0, 4, 10)), (10, 20)),
    ),
)


def box(values, energy=None):
    """A sample of boxes of 2 mm cells around zero, in layers of 1 mm."""
    values = np.asarray(values, dtype=np.float32)
    edges = tuple(tuple(np.arange(n + 1) * 2.0 - n) for n in values.shape[1:3])
    layers = tuple(Layer(edges, (index, index + 1)) for index in range(values.shape[3]))
    space = Space("box", ("x", "y", "z"), ("mm", "mm", "mm"), layers)
    return Sample(values, {} if energy is None else {"energy": energy}, space)


def rings(events, seed):
    rng = np.random.default_rng(seed)
    values = rng.exponential(0.01, (events, RINGS.n_cells)) * (rng.random((events, RINGS.n_cells)) < 0.6)
    return Sample(values, {"energy": rng.uniform(1, 100, events)}, RINGS)


def column(features, name):
    return features.values[:, features.names.index(name)]


def test_features_of_one_shower_by_hand():
    values = np.zeros((1, 3, 2, 2))
    values[0, 0, 0, 0], values[0, 2, 1, 0] = 0.001, 0.003  # centres (-2, -1) and (2, 1) mm
    found = high_level(box(values, [2.0]))
    expected = {
        "total_energy": 0.004,
        "energy_fraction": 0.002,
        "layer_energy_0": 0.004,
        "layer_energy_1": 0,
        "centre_x_0": 1.0,
        "centre_x_1": 0,
        "width_x_0": np.sqrt(3),
        "centre_y_0": 0.5,
        "width_y_0": np.sqrt(0.75),
        "centre_r_0": np.sqrt(5),
        "width_r_0": 0,
        "layer_sparsity_0": 4 / 6,
        "layer_sparsity_1": 1,
        "sparsity": 10 / 12,
    }
    for name, value in expected.items():
        assert column(found, name)[0] == pytest.approx(value, rel=1e-6, abs=2e-6), name
    assert found.spectrum[0, [0, -1]].tolist() == [0, 0] and found.spectrum.sum() == 2


def challenge(sample):
    """The vector of the CaloChallenge of each event, by loops over layers and cells, in MeV and mm."""
    rows = []
    for event in range(len(sample)):
        energies, centres, widths, sparsity, radial = [], {"eta": [], "phi": []}, {"eta": [], "phi": []}, [], ([], [])
        for index, layer in enumerate(sample.space.layers):
            cells = 1e3 * sample.layer(index)[event].astype(np.float64)
            alphas, radii = ((np.array(edges[1:]) + edges[:-1]) / 2 for edges in layer.edges)
            where = [(a, r, cells[i, j]) for i, a in enumerate(alphas) for j, r in enumerate(radii)]

            def moments(position, where=where):
                total = sum(e for _, _, e in where) + 1e-16
                mean = sum(position(a, r) * e for a, r, e in where) / total
                return mean, np.sqrt(max(0, sum(position(a, r) ** 2 * e for a, r, e in where) / total - mean**2))

            energies.append(cells.sum())
            sparsity.append(np.mean(cells == 0))
            for kept, value in zip(radial, moments(lambda a, r: r)):
                kept.append(value)
            if len(alphas) > 1:
                for name, function in (("eta", np.cos), ("phi", np.sin)):
                    mean, width = moments(lambda a, r, f=function: r * f(a))
                    centres[name].append(mean)
                    widths[name].append(width)
        across = [*centres["eta"], *centres["phi"], *widths["eta"], *widths["phi"]]
        incident = 1e3 * sample.labels["energy"][event]
        logs = np.log10([incident, *(np.array(energies) + 1e-8)])
        total = np.log10(sum(energies) + 1e-8)
        rows.append([*logs, *np.array(across) / 100, total, *sparsity, *np.array([*radial[0], *radial[1]]) / 100])
    return np.array(rows)


def test_the_challenge_vector_of_unequal_rings_equals_loops_over_cells():
    sample = rings(40, 1)
    sample.values[3] = 0
    assert high_level(sample).matrix("calochallenge") == pytest.approx(challenge(sample), rel=1e-6, abs=1e-8)


def test_the_challenge_vector_of_equal_rings_equals_loops_over_cells():
    layer = [np.linspace(-np.pi, np.pi, 4), (0, 4, 10)]
    space = Space("equal", RINGS.axes, RINGS.units, tuple(Layer(layer, (z, z + 1)) for z in range(3)))
    rng = np.random.default_rng(2)
    sample = Sample(rng.exponential(1, (20, *space.shape)), {"energy": rng.uniform(1, 9, 20)}, space)
    assert high_level(sample).matrix("calochallenge") == pytest.approx(challenge(sample), rel=1e-6)


def test_a_mirrored_shower_has_opposite_centres_and_otherwise_equal_features(make):
    sample = make(30, 4)
    mirrored = Sample(sample.values[:, ::-1], sample.labels, sample.space)
    for function in (high_level, shower_features):
        one, other = function(sample), function(mirrored)
        sign = np.array([-1 if c.group == "centre_x" else 1 for c in one.columns])
        assert other.values == pytest.approx(one.values * sign, rel=1e-9, abs=1e-6)


def test_exchanging_x_and_y_exchanges_their_features(make):
    sample = make(30, 4)
    turned = Sample(sample.values.swapaxes(1, 2), sample.labels, sample.space)
    one, other = shower_features(sample), shower_features(turned)
    swap = {"x": "y", "y": "x"}
    for name in one.names:
        parts = name.split("_")
        partner = "_".join([parts[0], swap.get(parts[1], parts[1]), *parts[2:]]) if parts[1:] else name
        assert column(other, partner) == pytest.approx(column(one, name), rel=1e-9, abs=1e-6)


def test_the_order_of_events_does_not_matter(flat_showers):
    order = np.random.default_rng(1).permutation(len(flat_showers))
    for function in (high_level, shower_features):
        one, other = function(flat_showers), function(flat_showers.select(order))
        assert other.values == pytest.approx(one.select(order).values, rel=1e-9, abs=1e-9)
        assert np.array_equal(other.spectrum, one.select(order).spectrum)


def test_pieces_and_streams_give_the_same_features(make, tmp_path, monkeypatch):
    sample = make(50, 4)
    one = high_level(sample, 1e-4)
    path = tmp_path / "showers.h5"
    datasets.save(path, sample)
    monkeypatch.setattr("calolab.validation.observables.profiles.PIECE_BYTES", 7 * 4 * sample.space.n_cells)
    streamed = high_level(datasets.stream(path), 1e-4)
    for other in (high_level(sample, 1e-4), streamed):
        assert np.array_equal(other.values, one.values) and np.array_equal(other.spectrum, one.spectrum)
    assert streamed.energy == pytest.approx(one.energy)


def test_cells_below_the_threshold_count_as_zero():
    values = np.full((1, 2, 2, 1), [[[0.1], [0.2]], [[0.3], [-0.4]]])
    found = high_level(box(values), threshold=0.2)
    assert column(found, "total_energy")[0] == pytest.approx(0.5)
    assert column(found, "sparsity")[0] == 0.5


def test_without_energies_the_features_that_need_them_are_left_out():
    values = np.ones((2, 2, 2, 3))
    with_energy, without = high_level(box(values, [1, 2])), high_level(box(values))
    assert set(with_energy.names) - set(without.names) == {"energy_fraction"}
    assert with_energy.matrix("calochallenge").shape[1] == without.matrix("calochallenge").shape[1] + 1


def test_layers_with_one_cell_along_an_axis_have_no_centre_there():
    found = high_level(box(np.ones((2, 1, 3, 2))))
    assert "centre_y" in found.groups and "centre_x" not in found.groups and "centre_r" in found.groups
    assert [name for name in high_level(rings(3, 1)).names if name.startswith("centre_eta")] == ["centre_eta_1"]


def test_the_spectrum_counts_cells_beyond_the_edges():
    found = high_level(box([[[[1.0, 2.0, 3.0, 10.0]]]]), spectrum_edges=[2.0, 3.0, 4.0])
    assert found.spectrum.tolist() == [[1, 1, 1, 1]]


def test_the_number_of_shower_features_of_the_clic_calorimeter(make):
    found = shower_features(make(5, 1))
    assert len(found.names) == len(set(found.names)) == 174
    assert np.array(found.radii) == pytest.approx(5.1 * np.array([0.5, 1.5, 2.5, 4.5, 7.5]))


def test_shower_features_of_one_shower_by_hand():
    values = np.zeros((1, 3, 3, 2))
    values[0, 1, 1, 0], values[0, 0, 1, 1] = 3e-3, 1e-3  # on the axis in the first layer, 2 mm beside it in the second
    found = shower_features(box(values, [2.0]), threshold=1e-3)
    expected = {
        "log_fraction": np.log(5e-3 / 2),
        "log_layer_fraction_1": np.log(2e-3 / 2),
        "centre_x_1": -2,
        "layer_hits_0": 1,
        "energy_within_1": 0.75,
        "energy_within_3": 1,
        "hits_within_1": 0.5,
        "mean_radius": 0.5,
        "radius_spread": np.sqrt(0.75),
        "mean_depth": 0.75,
        "depth_spread": np.sqrt(0.1875),
        "log_highest": np.log(4e-3 / 2),
        "hits": 2,
        "hits_bin_0": 1,
        "hits_bin_1": 1,
    }
    for name, value in expected.items():
        assert column(found, name)[0] == pytest.approx(value, rel=1e-5, abs=1e-6), name


def test_radii_elsewhere_contain_fractions_of_the_energy():
    sample = rings(200, 3)
    found = shower_features(sample, threshold=1e-4)
    shares = np.average(
        found.group("energy_within"), axis=0, weights=high_level(sample, 1e-4).group("layer_energy").sum(1)
    )
    assert list(found.radii) == sorted(found.radii) and found.radii[-1] <= 20.01
    assert shares[0] >= 0.3 and shares[-1] >= 0.97
    again = shower_features(rings(20, 4), threshold=1e-4, radii=found.radii)
    assert again.names == found.names


def test_a_generated_sample_without_energy_has_features(flat_showers):
    empty = Sample(np.zeros_like(flat_showers.values), flat_showers.labels, flat_showers.space)
    like = high_level(flat_showers)
    found = high_level(empty, spectrum_edges=like.spectrum_edges)
    assert found.names == like.names and not found.group("layer_energy").any()
    reference = shower_features(flat_showers)
    assert np.isfinite(shower_features(empty, radii=reference.radii).values).all()


def test_impossible_events_are_refused(make):
    sample = make(4, 1)
    values = sample.values.copy()
    values[2, 0, 0, 0] = -1e-3
    with pytest.raises(ValueError, match="received -0.001 in event 2"):
        high_level(Sample(values, sample.labels, sample.space))
    with pytest.raises(ValueError, match="at least one shower"):
        high_level(sample.select(slice(0, 0)))
    with pytest.raises(ValueError, match="positive incident energies"):
        high_level(Sample(sample.values, {"energy": np.zeros(4)}, sample.space))
    with pytest.raises(ValueError, match="two transverse axes"):
        high_level(Sample(np.ones((2, 25, 25)), {}, spaces.space("jet-image")))
    with pytest.raises(ValueError, match="no cell spectrum"):
        high_level(Sample(0 * sample.values, sample.labels, sample.space))
    with pytest.raises(ValueError, match="zero or more"):
        high_level(sample, threshold=-1)
    for edges in ([1.0], [2.0, 1.0], [0.0, 1.0]):
        with pytest.raises(ValueError, match="increasing positive energies"):
            high_level(sample, spectrum_edges=edges)


def test_shower_features_say_what_they_need(make):
    sample = make(4, 1)
    with pytest.raises(ValueError, match="positive threshold"):
        shower_features(sample, threshold=0)
    with pytest.raises(ValueError, match="label 'energy'"):
        shower_features(Sample(sample.values, {}, sample.space))
    with pytest.raises(ValueError, match="increasing positive numbers"):
        shower_features(sample, radii=(3, 2))
    with pytest.raises(ValueError, match="'values' or 'calochallenge', received 'low'"):
        high_level(sample).matrix("low")
    with pytest.raises(ValueError, match="high_level"):
        shower_features(sample).matrix("calochallenge")
    with pytest.raises(ValueError, match="groups total_energy"):
        high_level(sample).group("depth")
