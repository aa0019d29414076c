import numpy as np
import pytest
import tensorflow as tf

from calolab.training import Recipe
from calolab.training.heads import Response, heads_of
from calolab.training.inputs import draw, step_inputs
from calolab.training.passes import discriminator_gradients, generator_gradients, moving_statistics, seed_states

RESPONSE = Response((2.0,), 10.0, 50.0, 1)


def drawn(sample, rank):
    return draw((1, rank, 0, 0, 0), len(sample), 6, sample.labels, Recipe(), dropouts=1)


def inputs_and_targets(kind, sample, rank, gan, recipe):
    heads = heads_of(gan, recipe)
    return step_inputs(kind, sample, drawn(sample, rank), gan.conditions, heads, recipe, RESPONSE)


def joined(passes):
    """Inputs or targets of several ranks, concatenated."""
    if isinstance(passes[0], dict):
        return {name: joined([one_pass[name] for one_pass in passes]) for name in passes[0]}
    return np.concatenate(passes)


@pytest.mark.parametrize(
    ("kind", "objective"),
    [
        *((kind, "non-saturating") for kind in ("real", "fake", "generator")),
        *(("discriminator", objective) for objective in ("minimax", "hinge", "wgan-gp")),
        ("generator", "wgan-gp"),
    ],
)
def test_the_weighted_mean_of_two_ranks_gradients_is_that_of_the_joined_batch(kind, objective, tiny_gan, tiny_sample):
    gan, recipe = tiny_gan(), Recipe(objective=objective)
    shards = [tiny_sample(3, seed=1), tiny_sample(5, seed=2)]

    def one_pass(rank, sample):
        return inputs_and_targets(kind, sample, rank, gan, recipe)

    def gradients(inputs, targets):
        of = generator_gradients if kind == "generator" else discriminator_gradients
        heads = heads_of(gan, recipe)
        return [gradient.numpy() for gradient in of(gan, heads, recipe, inputs, targets, training=False)[0]]

    passes = [one_pass(rank, sample) for rank, sample in enumerate(shards)]
    parts = [gradients(*one) for one in passes]
    whole = gradients(joined([inputs for inputs, _ in passes]), joined([targets for _, targets in passes]))
    weights = [len(sample) * 2 / 8 for sample in shards]
    for expected, first, second in zip(whole, *parts, strict=True):
        mean = (weights[0] * first + weights[1] * second) / 2
        np.testing.assert_allclose(mean, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


def test_dropout_acts_in_training_only_and_follows_its_seed(tiny_gan, tiny_sample):
    gan, recipe, sample = tiny_gan(dropout=0.5), Recipe(), tiny_sample(8)
    one_pass = inputs_and_targets("real", sample, 0, gan, recipe)
    (state,) = seed_states(gan)

    def loss(seed, training=True):
        state.assign([seed, 0])
        return float(discriminator_gradients(gan, heads_of(gan, recipe), recipe, *one_pass, training=training)[1])

    assert loss(1) == loss(1)
    assert loss(1) != loss(2)
    assert loss(1, training=False) == loss(2, training=False)


def test_moving_statistics_are_the_batch_normalisations(tiny_gan):
    names = [variable.path.rsplit("/", 1)[1] for variable in moving_statistics(tiny_gan())]
    assert names == ["moving_mean", "moving_variance"] * 2


def test_the_generators_pass_leaves_the_discriminators_weights_but_moves_its_statistics(tiny_gan, tiny_sample):
    gan, recipe, sample = tiny_gan(), Recipe(), tiny_sample(8)
    one_pass = inputs_and_targets("generator", sample, 0, gan, recipe)
    before = [np.array(variable.value.numpy()) for variable in moving_statistics(gan)]
    gradients, *_ = generator_gradients(gan, heads_of(gan, recipe), recipe, *one_pass)
    assert len(gradients) == len(gan.generator.trainable_variables)
    after = [np.array(variable.value.numpy()) for variable in moving_statistics(gan)]
    assert not any(np.array_equal(a, b) for a, b in zip(before, after))


def test_empty_showers_are_counted(tiny_gan, tiny_sample):
    gan, recipe, sample = tiny_gan(), Recipe(), tiny_sample(4)
    for variable in gan.generator.trainable_variables[-2:]:
        variable.assign(tf.zeros_like(variable.value))
    one_pass = inputs_and_targets("generator", sample, 0, gan, recipe)
    losses = generator_gradients(gan, heads_of(gan, recipe), recipe, *one_pass)[2]
    assert float(losses["generator_empty"]) == 1
    assert float(losses["generator_ecal"]) == pytest.approx(100)
