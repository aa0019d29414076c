import numpy as np
import pytest

from calolab import spaces
from calolab.samples import Sample
from calolab.validation.observables import cells


def image(*rows):
    space = spaces.Space("image", ("eta", "phi"), ("", ""), (spaces.Layer(edges=((0, 1, 2, 3), (0, 1, 2))),))
    return Sample(np.array(rows, dtype=np.float32).reshape(-1, 3, 2), {}, space)


def test_hits_and_sparsity_by_hand():
    sample = image([0, 1e-4, 3e-4, 4e-4, 1, 0], [0] * 6)
    assert cells.hits(sample).tolist() == [2, 0]  # the threshold itself is no hit; float32 3e-4 stays at 3e-4
    assert cells.hits(sample, threshold=0.5).tolist() == [1, 0]
    assert cells.sparsity(sample) == pytest.approx([2 / 6, 1])
    assert cells.sparsity(sample, threshold=3e-4) == pytest.approx([4 / 6, 1])


def test_spectrum_counts_every_positive_cell_once(showers):
    edges = cells.spectrum_edges(showers)
    for sample in showers:
        counts = cells.spectrum(sample, edges)
        assert np.array_equal(counts.sum(axis=1), np.count_nonzero(sample.values, axis=(1, 2, 3)))
        positive = sample.values[sample.values > 0]
        assert np.array_equal(counts.sum(axis=0), np.histogram(positive, edges)[0])


def test_spectrum_keeps_cells_beyond_its_edges():
    assert cells.spectrum(image([1e-9, 0.5, 0.05, 7.0, 0, 0]), [0.01, 0.1, 1.0]).tolist() == [[2, 2]]


def test_spectrum_edges_reach_no_further_down_than_asked():
    edges = cells.spectrum_edges([image([1e-20, 1, 0, 0, 0, 0])], decades=4)
    assert edges[0] == pytest.approx(1e-4) and edges[-1] > 1
    with pytest.raises(ValueError, match="no cell spectrum"):
        cells.spectrum_edges([image([0] * 6)])


def test_cells_of_unequal_layers(flat_showers):
    expected = [sum(np.count_nonzero(flat_showers.layer(i)[e] > 0.01) for i in range(3)) for e in range(60)]
    assert cells.hits(flat_showers, 0.01).tolist() == expected


def test_pairs_of_hits_by_hand():
    space = spaces.space("clic-ecal")
    values = np.zeros((2, *space.shape), dtype=np.float32)
    values[0, [3, 4, 4, 6], [7, 7, 8, 4], 5] = 1e-3  # distances 1, 1, sqrt 2; and far ones
    values[0, 3, 7, 6] = 1e-3  # next to a hit, but in another layer
    values[1, [0, 1], [0, 3], 2] = (1e-3, 1e-5)  # the second is no hit
    distances, pairs = cells.hit_pairs(Sample(values, {}, space), threshold=1e-4, reach=4)
    found = {float(d): column.tolist() for d, column in zip(distances.round(3), pairs.T) if column.any()}
    assert found == {0: [5, 1], 1: [2, 0], 1.414: [1, 0], 3.606: [1, 0]}
    assert np.all(np.diff(distances) > 0) and distances[-1] == 4


def test_pairs_of_all_hits_are_those_of_every_direction():
    space = spaces.space("clic-ecal")
    sample = Sample(np.ones((1, *space.shape), dtype=np.float32), {}, space)
    _, ((hits, edges, corners),) = cells.hit_pairs(sample, reach=1.5)
    assert (hits, edges, corners) == (25**3, 25 * 2 * 25 * 24, 25 * 2 * 24 * 24)


def test_pairs_need_equal_layers_and_a_distance_in_the_window(flat_showers):
    with pytest.raises(ValueError, match="equal layers"):
        cells.hit_pairs(flat_showers)
    with pytest.raises(ValueError, match="below 25 cells, received 25"):
        cells.hit_pairs(Sample(np.ones((1, 25, 25, 25), np.float32), {}, spaces.space("clic-ecal")), reach=25)
