"""The passes of one training step: gradients, their average over the ranks, and the update."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from calolab.models import GAN
from calolab.training import heads
from calolab.training.objectives import SCORED, gradient_penalty, sinkhorn_divergence
from calolab.training.recipe import Recipe


def discriminator_gradients(gan: GAN, recipe: Recipe, seen: Mapping, wanted: Mapping, training: bool = True):
    """Gradients of the discriminator's loss.

    Args:
        gan: the networks.
        recipe: the objective and the weights of the heads.
        seen: inputs by name: `image`, real events `(event, *space.shape, 1)`, and then what the generator needs, to
            learn from real or from generated events, or from both together.
        wanted: by `"real"`, `"generated"` or both: what each head should answer, `(event, 1)`.
        training: whether dropout acts, and batch normalisation uses the batch's own statistics and updates the moving
            ones.

    Returns:
        Gradients by `trainable_variables`, the total loss, and the losses by name.
    """
    images, losses = {}, {}
    if "real" in wanted:
        images["real"] = seen["image"]
    if "generated" in wanted:
        # 3DGAN's discriminator learns from showers made as a user will make them: with moving statistics. In the joint
        # pass of the DCGANs the generator normalises by the batch, as published.
        images["generated"] = gan.generator(_inputs(gan, seen), training=training and "real" in wanted)
        losses["fake_empty"] = _empty(images["generated"])
    with tf.GradientTape() as tape:
        total = 0.0
        answers = {origin: _judge(gan, recipe, values, seen, training) for origin, values in images.items()}
        for origin, answer in answers.items():
            word = "real" if origin == "real" else "fake"
            costs, means = heads.losses(answer, wanted[origin], recipe.weights)
            total += costs
            losses |= {f"{word}_{name}": mean for name, mean in means.items()}
            if recipe.objective in SCORED:
                cost = SCORED[recipe.objective].discriminator(_score(answer), wanted[origin]["generation"])
                losses[f"{word}_generation"] = tf.reduce_mean(cost)
                total += recipe.weights["generation"] * losses[f"{word}_generation"]
        if recipe.objective == "optimal-transport":
            losses["divergence"] = _divergence(recipe, answers["real"], answers["generated"])
            total -= recipe.weights["generation"] * losses["divergence"]
        if recipe.objective == "wgan-gp":
            losses["penalty"] = gradient_penalty(
                lambda values: _score(_judge(gan, recipe, values, seen, training)),
                images["real"],
                images["generated"],
                seen["mixing"],
                gan.value_scale,
            )
            total += recipe.gradient_penalty * losses["penalty"]
    gradients = tape.gradient(total, _values(gan.discriminator), unconnected_gradients="zero")
    return gradients, total, losses


def generator_gradients(gan: GAN, recipe: Recipe, seen: Mapping, wanted: Mapping, training: bool = True):
    """Gradients of the generator's loss: how far the discriminator is from taking its events for real ones.

    As in the published training, the discriminator's dropout acts here too, and its moving statistics follow these
    batches as well; its weights stay.

    Args:
        gan: the networks.
        recipe: the objective and the weights of the heads.
        seen: inputs by name: what the generator needs; for optimal transport also `image`, real events.
        wanted: by `"generated"`: what each head should answer, `(event, 1)`.
        training: as for `discriminator_gradients`, for both networks.

    Returns:
        Gradients by `trainable_variables`, the total loss, and the losses by name, with the fraction of empty events.
    """
    with tf.GradientTape() as tape:
        images = gan.generator(_inputs(gan, seen), training=training)
        answers = _judge(gan, recipe, images, seen, training)
        total, losses = heads.losses(answers, wanted["generated"], recipe.weights)
        if recipe.objective == "optimal-transport":
            losses["divergence"] = _divergence(recipe, _judge(gan, recipe, seen["image"], seen, training), answers)
            total += recipe.weights["generation"] * losses["divergence"]
        else:
            losses["generation"] = tf.reduce_mean(SCORED[recipe.objective].generator(_score(answers)))
            total += recipe.weights["generation"] * losses["generation"]
    gradients = tape.gradient(total, _values(gan.generator), unconnected_gradients="zero")
    losses["empty"] = _empty(images)
    return gradients, total, {f"generator_{name}": value for name, value in losses.items()}


def make_passes(
    gan: GAN, optimizers: Mapping[str, keras.optimizers.Optimizer], recipe: Recipe, parallel
) -> dict[str, Callable]:
    """The recipe's kinds of pass as compiled functions, by name: `real`, `fake`, `discriminator`, `generator`.

    Each takes `(seen, wanted, weight, stop, seeds)`: what the networks see and what the heads should answer, as
    `heads.question` makes them, the weight of this rank's events in the average over ranks, whether this rank wants to
    stop (1 or 0), and the seeds of the dropout layers. It updates its network and returns the losses by name, the norm
    of the gradients and the fraction of ranks that want to stop. All are averaged over the ranks together with the
    gradients, so that the ranks decide alike and none waits for another; the moving statistics too, so that all
    variables are equal on all ranks.
    """
    states, statistics = seed_states(gan), moving_statistics(gan)
    row, scalar = tf.TensorSpec((None, 1), tf.float32), tf.TensorSpec((), tf.float32)
    image = {"image": tf.TensorSpec((None, *gan.space.shape, 1), tf.float32)}
    conditions = dict.fromkeys(gan.conditions, row)
    inputs = {"latent": tf.TensorSpec((None, gan.latent_size), tf.float32), **conditions}
    answers = dict.fromkeys(recipe.weights, row)
    against_real = image if recipe.objective == "optimal-transport" else {}
    signatures = {
        "real": ({**image, **conditions}, {"real": answers}),
        "fake": (inputs, {"generated": answers}),
        "discriminator": (
            {**image, **inputs, "mixing": tf.TensorSpec((None,), tf.float32)},
            {"real": answers, "generated": answers},
        ),
        "generator": ({**against_real, **inputs}, {"generated": answers}),
    }

    def compiled(kind: str) -> Callable:
        network = "generator" if kind == "generator" else "discriminator"
        gradients_of = generator_gradients if kind == "generator" else discriminator_gradients
        optimizer, variables = optimizers[network], getattr(gan, network).trainable_variables
        signature = (*signatures[kind], scalar, scalar, tf.TensorSpec((len(states), 2), tf.int64))

        # One signature for every size of batch: each rank compiles each pass once, with the same names for its tensors.
        @tf.function(input_signature=signature, autograph=False)
        def update(seen, wanted, weight, stop, seeds):
            for state, seed in zip(states, tf.unstack(seeds, num=len(states))):
                state.assign(seed)
            gradients, total, losses = gradients_of(gan, recipe, seen, wanted)
            weighted = [weight * tensor for tensor in (*gradients, tf.stack([total, *losses.values()]))]
            shared = parallel.average([*weighted, stop, *(tf.identity(variable.value) for variable in statistics)])
            gradients, (values, stop, *means) = shared[: len(variables)], shared[len(variables) :]
            optimizer.apply(gradients, variables)
            # Each rank normalises by its own batches; the statistics that showers are made with are those of all ranks.
            for variable, mean in zip(statistics, means):
                variable.assign(mean)
            named = dict(zip([f"{kind}_loss", *losses], tf.unstack(values, num=1 + len(losses))))
            return named, tf.linalg.global_norm(gradients), stop

        return update

    return {kind: compiled(kind) for kind in dict.fromkeys(recipe.passes)}


def seed_states(gan: GAN) -> list[keras.Variable]:
    """The seed generators' states of both networks: they are among a model's variables, but not among its weights."""
    states = []
    for network in (gan.generator, gan.discriminator):
        weights = {id(variable) for variable in network.weights}
        states += [variable for variable in network.variables if id(variable) not in weights]
    return states


def moving_statistics(gan: GAN) -> list[keras.Variable]:
    """What both networks keep besides trained weights, such as moving means and variances of batch normalisations."""
    return [*gan.generator.non_trainable_weights, *gan.discriminator.non_trainable_weights]


def _inputs(gan: GAN, seen: Mapping) -> dict:
    return {name: seen[name] for name in ("latent", *gan.conditions)}


def _judge(gan: GAN, recipe: Recipe, images, seen: Mapping, training: bool) -> dict:
    """The discriminator's answers by head, for optimal transport also its features, to images with their conditions."""
    network = gan.discriminator
    if recipe.objective == "optimal-transport":
        features = network.get_layer("features").output
        network = keras.Model(network.input, {**network.output, "features": features})
    # A discriminator that is told the conditions has several inputs.
    inputs = (
        {"image": images, **{name: seen[name] for name in gan.conditions}}
        if isinstance(network.input, dict)
        else images
    )
    return network(inputs, training=training)


def _score(answers: Mapping):
    return tf.cast(answers["generation"], tf.float32)


def _divergence(recipe: Recipe, real: Mapping, generated: Mapping):
    first, second = (tf.cast(answers["features"], tf.float32) for answers in (real, generated))
    return sinkhorn_divergence(first, second, recipe.regularisation)


def _values(network: keras.Model) -> list[tf.Variable]:
    return [variable.value for variable in network.trainable_variables]


def _empty(images):
    """Fraction of the events in which all cells are alike, as in a shower without energy."""
    axes = tuple(range(1, len(images.shape)))
    alike = tf.reduce_max(images, axis=axes) <= tf.reduce_min(images, axis=axes)
    return tf.reduce_mean(tf.cast(alike, tf.float32))
