"""Every notebook runs from top to bottom at test size; their own last cells assert what must hold."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
# Runs in JupyterLab, in tests/browser.
ELSEWHERE = {"00_from_engines_to_showers"}


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name not in ELSEWHERE])
def test_runs_at_test_size(name, tmp_path):
    command = [sys.executable, ROOT / "notebooks/execute.py", ROOT / f"notebooks/{name}.ipynb", "--out", tmp_path]
    # Engines that notebooks start are not those of whoever runs the tests.
    environment = {**os.environ, "CALOLAB_SIZE": "test", "IPYTHONDIR": str(tmp_path / "ipython")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / f"{name}.html").stat().st_size > 10_000
    cells = nbformat.read(tmp_path / f"{name}.ipynb", 4).cells
    streams = [output for cell in cells for output in cell.get("outputs", ()) if output.output_type == "stream"]
    assert [stream.text for stream in streams if stream.name == "stderr"] == []  # JupyterLab shows it in red


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_both_halves_of_a_pair_hold_the_same_cells(name):
    import jupytext

    notebook, script = (jupytext.read(ROOT / f"notebooks/{name}{suffix}") for suffix in (".ipynb", ".py"))
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in script.cells]
    assert not any(cell.get("outputs") for cell in notebook.cells)
