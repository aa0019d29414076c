"""Two real engines for all tests of this folder, in an IPython folder of their own."""

import numpy as np
import pytest

from calolab import Sample, distributed, models, spaces
from calolab.distributed import communicator


@pytest.fixture(scope="session", autouse=True)
def own_profile(tmp_path_factory):
    """No test touches the clusters of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        yield


@pytest.fixture(scope="session")
def two():
    """Two engines that train together."""
    if not communicator.built():
        pytest.skip("Horovod is not installed: .ci/horovod_wheel.py builds it")
    with distributed.cluster(2, name="two") as engines:
        yield engines


def electrons(events, seed=0):
    """Smooth blobs of energy, good enough to take gradients of."""
    space = spaces.space("clic-ecal")
    random = np.random.default_rng(seed)
    energy = random.uniform(10, 50, events)
    across = np.exp(-((np.arange(25) - 12) ** 2) / 4)
    along = np.exp(-((np.arange(25) - 8) ** 2) / 20)
    shape = across[:, None, None] * across[:, None] * along
    values = shape / shape.sum() * 0.025 * energy[:, None, None, None] * random.gamma(3, 1 / 3, (events, *space.shape))
    return Sample(values, {"energy": energy}, space, {"simulation": "blobs"})


@pytest.fixture(scope="session")
def make_electrons():
    return electrons


@pytest.fixture
def gan():
    return models.build("3dgan", spaces.space("clic-ecal"))
