"""The examples in docstrings run and print what they show."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Modules that load Keras or TensorFlow, or run only in a process of their own: their docstrings have no examples.
HEAVY = ("calolab.models", "calolab.training", "calolab.inference", "calolab.simulate.geant4_worker")


def with_examples():
    for path in sorted((ROOT / "calolab").rglob("*.py")):
        if ">>> " in path.read_text():
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = list(with_examples())


@pytest.mark.parametrize("module", MODULES)
def test_examples(module):
    assert not module.startswith(HEAVY)
    result = doctest.testmod(importlib.import_module(module))
    assert result.failed == 0 and result.attempted > 0


def test_there_are_examples_all_over_the_package():
    assert len(MODULES) >= 12 and len({module.split(".")[1] for module in MODULES}) >= 4
