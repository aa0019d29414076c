"""Ctrl-C: the message of a script, its exit status, what is kept, and one line in a notebook."""

import builtins
import os
import signal
import subprocess
import sys
import threading

import pytest

from calolab.interrupts import Stopped, deferred_interrupt, in_script, postponed, prepare, stopping
from calolab.training import checkpoints
from tests.helpers import interrupted


def test_the_first_interrupt_is_noted_and_the_second_breaks():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), deferred_interrupt() as interrupted:
        assert not interrupted()
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupted()
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_leave_the_signals_alone():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with deferred_interrupt() as interrupted:
            seen.extend([interrupted(), signal.getsignal(signal.SIGINT)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, before]


SLEEPER = """
import atexit, pathlib, sys, time
from calolab.interrupts import postponed, stopping
atexit.register(print, "ended in good order")
with stopping("the sleep", lambda: "a dream"):
    with postponed():
        pathlib.Path(sys.argv[1]).touch()
        time.sleep(0.5)
        print("the block came to its end")
    time.sleep(60)
"""
FIT = """
import sys
import numpy as np
import calolab as cl
space = cl.spaces.space("jet-image")
sample = cl.Sample(np.random.default_rng(1).random((8, *space.shape)), {"signal": np.arange(8) % 2}, space)
gan = cl.models.build("lagan", space)
cl.training.fit(gan, sample, epochs=10_000, batch_size=4, checkpoints=sys.argv[1], progress=False)
"""


ANYWHERE = """
import pathlib, sys, time
import calolab as cl
def train():
    cl.spaces.space("jet-image")
    pathlib.Path(sys.argv[1]).touch()
    time.sleep(60)
train()
"""
BACKGROUND = """
import os, signal
from calolab.interrupts import deferred_interrupt, postponed, stopping
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for `python train.py &`
for block in (deferred_interrupt(), postponed(), stopping("the work")):
    with block:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
print("undisturbed")
"""
NESTED = """
import os, signal
from calolab.interrupts import deferred_interrupt, stopping
with stopping("the training", "its checkpoint"):
    with deferred_interrupt() as interrupted:
        with stopping("the simulation of its physics score"):
            os.kill(os.getpid(), signal.SIGTERM)
        print("noted", interrupted())
        with stopping("the simulation of its physics score"):
            os.kill(os.getpid(), signal.SIGTERM)
"""
WITHIN = """
import os, signal
from calolab.interrupts import stopping
with stopping("the work"), stopping("a part of it"):
    os.kill(os.getpid(), signal.SIGTERM)
"""


def test_ctrl_c_anywhere_in_a_script_shows_where_without_a_traceback(tmp_path):
    script, begun = tmp_path / "train.py", tmp_path / "begun"
    script.write_text(ANYWHERE)
    assert interrupted([script, begun], begun.exists) == (130, "", "Stopped: train.py, line 8.\n")
    own = "import sys\nsys.excepthook = lambda *_: print('my own')\n"
    script.write_text(own + ANYWHERE)
    begun.unlink()
    code, printed, said = interrupted([script, begun], begun.exists)
    assert printed == "my own\n" and "Stopped" not in said


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (BACKGROUND, (0, "undisturbed\n", "")),
        (NESTED, (143, "noted 15\n", "Stopped: the training; its checkpoint.\n")),
        (WITHIN, (143, "", "Stopped: a part of it; nothing was kept.\n")),
    ],
    ids=["ignored", "training", "nested"],
)
def test_which_signals_reach_which_block(source, expected):
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == expected


def test_a_block_that_is_postponed_receives_further_signals_at_its_end():
    with pytest.raises(KeyboardInterrupt), postponed(signal.SIGHUP):
        before = signal.getsignal(signal.SIGHUP)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGHUP)
        assert before is signal.getsignal(signal.SIGINT)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_script_ends_with_one_line_and_the_signals_exit_code(number, code, tmp_path):
    begun = tmp_path / "begun"
    found = interrupted(["-c", SLEEPER, begun], begun.exists, number)
    assert found == (code, "the block came to its end\nended in good order\n", "Stopped: the sleep; a dream.\n")


def test_an_interrupted_fit_keeps_its_checkpoint(tmp_path):
    code, printed, said = interrupted(["-c", FIT, tmp_path / "run"], (tmp_path / "run" / checkpoints.FILE).exists)
    assert code == 130 and printed == "" and "Traceback" not in said
    standing = checkpoints.read_header(tmp_path / "run")["state"]
    (line,) = [line for line in said.splitlines() if line.startswith("Stopped")]
    assert line == (
        f"Stopped: the training in epoch {standing['epoch'] + 1} of 10000, after step {standing['step']} of 2; "
        f"checkpoint in {tmp_path}/run, resume=True continues from it."
    )
    assert said.rstrip().endswith(line)


def test_a_notebook_shows_the_line_and_other_errors_are_pythons(monkeypatch):
    monkeypatch.delattr(builtins, "__IPYTHON__", raising=False)  # a shell in tests of magics leaves both
    monkeypatch.delattr(sys, "ps1", raising=False)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    prepare()
    assert sys.excepthook is not sys.__excepthook__
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)
    assert not in_script()
    with pytest.raises(Stopped) as stopped, stopping("the work"):
        raise KeyboardInterrupt
    prepare()
    assert stopped.value._render_traceback_() == ["Stopped: the work; nothing was kept."]
    assert sys.excepthook is sys.__excepthook__
    with pytest.raises(ZeroDivisionError), stopping("the work"):
        raise ZeroDivisionError


def test_a_handler_of_the_users_own_stays(monkeypatch):
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append(True))
    try:
        with stopping("the work"):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [True]
