"""`python -m calolab.studies.shipped NAME --out DIR`: showers, training, scores and file of a generator to ship."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from html import escape

from calolab import models
from calolab.studies import arguments as shared
from calolab.studies import events, fitting, plan, scoring
from calolab.studies.cards import model_card
from calolab.studies.folder import StudyFolder, run
from calolab.studies.targets import Target, table
from calolab.validation.scorecards.command import STYLE
from calolab.validation.scorecards.command import write as write_scorecard

RESERVED = 0.15  # fraction of a limited time that is kept for the scores
HOUR = 3600.0  # [s]
PLAN, RESULTS = "plan.json", "results.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate showers, train a generator, score it and write its file with a model card.

    Args:
        arguments: arguments of the command line; by default those of this process.

    Returns:
        The exit status: 0, or 2 with a message if an argument is wrong or a part fails.
    """
    options = shared.parse(_parser(), arguments, {"epochs_per_stage": 1})
    options.name = options.name or options.architecture
    return run("shipped", options.out, lambda: _all_steps(options))


def _all_steps(options: argparse.Namespace) -> str:
    """All steps that are not done yet; returns the summary."""
    plan.published(options.architecture, options.epochs)  # refuses wrong arguments before any work
    folder = StudyFolder.opened(options.out, "shipped", shared.recorded(options))
    path, summary_file = folder / f"{options.name}.gan", folder / "results.txt"
    if path.is_file() and summary_file.is_file():
        return summary_file.read_text().rstrip()
    sample = events.prepare(folder, options)
    print(f"{len(sample.train):,} showers to train with, {len(sample.test):,} held out ({sample.about})", flush=True)
    chosen = _plan(folder, sample, options)
    print(f"Training of {options.architecture}: {chosen.about}", flush=True)
    limit = None if options.hours is None else _available(folder, options)
    gan, summary = fitting.trained(
        folder,
        lambda: _built(sample, options),
        sample.train,
        fitting.Fitting(chosen, _batch(options), options.seed, limit, options.engines, options.progress),
    )
    # The showers are those of the file that is shipped, with its rounded weights.
    networks = options.networks or [name for name in gan.networks if name != "discriminator"]
    rounded, networks = folder / "rounded.gan", tuple(networks)
    gan.save(rounded, dtype="float16", networks=networks)
    generator = models.load(rounded)
    scores = scoring.Scoring(options.metrics, options.seeds, options.seed, progress=options.progress)
    test = sample.test
    made = scoring.generated(
        folder, lambda: generator.generate(test.labels, seed=options.seed, batch_size=scores.batch_size), test
    )
    card = scoring.scored(folder, options.name, made, sample.train, test, scores)
    targets = scoring.targets(folder, generator, card, made, test, scores)
    about = model_card(
        options.name,
        options.architecture,
        sample,
        summary,
        card,
        targets,
        particle=options.particle,
        seeds={"split": options.seed, "weights": options.seed, "training": options.seed},
        simulation=folder.seconds("simulation"),
    )
    gan.save(path, dtype="float16", networks=networks, card=about)
    rounded.unlink()
    write_scorecard(card, folder.path)
    text = f"{card}\n\n{_summary(folder, options, targets, path)}"
    _write_results(folder, options, about, card, targets, path)
    scoring.write_text(summary_file, f"{text}\n")
    return text


def _plan(folder: StudyFolder, sample: events.StudySample, options: argparse.Namespace) -> plan.Plan:
    """The plan of the training, which is made once: a training continues only with the same recipe."""
    if (held := folder.read(PLAN)) is not None:
        return plan.Plan.from_dict(held)
    made = plan.published(options.architecture, options.epochs)
    if options.epochs_per_stage is not None:
        made = made.with_stages([min(options.epochs_per_stage, epochs) for epochs in made.stages])
    if options.hours is not None:
        print("Measuring the speed of the training", flush=True)
        with folder.timed("speed"):
            per_epoch = plan.seconds_per_epoch(
                lambda: _built(sample, options), sample.train, made, events=_batch(options), seed=options.seed
            )
        fills = options.epochs is None and options.epochs_per_stage is None
        fills = fills and plan.is_open(options.architecture, made.recipe)
        made = plan.shared_out(made, per_epoch, _available(folder, options), fills)
    folder.write(PLAN, made.to_dict())
    return made


def _built(sample: events.StudySample, options: argparse.Namespace):
    return models.build(options.architecture, sample.train.space, seed=options.seed)


def _batch(options: argparse.Namespace) -> int:
    return plan.batch_size(options.architecture, options.batch_size)


def _available(folder: StudyFolder, options: argparse.Namespace) -> float:
    """Time for the training: that of the study, less the simulation and what is reserved for the scores [s]."""
    spent = folder.seconds("simulation") + folder.seconds("speed")
    return max(1.0, (1 - RESERVED) * HOUR * options.hours - spent)


def _summary(folder: StudyFolder, options: argparse.Namespace, targets: Sequence[Target], path) -> str:
    """The targets, the time of each part, and where the results are."""
    met = sum(one.met for one in targets)
    seconds = folder.read("study.json")["seconds"]
    times = ", ".join(f"{part} {spent / 60:.1f} min" for part, spent in seconds.items())
    title = f"{options.name}: {met} of {len(targets)} targets met on {options.test:,} held-out showers"
    return (
        f"{table(targets, title)!r}\n\nTime: {times}.\n"
        f"Written to {folder.path}: {path.name} ({path.stat().st_size / 1e6:.2f} MB), {RESULTS}, results.html, "
        "scorecard.json, scorecard.txt, scorecard.html, scorecard.png"
    )


def _write_results(folder: StudyFolder, options, about, card, targets: Sequence[Target], path) -> None:
    folder.write(
        RESULTS,
        {
            "name": options.name,
            "card": about.to_dict(),
            "targets": [one.to_dict() for one in targets],
            "scores": {name: vars(entry) for name, entry in card[options.name].items()},
            "events": dict(card.events),
            "seconds": folder.read("study.json")["seconds"],
            "bytes": path.stat().st_size,
        },
    )
    page = (
        f'<!doctype html><meta charset="utf-8"><title>{escape(options.name)}</title>{STYLE}'
        f"{about._repr_html_()}<h2>Targets</h2>{table(targets)._repr_html_()}<h2>Scorecard</h2>{card._repr_html_()}\n"
        '<p><img src="scorecard.png" alt="Figures of the scorecard" style="max-width:100%">\n'
    )
    scoring.write_text(folder / "results.html", page)


def _parser() -> argparse.ArgumentParser:
    parser = shared.parser(
        "calolab.studies.shipped", "Simulate showers, train a generator, score it, and write its file with a card."
    )
    parser.add_argument("architecture", help="name in the registry of architectures, e.g. calolab-fast")
    parser.add_argument("--name", help="name of the generator; by default that of the architecture")
    parser.add_argument(
        "--epochs", type=int, help="epochs in all; by default those of the architecture's recipe, or of its paper"
    )
    parser.add_argument("--hours", type=float, help="time for everything, which the stages of the training share")
    parser.add_argument("--epochs-per-stage", type=int, help="largest number of epochs of each stage")
    parser.add_argument("--engines", type=int, default=0, help="train on this number of engines [in this process]")
    parser.add_argument(
        "--networks", nargs="+", help="networks that the file contains; by default all but a discriminator"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
