"""Training objectives: one record for each, in the table `OBJECTIVES`.

An adversarial objective is defined by the losses of a score, the discriminator's head `generation`, or by a distance
between batches of the discriminator's features. Any other objective, such as a likelihood, flow matching or that of a
critic of its own, has a loss for each network that learns; an `Architecture` may define such objectives, too.
TensorFlow loads with the first loss: a `Recipe` needs only names. Entries that a notebook adds to the table are sent to
engines with its functions and networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from calolab.names import check_name

SINKHORN_ITERATIONS = 50


def _no_check(*arguments) -> None:
    pass


@dataclass(frozen=True)
class Objective:
    """The losses that the networks minimise.

    Args:
        discriminator: function from scores and whether the events are to be classified as real (1) or generated (0),
            each `(event, 1)`, to the discriminator's losses `(event, 1)`; None without such a loss.
        generator: function from scores of generated events `(event, 1)` to the generator's losses `(event, 1)`.
        divergence: function from features of real and of generated events, each `(event, feature)`, and
            `Recipe.regularisation` to their distance, which the generator minimises and the discriminator maximises.
        penalty: function from a function of values to scores, real values, generated values, numbers between 0 and 1
            `(event,)`, and the GAN's value_scale to an additional loss of the discriminator, whose weight is
            `Recipe.gradient_penalty`.
        losses: for an objective without a discriminator: by network that learns, in the order of their passes, a
            function of the GAN, the step inputs (`image`, `latent`, `mixing`, `seed` and the conditions, see
            `inputs.step_inputs`) and whether to run in training mode. It returns the losses of the events, of any
            shape, or a tuple of these and of further quantities by name, whose means the history contains as
            `<network>_<name>`.
        latent_size: function of the GAN that returns how many random numbers per event these losses take as `latent`;
            None: complete latent vectors.
        joint: whether the discriminator has to process real and generated events in the same pass.
        check_recipe: function that raises ValueError if a `Recipe` does not fit the objective.
        check_networks: function that raises ValueError if a `GAN` does not fit the objective.

    Raises:
        ValueError: unless there is exactly one kind of loss.
    """

    discriminator: Callable | None = None
    generator: Callable | None = None
    divergence: Callable | None = None
    penalty: Callable | None = None
    losses: Mapping[str, Callable] = field(default_factory=dict)
    latent_size: Callable[[object], int] | None = None
    joint: bool = False
    check_recipe: Callable[[object], None] = _no_check
    check_networks: Callable[[object], None] = _no_check

    def __post_init__(self):
        scored = self.discriminator is not None and self.generator is not None
        if scored + (self.divergence is not None) + bool(self.losses) != 1:
            raise ValueError(
                "An Objective needs either losses of a score (discriminator= and generator=), or divergence=, or "
                "losses= by network."
            )

    def latents(self, gan) -> int:
        """Length of the vectors `latent` in the step inputs of a GAN."""
        return gan.latent_size if self.latent_size is None else self.latent_size(gan)

    @property
    def is_adversarial(self) -> bool:
        """Whether a discriminator learns, too."""
        return not self.losses

    def passes(self, recipe) -> tuple[str, ...]:
        """The passes of one training step with a `Recipe`, in order.

        Returns:
            `real`, `fake`, `discriminator` (real and generated events in one pass) and `generator`; for an objective
            without a discriminator the names of the networks that learn.
        """
        if not self.is_adversarial:
            return tuple(name for name in self.losses for _ in range(recipe.network_passes.get(name, 1)))
        kinds = ("discriminator",) if recipe.together or self.joint else ("real", "fake")
        return kinds * recipe.discriminator_passes + ("generator",) * recipe.generator_passes


def network_of(kind: str) -> str:
    """Name of the network that learns in a kind of pass."""
    return "discriminator" if kind in ("real", "fake") else kind


def cross_entropy(scores, real):
    """Binary cross entropy of logits.

    Args:
        scores: logits, `(event, 1)`.
        real: 1 for events to be classified as real, 0 for generated, `(event, 1)`.

    Returns:
        Losses, `(event, 1)`.
    """
    import tensorflow as tf

    return tf.nn.sigmoid_cross_entropy_with_logits(labels=real, logits=scores)


def gradient_penalty(score: Callable, real, generated, mixing, scale: float):
    """WGAN-GP's penalty: deviation from 1 of the slope of the score between real and generated events.

    Args:
        score: function from values `(event, ..., 1)` to scores `(event, 1)`.
        real, generated: values `(event, ..., 1)`.
        mixing: position between the two, from 0 (generated) to 1 (real), shape `(event,)`.
        scale: the unit of the values in which slopes are measured.

    Returns:
        Mean squared deviation of the gradient's norm from 1, a scalar (arXiv:1704.00028).
    """
    import tensorflow as tf

    share = tf.reshape(mixing, (-1, *(1,) * (len(real.shape) - 1)))
    between = share * real + (1 - share) * generated
    with tf.GradientTape() as tape:
        tape.watch(between)
        scores = score(between)
    slopes = scale * tf.reshape(tape.gradient(scores, between), (tf.shape(real)[0], -1))
    # The small term keeps the derivative of the root finite where the slope is zero.
    norms = tf.sqrt(tf.reduce_sum(tf.square(slopes), axis=1) + 1e-12)
    return tf.reduce_mean(tf.square(norms - 1))


def sinkhorn_divergence(first, second, regularisation: float):
    """Debiased entropic optimal-transport distance between two batches of feature vectors (arXiv:1706.00292).

    The cost of transporting one event to another is 1 minus the cosine of their features (arXiv:1803.05573), 0 to 2.

    Args:
        first, second: shapes `(event, feature)`; the numbers of events may differ.
        regularisation: regularisation of the entropy, in units of the cost.

    Returns:
        A scalar, 0 for equal batches. Its gradient treats the transport plans as constants (envelope theorem).
    """
    import tensorflow as tf

    first, second = tf.math.l2_normalize(first, axis=1), tf.math.l2_normalize(second, axis=1)
    between = _transport_cost(first, second, regularisation)
    within = _transport_cost(first, first, regularisation) + _transport_cost(second, second, regularisation)
    return between - within / 2


def _transport_cost(first, second, regularisation):
    import tensorflow as tf

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


def _non_saturating(scores):
    import tensorflow as tf

    return cross_entropy(scores, tf.ones_like(scores))


def _minimax(scores):
    import tensorflow as tf

    return -cross_entropy(scores, tf.zeros_like(scores))


def _hinge(scores, real):
    import tensorflow as tf

    return tf.nn.relu(1 - (2 * real - 1) * scores)


def _negative(scores):
    return -scores


def _check_linear(gan) -> None:
    from calolab.models import registry  # loads Keras

    record = registry.get(gan.architecture)
    reason = record.nonlinear(gan.settings) if record else ""
    if reason:
        raise ValueError(
            f"A gradient penalty needs networks that process values linearly, but {gan.architecture!r} does not: "
            f"{reason}."
        )


def _check_no_flips(recipe) -> None:
    if recipe.flip or recipe.batch_flip:
        raise ValueError(
            "Optimal transport compares batches and has no labels to flip: set flip=0 and batch_flip=0, received "
            f"{recipe.flip} and {recipe.batch_flip}."
        )


def _check_features(gan) -> None:
    names = {layer.name for layer in gan.discriminator.layers}
    if "features" not in names:
        raise ValueError(
            "Optimal transport compares the discriminator's features: the layer before its heads must be named "
            f"'features'; {gan.architecture!r} has {', '.join(sorted(names))}."
        )


OBJECTIVES = {
    "non-saturating": Objective(cross_entropy, _non_saturating),  # arXiv:1406.2661
    "minimax": Objective(cross_entropy, _minimax),  # arXiv:1406.2661
    "hinge": Objective(_hinge, _negative),  # arXiv:1802.05957
    "wgan-gp": Objective(  # arXiv:1704.00028
        discriminator=lambda scores, real: (1 - 2 * real) * scores,
        generator=_negative,
        penalty=gradient_penalty,
        joint=True,
        check_networks=_check_linear,
    ),
    "optimal-transport": Objective(  # arXiv:1706.00292, arXiv:1803.05573
        divergence=sinkhorn_divergence, joint=True, check_recipe=_check_no_flips, check_networks=_check_features
    ),
}
_INCLUDED = dict(OBJECTIVES)


def find_objective(name: str) -> Objective:
    """The objective of a name: an entry of `OBJECTIVES`, or `"<architecture>/<objective>"`, one of an architecture.

    Raises:
        ValueError: for an unknown name, with the nearest known ones.
    """
    return OBJECTIVES[name] if name in OBJECTIVES else _own_objective(name)


@cache
def _own_objective(name: str) -> Objective:
    from calolab.models import registry  # loads Keras

    own = {
        f"{record.name}/{one}": Objective(losses=losses, latent_size=record.latent_sizes.get(one))
        for record in map(registry.find, registry.names())
        for one, losses in record.objectives.items()
    }
    check_name("objective", name, (*OBJECTIVES, *own))
    return own[name]


def added_objectives() -> dict[str, Objective]:
    """The objectives that this process has added to `OBJECTIVES`, by name.

    Raises:
        ValueError: if one of those that calolab defines has been replaced.
    """
    if replaced := [name for name, one in _INCLUDED.items() if OBJECTIVES.get(name, one) is not one]:
        raise ValueError(f"calolab's objective {replaced[0]!r} was replaced: add yours under another name.")
    return {name: one for name, one in OBJECTIVES.items() if name not in _INCLUDED}
