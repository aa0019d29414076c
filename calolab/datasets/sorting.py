"""Sorted files: whether the first events of a file differ from the others, e.g. if all signal events come first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

# Probability below which an order of events is not a coincidence, and the number of events in increasing or decreasing
# order that is below it: 2 / 7!.
_CHANCE = 1e-3
_FEWEST = 7


def doubtful_head(
    labels: Mapping[str, np.ndarray], n_events: int, pieces: Callable[[str], Iterable[np.ndarray]]
) -> str | None:
    """A message if the first events do not represent all events according to one of their labels, otherwise None.

    Args:
        labels: labels of the first events, each of shape `(event,)`.
        n_events: number of all events.
        pieces: returns a label of all events, some of them at a time.
    """
    for name, column in labels.items():
        begins = f"the first {len(column)} of {n_events} events"
        if len(column) > 1 and np.all(column == column[0]):
            fraction = sum(np.count_nonzero(piece == column[0]) for piece in pieces(name)) / n_events
            if fraction ** len(column) < _CHANCE:
                return (
                    f"{begins} all have {name} {column[0]:g}, but only a fraction of {fraction:.2g} of all events do. "
                    f"The events are sorted, and the first ones do not represent all of them."
                )
        elif len(column) >= _FEWEST:
            steps = np.diff(column)
            order = "increases" if np.all(steps >= 0) else "decreases" if np.all(steps <= 0) else None
            if order is not None and np.count_nonzero(steps) >= _FEWEST - 1:
                return (
                    f"in {begins}, {name} {order} from {column[0]:g} to {column[-1]:g}. The events are sorted, and the "
                    "first ones do not represent all of them."
                )
    return None
