"""What training asks of the other ranks: means, rank 0's arrays, and decisions that all take together."""

from __future__ import annotations

import json

import numpy as np
import tensorflow as tf


class Alone:
    """One rank by itself: its average is its own value."""

    rank = 0
    size = 1

    def average(self, tensors: list) -> list:
        """The mean of each tensor over the ranks."""
        return tensors

    def broadcast(self, arrays: list) -> list:
        """The arrays of rank 0."""
        return arrays


def averaged(parallel, *arrays) -> list[np.ndarray]:
    """The mean over the ranks of each array, outside a compiled function."""
    return [np.asarray(mean) for mean in parallel.average([tf.convert_to_tensor(array) for array in arrays])]


def pooled(parallel, columns: np.ndarray, rows: int) -> np.ndarray:
    """Rows of all ranks, one rank's after another's, the same on every rank.

    Args:
        parallel: the ranks.
        columns: this rank's rows, float32 of shape `(row, column)`; rows of zeros are padding and get lost.
        rows: at most so many rows are taken from each rank.
    """
    # Each rank fills its own place among zeros, so that the mean over ranks times their number is all the rows.
    places = np.zeros((parallel.size, rows, columns.shape[1]), dtype=np.float32)
    places[parallel.rank, : len(columns)] = columns[:rows]
    (mean,) = averaged(parallel, places)
    everything = (mean * parallel.size).reshape(-1, columns.shape[1])
    return everything[np.any(everything != 0, axis=1)]


class RefusedElsewhere(ValueError):
    """This rank's request is sound; another rank's is not."""


def agreed(parallel, check) -> None:
    """Call `check()` on every rank; if it raises ValueError on any, all raise, so that none waits for another."""
    problem = None
    try:
        check()
    except ValueError as error:
        problem = error
    (refusals,) = averaged(parallel, np.float32(problem is not None))
    if problem is not None:
        raise problem
    if refusals > 0:
        raise RefusedElsewhere(f"Another rank refused to train, so rank {parallel.rank} does too; see its error.")


def from_rank_0(parallel, work):
    """What `work()` returns on rank 0, as JSON can carry it, on every rank; if it raises there, every rank raises.

    Raises:
        ValueError, FileNotFoundError, OSError: whichever `work` raised on rank 0.
    """
    answer = None
    if parallel.rank == 0:
        try:
            answer = {"result": work()}
        except (ValueError, OSError) as error:
            if parallel.size == 1:
                raise
            kinds = (FileNotFoundError, OSError, ValueError)
            answer = {"error": str(error), "kind": next(k.__name__ for k in kinds if isinstance(error, k))}
    if parallel.size == 1:
        return answer["result"]
    # All ranks must bring arrays of the same shape to a broadcast: the length first, then the text.
    text = np.frombuffer(json.dumps(answer).encode(), dtype=np.uint8)
    (length,) = parallel.broadcast([np.array([len(text)], dtype=np.int64)])
    mine = text if parallel.rank == 0 else np.zeros(int(np.asarray(length)[0]), dtype=np.uint8)
    (text,) = parallel.broadcast([mine])
    answer = json.loads(np.asarray(text, dtype=np.uint8).tobytes())
    if "error" in answer:
        kind = {"FileNotFoundError": FileNotFoundError, "OSError": OSError, "ValueError": ValueError}[answer["kind"]]
        raise kind(f"Rank 0: {answer['error']}")
    return answer["result"]
