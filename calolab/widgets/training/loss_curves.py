"""Loss curves of limited length for the browser."""

from __future__ import annotations

import numpy as np

# The curves are sent completely at each update; this number of points fills a screen.
MAX_POINTS = 600


def loss_curves(losses: list[dict], max_points: int = MAX_POINTS) -> tuple[list[str], np.ndarray, int]:
    """The losses of a run as curves of at most `max_points` points, each the mean over the same number of steps.

    Args:
        losses: one dictionary per step, with `epoch`, `step` and the losses by name.
        max_points: largest number of points.

    Returns:
        The names of the losses of all steps; an array of shape `(point, 1 + names)` whose first column is the step,
        counted from 1, with NaN for losses that no step of a point has (in stages, other networks learn); and the
        number of steps per point.
    """
    losses = list(losses)  # another thread may append meanwhile
    names = [name for name in dict.fromkeys(name for one in losses for name in one) if name not in ("epoch", "step")]
    steps_per_point = max(1, -(-len(losses) // max_points))
    # An incomplete last point is left out: its mean would fluctuate.
    points = len(losses) // steps_per_point
    table = [[one.get(name, np.nan) for name in names] for one in losses[: points * steps_per_point]]
    table = np.array(table, dtype=float).reshape(points, steps_per_point, len(names))
    # Only missing losses are left out: one that is not finite must be seen.
    has_loss = np.array([[name in one for name in names] for one in losses[: points * steps_per_point]], dtype=bool)
    has_loss = has_loss.reshape(table.shape)
    # Without warnings about means of nothing.
    means = np.where(has_loss, table, 0).sum(axis=1) / np.where(has_loss.any(axis=1), has_loss.sum(axis=1), np.nan)
    centres = np.arange(points) * steps_per_point + (steps_per_point + 1) / 2
    return names, np.column_stack([centres, means]), steps_per_point
