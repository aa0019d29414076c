"""Code that runs before and after the import of a large library, whichever module imports it first.

`prepare`, called by `import calolab`, keeps Python's garbage collector from searching TensorFlow and Keras. They create
a million objects, all of which are kept: searching them repeatedly, while they load, while networks are compiled and
when the process ends, takes a quarter of the CPU time of a short process.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

LARGE = ("tensorflow", "keras")


def prepare() -> None:
    """Keep the garbage collector from searching large libraries."""
    for library in LARGE:
        around(library, uncollected)


def around(library: str, block: Callable[[], AbstractContextManager]) -> None:
    """Load a library inside a context manager.

    Args:
        library: name of the module; without effect if it is loaded already.
        block: returns the context manager; several are entered in the order in which they were given.
    """
    finder = next((one for one in sys.meta_path if isinstance(one, _Finder)), None)
    if finder is None:
        finder = _Finder()
        sys.meta_path.insert(0, finder)
    blocks = finder.blocks.setdefault(library, [])
    if block not in blocks:
        blocks.append(block)


@contextmanager
def uncollected() -> Iterator[None]:
    """Objects that exist at the end of the block are not searched by the garbage collector later.

    It first removes what can be removed, and is off inside the block. Reference counts free these objects as before.
    """
    if not gc.isenabled():
        yield
        return
    gc.collect()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


class _Finder:
    """Finds libraries through the other finders, and loads them inside their blocks."""

    def __init__(self):
        self.blocks: dict[str, list[Callable[[], AbstractContextManager]]] = {}

    def find_spec(self, name, path=None, target=None):
        if name not in self.blocks:
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def load(module):
                with ExitStack() as stack:
                    for block in self.blocks[name]:
                        stack.enter_context(block())
                    execute(module)

            spec.loader.exec_module = load
        return spec
