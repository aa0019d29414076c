"""Scorecards of small synthetic samples: what they find, what they refuse, and that they repeat."""

import numpy as np
import pytest

import calolab as cl
from calolab.samples import Sample, concatenate
from calolab.spaces import Slab, Space, pad_edges, space, stack
from calolab.validation import scorecard, shower_score
from calolab.validation.scorecards.measurement import Measured, combined

BOX = Space(
    "box",
    ("x", "y", "z"),
    ("mm", "mm", "mm"),
    stack([[Slab("W", 4.0), Slab("Si", 1.0, sensitive=True)]] * 4, [(pad_edges(6, 5.0), pad_edges(6, 5.0))] * 4),
)
CHEAP = ["energy", "separation", "correlations"]


def showers(n, seed, energy=(10.0, 50.0), box=BOX, spread=0.02):
    """Showers whose layers fluctuate together: energy times a common factor, spread over gamma-distributed cells."""
    random = np.random.default_rng(seed)
    energies = random.uniform(*energy, n)
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    radial = np.exp(-np.hypot(x[:, None], x[None, :]))[:, :, None] * np.array([1.0, 3.0, 2.0, 0.5])
    mean = (
        0.02
        * energies[:, None, None, None]
        * radial
        / radial.sum()
        * random.gamma(spread**-2, spread**2, n)[:, None, None, None]
    )
    values = mean * random.gamma(20.0, 0.05, (n, *box.shape)) * (random.random((n, *box.shape)) < 0.95)
    return Sample(values.astype(np.float32), {"energy": energies}, box, {"simulation": "geant4"})


REFERENCE, OTHER = showers(400, 1), showers(300, 2)


def scaled(sample, factor):
    return Sample(factor * sample.values, sample.labels, sample.space, sample.origin)


def quiet(reference, generated, **options):
    return scorecard(reference, generated, progress=False, **({"metrics": CHEAP} | options))


def test_real_events_are_at_the_floor_and_a_wrong_scale_is_not():
    card = quiet(REFERENCE, {"real": OTHER, "scaled": scaled(OTHER, 1.1)})
    assert card.reference == "Geant4" and card.kind == "showers" and card.events["compared"] == 200
    assert card["real"]["response"].at_floor and card["real"]["separation.total"].at_floor
    assert card["scaled"]["response"].value == pytest.approx(0.1, abs=0.03)
    assert not card["scaled"]["response"].at_floor and not card["scaled"]["separation.total"].at_floor
    assert card.ranking("separation.mean") == ("real", "scaled")
    assert card["scaled"]["linearity"].value < 0.03  # one factor for all energies


def test_same_arguments_give_the_same_numbers_whatever_else_is_scored():
    both = quiet(REFERENCE, {"real": OTHER, "scaled": scaled(OTHER, 1.1)}, metrics=["separation", "auc.trees"])
    alone = quiet(REFERENCE, {"real": OTHER}, metrics=["separation", "auc.trees"])
    assert alone["real"] == both["real"]
    assert alone.fingerprint == both.fingerprint != quiet(REFERENCE, OTHER, seed=1).fingerprint


def test_missing_correlations_are_seen_by_the_correlations_and_not_by_the_separation_powers():
    reference, other = showers(400, 1, spread=0.3), showers(300, 2, spread=0.3)
    order = np.argsort(other.labels["energy"])
    values = other.values.copy()
    random = np.random.default_rng(0)
    for layer in range(4):
        moved = np.argsort(np.arange(len(order)) + random.uniform(0, 8, len(order)))
        values[order, :, :, layer] = other.values[order[moved], :, :, layer]
    mixed = Sample(values, other.labels, BOX)
    card = quiet(reference, {"mixed": mixed, "real": other})
    assert card["mixed"]["correlations.layers"].value > 3 * card["real"]["correlations.layers"].value
    assert card["mixed"]["separation.layers"].at_floor and not card["mixed"]["correlations.layers"].at_floor


def test_further_events_for_the_floor_let_all_events_be_compared():
    card = quiet(REFERENCE, OTHER, floor=showers(350, 3))
    assert card.events["compared"] == 300
    assert card["separation.mean"]["generated"].floor < quiet(REFERENCE, OTHER)["separation.mean"]["generated"].floor


def test_memorised_showers_are_found_by_comparison_with_the_training_sample():
    train = showers(300, 4)
    repeated = scaled(train, 1.001)
    options = {"train": train, "metrics": ["memorised", "separation.mean"]}
    card = quiet(REFERENCE, {"repeated": repeated, "new": OTHER}, **options)
    assert not card["repeated"]["memorised"].at_floor and card["new"]["memorised"].at_floor
    assert card["repeated"]["separation.mean"].at_floor
    assert "closer to a training event" in repr(card)


def test_reference_events_in_the_training_sample_are_a_note():
    train = concatenate([REFERENCE.select(slice(0, 9)), showers(200, 8)])
    card = quiet(REFERENCE, OTHER, train=train, metrics=["memorised"])
    assert any(note.startswith("9 of 400 events of reference are also in the training sample") for note in card.notes)


def test_generated_with_the_labels_of_the_reference_is_compared_shower_by_shower():
    random = np.random.default_rng(5)
    twin = Sample(REFERENCE.values * random.gamma(400, 1 / 400, (400, 1, 1, 1)), REFERENCE.labels, BOX)
    card = quiet(REFERENCE, twin, metrics=["response"])
    assert card["generated"]["response"].value < 0.01 < card["generated"]["response"].floor


def test_other_energies_are_a_warning_and_a_note():
    with pytest.warns(UserWarning, match="incident energies of generated differ"):
        card = quiet(REFERENCE, showers(300, 6, energy=(40, 80)))
    assert any("outside its range" in note for note in card.notes)


def test_empty_showers_are_counted():
    values = OTHER.values.copy()
    values[:7] = 0
    card = quiet(REFERENCE, Sample(values, OTHER.labels, BOX))
    assert "7 of 300 events of generated are empty." in card.notes


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda r: ({"generated": showers(60, 1)}, {}), "at least 100 events"),
        (lambda r: ({}, {}), "at least one generated sample"),
        (lambda r: ({"Geant4": OTHER}, {}), "must differ"),
        (lambda r: ({"fpd": OTHER}, {}), "those of metrics"),
        (lambda r: (Sample(-OTHER.values, OTHER.labels, BOX), {}), "negative cells to zero"),
        (lambda r: (Sample(0 * OTHER.values, OTHER.labels, BOX), {}), "empty"),
        (lambda r: (Sample(OTHER.values, {}, BOX), {}), "label 'energy' in all samples"),
        (lambda r: (Sample(np.ones((200, 25, 25, 25)), {"energy": np.ones(200)}, space("clic-ecal")), {}), "one space"),
        (lambda r: (OTHER, {"metrics": ["fdp"]}), "fpd"),
        (lambda r: (OTHER, {"metrics": ["memorised"]}), "not available"),
        (lambda r: (OTHER, {"classifier": "forest"}), "classifier"),
        (lambda r: (OTHER, {"binning": "wide"}), "binning"),
        (lambda r: (OTHER, {"repetitions": 0}), "repetitions"),
    ],
)
def test_what_cannot_be_scored_is_said(change, message):
    generated, options = change(REFERENCE)
    with pytest.raises(ValueError, match=message):
        quiet(REFERENCE, generated, **options)


def test_maps_are_referred_to_their_own_comparison():
    maps = Sample(np.ones((200, 256, 256), np.float32), {}, space("convergence"))
    with pytest.raises(ValueError, match="compare_maps"):
        quiet(maps, maps)


def test_shower_score_scores_a_generator_like_the_scorecard():
    class Copy:
        def generate(self, labels, seed):
            return scaled(Sample(OTHER.values[: len(labels["energy"])], labels, BOX), 1.0)

    reference = showers(250, 7)
    score = shower_score(reference, seed=3, metrics=["separation"])
    first, again = score(Copy()), score(Copy())
    assert first == again and first["separation.mean"].floor > 0
    physics = cl.training.PhysicsScore(score, by="separation.mean")
    assert physics(Copy())["separation.mean"].value == first["separation.mean"].value


def test_values_of_several_draws_are_averaged_and_their_spread_is_the_error():
    assert combined([Measured(1.0), Measured(3.0)]) == Measured(2.0, pytest.approx(2**0.5))
    assert combined([Measured(1.0, 0.1, "few")]) == Measured(1.0, 0.1, "few")
    assert combined([Measured(1.0, 1.0), Measured(3.0, 1.0)]).error == pytest.approx(3**0.5)
    assert combined([Measured(1.0)]).error is None
