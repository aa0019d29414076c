"""Parameters for the next trial, at random or by Optuna's tree-structured Parzen estimator; and which trials to prune.

The search itself stores the trials; after a restart they are passed to Optuna again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from calolab.search import space
from calolab.search.space import Choice, Integer
from calolab.search.trials import ENDED, Trial

METHODS = ("tpe", "random")
PRUNERS = (None, "median", "halving")


class Proposer:
    """Proposes the trials of a search.

    Args:
        space: the search space.
        method: "random", whose parameters depend only on `seed` and the trial's number, or "tpe" (Bergstra et al.,
            NeurIPS 2011), which uses the trials that have ended.
        pruner: None, "median" (ends a trial worse than the median of the others at the same epoch) or "halving"
            (successive halving, arXiv:1810.05934).
        metric: name of the metric to optimise.
        direction: "minimize" or "maximize".
        seed: seed of the draws.
        known: trials of an earlier kernel.
    """

    def __init__(
        self,
        space: Mapping,
        method: str,
        pruner: str | None,
        metric: str,
        direction: str,
        seed: int,
        known: Iterable[Trial] = (),
    ):
        self.space, self.method, self.pruner, self.metric, self.seed = space, method, pruner, metric, seed
        self._asked: dict[int, object] = {}  # Optuna's trials, by trial number
        self._reported: dict[int, set[int]] = {}  # epochs that Optuna has received
        self._study = None
        known = tuple(known)
        if method == "random" and pruner is None:
            return
        import optuna

        self._optuna = optuna
        # A new sampler must not repeat the draws of the known trials.
        state = int(np.random.SeedSequence([seed, len(known)]).generate_state(1)[0])
        pruners = {"median": optuna.pruners.MedianPruner, "halving": optuna.pruners.SuccessiveHalvingPruner}
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # a new study is logged
        try:
            self._study = optuna.create_study(
                direction=direction,
                sampler=optuna.samplers.TPESampler(seed=state, constant_liar=True),
                pruner=pruners.get(pruner, optuna.pruners.NopPruner)(),
            )
        finally:
            optuna.logging.set_verbosity(before)
        self._distributions = {name: self._distribution(kind) for name, kind in space.items()}
        for trial in known:
            self._adopt(trial)

    def propose(self, number: int) -> dict:
        """The parameters of a new trial."""
        if self._study is None:
            return space.draw(self.space, self.seed, number)
        if self.method == "random":
            self._study.enqueue_trial(space.draw(self.space, self.seed, number))
        self._asked[number] = self._study.ask(self._distributions)
        return dict(self._asked[number].params)

    def should_prune(self, number: int, epoch: int, value: float) -> bool:
        """Whether to prune a running trial after this epoch; False when called again for the same epoch.

        Args:
            number: number of the trial.
            epoch: index of the epoch.
            value: its metric.
        """
        asked, reported = self._asked.get(number), self._reported.setdefault(number, set())
        if self.pruner is None or asked is None or epoch in reported:
            return False
        reported.add(epoch)
        asked.report(value, epoch)
        return asked.should_prune()

    def add_ended(self, trial: Trial) -> None:
        """Use a trial that has ended; for a trial that was run again, the first end counts."""
        asked = self._asked.pop(trial.number, None)
        if asked is None:
            return
        states = self._optuna.trial.TrialState
        if trial.value is None or trial.status == "failed":
            self._study.tell(asked, state=states.FAIL)
        elif trial.status == "pruned":
            self._study.tell(asked, state=states.PRUNED)
        else:
            self._study.tell(asked, trial.value)

    def _adopt(self, trial: Trial) -> None:
        """Add a trial of an earlier kernel to this study."""
        self._study.enqueue_trial(dict(trial.parameters))
        asked = self._asked[trial.number] = self._study.ask(self._distributions)
        for epoch in trial.epochs:
            if self.metric in epoch:
                self._reported.setdefault(trial.number, set()).add(epoch["epoch"])
                asked.report(epoch[self.metric], epoch["epoch"])
        if trial.status in ENDED:
            self.add_ended(trial)

    def _distribution(self, kind):
        distributions = self._optuna.distributions
        if isinstance(kind, Choice):
            return distributions.CategoricalDistribution(kind.values)
        if isinstance(kind, Integer):
            return distributions.IntDistribution(kind.low, kind.high, log=kind.log)
        return distributions.FloatDistribution(kind.low, kind.high, log=kind.log)
