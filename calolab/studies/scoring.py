"""How studies score generators: generated showers, scorecard and targets, each kept in the folder when it is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calolab import datasets, validation
from calolab.files import complete
from calolab.samples import Sample
from calolab.studies.folder import StudyFolder
from calolab.studies.targets import Target, judge_targets, memorisation_target, shower_targets, speed_targets
from calolab.training.state import TrainingDiverged
from calolab.validation import Scorecard

GENERATED, CARD, TARGETS, RESULT = "generated.h5", "scorecard.json", "targets.json", "result.json"


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


def result(folder: StudyFolder, name: str, step: str, measure: Callable[[], Mapping]) -> dict:
    """The result of one of several generators, or why it failed; calculated only if it is missing.

    Args:
        folder: where it is kept, with the scorecard.
        name: of the generator.
        step: what is done now if it is missing, for the terminal.
        measure: function that trains and scores it and returns its figures, with `targets` as plain records.

    Returns:
        The figures with `card` and `targets`, or only `failed`, the message.
    """
    if (held := folder.read(RESULT)) is None:
        print(f"{name}: {step}", flush=True)
        try:
            held = folder.write(RESULT, measure())
        except (TrainingDiverged, ValueError) as error:
            held = folder.write(RESULT, {"failed": str(error)})
    if "failed" in held:
        print(f"{name} failed: {held['failed']}", file=sys.stderr)
        return held
    card = Scorecard.from_json((folder / CARD).read_text())
    return {**held, "card": card, "targets": [Target.from_dict(one) for one in held["targets"]]}


def with_plain_scores(found: Mapping) -> dict:
    """A `result` as plain numbers and strings, with the scores of its card.

    Args:
        found: the result.
    """
    plain = {key: value for key, value in found.items() if key not in ("card", "targets")}
    if "card" not in found:
        return plain | {"scores": {}}
    (entries,) = found["card"].results.values()
    targets = [one.to_dict() for one in found["targets"]]
    return plain | {"targets": targets, "scores": {key: vars(entry) for key, entry in entries.items()}}


def write_text(path: Path, text: str) -> None:
    """Write a text file, complete or not at all.

    Args:
        path: the file.
        text: its content.
    """
    content = text.encode()
    with complete(path, len(content)) as partial:
        partial.write_bytes(content)
