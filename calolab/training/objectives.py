"""What generator and discriminator play for: adversarial objectives, whatever the architecture.

The discriminator's head `generation` gives a score per event, here the logit of being real. An objective says what its
score costs the discriminator, and what it costs the generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

SINKHORN_ITERATIONS = 50


@dataclass(frozen=True)
class Objective:
    """Losses per event as functions of the scores `(event, 1)`.

    Args:
        discriminator: of the scores and of whether the events are to be called real (1) or generated (0), `(event, 1)`.
        generator: of the scores of generated events.
    """

    discriminator: Callable
    generator: Callable


def cross_entropy(scores, real):
    """Binary cross entropy of logits."""
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=real, logits=scores)


SCORED = {
    "non-saturating": Objective(cross_entropy, lambda scores: cross_entropy(scores, tf.ones_like(scores))),
    "minimax": Objective(cross_entropy, lambda scores: -cross_entropy(scores, tf.zeros_like(scores))),
    "hinge": Objective(lambda scores, real: tf.nn.relu(1 - (2 * real - 1) * scores), lambda scores: -scores),
    "wgan-gp": Objective(lambda scores, real: (1 - 2 * real) * scores, lambda scores: -scores),
}


def gradient_penalty(score: Callable, real, generated, mixing, scale: float):
    """WGAN-GP's penalty: how far the slope of the score is from 1 between real and generated events.

    Args:
        score: from values `(event, ..., 1)` to scores `(event, 1)`.
        real, generated: values `(event, ..., 1)`.
        mixing: where between the two, from 0 to 1, shape `(event,)`.
        scale: the unit of the values in which slopes are measured.

    Returns:
        Mean squared distance of the gradient's norm from 1, a scalar.
    """
    share = tf.reshape(mixing, (-1, *(1,) * (len(real.shape) - 1)))
    between = share * real + (1 - share) * generated
    with tf.GradientTape() as tape:
        tape.watch(between)
        scores = score(between)
    slopes = scale * tf.reshape(tape.gradient(scores, between), (tf.shape(real)[0], -1))
    # The small term keeps the derivative of the root finite where the score is flat.
    norms = tf.sqrt(tf.reduce_sum(tf.square(slopes), axis=1) + 1e-12)
    return tf.reduce_mean(tf.square(norms - 1))


def sinkhorn_divergence(first, second, regularisation: float):
    """Debiased entropic optimal-transport distance between two batches of feature vectors (arXiv:1706.00292).

    The cost of moving one event onto another is 1 minus the cosine of their features (arXiv:1803.05573), from 0 to 2.

    Args:
        first, second: shapes `(event, feature)`; the numbers of events may differ.
        regularisation: of the entropy, in units of the cost.

    Returns:
        A scalar, 0 for equal batches. Its gradient holds the transport plans fixed (envelope theorem).
    """
    first, second = tf.math.l2_normalize(first, axis=1), tf.math.l2_normalize(second, axis=1)
    between = _transport_cost(first, second, regularisation)
    within = _transport_cost(first, first, regularisation) + _transport_cost(second, second, regularisation)
    return between - within / 2


def _transport_cost(first, second, regularisation):
    cost = 1 - tf.matmul(first, second, transpose_b=True)
    kernel = -tf.stop_gradient(cost) / regularisation
    rows, columns = tf.cast(tf.shape(cost)[0], cost.dtype), tf.cast(tf.shape(cost)[1], cost.dtype)
    log_rows, log_columns = -tf.math.log(rows), -tf.math.log(columns)
    u, v = tf.zeros_like(kernel[:, 0]), tf.zeros_like(kernel[0])
    for _ in range(SINKHORN_ITERATIONS):
        u = log_rows - tf.reduce_logsumexp(kernel + v[None, :], axis=1)
        v = log_columns - tf.reduce_logsumexp(kernel + u[:, None], axis=0)
    plan = tf.exp(kernel + u[:, None] + v[None, :])
    return tf.reduce_sum(plan * cost)
