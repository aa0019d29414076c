"""Trials on disk: torn lines, attempts that begin again, one writer, and a table that escapes what it shows."""

import contextlib
import errno
import json
import os
import resource
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest

from calolab import search
from calolab.scores import Score
from calolab.search import space, trials
from calolab.search.space import Choice, Real
from calolab.search.store import TrialPlan, TrialStore
from calolab.search.table import make_table
from calolab.search.trials import Trial, TrialLog, log_path

SETTINGS = {
    "token": "0123456789abcdef",
    "space": space.to_dict({"rate": Real(0.01, 1.0), "norm": Choice(None, "x")}),
    "trials": 3,
    "epochs": 7,
    "method": "random",
    "pruner": None,
    "metric": "ks_comb",
    "direction": "minimize",
    "ranks": 1,
    "retries": 1,
    "memory": None,
    "seed": 0,
    "stopped": False,
}


def write(path, *entries, end=b"\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        file.write(b"\n".join(json.dumps(entry).encode() for entry in entries) + end)


def epochs(log):
    return [(epoch["epoch"], epoch.get("ks_comb")) for epoch in log.records()]


def test_a_torn_last_line_is_read_once_it_is_whole(tmp_path):
    log = TrialLog(tmp_path / "0000.jsonl")
    assert not log.read()
    write(log.path, {"attempt": 1, "begin": 0.0, "resume": False}, {"attempt": 1, "epoch": 0, "ks_comb": 3.0})
    write(log.path, {"attempt": 1, "epoch": 1, "ks_comb": 2.0}, end=b"")
    assert log.read() and epochs(log) == [(0, 3.0)]
    assert not log.read()
    log.path.open("ab").write(b"\n")
    assert log.read() and epochs(log) == [(0, 3.0), (1, 2.0)]


def test_a_line_that_stays_torn_is_left_out(tmp_path):
    log = TrialLog(tmp_path / "0000.jsonl")
    write(log.path, {"attempt": 1, "epoch": 0, "ks_comb": 3.0})
    log.path.open("ab").write(b'{"attempt": 1, "epo\n')
    write(log.path, {"attempt": 2, "begin": 0.0, "resume": True}, {"attempt": 2, "epoch": 1, "ks_comb": 2.0})
    log.read()
    assert epochs(log) == [(0, 3.0), (1, 2.0)] and log.attempt == 2 and log.end is None


def test_a_resumed_attempt_keeps_earlier_epochs_and_one_from_scratch_none(tmp_path):
    log = TrialLog(tmp_path / "0000.jsonl")
    write(log.path, *({"attempt": 1, "epoch": epoch, "ks_comb": 9.0 - epoch} for epoch in range(4)))
    write(log.path, {"attempt": 2, "begin": 0.0, "resume": True}, {"attempt": 2, "epoch": 2, "ks_comb": 1.0})
    write(log.path, {"attempt": 2, "epoch": 2, "loss": 0.5})  # added to what is there
    log.read()
    assert epochs(log) == [(0, 9.0), (1, 8.0), (2, 1.0)] and log.records()[2]["loss"] == 0.5
    write(log.path, {"attempt": 2, "end": "failed", "error": "oh"})
    log.read()
    assert log.end["error"] == "oh"
    write(log.path, {"attempt": 3, "begin": 0.0, "resume": False})
    log.read()
    assert epochs(log) == [] and log.end is None


def test_scores_keep_their_floors_beside_the_numbers(tmp_path):
    log = TrialLog(tmp_path / "0000.jsonl")
    first, second = Score("ks_comb", 3.0, 1.5, 0.5), Score("auc", 0.6, direction="higher")
    write(log.path, {"attempt": 1, "epoch": 0, "ks_comb": 3.0, "loss": 1.0, "scored": {"ks_comb": first.to_dict()}})
    write(log.path, {"attempt": 1, "epoch": 0, "auc": 0.6, "scored": {"auc": second.to_dict()}})
    log.read()
    assert log.records() == ({"epoch": 0, "ks_comb": 3.0, "loss": 1.0, "auc": 0.6},)
    assert log.scores(0) == {"ks_comb": first, "auc": second} and log.scores(None) == log.scores(1) == {}


def test_the_best_epoch_follows_the_direction_and_ignores_what_is_no_number():
    scored = [{"epoch": 0, "a": 3.0}, {"epoch": 1, "a": float("nan")}, {"epoch": 2, "b": 1.0}, {"epoch": 3, "a": 5.0}]
    trial = Trial(0, "running", {})
    assert (trial.with_epochs(scored, "a", "minimize").value, trial.with_epochs(scored, "a", "maximize").value) == (
        3,
        5,
    )
    assert trial.with_epochs(scored, "a", "maximize").best_epoch == 3
    assert trial.with_epochs(scored, "c", "minimize").value is None


def test_what_is_stored_is_read_back_with_its_epochs(tmp_path):
    store = TrialStore(tmp_path / "search", SETTINGS)
    trial = Trial(0, "running", {"rate": 0.1, "norm": None}, engines=(3, 1), attempts=2, started=5.0, error="<b>")
    store.put(trial, TrialPlan(epochs=7, losses=1, messages=["a"]))
    store.put(Trial(1, "queued", {"rate": 0.2, "norm": "x"}), TrialPlan(epochs=7))
    write(log_path(store.folder, 0), {"attempt": 2, "epoch": 0, "ks_comb": 4.0})
    version = store.version
    store.remember(stopped=True)
    assert store.version > version
    store.close()
    read = TrialStore(tmp_path / "search", writing=False)
    assert read.get(0) == replace(trial, epochs=({"epoch": 0, "ks_comb": 4.0},), value=4.0, best_epoch=0)
    assert read.plans[0] == TrialPlan(epochs=7, losses=1, messages=["a"]) and read.settings["stopped"]
    assert [one.number for one in read.trials] == [0, 1]
    with pytest.raises(ValueError, match="no trial 2 yet; the search has 2"):
        read.get(2)


def database(path, *commands):
    with contextlib.closing(sqlite3.connect(path)) as base, base:
        for command in commands:
            base.execute(command)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (b"", "no such table: settings"),
        (b"this is no database" * 100, "file is not a database"),
        (["DROP TABLE trials"], "table 'trials': no such table"),
        (["ALTER TABLE trials RENAME COLUMN plan TO plans"], "table 'trials': no such column"),
        (["DELETE FROM settings WHERE name = 'metric'"], "table 'settings': metric is None"),
        (["UPDATE settings SET value = '{' WHERE name = 'space'"], "table 'settings': Expecting"),
        (["UPDATE settings SET value = '[1]' WHERE name = 'space'"], "space is \\[1\\]"),
        (["UPDATE settings SET value = '\"../x\"' WHERE name = 'token'"], "token is '../x'"),
        (["UPDATE settings SET value = '\"up\"' WHERE name = 'direction'"], "direction is 'up'"),
        (["UPDATE settings SET value = 'null' WHERE name = 'version'"], "version is None"),
        (["UPDATE trials SET parameters = 'x' WHERE number = 1"], "trial 1: Expecting value"),
        (["UPDATE trials SET parameters = '{}' WHERE number = 1"], "trial 1: its parameters"),
        (["UPDATE trials SET plan = '{\"epoch\": 1}' WHERE number = 0"], "trial 0: .*unexpected keyword"),
        (['UPDATE trials SET plan = \'{"epochs": "1"}\' WHERE number = 0'], "trial 0: epochs is '1'"),
        (["UPDATE trials SET status = 'lost'"], "trial 0: status is 'lost'"),
        (["UPDATE trials SET started = 'now'"], "trial 0: started is 'now'"),
        (["UPDATE trials SET engines = '[\"a\"]'"], "trial 0: engines are"),
        (["DELETE FROM trials WHERE number = 0"], "trial 0: it is missing"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong_and_what_to_do(tmp_path, damage, words):
    store = TrialStore(tmp_path, SETTINGS)
    for number in range(2):
        store.put(Trial(number, "queued", {"rate": 0.1, "norm": None}), TrialPlan(epochs=7))
    store.close()
    if isinstance(damage, bytes):
        store.path.write_bytes(damage)
    else:
        database(store.path, *damage)
    for writing in (False, True):
        with pytest.raises(ValueError, match=rf"search\.sqlite: damaged.*{words}.*start a new search"):
            TrialStore(tmp_path, writing=writing)


def test_lines_of_another_kind_are_left_out(tmp_path):
    log = TrialLog(tmp_path / "0000.jsonl")
    write(log.path, {"attempt": 1, "epoch": 0, "ks_comb": 3.0}, 3, [], {"epoch": 1}, {"attempt": 1, "epoch": "x"})
    log.read()
    assert epochs(log) == [(0, 3.0)]


def test_a_full_disk_is_reported_and_a_new_search_leaves_nothing(tmp_path):
    """SQLite's limit on pages simulates the disk."""
    store = TrialStore(tmp_path / "search", SETTINGS)
    store._database.execute("PRAGMA max_page_count = 5")
    with pytest.raises(OSError, match=r"search\.sqlite: no space left on the disk .*last change is not") as raised:
        store.put(Trial(0, "queued", {"rate": 0.1, "norm": "x" * 100_000}), TrialPlan(epochs=7))
    assert raised.value.errno == errno.ENOSPC
    store.discard()
    assert list((tmp_path / "search").iterdir()) == []


def test_one_process_alone_works_in_a_folder(tmp_path):
    store = TrialStore(tmp_path / "search", SETTINGS)
    code = f"from calolab.search.store import TrialStore; TrialStore({str(store.folder)!r})"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Another notebook runs the search in" in other.stderr and "RuntimeError" in other.stderr
    store.close()
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_folder_takes_one_search_and_must_have_one_to_be_opened(tmp_path):
    with pytest.raises(ValueError, match="no search in .*search.sqlite is missing"):
        TrialStore(tmp_path)
    TrialStore(tmp_path, SETTINGS).close()
    with pytest.raises(ValueError, match="search.reattach.*or use another folder"):
        TrialStore(tmp_path, SETTINGS)
    TrialStore(tmp_path).close()  # the refusal left no lock


def test_the_table_is_like_the_published_one():
    scored = {"ks_comb": 16.67, "discriminator": 0.6, "ks_jet_pt": 9.0, "ks_multiplicity": 4.0, "ks_summed_mass": 3.67}
    scores = {name: Score(name, value) for name, value in scored.items() if name != "discriminator"}
    trials = [
        Trial(0, "finished", {"rate": 0.1}).with_epochs([{"epoch": 0, "ks_comb": 30.0}], "ks_comb", "minimize"),
        Trial(1, "running", {"rate": 0.2, "<i>": "<b>"}, scores=scores).with_epochs(
            [{"epoch": 3, **scored}, {"epoch": 4, "ks_comb": 20.0}], "ks_comb", "minimize"
        ),
        Trial(2, "failed", {"rate": 0.3}),
    ]
    table = make_table(tuple(trials), "ks_comb", "minimize", top=10)
    assert table.header == (
        *("rank", "trial", "status", "rate", "<i>", "epoch", "ks_comb"),
        *("ks_jet_pt", "ks_multiplicity", "ks_summed_mass", "discriminator"),
    )
    assert table.rows[0] == ("1", "1", "running", "0.2", "<b>", "4", "16.67", "9", "4", "3.67", "0.6")
    assert table.rows[1] == ("2", "0", "finished", "0.1", "", "1", "30", "", "", "", "")
    assert "<b>" not in table._repr_html_().partition("<table")[2] and "&lt;i&gt;" in table._repr_html_()
    assert repr(table).splitlines()[0] == "The 2 best of 3 trials, lowest ks_comb first"
    assert make_table(tuple(trials), "ks_comb", "maximize", top=1).rows[0][1] == "0"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, r"0007: no space left on the disk \(.* free\); the trial did not start. Free some space"),
        (errno.EROFS, r"trials/0007: this folder cannot be created on the engine's machine \(Read-only file system\)"),
    ],
)
def test_a_folder_that_cannot_be_made_is_explained(tmp_path, monkeypatch, number, words):
    def refuse(*_, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(trials.Path, "mkdir", refuse)
    with pytest.raises(OSError, match=words) as raised:
        trials.make_folder(trials.trial_folder(tmp_path, 7))
    assert raised.value.errno == number


def test_a_trial_says_that_its_folder_cannot_be_made(searchers, tmp_path):
    running = search.start(searchers, lambda trial: None, {"x": Real(0, 1)}, folder=tmp_path, trials=1)
    running.wait(60)
    running.stop()
    (tmp_path / "trials" / "0000").rmdir()
    (tmp_path / "trials" / "0000").write_text("a file in its place")
    running.restart(0)
    running.wait(60)
    assert running.trial(0).status == "failed" and "cannot be created on the engine's machine" in running.trial(0).error


def test_no_room_for_a_line_keeps_the_lines_before_it(tmp_path):
    path, before = tmp_path / "trial.jsonl", resource.getrlimit(resource.RLIMIT_FSIZE)
    path.write_bytes(b"{}\n")
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, before[1]))
    try:
        with (
            open(path, "ab", buffering=0) as file,
            pytest.raises(OSError, match=r"trial\.jsonl: .*ulimit -f") as raised,
        ):
            trials.write_line(file, path, b'{"epoch": 1}\n')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.errno == errno.EFBIG and path.read_bytes() == b"{}\n"
