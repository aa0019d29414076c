"""Files by paths and patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from calolab.datasets.public_sets import packaged_file, packaged_names
from calolab.names import nearest


def find(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> list[Path]:
    """The files that match paths and patterns, each once; the matches of a pattern in sorted order.

    The name of a set that is part of calolab is that of its file, unless there is a file of this name.

    Raises:
        FileNotFoundError: if a path or pattern matches no file.
        ValueError: if a file is named more than once.
    """
    found = []
    for entry in [paths] if isinstance(paths, str | os.PathLike) else list(paths):
        path = Path(entry).expanduser()
        if not path.is_file() and (own := packaged_file(entry)) is not None:
            found.append(own)
            continue
        there = path.is_symlink() or path.exists()
        matches = [path] if there else [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
        if not matches:
            beside = sorted(file.name for file in path.parent.glob("*")) if path.parent.is_dir() else []
            hint = nearest(path.name, [*beside, *packaged_names()])
            raise FileNotFoundError(f"No file matches {str(entry)!r} in {path.parent.absolute()}.{hint}")
        found += matches
    if not found:
        raise FileNotFoundError("Expected at least one path, received an empty list.")
    places = [path.resolve() for path in found]
    twice = sorted({str(path) for path, place in zip(found, places) if places.count(place) > 1})
    if twice:
        raise ValueError(f"Named more than once, so that its events would count twice: {', '.join(twice)}.")
    return found
