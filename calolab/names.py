"""Names given by users: one check and one error message for all of them."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable

LONGEST_FILE_NAME = 200  # bytes; file systems allow 255, but temporary names are longer


def check_name(what: str, name: object, known: Iterable[str]) -> None:
    """Raise ValueError, with the nearest known names, unless a name is known.

    Args:
        what: kind of the name, e.g. `"space"`.
        name: the name given by the user.
        known: all known names, in the order of the message.

    >>> check_name("space", "clic-eca", ["clic-ecal", "calogan"])
    Traceback (most recent call last):
    ValueError: Unknown space 'clic-eca'. Nearest: clic-ecal. Known: clic-ecal, calogan.
    """
    known = list(known)
    if name not in known:
        raise ValueError(f"Unknown {what} {name!r}.{nearest(name, known)} Known: {', '.join(known) or 'none'}.")


def check_file_name(what: str, name: object) -> None:
    """Raise ValueError unless a name is that of a file in a folder: no path, not hidden, only printable characters.

    Args:
        what: kind of the name, e.g. `"file of a public set"`.
        name: the name given by a user or a server.
    """
    plain = isinstance(name, str) and name.isprintable() and not name.startswith(".") and not set(name) & {"/", "\\"}
    if not plain or not 0 < len(os.fsencode(name)) <= LONGEST_FILE_NAME or re.match("[A-Za-z]:", name):
        raise ValueError(
            f"The name of a {what} must be that of a file in a folder: 1 to {LONGEST_FILE_NAME} bytes, without '/', "
            f"'\\' or a drive, not beginning with '.'; received {name!r}."
        )


def nearest(name: object, known: Iterable[str]) -> str:
    """` Nearest: a, b.`, or an empty string if no known name is similar; hyphens and case are ignored.

    Args:
        name: the name given by a user.
        known: all known names.

    >>> nearest("CLIC ecal", ["clic-ecal", "calogan"])
    ' Nearest: clic-ecal.'
    """
    plain = {_plain(one): one for one in known}
    near = difflib.get_close_matches(_plain(name), plain, n=3, cutoff=0.5)
    return f" Nearest: {', '.join(plain[one] for one in near)}." if near else ""


def _plain(name):
    return str(name).lower().replace("-", "").replace("_", "").replace(" ", "")
