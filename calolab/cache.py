"""The cache on disk: files that are made or downloaded once and kept between sessions."""

from __future__ import annotations

import os
from pathlib import Path

# What to do if the disk of the cache is full.
REMEDY = "Free some space, or set CALOLAB_CACHE to a folder on another disk."


def cache_dir(name: str) -> Path:
    """A folder of the user's cache, created if missing.

    The cache is `$CALOLAB_CACHE`, otherwise `$XDG_CACHE_HOME/calolab`, otherwise `~/.cache/calolab`.

    Args:
        name: name of the folder, e.g. `"geant4"`.

    Returns:
        The path of the folder.
    """
    if root := os.environ.get("CALOLAB_CACHE"):
        cache = Path(root).expanduser()
    elif root := os.environ.get("XDG_CACHE_HOME"):
        cache = Path(root).expanduser() / "calolab"
    else:
        cache = Path.home() / ".cache" / "calolab"
    folder = cache / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
