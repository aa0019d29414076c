"""A toy objective in one file: a regression of the total energy, and flow matching (arXiv:2210.02747) of the shape."""

from calolab.training import Objective


def _total(gan, inputs, training):
    import tensorflow as tf

    expected = tf.reduce_sum(inputs["image"], axis=(1, 2, 3, 4))[:, None]
    return tf.square(gan.networks["total"](inputs["energy"], training=training) - expected)


def _velocity(gan, inputs, training):
    import tensorflow as tf

    target, time = tf.reshape(inputs["image"], (-1, 64)), inputs["mixing"][:, None]
    between = (1 - time) * inputs["latent"] + time * target
    found = gan.networks["velocity"](tf.concat([between, time, inputs["energy"] / 100], axis=-1), training=training)
    return tf.square(found - (target - inputs["latent"]))


FLOW_MATCHING = Objective(losses={"total": _total, "velocity": _velocity})
# Least squares (arXiv:1611.04076): an adversarial objective.
LEAST_SQUARES = Objective(
    discriminator=lambda scores, real: (scores - real) ** 2, generator=lambda scores: (scores - 1) ** 2
)
