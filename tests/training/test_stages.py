"""Stages with recipes of their own: objectives, learning rates, clipping, averages; alone, resumed and on two ranks."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calolab import models
from calolab.models import architectures
from calolab.training import (
    PhysicsScore,
    Recipe,
    Stage,
    TrainingDiverged,
    TrainingRequest,
    fit,
    loop,
    objectives,
    trainer,
)
from calolab.training.objectives import find_objective
from calolab.training.ranks import Alone
from tests.tiny import SPACE

TOY = Path(__file__).parent / "toy" / "toy_critic.py"
QUIET = {"batch_size": 8, "progress": False}
FIRST = {"objective": "toy-critic/regression", "learning_rate": 1e-2, "schedule": "cosine", "average": 0.9}
SECOND = {
    "objective": "toy-critic/shape",
    "learning_rate": {"critic": 2e-3, "shape": 1e-3},
    "network_passes": {"critic": 2},
    "schedule": "linear",
    "final_rate": 0.1,
    "clip": 0.05,
    "average": 0.8,
}
STAGES = (Stage("total", 2, FIRST), Stage(("critic", "shape"), recipe=SECOND))


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    """The toy architecture in the folder of the registry."""
    folder = tmp_path / "architectures"
    folder.mkdir()
    (folder / "toy_critic.py").write_text(TOY.read_text())
    monkeypatch.setattr(architectures, "__path__", [*architectures.__path__, str(folder)])
    yield
    sys.modules.pop("calolab.models.architectures.toy_critic", None)


def build(seed=1):
    return models.build("toy-critic", SPACE, seed=seed)


def arrays(gan):
    return {name: [np.array(v.value.numpy()) for v in network.weights] for name, network in gan.networks.items()}


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def close(first, second, rtol=1e-4):
    return all(np.allclose(a, b, rtol=rtol, atol=1e-6) for a, b in zip(first, second, strict=True))


def begun(recipe, sample, epochs=4, **request):
    """A training before its first step."""
    run = trainer.prepare(
        build(), sample, TrainingRequest(epochs=epochs, batch_size=8, recipe=recipe, **request), Alone()
    )
    return run, trainer.begin(run)[0]


def test_an_architecture_trains_with_its_own_objectives(tiny_sample):
    recipe = Recipe.published("toy-critic")
    assert [recipe.passes_in(epoch) for epoch in (1, 2)] == [("total",), ("critic", "critic", "shape")]
    assert Recipe.from_dict(recipe.to_dict()) == recipe and recipe.at(2).betas == (0.0, 0.9)
    gan, seen = build(), []
    history = fit(gan, tiny_sample(64), epochs=4, on_epoch=lambda epochs, gan: seen.append(arrays(gan)), **QUIET)
    assert [set(epoch["losses"]) for epoch in history.epochs] == [{"total", "total_bias"}] * 2 + [
        {"critic", "shape"}
    ] * 2
    assert history.losses("total")[1] < history.losses("total")[0]
    assert abs(history.losses("total_bias")[1]) < abs(history.losses("total_bias")[0])
    # The critic has two batches in a step, each with other events, so that there are half as many steps.
    assert [epoch["steps"] for epoch in history.epochs] == [8, 8, 4, 4] and history.steps == 24
    assert [epoch["events"] for epoch in history.epochs] == [64] * 4
    assert same(seen[1]["critic"], arrays(build())["critic"]) and same(seen[3]["total"], seen[1]["total"])
    assert not same(seen[3]["shape"], seen[1]["shape"]) and not same(seen[3]["critic"], seen[1]["critic"])


def test_constants_are_fitted_to_a_new_training_and_never_change(tiny_sample, tmp_path):
    sample, options = tiny_sample(50), {"checkpoints": tmp_path, **QUIET}
    energies = sample.labels["energy"]
    gan, resumed, kept = build(), build(), build()
    fit(gan, sample, epochs=1, **options)
    fitted = np.array([energies.mean(), energies.var()])
    np.testing.assert_allclose(np.ravel(gan.networks["total"].layers[1].get_weights()), fitted, rtol=1e-5)
    fit(resumed, sample, epochs=2, resume=True, **options)
    assert same(resumed.networks["total"].layers[1].get_weights(), gan.networks["total"].layers[1].get_weights())
    fit(kept, sample, epochs=1, recipe=replace(Recipe.published("toy-critic"), prepare=False), **QUIET)
    assert same(kept.networks["total"].layers[1].get_weights(), build().networks["total"].layers[1].get_weights())


def test_a_stage_has_batches_of_its_own_size(tiny_sample):
    large = Stage("total", 1, {**FIRST, "batch_multiple": 4})
    recipe = Recipe(stages=(large, Stage("total", recipe=FIRST)))
    history = fit(build(), tiny_sample(64), epochs=2, recipe=recipe, **QUIET)
    assert [epoch["steps"] for epoch in history.epochs] == [2, 8]
    assert [epoch["events"] for epoch in history.epochs] == [64, 64]
    same_steps = replace(recipe, stages=(Stage("total", 1, FIRST),))
    other = fit(build(), tiny_sample(64), epochs=1, recipe=same_steps, batch_size=32, progress=False)
    assert other.losses("total")[0] == pytest.approx(history.losses("total")[0], rel=1e-6)


def test_constants_are_measured_on_rank_0_at_the_end_of_a_training(tiny_sample, on_ranks, monkeypatch, tmp_path):
    record, calls = models.find("toy-critic"), []

    def calibrate(gan, sample, seed):
        calls.append((len(sample), seed))
        (constant, other) = (variable for variable in gan.networks["total"].layers[1].weights)
        constant.assign(constant + 100.0 * len(calls))

    monkeypatch.setattr(trainer.registry, "get", lambda name: replace(record, calibrate=calibrate))
    sample, options = tiny_sample(32), {"recipe": Recipe(stages=(STAGES[0],), prepare=False), "seed": 3}

    def work(rank):
        gan = build()
        fit(gan, sample.shard(rank.rank, 2), epochs=2, batch_size=4, parallel=rank, progress=False, **options)
        return arrays(gan)

    first, second = on_ranks(2, work)
    assert calls == [(32, 3)] and all(same(first[name], second[name]) for name in first)
    assert not same(first["total"][:1], arrays(build())["total"][:1])
    fit(build(), sample, epochs=2, **{**options, "recipe": replace(options["recipe"], calibrate=False)}, **QUIET)
    assert len(calls) == 1


def test_constants_do_not_drift_on_ranks_whose_mean_is_rounded(tiny_sample):
    class Rounded:
        """A rank whose averages are multiplied by a number near 1, as by a rounded 1/3 on three ranks."""

        rank, size = 0, 1
        broadcast = Alone.broadcast

        def average(self, tensors):
            return [tensor * (1 + 1e-6) if tensor.dtype.is_floating else tensor for tensor in tensors]

    gan, plain = build(), build()
    fit(plain, tiny_sample(64), epochs=1, **QUIET)
    fit(gan, tiny_sample(64), epochs=2, parallel=Rounded(), **QUIET)
    unit = gan.networks["total"].layers[1].get_weights()
    assert same(unit, plain.networks["total"].layers[1].get_weights())


def test_two_stages_are_two_trainings_one_after_the_other(tiny_sample):
    sample = tiny_sample(8)  # one step per epoch, so that the order of events does not matter
    recipe = Recipe(objective="toy-critic/regression", stages=(Stage("total", 2, FIRST), Stage("total", 3, FIRST)))
    one = build()
    fit(one, sample, epochs=5, recipe=replace(recipe, stages=(Stage("total", 2, FIRST), STAGES[1])), **QUIET)
    two = build()
    fit(two, sample, epochs=2, recipe=Recipe(**FIRST), **QUIET)
    assert close(arrays(one)["total"], arrays(two)["total"]) and not close(
        arrays(two)["total"], arrays(build())["total"]
    )
    # Another setting of the optimizer: moments, average and schedule start again, from the averaged weights.
    other = {**FIRST, "learning_rate": 3e-3, "betas": (0.7, 0.9), "optimizer": "adam"}
    staged, separate = build(), build()
    stages = (Stage("total", 2, FIRST), Stage("total", 3, other))
    fit(staged, sample, epochs=5, recipe=Recipe(objective="toy-critic/regression", stages=stages), **QUIET)
    fit(separate, sample, epochs=2, recipe=Recipe(**FIRST), **QUIET)
    fit(separate, sample, epochs=3, recipe=Recipe(**other), **QUIET)
    assert close(arrays(staged)["total"], arrays(separate)["total"])


@pytest.mark.parametrize("stop", [5, 7, 8, 20, 30])
def test_a_training_with_all_of_this_resumes_bit_identically(tiny_sample, tmp_path, stop):
    sample, recipe = tiny_sample(32), Recipe(stages=STAGES)
    whole, part, resumed = build(), build(), build(9)
    expected = fit(whole, sample, epochs=6, recipe=recipe, **QUIET)
    calls = iter(range(1000))
    options = {"epochs": 6, "recipe": recipe, "checkpoints": tmp_path, **QUIET}
    assert fit(part, sample, should_stop=lambda: next(calls) >= stop, **options).stopped
    history = fit(resumed, sample, resume=True, **options)
    assert [epoch["losses"] for epoch in history.epochs] == [epoch["losses"] for epoch in expected.epochs]
    for name, found in arrays(resumed).items():
        assert same(found, arrays(whole)[name])
    assert not same(arrays(part)["generator"], arrays(whole)["generator"])


def test_names_in_checkpoints_are_those_of_earlier_versions_where_stages_have_no_recipes(tiny_sample, tmp_path):
    def names(recipe, folder):
        fit(build(), tiny_sample(8), epochs=3, recipe=recipe, checkpoints=tmp_path / folder, **QUIET)
        with np.load(tmp_path / folder / "checkpoint.npz") as file:
            return {name.rsplit(" ", 1)[0] for name in file.files} - {"header"}

    networks = {"generator", "critic"}  # the others are parts of the generator
    plain = Recipe(objective="toy-critic/shape", stages=(Stage("critic", 2), Stage("critic")))
    assert names(plain, "plain") == networks | {"critic optimizer", "shape optimizer"}
    later = {**SECOND, "betas": (0.0, 0.5)}
    stages = (*STAGES[:1], Stage(("critic", "shape"), 2, SECOND), Stage(("shape",), 2, later | {"learning_rate": 1.0}))
    stages = (*stages[:2], Stage("shape", 2, {**later, "network_passes": {}, "learning_rate": 1e-3}))
    optimizers = {"total optimizer", "critic optimizer", "shape optimizer", "shape of stage 3 optimizer"}
    averages = {"total average", "critic average", "shape average"}
    assert names(Recipe(stages=stages), "staged") == networks | optimizers | averages


def test_learning_rates_follow_their_schedule_in_each_stage_and_network(tiny_sample):
    run, state = begun(Recipe(stages=STAGES), tiny_sample(16), epochs=4)
    batch, seen = run.data, []
    for epoch in range(4):
        for step in range(run.steps(epoch)):
            state.epoch, state.step, state.passes = epoch, step, 0
            loop.take_step(run, batch, state, lambda: False)
            optimizers = run.part(state.epoch).optimizers
            seen.append({name: float(one.learning_rate.numpy()) for name, one in optimizers.items()})
    cosine = [1e-2 * (1 + np.cos(np.pi * done)) / 2 for done in (0, 0.25, 0.5, 0.75)]
    assert [one["total"] for one in seen[:4]] == pytest.approx(cosine, rel=1e-6)
    assert seen[4:] == [
        pytest.approx({"critic": 2e-3, "shape": 1e-3}),
        pytest.approx({"critic": 1.1e-3, "shape": 5.5e-4}),
    ]


def test_gradients_are_clipped_to_their_norm(tiny_sample):
    def slots(clip):
        recipe = Recipe(objective="toy-critic/regression", clip=clip)
        run, state = begun(recipe, tiny_sample(8))
        loop.take_step(run, run.data, state, lambda: False)
        # After one step RMSprop's running means are a tenth of the squared gradients.
        return np.sqrt(10 * sum(np.sum(v.numpy()) for v in run.parts[0].optimizers["total"].variables[2:]))

    norm = slots(None)
    assert slots(norm / 3) == pytest.approx(norm / 3, rel=1e-4)
    assert slots(norm * 3) == pytest.approx(norm, rel=1e-4)


def test_averages_are_those_of_the_weights_after_each_pass(tiny_sample):
    recipe, raw, scored = Recipe(objective="toy-critic/regression", average=0.5), [], []

    def total(gan):
        return [np.array(v.value.numpy()) for v in gan.networks["total"].trainable_variables]

    gan = build()
    score = PhysicsScore(lambda gan: scored.append(total(gan)) or {"score": -len(scored)}, by="score")
    options = {"epochs": 4, "recipe": recipe, "physics_score": score, **QUIET}
    fit(gan, tiny_sample(32), callbacks=[lambda progress: raw.append(total(gan))], **options)
    expected, mean = [], raw[0]
    for done, weights in enumerate(raw[1:], 1):
        decay = min(0.5, done / (done + 9))
        mean = [decay * old + (1 - decay) * new for old, new in zip(mean, weights, strict=True)]
        expected.append(mean)
    for epoch in range(4):
        assert close(scored[epoch], expected[4 * epoch + 2], rtol=1e-5)
        assert not close(scored[epoch], raw[4 * epoch + 3], rtol=1e-5)
    assert same(total(gan), scored[3]), "the best epoch has the averaged weights that were scored"


def test_a_stage_begins_with_the_averaged_weights_of_the_one_before(tiny_sample):
    seen = {}

    def note(epochs, gan):
        seen[len(epochs)] = arrays(gan)

    recipe = Recipe(stages=(STAGES[0], Stage("total", recipe={**FIRST, "learning_rate": 1e-12})))
    fit(build(), tiny_sample(32), epochs=3, recipe=recipe, on_epoch=note, **QUIET)
    assert close(seen[2]["total"], seen[3]["total"]) and not close(seen[1]["total"], seen[2]["total"])


@pytest.mark.parametrize("pooled", [0, 8])
def test_two_ranks_learn_as_one_with_their_global_batch(pooled, tiny_sample, on_ranks, monkeypatch):
    monkeypatch.setattr(trainer, "POOLED_EVENTS", pooled)
    sample = tiny_sample(8)
    recipe = Recipe(stages=(STAGES[0], Stage("total", recipe={**FIRST, "clip": 0.01, "schedule": "constant"})))
    options = {"epochs": 4, "recipe": recipe, "progress": False}

    def work(rank):
        gan = build(1 + rank.rank)
        fit(gan, sample.shard(rank.rank, 2), batch_size=4, parallel=rank, **options)
        return arrays(gan)

    first, second = on_ranks(2, work)
    alone = build()
    # The constants are those of all events if there are few, and of the first rank's if there are many.
    one = trainer.registry.find("toy-critic")
    one.prepare(alone, sample if pooled else sample.shard(0, 2))
    fit(alone, sample, batch_size=8, **{**options, "recipe": replace(recipe, prepare=False)})
    assert all(same(first[name], second[name]) for name in first)
    assert close(first["total"], arrays(alone)["total"]) and not close(first["total"], arrays(build())["total"])


def test_another_number_of_epochs_is_refused_only_where_a_schedule_depends_on_it(tiny_sample, tmp_path):
    def trained(epochs, folder, resume=False, **changes):
        recipe = Recipe(objective="toy-critic/regression", **changes)
        options = {"checkpoints": tmp_path / folder, "resume": resume, "recipe": recipe, **QUIET}
        return fit(build(), tiny_sample(8), epochs=epochs, **options)

    trained(1, "cosine", schedule="cosine")
    with pytest.raises(ValueError, match="total_epochs: 1 before, 2 now.*follow a schedule until the last epoch"):
        trained(2, "cosine", resume=True, schedule="cosine")
    ending = {"stages": (Stage("total", 1, {"schedule": "cosine"}), Stage("total"))}
    trained(1, "ending", **ending)
    assert len(trained(2, "ending", resume=True, **ending).epochs) == 2


def test_an_objective_takes_only_the_random_numbers_that_it_needs(tiny_sample, monkeypatch):
    sizes, record = {}, models.find("toy-critic")

    def watched(name, loss):
        def found(gan, inputs, training):
            sizes[name] = inputs["latent"].shape[1]
            return loss(gan, inputs, training)

        return found

    losses = {one: {name: watched(name, f) for name, f in of.items()} for one, of in record.objectives.items()}
    for one, watching in losses.items():
        monkeypatch.setitem(record.objectives, one, watching)
    objectives._own_objective.cache_clear()
    fit(build(), tiny_sample(16), epochs=3, **QUIET)
    objectives._own_objective.cache_clear()
    assert sizes == {"total": 0, "critic": 6, "shape": 6}


def test_objectives_of_architectures_are_found_by_name():
    assert set(find_objective("toy-critic/shape").losses) == {"critic", "shape"}
    with pytest.raises(ValueError, match="Nearest: toy-critic/shape"):
        Recipe(objective="toy-critic/shapes")


def test_a_further_quantity_must_not_have_the_name_of_a_loss(tiny_sample, monkeypatch):
    record = models.find("toy-critic")
    losses = {
        "total": lambda gan, inputs, training: (
            record.objectives["regression"]["total"](gan, inputs, training)[0],
            {"loss": 1.0},
        )
    }
    monkeypatch.setitem(record.objectives, "named", losses)
    with pytest.raises(ValueError, match="cannot be named 'loss'"):
        fit(build(), tiny_sample(8), epochs=1, recipe=Recipe(objective="toy-critic/named"), **QUIET)


def test_a_training_that_diverges_ends_with_the_averaged_weights_of_the_last_good_epoch(tiny_sample):
    gan, good = build(), []

    def poison(progress):
        if (progress.epoch, progress.step) == (2, 3):
            gan.networks["total"].trainable_variables[0].assign(np.full((1, 8), np.nan))

    recipe = Recipe(objective="toy-critic/regression", average=0.5)
    options = {"recipe": recipe, "on_epoch": lambda epochs, gan: good.append(arrays(gan)), **QUIET}
    with pytest.raises(TrainingDiverged, match="After 3 epochs: not all weights are finite"):
        fit(gan, tiny_sample(32), epochs=4, callbacks=[poison], **options)
    assert len(good) == 2 and same(arrays(gan)["total"], good[1]["total"])


def test_a_trained_model_is_trained_further_with_its_last_stage_and_its_constants(tiny_sample):
    gan, sample = build(), tiny_sample(50)
    fit(gan, sample, epochs=3, recipe=Recipe(stages=STAGES), **QUIET)
    recipe, before = Recipe.of(gan, clip=2.0), arrays(gan)
    changed = {"objective": "toy-critic/shape", "learning_rate": SECOND["learning_rate"], "clip": 2.0, "average": 0.8}
    assert {name: getattr(recipe, name) for name in changed} == changed and recipe.passes_in(0)[-1] == "shape"
    fit(gan, tiny_sample(50, seed=1), epochs=1, **QUIET)
    assert same(arrays(gan)["total"], before["total"]) and not same(arrays(gan)["shape"], before["shape"])
    fit(gan, tiny_sample(50, seed=1), epochs=1, recipe=replace(recipe, prepare=True), **QUIET)
    assert not same(gan.networks["total"].layers[1].get_weights(), before["total"][:2])
