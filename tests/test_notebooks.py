"""Every notebook runs at test size; the assertions are in its last cells.

The pages are small, show no LaTeX, and describe every picture; each view of a dashboard is clicked.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
# Runs in JupyterLab, in tests/browser.
ELSEWHERE = {"00_from_engines_to_showers"}
PAGE = 3_000_000  # maximum size of an HTML page with its pictures [bytes]
# Clicks each view of each dashboard like a browser, waits for the results and writes them to a file: on a busy machine
# the kernel can lose what is printed while it handles clicks.
CLICKS = """
import asyncio, calolab, pathlib
for dashboard in {one for one in [*globals().values()] if isinstance(one, calolab.widgets.SearchDashboard)}:
    for view in dashboard.view_names:
        trial = min((one for one in dashboard._search.trials if one.value is not None), key=lambda one: one.value)
        content = {"type": "view", "id": view, "view": view, "trial": trial.number}
        dashboard._handle_custom_msg(content, [])
        while view not in [action["id"] for action in dashboard.actions]:
            await asyncio.sleep(0.1)
    results = [[action["id"], action["result"]] for action in dashboard.actions]
    pathlib.Path(RESULTS).write_text(str(results))
"""
VIEWS = {"21_hyperparameter_search": "[['Jets', 'displayed above'], ['Events', 'displayed above']]"}


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name not in ELSEWHERE])
def test_runs_at_test_size(name, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT / "notebooks", source, ignore=shutil.ignore_patterns("*.py", ".*"))
    notebook = nbformat.read(source / f"{name}.ipynb", 4)
    results = tmp_path / "results"
    notebook.cells.append(nbformat.v4.new_code_cell(CLICKS.replace("RESULTS", repr(str(results)))))
    nbformat.write(notebook, source / f"{name}.ipynb")
    command = [sys.executable, ROOT / "notebooks/execute.py", source / f"{name}.ipynb", "--out", tmp_path]
    # Engines started by notebooks must not be those of the user.
    environment = {**os.environ, "CALOLAB_SIZE": "test", "IPYTHONDIR": str(tmp_path / "ipython")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    check_page((tmp_path / f"{name}.html").read_text())
    cells = nbformat.read(tmp_path / f"{name}.ipynb", 4).cells
    streams = [output for cell in cells for output in cell.get("outputs", ()) if output.output_type == "stream"]
    assert [stream.text for stream in streams if stream.name == "stderr"] == []  # JupyterLab shows it in red
    assert (results.read_text() if results.exists() else None) == VIEWS.get(name)


def check_page(html):
    """A page is small, shows formulas instead of LaTeX, and has a description of every picture."""
    assert 10_000 < len(html) < PAGE, f"{len(html) / 1e6:.1f} MB"
    texts = re.findall(r"<img[^>]*?alt=\"([^\"]*)\"", html, re.DOTALL)
    assert len(texts) == len(re.findall(r"<img\b", html))
    assert [text for text in texts if len(text) < 15 or "No description" in text] == []
    prose = re.sub(r"<(style|script|pre|code|annotation)\b.*?</\1>", "", html, flags=re.DOTALL)
    assert re.findall(r"\\(?:frac|mathrm|sqrt|tau|eta|cdot|approx)\b|\$[^$<>\n]+\$", prose) == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_both_halves_of_a_pair_hold_the_same_cells(name):
    import jupytext

    notebook, script = (jupytext.read(ROOT / f"notebooks/{name}{suffix}") for suffix in (".ipynb", ".py"))
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in script.cells]
    assert not any(cell.get("outputs") for cell in notebook.cells)
