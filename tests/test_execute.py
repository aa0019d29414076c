"""notebooks/execute.py: execution of a notebook without a browser, and its page."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest

from calolab import cluster
from tests.helpers import alive, interrupted, wait_for

SCRIPT = Path(__file__).parents[1] / "notebooks" / "execute.py"


def run(folder, *cells, program=(SCRIPT,), **environment):
    notebook = nbformat.v4.new_notebook(cells=list(cells))
    nbformat.write(notebook, folder / "small.ipynb")
    command = [sys.executable, *program, folder / "small.ipynb", "--out", folder / "out"]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


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


def test_formulas_are_mathml_and_dollars_elsewhere_stay(tmp_path):
    text = "The fraction $\\frac{1}{2}$ where $p_T < 3$, and `$HOME`; it costs $5 or $7.\n\n$$\\ell = 10^4$$\n"
    assert run(tmp_path, nbformat.v4.new_markdown_cell(text), code("print('$x$')")).returncode == 0
    page = (tmp_path / "out" / "small.html").read_text()
    formulas = re.findall(r"<math.*?</math>", page, re.DOTALL)
    assert len(formulas) == 3
    assert "<mfrac>" in formulas[0] and "<msub>" in formulas[1] and 'display="block"' in formulas[2]
    assert "<code>$HOME</code>" in page and "$5 or $7" in page and "$x$" in page
    assert "\\frac" not in page and "\\ell" not in page


def test_a_formula_that_cannot_be_shown_keeps_its_source(tmp_path):
    text = "One $x_$, $\\left( x$ and $p_T < 3$, \u03b7."
    assert run(tmp_path, nbformat.v4.new_markdown_cell(text), LC_ALL="C", PYTHONUTF8="0").returncode == 0
    page = (tmp_path / "out" / "small.html").read_text("utf-8")
    assert "One $x_$, $\\left( x$ and <math" in page and "\u03b7" in page


def test_pictures_are_described(tmp_path):
    figure = "from calolab.plots.style import new_figure\nfigure = new_figure(3, 2)\npanel = figure.subplots()\n"
    figure += "panel.set(xlabel='$p_T$ [GeV]', ylabel='jets')\npanel.plot([1, 2], label='Pythia')\n"
    assert run(tmp_path, code(figure + "panel.legend()\nfigure")).returncode == 0
    page = (tmp_path / "out" / "small.html").read_text()
    assert re.findall(r'<img[^>]*alt="([^"]*)"', page) == ["Figure: jets against p_T [GeV], showing Pythia."]


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


def test_ctrl_c_keeps_what_was_executed_and_stops_the_notebooks_engines_only(tmp_path):
    """As in `make demo`: one line, 130, no traceback, no engine left, and other clusters of the user unchanged."""
    cells = [
        code("print('before')"),
        code("from calolab import cluster\nengines = cluster.start(1, name='own', cores=1)"),
        code(
            "import time\n"
            "work = engines.client[:].apply_async(lambda: all(iter(lambda: True, False)))\n"
            "print(engines.client.queue_status(), flush=True)\n"
            f"open({str(tmp_path / 'begun')!r}, 'w').close()\n"
            "time.sleep(600)"
        ),
        code("print('after')"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "small.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        with cluster.running(1, name="other", cores=1) as other:
            command = [SCRIPT, tmp_path / "small.ipynb", "--out", tmp_path / "out"]
            status, printed, said = interrupted(command, (tmp_path / "begun").exists)
            assert [found.name for found in cluster.clusters()] == ["other"]
            assert other.client[:].apply_sync(abs, -1) == [1]
    assert status == 130 and printed == "" and "Traceback" not in said
    assert said.splitlines()[-1] == (
        "Stopped: small in code cell 3 of 4, and its engines; what was executed is in "
        f"{tmp_path}/out/small.ipynb and {tmp_path}/out/small.html."
    )
    assert not [
        process
        for process in psutil.process_iter(["environ"])
        if (process.info["environ"] or {}).get("IPYTHONDIR") == str(tmp_path / "ipython") and alive([process])
    ]
    kept = nbformat.read(tmp_path / "out" / "small.ipynb", 4).cells
    assert kept[0].outputs[0].text == "before\n" and kept[2].outputs[-1].ename == "KeyboardInterrupt"
    assert kept[3].outputs == [] and "before" in (tmp_path / "out" / "small.html").read_text()


AT_THE_END = """
import runpy, signal, sys
from calolab import cluster
cluster.stop_all = lambda owner: signal.raise_signal(signal.{signal})
sys.path.insert(0, {folder!r})
runpy.run_path({script!r}, run_name="__main__")
"""


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", -signal.SIGHUP)])
def test_a_signal_at_the_end_loses_nothing(tmp_path, name, status):
    program = ("-c", AT_THE_END.format(signal=name, folder=str(SCRIPT.parent), script=str(SCRIPT)))
    result = run(tmp_path, code("print(6 * 7)"), program=program)
    assert result.returncode == status and "Traceback" not in result.stderr
    assert nbformat.read(tmp_path / "out" / "small.ipynb", 4).cells[0].outputs[0].text == "42\n"
    assert "42" in (tmp_path / "out" / "small.html").read_text()
    if status > 0:
        kept = f"what was executed is in {tmp_path}/out/small.ipynb and {tmp_path}/out/small.html"
        assert result.stderr.splitlines()[-1] == f"Stopped: the execution of a notebook; {kept}."


def own_processes(folder):
    """Those whose folder for temporary files is this one."""
    found = psutil.process_iter(["environ"])
    return alive([process for process in found if (process.info["environ"] or {}).get("TMPDIR") == str(folder)])


def test_ctrl_c_before_the_first_cell_shows_no_traceback(tmp_path):
    def importing():
        return any("zmq" in library.path for process in own_processes(tmp_path) for library in process.memory_maps())

    cells = [code("print('before')") for _ in range(9)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "small.ipynb")
    command = [SCRIPT, tmp_path / "small.ipynb", "--out", tmp_path / "out"]
    status, printed, said = interrupted(command, importing, TMPDIR=str(tmp_path))
    assert status == 130 and printed == "" and "Traceback" not in said
    assert said.splitlines()[-1].startswith("Stopped: ")


def test_ctrl_c_in_a_benchmark_ends_its_processes_with_one_line(tmp_path):
    def parts():
        return [process for process in own_processes(tmp_path) if "--part" in process.cmdline()]

    command = [SCRIPT.parents[1] / "tests" / "benchmarks", "streaming", "--out", tmp_path / "out"]
    status, printed, said = interrupted(command, parts, TMPDIR=str(tmp_path))
    assert status == 130 and printed == "" and "Traceback" not in said and parts() == []
    assert said.splitlines()[-1].startswith("Stopped") and "Stopped" not in "".join(said.splitlines()[:-1])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["demo", "bench"])
def test_ctrl_c_in_make_ends_with_one_line(target, tmp_path):
    """As a terminal does it: make, its shell and all of theirs receive the signal."""

    def at_work():
        parts = [process for process in own_processes(tmp_path) if "--part" in process.cmdline()]
        return (tmp_path / "begun").exists() if target == "demo" else parts

    begin = f"open({str(tmp_path / 'begun')!r}, 'w').close()\nimport time\ntime.sleep(600)"
    nbformat.write(nbformat.v4.new_notebook(cells=[code(begin)]), tmp_path / "small.ipynb")
    made = [f"VENV={sys.prefix}", "-o", f"{sys.prefix}/.ready", f"NOTEBOOK={tmp_path}/small.ipynb"]
    command = ["--no-print-directory", "-C", SCRIPT.parents[1], *made, f"OUT={tmp_path}/out", target]
    status, printed, said = interrupted(command, at_work, program="make", TMPDIR=str(tmp_path))
    assert status != 0 and printed == "" and "Traceback" not in said
    assert len([line for line in said.splitlines() if line.startswith("Stopped: ")]) == 1
    wait_for(lambda: own_processes(tmp_path) == [])


@pytest.mark.parametrize("name", ["00_from_engines_to_showers"])
def test_notebooks_are_paired_and_kept_without_outputs(name):
    notebook = nbformat.read(SCRIPT.parent / f"{name}.ipynb", 4)
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in notebook.cells)
    import jupytext

    paired = jupytext.read(SCRIPT.parent / f"{name}.py")
    assert [cell.source for cell in paired.cells] == [cell.source for cell in notebook.cells]
