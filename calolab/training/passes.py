"""The passes of one training step: gradients, their average over the ranks, and the update."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from calolab.models import GAN
from calolab.training import objectives
from calolab.training.recipe import Recipe


def discriminator_gradients(gan: GAN, recipe: Recipe, images, targets: Mapping, training: bool = True):
    """Gradients of the discriminator's loss on images `(event, *space.shape, 1)`.

    Args:
        gan: the networks.
        recipe: the weights of the heads.
        images: real or generated.
        targets: what each head should answer, `(event, 1)`.
        training: whether dropout acts, and batch normalisation uses the batch's own statistics and updates the moving
            ones.

    Returns:
        Gradients by `trainable_variables`, the total loss and the losses by head.
    """
    with tf.GradientTape() as tape:
        answers = gan.discriminator(images, training=training)
        total, losses = objectives.losses(answers, targets, recipe.weights)
    return tape.gradient(total, _values(gan.discriminator)), total, losses


def generator_gradients(gan: GAN, recipe: Recipe, inputs: Mapping, targets: Mapping, training: bool = True):
    """Gradients of the generator's loss: how far the discriminator is from taking its showers for real ones.

    As in the published training, the discriminator's dropout acts here too, and its moving statistics follow these
    batches as well; its weights stay.

    Args:
        gan: the networks.
        recipe: the weights of the heads.
        inputs: the generator's inputs by name.
        targets: what each head should answer, `(event, 1)`.
        training: as for `discriminator_gradients`, for both networks.

    Returns:
        Gradients by `trainable_variables`, the total loss, the losses by head, and the fraction of empty showers.
    """
    with tf.GradientTape() as tape:
        images = gan.generator(inputs, training=training)
        answers = gan.discriminator(images, training=training)
        total, losses = objectives.losses(answers, targets, recipe.weights)
    return tape.gradient(total, _values(gan.generator)), total, {**losses, "empty": _empty(images)}


def make_passes(
    gan: GAN, optimizers: Mapping[str, keras.optimizers.Optimizer], recipe: Recipe, parallel
) -> dict[str, Callable]:
    """The three kinds of pass as compiled functions, by name: `real`, `fake` and `generator`.

    Each takes `(inputs, targets, weight, stop, seeds)`: what the network sees, what the heads should answer, the weight
    of this rank's events in the average over ranks, whether this rank wants to stop (1 or 0), and the seeds of the
    dropout layers. It updates its network and returns the losses by name, the norm of the gradients and the fraction
    of ranks that want to stop. All are averaged over the ranks together with the gradients, so that the ranks decide
    alike and none waits for another; the moving statistics too, so that all variables are equal on all ranks.
    """
    states, statistics = seed_states(gan), moving_statistics(gan)
    row = tf.TensorSpec((None, 1), tf.float32)
    images = tf.TensorSpec((None, *gan.space.shape, 1), tf.float32)
    inputs = {"latent": tf.TensorSpec((None, gan.latent_size), tf.float32), **dict.fromkeys(gan.conditions, row)}
    scalar = tf.TensorSpec((), tf.float32)
    common = (dict.fromkeys(recipe.weights, row), scalar, scalar, tf.TensorSpec((len(states), 2), tf.int64))

    def compiled(network: str, seen, gradients_of: Callable) -> Callable:
        optimizer, variables = optimizers[network], getattr(gan, network).trainable_variables

        # One signature for every size of batch: each rank compiles each pass once, with the same names for its tensors.
        @tf.function(input_signature=(seen, *common), autograph=False)
        def update(inputs, targets, weight, stop, seeds):
            for state, seed in zip(states, tf.unstack(seeds, num=len(states))):
                state.assign(seed)
            gradients, total, losses = gradients_of(inputs, targets)
            weighted = [weight * tensor for tensor in (*gradients, tf.stack([total, *losses.values()]))]
            shared = parallel.average([*weighted, stop, *(tf.identity(variable.value) for variable in statistics)])
            gradients, (values, stop, *means) = shared[: len(variables)], shared[len(variables) :]
            optimizer.apply(gradients, variables)
            # Each rank normalises by its own batches; the statistics that showers are made with are those of all ranks.
            for variable, mean in zip(statistics, means):
                variable.assign(mean)
            named = dict(zip(["loss", *losses], tf.unstack(values, num=1 + len(losses))))
            return named, tf.linalg.global_norm(gradients), stop

        return update

    def real(images, wanted):
        return discriminator_gradients(gan, recipe, images, wanted)

    def fake(inputs, wanted):
        # As published, the discriminator learns from showers made as a user will make them: with moving statistics.
        images = gan.generator(inputs, training=False)
        gradients, total, losses = discriminator_gradients(gan, recipe, images, wanted)
        return gradients, total, {**losses, "empty": _empty(images)}

    def generator(inputs, wanted):
        return generator_gradients(gan, recipe, inputs, wanted)

    return {
        "real": compiled("discriminator", images, real),
        "fake": compiled("discriminator", inputs, fake),
        "generator": compiled("generator", inputs, generator),
    }


def seed_states(gan: GAN) -> list[keras.Variable]:
    """The seed generators' states of both networks: they are among a model's variables, but not among its weights."""
    states = []
    for network in (gan.generator, gan.discriminator):
        weights = {id(variable) for variable in network.weights}
        states += [variable for variable in network.variables if id(variable) not in weights]
    return states


def moving_statistics(gan: GAN) -> list[keras.Variable]:
    """The batch normalisations' moving means and variances of both networks."""
    return [*gan.generator.non_trainable_weights, *gan.discriminator.non_trainable_weights]


def _values(network: keras.Model) -> list[tf.Variable]:
    return [variable.value for variable in network.trainable_variables]


def _empty(images):
    """Fraction of the showers in which no cell has energy."""
    return tf.reduce_mean(tf.cast(tf.reduce_max(images, axis=tuple(range(1, len(images.shape)))) <= 0, tf.float32))
