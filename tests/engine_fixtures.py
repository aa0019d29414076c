"""Real engines for tests, in an IPython folder of their own."""

import ipyparallel
import pytest

from calolab import cluster
from calolab.cluster import launchers, machine
from calolab.distributed import meeting
from tests.helpers import allow_root
from tests.tiny import tiny_gan, tiny_sample


@pytest.fixture(scope="session", autouse=True)
def own_profile(tmp_path_factory):
    """No test touches the user's own clusters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        yield


@pytest.fixture(scope="session")
def two():
    """Two engines that train together."""
    if not machine.built():
        pytest.skip("Horovod is not installed: .ci/horovod_wheel.py builds it")
    with cluster.running(2, name="two") as engines:
        yield engines


@pytest.fixture(scope="session")
def by_mpi():
    """Two engines that MPI launched."""
    if "mpi" not in machine.built():
        pytest.skip("this Horovod was built without MPI (libopenmpi-dev was not there)")
    try:
        launchers.launcher_options("mpi")
    except RuntimeError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        allow_root(patch)
        with cluster.running(2, "mpi", name="horovod-mpi") as engines:
            yield engines


@pytest.fixture(scope="session")
def searched():
    """Two engines for searches, whose tests may kill them."""
    with cluster.running(2, name="searched", cores=1) as engines:
        yield engines


@pytest.fixture
def searchers(searched):
    """Both of them, alive."""
    if len(searched) < searched.size:
        cluster.restart(searched)
    return searched


@pytest.fixture(autouse=True)
def engines_survive(request):
    """An engine that dies in a test which does not kill it fails that test, with the end of its log, and no other."""
    yield
    for name in {"two", "by_mpi", "either"} & {*request.fixturenames}:
        engines = request.getfixturevalue(name)
        if len(engines) < engines.size:
            words = cluster.logs(engines.name)
            cluster.restart(engines)
            pytest.fail(f"an engine died:\n{words}")


@pytest.fixture(scope="session")
def make_electrons():
    """Makes samples of so many events, so small that what a test waits for is the engines."""
    return tiny_sample


@pytest.fixture
def gan():
    """A GAN for them."""
    return tiny_gan()


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
        facts = meeting.engine_facts(engines, engines.ids)
        return meeting.arrange_meetings(engines, engines.ids, facts)[0]

    return prepare
