"""notebooks/execute.py: the notebook without a browser, and its page."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

SCRIPT = Path(__file__).parents[1] / "notebooks" / "execute.py"


def run(folder, *cells):
    notebook = nbformat.v4.new_notebook(cells=list(cells))
    nbformat.write(notebook, folder / "small.ipynb")
    command = [sys.executable, SCRIPT, folder / "small.ipynb", "--out", folder / "out"]
    return subprocess.run(command, capture_output=True, text=True)


def code(source, *tags):
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})


def test_the_page_holds_everything_and_asks_nobody(tmp_path):
    figure = "from calolab.plots.style import new_figure\nnew_figure(3, 2)"
    result = run(tmp_path, nbformat.v4.new_markdown_cell("# Title"), code(figure), code("print(6 * 7)", "summary"))
    assert result.returncode == 0, result.stderr
    assert "42" in result.stdout.splitlines()
    page = (tmp_path / "out" / "small.html").read_text()
    assert "data:image/png;base64," in page
    assert "Title" in page
    assert re.findall(r"(?:src|href)=[\"']?(?!data:|#)\w[^\"'> ]*", page) == []
    assert re.findall(r"(?:import|from|url)\s*\(?\s*[\"']https?:[^\"']*", page) == []
    assert nbformat.read(tmp_path / "out" / "small.ipynb", 4).cells[2].outputs[0].text == "42\n"


def test_a_progress_bar_leaves_one_line_that_is_not_red(tmp_path):
    bar = """
from calolab.progress import bar
with bar(total=3, desc="showers", mininterval=0) as shown:
    for _ in range(3):
        shown.update()
print("2 of 2")
"""
    assert run(tmp_path, code(bar)).returncode == 0
    (output,) = nbformat.read(tmp_path / "out" / "small.ipynb", 4).cells[0].outputs
    assert output.name == "stdout"
    first, second = output.text.splitlines()
    assert first.startswith("showers: 100%") and "3/3" in first and second == "2 of 2"
    assert "vnd.jupyter.stderr" not in (tmp_path / "out" / "small.html").read_text().partition("<body")[2]


def test_an_error_is_told_and_the_page_is_kept(tmp_path):
    result = run(tmp_path, code("print('before')"), code("raise RuntimeError('too hot')"), code("print('after')"))
    assert result.returncode != 0
    assert "too hot" in result.stderr
    assert "too hot" in (tmp_path / "out" / "small.html").read_text()


@pytest.mark.parametrize("name", ["00_from_engines_to_showers"])
def test_notebooks_are_paired_and_kept_without_outputs(name):
    notebook = nbformat.read(SCRIPT.parent / f"{name}.ipynb", 4)
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in notebook.cells)
    import jupytext

    paired = jupytext.read(SCRIPT.parent / f"{name}.py")
    assert [cell.source for cell in paired.cells] == [cell.source for cell in notebook.cells]
