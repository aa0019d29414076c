"""Particles of several files as one set of events, with the columns and labels that all files have."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from calolab import particles
from calolab.particles import Particles


def read_each(paths: Sequence[Path], read: Callable[[Path, int | None], Particles], events: int | None) -> Particles:
    """Read files one after the other, and join their events on the columns and labels that all of them have.

    Args:
        paths: the files.
        read: function from a file and the maximum number of events, None for all, to its events.
        events: number of events, starting with the first; by default all.

    Returns:
        The events; `origin["file"]` names the files, and other entries are those that all files share.

    Warns:
        UserWarning: naming the columns and labels that are left out because some files lack them.
    """
    parts = []
    for path in paths:
        missing = None if events is None else events - sum(map(len, parts))
        if missing == 0:
            break
        parts.append(read(Path(path), missing))
    columns = [name for name in parts[0].fields if all(name in part.fields for part in parts)]
    labels = [name for name in parts[0].labels if all(name in part.labels for part in parts)]
    for kind, kept, held in (
        ("columns", columns, [part.fields for part in parts]),
        ("labels", labels, [part.labels for part in parts]),
    ):
        partial = sorted({name for names in held for name in names} - set(kept))
        if partial:
            lacking = next(path for path, names in zip(paths, held) if not set(partial) <= set(names))
            warnings.warn(
                f"{lacking}: lacks {kind} of the other files, so {', '.join(partial)} of these are left out. To keep "
                "them, load the files separately.",
                stacklevel=4,
            )
    parts = [
        replace(part, columns=part.columns[columns], labels={name: part.labels[name] for name in labels})
        for part in parts
    ]
    where = str(paths[0]) if len(paths) == 1 else f"{len(paths)} files, {paths[0]} to {paths[-1]}"
    first = parts[0].origin
    shared = {key: value for key, value in first.items() if all(part.origin.get(key) == value for part in parts)}
    return replace(particles.concatenate(parts), origin={**shared, "file": where})
