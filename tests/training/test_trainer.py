import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

from calolab import cpu
from calolab.interrupts import Stopped
from calolab.training import PhysicsScore, Recipe, TrainingDiverged, fit
from calolab.training.history import History

QUIET = {"batch_size": 4, "progress": False}


def stop_after(asked):
    """A `should_stop` that returns True from its `asked`-th call on."""
    times = iter(range(1, 10_000))
    return lambda: next(times) >= asked


def equal(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_training_moves_every_weight_and_records_every_epoch(tiny_gan, tiny_sample, weights):
    gan, seen = tiny_gan(), []
    before = weights(gan)
    history = fit(gan, tiny_sample(), epochs=3, seed=1, callbacks=[seen.append], **QUIET)
    assert all(np.all(np.isfinite(after)) for after in weights(gan))
    assert not any(np.array_equal(a, b) for a, b in zip(before, weights(gan)))
    assert [epoch["epoch"] for epoch in history.epochs] == [0, 1, 2]
    assert [epoch["events"] for epoch in history.epochs] == [21, 21, 21]
    assert not history.stopped
    assert [(p.epoch, p.step) for p in seen] == [(e, s) for e in range(3) for s in range(6)]
    discriminator = history.losses("discriminator")
    assert discriminator[-1] < discriminator[0]
    # The published weights: the total is 2 BCE + 0.1 MAPE + 0.1 MAPE, and the generator's is minimised twice a step.
    for losses in (epoch["losses"] for epoch in history.epochs):
        total = 2 * losses["generator_generation"] + 0.1 * (losses["generator_auxiliary"] + losses["generator_ecal"])
        assert losses["generator"] == pytest.approx(total, rel=1e-4)
        assert losses["real_ecal"] == pytest.approx(0, abs=1e-3)
    training = gan.provenance["trainings"][0]
    assert training["epochs"] == 3 and training["cpu"] == str(cpu.report())
    assert training["data"] == {"simulation": "random numbers"}
    # This sample deposits 2 % of the incident energy: 2 GeV at E = 1 (100 GeV).
    assert np.polyval(training["response"]["coefficients"], 0.3) == pytest.approx(2, rel=1e-4)


def test_same_seed_same_weights(tiny_gan, tiny_sample, weights):
    results = []
    for seed in (1, 1, 2):
        gan = tiny_gan()
        fit(gan, tiny_sample(), epochs=1, seed=seed, **QUIET)
        results.append(weights(gan))
    assert equal(results[0], results[1])
    assert not equal(results[0], results[2])


def test_a_training_resumes_to_bit_equal_weights_as_if_never_stopped(tmp_path):
    script = """
        import sys
        import numpy as np, tensorflow as tf
        tf.config.experimental.enable_op_determinism()
        import calolab as cl
        from tests.tiny import tiny_gan, tiny_sample

        def train(weights_seed, **options):
            gan = tiny_gan(weights_seed)
            history = cl.training.fit(gan, tiny_sample(5), epochs=2, batch_size=2, seed=3, progress=False, **options)
            return gan, history

        def variables(gan):
            return [np.array(v) for model in (gan.generator, gan.discriminator) for v in model.variables]

        whole, expected = train(0)
        times = iter(range(100))
        # Asked 4 times a step, 3 steps an epoch: this stops within the second epoch, in the middle of its first step.
        part, history = train(0, checkpoints=sys.argv[1], should_stop=lambda: next(times) >= 13)
        assert history.stopped and len(history.epochs) == 1
        assert not all(np.array_equal(a, b) for a, b in zip(variables(whole), variables(part)))
        resumed, history = train(99, checkpoints=sys.argv[1], resume=True)
        assert not history.stopped
        for a, b in zip(variables(whole), variables(resumed), strict=True):
            np.testing.assert_array_equal(a, b)
        assert [e["losses"] for e in history.epochs] == [e["losses"] for e in expected.epochs]
        print("equal")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip().endswith("equal"), done.stderr[-3000:]


def test_resumed_training_refuses_other_settings_and_missing_or_damaged_checkpoints(tiny_gan, tiny_sample, tmp_path):
    options = {"epochs": 2, "checkpoints": tmp_path, **QUIET}
    with pytest.raises(FileNotFoundError, match="resume=False"):
        fit(tiny_gan(), tiny_sample(), resume=True, **options)
    history = fit(tiny_gan(), tiny_sample(), should_stop=stop_after(2), **options)
    assert history.stopped
    with pytest.raises(ValueError, match="seed: 0 before, 5 now"):
        fit(tiny_gan(), tiny_sample(), resume=True, seed=5, **options)
    with pytest.raises(ValueError, match="events: 21 before, 30 now"):
        fit(tiny_gan(), tiny_sample(30), resume=True, **options)
    checkpoint = tmp_path / "checkpoint.npz"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged"):
        fit(tiny_gan(), tiny_sample(), resume=True, **options)


def test_new_training_sets_an_earlier_checkpoint_aside(tiny_gan, tiny_sample, tmp_path):
    for _ in range(2):
        fit(tiny_gan(), tiny_sample(4), epochs=1, checkpoints=tmp_path, **QUIET)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.npz", "previous.npz"]


def test_not_a_number_stops_with_the_weights_of_the_last_good_epoch(tiny_gan, tiny_sample, weights, tmp_path):
    gan, good = tiny_gan(), []

    def poison(progress):
        if (progress.epoch, progress.step) == (0, progress.steps - 1):
            good.extend(weights(gan))
        if (progress.epoch, progress.step) == (1, 0):
            variable = gan.discriminator.trainable_variables[0]
            variable.assign(np.full(variable.shape, np.nan))

    options = {"epochs": 2, "checkpoints": tmp_path, **QUIET}
    with pytest.raises(TrainingDiverged, match=r"Epoch 2, step 2, real pass.*nan"):
        fit(gan, tiny_sample(), callbacks=[poison], **options)
    assert equal(weights(gan), good)
    resumed = tiny_gan(seed=9)
    history = fit(resumed, tiny_sample(), resume=True, **options)
    assert len(history.epochs) == 2
    assert all(np.all(np.isfinite(after)) for after in weights(resumed))


def test_collapse_to_empty_showers_stops(tiny_gan, tiny_sample, weights):
    gan = tiny_gan()
    for variable in gan.generator.trainable_variables[-2:]:
        variable.assign(np.zeros(variable.shape))
    before = weights(gan)
    with pytest.raises(TrainingDiverged, match="All its events were empty in 2 consecutive steps"):
        fit(gan, tiny_sample(), epochs=1, recipe=Recipe(empty_limit=2), **QUIET)
    assert equal(before, weights(gan))


def test_interrupt_finishes_the_pass_keeps_a_checkpoint_and_raises(tiny_gan, tiny_sample, weights, tmp_path):
    expected = tiny_gan()
    fit(expected, tiny_sample(), epochs=2, **QUIET)

    def interrupt(progress):
        if (progress.epoch, progress.step) == (0, 2):
            os.kill(os.getpid(), signal.SIGINT)

    options = {"epochs": 2, "checkpoints": tmp_path, **QUIET}
    handler = signal.getsignal(signal.SIGINT)
    interrupted = tiny_gan()
    with pytest.raises(KeyboardInterrupt):
        fit(interrupted, tiny_sample(), callbacks=[interrupt], **options)
    assert signal.getsignal(signal.SIGINT) is handler
    assert all(np.all(np.isfinite(after)) for after in weights(interrupted))
    resumed = tiny_gan(seed=9)
    fit(resumed, tiny_sample(), resume=True, **options)
    assert equal(weights(resumed), weights(expected))


@pytest.mark.filterwarnings("ignore:This machine has neither")
def test_bfloat16_trains_float32_variables_and_leaves_the_networks_as_they_were(tiny_gan, tiny_sample, weights):
    gan, reference = tiny_gan(), tiny_gan()
    fit(gan, tiny_sample(), epochs=1, precision="bfloat16", **QUIET)
    fit(reference, tiny_sample(), epochs=1, **QUIET)
    assert {after.dtype for after in weights(gan)} == {np.dtype("float32")}
    assert all(np.all(np.isfinite(after)) for after in weights(gan))
    assert not equal(weights(gan), weights(reference))
    assert {layer.compute_dtype for layer in gan.generator.layers} == {"float32"}


def test_two_ranks_end_with_equal_weights_from_different_data(tiny_gan, tiny_sample, weights, on_ranks, tmp_path):
    sample = tiny_sample(11)
    gans = [tiny_gan(seed=0), tiny_gan(seed=1)]

    def work(rank):
        gan = gans[rank.rank]
        history = fit(
            gan,
            sample.shard(rank.rank, rank.size),
            epochs=2,
            batch_size=2,
            progress=False,
            parallel=rank,
            checkpoints=tmp_path if rank.rank == 0 else tmp_path / "never written",
        )
        return history, weights(gan)

    (first, first_weights), (second, second_weights) = on_ranks(2, work)
    assert equal(first_weights, second_weights)
    assert [epoch["losses"] for epoch in first.epochs] == [epoch["losses"] for epoch in second.epochs]
    assert [epoch["events"] for epoch in first.epochs] == [11, 11]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.npz"]


def test_a_stop_request_on_one_rank_stops_all_after_the_same_pass_and_all_resume(
    tiny_gan, tiny_sample, weights, on_ranks, tmp_path
):
    sample = tiny_sample(10)

    def train(**options):
        def work(rank):
            gan = tiny_gan(seed=rank.rank)
            mine = {**options, "should_stop": options.get("should_stop") if rank.rank == 1 else None}
            shard = sample.shard(rank.rank, rank.size)
            history = fit(gan, shard, epochs=2, parallel=rank, **{**QUIET, "batch_size": 2}, **mine)
            return history, weights(gan)

        return on_ranks(2, work)

    whole = train()
    stopped = train(checkpoints=tmp_path, should_stop=stop_after(3))
    assert [history.stopped for history, _ in stopped] == [True, True]
    assert equal(stopped[0][1], stopped[1][1])
    resumed = train(checkpoints=tmp_path, resume=True)
    assert equal(resumed[0][1], resumed[1][1])
    assert equal(whole[0][1], resumed[0][1])


def test_an_error_on_one_rank_is_an_error_on_all(tiny_gan, tiny_sample, on_ranks, tmp_path):
    def diverging(rank):
        gan = tiny_gan()

        def poison(progress):
            if rank.rank == 1:
                gan.generator.trainable_variables[0].assign(np.full((6, 32), np.nan))

        fit(gan, tiny_sample(8), epochs=1, callbacks=[poison], parallel=rank, **QUIET)

    assert [type(outcome) for outcome in on_ranks(2, diverging)] == [TrainingDiverged] * 2

    def uneven(rank):
        fit(tiny_gan(), tiny_sample(4 + 3 * rank.rank), epochs=1, parallel=rank, **QUIET)

    assert all("differ by one event" in str(outcome) for outcome in on_ranks(2, uneven))

    def without_checkpoint(rank):
        fit(tiny_gan(), tiny_sample(4), epochs=1, parallel=rank, checkpoints=tmp_path, resume=True, **QUIET)

    assert all("No checkpoint" in str(outcome) for outcome in on_ranks(2, without_checkpoint))

    def bad_argument_on_one(rank):
        fit(tiny_gan(), tiny_sample(4), epochs=1, parallel=rank, precision=("float32", "float8")[rank.rank], **QUIET)

    outcomes = on_ranks(2, bad_argument_on_one)
    assert "Another rank refused" in str(outcomes[0])
    assert "float8" in str(outcomes[1])


def test_data_and_networks_that_do_not_fit_are_refused(tiny_gan, tiny_sample):
    gan, sample = tiny_gan(), tiny_sample(4)
    with pytest.raises(ValueError, match="lack energy"):
        fit(gan, type(sample)(sample.values, {"mass": sample.labels["energy"]}, sample.space), epochs=1)
    with pytest.raises(ValueError, match="All heads need a weight"):
        fit(gan, sample, epochs=1, recipe=Recipe(weights={"generation": 1.0}))
    with pytest.raises(ValueError, match="needs checkpoints="):
        fit(gan, sample, epochs=1, resume=True)
    with pytest.raises(ValueError, match="epochs must be"):
        fit(gan, sample, epochs=0)
    with pytest.raises(ValueError, match="seed must not be negative"):
        fit(gan, sample, epochs=1, seed=-1)
    from calolab.models import build

    with pytest.raises(ValueError, match="in space 'tiny', but the GAN generates events in 'clic-ecal'"):
        fit(build("3dgan", "clic-ecal"), sample, epochs=1)


def test_history_survives_json(tiny_gan, tiny_sample):
    import json

    history = fit(tiny_gan(), tiny_sample(4), epochs=1, **QUIET)
    assert History.from_dict(json.loads(json.dumps(history.to_dict()))) == history
    assert keras.config.floatx() == "float32"


def test_scaled_learning_rates_are_those_that_the_networks_learn_with(tiny_gan, tiny_sample, weights):
    def trained(**changes):
        gan = tiny_gan()
        fit(gan, tiny_sample(), epochs=1, batch_size=8, recipe=Recipe(**changes), progress=False)
        return weights(gan)

    scaled = {"learning_rate": 2.5e-4, "rate_scaling": "linear", "reference_batch": 2}
    for one, other in zip(trained(learning_rate=1e-3), trained(**scaled), strict=True):
        np.testing.assert_array_equal(one, other)
    warmed = trained(**scaled, warmup_epochs=2)
    assert any(np.any(one != other) for one, other in zip(trained(**scaled), warmed, strict=True))


def test_warm_up_continues_after_a_resumption(tiny_gan, tiny_sample, weights, tmp_path):
    recipe = Recipe(rate_scaling="linear", reference_batch=2, warmup_epochs=3)
    options = {"batch_size": 8, "recipe": recipe, "progress": False}
    straight, resumed = tiny_gan(), tiny_gan()
    fit(straight, tiny_sample(), epochs=2, **options)
    fit(tiny_gan(), tiny_sample(), epochs=1, checkpoints=tmp_path, **options)
    fit(resumed, tiny_sample(), epochs=2, checkpoints=tmp_path, resume=True, **options)
    for one, other in zip(weights(straight), weights(resumed), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_time_limit_stops_after_the_step_that_passes_it_and_resumes_bit_identically(
    tiny_gan, tiny_sample, weights, tmp_path
):
    whole, resumed, seen = tiny_gan(), tiny_gan(seed=9), []
    expected = fit(whole, tiny_sample(), epochs=2, **QUIET)
    assert (expected.reason, expected.unfinished, expected.steps) == ("", None, 12)
    options = {"epochs": 2, "checkpoints": tmp_path, "callbacks": [seen.append], **QUIET}
    # The first step passes this limit, and the resumed training has it again.
    first = fit(tiny_gan(), tiny_sample(), time_limit=1e-6, **options)
    second = fit(tiny_gan(seed=8), tiny_sample(), time_limit=1e-6, resume=True, **options)
    assert [(now.epoch, now.step, now.time_limit) for now in seen] == [(0, 0, 1e-6), (0, 1, 1e-6)]
    for number, history in ((1, first), (2, second)):
        assert history.stopped and history.reason == "time limit" and history.epochs == ()
        assert history.steps == history.unfinished["steps"] == number
        assert history.unfinished["events"] == 4 * number and history.samples_per_second > 0
        assert history.losses("generator") == [history.unfinished["losses"]["generator"]]
        assert History.from_dict(history.to_dict()) == history
    assert first.unfinished["losses"]["discriminator"] == seen[0].losses["discriminator"]
    history = fit(resumed, tiny_sample(), resume=True, time_limit=3600, **options)
    assert not history.stopped and history.steps == 12 and history.unfinished is None
    assert equal(weights(resumed), weights(whole))
    assert [epoch["losses"] for epoch in history.epochs] == [epoch["losses"] for epoch in expected.epochs]


def test_a_time_limit_that_passes_on_one_rank_stops_all_after_the_same_step(tiny_gan, tiny_sample, weights, on_ranks):
    sample = tiny_sample(10)

    def work(rank):
        gan, shard, limit = tiny_gan(), sample.shard(rank.rank, rank.size), (3600, 1e-6)[rank.rank]
        history = fit(gan, shard, epochs=2, batch_size=2, progress=False, parallel=rank, time_limit=limit)
        return history, weights(gan)

    (first, first_weights), (second, second_weights) = on_ranks(2, work)
    assert first.reason == second.reason == "time limit" and first.steps == second.steps == 1
    assert equal(first_weights, second_weights)


def test_a_time_limit_keeps_the_best_epoch(tiny_gan, tiny_sample, weights, tmp_path):
    scored_weights = []

    def score(gan):
        scored_weights.append(weights(gan))
        return {"ks_comb": (1.0, 2.0)[len(scored_weights) - 1]}

    options = {"epochs": 3, "physics_score": PhysicsScore(score), "checkpoints": tmp_path, "time_limit": 1e-6, **QUIET}
    fit(tiny_gan(), tiny_sample(4), **options)
    gan = tiny_gan(seed=9)
    history = fit(gan, tiny_sample(4), resume=True, **options)
    assert history.reason == "time limit" and history.unfinished is None and history.scores("ks_comb") == [1, 2]
    assert equal(weights(gan), scored_weights[0]) and not equal(scored_weights[0], scored_weights[1])


@pytest.mark.parametrize("limit", [0, -1.0, float("nan"), float("inf"), "60", True])
def test_a_time_limit_must_be_positive(tiny_gan, tiny_sample, limit):
    with pytest.raises(ValueError, match="time_limit expects a positive number of seconds"):
        fit(tiny_gan(), tiny_sample(4), epochs=1, time_limit=limit)


@pytest.mark.parametrize("when", ["last pass", "score", "on_epoch"])
def test_ctrl_c_in_the_last_epoch_reports_that_it_was_the_last(tiny_gan, tiny_sample, tmp_path, when):
    def interrupt():
        signal.raise_signal(signal.SIGINT)

    def score(gan):
        scored.append(gan)
        if len(scored) == 2:
            interrupt()
        return {"score": 1.0 / len(scored)}

    scored, options = [], {"epochs": 2, "batch_size": 11, "checkpoints": tmp_path, "progress": False}
    at = {
        "last pass": {"callbacks": [lambda now: interrupt() if now.epoch == now.step == 1 else None]},
        "score": {"physics_score": PhysicsScore(score, "score")},
        "on_epoch": {"on_epoch": lambda epochs, gan: interrupt() if len(epochs) == 2 else None},
    }
    with pytest.raises(Stopped) as stopped:
        fit(tiny_gan(), tiny_sample(), **options, **at[when])
    kept = f"checkpoint in {tmp_path}, resume=True returns its history"
    assert str(stopped.value) == f"Stopped: the training after the last of 2 epochs; {kept}."
    assert len(fit(tiny_gan(), tiny_sample(), **options, resume=True).epochs) == 2


def test_ctrl_c_before_the_first_pass_names_no_pass(tiny_gan, tiny_sample, monkeypatch):
    def interrupt(*_):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("calolab.training.trainer.begin", interrupt)
    with pytest.raises(Stopped, match="^Stopped: the training; checkpoints written before, if any, are kept.$"):
        fit(tiny_gan(), tiny_sample(), epochs=1, **QUIET)


def test_a_resumption_on_another_cpu_warns(tiny_gan, tiny_sample, tmp_path, monkeypatch, recwarn):
    options = {"checkpoints": tmp_path, **QUIET}
    fit(tiny_gan(), tiny_sample(), epochs=1, **options)
    fit(tiny_gan(), tiny_sample(), epochs=2, resume=True, **options)
    assert not [one for one in recwarn if "checkpoint" in str(one.message)]
    monkeypatch.setattr(cpu, "model", lambda: "another CPU")
    with pytest.warns(UserWarning, match=r"checkpoint\.npz was written on other hardware.*another CPU.*not bit-id"):
        history = fit(tiny_gan(), tiny_sample(), epochs=3, resume=True, **options)
    assert len(history.epochs) == 3
