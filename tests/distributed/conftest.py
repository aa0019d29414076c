"""Real engines for all tests of this folder, in an IPython folder of their own."""

import ipyparallel
import numpy as np
import pytest

from calolab import Sample, distributed, models, spaces
from calolab.distributed import communicator, data_parallel, launchers
from tests.helpers import allow_root


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


@pytest.fixture(scope="session")
def by_mpi():
    """Two engines that MPI launched."""
    if "mpi" not in communicator.built():
        pytest.skip("this Horovod was built without MPI (libopenmpi-dev was not there)")
    try:
        launchers.launcher_options("mpi")
    except RuntimeError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        allow_root(patch)
        with distributed.cluster(2, "mpi", name="horovod-mpi") as engines:
            yield engines


@pytest.fixture(scope="session")
def searched():
    """Two engines for searches, whose tests may kill them."""
    with distributed.cluster(2, name="searched", cores=1) as engines:
        yield engines


@pytest.fixture
def searchers(searched):
    """Both of them, alive."""
    if len(searched) < searched.size:
        distributed.restart(searched)
    return searched


@pytest.fixture(autouse=True)
def engines_survive(request):
    """An engine that dies in a test which does not kill it fails that test, with its last words, and no other."""
    yield
    for name in {"two", "by_mpi", "either"} & {*request.fixturenames}:
        engines = request.getfixturevalue(name)
        if len(engines) < engines.size:
            words = distributed.logs(engines.name)
            distributed.restart(engines)
            pytest.fail(f"an engine died:\n{words}")


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


@pytest.fixture(scope="session")
def on_all():
    """Call a function on every engine at once; gives its answers by rank."""

    def call(engines, function, per_rank):
        function = ipyparallel.interactive(function)
        calls = [
            engines.client[engine].apply_async(function, *(values[rank] for values in per_rank))
            for rank, engine in enumerate(engines.ids)
        ]
        return [call.get(timeout=180) for call in calls]

    return call


@pytest.fixture(scope="session")
def meetings():
    """How the ranks of some engines find each other, once."""

    def prepare(engines):
        facts = data_parallel.engine_facts(engines, engines.ids)
        return data_parallel.arrange_meetings(engines, engines.ids, facts)[0]

    return prepare
