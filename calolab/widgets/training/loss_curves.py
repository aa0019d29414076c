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
        The names of the losses; an array of shape `(point, 1 + names)` whose first column is the step, counted from 1;
        and the number of steps per point.
    """
    losses = list(losses)  # another thread may append meanwhile
    names = [name for name in losses[0] if name not in ("epoch", "step")] if losses else []
    steps_per_point = max(1, -(-len(losses) // max_points))
    # An incomplete last point is left out: its mean would fluctuate.
    points = len(losses) // steps_per_point
    table = np.array([[one[name] for name in names] for one in losses[: points * steps_per_point]], dtype=float)
    means = table.reshape(points, steps_per_point, len(names)).mean(axis=1)
    centres = np.arange(points) * steps_per_point + (steps_per_point + 1) / 2
    return names, np.column_stack([centres, means]), steps_per_point
