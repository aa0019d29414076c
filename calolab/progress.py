"""Progress bars: on a terminal's standard error stream, as plain text in a notebook, none on an engine."""

from __future__ import annotations

import sys

from tqdm import tqdm as Bar


def bar(*, show: bool = True, **options) -> Bar:
    """A progress bar, to be used in a `with`.

    In a notebook it is written to the standard output: what comes by the standard error stream is shown as an error,
    in red. Engines show none: their output belongs to the call that runs on them.

    Args:
        show: whether to show the bar at all.
        **options: as for `tqdm`: total, desc, unit, ...
    """
    place = _place()
    stream = sys.stdout if place == "notebook" else sys.stderr
    return Bar(file=stream, disable=not show or place == "engine", dynamic_ncols=place == "terminal", **options)


def _place() -> str:
    """`"notebook"`, `"engine"` or `"terminal"`, by the kernel that runs this process, if any."""
    ipython = sys.modules.get("IPython")
    kernel = getattr(ipython.get_ipython(), "kernel", None) if ipython is not None else None
    if kernel is None:
        return "terminal"
    return "engine" if type(kernel).__module__.startswith("ipyparallel.") else "notebook"
