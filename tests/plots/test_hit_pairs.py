import numpy as np
import pytest

from calolab.plots import hit_pairs

DISTANCES = np.array([0, 1, np.sqrt(2)])


def test_the_panels_hold_pairs_per_hit_and_direction_and_their_ratio():
    counts = {"Geant4": np.array([[10, 5, 2], [30, 11, 6]]), "calolab-fast": np.array([[20, 6, 4], [20, 6, 4]])}
    figure = hit_pairs.show(DISTANCES, {"all hits": counts, "hard hits": counts}, "clic-ecal")
    first, _, upper, lower = figure.axes
    assert [panel.get_title(loc="left") for panel in (first, upper)] == ["all hits", "hard hits"]
    reference, generated = (container.lines[0].get_data() for container in upper.containers)
    assert reference[0] == pytest.approx(DISTANCES[1:]) and reference[1] == pytest.approx([0.2, 0.1])
    assert generated[1] == pytest.approx([0.15, 0.1])
    (ratio,) = lower.containers
    assert ratio.lines[0].get_ydata() == pytest.approx([0.75, 1.0])
    (bar,) = upper.containers[0].lines[2]
    # Residuals of 2.5 - 0.2 x 10 = 0.5 and of 5.5 - 0.2 x 30 = -0.5, over sqrt 2 times the mean number of hits.
    half = [np.ptp(segment[:, 1]) / 2 for segment in bar.get_segments()]
    assert half[0] == pytest.approx(0.5 / (np.sqrt(2) * 20))


def test_a_sample_without_hits_is_refused():
    counts = {"Geant4": np.array([[10, 5, 2]]), "empty": np.zeros((1, 3), dtype=int)}
    with pytest.raises(ValueError, match="'empty' has no all hits"):
        hit_pairs.show(DISTANCES, {"all hits": counts})
    with pytest.raises(ValueError, match="at least one kind"):
        hit_pairs.show(DISTANCES, {})


def test_a_layer_full_of_hits_has_probability_one():
    counts = np.array([[1e6, 2e6, 2e6, 2e6, 4e6]])  # of an infinite layer
    figure = hit_pairs.show(np.sqrt([0, 1, 2, 4, 5]), {"hits": {"Geant4": counts}})
    assert figure.axes[0].containers[0].lines[0].get_ydata() == pytest.approx([1, 1, 1, 1])
