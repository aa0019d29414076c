"""The model card of a generator that a study has trained and scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from calolab import cpu, models
from calolab.samples import Sample
from calolab.studies.events import PARTICLES, StudySample
from calolab.studies.plan import Plan
from calolab.studies.targets import Target
from calolab.validation import Scorecard


def model_card(
    name: str,
    architecture: str,
    sample: StudySample,
    summary: Mapping,
    card: Scorecard,
    targets: Sequence[Target],
    *,
    particle: str,
    seeds: Mapping[str, int],
    simulation: float = 0.0,
):
    """The `ModelCard` of a trained generator; targets that it misses are its known flaws.

    Args:
        name: name of the generator.
        architecture: its architecture.
        sample: the showers.
        summary: of the training, as returned by `fitting.trained`.
        card: its scorecard.
        targets: its targets.
        particle: e.g. `"e-"`.
        seeds: seeds by name.
        simulation: time of the simulation of the showers [s].
    """
    plan, noun, space = Plan.from_dict(summary["plan"]), PARTICLES.get(particle, particle), sample.train.space
    ranges = validity(sample.train, models.find(architecture).conditions)
    stopped = f" The training was stopped after {summary['epochs']} epochs ({summary['reason']})."
    report = cpu.report()
    simulated = f", after {simulation / 3600:.2g} h of simulation" if simulation else ""
    return models.ModelCard(
        name=name,
        about=f"Showers of {noun}s in {space.name}.",
        particle=noun,
        detector=space.name,
        validity=ranges,
        data=f"{len(sample.train):,} showers ({sample.about})",
        recipe=plan.about + stopped * bool(summary["reason"]),
        commit=summary["commit"],
        seeds=seeds,
        cost=f"{summary['seconds'] / 3600:.2g} h on {report.cores} cores ({report.model}){simulated}",
        scores=card.scores(),
        scored_on=f"{len(sample.test):,} showers that were not used for training",
        flaws=[_flaw(one) for one in targets if one.verdict == "not met"],
        citation=models.find(architecture).citation,
        licence="BSD-3-Clause",
    )


def validity(sample: Sample, conditions: Sequence[str]) -> dict[str, tuple[float, float]]:
    """The ranges of the labels of a sample; those of energies rounded outwards to two digits, as they were drawn.

    Args:
        sample: the training sample.
        conditions: the labels.
    """
    found = {}
    for name in conditions:
        low, high = float(sample.labels[name].min()), float(sample.labels[name].max())
        if name == "energy":
            step = 10.0 ** (np.floor(np.log10(high)) - 1)
            low, high = float(step * np.floor(low / step)) or low, float(step * np.ceil(high / step))
        found[name] = (low, high)
    return found


def _flaw(target: Target) -> str:
    value, error, limit = target.texts
    about = target.about[0].upper() + target.about[1:]
    spread = f" ± {error}" if error else ""
    return f"{about}: {value}{spread}, the target is {limit}."
