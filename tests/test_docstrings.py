"""Public functions document their arguments."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "calolab"
MODULES = sorted(ROOT.rglob("*.py"))


def arguments(function):
    listed = function.args
    named = [one.arg for one in [*listed.posonlyargs, *listed.args, *listed.kwonlyargs]]
    named += [one.arg for one in (listed.vararg, listed.kwarg) if one is not None]
    return [name for name in named if name not in ("self", "cls")]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_of_several_arguments_describe_each_of_them(path):
    tree = ast.parse(path.read_text())
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    for function in [node for body in bodies for node in body]:
        text = ast.get_docstring(function) if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) else None
        if text is None or function.name.startswith("_") or len(arguments(function)) < 2:
            continue
        assert "Args:" in text, function.name
        undescribed = [name for name in arguments(function) if name not in text.partition("Args:")[2]]
        assert undescribed == [], function.name
