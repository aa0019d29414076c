"""The cache on disk: what is made or downloaded once and kept between sessions."""

from __future__ import annotations

import os
from pathlib import Path

# What to do about a full disk under the cache.
REMEDY = "Free some space, or set CALOLAB_CACHE to a folder on another disk."


def cache_dir(name: str) -> Path:
    """The folder of the user's cache for `name`, made if missing.

    It lies in `$CALOLAB_CACHE`, else in `$XDG_CACHE_HOME/calolab`, else in `~/.cache/calolab`.

    Args:
        name: what is kept there, e.g. `"geant4"`.

    Returns:
        The folder, which exists.
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
