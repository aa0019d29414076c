"""Separation powers of features: by hand, on equal and on disjoint samples, with their floors."""

import numpy as np
import pytest

from calolab import spaces
from calolab.samples import Sample
from calolab.validation.features import high_level, shower_features
from calolab.validation.floors import Resampled
from calolab.validation.separation import FeatureHistogram, feature_edges, separation_floors, separations


@pytest.fixture(scope="module")
def three(showers):
    reference = high_level(showers[0], 1e-4)
    others = [high_level(sample, 1e-4, reference.spectrum_edges) for sample in showers[1:]]
    return reference, *others


def test_a_sample_has_no_separation_from_itself(three):
    found = separations(three[0], three[0])
    assert found.mean == 0 and set(found.groups.values()) == {0}
    assert "total_energy" not in found.groups and {"energy_fraction", "cell_spectrum", "width_r"} <= set(found.groups)


def test_separations_beside_their_floors(three):
    reference, equal, other = three
    labels = reference.energy, equal.energy
    floors = separation_floors(reference, Resampled(20, seed=1).draws(*labels))
    same, different = separations(reference, equal), separations(reference, other)
    assert abs(same.mean - floors["mean"].mean()) < 5 * floors["mean"].std()
    for group in ("energy_fraction", "layer_energy", "cell_spectrum"):
        assert different.groups[group] > floors[group].max()
    assert set(floors) == {*same.groups, "mean"}


def test_one_histogram_by_hand():
    found = FeatureHistogram(None, np.array([0, 1, 2]), np.array([0, 3, 1, 0]), np.array([4, 1, 3, 0]))
    # Fractions 0, 3/4, 1/4 and 4/8, 1/8, 3/8.
    assert found.separation == pytest.approx(0.5 * (0.5 + 0.625**2 / 0.875 + 0.125**2 / 0.625))
    inside = FeatureHistogram(None, found.edges, found.reference, found.generated, inside=True)
    assert inside.separation == pytest.approx(0.25)
    empty = FeatureHistogram(None, found.edges, found.reference, 0 * found.generated)
    assert empty.separation == 1


def test_every_entry_is_in_a_histogram(three):
    for one in separations(three[0], three[2]).histograms.values():
        if one.feature.name != "cell_spectrum":
            assert one.reference.sum() == one.generated.sum() == 400
    assert one.reference.sum() == three[0].spectrum.sum()


def test_the_binning_of_the_challenge(three):
    edges = feature_edges(three[0], "calochallenge")
    assert edges["energy_fraction"][[0, -1]].tolist() == [0.5, 1.5] and len(edges["energy_fraction"]) == 101
    assert edges["layer_energy_3"][0] == pytest.approx(1e-4) and len(edges["layer_energy_3"]) == 40
    assert edges["centre_x_0"][[0, -1]].tolist() == [-30, 30] and edges["centre_r_0"][-1] == 42
    assert edges["width_r_0"][-1] == 20 and len(edges["layer_sparsity_1"]) == 21
    # No entry is within the first histogram: silicon takes 2 % of the energy.
    assert separations(three[0], three[2], "calochallenge").groups["energy_fraction"] == 0


def test_the_binning_of_the_challenge_for_dataset_1():
    space = spaces.space("calochallenge-pions")
    values = np.random.default_rng(1).random((4, space.n_cells))
    edges = feature_edges(high_level(Sample(values, {"energy": np.ones(4)}, space), 1e-3), "calochallenge")
    for layer, centre, width, radial in ((1, 100, 100, 500), (4, 500, 400, 1500), (5, 500, 400, 1500)):
        assert edges[f"centre_eta_{layer}"][-1] == centre and edges[f"width_phi_{layer}"][-1] == width
        assert edges[f"centre_r_{layer}"][-1] == edges[f"width_r_{layer}"][-1] == radial
    assert edges["centre_r_6"][-1] == 1500 and "centre_eta_6" not in edges


def test_features_that_cannot_be_compared(showers, three):
    reference = three[0]
    with pytest.raises(ValueError, match="different edges"):
        separations(reference, high_level(showers[2], 1e-4))
    with pytest.raises(ValueError, match=r"0\.0001 and 0\.0002 GeV"):
        separations(reference, high_level(showers[1], 2e-4, reference.spectrum_edges))
    with pytest.raises(ValueError, match="not in both"):
        separations(reference, shower_features(showers[1], 1e-4))
    with pytest.raises(ValueError, match="'reference' or 'calochallenge', received 'fine'"):
        separations(reference, reference, "fine")
    with pytest.raises(ValueError, match="begins at the threshold"):
        feature_edges(high_level(showers[0]), "calochallenge")
