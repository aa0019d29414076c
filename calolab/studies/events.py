"""The showers of a study: simulated in pieces, each written when it is complete, or read from files, and split."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calolab import datasets, simulate
from calolab.samples import Sample
from calolab.studies.folder import StudyFolder

DEMO = "clic-electrons-demo"
FEWEST_TEST = 200  # showers that a scorecard needs
PARTICLES = {"e-": "electron", "e+": "positron", "gamma": "photon"}


@dataclass(frozen=True, eq=False)
class StudySample:
    """The showers of a study.

    Args:
        train, test: showers to train with, and those that are held out.
        about: where they come from, in a few words.
        excluded: number of showers that were left out because they are in the packaged demo sample.
    """

    train: Sample
    test: Sample
    about: str
    excluded: int


def prepare(folder: StudyFolder, options: argparse.Namespace) -> StudySample:
    """Simulate the showers that are still missing, or read those of files, and split them.

    Args:
        folder: where simulated pieces are kept.
        options: `showers`, the files, or None; `space`, `events`, `energy`, `particle`, `method`, `piece` and
            `processes` of the simulation; `test`, the number of held-out showers; `seed`.

    Raises:
        ValueError: if too few showers are left to train or to test with.
    """
    if options.showers is None:
        sample = _simulated(folder, options)
        about = f"{sample.origin.get('simulation', options.method)}, seeds of pieces from {options.seed}"
    else:
        sample = datasets.load(options.showers)
        about = ", ".join(Path(path).name for path in options.showers)
    kept = without_demo(sample)
    excluded = len(sample) - len(kept)
    if not FEWEST_TEST <= options.test < len(kept):
        raise ValueError(
            f"--test expects at least {FEWEST_TEST} showers and fewer than all of them ({len(kept)}"
            f"{f' without the {excluded} of {DEMO}' if excluded else ''}), received {options.test}."
        )
    train, test = kept.split(test=options.test / len(kept), seed=options.seed)
    return StudySample(train, test, about, excluded)


def without_demo(sample: Sample) -> Sample:
    """The events of a sample that are not in the packaged demo sample, which users compare trained generators with.

    Args:
        sample: labelled showers.
    """
    demo = datasets.load(DEMO)
    if demo.space != sample.space or "energy" not in sample.labels:
        return sample
    shared = np.isin(sample.labels["energy"], demo.labels["energy"])
    return sample.select(~shared) if shared.any() else sample


def _simulated(folder: StudyFolder, options: argparse.Namespace) -> Sample:
    pieces = folder / "showers"
    pieces.mkdir(exist_ok=True)
    starts = range(0, options.events, options.piece)
    paths = [pieces / f"{number:04d}.h5" for number in range(len(starts))]
    for number, (path, start) in enumerate(zip(paths, starts)):
        if path.exists():
            continue
        print(f"Simulating showers, piece {number + 1} of {len(paths)}", flush=True)
        seed = int(np.random.SeedSequence((options.seed, number)).generate_state(1)[0])
        with folder.timed("simulation"):
            made = simulate.showers(
                options.space,
                min(options.piece, options.events - start),
                tuple(options.energy),
                particle=options.particle,
                seed=seed,
                method=options.method,
                processes=options.processes,
                progress=options.progress,
            )
            datasets.save(path, made)  # complete, or not at all
    return datasets.load(paths)
