"""Progress bars: on the standard error stream of a terminal, as plain text in a notebook, none on an engine."""

from __future__ import annotations

import sys

from tqdm import tqdm as Bar


def bar(*, show: bool = True, **options) -> Bar:
    """A progress bar, to be used in a `with` statement.

    In a notebook it is written to the standard output, because JupyterLab shows the standard error stream in red.
    Engines show no progress bar, because their output belongs to the call that runs on them.

    Args:
        show: whether to show the bar.
        **options: options of `tqdm`: total, desc, unit, ...
    """
    place = _place()
    stream = sys.stdout if place == "notebook" else sys.stderr
    return Bar(file=stream, disable=not show or place == "engine", dynamic_ncols=place == "terminal", **options)


def _place() -> str:
    """`"notebook"`, `"engine"` or `"terminal"`, depending on the kernel that runs in this process."""
    ipython = sys.modules.get("IPython")
    kernel = getattr(ipython.get_ipython(), "kernel", None) if ipython is not None else None
    if kernel is None:
        return "terminal"
    return "engine" if type(kernel).__module__.startswith("ipyparallel.") else "notebook"
