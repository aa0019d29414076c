import subprocess
import sys

import pytest

from calolab import progress

CODE = "from calolab.progress import bar\nwith bar(total=1, desc='word') as shown: shown.update()"


def test_a_script_has_its_bar_on_the_standard_error_stream():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert "word: 100%" in done.stderr and done.stdout == ""
    hidden = CODE.replace("desc=", "show=False, desc=")
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, check=True)
    assert done.stderr == done.stdout == ""


@pytest.mark.parametrize(("place", "stdout"), [("notebook", True), ("engine", False)])
def test_a_notebook_has_it_on_the_standard_output_and_an_engine_nowhere(monkeypatch, capsys, place, stdout):
    monkeypatch.setattr(progress, "_place", lambda: place)
    with progress.bar(total=1, desc="word") as shown:
        shown.update()
    said = capsys.readouterr()
    assert ("word: 100%" in said.out) == stdout and said.err == ""
