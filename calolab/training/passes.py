"""The passes of one training step: gradients, their average over the ranks, and the update of one network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from calolab.models import GAN, Head
from calolab.training.averages import MovingAverage
from calolab.training.heads import head_losses
from calolab.training.objectives import find_objective, network_of
from calolab.training.recipe import Recipe


def discriminator_gradients(
    gan: GAN, heads: Mapping[str, Head], recipe: Recipe, inputs: Mapping, targets: Mapping, training: bool = True
):
    """Gradients of the discriminator's loss.

    Args:
        gan: the networks.
        heads: the discriminator's heads, as `heads.heads_of` returns them.
        recipe: the objective and the weights of the heads.
        inputs: by name: `image`, real events `(event, *space.shape, 1)`, and the inputs of the generator, for a pass
            with real events, with generated events, or with both.
        targets: by `"real"`, `"generated"` or both: targets of each head, `(event, 1)`.
        training: whether dropout is active, and batch normalisation uses the batch's own statistics and updates the
            moving ones.

    Returns:
        Gradients by `trainable_variables`, the total loss, and the losses by name.
    """
    objective = find_objective(recipe.objective)
    images, losses = {}, {}
    if "real" in targets:
        images["real"] = inputs["image"]
    if "generated" in targets:
        # 3DGAN's discriminator learns from showers as a user generates them: with moving statistics. In the joint pass
        # of the DCGANs the generator normalises by the batch, as published.
        images["generated"] = gan.generator(_generator_inputs(gan, inputs), training=training and "real" in targets)
        losses["fake_empty"] = _empty(images["generated"])
    with tf.GradientTape() as tape:
        total = 0.0
        outputs = {origin: _outputs(gan, recipe, values, inputs, training) for origin, values in images.items()}
        for origin, output in outputs.items():
            word = "real" if origin == "real" else "fake"
            cost, means = head_losses(heads, output, targets[origin], recipe.weights)
            total += cost
            losses |= {f"{word}_{name}": mean for name, mean in means.items()}
            if objective.discriminator is not None:
                cost = objective.discriminator(_score(output), targets[origin]["generation"])
                losses[f"{word}_generation"] = tf.reduce_mean(cost)
                total += recipe.weights["generation"] * losses[f"{word}_generation"]
        if objective.divergence is not None:
            losses["divergence"] = _divergence(recipe, outputs["real"], outputs["generated"])
            total -= recipe.weights["generation"] * losses["divergence"]
        if objective.penalty is not None:
            losses["penalty"] = objective.penalty(
                lambda values: _score(_outputs(gan, recipe, values, inputs, training)),
                images["real"],
                images["generated"],
                inputs["mixing"],
                gan.value_scale,
            )
            total += recipe.gradient_penalty * losses["penalty"]
    gradients = tape.gradient(total, _values(gan.discriminator), unconnected_gradients="zero")
    return gradients, total, losses


def generator_gradients(
    gan: GAN, heads: Mapping[str, Head], recipe: Recipe, inputs: Mapping, targets: Mapping, training: bool = True
):
    """Gradients of the generator's loss in an adversarial training.

    As in the published training, the discriminator's dropout is active here too, and its moving statistics are updated
    with these batches as well; its weights do not change.

    Args:
        gan, heads, recipe, training: as for `discriminator_gradients`.
        inputs: by name: the inputs of the generator; for a divergence also `image`, real events.
        targets: by `"generated"`: targets of each head, `(event, 1)`.

    Returns:
        Gradients by `trainable_variables`, the total loss, and the losses by name, with the fraction of empty events.
    """
    objective = find_objective(recipe.objective)
    with tf.GradientTape() as tape:
        images = gan.generator(_generator_inputs(gan, inputs), training=training)
        outputs = _outputs(gan, recipe, images, inputs, training)
        total, losses = head_losses(heads, outputs, targets["generated"], recipe.weights)
        if objective.divergence is not None:
            losses["divergence"] = _divergence(
                recipe, _outputs(gan, recipe, inputs["image"], inputs, training), outputs
            )
            total += recipe.weights["generation"] * losses["divergence"]
        else:
            losses["generation"] = tf.reduce_mean(objective.generator(_score(outputs)))
            total += recipe.weights["generation"] * losses["generation"]
    gradients = tape.gradient(total, _values(gan.generator), unconnected_gradients="zero")
    losses["empty"] = _empty(images)
    return gradients, total, {f"generator_{name}": value for name, value in losses.items()}


def network_gradients(gan: GAN, recipe: Recipe, network: str, inputs: Mapping, training: bool = True):
    """Gradients of one network's loss in an objective without a discriminator.

    Args:
        gan, recipe, training: as for `discriminator_gradients`.
        network: name of the network that learns.
        inputs: by name: `image`, real events, `latent`, `mixing`, `seed` and the conditions.

    Returns:
        Gradients by `trainable_variables`, the total loss, and further losses by name, if the objective returns some.
    """
    with tf.GradientTape() as tape:
        found = find_objective(recipe.objective).losses[network](gan, inputs, training)
        costs, further = found if isinstance(found, tuple) else (found, {})
        total = _mean(costs)
    if wrong := [name for name in further if name == "loss" or name.endswith("_loss")]:
        raise ValueError(f"A further quantity cannot be named {wrong[0]!r}: losses that are minimised have such names.")
    gradients = tape.gradient(total, _values(gan.networks[network]), unconnected_gradients="zero")
    return gradients, total, {f"{network}_{name}": _mean(values) for name, values in further.items()}


def make_passes(
    gan: GAN,
    heads: Mapping[str, Head],
    optimizers: Mapping[str, keras.optimizers.Optimizer],
    recipe: Recipe,
    parallel,
    averages: Mapping[str, MovingAverage] | None = None,
) -> dict[str, Callable]:
    """Compile the recipe's kinds of pass, by name: `real`, `fake`, `discriminator`, `generator`, or another network.

    Each takes `(inputs, targets, weight, stop, seeds)`: inputs and targets as returned by `inputs.step_inputs`, the
    weight of this rank's events in the average over ranks, whether a stop is requested on this rank (1 or 0), and the
    seeds of the dropout layers. It updates its network and the moving average of its weights, and returns the losses by
    name, the norm of the gradients and the fraction of ranks with a stop request. All of these are averaged over the
    ranks together with the gradients, so that all ranks take the same decisions; the moving statistics too, so that all
    variables are equal on all ranks.

    Args:
        gan, heads: as for `discriminator_gradients`.
        optimizers: optimizers by network.
        recipe: a recipe without other stages.
        parallel: the ranks.
        averages: moving averages by network, for `Recipe.average`.
    """
    states, statistics = seed_states(gan), moving_statistics(gan)
    signatures = _signatures(gan, recipe)

    def gradients_of(kind, inputs, targets):
        if not find_objective(recipe.objective).is_adversarial:
            return network_gradients(gan, recipe, kind, inputs)
        of = generator_gradients if kind == "generator" else discriminator_gradients
        return of(gan, heads, recipe, inputs, targets)

    def compiled(kind: str) -> Callable:
        network = network_of(kind)
        optimizer, variables = optimizers[network], gan.networks[network].trainable_variables
        scalar = tf.TensorSpec((), tf.float32)
        signature = (*signatures[kind], scalar, scalar, tf.TensorSpec((len(states), 2), tf.int64))

        # With one signature for all batch sizes, each rank compiles each pass once, with the same names of tensors.
        @tf.function(input_signature=signature, autograph=False)
        def update(inputs, targets, weight, stop, seeds):
            for state, seed in zip(states, tf.unstack(seeds, num=len(states))):
                state.assign(seed)
            before = [tf.identity(variable.value) for variable in statistics]
            gradients, total, losses = gradients_of(kind, inputs, targets)
            after = [tf.identity(variable.value) for variable in statistics]
            weighted = [weight * tensor for tensor in (*gradients, tf.stack([total, *losses.values()]))]
            shared = parallel.average([*weighted, tf.stack([stop, *map(_differs, before, after)]), *after])
            gradients, (values, flags, *means) = shared[: len(variables)], shared[len(variables) :]
            stop, *changed = tf.unstack(flags, num=1 + len(statistics))
            optimizer.apply(gradients, variables)
            # Each rank normalises by its own batches; the statistics for generating events are those of all ranks.
            # Constants stay as they are: a rounded mean of equal numbers may differ, a little more after every pass.
            for variable, old, mean, fraction in zip(statistics, before, means, changed):
                variable.assign(tf.where(fraction > 0, mean, old))
            if recipe.average is not None:
                averages[network].update(recipe.average)
            named = dict(zip([f"{kind}_loss", *losses], tf.unstack(values, num=1 + len(losses))))
            return named, tf.linalg.global_norm(gradients), stop

        return update

    return {kind: compiled(kind) for kind in dict.fromkeys(recipe.passes_in(0))}


def _signatures(gan: GAN, recipe: Recipe) -> dict[str, tuple[dict, dict]]:
    """Specifications of the inputs and targets of each kind of pass."""
    objective = find_objective(recipe.objective)
    row, mixing = tf.TensorSpec((None, 1), tf.float32), {"mixing": tf.TensorSpec((None,), tf.float32)}
    image = {"image": tf.TensorSpec((None, *gan.space.shape, 1), tf.float32)}
    conditions = dict.fromkeys(gan.conditions, row)
    inputs = {"latent": tf.TensorSpec((None, objective.latents(gan)), tf.float32), **conditions}
    if not objective.is_adversarial:
        inputs |= {**image, **mixing, "seed": tf.TensorSpec((2,), tf.int64)}
        return dict.fromkeys(objective.losses, (inputs, {}))
    targets = dict.fromkeys(recipe.weights, row)
    return {
        "real": ({**image, **conditions}, {"real": targets}),
        "fake": (inputs, {"generated": targets}),
        "discriminator": ({**image, **inputs, **mixing}, {"real": targets, "generated": targets}),
        "generator": ({**(image if objective.divergence else {}), **inputs}, {"generated": targets}),
    }


def seed_states(gan: GAN) -> list[keras.Variable]:
    """The states of the seed generators of all networks: they are among a model's variables, but not its weights."""
    states = {}
    for network in gan.networks.values():
        weights = {id(variable) for variable in network.weights}
        states |= {id(variable): variable for variable in network.variables if id(variable) not in weights}
    return list(states.values())


def moving_statistics(gan: GAN) -> list[keras.Variable]:
    """The untrained weights of all networks, such as moving means and variances of batch normalisations."""
    networks = gan.networks.values()
    return list({id(variable): variable for one in networks for variable in one.non_trainable_weights}.values())


def _generator_inputs(gan: GAN, inputs: Mapping) -> dict:
    return {name: inputs[name] for name in ("latent", *gan.conditions)}


def _outputs(gan: GAN, recipe: Recipe, images, inputs: Mapping, training: bool) -> dict:
    """Outputs of the discriminator by head, for a divergence also its features, for images with their conditions."""
    network = gan.discriminator
    if find_objective(recipe.objective).divergence is not None:
        features = network.get_layer("features").output
        network = keras.Model(network.input, {**network.output, "features": features})
    # A discriminator that depends on the conditions has several inputs.
    arguments = (
        {"image": images, **{name: inputs[name] for name in gan.conditions}}
        if isinstance(network.input, dict)
        else images
    )
    return network(arguments, training=training)


def _score(outputs: Mapping):
    return tf.cast(outputs["generation"], tf.float32)


def _divergence(recipe: Recipe, real: Mapping, generated: Mapping):
    first, second = (tf.cast(outputs["features"], tf.float32) for outputs in (real, generated))
    return find_objective(recipe.objective).divergence(first, second, recipe.regularisation)


def _differs(before, after):
    """1 if a value has changed, else 0."""
    return tf.cast(tf.reduce_any(tf.not_equal(before, after)), tf.float32)


def _mean(values):
    return tf.reduce_mean(tf.cast(values, tf.float32))


def _values(network: keras.Model) -> list[tf.Variable]:
    return [variable.value for variable in network.trainable_variables]


def _empty(images):
    """Fraction of the events in which all cells have the same value, as in a shower without energy."""
    axes = tuple(range(1, len(images.shape)))
    alike = tf.reduce_max(images, axis=axes) <= tf.reduce_min(images, axis=axes)
    return tf.reduce_mean(tf.cast(alike, tf.float32))
