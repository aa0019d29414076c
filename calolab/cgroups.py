"""Control groups, in which Linux limits what containers (Docker, Binder) and batch jobs (Slurm) may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

MOUNTED = "/sys/fs/cgroup"
MEMBERSHIP = "/proc/self/cgroup"


def groups(
    controller: str, mounted: str | os.PathLike = MOUNTED, membership: str | os.PathLike = MEMBERSHIP
) -> Iterator[tuple[Path, int]]:
    """The control groups that limit this process: its own first, then their parents.

    Args:
        controller: the limited resource, `"cpu"` or `"memory"`.
        mounted: folder where control groups of version 1 or 2 are mounted.
        membership: file that lists the groups of the process.

    Returns:
        The folder of each group and the version of its files, 1 or 2.
    """
    try:
        lines = Path(membership).read_text().splitlines()
    except OSError:  # a system without control groups
        return
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if not controllers:
            top, version = Path(mounted), 2
        elif controller in controllers.split(","):
            top, version = Path(mounted, controller), 1
        else:
            continue
        # In a container the path may be that of the host; the mount point itself is then the container's group.
        own = Path(place.lstrip("/"))
        yield from ((top / part, version) for part in (own, *own.parents) if ".." not in part.parts)
