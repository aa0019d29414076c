"""Trainings of studies, which continue from their checkpoints, on this process or on several engines."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import calolab
from calolab import cluster, distributed, models, training
from calolab.samples import Sample
from calolab.studies.folder import StudyFolder
from calolab.studies.plan import UNLIMITED, Plan, batch_size, epochs_of, is_open, seconds_per_epoch, shared_out
from calolab.training.recipe import Recipe

TRAINED, RESULT, CHECKPOINTS, PLAN = "trained.gan", "training.json", "checkpoints", "plan.json"
_PASSED = 1e-3  # [s] a time limit that has passed already: the training ends after one step


@dataclass(frozen=True)
class Fitting:
    """How a training is run.

    Args:
        plan: what it does.
        batch_size: events per step, of all engines together.
        seed: seed of the training.
        time_limit: largest time of all runs together [s]; None for none.
        engines: number of engines; 0 trains in this process.
        progress: whether to show progress.
    """

    plan: Plan
    batch_size: int
    seed: int
    time_limit: float | None = None
    engines: int = 0
    progress: bool = True


def trained(folder: StudyFolder, build: Callable[[], object], train: Sample, fitting: Fitting):
    """The trained GAN of a folder; it is trained now, or further from its checkpoint, if that is not done.

    Args:
        folder: receives the GAN, checkpoints and a summary.
        build: function that returns the untrained GAN.
        train: the training sample.
        fitting: how it is trained.

    Returns:
        The `GAN`, and the summary: `epochs`, `steps`, `seconds`, `reason`, `engines`, `commit`, `plan` and `history`.

    Raises:
        TrainingDiverged, ValueError: as `training.fit`.
    """
    summary = folder.read(RESULT)
    if summary is not None:
        return models.load(folder / TRAINED), summary
    gan = build()
    with folder.timed("training"):
        history = _fit(folder, gan, train, fitting)
        gan.save(folder / TRAINED)
    summary = {
        "epochs": len(history.epochs),
        "steps": history.steps,
        "seconds": folder.seconds("training"),
        "reason": history.reason,
        "engines": fitting.engines,
        "commit": commit(),
        "plan": fitting.plan.to_dict(),
        "history": history.rows,
    }
    return gan, folder.write(RESULT, summary)


def trained_for_minutes(
    folder: StudyFolder,
    build: Callable[[], object],
    architecture: str,
    recipe: Recipe,
    train: Sample,
    options: argparse.Namespace,
):
    """A GAN that was trained until its time was over; stages and schedules are planned to fit into it.

    Args:
        folder: receives the plan, and what `trained` writes.
        build: function that returns the GAN before the training.
        architecture: its name in the registry.
        recipe: its recipe.
        train: the training sample.
        options: `minutes`, the time of the training; `batch_size`, `seed`, `engines` and `progress`.

    Returns:
        The `GAN`, and `minutes`, `epochs` and `steps` of the training.

    Raises:
        TrainingDiverged, ValueError: as `training.fit`.
    """
    seconds, events = 60 * options.minutes, batch_size(architecture, options.batch_size)
    chosen = Plan(recipe, UNLIMITED)
    if recipe.stages or recipe.has_schedule_to_end:
        if (held := folder.read(PLAN)) is None:
            chosen = Plan(recipe, epochs_of(architecture, recipe))
            per_epoch = seconds_per_epoch(build, train, chosen, events=events, seed=options.seed)
            held = folder.write(PLAN, shared_out(chosen, per_epoch, seconds, is_open(architecture, recipe)).to_dict())
        chosen = Plan.from_dict(held)
    settings = Fitting(chosen, events, options.seed, seconds, options.engines, options.progress)
    gan, summary = trained(folder, build, train, settings)
    return gan, {"minutes": summary["seconds"] / 60, "epochs": summary["epochs"], "steps": summary["steps"]}


def commit() -> str:
    """The commit of this calolab, with a plus sign if files have been changed, or its version."""
    folder = Path(calolab.__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short=10", "HEAD") + "+" * bool(git("status", "--porcelain", "--", "."))
    except (OSError, subprocess.CalledProcessError):
        return f"version {calolab.__version__}"


def _fit(folder: StudyFolder, gan, train: Sample, fitting: Fitting):
    checkpoints = folder / CHECKPOINTS
    left = None
    if fitting.time_limit is not None:
        left = max(_PASSED, fitting.time_limit - folder.seconds("training"))
    options = {
        "epochs": fitting.plan.epochs,
        "recipe": fitting.plan.recipe,
        "seed": fitting.seed,
        "checkpoints": checkpoints,
        "resume": (checkpoints / "checkpoint.npz").is_file(),
        "time_limit": left,
        "progress": fitting.progress,
    }
    if not fitting.engines:
        return training.fit(gan, train, batch_size=fitting.batch_size, **options)
    with cluster.running(fitting.engines) as engines:
        share = -(-fitting.batch_size // fitting.engines)
        run = distributed.fit(engines, gan, train, batch_size=share, global_batch=fitting.batch_size, **options)
        return run.wait()
