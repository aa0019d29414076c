"""Communication between the ranks of a training: means, arrays of rank 0, and decisions of all ranks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import tensorflow as tf

from calolab.samples import Sample


class Alone:
    """A single rank: its average is its own value."""

    rank = 0
    size = 1

    def average(self, tensors: list) -> list:
        """The mean of each tensor over the ranks."""
        return tensors

    def broadcast(self, arrays: list) -> list:
        """The arrays of rank 0."""
        return arrays


def averaged(parallel, *arrays) -> list[np.ndarray]:
    """Mean over the ranks of each array, outside a compiled function.

    Args:
        parallel: the ranks.
        arrays: arrays of the same shapes on all ranks.
    """
    return [np.asarray(mean) for mean in parallel.average([tf.convert_to_tensor(array) for array in arrays])]


def pooled(parallel, columns: np.ndarray, rows: int) -> np.ndarray:
    """Rows of all ranks in the order of the ranks, the same on every rank.

    Args:
        parallel: the ranks.
        columns: this rank's rows, float32 of shape `(row, column)`; rows of zeros are padding and are removed.
        rows: largest number of rows that are taken from each rank.
    """
    # Each rank fills its own part of an array of zeros, so the mean over ranks times their number holds all rows.
    places = np.zeros((parallel.size, rows, columns.shape[1]), dtype=np.float32)
    places[parallel.rank, : len(columns)] = columns[:rows]
    (mean,) = averaged(parallel, places)
    everything = (mean * parallel.size).reshape(-1, columns.shape[1])
    return everything[np.any(everything != 0, axis=1)]


def pooled_sample(parallel, sample: Sample, rows: int) -> Sample:
    """The events of all ranks in the order of the ranks, the same on every rank.

    Args:
        parallel: the ranks.
        sample: this rank's events.
        rows: largest number of events that are taken from each rank.
    """
    names, ones = sorted(sample.labels), np.ones(len(sample))  # a row that is not zero, also for an empty shower
    labels = np.stack([ones, *(sample.labels[name] for name in names)], axis=1).astype(np.float32)
    columns = np.concatenate([labels, sample.values.reshape(len(sample), -1)], axis=1)
    found = pooled(parallel, columns, rows)
    labels, values = found[:, 1 : len(names) + 1], found[:, len(names) + 1 :]
    return replace(sample, values=values.reshape(-1, *sample.space.shape), labels=dict(zip(names, labels.T)))


class RefusedElsewhere(ValueError):
    """This rank's arguments are valid; those of another rank are not."""


def agreed(parallel, check: Callable[[], object]):
    """Call `check()` on every rank and return its result; if it raises ValueError on any rank, all ranks raise.

    Args:
        parallel: the ranks.
        check: function without arguments.

    Raises:
        ValueError: as raised by `check`.
        RefusedElsewhere: if it raised on another rank.
    """
    problem = result = None
    try:
        result = check()
    except ValueError as error:
        problem = error
    (refusals,) = averaged(parallel, np.float32(problem is not None))
    if problem is not None:
        raise problem
    if refusals > 0:
        raise RefusedElsewhere(f"Another rank refused to train, so rank {parallel.rank} does too; see its error.")
    return result


def from_rank_0(parallel, work: Callable[[], object]):
    """Call `work()` on rank 0 and return its result on every rank; if it raises there, every rank raises.

    Args:
        parallel: the ranks.
        work: returns what JSON can represent.

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
    # A broadcast needs arrays of the same shape on all ranks: the length first, then the text.
    text = np.frombuffer(json.dumps(answer).encode(), dtype=np.uint8)
    (length,) = parallel.broadcast([np.array([len(text)], dtype=np.int64)])
    mine = text if parallel.rank == 0 else np.zeros(int(np.asarray(length)[0]), dtype=np.uint8)
    (text,) = parallel.broadcast([mine])
    answer = json.loads(np.asarray(text, dtype=np.uint8).tobytes())
    if "error" in answer:
        kind = {"FileNotFoundError": FileNotFoundError, "OSError": OSError, "ValueError": ValueError}[answer["kind"]]
        raise kind(f"Rank 0: {answer['error']}")
    return answer["result"]
