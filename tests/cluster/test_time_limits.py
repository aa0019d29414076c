"""Time limits have a reason each, are used, and are defined in one module."""

import ast
from pathlib import Path

from calolab.cluster import time_limits

SOURCE = Path(time_limits.__file__)
PACKAGES = [SOURCE.parents[1] / name for name in ("cluster", "distributed", "search", "scaling")]
NAMES = [name for name in vars(time_limits) if name.isupper()]


def test_every_time_limit_has_a_reason_and_is_used():
    lines = {line.split(" = ")[0]: line for line in SOURCE.read_text().splitlines() if " = " in line}
    everywhere = "".join(path.read_text() for package in PACKAGES for path in package.glob("*.py"))
    assert len(NAMES) > 40
    for name in NAMES:
        assert len(lines[name].partition("  # ")[2].split()) > 3, f"{name} has no reason"
        assert f"time_limits.{name}" in everywhere, f"{name} is not used"


def test_time_limits_are_read_from_their_module_where_tests_can_change_them():
    for path in (path for package in PACKAGES for path in package.glob("*.py")):
        tree = ast.parse(path.read_text())
        imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert "calolab.cluster.time_limits" not in imported, path
        own = [
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        ]
        frozen = [
            default
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
            for default in (*node.args.defaults, *filter(None, node.args.kw_defaults))
        ]
        frozen += [
            node.value
            for c in ast.walk(tree)
            if isinstance(c, ast.ClassDef)
            for node in c.body
            if isinstance(node, ast.Assign)
        ]
        assert not [one for one in frozen if "time_limits." in ast.unparse(one)], (
            f"{path} reads a limit when it is imported"
        )
        ends = ("_AFTER", "_WITHIN", "_EVERY", "PATIENCE", "_LAGS")
        assert path == SOURCE or not [name for name in own if name.endswith(ends)], path
