"""Blocks around the import of a library, and a garbage collector that does not search TensorFlow and Keras."""

import gc
import subprocess
import sys
from contextlib import contextmanager

import pytest

from calolab import loading

COLLECTOR = """
import gc, weakref
{before}
import calolab
calolab.models.GAN
print(gc.isenabled(), gc.get_freeze_count())
class Node: pass
node = Node()
node.itself, reference = node, weakref.ref(node)
del node
gc.collect()
print(reference())
"""


def run(before):
    command = [sys.executable, "-c", COLLECTOR.format(before=before)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_the_collector_skips_keras_and_still_works():
    enabled, frozen, left = run("")
    assert enabled == "True" and int(frozen) > 200_000 and left == "None"


def test_a_collector_that_the_user_has_disabled_stays_so():
    assert run("gc.disable()") == ["False", "0", "None"]


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A module that can be imported, and the finder that `around` adds."""
    monkeypatch.setattr(sys, "meta_path", [one for one in sys.meta_path if not isinstance(one, loading._Finder)])
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "large_library.py"
    sys.modules.pop("large_library", None)


def test_blocks_are_entered_once_each_in_their_order(library):
    library.write_text("import gc; enabled = gc.isenabled()")
    seen = []

    @contextmanager
    def block():
        seen.append("before")
        yield
        seen.append(sys.modules["large_library"].enabled)

    for one in (loading.uncollected, block, block):
        loading.around("large_library", one)
    before = gc.get_freeze_count()
    import large_library

    assert seen == ["before", False] and large_library.enabled is False
    assert gc.isenabled() and gc.get_freeze_count() > before


def test_a_library_that_fails_leaves_the_collector_as_it_was(library):
    library.write_text("raise ImportError('a part is missing')")
    loading.around("large_library", loading.uncollected)
    before = gc.get_freeze_count()
    with pytest.raises(ImportError, match="a part is missing"):
        import large_library  # noqa: F401
    assert gc.isenabled() and gc.get_freeze_count() <= before
