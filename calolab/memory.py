"""The memory that is still available to this process, within the limits of machine, shell and batch system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from calolab import cgroups

try:
    import resource
except ImportError:  # Windows
    resource = None

# By version: the files with limit and usage of a control group, and the reclaimable entry of its `memory.stat`.
_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}
# Control groups of version 1 without a limit report a number near 2^63.
_NO_LIMIT = 2**60


@dataclass(frozen=True)
class Available:
    """Available memory.

    Args:
        bytes: amount [bytes].
        limit: description of the limit.
    """

    bytes: int
    limit: str

    def __str__(self):
        return f"the {self.bytes / 1e9:.2g} GB that are available ({self.limit})"


def available(
    mounted: str | os.PathLike = cgroups.MOUNTED, membership: str | os.PathLike = cgroups.MEMBERSHIP
) -> Available:
    """The memory that is still available to this process.

    It is the minimum of: the free memory of the machine; the limits on address space and data of the process
    (`ulimit -v` and `-d`) minus what it uses; and for each control group of the process, as set by containers (Binder)
    and batch systems (Slurm), its limit minus what it uses and cannot reclaim.

    Args:
        mounted, membership: folder where control groups are mounted, and file that lists those of the process.
    """
    found = [Available(psutil.virtual_memory().available, "free memory of this machine")]
    found += _limits()
    groups = cgroups.groups("memory", mounted, membership)
    found += filter(None, (_left(group, *_FILES[version]) for group, version in groups))
    least = min(found, key=lambda one: one.bytes)
    return Available(max(0, least.bytes), least.limit)


def _limits() -> Iterator[Available]:
    """Memory available within the limits of the process."""
    if resource is None:
        return
    used = psutil.Process().memory_info()
    for name, held, words in (("RLIMIT_AS", "vms", "ulimit -v"), ("RLIMIT_DATA", "data", "ulimit -d")):
        soft = resource.getrlimit(getattr(resource, name))[0] if hasattr(resource, name) else resource.RLIM_INFINITY
        if soft != resource.RLIM_INFINITY and hasattr(used, held):
            yield Available(soft - getattr(used, held), f"{words} is {soft // 1024} kB")


def _left(group: Path, limit: str, usage: str, reclaimable: str) -> Available | None:
    """Memory available within one control group, or None without a limit."""
    try:
        most, held = (group / limit).read_text().strip(), int((group / usage).read_text())
        content = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    if most == "max" or int(most) >= _NO_LIMIT:
        return None
    # File pages that were not used recently are dropped when memory is needed.
    return Available(int(most) - held + int(content.get(reclaimable, 0)), f"limit of control group {group}")
