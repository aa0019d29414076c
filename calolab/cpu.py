"""Settings that depend on the CPU and must be made before TensorFlow loads: oneDNN, threads, precision.

`import calolab` calls `prepare` in every process: kernel, script, engine or worker. It decides on three settings:

- **oneDNN.** TensorFlow enables oneDNN, Intel's kernel library, by default only on CPUs with AVX-512 or newer
  instructions. With AVX2 alone, 3-D convolutions take three to four times as long without it, so calolab enables it
  there too (`TF_ENABLE_ONEDNN_OPTS=1`). The decision follows from the instruction set, not from a measurement at run
  time, for which TensorFlow would have to load twice; `make bench` measures both settings. On CPUs for which the gain
  has not been measured (no AVX2, ARM) TensorFlow's default is kept.
- **Threads.** TensorFlow starts one thread per core that the process may run on. It ignores the CPU limit of a
  container (Docker, Binder, Kubernetes) and then starts far too many threads; `cores` respects that limit. Engines get
  as many threads as they have cores.
- **Precision.** bfloat16 is faster where the CPU multiplies it in hardware tiles (AMX), see
  `training.fastest_precision`. The data format is always channels-last, the only one that TensorFlow's CPU kernels and
  oneDNN both support.

Variables that the user has set are not changed. Every process decides for the CPU that it runs on.
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from calolab import cgroups

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
LIMIT = "ONEDNN_MAX_CPU_ISA"
MARK = "CALOLAB_ONEDNN"  # the value of `ONEDNN` that calolab, not the user, has set, here or in a parent process
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
GPUS = Path("/proc/driver/nvidia/gpus")  # one entry per GPU of this machine
# The usual names, with the corresponding flags of /proc/cpuinfo.
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
_loaded_before = False  # whether TensorFlow was loaded before `prepare` was called


@dataclass(frozen=True)
class Report:
    """The CPU and how TensorFlow uses it in this process.

    Args:
        model: the CPU's name.
        cores: number of cores that this process may use.
        features: vector and matrix instructions that speed up networks, e.g. `("AVX2", "AVX-512")`.
        onednn: `"on"` or `"off"`, and why.
        threads: number of threads with which TensorFlow computes one operation.
        precision: the faster precision on this CPU, `"float32"` or `"bfloat16"`.
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
        from calolab.tables import Table  # `import calolab` loads this module, and no library

        rows = {
            "instructions": ", ".join(self.features) or "unknown",
            "cores": self.cores,
            "oneDNN": self.onednn,
            "threads": self.threads,
            "fastest precision": self.precision,
        }
        return Table(rows.items(), title=self.model)._repr_html_()


def prepare() -> None:
    """Set the environment variables that TensorFlow reads when it loads, unless the user has set them.

    If TensorFlow is already loaded, this comes too late for this process, but not for engines and other processes that
    it starts. A warning is issued if oneDNN is disabled although it would be faster.
    """
    global _loaded_before
    _loaded_before = "tensorflow" in sys.modules
    if not _set_by_user(os.environ):
        for name in (ONEDNN, MARK):
            os.environ.pop(name, None)  # set by a parent process, perhaps for another CPU
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
    """Environment variables for starting an engine.

    They contain what the user has set, but not what `prepare` has chosen for this CPU: the engine may run on another
    CPU and calls `prepare` itself.

    Args:
        threads: number of threads; by default TensorFlow's own choice, unless the process is limited to fewer cores.
    """
    chosen = {ONEDNN: os.environ[ONEDNN]} if _set_by_user(os.environ) else {}
    if threads is None and cores() < _schedulable():
        threads = cores()
    return chosen | ({} if threads is None else dict.fromkeys(THREAD_VARIABLES, str(threads)))


def report() -> Report:
    """The CPU and how TensorFlow uses it in this process; TensorFlow is not loaded for this."""
    fast = "bfloat16" if multiplies_bfloat16() else "float32"
    return Report(model(), cores(), features(), _onednn(os.environ), _threads(os.environ), fast)


def multiplies_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware (AMX), so that training in it is faster."""
    return "AMX BF16" in features()


def cores() -> int:
    """Number of cores that this process may use: those it may run on, or fewer if its container is limited."""
    limit = _container_limit(cgroups.groups("cpu"))
    return max(1, min(_schedulable(), math.ceil(limit)) if limit else _schedulable())


@cache
def features() -> tuple[str, ...]:
    """Vector and matrix instructions of this CPU that speed up networks; empty where the system does not list them."""
    flags = set(f"{_described('flags')} {_described('Features')}".split())
    return tuple(name for name, flag in FEATURES.items() if flag in flags)


@cache
def model() -> str:
    """The CPU's name."""
    return _described("model name") or (os.uname().machine if hasattr(os, "uname") else "unknown CPU")


def _set_by_user(variables: Mapping[str, str]) -> bool:
    """Whether oneDNN was enabled or disabled by the user and not by `prepare`."""
    return ONEDNN in variables and variables[ONEDNN] != variables.get(MARK)


def _onednn(variables: Mapping[str, str]) -> str:
    """`on` or `off`, and why."""
    port = sys.modules.get("tensorflow.python.util._pywrap_util_port")
    value = variables.get(ONEDNN, "").strip().lower()
    if port is not None:
        state = "on" if port.IsMklEnabled() else "off"
    elif value:
        state = "on" if value in ("1", "true") else "off"
    else:
        state = "on" if {"AVX-512 VNNI", "AVX-VNNI"} & set(features()) else "off"
    if _loaded_before:
        reason = "TensorFlow was imported before calolab, too late to choose"
    elif value:
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
    value = variables.get("TF_NUM_INTRAOP_THREADS", "")
    return chosen or (int(value) if value.isdigit() and int(value) else _schedulable())


def _schedulable() -> int:
    """Number of cores on which the system may run this process, which is the number that TensorFlow uses."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _container_limit(groups: Iterable[tuple[Path, int]]) -> float | None:
    """CPU limit [cores] of control groups as `cgroups.groups` yields them; None without a limit."""
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
    """A field of the first core in /proc/cpuinfo; empty if there is none."""
    description = Path("/proc/cpuinfo")
    for line in description.read_text().splitlines() if description.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return ""
