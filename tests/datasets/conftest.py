"""Showers for the tests of files: sparse like simulated ones, with 2 % of the energy visible."""

import h5py
import numpy as np
import pytest

from calolab import Sample, spaces


def make_showers(n, seed=0, space="clic-ecal", angles=False):
    random = np.random.default_rng(seed)
    space = spaces.space(space)
    energy = random.uniform(10, 100, n)
    values = np.zeros((n, space.n_cells))
    cells = random.integers(0, space.n_cells, (n, 300))
    np.put_along_axis(values, cells, random.exponential(1, (n, 300)), axis=1)
    values *= (0.02 * energy / values.sum(axis=1))[:, None]
    labels = {"energy": energy}
    if angles:
        labels |= {"theta": random.uniform(1.05, 2.09, n), "mtheta": random.uniform(1.05, 2.09, n)}
    return Sample(values.reshape(n, *space.shape), labels, space, {"simulation": "random cells", "seed": seed})


@pytest.fixture(scope="session")
def showers():
    return make_showers


@pytest.fixture
def write(tmp_path):
    """Write datasets like another program, without the description of calolab; None omits a dataset."""

    def write(name="events.h5", **datasets):
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            for key, content in datasets.items():
                if content is not None:
                    file[key] = content
        return path

    return write


@pytest.fixture
def numbered(tmp_path):
    """Write `n` events into `files` files; the energy of an event is its index plus one, in label and cells."""

    def numbered(n, files=1, chunk=4, name="part"):
        paths, start = [], 0
        for index, count in enumerate(np.diff(np.linspace(0, n, files + 1).astype(int))):
            path = tmp_path / f"{name}_{index:02d}.h5"
            energy = np.arange(start, start + count) + 1.0
            values = np.zeros((count, 25, 25, 25), np.float32)
            values[:, 12, 12, 10] = energy / 50
            with h5py.File(path, "w") as file:
                file.create_dataset("ECAL", data=values, chunks=(min(chunk, count), 25, 25, 25), compression="gzip")
                file["energy"] = energy
            paths.append(path)
            start += count
        return paths

    return numbered


def make_events(n, seed=0, space="whole-detector", **labels):
    """Images of some dozen towers above 0.5 GeV; the last event is empty."""
    random = np.random.default_rng(seed)
    space = spaces.space(space)
    values = np.zeros((n, space.n_cells))
    values[np.arange(n)[:, None], random.integers(0, space.n_cells, (n, 40))] = 0.5 + random.exponential(5, (n, 40))
    values[-1] = 0
    columns = {name: np.broadcast_to(np.asarray(column, float), n) for name, column in labels.items()}
    return Sample(values.reshape(n, *space.shape), columns, space, {"simulation": "random towers", "seed": seed})


@pytest.fixture(scope="session")
def events():
    return make_events
