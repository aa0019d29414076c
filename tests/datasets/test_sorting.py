"""The first events of a sorted file are not like the others: a warning, and a random choice instead."""

import re
import warnings

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calolab import Sample, datasets, spaces


@pytest.fixture
def jets(tmp_path):
    """Write jet images whose signal is given; the pixel in the middle contains the number of the event."""

    def jets(signal, name="jets.h5", **labels):
        values = np.zeros((len(signal), 25, 25), np.float32)
        values[:, 12, 12] = np.arange(len(signal)) + 1
        sample = Sample(values, {"signal": signal, **labels}, spaces.space("jet-image"))
        return datasets.save(tmp_path / name, sample, overwrite=True)

    return jets


SORTED = np.repeat([1, 0], 100)


def test_the_first_events_of_one_class_are_warned_of(jets):
    path = jets(SORTED)
    message = "the first 50 of 200 events all have signal 1, but only a fraction of 0.5 of all events do.*"
    remedy = re.escape("load(..., events=50, shuffle=seed)")
    with pytest.warns(UserWarning, match=f"jets.h5: {message}{remedy}") as found:
        assert datasets.load(path, events=50).labels["signal"].all()
    assert found[0].filename == __file__
    with pytest.warns(UserWarning, match=message + re.escape("head(50, shuffle=seed)")) as found:
        datasets.stream(path).head(50)
    assert found[0].filename == __file__


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_events_in_the_order_of_a_label_are_warned_of(jets, order):
    path = jets(np.tile([1, 0], 100), pt=np.linspace(250, 300, 200)[order])
    with pytest.warns(UserWarning, match=r"in the first 20 of 200 events, pt (in|de)creases from (250|300) to"):
        datasets.load(path, events=20)


def test_what_may_be_a_coincidence_is_not_warned_of(jets):
    rare = np.zeros(200)
    rare[-1] = 1
    mixed = np.random.default_rng(1).permutation(SORTED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        datasets.load(jets(rare), events=50)
        datasets.load(jets(mixed), events=50)
        datasets.load(jets(SORTED), events=1)
        datasets.load(jets(SORTED))
        datasets.stream(jets(SORTED)).head()
        datasets.load(jets(np.ones(200)), events=50)
        datasets.load(jets(SORTED), events=50, shuffle=1)


def test_a_random_choice_has_both_classes_and_depends_on_the_seed(jets):
    path = jets(SORTED)
    first, again, other = (datasets.load(path, events=60, shuffle=seed) for seed in (1, 1, 2))
    assert 15 < first.labels["signal"].sum() < 45
    assert np.array_equal(first.values, again.values) and not np.array_equal(first.values, other.values)
    number = first.values[:, 12, 12]
    assert np.any(np.diff(number) < 0), "in random order"
    assert np.array_equal(first.labels["signal"], number <= 100)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(1, 40), chosen=st.integers(1, 45), chunk=st.integers(1, 9), files=st.integers(1, 3), data=st.data()
)
def test_every_event_is_chosen_at_most_once_with_its_label(numbered, n, chosen, chunk, files, data):
    stream = datasets.stream(numbered(max(n, files), files=files, chunk=chunk))
    part = stream if n < 6 else stream.split(0.5, seed=n)[data.draw(st.integers(0, 1))]
    sample = part.head(chosen, shuffle=data.draw(st.integers(0, 9)))
    energy = sample.labels["energy"]
    assert len(energy) == min(chosen, len(part)) == len(set(energy))
    assert set(energy) <= set(part.labels["energy"])
    np.testing.assert_allclose(sample.values.sum(axis=(1, 2, 3)) * 50, energy, rtol=1e-6)


def test_a_choice_without_a_number_or_from_other_files(jets, tmp_path):
    with pytest.raises(ValueError, match="give their number with events="):
        datasets.load(jets(SORTED), shuffle=1)
    maps = Sample(np.zeros((1, 256, 256)), {}, spaces.space("convergence"))
    with pytest.raises(ValueError, match="shuffle= is for HDF5 files and numpy arrays"):
        datasets.load(datasets.save(tmp_path / "a.fits", maps), events=1, shuffle=1)


def test_labels_are_compared_in_pieces(jets, monkeypatch):
    monkeypatch.setattr(datasets.streaming, "_LABEL_EVENTS", 30)
    rows, read = [], h5py.Dataset.__getitem__

    def counted(dataset, chosen):
        content = read(dataset, chosen)
        if dataset.name == "/signal":
            rows.append(len(content))
        return content

    stream = datasets.stream(jets(SORTED))
    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    with pytest.warns(UserWarning, match="all have signal 1"):
        stream.head(20)
    assert max(rows) <= 100 and sum(rows) >= 200
