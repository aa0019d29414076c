"""The parser of the magics: verbs with options, help, and errors that a notebook can show."""

from __future__ import annotations

import argparse
import difflib
import shlex
from collections.abc import Callable

from IPython.core.error import UsageError

from calolab import cluster


class VerbParser(argparse.ArgumentParser):
    """An argument parser that raises errors for a notebook instead of ending its kernel.

    Attributes:
        verbs: the result of `add_subparsers`.
    """

    verbs: argparse.Action

    def error(self, message):
        """Raise the error that a notebook shows."""
        raise UsageError(f"{self.prog}: {message}\n{self.format_usage()}")


def positive(kind: Callable) -> Callable:
    """The type of an argument that must be above 0."""

    def number(text):
        value = kind(text)
        if value <= 0:
            raise argparse.ArgumentTypeError(f"expected a number above 0, received {text}")
        return value

    number.__name__ = kind.__name__
    return number


def read(line: str, top: VerbParser) -> cluster.Text | dict:
    """Parse a line: returns the help, or the options of its verb.

    Args:
        line: the text after the magic's name.
        top: parser of the magic, with one subparser per verb.

    Raises:
        UsageError: for an invalid line, with the nearest verb.
    """
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        raise UsageError(f"{top.prog}: {error} in {line!r}") from error
    verbs = top.verbs.choices
    if not words or {"-h", "--help"} & set(words):
        chosen = verbs.get(words[0], top) if words else top
        return cluster.Text(chosen.format_help())
    if words[0] not in verbs:
        near = difflib.get_close_matches(words[0], verbs, n=1, cutoff=0.5)
        hint = f" Did you mean `{top.prog} {near[0]}`?" if near else ""
        raise UsageError(f"{top.prog} has no verb {words[0]!r}.{hint} Verbs: {', '.join(verbs)}.")
    return vars(top.parse_args(words))
