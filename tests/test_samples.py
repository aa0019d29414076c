import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calolab.samples import Sample, concatenate, global_batch_size, rank_batches, side_names, steps_per_epoch
from calolab.spaces import Layer, Space, space

ROW = Space("row", ("x",), ("mm",), (Layer(((0.0, 1.0, 2.0),)),))


def numbered(n_events):
    """A sample whose values and labels are the numbers of the events."""
    number = np.arange(n_events)
    return Sample(np.stack([number, -number], axis=1), {"energy": number}, ROW, {"seed": 1})


def test_a_sample_holds_single_precision_values_and_double_precision_labels():
    sample = numbered(3)
    assert sample.values.dtype == np.float32
    assert sample.labels["energy"].dtype == np.float64
    assert "3 events" in sample._repr_html_()
    assert "0 to 2 GeV" in sample._repr_html_()


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [
        (np.zeros((2, 3)), {"energy": [1, 2]}, r"\(event, 2\), received \(2, 3\)"),
        (np.zeros((2, 2)), {"energy": [1, 2, 3]}, r"'energy' must have shape \(2,\), received \(3,\)"),
        (np.zeros((2, 2)), {"energy": [1, np.nan]}, "1 values that are not finite"),
        ([[0, 1], [np.inf, 1]], {"energy": [1, 2]}, "first is event 1"),
        ([["0", "1"]], {"energy": [1]}, "Sample values must be real numbers, received an array of <U1"),
        ([[0, 1j]], {"energy": [1]}, "Sample values must be real numbers"),
        ([[0, 1]], {"energy": ["1"]}, "'energy' must be real numbers"),
        ([[0, 1e300]], {"energy": [1]}, "must be finite: 1 events"),
    ],
)
def test_bad_input_is_refused(values, labels, message):
    with pytest.raises(ValueError, match=message):
        Sample(values, labels, ROW)


@given(st.integers(2, 60), st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_split_and_concatenate_are_inverse(n_events, seed, test):
    sample = numbered(n_events)
    try:
        parts = sample.split(test=test, seed=seed)
    except ValueError:
        assert round(n_events * test) in (0, n_events)
        return
    joined = concatenate(parts)
    assert sorted(joined.labels["energy"]) == list(range(n_events))
    assert np.array_equal(joined.values[:, 0], joined.labels["energy"])
    assert len(parts[1]) == round(n_events * test)


def test_the_same_seed_splits_alike():
    first, second = (numbered(50).split(test=0.3, seed=seed)[1].labels["energy"] for seed in (5, 5))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, numbered(50).split(test=0.3, seed=6)[1].labels["energy"])


@settings(max_examples=200)
@given(st.integers(1, 150), st.integers(1, 5), st.integers(1, 40), st.integers(0, 99))
def test_every_event_is_seen_once_by_ranks_in_step(n_events, ranks, batch_size, seed):
    if n_events < ranks:
        with pytest.raises(ValueError, match="at least one event per rank"):
            steps_per_epoch(n_events, batch_size, ranks)
        return
    steps = steps_per_epoch(n_events, batch_size, ranks)
    sample = numbered(n_events)
    epochs = [list(sample.shard(rank, ranks).batches(batch_size, seed, steps)) for rank in range(ranks)]
    assert {len(batches) for batches in epochs} == {steps}
    assert sorted(e for batches in epochs for batch in batches for e in batch.labels["energy"]) == list(range(n_events))
    for step in range(steps):
        sizes = [len(batches[step]) for batches in epochs]
        assert min(sizes) >= 1
        assert max(sizes) <= batch_size + 1
        assert sum(sizes) == global_batch_size(n_events, batch_size, ranks, step)


@settings(max_examples=200)
@given(st.integers(1, 150), st.integers(1, 5), st.integers(1, 40), st.integers(0, 99))
def test_a_global_batch_is_shared_by_any_number_of_ranks(n_events, ranks, batch, seed):
    if min(n_events, batch) < ranks:
        with pytest.raises(ValueError, match="cannot be shared by"):
            steps_per_epoch(n_events, 1, ranks, batch)
        return
    steps = steps_per_epoch(n_events, 1, ranks, batch)
    parts = [
        numbered(n_events).shard(r, ranks).batches(rank_batches(batch, r, ranks), seed, steps) for r in range(ranks)
    ]
    epochs = [[batch.labels["energy"] for batch in rank] for rank in parts]
    assert sorted(np.concatenate([np.concatenate(rank) for rank in epochs])) == list(range(n_events))
    for step, batches in enumerate(zip(*epochs, strict=True)):
        sizes = [len(events) for events in batches]
        assert min(sizes) >= 1
        assert sum(sizes) == global_batch_size(n_events, 1, ranks, step, batch)
        if step < steps - 1:
            assert sum(sizes) == batch and max(sizes) - min(sizes) <= 1


def test_the_order_depends_on_the_seed_alone():
    def order(seed):
        return np.concatenate([batch.labels["energy"] for batch in numbered(30).batches(7, seed)])

    assert np.array_equal(order(1), order(1))
    assert not np.array_equal(order(1), order(2))


def test_layers_of_a_flat_space_come_back_in_shape():
    calogan = space("calogan")
    values = np.arange(2 * 504).reshape(2, 504)
    sample = Sample(values, {"energy": [1, 2]}, calogan)
    assert sample.layer(1).shape == (2, 12, 12)
    assert sample.layer(1)[0, 0, 0] == 288
    assert np.array_equal(sample.layer(-1), sample.layer(2))
    assert np.concatenate([sample.layer(i).reshape(2, -1) for i in range(3)], axis=1).tolist() == values.tolist()
    assert np.shares_memory(sample.layer(0), sample.values)


def test_layers_of_a_regular_space_are_slices_in_depth():
    values = np.zeros((1, 25, 25, 25))
    values[0, 3, 4, 5] = 1
    sample = Sample(values, {}, space("clic-ecal"))
    assert sample.layer(5)[0, 3, 4] == 1
    assert sample.layer(4).sum() == 0


@pytest.mark.parametrize(("rank", "size"), [(2, 2), (-1, 2), (0, 9)])
def test_impossible_shards_are_refused(rank, size):
    with pytest.raises(ValueError, match="rank"):
        numbered(4).shard(rank, size)


def test_samples_of_different_spaces_or_labels_are_not_joined():
    other = Sample(np.zeros((1, 2)), {"theta": [1.0]}, ROW)
    with pytest.raises(ValueError, match="labelled"):
        concatenate([numbered(1), other])
    with pytest.raises(ValueError, match="at least one"):
        concatenate([])


@pytest.mark.parametrize(
    ("origins", "names", "expected"),
    [
        (({}, {}), None, ("reference", "generated")),
        (({"simulation": "geant4"}, {"simulation": "gflash"}), None, ("Geant4", "GFlash")),
        (({"simulation": "geant4"}, {"simulation": "geant4"}), None, ("reference", "generated")),
        (({"simulation": "geant4"}, {"gan": "3dgan"}), None, ("reference", "generated")),
        (({}, {}), ["full", "fast"], ("full", "fast")),
    ],
)
def test_two_samples_are_named_by_their_simulations_or_as_given(origins, names, expected):
    samples = [Sample(np.zeros((1, *ROW.shape)), {}, ROW, origin) for origin in origins]
    assert side_names(*samples, names) == expected


@pytest.mark.parametrize("names", [("one",), ("same", "same"), ("", "b"), "ab", (1, 2)])
def test_names_are_two_different_strings(names):
    with pytest.raises(ValueError, match="two different strings"):
        side_names(None, None, names)
