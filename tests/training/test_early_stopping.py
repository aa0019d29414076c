"""Early stopping by the physics score, and scores of every few epochs only."""

import numpy as np
import pytest

from calolab.training import PhysicsScore, Recipe, Stage, fit
from calolab.training.state import TrainingState

QUIET = {"batch_size": 21, "progress": False}
FAST = Recipe(generator_passes=1)


def scripted(*numbers):
    """A physics score that returns these numbers in turn, and the generator's weights that it has received."""
    left, seen = list(numbers), []

    def score(gan):
        seen.append(generator(gan))
        return {"ks_comb": left.pop(0)}

    return PhysicsScore(score), seen


def generator(gan):
    return [np.array(variable.value.numpy()) for variable in gan.generator.weights]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_training_ends_after_epochs_without_a_better_score_with_the_best_weights(tiny_gan, tiny_sample):
    gan, (score, seen) = tiny_gan(), scripted(5.0, 3.0, 4.0, 3.0, 1.0)
    history = fit(gan, tiny_sample(), epochs=9, physics_score=score, patience=2, recipe=FAST, **QUIET)
    assert history.scores("ks_comb") == [5, 3, 4, 3]
    assert history.stopped and history.reason == "no better ks_comb for 2 epochs"
    assert "stopped early: no better ks_comb for 2 epochs" in history._repr_html_()
    assert same(generator(gan), seen[1]) and not same(seen[1], seen[3])
    assert gan.provenance["trainings"][0]["epochs"] == 4


def test_the_last_epoch_is_no_early_stop(tiny_gan, tiny_sample):
    score, _ = scripted(1.0, 2.0, 3.0)
    history = fit(tiny_gan(), tiny_sample(), epochs=3, physics_score=score, patience=2, recipe=FAST, **QUIET)
    assert not history.stopped and len(history.epochs) == 3


def test_a_resumed_training_counts_on_and_one_that_had_stopped_returns_its_history(tiny_gan, tiny_sample, tmp_path):
    options = {"checkpoints": tmp_path, "recipe": FAST, **QUIET}
    fit(tiny_gan(), tiny_sample(), epochs=3, physics_score=scripted(5.0, 2.0, 3.0)[0], patience=2, **options)
    # One epoch without a better score was before the resumption.
    second, _ = scripted(4.0)
    history = fit(tiny_gan(), tiny_sample(), epochs=9, physics_score=second, patience=2, resume=True, **options)
    assert history.scores("ks_comb") == [5, 2, 3, 4] and history.reason == "no better ks_comb for 2 epochs"
    third, unused = scripted(0.0)
    again = fit(tiny_gan(), tiny_sample(), epochs=9, physics_score=third, patience=2, resume=True, **options)
    assert again.to_dict() == history.to_dict() and not unused
    fourth, _ = scripted(1.0, 6.0, 7.0, 8.0)
    longer = fit(tiny_gan(), tiny_sample(), epochs=9, physics_score=fourth, patience=3, resume=True, **options)
    assert longer.scores("ks_comb")[4:] == [1, 6, 7, 8] and longer.reason == "no better ks_comb for 3 epochs"


def test_two_ranks_stop_after_the_same_epoch(tiny_gan, tiny_sample, on_ranks):
    def work(rank):
        left = [3.0, 1.0, 2.0, 2.0, 0.0]
        score = PhysicsScore(lambda gan: {"ks_comb": left.pop(0)})  # called on rank 0 only
        gan, sample = tiny_gan(), tiny_sample(14).shard(rank.rank, 2)
        options = {"epochs": 9, "physics_score": score, "patience": 2, "recipe": FAST, "parallel": rank, **QUIET}
        return fit(gan, sample, **options), len(left), generator(gan)

    (first, scored, weights), (second, unscored, others) = on_ranks(2, work)
    assert len(first.epochs) == len(second.epochs) == 4
    assert first.reason == second.reason == "no better ks_comb for 2 epochs"
    assert (scored, unscored) == (1, 5) and same(weights, others)


def test_scores_of_every_second_epoch_and_of_the_last(tiny_gan, tiny_sample):
    gan, (score, seen) = tiny_gan(), scripted(1.0, 2.0, 3.0)
    options = {"physics_score": score, "score_every": 2, "recipe": FAST, **QUIET}
    history = fit(gan, tiny_sample(), epochs=5, **options)
    scored = [epoch["epoch"] for epoch in history.epochs if "scores" in epoch]
    assert scored == [1, 3, 4] and same(generator(gan), seen[0])
    # Patience counts epochs, of which every second one is scored.
    score, _ = scripted(1.0, 2.0, 3.0)
    stopped = fit(tiny_gan(), tiny_sample(), epochs=9, patience=3, **options | {"physics_score": score})
    assert len(stopped.epochs) == 6 and stopped.reason == "no better ks_comb for 4 epochs"


def test_epochs_of_earlier_stages_do_not_count():
    recipe = Recipe(stages=[Stage(("discriminator",), 2), Stage(("generator",), 3), Stage(("generator",))])
    assert recipe.last_stage_begins == 5 and Recipe().last_stage_begins == 0
    history = [{"epoch": epoch, "scores": {"ks_comb": {"value": 1.0}}} for epoch in range(7)]
    state = TrainingState(epoch=7, history=history, best={"epoch": 1, "score": 1.0, "by": "ks_comb"})
    assert state.epochs_without_better_score() == 5
    assert state.epochs_without_better_score(recipe.last_stage_begins) == 2
    assert TrainingState(epoch=7, history=history).epochs_without_better_score() == 0


def test_patience_without_a_score_is_refused(tiny_gan, tiny_sample):
    with pytest.raises(ValueError, match=r"needs physics_score=PhysicsScore"):
        fit(tiny_gan(), tiny_sample(), epochs=1, patience=2, **QUIET)
