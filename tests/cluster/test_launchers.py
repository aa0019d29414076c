"""One contract for all kinds of engines: local processes, MPI, srun in an allocation, a Slurm job, ssh."""

import contextlib
import getpass
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from ipyparallel import RemoteError

from calolab import cluster, cpu, tensorflow_log
from calolab.cluster import engine_scratch, launchers, processes
from tests.helpers import alive_engines, allow_root, wait_for

KINDS = ("local", "mpi", "srun", "slurm", "ssh")
ALONE = ("local", "slurm", "ssh")  # whose engines may come and go one by one


def engine_pids(name):
    return [engine.pid for engine in cluster.status(name).engines.values()]


def states(name):
    return {number: engine.state for number, engine in cluster.status(name).engines.items()}


def own_jobs(name):
    table = subprocess.run(["squeue", "--noheader", f"--name=calolab-{name}"], capture_output=True, text=True)
    return table.stdout.split()


def temporary_file():
    """As TensorFlow leaves one when its process is killed."""
    import tempfile

    with tempfile.NamedTemporaryFile("w", prefix="__autograph_generated_file", suffix=".py", delete=False) as file:
        return file.name


def sleeper(seconds):
    time.sleep(seconds)


@pytest.fixture(scope="module")
def allocation():
    """A real allocation, as around a notebook on a compute node."""
    if shutil.which("salloc") is None:
        pytest.skip("Slurm is not installed: .ci/slurm start")
    name = f"calolab-around-{os.getpid()}"  # not that of tests in another checkout
    command = ["salloc", "--no-shell", "--quiet", "--ntasks=4", f"--job-name={name}", "--immediate=30"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    found = subprocess.run(["squeue", "--me", "-h", "-n", name, "-o", "%A"], capture_output=True, text=True)
    number = found.stdout.split()[0]
    yield number
    subprocess.run(["scancel", number], check=True, timeout=30)


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A machine behind a real sshd, which is this one, with a key and a port of its own."""
    sshd = shutil.which("sshd", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if sshd is None:
        pytest.skip("sshd is not installed: apt install openssh-server")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/key.pub\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
    )
    (folder / "config").write_text(
        f"Host node\nHostName 127.0.0.1\nPort {port}\nUser {getpass.getuser()}\nIdentityFile {folder}/key\n"
        f"IdentitiesOnly yes\nUserKnownHostsFile {folder}/known\nStrictHostKeyChecking accept-new\n"
    )
    os.makedirs("/run/sshd", exist_ok=True)
    server = subprocess.Popen([sshd, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.DEVNULL)
    profile = processes.path_of("any").parents[1]
    profile.mkdir(parents=True, exist_ok=True)
    settings = profile / "ipcluster_config.py"
    settings.write_text(f"c.SSHEngines.ssh_args = ['-F', '{folder}/config']\n")
    yield "node"
    settings.unlink()
    server.terminate()
    server.wait(10)


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    """One kind of engines after the other, with what each needs around it."""
    with pytest.MonkeyPatch.context() as patch:
        allow_root(patch)
        options = {}
        if request.param == "srun":
            patch.setenv("SLURM_JOB_ID", request.getfixturevalue("allocation"))
        if request.param == "ssh":
            options = {"hosts": request.getfixturevalue("node")}
        try:
            launchers.launcher_options(request.param)
        except RuntimeError as error:
            pytest.skip(str(error))
        yield SimpleNamespace(name=request.param, options=options, left=[])


@pytest.fixture(scope="module")
def engines(kind):
    """Two engines of that kind; nothing of them is left afterwards."""
    with cluster.running(2, kind.name, name=f"by-{kind.name}", cores=1, **kind.options) as started:
        yield started
        pids = engine_pids(started.name)
    assert not alive_engines(pids)
    wait_for(lambda: not any(map(os.path.exists, kind.left)), 20)
    assert not list(processes.path_of(started.name).parents[1].rglob(f"*by-{kind.name}*"))
    if kind.name == "slurm":
        assert not own_jobs(started.name)


def surroundings(names):
    import os
    import sys

    return sys.executable, {name: os.environ.get(name) for name in names}, "calolab" in sys.modules


def test_engines_run_this_kernels_interpreter_each_with_its_cores_and_this_kernels_tensorflow(engines, kind):
    expected = {cpu.ONEDNN: os.environ.get(cpu.ONEDNN), tensorflow_log.LEVEL: os.environ[tensorflow_log.LEVEL]}
    expected |= dict.fromkeys(cpu.THREAD_VARIABLES, "1")
    facts = engines.client[:].apply_sync(surroundings, list(expected))
    assert facts == [(sys.executable, expected, True)] * 2 and engines.ids == (0, 1)
    if kind.name in launchers.BY_MPI:
        ranks = engines.client[:].apply_sync(lambda: __import__("mpi4py.MPI").MPI.COMM_WORLD.Get_rank())
        assert ranks == [0, 1]


def test_status_includes_busy_engines(engines, kind):
    work = engines.client[1].apply_async(sleeper, 4)
    wait_for(lambda: states(engines.name)[1] == "busy", 30)
    found = cluster.status(engines.name)
    work.get(timeout=30)
    assert found.state == "running" and [e.rank for e in found.engines.values()] == [0, 1]
    assert [e.state for e in found.engines.values()] == ["idle", "busy"]
    pids = engines.client[:].apply_sync(os.getpid)
    assert [e.pid for e in found.engines.values()] == pids == alive_engines(pids)
    assert all(e.host == os.uname().nodename and 2e7 < e.memory < 1e9 and e.load < 2 for e in found.engines.values())
    assert [job.state for job in found.queue] == (["RUNNING"] if kind.name == "slurm" else [])
    assert found.engines[1].host in repr(found) and ">busy</td>" in found._repr_html_()


def test_what_leaves_this_machine_is_encrypted_and_keys_are_the_owners_alone(engines, kind):
    files = list(processes.path_of(engines.name).parent.glob(f"*{engines.name}*.json"))
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600} and len(files) == 3
    (connection,) = [file for file in files if file.name.endswith("-client.json")]
    encrypted = bool(json.loads(connection.read_text()).get("curve_serverkey"))
    assert encrypted == (kind.name in launchers.REMOTE)
    assert engines.address.startswith("127.") != encrypted
    assert engines.client[:].apply_sync(lambda: 6 * 7) == [42, 42]


def test_another_kernel_finds_the_engines(engines):
    code = f"from calolab import cluster\nprint(cluster.attach({engines.name!r}).client[:].apply_sync(int, 7))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=90)
    assert said.stdout.strip() == "[7, 7]"


def test_engines_that_hang_are_replaced(engines, kind):
    hung = engines.client[engines.ids[1]].apply_async(sleeper, 600)
    wait_for(lambda: "busy" in states(engines.name).values(), 30)
    before, pids = engines.ids, engine_pids(engines.name)
    fresh = cluster.replace(engines, [before[1]], timeout=60)
    assert len(fresh) == 2 and fresh.size == 2
    with pytest.raises(RemoteError, match="died"):
        hung.get(timeout=30)
    if kind.name in ALONE:
        assert fresh.ids[0] == before[0] and alive_engines(pids) == [pids[0]]
    assert fresh.client[:].apply_sync(lambda: 1) == [1, 1]
    wait_for(lambda: cluster.status(engines.name).state == "running", 30)


def test_scale_up_and_down_but_never_away_from_work(engines, kind):
    assert len(cluster.scale(3, engines.name)) == 3 == cluster.status(engines.name).size
    first, *_, last = cluster.attach(engines.name).ids
    work = [engines.client[number].apply_async(sleeper, 600) for number in (first, last)]
    wait_for(lambda: [states(engines.name)[number] for number in (first, last)] == ["busy", "busy"], 30)
    with pytest.raises(RuntimeError, match=rf"engines {first}, {last} still work: wait for them"):
        cluster.scale(1, engines.name)
    if kind.name in ALONE:  # the highest idle one goes
        assert cluster.scale(2, engines.name).ids == (first, last)
    engines.client.send_signal(int(signal.SIGINT), targets=[first, last], block=False)
    for result in work:
        with pytest.raises(RemoteError, match="KeyboardInterrupt"):
            result.get(timeout=30)
    wait_for(lambda: "busy" not in states(engines.name).values(), 30)
    assert len(cluster.scale(2, engines.name)) == 2 and cluster.status(engines.name).state == "running"
    assert engines.client[:].apply_sync(lambda: 1) == [1, 1]


def test_a_killed_engine_is_missed_and_restart_brings_it_back(engines, kind):
    pids = engine_pids(engines.name)
    temporary = engines.client[:].apply_sync(temporary_file)
    kind.left += temporary
    assert all(map(os.path.exists, temporary))
    os.kill(pids[1], signal.SIGKILL)
    wait_for(lambda: len(engines) < 2)
    found = cluster.status(engines.name)
    assert found.state == "damaged" and "restart" in found.note
    fresh = cluster.restart(engines.name)
    assert len(fresh) == 2 and not set(engine_pids(engines.name)) & set(pids)
    assert not alive_engines(pids)
    if kind.name in launchers.REMOTE:  # the others' files go with the cluster
        wait_for(lambda: not any(map(os.path.exists, temporary)))


def test_a_killed_controller_takes_all_engines_with_it(engines, kind):
    """The last one for each kind: its cluster is gone afterwards."""
    path, pids = processes.path_of(engines.name), engine_pids(engines.name)
    controller, *helpers = processes.launched(processes.read(path), ("controller",))
    pids += [helper.pid for helper in helpers]
    controller.kill()
    wait_for(lambda: not alive_engines(pids) and processes.read(path) is None, 90)
    assert cluster.status(engines.name).state == "not running"
    if kind.name == "slurm":
        wait_for(lambda: not own_jobs(engines.name))


@pytest.mark.parametrize(("ends", "status"), [("exit 3", 3), ("exit 0", 0), ("kill -9 $$", 137), ("kill -15 $$", 143)])
def test_the_program_around_an_engine_exits_as_the_engine_did(ends, status, tmp_path):
    command = 'printf "$TMPDIR"; read line; printf " $line"; ' + ends
    options = {"env": os.environ | {"TMPDIR": str(tmp_path)}, "capture_output": True, "text": True, "timeout": 60}
    done = subprocess.run([*launchers.IN_SCRATCH, "sh", "-c", command], input="key\n", **options)
    folder, line = done.stdout.split()
    assert folder.startswith(f"{tmp_path}/calolab-") and line == "key"
    assert done.returncode == status and done.stderr == "" and list(tmp_path.iterdir()) == []


def test_an_engine_runs_also_where_no_folder_can_be_made(tmp_path):
    options = {"env": os.environ | {"TMPDIR": str(tmp_path / "missing")}, "capture_output": True, "text": True}
    code = engine_scratch.RUN.replace("runpy.run_path", "import tempfile; tempfile.mkdtemp = fail; runpy.run_path")
    fail = "def fail(**_): raise OSError(28, 'No space left on device')\n"
    done = subprocess.run([sys.executable, "-c", fail + code, "sh", "-c", "echo works; exit 5"], **options)
    assert (done.stdout, done.returncode, done.stderr) == ("works\n", 5, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_program_around_an_engine_forwards_what_ends_it(number, tmp_path):
    mark = tmp_path / "mark"
    engine = f"trap 'touch {mark}; exit 7' {number.value}; touch {mark}.ready; while :; do sleep 0.05; done"
    options = {"env": os.environ | {"TMPDIR": str(tmp_path)}, "start_new_session": True}
    with subprocess.Popen([*launchers.IN_SCRATCH, "sh", "-c", engine], **options) as shell:
        try:
            wait_for(tmp_path.joinpath("mark.ready").exists)
            shell.send_signal(number)
            assert shell.wait(20) == 7 and mark.exists() and not list(tmp_path.glob("calolab-*"))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)


def test_folders_of_killed_engines_go_with_the_next_start_and_others_stay(tmp_path):
    def folder(name, record):
        (tmp_path / f"calolab-{name:0>8}").mkdir()
        (tmp_path / f"calolab-{name:0>8}" / ".owners").write_text(record)

    ended = subprocess.Popen(["true"])
    ended.wait()
    here = os.uname().nodename + os.readlink("/proc/self/ns/pid")
    folder("dead", f"{here} {ended.pid} {ended.pid}\n")
    folder("shell", f"{here} {os.getpid()} {ended.pid}\n")
    folder("orphan", f"{here} {ended.pid} {os.getpid()}\n")
    folder("far", f"elsewhere {ended.pid} {ended.pid}\n")
    folder("begun", "")
    show = "sleep 0.3; cat $TMPDIR/.owners"  # the record is written once the engine runs
    options = {"env": os.environ | {"TMPDIR": str(tmp_path)}, "capture_output": True, "text": True}
    done = subprocess.run([*launchers.IN_SCRATCH, "sh", "-c", show], check=True, **options)
    place, shell, engine = done.stdout.split()
    assert place == here and shell.isdigit() and engine.isdigit() and done.stderr == ""
    left = {path.name.removeprefix("calolab-").lstrip("0") for path in tmp_path.iterdir()}
    assert left == {"shell", "orphan", "far", "begun"}
