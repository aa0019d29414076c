"""Engines in a real Slurm's queue: what reaches the batch script, what may not, and what becomes of jobs."""

import shutil
import subprocess
import sys
import time

import pytest

from calolab import cluster
from calolab.cluster import processes, slurm
from tests.helpers import wait_for


def shown(number):
    """Slurm's description of a job."""
    shown = subprocess.run(["scontrol", "show", "job", number], capture_output=True, text=True, check=True).stdout
    return dict(word.split("=", 1) for word in shown.split() if "=" in word)


def jobs_of(name):
    table = subprocess.run(["squeue", "-h", "-o", "%A", f"--name=calolab-{name}"], capture_output=True, text=True)
    return table.stdout.split()


@pytest.fixture
def batch():
    """Two engines in a job that asks for all that one can ask for."""
    if shutil.which("sbatch") is None:
        pytest.skip("Slurm is not installed: .ci/slurm start")
    asked = {"nodes": 1, "queue": "interactive", "account": "physics", "time": "30:00", "constraint": "cpu"}
    with cluster.running(2, "slurm", name="batch", cores=2, options=["--comment=mine"], **asked) as engines:
        yield engines


def test_what_is_asked_for_reaches_the_job_and_ends_with_it(batch):
    (job,) = cluster.status("batch").queue
    facts = shown(job.number)
    assert job.state == "RUNNING"
    requested = {
        field: facts[field] for field in ("Partition", "Account", "TimeLimit", "Features", "Comment", "NumNodes")
    }
    assert requested == {
        "Partition": "interactive",
        "Account": "physics",
        "TimeLimit": "00:30:00",
        "Features": "cpu",
        "Comment": "mine",
        "NumNodes": "1",
    }
    assert (facts["NumTasks"], facts["CPUs/Task"], facts["JobName"]) == ("2", "2", "calolab-batch")
    assert "Registering with controller" in cluster.logs("batch", lines=200)
    assert facts["StdOut"] in cluster.logs("batch")

    # Cancelled from outside: reported immediately, noticed by the client soon, replaced by restart with a new job.
    subprocess.run(["scancel", job.number], check=True)
    wait_for(lambda: cluster.status("batch").state == "damaged")
    found = cluster.status("batch")
    assert "restart" in found.note and f"job {job.number} is cancelled" in repr(found)
    wait_for(lambda: len(batch) == 0)
    assert len(cluster.restart("batch")) == 2
    (second,) = cluster.status("batch").queue
    assert second.number != job.number and shown(second.number)["Account"] == "physics"

    # Another cluster of another kind at the same time is independent.
    with cluster.running(1, "local", name="beside") as other:
        assert {"batch", "beside"} <= {found.name for found in cluster.clusters()}
        assert other.client[:].apply_sync(lambda: "SLURM_JOB_ID" in __import__("os").environ) == [False]
    assert cluster.status("beside").state == "not running" and len(batch) == 2

    # Out of time.
    subprocess.run(["scontrol", "update", f"JobId={second.number}", "TimeLimit=0"], check=True)
    wait_for(lambda: f"job {second.number} is timeout" in repr(cluster.status("batch")), 90)
    assert cluster.status("batch").state == "damaged"
    assert len(cluster.restart("batch")) == 2
    assert cluster.status("batch").state == "running"
    assert "Stopped cluster 'batch'" in cluster.stop("batch") and not jobs_of("batch")


def test_waiting_in_the_queue_is_bounded_and_says_what_is_missing(batch):
    begun = time.monotonic()
    with pytest.raises(RuntimeError, match=r"0 of 2 engines registered within 3 s; job \d+ is pending: BeginTime"):
        cluster.start(2, "slurm", name="later", options=["--begin=now+1hour"], timeout=3)
    assert time.monotonic() - begun < 60 and not jobs_of("later")
    with pytest.raises(RuntimeError, match="Slurm refused .sbatch.: .*feature"):
        cluster.start(1, "slurm", name="later", constraint="teapot")
    assert cluster.status("later").state == "not running" and not jobs_of("later")
    # More engines that wait are no engines yet: scaling back cancels their job.
    content = processes.read(processes.path_of("batch"))
    with pytest.raises(RuntimeError, match=r"2 of 9 engines registered within 3 s; .*pending: Resources"):
        cluster.scale(9, "batch", timeout=3)
    assert cluster.status("batch").state == "waiting"
    assert len(cluster.scale(2, "batch")) == 2
    assert processes.job_ids(processes.read(processes.path_of("batch"))) == processes.job_ids(content)
    assert cluster.status("batch").state == "running"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("time", "soon", "30:00"),
        ("time", "30:00\n#SBATCH --uid=0", "time expects"),
        ("queue", "main; rm -rf ~", "queue expects"),
        ("queue", "$(id)", "queue expects"),
        ("account", "-A root", "account expects"),
        ("account", "physics\n", "account expects"),
        ("constraint", "gpu`id`", "constraint expects"),
        ("options", ["--gres=gpu:1 --uid=0"], "option expects"),
        ("options", ["gres=gpu:1"], "--gres=gpu:1"),
        ("options", ["--output=x"], "--output is refused, because calolab sets it itself"),
        ("options", ["--wrap=id"], "runs programs other than the engines"),
        ("options", ["--prolog=/tmp/x"], "--prolog is refused, because it runs programs other"),
        ("options", ["--chdir=/tmp"], "--chdir is refused, because .* runs the engines elsewhere"),
        ("options", ["--chd=/tmp"], "--chd, which sbatch reads as --chdir, is refused"),
        ("options", ["--container-image=x"], "--container-image is refused, because it runs programs other"),
        ("options", ["--environment=x"], "--environment is refused, because it runs programs other"),
        ("options", ["--uen=x"], "--uen, which sbatch reads as --uenv, is refused"),
        ("options", ["--uid=0"], "the owner of the job"),
        ("options", ["--test-only"], "starts no job"),
        ("modules", ["gcc\nid"], "module expects"),
        ("modules", ["gcc && id"], "module expects"),
        ("conda", "'; id; '", "conda expects"),
        ("conda", "--help", "conda expects"),
        ("nodes", 0, "nodes expects a number above 0"),
    ],
)
def test_values_that_could_add_to_the_script_are_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        cluster.start(1, "slurm", name="refused", **{field: value})
    assert processes.read(processes.path_of("refused")) is None


def test_what_asks_for_resources_is_no_refused_option():
    options = ("--gres=gpu:1", "--time-min=10", "--exclusive", "--mem=4G", "--nice", "--mail-user=me@here", "--wckey=x")
    assert slurm.Request(options=options).options == options


@pytest.mark.parametrize(
    "time_limit", ["30", "30:00", "2:00:00", "1-12", "1-12:30", "1-12:30:15"], ids=lambda text: text.replace(":", ".")
)
def test_slurms_times_are_known(time_limit):
    assert slurm.Request(time=time_limit).time == time_limit


def test_values_for_another_kind_of_engines_are_refused():
    with pytest.raises(ValueError, match="queue, time: only for engines='slurm'"):
        cluster.start(1, "local", name="refused", queue="main", time="30:00")
    with pytest.raises(ValueError, match="hosts and engines='ssh' go together"):
        cluster.start(1, "ssh", name="refused")
    with pytest.raises(ValueError, match="node1 or user@node1; received '-oProxyCommand=id'"):
        cluster.start(1, "ssh", name="refused", hosts=["-oProxyCommand=id"])


def test_modules_and_conda_come_before_the_engines_in_a_login_shell(monkeypatch):
    request = slurm.Request(modules=["gcc/12", "openmpi"], conda="physics")
    script = slurm.batch_script(request, "lab", 4, 2, "/logs/100%/engines.log", ["--label", sys.executable, "-m", "x"])
    lines = script.splitlines()
    assert lines[0] == "#!/bin/bash -l" and '#SBATCH --output="/logs/100%%/engines.log"' in lines
    assert [line for line in lines if not line.startswith("#")] == [
        "module load gcc/12 || exit 1",
        "module load openmpi || exit 1",
        'eval "$(conda shell.bash hook)" || exit 1',
        "conda activate physics || exit 1",
        f"exec srun --label {sys.executable} -m x",
    ]


@pytest.mark.parametrize("name", ['a"b', "a\n#SBATCH --uid=0", "$(id)", "a\\b"])
def test_a_log_folder_that_would_say_more_in_a_script_is_refused(name):
    with pytest.raises(ValueError, match="set IPYTHONDIR to another folder"):
        slurm.batch_script(slurm.Request(), "lab", 1, 1, f"/logs/{name}/engines.log", [])


def test_a_slurm_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RuntimeError, match="Slurm's squeue is not installed on this machine"):
        slurm.jobs(["1"])
