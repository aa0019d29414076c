import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from calolab import tensorflow_log

SCRIPT = """
import calolab as cl
train = cl.simulate.showers("clic-ecal", events=4, energy=(10, 50), seed=7, method="gflash", progress=False)
gan = cl.models.build("3dgan", train.space)
cl.training.fit(gan, train, epochs=1, batch_size=2, seed=7, progress={progress})
gan.generate(train.labels, seed=7)
print(cl.tensorflow_log.path())
"""


@pytest.fixture
def clean(monkeypatch, tmp_path):
    """An empty cache, and no log level of the user or this process."""
    monkeypatch.setenv("CALOLAB_CACHE", str(tmp_path))
    monkeypatch.delenv(tensorflow_log.LEVEL, raising=False)


def run(code, **options):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **options)


def test_a_script_prints_nothing_but_its_progress_bar(clean):
    done = run(SCRIPT.format(progress=True), check=True)
    bar = [line for line in done.stderr.replace("\r", "\n").splitlines() if line.strip()]
    assert bar and all("step/s" in line or "s/step" in line for line in bar), done.stderr
    assert "2/2" in bar[-1]
    (log,) = done.stdout.splitlines()
    assert "port.cc" in Path(log).read_text() and Path(log).parent.name == "logs"


def test_a_notebook_shows_its_bar_as_text_and_nothing_red(clean, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SCRIPT.format(progress=True))])
    NotebookClient(notebook, timeout=300, kernel_name="python3", coalesce_streams=True).execute()
    outputs = notebook.cells[0].outputs
    assert [output["name"] for output in outputs] == ["stdout"], outputs
    shown = outputs[0]["text"].splitlines()
    assert len(shown) == 2 and "2/2" in shown[0] and shown[1].endswith(".log"), shown


RETRACING = """
import calolab, tensorflow as tf
@tf.function
def add(x):
    return x + 1
for k in range(9):
    add(k)  # Python numbers: traced again for each
print(calolab.tensorflow_log.path())
"""


def test_warnings_of_its_python_code_are_in_the_log(clean):
    done = run(RETRACING, check=True)
    assert done.stderr == ""
    assert "triggered tf.function retracing" in Path(done.stdout.strip()).read_text()


def test_the_users_handlers_stay(clean):
    code = "import logging; logging.basicConfig(format='mine: %(message)s')\n" + RETRACING
    done = run(code, check=True)
    assert "mine: 5 out of the last 5 calls" in done.stderr
    assert "retracing" not in Path(done.stdout.strip()).read_text()


def test_the_users_log_level_wins(clean, monkeypatch):
    monkeypatch.setenv(tensorflow_log.LEVEL, "0")
    done = run("import calolab, tensorflow; print(calolab.tensorflow_log.path().exists())", check=True)
    assert "port.cc" in done.stderr and done.stdout == "False\n"


FATAL = "os.write(2, b'F0000 a check failed\\n'); os.abort()"
TERMINATED = "os.write(2, b'I0000 a remark\\n'); import signal; os.kill(os.getpid(), signal.SIGTERM)"
ERROR = "os.write(2, b'E0000 a ' + b'remark\\n'); raise ImportError('a library is missing')"


@pytest.mark.parametrize(
    ("loading", "seen", "unseen"),
    [
        (
            TERMINATED,
            ["This process ended while TensorFlow was loading; its last lines", "I0000 a remark"],
            ["has ended"],
        ),
        (FATAL, ["ended while TensorFlow was loading", "F0000 a check failed"], []),
        (ERROR, ["ImportError: a library is missing", "What was printed before this error is in"], ["a remark"]),
        ("os.write(2, b'I0000 a remark\\n')", ["ValueError: later", "E0000 after it"], ["a remark", "ended"]),
    ],
    ids=["terminated", "abort", "error", "remark"],
)
def test_crashes_and_errors_are_seen(clean, tmp_path, loading, seen, unseen):
    """A package named tensorflow that behaves as specified, because TensorFlow itself does not fail on request."""
    package = tmp_path / "site" / "tensorflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"import os\nfrom logging import getLogger as get_logger\n{loading}\n")
    code = "import os, calolab, tensorflow; os.write(2, b'E0000 after it\\n'); raise ValueError('later')"
    done = run(code, env={**os.environ, "PYTHONPATH": str(package.parent)})
    assert done.returncode
    assert all(words in done.stderr for words in seen), done.stderr
    assert not any(words in done.stderr for words in unseen), done.stderr


def test_only_the_newest_logs_are_kept(clean, tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    for number in range(tensorflow_log.KEPT + 5):
        old = folder / f"tensorflow-host-{number}.log"
        old.write_text("lines")
        os.utime(old, (number, number))
    (folder / "other.log").write_text("not ours")
    with tensorflow_log.stderr_in_log():
        os.write(2, b"a line\n")
    assert tensorflow_log.path().read_text() == "a line\n"
    left = {log.name for log in folder.iterdir()}
    assert len(left) == tensorflow_log.KEPT + 1 and "other.log" in left
    assert "tensorflow-host-5.log" not in left and f"tensorflow-host-{tensorflow_log.KEPT + 4}.log" in left


def test_logs_of_the_last_hour_are_kept(clean, tmp_path):
    """More processes may load TensorFlow at the same time, e.g. the engines of a cluster."""
    (tmp_path / "logs").mkdir()
    for number in range(tensorflow_log.KEPT + 5):
        (tmp_path / "logs" / f"tensorflow-host-{number}.log").touch()
    with tensorflow_log.stderr_in_log():
        os.write(2, b"a line\n")
    assert len(list((tmp_path / "logs").iterdir())) == tensorflow_log.KEPT + 6


def test_without_a_standard_error_stream_no_file_stays_open(clean, tmp_path):
    code = (
        "import os; from calolab import tensorflow_log; os.close(2)\nwith tensorflow_log.stderr_in_log():\n"
        "    print([os.readlink(one) for one in map('/proc/self/fd/{}'.format, os.listdir('/proc/self/fd')) "
        "if os.path.lexists(one)])"
    )
    assert "logs" not in run(code, check=True).stdout


def test_without_a_place_for_the_log_nothing_is_hidden(clean, monkeypatch, tmp_path, capfd):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CALOLAB_CACHE", str(tmp_path / "file"))
    with tensorflow_log.stderr_in_log():
        os.write(2, b"a line\n")
    assert capfd.readouterr().err == "a line\n"
