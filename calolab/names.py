"""Names that a user may get wrong: one check and one message for all of them."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable

LONGEST_FILE_NAME = 200  # bytes; file systems take 255, of which temporary names need some


def check_name(what: str, name: object, known: Iterable[str]) -> None:
    """Raise ValueError, which names the nearest known ones, unless the name is known.

    Args:
        what: the kind of thing, e.g. `"space"`.
        name: what the user gave.
        known: all names, in the order in which they are listed.
    """
    known = list(known)
    if name not in known:
        raise ValueError(f"Unknown {what} {name!r}.{nearest(name, known)} Known: {', '.join(known) or 'none'}.")


def check_file_name(what: str, name: object) -> None:
    """Raise ValueError unless a name is that of a file inside a folder: no path, nothing hidden or unprintable.

    Args:
        what: the kind of thing, e.g. `"file of a public set"`.
        name: what the user or a server gave.
    """
    plain = isinstance(name, str) and name.isprintable() and not name.startswith(".") and not set(name) & {"/", "\\"}
    if not plain or not 0 < len(os.fsencode(name)) <= LONGEST_FILE_NAME or re.match("[A-Za-z]:", name):
        raise ValueError(
            f"The name of a {what} must be that of a file in a folder: 1 to {LONGEST_FILE_NAME} bytes, without '/', "
            f"'\\' or a drive, not beginning with '.'; received {name!r}."
        )


def nearest(name: object, known: Iterable[str]) -> str:
    """` Nearest: a, b.`, or nothing where no known name is like this one; hyphens and capitals make no difference."""
    plain = {_plain(one): one for one in known}
    near = difflib.get_close_matches(_plain(name), plain, n=3, cutoff=0.5)
    return f" Nearest: {', '.join(plain[one] for one in near)}." if near else ""


def _plain(name):
    return str(name).lower().replace("-", "").replace("_", "").replace(" ", "")
