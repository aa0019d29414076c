import numpy as np
import pytest
import tensorflow as tf

from calolab.training import OBJECTIVES, Objective, Recipe, fit
from calolab.training.objectives import gradient_penalty, sinkhorn_divergence

SCORES = np.array([[-2.0], [0.0], [3.0]], np.float32)
REAL = np.array([[1.0], [0.0], [1.0]], np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_losses_of_the_scored_objectives_are_the_formulas():
    p, sign = sigmoid(SCORES), 2 * REAL - 1
    entropy = -(REAL * np.log(p) + (1 - REAL) * np.log(1 - p))
    expected = {
        "non-saturating": (entropy, -np.log(p)),
        "minimax": (entropy, np.log(1 - p)),
        "hinge": (np.maximum(0, 1 - sign * SCORES), -SCORES),
        "wgan-gp": (-sign * SCORES, -SCORES),
    }
    assert {name for name, one in OBJECTIVES.items() if one.discriminator} == set(expected)
    for name, (discriminator, generator) in expected.items():
        np.testing.assert_allclose(OBJECTIVES[name].discriminator(SCORES, REAL), discriminator, rtol=1e-5)
        np.testing.assert_allclose(OBJECTIVES[name].generator(tf.constant(SCORES)), generator, rtol=1e-5)


def test_the_gradient_penalty_of_a_linear_score_is_its_slope_minus_one_squared():
    random = np.random.default_rng(0)
    slope = random.standard_normal((5, 5, 1)).astype(np.float32)
    real, generated = random.standard_normal((2, 7, 5, 5, 1)).astype(np.float32)

    def score(values):
        return tf.reduce_sum(values * slope, axis=(1, 2, 3))[:, None]

    for scale in (1.0, 10.0):
        found = gradient_penalty(score, real, generated, np.linspace(0, 1, 7, dtype=np.float32), scale)
        assert float(found) == pytest.approx((scale * np.linalg.norm(slope) - 1) ** 2, rel=1e-4)


def test_the_gradient_penalty_looks_between_real_and_generated():
    real, generated = np.full((1, 2, 2, 1), 3.0, np.float32), np.full((1, 2, 2, 1), 1.0, np.float32)
    seen = []

    def score(values):
        seen.append(values.numpy().mean())
        return tf.reduce_sum(values**2, axis=(1, 2, 3))[:, None]

    for share in (0.0, 0.25, 1.0):
        gradient_penalty(score, real, generated, np.array([share], np.float32), 1.0)
    assert seen == pytest.approx([1.0, 1.5, 3.0])


def features(events, seed=0, shift=0.0):
    return (np.random.default_rng(seed).standard_normal((events, 8)) + shift).astype(np.float32)


def test_the_sinkhorn_divergence_is_zero_for_equal_batches_and_grows_with_their_distance():
    same = float(sinkhorn_divergence(features(16), features(16)[::-1].copy(), 0.1))
    near, far = (float(sinkhorn_divergence(features(16), features(16, seed=1, shift=s), 0.1)) for s in (0.0, 2.0))
    assert same == pytest.approx(0, abs=1e-4)
    assert 0 < near < far
    # Two batches of one direction each, at a right angle: every event moves by a cost of 1.
    one, other = np.eye(2, dtype=np.float32)
    assert float(sinkhorn_divergence(np.tile(one, (5, 1)), np.tile(other, (3, 1)), 0.1)) == pytest.approx(1, abs=1e-4)


def test_the_divergence_with_little_regularisation_is_the_optimal_assignment():
    from scipy.optimize import linear_sum_assignment

    first, second = features(12), features(12, seed=1)
    unit = [batch / np.linalg.norm(batch, axis=1, keepdims=True) for batch in (first, second)]
    cost = 1 - unit[0] @ unit[1].T
    assigned = cost[linear_sum_assignment(cost)].mean()
    assert float(sinkhorn_divergence(first, second, 0.02)) == pytest.approx(assigned, rel=0.05)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_trains_the_same_networks(objective, tiny_gan, tiny_sample, weights):
    gan, before = tiny_gan(), weights(tiny_gan())
    recipe = Recipe(objective=objective, flip=0.0, discriminator_passes=2 if objective == "wgan-gp" else 1)
    history = fit(gan, tiny_sample(), epochs=2, batch_size=4, recipe=recipe, seed=1, progress=False)
    losses = history.epochs[-1]["losses"]
    assert all(np.isfinite(value) for value in losses.values())
    assert ("penalty" in losses) == (objective == "wgan-gp")
    assert ("divergence" in losses) == (objective == "optimal-transport")
    moved = [not np.array_equal(a, b) for a, b in zip(before, weights(gan), strict=True)]
    # Optimal transport compares features: the two weights of the head `generation` have nothing to learn. A critic's
    # bias cancels between real and generated events.
    assert moved.count(False) == {"optimal-transport": 2, "wgan-gp": 1}.get(objective, 0)
    assert history.epochs[-1]["events"] == 21


def test_several_discriminator_passes_see_different_parts_of_the_data(tiny_gan, tiny_sample, monkeypatch):
    from calolab.training import loop

    shown, step_inputs = [], loop.step_inputs

    def watched(kind, sample, *others):
        shown.append((kind, sample.labels["energy"].tolist()))
        return step_inputs(kind, sample, *others)

    monkeypatch.setattr(loop, "step_inputs", watched)
    recipe = Recipe(objective="wgan-gp", flip=0.0, discriminator_passes=3, generator_passes=1)
    sample = tiny_sample(24)
    history = fit(tiny_gan(), sample, epochs=1, batch_size=4, recipe=recipe, progress=False)
    assert [kind for kind, _ in shown] == (["discriminator"] * 3 + ["generator"]) * 2
    critics = [energy for kind, energies in shown if kind == "discriminator" for energy in energies]
    assert sorted(critics) == sorted(sample.labels["energy"])
    assert [len(energies) for _, energies in shown] == [4] * 8
    assert history.epochs[0]["events"] == 24


def test_a_recipe_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="Nearest: wgan-gp"):
        Recipe(objective="wgan")
    with pytest.raises(ValueError, match="no labels to flip"):
        Recipe(objective="optimal-transport")
    with pytest.raises(ValueError, match="Nearest: learning_rate"):
        Recipe.published("rpv", learning_rat=1e-3)
    rpv = Recipe.published("rpv")
    assert (rpv.optimizer, rpv.learning_rate, rpv.betas) == ("adam", 2e-4, (0.5, 0.999))
    assert rpv.passes == ("discriminator", "generator")
    assert Recipe.published("rpv", objective="wgan-gp", discriminator_passes=5).passes[-1] == "generator"
    assert Recipe.published("3dgan") == Recipe()


def test_an_objective_has_one_kind_of_loss():
    for wrong in ({}, {"discriminator": max}, {"divergence": max, "losses": {"generator": max}}):
        with pytest.raises(ValueError, match="An Objective needs either"):
            Objective(**wrong)
