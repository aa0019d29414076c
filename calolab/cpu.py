"""What the processor decides before TensorFlow loads: oneDNN, the number of threads, the precision that pays.

`import calolab` calls `prepare`, in a kernel, a script, an engine or a worker alike. Three things are decided:

- **oneDNN.** TensorFlow switches Intel's library of kernels on by itself only where the CPU has AVX-512 or newer
  instructions. With AVX2 alone 3-D convolutions take three to four times as long without it, so calolab switches it on
  there too (`TF_ENABLE_ONEDNN_OPTS=1`). Nothing is timed at run time, since TensorFlow would have to load twice: the
  instruction set decides, and `make bench` measures both states. Where oneDNN's gain has not been measured (CPUs
  without AVX2, ARM) TensorFlow's own choice stays.
- **Threads.** TensorFlow starts one thread per core that the process may run on, but does not see the limit of a
  container (Docker, Binder, Kubernetes), where it would start many more than there are cores to run them. `cores` does.
  Engines get as many threads as they have cores.
- **Precision.** bfloat16 pays where the CPU multiplies it in hardware tiles (AMX), see `training.fastest_precision`.
  The data format is no choice: channels come last, which is all that TensorFlow's kernels for CPUs and oneDNN share.

A variable that the user has set stays as it is. Another process may run on another CPU: each decides for its own.
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from calolab import cgroups

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
LIMIT = "ONEDNN_MAX_CPU_ISA"
MARK = "CALOLAB_ONEDNN"  # the value that calolab, and not the user, gave to `ONEDNN`, here or in a parent process
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
GPUS = Path("/proc/driver/nvidia/gpus")  # one entry per GPU of this machine
# Names as users know them, and the flag of /proc/cpuinfo that stands for each.
FEATURES = {
    "AVX2": "avx2",
    "AVX-VNNI": "avx_vnni",
    "AVX-512": "avx512f",
    "AVX-512 VNNI": "avx512_vnni",
    "AVX-512 BF16": "avx512_bf16",
    "AMX BF16": "amx_bf16",
    "NEON": "asimd",
    "SVE": "sve",
}
_loaded_before = False  # whether TensorFlow was there before `prepare`


@dataclass(frozen=True)
class Report:
    """What the CPU is and how TensorFlow uses it in this process.

    Args:
        model: the CPU's name.
        cores: how many this process may use.
        features: vector and matrix instructions that matter to networks, e.g. `("AVX2", "AVX-512")`.
        onednn: `"on"` or `"off"`, and why.
        threads: that TensorFlow computes one operation with.
        precision: the fastest one on this CPU, `"float32"` or `"bfloat16"`.
    """

    model: str
    cores: int
    features: tuple[str, ...]
    onednn: str
    threads: int
    precision: str

    def __str__(self):
        plural = "s" * (self.cores != 1)
        return (
            f"{self.model} ({', '.join(self.features) or 'instruction set unknown'}), {self.cores} core{plural}; "
            f"oneDNN {self.onednn}; {self.threads} thread{'s' * (self.threads != 1)}; fastest in {self.precision}"
        )

    def _repr_html_(self):
        rows = {
            "instructions": ", ".join(self.features) or "unknown",
            "cores": self.cores,
            "oneDNN": self.onednn,
            "threads": self.threads,
            "fastest precision": self.precision,
        }
        cells = "".join(
            f"<tr><td>{name}</td><td>{escape(str(value), quote=False)}</td></tr>" for name, value in rows.items()
        )
        return f"<b>{escape(self.model)}</b><table>{cells}</table>"


def prepare() -> None:
    """Set what TensorFlow reads from the environment when it loads, where the user has set nothing.

    Where TensorFlow is there already, this is too late for this process, though not for engines and other processes
    that it starts; a warning says so if oneDNN is off and would pay.
    """
    global _loaded_before
    _loaded_before = "tensorflow" in sys.modules
    if not _set_by_user(os.environ):
        for name in (ONEDNN, MARK):
            os.environ.pop(name, None)  # a parent process's choice, which may be one for another CPU
    unset = ONEDNN not in os.environ
    if _loaded_before and unset and "AVX2" in features() and _onednn(os.environ).startswith("off"):
        warnings.warn(
            "TensorFlow was imported before calolab and runs without oneDNN, several times slower on this CPU: import "
            f"calolab first, or set {ONEDNN}=1.",
            stacklevel=3,
        )
    if unset and "AVX2" in features():
        os.environ.update({ONEDNN: "1", MARK: "1"})
    for name, value in environment().items():
        os.environ.setdefault(name, value)


def environment(threads: int | None = None) -> dict[str, str]:
    """The variables that an engine is to start with; it may run on another CPU, for which it calls `prepare` itself.

    So what the user has set is among them, and what `prepare` has chosen for this CPU is not.

    Args:
        threads: to compute with; by default TensorFlow's own number, unless the process is limited to fewer cores.
    """
    chosen = {ONEDNN: os.environ[ONEDNN]} if _set_by_user(os.environ) else {}
    if threads is None and cores() < _schedulable():
        threads = cores()
    return chosen | ({} if threads is None else dict.fromkeys(THREAD_VARIABLES, str(threads)))


def report() -> Report:
    """What this process computes on; it does not load TensorFlow."""
    fast = "bfloat16" if multiplies_bfloat16() else "float32"
    return Report(model(), cores(), features(), _onednn(os.environ), _threads(os.environ), fast)


def multiplies_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware (AMX), so that training in it is faster."""
    return "AMX BF16" in features()


def cores() -> int:
    """Processor cores that this process may use: those it may run on, or fewer where its container is limited."""
    limit = _container_limit(cgroups.groups("cpu"))
    return max(1, min(_schedulable(), math.ceil(limit)) if limit else _schedulable())


@cache
def features() -> tuple[str, ...]:
    """Vector and matrix instructions of this CPU that matter to networks; none where the system does not tell."""
    flags = set(f"{_described('flags')} {_described('Features')}".split())
    return tuple(name for name, flag in FEATURES.items() if flag in flags)


@cache
def model() -> str:
    """The CPU's name."""
    return _described("model name") or (os.uname().machine if hasattr(os, "uname") else "unknown CPU")


def _set_by_user(variables: Mapping[str, str]) -> bool:
    """Whether the user has decided about oneDNN, and not `prepare`."""
    return ONEDNN in variables and variables[ONEDNN] != variables.get(MARK)


def _onednn(variables: Mapping[str, str]) -> str:
    """`on` or `off`, and why."""
    port = sys.modules.get("tensorflow.python.util._pywrap_util_port")
    told = variables.get(ONEDNN, "").strip().lower()
    if port is not None:
        state = "on" if port.IsMklEnabled() else "off"
    elif told:
        state = "on" if told in ("1", "true") else "off"
    else:
        state = "on" if {"AVX-512 VNNI", "AVX-VNNI"} & set(features()) else "off"
    if _loaded_before:
        reason = "TensorFlow was imported before calolab, too late to choose"
    elif told:
        reason = "set by the user" if _set_by_user(variables) else "calolab's choice for AVX2"
        reason += f": {ONEDNN}={variables[ONEDNN]}"
    else:
        reason = "TensorFlow's own choice for this CPU"
    limit = f", limited by {LIMIT}={variables[LIMIT]}" if state == "on" and variables.get(LIMIT) else ""
    return f"{state} ({reason}{limit})"


def _threads(variables: Mapping[str, str]) -> int:
    tensorflow = sys.modules.get("tensorflow")
    chosen = 0
    if tensorflow is not None and hasattr(tensorflow, "config"):
        chosen = tensorflow.config.threading.get_intra_op_parallelism_threads()
    told = variables.get("TF_NUM_INTRAOP_THREADS", "")
    return chosen or (int(told) if told.isdigit() and int(told) else _schedulable())


def _schedulable() -> int:
    """Cores that the system may run this process on, which is what TensorFlow counts."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _container_limit(groups: Iterable[tuple[Path, int]]) -> float | None:
    """Cores' worth of time that control groups allow, given as `cgroups.groups` yields them; None without a limit."""
    return min((cores for group in groups for cores in _quota(*group)), default=None)


def _quota(group: Path, version: int) -> list[float]:
    try:
        if version == 2:
            allowed, period = (group / "cpu.max").read_text().split()
        else:
            allowed, period = ((group / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return [int(allowed) / int(period)] if allowed not in ("max", "-1") else []
    except (OSError, ValueError, ZeroDivisionError):
        return []


@cache
def _described(field: str) -> str:
    """A field of the first core in /proc/cpuinfo; empty where there is none."""
    description = Path("/proc/cpuinfo")
    for line in description.read_text().splitlines() if description.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return ""
