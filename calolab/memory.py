"""How much memory this process may still take: the least of what the machine, the shell and the batch system allow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

try:
    import resource
except ImportError:  # Windows
    resource = None

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


def available(cgroups: str | os.PathLike = "/sys/fs/cgroup", process: str | os.PathLike = "/proc/self") -> Available:
    """The memory that this process may still take.

    The least of: the machine's free memory; the process's limits on its address space and on its data (`ulimit -v` and
    `-d`), less what it has; the limit of each control group above the process, less what the group holds and cannot
    give back. Containers (Binder) and batch systems (Slurm) set such groups.

    Args:
        cgroups: where control groups of version 1 or 2 are mounted.
        process: the folder of the process that says which groups it is in.
    """
    found = [Available(psutil.virtual_memory().available, "free memory of this machine")]
    found += _limits()
    found += _groups(Path(cgroups), Path(process))
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


def _groups(cgroups: Path, process: Path) -> Iterator[Available]:
    """What the control groups leave: the process's own and all above it."""
    try:
        lines = (process / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if not controllers:
            root, names = cgroups, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root, names = cgroups / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # In a container the path may be the host's: the mount itself is then the container's group.
        parts = Path(place.lstrip("/"))
        for part in (parts, *parts.parents):
            if ".." not in part.parts and (left := _left(root / part, *names)):
                yield left


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
