"""How much memory this process may still take: the least of what the machine, the shell and the batch system allow."""

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

# A control group's files with its limit and its use, and the entry of `memory.stat` that it can give back, by version.
_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}
# A cgroup of version 1 without a limit says a number near 2^63.
_NO_LIMIT = 2**60


@dataclass(frozen=True)
class Available:
    """Memory that may still be taken.

    Args:
        bytes: how much.
        limit: what sets the bound, in words.
    """

    bytes: int
    limit: str

    def __str__(self):
        return f"the {self.bytes / 1e9:.2g} GB that are available ({self.limit})"


def available(
    mounted: str | os.PathLike = cgroups.MOUNTED, membership: str | os.PathLike = cgroups.MEMBERSHIP
) -> Available:
    """The memory that this process may still take.

    The least of: the machine's free memory; the process's limits on its address space and on its data (`ulimit -v` and
    `-d`), less what it has; the limit of each control group above the process, less what the group holds and cannot
    give back. Containers (Binder) and batch systems (Slurm) set such groups.

    Args:
        mounted, membership: where control groups are mounted, and the file that names those of the process.
    """
    found = [Available(psutil.virtual_memory().available, "free memory of this machine")]
    found += _limits()
    groups = cgroups.groups("memory", mounted, membership)
    found += filter(None, (_left(group, *_FILES[version]) for group, version in groups))
    least = min(found, key=lambda one: one.bytes)
    return Available(max(0, least.bytes), least.limit)


def _limits() -> Iterator[Available]:
    """What the limits of the process leave."""
    if resource is None:
        return
    used = psutil.Process().memory_info()
    for name, held, words in (("RLIMIT_AS", "vms", "ulimit -v"), ("RLIMIT_DATA", "data", "ulimit -d")):
        soft = resource.getrlimit(getattr(resource, name))[0] if hasattr(resource, name) else resource.RLIM_INFINITY
        if soft != resource.RLIM_INFINITY and hasattr(used, held):
            yield Available(soft - getattr(used, held), f"{words} is {soft // 1024} kB")


def _left(group: Path, limit: str, usage: str, reclaimable: str) -> Available | None:
    """What one control group leaves, or None without a limit."""
    try:
        most, held = (group / limit).read_text().strip(), int((group / usage).read_text())
        content = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    if most == "max" or int(most) >= _NO_LIMIT:
        return None
    # Pages of files that were not used lately are dropped when memory is asked for.
    return Available(int(most) - held + int(content.get(reclaimable, 0)), f"limit of control group {group}")
