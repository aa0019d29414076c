"""How studies score generators: generated showers, scorecard and targets, each kept in the folder when it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calolab import datasets, validation
from calolab.files import complete
from calolab.samples import Sample
from calolab.studies.folder import StudyFolder
from calolab.studies.targets import Target, judge_targets, memorisation_target, shower_targets, speed_targets
from calolab.validation import Scorecard

GENERATED, CARD, TARGETS = "generated.h5", "scorecard.json", "targets.json"


@dataclass(frozen=True)
class Scoring:
    """How generators are scored.

    Args:
        metrics: metrics of the scorecard; None for all.
        seeds: trainings of each classifier on all held-out showers; 0 leaves these classifiers out.
        seed: seed of latent vectors and of all choices.
        batch_size: showers that are generated at a time.
        progress: whether to show progress.
    """

    metrics: Sequence[str] | None
    seeds: int
    seed: int
    batch_size: int = 128
    progress: bool = True


def generated(folder: StudyFolder, make: Callable[[], Sample], test: Sample) -> Sample:
    """Showers with the labels of the test sample, generated now or read from the folder.

    Args:
        folder: where they are kept.
        make: function that generates them.
        test: the held-out showers.
    """
    if not (folder / GENERATED).is_file():
        with folder.timed("generation"):
            datasets.save(folder / GENERATED, make())
    sample = datasets.load(folder / GENERATED, space=test.space)
    return replace(sample, labels=test.labels)  # the file may have rounded them


def scored(folder: StudyFolder, name: str, sample: Sample, train: Sample, test: Sample, scoring: Scoring) -> Scorecard:
    """The scorecard of one generator, calculated now or read from the folder.

    Args:
        folder: where it is kept.
        name: of the generator.
        sample: its showers.
        train, test: the training sample and the held-out showers.
        scoring: how it is scored.
    """
    path = folder / CARD
    if not path.is_file():
        with folder.timed("scorecard"):
            card = validation.scorecard(
                test,
                {name: sample},
                train=train,
                metrics=scoring.metrics,
                seed=scoring.seed,
                progress=scoring.progress,
            )
            write_text(path, card.to_json())
    return Scorecard.from_json(path.read_text())


def targets(
    folder: StudyFolder, generator, card: Scorecard, sample: Sample, test: Sample, scoring: Scoring
) -> list[Target]:
    """All targets of one generator, measured now or read from the folder.

    Args:
        folder: where they are kept.
        generator: the `Generator`; None without one: its speed is not measured.
        card: its scorecard.
        sample: its showers.
        test: the held-out showers.
        scoring: how it is scored.
    """
    if (held := folder.read(TARGETS)) is None:
        with folder.timed("targets"):
            found = shower_targets(test, sample)
            if scoring.seeds:
                options = {"seed": scoring.seed, "trainings": scoring.seeds, "progress": scoring.progress}
                found += judge_targets(test, sample, **options)
            (entries,) = card.results.values()
            if "memorised" in entries:
                found.append(memorisation_target(entries["memorised"]))
            if generator is not None:
                found += speed_targets(generator, test.labels, seed=scoring.seed, batch_size=scoring.batch_size)
            held = folder.write(TARGETS, {"targets": [one.to_dict() for one in found]})
    return [Target.from_dict(one) for one in held["targets"]]


def write_text(path: Path, text: str) -> None:
    """Write a text file, complete or not at all.

    Args:
        path: the file.
        text: its content.
    """
    content = text.encode()
    with complete(path, len(content)) as partial:
        partial.write_bytes(content)
