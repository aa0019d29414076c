import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calolab.search.space import Choice, Integer, Real
from calolab.search.trials import Trial
from calolab.widgets.search.trial_changes import changes, describe_parameters, plain


def trial(number=0, values=(), **facts):
    epochs = [{"epoch": k, "ks_comb": value, "ks_jet_pt": value / 2} for k, value in enumerate(values)]
    made = Trial(number, facts.pop("status", "running"), facts.pop("parameters", {"lr": 1e-3}), **facts)
    return made.with_epochs(epochs, "ks_comb", "minimize")


def table(message):
    return np.frombuffer(message["curves"], dtype="<f4").reshape(-1, 1 + len(message["metrics"]))


def receive(store, message):
    """Python version of what the browser does with a message."""
    lines = table(message).tolist()
    for row in message["rows"]:
        kept = store.get(row["number"], {}).get("curve", [])[: row["first"]]
        store[row["number"]] = {
            "status": row["status"],
            "curve": kept + [lines.pop(0)[:2] for _ in range(row["count"])],
        }
    assert lines == []


def test_all_trials_are_sent_first_and_then_the_changes():
    trials = [trial(k, [9.0, 8.0]) for k in range(1000)]
    message, sent = changes(trials)
    assert [row["number"] for row in message["rows"]] == list(range(1000))
    assert table(message).shape == (2000, 3) and message["metrics"] == ["ks_comb", "ks_jet_pt"]
    assert changes(trials, sent)[0] == {"rows": [], "metrics": [], "curves": b""}
    trials[7] = trial(7, [9.0, 8.0, 7.0])
    message, sent = changes(trials, sent)
    (row,) = message["rows"]
    assert (row["number"], row["first"], row["count"], row["value"]) == (7, 2, 1, 7.0)
    # Displayed epochs are counted from 1.
    assert row["best_epoch"] == 3 and table(message).tolist() == [[3, 7, 3.5]]


def test_a_new_attempt_is_sent_from_its_beginning():
    _, sent = changes([trial(0, [9.0, 8.0, 7.0])])
    message, sent = changes([trial(0, [5.0], attempts=2)], sent)
    assert (message["rows"][0]["first"], message["rows"][0]["count"]) == (0, 1)
    message, _ = changes([trial(0, [6.0, 4.0], attempts=3)], sent)
    assert (message["rows"][0]["first"], message["rows"][0]["count"]) == (0, 2)


def test_an_epoch_that_has_changed_is_sent_again():
    before = trial(0, [9.0, 8.0])
    _, sent = changes([before])
    after = replace(before, epochs=(before.epochs[0], {**before.epochs[1], "generator": 0.5}))
    message, _ = changes([after], sent)
    assert message["metrics"] == ["ks_comb", "ks_jet_pt", "generator"]
    assert table(message).tolist() == [[2, 8, 4, 0.5]]


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.floats(1, 100, width=32), max_size=5)), max_size=12))
def test_the_browser_reconstructs_all_trials(steps):
    trials, store, sent = {}, {}, {}
    for number, values in steps:
        trials[number] = trial(number, values, status=f"attempt {len(values)}")
        message, sent = changes(trials.values(), sent)
        receive(store, message)
    expected = {
        number: {"status": one.status, "curve": [[epoch["epoch"] + 1, epoch["ks_comb"]] for epoch in one.epochs]}
        for number, one in trials.items()
    }
    assert store == expected


def test_values_that_are_not_numbers_leave_a_gap():
    odd = replace(
        trial(), epochs=({"epoch": 0, "a": None, "b": "text", "c": math.inf}, {"epoch": 1, "a": 2}), value=math.inf
    )
    message, _ = changes([odd])
    assert np.array_equal(table(message), [[1, np.nan, np.nan, np.inf], [2, 2, np.nan, np.nan]], equal_nan=True)
    assert message["rows"][0]["value"] is None


def test_parameters_become_numbers_or_strings():
    values = [True, None, "adam", np.float32(0.5), np.int64(3), (1, 2)]
    assert [plain(value) for value in values] == ["True", "None", "adam", 0.5, 3, "(1, 2)"]
    assert [type(plain(value)) for value in values[3:5]] == [float, int]


def test_parameters_of_a_space_are_described():
    space = {"lr": Real(1e-5, 1e-2, log=True), "n": Integer(1, 9), "optimizer": Choice("adam", None)}
    assert describe_parameters(space) == [
        {"name": "lr", "low": 1e-5, "high": 1e-2, "log": True},
        {"name": "n", "low": 1, "high": 9, "log": False},
        {"name": "optimizer", "choices": ["adam", "None"]},
    ]


@pytest.mark.parametrize("status", ["queued", "running", "stopping", "finished", "stopped", "pruned", "failed"])
def test_every_status_reaches_the_page(status):
    _, sent = changes([trial(0, [1.0], status="unheard of")])
    assert changes([trial(0, [1.0], status=status)], sent)[0]["rows"][0]["status"] == status
