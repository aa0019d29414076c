"""Gradient-boosted trees as a classifier of features: fast, and sensitive to differences of features."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from calolab.validation.classifiers.classification import Classification
from calolab.validation.classifiers.evaluation import balanced_weights
from calolab.validation.classifiers.matrices import checked_matrices, count
from calolab.validation.classifiers.parts import Clock, Split, Trained
from calolab.validation.classifiers.trainings import train_repeatedly

STAGES, LEAVES, LEARNING_RATE = 160, 15, 0.1
STEP = 20  # stages between two checks of the time limit and of the validation loss
PATIENCE = 40  # stages after the best one
BINS = 255  # of each feature, the most that the trees can distinguish
# Below this number of training events one thread is as fast as several, and twelve times as fast on a busy machine.
MANY = 50_000


def tree_test(
    reference,
    generated,
    *,
    names: Sequence[str] = (),
    stages: int = STAGES,
    leaves: int = LEAVES,
    seed: int = 0,
    trainings: int = 5,
    time_limit: float | None = None,
    progress: bool = True,
) -> Classification:
    """Test with gradient-boosted trees whether two samples of features have the same distribution.

    Trees are trained on 60 % of the events; 20 % choose the number of trees and calibrate their outputs, the remaining
    20 % measure AUC and JSD. By default this is done five times, so that each event is once a test event. With 3,000
    showers and 174 features in each sample, it takes a few seconds.

    Args:
        reference, generated: features, shape `(event, feature)`.
        names: names of the features, for error messages.
        stages: largest number of trees.
        leaves: largest number of leaves per tree.
        seed: seed of the split and of the trees; same seed, same result.
        trainings: number of trainings, each with its own seed and test part.
        time_limit: time limit for all trainings together [s]; the trees trained until then are used.
        progress: whether to show a progress bar.

    Returns:
        The `Classification`.

    Raises:
        ValueError: for fewer than 50 events, different features, or values that are not finite.
        Stopped: after Ctrl-C.
    """
    if stages < 1 or leaves < 2:
        raise ValueError(f"tree_test expects stages >= 1 and leaves >= 2, received {stages} and {leaves}.")
    matrices = checked_matrices(reference, generated, names)

    def train(split: Split, seed: int, clock: Clock) -> Trained:
        threads = 1 if sum(map(len, split.training)) < MANY else None
        with threadpool_limits(threads, user_api="openmp"):
            return _train(matrices, split, stages, leaves, seed, clock)

    return train_repeatedly(
        train,
        judge="trees",
        inputs=count(matrices[0].shape[1], "feature"),
        sizes=(len(matrices[0]), len(matrices[1])),
        steps=stages,
        unit="stage",
        seed=seed,
        trainings=trainings,
        time_limit=time_limit,
        progress=progress,
    )


def _train(matrices, split, stages, leaves, seed, clock):
    edges = _edges(matrices, split.training)
    (features, truth, weights), (validation, truth_there, weights_there), (test, *_) = (
        _part(matrices, positions, edges) for positions in (split.training, split.validation, split.test)
    )
    model = HistGradientBoostingClassifier(
        learning_rate=LEARNING_RATE, max_leaf_nodes=leaves, early_stopping=False, warm_start=True, random_state=seed
    )
    losses, note = [], ""
    while len(losses) < stages:
        done = len(losses)
        model.set_params(max_iter=min(done + STEP, stages))
        model.fit(features, truth, sample_weight=weights)
        outputs = [one.ravel() for one in model.staged_decision_function(validation)]
        losses = [_loss(one, truth_there, weights_there) for one in outputs]
        clock.advance(len(losses) - done, f"validation loss {min(losses):.4f}")
        if len(losses) - np.argmin(losses) > PATIENCE:
            break
        if clock.is_over and len(losses) < stages:
            note = f"The time limit ended a training after {len(losses)} of {stages} trees."
            break
    best = int(np.argmin(losses))
    on_test = next(islice(model.staged_decision_function(test), best, None)).ravel()
    return Trained(
        validation=_sides(outputs[best], split.validation),
        test=_sides(on_test, split.test),
        best=best + 1,
        note=note,
    )


def _edges(matrices, positions):
    """Edges of the bins of each feature, shape `(edge, feature)`: quantiles of the training events."""
    training = np.concatenate([matrix[chosen] for matrix, chosen in zip(matrices, positions)])
    return np.quantile(training, np.linspace(0, 1, BINS + 1)[1:-1], axis=0)


def _part(matrices, positions, edges):
    """Bins of the features, truth (1 for generated) and weights of the events of one part.

    Trees depend on the order of the values only. Without bins, they would find quantiles of weighted events in each
    step, which takes longer than the training.
    """
    chosen = np.concatenate([matrix[events] for matrix, events in zip(matrices, positions)])
    bins = np.empty(chosen.shape, dtype=np.float32)
    for feature, column in enumerate(chosen.T):
        bins[:, feature] = np.searchsorted(edges[:, feature], column, side="right")
    sizes = [len(events) for events in positions]
    return bins, np.repeat([0, 1], sizes), np.repeat(balanced_weights(*sizes), sizes)


def _sides(outputs, positions):
    """Outputs of reference and of generated events."""
    return tuple(np.split(outputs, [len(positions[0])]))


def _loss(outputs, truth, weights):
    """Binary cross-entropy of logits."""
    return np.average(np.logaddexp(0, np.where(truth == 1, -outputs, outputs)), weights=weights)
