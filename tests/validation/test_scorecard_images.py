"""Scorecards of whole events and of jet images, from synthetic images."""

import numpy as np

from calolab.samples import Sample
from calolab.spaces import space
from calolab.validation import scorecard

METRICS = ["separation", "frechet", "auc.trees", "neighbours"]


def events(n, seed, factor=1.0, **labels):
    """Three jets of 100 to 400 GeV in each event, each of three towers."""
    random = np.random.default_rng(seed)
    values = np.zeros((n, 64, 64), np.float32)
    for event in range(n):
        for _ in range(3):
            row, column = random.integers(8, 56, 2)
            for share in (0.6, 0.3, 0.1):
                values[event, row + random.integers(-1, 2), column + random.integers(-1, 2)] += share * random.uniform(
                    100, 400
                )
    return Sample(factor * values, labels, space("whole-detector"))


def jet_images(n, seed, spread=1.0):
    """A central pixel and a second prong below it, for two classes."""
    random = np.random.default_rng(seed)
    signal = random.integers(0, 2, n).astype(float)
    values = np.zeros((n, 25, 25), np.float32)
    values[:, 12, 12] = random.normal(200, 10 * spread, n)
    values[np.arange(n), 12, np.where(signal == 1, 7, 10)] = random.uniform(20, 60, n)
    return Sample(values, {"signal": signal}, space("jet-image"))


def test_whole_events_are_scored_by_their_jets_and_towers():
    reference, real = events(240, 1), events(120, 2)
    card = scorecard(reference, {"real": real, "high": events(120, 3, 1.3)}, metrics=[*METRICS, "jets"], progress=False)
    assert card.kind == "events" and card.energies is None
    assert card.ranking("ks_comb") == card.ranking("separation.mean") == ("real", "high")
    assert card["high"]["auc.trees"].value > 0.8 and not card["high"]["auc.trees"].at_floor
    assert card["real"]["fpd"].at_floor and not card["high"]["fpd"].at_floor
    assert {"multiplicity", "leading_eta", "leading_phi", "pixel_spectrum"} <= set(card.panels)
    assert len(card.plot().axes) > 8


def test_jet_images_are_scored_with_their_class_as_a_further_column():
    reference = jet_images(240, 1)
    card = scorecard(
        reference, {"real": jet_images(120, 2), "wide": jet_images(120, 3, 3)}, metrics=METRICS, progress=False
    )
    assert card.kind == "jet images" and "ks_comb" not in card.metrics
    assert card.ranking("separation.mean") == ("real", "wide")
    assert card["wide"]["auc.trees"].value > card["real"]["auc.trees"].value + 0.1


def test_weights_are_noted():
    weights = np.linspace(0.5, 1.5, 240)
    card = scorecard(
        events(240, 1, weight=weights),
        {"real": events(240, 2, weight=weights)},
        metrics=["separation"],
        progress=False,
    )
    assert any("only ks_comb uses" in note for note in card.notes)
