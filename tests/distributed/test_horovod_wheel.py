"""The patches to Horovod are applied exactly, and change the name of the cached wheel."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "horovod_wheel.py"
PATCH = """Why it is needed.

--- a/folder/code.cc
+++ b/folder/code.cc
@@ -1,3 +1,4 @@
 one
-two
+2
+2.5
 three
@@ -5,3 +6,2 @@
 five
-six
 seven
"""


@pytest.fixture
def wheel():
    specification = importlib.util.spec_from_file_location("horovod_wheel", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_a_patch_is_applied_where_it_fits_and_refused_elsewhere(wheel, tmp_path):
    patch, code = tmp_path / "1-why.patch", tmp_path / "folder" / "code.cc"
    patch.write_text(PATCH)
    code.parent.mkdir()
    code.write_text("one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n")
    wheel.apply(patch, tmp_path)
    assert code.read_text() == "one\n2\n2.5\nthree\nfour\nfive\nseven\neight\n"
    with pytest.raises(wheel.BuildError, match=r"1-why\.patch does not fit folder/code\.cc:1"):
        wheel.apply(patch, tmp_path)


def test_every_patch_begins_with_its_reason_and_changes_the_wheels_name(wheel, monkeypatch):
    assert len(wheel.PATCHES) == 4
    for patch in wheel.PATCHES:
        reason = patch.read_text().partition("--- a/")[0]
        assert len(reason.split()) > 20, patch
    before = wheel.key("g++", {})
    monkeypatch.setattr(wheel, "PATCHES", wheel.PATCHES[:2])
    after = wheel.key("g++", {})
    assert before != after and before.rpartition("-")[0] == after.rpartition("-")[0]
