"""Slurm: the request for a batch job of engines, its script, and the states of jobs.

Every value is checked before it enters the script: none can add a line or a command, or run another program.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from calolab.cluster import time_limits

WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@%+:=,-]*")
PATH = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_./@%+:=,-]*")
CONSTRAINT = re.compile(r"[A-Za-z0-9_(\[][A-Za-z0-9_.&|*,:()\[\]-]*")
OPTION = re.compile(r"--([a-z][a-z0-9-]*)(=[A-Za-z0-9_./@%+:,&|*()\[\]=-]+)?")
TIME = re.compile(r"(\d+-)?\d+(:\d{1,2}){0,2}")  # minutes, mm:ss, hh:mm:ss, days-hh, days-hh:mm, days-hh:mm:ss
# `#SBATCH` options that are refused, by reason. sbatch accepts the beginning of an option's name; "*" is any ending.
REFUSED = {
    "calolab sets it itself": (
        *("ntasks", "cpus-per-task", "job-name", "output", "error", "export", "array", "parsable", "hold", "wait"),
        *("input", "open-mode", "quiet", "verbose"),
    ),
    "it runs programs other than the engines, or runs the engines elsewhere": (
        *("wrap", "prolog", "epilog", "task-prolog", "task-epilog", "bcast", "chdir"),
        *("container*", "environment*", "uenv*"),
    ),
    "it changes the owner of the job, the meaning of its number, or its environment": (
        *("uid", "gid", "clusters", "cluster", "export-file", "get-user-env", "propagate", "preserve-env"),
    ),
    "it starts no job": ("test-only", "help", "usage", "version"),
}
ENDED = ("CANCELLED", "COMPLETED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "BOOT_FAIL")
ENDED += ("DEADLINE", "REVOKED", "GONE")


@dataclass(frozen=True)
class Request:
    """The options of a batch job of engines other than their number and cores.

    Args:
        nodes: number of machines over which the engines are distributed.
        queue: name of a partition, or of a quality of service.
        account: account to charge.
        time: time limit in Slurm's format: "30:00" or "30" is half an hour, "2:00:00" two hours.
        constraint: required features of the nodes.
        options: further `#SBATCH` options, e.g. "--gres=gpu:1".
        modules: environment modules to load.
        conda: environment to activate for its libraries; engines use this kernel's Python.

    Raises:
        ValueError: if a value is not valid in Slurm, or could add something else to the script.
    """

    nodes: int | None = None
    queue: str | None = None
    account: str | None = None
    time: str | None = None
    constraint: str | None = None
    options: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    conda: str | None = None

    def __post_init__(self):
        for field in ("options", "modules"):
            value = getattr(self, field)
            object.__setattr__(self, field, (value,) if isinstance(value, str) else tuple(value))
        if self.nodes is not None and self.nodes < 1:
            raise ValueError(f"nodes expects a number above 0, received {self.nodes}.")
        _check("queue", self.queue, WORD, "a partition or quality of service such as interactive")
        _check("account", self.account, WORD, "a name such as m1234")
        _check("time", self.time, TIME, "minutes, or a time such as 30:00 (mm:ss), 2:00:00 or 1-12 (days-hours)")
        _check("constraint", self.constraint, CONSTRAINT, "features such as gpu or haswell&ssd")
        _check("conda", self.conda, PATH, "the name or folder of an environment")
        for module in self.modules:
            _check("module", module, PATH, "a name such as gcc/12.2")
        for option in self.options:
            _check("option", option, OPTION, "one long option such as --gres=gpu:1")
            name = OPTION.fullmatch(option)[1]
            for reason, names in REFUSED.items():
                if refused := [one for one in names if one.startswith(name) or fnmatchcase(name, one)]:
                    known = any(fnmatchcase(name, one) for one in refused)
                    whole = "" if known else f", which sbatch reads as --{refused[0].rstrip('*')},"
                    raise ValueError(f"option --{name}{whole} is refused, because {reason}: leave it out.")

    def __bool__(self):
        return self != Request()


@dataclass(frozen=True)
class Job:
    """A batch job.

    Args:
        number: its number.
        state: as reported by Slurm: "PENDING", "RUNNING", "TIMEOUT", ...; "GONE" when Slurm no longer lists it.
        reason: why it waits or has ended.
        position: its place among the waiting jobs of its partition, from 1; None if it does not wait.
    """

    number: str
    state: str
    reason: str = ""
    position: int | None = None

    @property
    def ended(self) -> bool:
        """Whether it has ended, or will never run."""
        return self.state in ENDED

    def __str__(self):
        place = f", {self.position} in the queue" if self.position else ""
        reason = f": {self.reason}" if self.reason else ""
        return f"job {self.number} is {self.state.lower().replace('_', ' ')}{reason}{place}"


def batch_script(request: Request, name: str, n: int, cores: int, output: str, srun: Sequence[str]) -> str:
    """The script of a job of engines.

    Args:
        request: request of the job.
        name: name of the cluster.
        n, cores: number of engines, and processor cores of each.
        output: file for the engines' output.
        srun: options of srun and the command of one engine.

    Raises:
        ValueError: if the name of that file could add something else to the script.
    """
    if re.search(r"""["'\\`$\x00-\x1f\x7f]""", output):
        raise ValueError(
            f"Engines by slurm need a log folder whose path has no quotes, backslashes, $ or line breaks; received "
            f"{output!r}: set IPYTHONDIR to another folder."
        )
    lines = [
        f"--job-name=calolab-{name}",
        f"--ntasks={n}",
        f"--cpus-per-task={cores}",
        # Slurm replaces "%" in a file's name, and ends it at a space.
        f'--output="{output.replace("%", "%%")}"',
        "--export=ALL",
    ]
    if request.nodes:
        lines.append(f"--nodes={request.nodes}")
    if request.queue:
        lines.append(f"--{'partition' if request.queue in partitions() else 'qos'}={request.queue}")
    lines += [f"--{field}={value}" for field in ("account", "time", "constraint") if (value := getattr(request, field))]
    head = [f"#SBATCH {line}" for line in (*lines, *request.options)]
    commands = [f"module load {shlex.quote(module)}" for module in request.modules]
    if request.conda:
        commands += ['eval "$(conda shell.bash hook)"', f"conda activate {shlex.quote(request.conda)}"]
    # `module` and `conda` are functions of the login shell.
    shell = "#!/bin/bash -l" if commands else "#!/bin/bash"
    return "\n".join([shell, *head, *(f"{c} || exit 1" for c in commands), f"exec srun {shlex.join(srun)}", ""])


def submit(script: str, environment: Mapping[str, str]) -> str:
    """Submit a script; returns the job's number.

    Args:
        script: passed to sbatch, without a file.
        environment: variables of the job, in addition to those of this process.

    Raises:
        RuntimeError: if Slurm refuses it, with its message.
    """
    # If this process itself runs in a job, the layout of that job does not apply to the new one.
    outside = {k: v for k, v in os.environ.items() if k == "SLURM_CONF" or not k.startswith(("SLURM_", "SBATCH_"))}
    return _ask("sbatch", "--parsable", input=script, env=outside | dict(environment)).strip().partition(";")[0]


def cancel(number: str) -> None:
    """Cancel a job and wait until it has ended; Slurm gives its processes some seconds to end.

    Args:
        number: number of the job.

    Raises:
        RuntimeError: if it has not ended after 45 s, or Slurm does not answer.
    """
    timeout, asked = time_limits.SLURM_CANCELS_WITHIN, False
    deadline = clock.monotonic() + timeout
    while not (found := jobs([number])[0]).ended:
        if not asked:
            _ask("scancel", number)
            asked = True
        if clock.monotonic() > deadline:
            raise RuntimeError(f"Slurm's {found} {timeout:g} s after it was cancelled: see `squeue -j {number}`.")
        clock.sleep(0.2)


def jobs(numbers: Sequence[str]) -> tuple[Job, ...]:
    """The states of jobs.

    Raises:
        RuntimeError: if Slurm does not answer.
    """
    if not numbers:
        return ()
    # By user: squeue fails for a number that it no longer lists.
    table = _ask("squeue", "--me", "--noheader", "--states=all", "--format=%A|%T|%r|%P")
    known = {row.split("|")[0]: row.split("|") for row in table.splitlines()}
    found = []
    for number in numbers:
        if number not in known:
            found.append(Job(number, "GONE", "Slurm no longer lists it"))
            continue
        _, state, reason, partition = known[number]
        position = _position(number, partition) if state == "PENDING" else None
        found.append(Job(number, state, "" if reason == "None" else reason, position))
    return tuple(found)


def partitions() -> tuple[str, ...]:
    """Names of the partitions."""
    return tuple(_ask("sinfo", "--noheader", "--format=%R").split())


def mpi_option() -> list[str]:
    """The option that makes srun's processes MPI ranks; none where the site has set one."""
    if re.search(r"^MpiDefault\s*=\s*none", _ask("scontrol", "show", "config"), re.MULTILINE):
        for kind in ("pmix", "pmi2"):
            if re.search(rf"\b{kind}\b", _ask("srun", "--mpi=list")):
                return [f"--mpi={kind}"]
    return []


def _position(number: str, partition: str) -> int | None:
    waiting = _ask("squeue", "--noheader", "--states=PENDING", f"--partition={partition}", "--sort=-p,i", "--format=%A")
    return waiting.split().index(number) + 1 if number in waiting.split() else None


def _check(field: str, value: str | None, pattern: re.Pattern, expected: str) -> None:
    if value is not None and not (isinstance(value, str) and pattern.fullmatch(value)):
        raise ValueError(f"{field} expects {expected}; received {value!r}.")


def _ask(*command: str, **options) -> str:
    """The output of one of Slurm's commands.

    Raises:
        RuntimeError: if it is missing, fails, or does not answer in time.
    """
    limit = time_limits.SLURM_ANSWERS_WITHIN
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, **options)
    except FileNotFoundError:
        raise RuntimeError(f"Slurm's {command[0]} is not installed on this machine.") from None
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"Slurm's {command[0]} does not answer within {limit:g} s.") from None
    if done.returncode:
        raise RuntimeError(f"Slurm refused ({command[0]}): {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout + (done.stderr if "--mpi=list" in command else "")
