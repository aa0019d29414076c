"""Trials that train the RPV DCGAN: it stops within 2 s, continues, keeps its best epoch, and can use two ranks."""

import time

import numpy as np
import pytest

from calolab import Sample, search, spaces, training, validation
from calolab.cluster import machine
from calolab.search import Choice
from tests.helpers import wait_for

GIBIBYTE = 2**30


@pytest.fixture(scope="module")
def events():
    """Images of the whole detector with a handful of hard jets each."""
    space, random = spaces.space("whole-detector"), np.random.default_rng(0)
    values = np.zeros((64, *space.shape), dtype=np.float32)
    for event in values:
        for _ in range(random.integers(3, 8)):
            row, column = random.integers(8, 56, 2)
            event[row : row + 2, column : column + 2] = random.uniform(50, 300)
    return Sample(values, {}, space)


@pytest.fixture
def train(events):
    """The RPV GAN in batches of 64, judged by its jets; what it is judged by may sleep for minutes."""
    score = training.PhysicsScore(validation.jet_score(events, seed=7, events=32, repetitions=10))

    def train(trial):
        import time

        from calolab import models, training

        def judged(gan):
            first = float(gan.generate(4, seed=1).values.mean())
            for _ in range(6000 if trial.parameters["score"] == "sleeps" else 0):
                time.sleep(0.1)
            return {**score(gan), "first": first, "ranks": trial.size}

        gan = models.build("rpv", trial.data.space, seed=trial.number)
        trial.fit(gan, batch_size=64 // trial.size, physics_score=training.PhysicsScore(judged))

    return train


def until(running, condition):
    def reached():
        assert not any(trial.status == "failed" for trial in running.trials), running.trials
        return condition()

    wait_for(reached, 240, every=0.02)


def seconds_to_stop(running, number):
    began = time.monotonic()
    running.stop(number)
    until(running, lambda: running.trial(number).status == "stopped")
    return time.monotonic() - began


def test_the_rpv_gan_stops_within_2_s_and_continues_with_its_best_epoch_kept(searchers, train, events, tmp_path):
    ids = searchers.ids
    running = search.start(
        searchers, train, {"score": Choice("quick")}, folder=tmp_path, data=events, trials=1, epochs=500
    )
    until(running, lambda: running.trials and len(running.trial(0).epochs) > 1)
    time.sleep(0.7)  # somewhere in an epoch
    assert seconds_to_stop(running, 0) < 2.0
    assert searchers.ids == ids
    done = len(running.trial(0).epochs)
    running.promote(0, done + 2)
    running.wait(120)
    trial = running.trial(0)
    assert trial.status == "finished" and [epoch["epoch"] for epoch in trial.epochs] == [*range(done + 2)]
    # The stop may have broken the score of one epoch; its losses are there.
    scored = [epoch for epoch in trial.epochs if "ks_comb" in epoch]
    assert len(scored) >= done + 1 and all(epoch["generator"] > 0 for epoch in trial.epochs)
    assert trial.value == min(epoch["ks_comb"] for epoch in scored)
    measured = trial.epochs[trial.best_epoch]
    assert {"discriminator", "generator", "ks_comb", "ks_jet_pt", "ks_multiplicity", "ks_summed_mass"} <= set(measured)
    assert measured["ks_comb"] == pytest.approx(
        sum(measured[f"ks_{n}"] for n in ("jet_pt", "multiplicity", "summed_mass"))
    )
    best = running.gan(0).generate(4, seed=1).values
    assert float(best.mean()) == pytest.approx(measured["first"], rel=1e-5)
    assert running.table().header[:6] == ("rank", "trial", "status", "score", "epoch", "ks_comb")
    resumed = [line for line in (tmp_path / "trials" / "0000.jsonl").read_text().splitlines() if '"begin"' in line]
    assert len(resumed) == 2 and '"resume": true' in resumed[1]


def test_a_stop_breaks_a_score_that_takes_its_time(searchers, train, events, tmp_path):
    space = {"score": Choice("sleeps")}
    running = search.start(searchers, train, space, folder=tmp_path, data=events, trials=1, epochs=3)
    until(running, (tmp_path / "trials" / "0000" / "checkpoint.npz").is_file)
    time.sleep(1.0)
    assert seconds_to_stop(running, 0) < 2.0
    with pytest.raises(FileNotFoundError, match="Trial 0 has no .*best.gan"):
        running.gan(0)


def test_two_engines_train_one_trial_together_and_stop_together(searchers, train, events, tmp_path):
    if not machine.built():
        pytest.skip("Horovod is not installed: .ci/horovod_wheel.py builds it")
    ids = searchers.ids
    running = search.start(
        searchers, train, {"score": Choice("quick")}, folder=tmp_path, data=events, trials=1, epochs=500, ranks=2
    )
    # The losses of an epoch come before its score.
    until(running, lambda: running.trials and any("ranks" in epoch for epoch in running.trial(0).epochs))
    trial = running.trial(0)
    assert trial.engines == ids and trial.epochs[0]["ranks"] == 2, trial.error
    seconds_to_stop(running, 0)
    assert searchers.ids == ids
    running.promote(0, len(running.trial(0).epochs) + 1)
    running.wait(120)
    assert running.trial(0).status == "finished" and running.trial(0).attempts == 2


def test_a_trial_with_a_time_limit_reports_the_epoch_that_it_cut_short(searchers, events, tmp_path):
    def train(trial):
        from calolab import models

        history = trial.fit(models.build("rpv", trial.data.space), batch_size=16, time_limit=1e-6)
        return {"steps": history.steps, "generator": history.losses("generator")[0]}

    running = search.start(
        searchers, train, {"score": Choice("none")}, folder=tmp_path, data=events, trials=1, metric="generator"
    )
    running.wait(120)
    trial = running.trial(0)
    assert trial.status == "finished" and trial.error == ""
    (epoch,) = trial.epochs
    assert epoch["steps"] == 1 and trial.value == epoch["generator"] and np.isfinite(epoch["discriminator"])
    assert running.gan(0).space == events.space


def test_a_trial_that_fills_the_memory_with_tensors_fails(searchers, tmp_path):
    def train(trial):
        import time

        import tensorflow as tf

        kept = []
        while True:
            kept.append(tf.ones((2**23,)) + 1)
            time.sleep(0.02)

    running = search.start(searchers, train, {"score": Choice("none")}, folder=tmp_path, trials=1, memory=2 * GIBIBYTE)
    running.wait(90)
    trial = running.trial(0)
    assert trial.status == "failed" and "more than its limit of 2.00 GiB" in trial.error
    deadline = time.monotonic() + 60
    while len(searchers) < 2 or trial.engines[0] in searchers.ids:  # it is replaced
        assert time.monotonic() < deadline
        time.sleep(0.1)
