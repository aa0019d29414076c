"""The result of a classifier two-sample test: AUC and JSD with their errors, and how far they can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calolab.scores import Score

# Fifths of the events: three are the training part, one is the validation part and one the test part, as in the
# CaloChallenge (arXiv:2410.21611).
FOLDS = 5
# Number of errors by which an AUC must differ from 0.5 to show a difference.
SIGNIFICANT = 2.0


@dataclass(frozen=True)
class Classification:
    """How well a classifier distinguishes generated from reference events that were not used for training.

    An AUC of 0.5 means that it finds no difference, 1 that it recognises every event. Each entry of `aucs`, `errors`,
    `jsds` and `best` belongs to one training with its own seed and its own test part. The test parts of the first five
    trainings do not overlap, so that each of them reduces the statistical error of the mean.

    Args:
        judge: kind of classifier: `"trees"`, `"cnn"` or `"mlp"`.
        inputs: description of its inputs, e.g. `"174 features"`.
        aucs: area under the ROC curve on the test part.
        errors: statistical error of each AUC for these numbers of test events (DeLong).
        jsds: Jensen-Shannon divergence in bits, 1 - BCE / ln 2 on the test part after isotonic calibration on the
            validation part. It is a lower bound on the divergence and, with few events, may be below 0.
        best: epoch or boosting stage that was best on the validation part, from 1.
        events: numbers of (reference, generated) events in the training, validation and test part of a training.
        seconds: wall time of all trainings [s].
        notes: limitations of the result, e.g. that a time limit was reached.

    Raises:
        ValueError: if there is no training, the numbers of entries differ, or an AUC is not between 0 and 1.
    """

    judge: str
    inputs: str
    aucs: tuple[float, ...]
    errors: tuple[float, ...]
    jsds: tuple[float, ...]
    best: tuple[int, ...]
    events: tuple[tuple[int, int], ...]
    seconds: float
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        for name in ("aucs", "errors", "jsds", "best", "notes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "events", tuple(tuple(pair) for pair in self.events))
        lengths = [len(entries) for entries in (self.aucs, self.errors, self.jsds, self.best)]
        if not lengths[0] or len(set(lengths)) > 1:
            raise ValueError(
                f"A classification expects one AUC, error, JSD and best epoch per training, received {lengths}."
            )
        if not all(0 <= value <= 1 for value in self.aucs):
            raise ValueError(f"An AUC is between 0 and 1, received {self.aucs}.")

    @property
    def auc(self) -> float:
        """Mean of the AUCs."""
        return float(np.mean(self.aucs))

    @property
    def jsd(self) -> float:
        """Mean of the Jensen-Shannon divergences [bits]."""
        return float(np.mean(self.jsds))

    @property
    def error(self) -> float:
        """Statistical error of the mean AUC."""
        return float(np.sqrt(np.mean(np.square(self.errors)) / self._parts))

    @property
    def spread(self) -> float | None:
        """Standard deviation of the AUC over the trainings; None for a single one."""
        return float(np.std(self.aucs, ddof=1)) if len(self.aucs) > 1 else None

    @property
    def tested(self) -> tuple[int, int]:
        """Numbers of (reference, generated) events that were test events in some training."""
        reference, generated = self.events[-1]
        return reference * self._parts, generated * self._parts

    @property
    def chance(self) -> float:
        """Standard deviation of the mean AUC of equal distributions, for these numbers of test events."""
        reference, generated = self.events[-1]
        return math.sqrt((reference + generated + 1) / (12 * reference * generated) / self._parts)

    @property
    def deviation(self) -> float:
        """The difference of the AUC from 0.5 in units of `chance`."""
        return (self.auc - 0.5) / self.chance

    @property
    def verdict(self) -> str:
        """The conclusion that these numbers of events support, as text."""
        if self.deviation >= SIGNIFICANT:
            return f"AUC exceeds 0.5 by {self.deviation:.0f} errors: the samples differ."
        visible = 0.5 + SIGNIFICANT * self.chance
        if self.deviation > -SIGNIFICANT:
            return (
                f"AUC differs from 0.5 by less than {SIGNIFICANT:.0f} errors: no difference found. With {self._sizes} "
                f"test events, an AUC below {visible:.3f} cannot be told from 0.5."
            )
        return (
            f"AUC is {-self.deviation:.0f} errors below 0.5: by chance, or because the events are not independent, for "
            "example if both samples contain the same events."
        )

    def score(self, floor: Classification | None = None) -> Score:
        """The AUC as a score; lower is better.

        Args:
            floor: the same judge between two samples of the reference; by default the floor is 0.5, with the spread
                expected for these numbers of events.
        """
        name = f"auc_{self.judge}"
        if floor is None:
            return Score(name, self.auc, 0.5, self.chance)
        return Score(name, self.auc, floor.auc, floor.error)

    def to_dict(self) -> dict:
        """The record as plain numbers and strings that JSON can hold, with means and errors."""
        listed = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}
        listed["events"] = [list(pair) for pair in self.events]
        derived = {name: getattr(self, name) for name in ("auc", "jsd", "error", "spread", "deviation", "verdict")}
        return {**listed, **derived}

    @classmethod
    def from_dict(cls, content: Mapping) -> Classification:
        """Rebuild a classification from `to_dict`.

        Args:
            content: result of `to_dict`.
        """
        return cls(**{name: content[name] for name in cls.__dataclass_fields__})

    def __str__(self):
        spread = "" if self.spread is None else f", spread {self.spread:.3f} over {len(self.aucs)} trainings"
        text = (
            f"{self.judge} on {self.inputs}: AUC {self.auc:.3f} ± {self.error:.3f}{spread}, JSD {self.jsd:.3f}, "
            f"{self._sizes} test events, {self.seconds:.0f} s"
        )
        return "\n".join([text, self.verdict, *self.notes])

    __repr__ = __str__

    @property
    def _parts(self) -> int:
        """Number of test parts that do not overlap."""
        return min(len(self.aucs), FOLDS)

    @property
    def _sizes(self) -> str:
        return " + ".join(f"{size:,}" for size in self.tested)
