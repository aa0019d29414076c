"""Available memory: the minimum of the limits of machine, shell and control groups."""

import subprocess
import sys

import psutil
import pytest

from calolab import memory

GB = 10**9


def group(folder, limit, used, files, names=("memory.max", "memory.current", "inactive_file")):
    """The files of a control group."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{names[2]} {files}\nslab 2\n")


def process(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "cgroup").write_text(text)
    return folder / "cgroup"


def test_without_limits_the_machine_is_the_bound(tmp_path):
    found = memory.available(tmp_path, tmp_path / "cgroup")
    assert found.bytes == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    assert found.limit == "free memory of this machine" and "GB that are available" in str(found)


def test_a_control_group_above_the_process(tmp_path):
    """Nested groups of Slurm: the step has no limit, but the job has one; file pages can be reclaimed."""
    process(tmp_path / "self", "0::/slurm/job_7/step_0\n")
    group(tmp_path / "slurm/job_7", 2 * GB, 1_500_000_000, 200_000_000)
    group(tmp_path / "slurm/job_7/step_0", "max", 1_500_000_000, 0)
    found = memory.available(tmp_path, tmp_path / "self/cgroup")
    assert found.bytes == 700_000_000 and found.limit == f"limit of control group {tmp_path / 'slurm/job_7'}"


def test_control_groups_of_version_1(tmp_path):
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    group(tmp_path / "memory/job", GB, 400_000_000, 100_000_000, names)
    group(tmp_path / "memory", 9223372036854771712, 0, 0, names)
    text = "12:cpu,cpuacct:/job\n5:memory:/job\n1:name=systemd:/\n"
    assert memory.available(tmp_path, process(tmp_path / "self", text)).bytes == 700_000_000


def test_a_container_sees_its_own_group_as_the_root(tmp_path):
    """Docker and Binder without a namespace for control groups: the path is that of the host."""
    group(tmp_path, GB, 900_000_000, 0)
    found = memory.available(tmp_path, process(tmp_path / "self", "0::/docker/3f2a\n"))
    assert found.bytes == 100_000_000
    group(tmp_path, GB, 2 * GB, 0)
    assert memory.available(tmp_path, tmp_path / "self/cgroup").bytes == 0


@pytest.mark.parametrize(("name", "words"), [("RLIMIT_AS", "ulimit -v"), ("RLIMIT_DATA", "ulimit -d")])
def test_limits_of_the_shell(name, words):
    program = (
        "import resource; from calolab import memory; "
        f"resource.setrlimit(resource.{name}, (2_000_000_000, resource.RLIM_INFINITY)); "
        "found = memory.available(); print(found.bytes, found.limit)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    left, limit = result.stdout.strip().split(" ", 1)
    assert 0 < int(left) < 2_000_000_000 and limit == f"{words} is 1953125 kB"
