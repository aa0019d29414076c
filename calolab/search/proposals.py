"""Parameters for the next trial: at random, or by Optuna's tree-structured Parzen estimator; and which trials to prune.

Optuna proposes only; what is known of the trials is kept by the search itself, and told to Optuna anew after a restart.
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
    """What proposes a search's trials.

    Args:
        space: what is varied.
        method: "random", whose parameters depend on `seed` and the trial's number alone, or "tpe" (Bergstra et al.,
            NeurIPS 2011), which learns from the trials that have ended.
        pruner: None, "median" (a trial worse than the median of the others at the same epoch ends) or "halving"
            (successive halving, arXiv:1810.05934).
        metric: the number that decides.
        direction: "minimize" or "maximize".
        seed: of the draws.
        known: trials of an earlier notebook, from which it goes on.
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
        self._asked: dict[int, object] = {}  # Optuna's trials, by our numbers
        self._reported: dict[int, set[int]] = {}  # epochs of which Optuna knows
        self._study = None
        known = tuple(known)
        if method == "random" and pruner is None:
            return
        import optuna

        self._optuna = optuna
        # A sampler that begins anew must not draw again what it drew for the trials that are known.
        state = int(np.random.SeedSequence([seed, len(known)]).generate_state(1)[0])
        pruners = {"median": optuna.pruners.MedianPruner, "halving": optuna.pruners.SuccessiveHalvingPruner}
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # a study announces itself
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

    def hopeless(self, number: int, epoch: int, value: float) -> bool:
        """Whether a running trial should be pruned, now that this epoch of it was measured; asked again, it says no."""
        asked, reported = self._asked.get(number), self._reported.setdefault(number, set())
        if self.pruner is None or asked is None or epoch in reported:
            return False
        reported.add(epoch)
        asked.report(value, epoch)
        return asked.should_prune()

    def tell(self, trial: Trial) -> None:
        """Learn from a trial that has ended; of one that was run again, its first end counts."""
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
        """Make a trial of an earlier notebook one of this study."""
        self._study.enqueue_trial(dict(trial.parameters))
        asked = self._asked[trial.number] = self._study.ask(self._distributions)
        for epoch in trial.epochs:
            if self.metric in epoch:
                self._reported.setdefault(trial.number, set()).add(epoch["epoch"])
                asked.report(epoch[self.metric], epoch["epoch"])
        if trial.status in ENDED:
            self.tell(trial)

    def _distribution(self, kind):
        distributions = self._optuna.distributions
        if isinstance(kind, Choice):
            return distributions.CategoricalDistribution(kind.values)
        if isinstance(kind, Integer):
            return distributions.IntDistribution(kind.low, kind.high, log=kind.log)
        return distributions.FloatDistribution(kind.low, kind.high, log=kind.log)
