"""The arguments of a training, checked when they are given: `fit`, engines, trials and timing share one record."""

from __future__ import annotations

import inspect
import math
import numbers
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from calolab.labels import check_labels
from calolab.scores import Score, named_scores
from calolab.training.history import Progress
from calolab.training.recipe import Recipe

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class PhysicsScore:
    """The metric by which the best epoch is selected; the weights of that epoch are kept.

    Args:
        score: function of a `GAN` that returns scores by name, e.g. `validation.jet_score(test, seed=7)`; a plain
            number is a `Score` without a floor, of which lower is better. It must not change the GAN, and must return
            the same scores for the same weights.
        by: name of the metric to optimise.

    Raises:
        TypeError: if `score` is not callable.
    """

    score: Callable[[object], Mapping[str, Score | float]]
    by: str = "ks_comb"

    def __post_init__(self):
        if not callable(self.score):
            raise TypeError(f"PhysicsScore expects a function of a GAN, received {type(self.score).__name__}.")

    def __call__(self, gan) -> dict[str, Score]:
        """The GAN's scores by name.

        Raises:
            ValueError: if the metric to optimise is missing or not a number, or the function fails.
        """
        try:
            scores = named_scores(self.score(gan))
        except Exception as error:  # all waiting ranks must receive it, whatever it is
            raise ValueError(f"The physics score failed with {type(error).__name__}: {error}") from error
        if self.by not in scores or math.isnan(scores[self.by].value):
            received = {name: one.value for name, one in scores.items()}
            raise ValueError(
                f"PhysicsScore(by={self.by!r}) expects a number of that name from its function, received {received}."
            )
        return scores


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """The arguments of a training, checked when they are given.

    Args:
        epochs: number of epochs in total, including those before a resumption.
        batch_size: events per rank and pass; the last step of an epoch takes the remaining events as well.
        global_batch: events of all ranks per pass, shared as evenly as possible; `batch_size` times the number of ranks
            by default. With it, a training resumes with the same batches on another number of ranks.
        precision: `"float32"`, or `"bfloat16"` for mixed precision: variables, heads and losses stay float32. It is
            faster on GPUs and on CPUs with AMX and warns elsewhere, where it is slower; see `fastest_precision`.
        seed: seed of noise, dropout, label flips, labels of generated events and the order of events.
        recipe: the objective and its hyper-parameters; by default `Recipe.of(gan)`, that of its last training or the
            published one, and with `resume` that of the checkpoint.
        physics_score: metric that rank 0 computes after every epoch; the scores are part of the history, and the GAN
            ends with the weights of the best epoch, which the checkpoints keep as `best.npz`.
        score_every: number of epochs between two physics scores, for a score that takes longer than an epoch; the last
            of all epochs always has one, and only epochs with a score can be the best one.
        patience: number of epochs without a better physics score after which training stops (early stopping); by
            default it does not. With stages, only epochs of the last one count. A resumed training counts from its best
            epoch, so one that has stopped returns its history unless `patience` is larger than before.
        checkpoints: folder for a checkpoint after every epoch and when stopped; none by default.
        resume: continue from the checkpoint in that folder as if the training had never stopped.
        time_limit: seconds after which training stops, once the step in progress is done on all ranks; at least one
            step is taken. Compiling, physics scores and checkpoints count; a resumed training has the full time again.
            The best epoch is kept, and `resume=True` continues bit-identically. Given on all ranks or on none.
        callbacks: functions of a `Progress`, called after every step.

    Raises:
        ValueError: if a number is out of range, `resume` is given without `checkpoints`, or `patience` without
            `physics_score`.
        TypeError: if `physics_score` is not a `PhysicsScore`.
    """

    epochs: int
    batch_size: int = 128
    global_batch: int | None = None
    precision: str = "float32"
    seed: int = 0
    recipe: Recipe | None = None
    physics_score: PhysicsScore | None = None
    score_every: int = 1
    patience: int | None = None
    checkpoints: str | os.PathLike | None = None
    resume: bool = False
    time_limit: float | None = None
    callbacks: tuple[Callable[[Progress], None], ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "callbacks", tuple(self.callbacks))
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, received {self.epochs}.")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, received {self.batch_size}.")
        if self.global_batch is not None and self.global_batch < 1:
            raise ValueError(f"global_batch must be at least 1 event or None, received {self.global_batch}.")
        if self.score_every < 1:
            raise ValueError(f"score_every must be at least 1 epoch, received {self.score_every}.")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be at least 1 epoch or None, received {self.patience}.")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, received {self.seed}.")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision expects one of {', '.join(PRECISIONS)}, received {self.precision!r}.")
        if self.resume and self.checkpoints is None:
            raise ValueError("resume=True needs checkpoints=, the folder with the checkpoint to continue from.")
        limit = self.time_limit
        is_number = isinstance(limit, numbers.Real) and not isinstance(limit, bool)
        if limit is not None and not (is_number and 0 < limit < math.inf):
            raise ValueError(
                f"time_limit expects a positive number of seconds, or None for no limit; received {limit!r}."
            )
        if self.physics_score is not None and not isinstance(self.physics_score, PhysicsScore):
            raise TypeError(
                f"physics_score expects a PhysicsScore, received {type(self.physics_score).__name__}: use "
                "PhysicsScore(function, by=name)."
            )
        if self.patience is not None and self.physics_score is None:
            raise ValueError(
                f"patience={self.patience} stops a training whose physics score no longer improves: it needs "
                "physics_score=PhysicsScore(function, by=name)."
            )

    def recipe_for(self, gan) -> Recipe:
        """The recipe; by default `Recipe.of(gan)`."""
        return self.recipe or Recipe.of(gan)


def check_data(gan, data) -> dict[str, np.ndarray]:
    """Check that a GAN can learn from the data, and return the labels of its conditions.

    Args:
        gan: the `GAN`.
        data: a `Sample` or `EventStream`; each label is read once.

    Returns:
        The labels by name, each of shape `(event,)`.

    Raises:
        ValueError: if the space is another one, or a label is missing or has impossible values.
    """
    if data.space != gan.space:
        raise ValueError(
            f"The data are in space {data.space.name!r}, but the GAN generates events in {gan.space.name!r}; "
            "build it with models.build(name, data.space)."
        )
    missing = [name for name in gan.conditions if name not in data.labels]
    if missing:
        raise ValueError(
            f"The GAN is conditioned on {', '.join(gan.conditions)}; the data lack {', '.join(missing)}, "
            f"they have {', '.join(data.labels) or 'no labels'}."
        )
    labels = {name: np.asarray(data.labels[name]) for name in gan.conditions}
    check_labels(labels)
    return labels


def takes_request(function: Callable) -> Callable:
    """Show the fields of `TrainingRequest` as keywords of a function that takes them as `**keywords`."""
    own = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    first = [parameter for parameter in own if parameter.kind is not inspect.Parameter.KEYWORD_ONLY]
    last = [parameter for parameter in own if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    fields = inspect.signature(TrainingRequest).parameters.values()
    function.__signature__ = inspect.Signature([*first, *fields, *last])
    return function
