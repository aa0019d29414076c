"""Names that a user may get wrong: one check and one message for all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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


def nearest(name: object, known: Iterable[str]) -> str:
    """` Nearest: a, b.`, or nothing where no known name is like this one; hyphens and capitals make no difference."""
    plain = {_plain(one): one for one in known}
    near = difflib.get_close_matches(_plain(name), plain, n=3, cutoff=0.5)
    return f" Nearest: {', '.join(plain[one] for one in near)}." if near else ""


def _plain(name):
    return str(name).lower().replace("-", "").replace("_", "").replace(" ", "")
