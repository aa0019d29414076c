"""Checks of the values of traits that several widgets share."""

from __future__ import annotations

from collections.abc import Iterable

import traitlets

from calolab.names import nearest


def within(name: str, index: int, count: int) -> int:
    """The index, if it is between 0 and `count - 1`.

    Args:
        name: name of the trait, for the message.
        index: proposed value.
        count: number of entries.

    Raises:
        traitlets.TraitError: if the index is out of range.
    """
    if not 0 <= index < count:
        raise traitlets.TraitError(f"{name} must be between 0 and {count - 1}, received {index}.")
    return index


def one_of(name: str, value: str, allowed: Iterable[str]) -> str:
    """The value, if it is allowed.

    Args:
        name: name of the trait, for the message.
        value: proposed value.
        allowed: the values that are allowed; repeated ones are listed once.

    Raises:
        traitlets.TraitError: if the value is not among them; the message lists them and the nearest one.
    """
    allowed = list(dict.fromkeys(allowed))
    if value not in allowed:
        raise traitlets.TraitError(f"{name} must be one of {allowed}, received {value!r}.{nearest(value, allowed)}")
    return value
