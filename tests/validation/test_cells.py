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
