"""Single arrays of cells without labels, which the user gives."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calolab import datasets, spaces


@pytest.fixture
def array(tmp_path):
    def array(values, name="showers.npy"):
        np.save(tmp_path / name, values)
        return tmp_path / name

    return array


def test_showers_of_lcd_with_the_labels_of_each_event(array, showers):
    sample = showers(6, space="clic-ecal-51")
    path = array(50 * sample.values[..., None])
    labels = {"energy": sample.labels["energy"], "theta": np.pi / 2}
    read = datasets.load(path, layout="3dgan-angle", labels=labels)
    assert read.space is spaces.space("clic-ecal-51")
    np.testing.assert_allclose(read.values, sample.values, rtol=2e-7)
    assert np.array_equal(read.labels["energy"], sample.labels["energy"])
    assert np.array_equal(read.labels["theta"], np.full(6, np.pi / 2))
    with pytest.raises(ValueError, match="sums to 1 of the incident energy.*looks like layout='3dgan-angle'"):
        datasets.load(path, labels=labels)


def test_other_spaces_are_named(array):
    values = np.random.default_rng(1).random((3, 504), np.float32)
    with pytest.raises(ValueError, match=r"has shape \(3, 504\), expected .*clic-ecal.*Set space="):
        datasets.load(array(values))
    assert np.array_equal(datasets.load(array(values), space="calogan").values, values)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n=st.integers(1, 9), events=st.integers(1, 12), seed=st.none() | st.integers(0, 5))
def test_the_chosen_events_have_their_labels(array, n, events, seed):
    values = np.ones((n, 368)) * np.arange(1, n + 1)[:, None]
    labels = {"energy": 1000.0 * np.arange(1, n + 1)}
    sample = datasets.load(array(values), space="calochallenge-photons", labels=labels, events=events, shuffle=seed)
    assert len(sample) == len(set(sample.labels["energy"])) == min(n, events)
    assert np.array_equal(sample.values[:, 0] * 1000, sample.labels["energy"])
    if seed is None:
        assert sample.labels["energy"].tolist() == labels["energy"][:events].tolist()


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (
            np.ones((2, 368)),
            {"labels": {"energy": [1.0, 2.0, 3.0]}},
            r"holds 2 events, but labels\['energy'\]",
        ),
        (np.ones((2, 368)), {"labels": {"energy": [1.0, 0.0]}}, "must be positive"),
        (np.ones((2, 368)), {"labels": {"energy": ["a", "b"]}}, "must be real numbers"),
        (np.full((2, 368), np.nan), {}, "NaN, infinite or negative energy, nan, in event 0"),
        (np.array([[1.0] * 368, [-1.0] * 368]), {}, "negative energy, -1.0, in event 1"),
        (np.ones(368), {}, "event first"),
        (np.ones((0, 368)), {}, "at least one event"),
        (np.array([["a"] * 368]), {}, "expected numbers"),
        (np.array([{}]), {}, "truncated or corrupt numpy array .Array can't be memory-mapped"),
    ],
)
def test_arrays_that_are_no_showers(array, values, options, message):
    with pytest.raises(ValueError, match=message):
        datasets.load(array(values), space="calochallenge-photons", **options)


def test_damaged_arrays_and_streams(array, tmp_path):
    path = array(np.ones((20, 368)))
    (tmp_path / "cut.npy").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="cut.npy: truncated or corrupt numpy array"):
        datasets.load(tmp_path / "cut.npy", space="calochallenge-photons")
    with pytest.raises(ValueError, match="is a numpy array, and only HDF5 files and npz archives are streamed"):
        datasets.stream(path, space="calochallenge-photons")
    with pytest.raises(ValueError, match="one by one"):
        datasets.load([path, array(np.ones((2, 368)), "b.npy")], space="calochallenge-photons")


def test_labels_of_each_event_are_for_single_arrays(tmp_path, showers):
    path = datasets.save(tmp_path / "a.h5", showers(3))
    with pytest.raises(ValueError, match=r"labels\['pt'\] .* one number for all events"):
        datasets.load(path, labels={"pt": np.ones(3)})
