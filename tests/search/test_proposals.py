"""Proposals: TPE uses the trials that have ended, also of an earlier notebook; bad trials are pruned."""

import numpy as np
import pytest

from calolab.search import Choice, Integer, Real, Trial, space
from calolab.search.proposals import Proposer

SPACE = {"x": Real(-3, 3), "n": Integer(1, 9), "c": Choice("a", "b")}


def proposer(method="tpe", pruner=None, known=(), direction="minimize"):
    return Proposer(SPACE, method, pruner, "loss", direction, seed=3, known=known)


def loss(parameters):
    return (parameters["x"] - 1) ** 2 + (parameters["c"] == "b") + 0.1 * parameters["n"]


def ended(number, parameters, value, status="finished"):
    trial = Trial(number, status, parameters)
    return trial if value is None else trial.with_epochs([{"epoch": 0, "loss": value}], "loss", "minimize")


def run(one, trials, start=0):
    history = []
    for number in range(start, start + trials):
        parameters = one.propose(number)
        history.append(ended(number, parameters, loss(parameters)))
        one.add_ended(history[-1])
    return history


def test_random_proposals_depend_on_seed_and_number_alone():
    one, other = proposer("random"), proposer("random", pruner="median")
    assert [one.propose(n) for n in range(5)] == [space.draw(SPACE, 3, n) for n in range(5)]
    assert [other.propose(n) for n in range(5)] == [space.draw(SPACE, 3, n) for n in range(5)]


def test_tpe_learns_and_repeats_itself():
    values = [trial.value for trial in run(proposer(), 40)]
    assert np.mean(values[-10:]) < 0.5 * np.mean(values[:10])
    assert [trial.value for trial in run(proposer(), 40)] == values


def test_tpe_continues_with_the_trials_of_an_earlier_notebook():
    history = run(proposer(), 40)
    later = run(proposer(known=history), 10, start=40)
    assert np.mean([trial.value for trial in later]) < 0.5 * np.mean([trial.value for trial in history[:10]])
    few = run(proposer(), 3)
    again = run(proposer(known=few), 3, start=3)
    assert not {trial.parameters["x"] for trial in few} & {trial.parameters["x"] for trial in again}


def test_trials_without_a_value_or_half_done_do_no_harm():
    one = proposer()
    for number, status in enumerate(["failed", "stopped", "pruned", "finished"]):
        one.add_ended(ended(number, one.propose(number), None if number < 2 else 1.0, status))
    known = [ended(0, space.draw(SPACE, 3, 0), None, "running"), ended(1, space.draw(SPACE, 3, 1), None)]
    assert set(proposer(known=known).propose(2)) == set(SPACE)


@pytest.mark.parametrize("pruner", ["median", "halving"])
@pytest.mark.parametrize("method", ["tpe", "random"])
def test_a_bad_trial_is_pruned_and_a_good_one_is_not(method, pruner):
    one = proposer(method, pruner)
    for number in range(8):
        parameters = one.propose(number)
        for epoch in range(8):
            one.should_prune(number, epoch, 10.0 - epoch + 0.1 * number)
        one.add_ended(ended(number, parameters, 3.0))
    bad, good = 8, 9
    for number in (bad, good):
        one.propose(number)
    assert any(one.should_prune(bad, epoch, 50.0) for epoch in range(8))
    assert not any(one.should_prune(good, epoch, 1.0 - 0.1 * epoch) for epoch in range(8))
    assert not one.should_prune(bad, 0, 50.0)  # only once


def test_nothing_is_pruned_without_a_pruner():
    one = proposer()
    one.propose(0)
    assert not any(one.should_prune(0, epoch, 1e9) for epoch in range(9))
