"""`python -m calolab.studies.baselines --out DIR`: generators trained for the same time on the same showers."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from calolab import cpu, models, simulate
from calolab.names import check_name
from calolab.studies import arguments as shared
from calolab.studies import events, fitting, plan, scoring
from calolab.studies.folder import StudyFolder, run
from calolab.studies.targets import table as targets_table
from calolab.tables import Table
from calolab.validation.scorecards.command import STYLE
from calolab.validation.scorecards.command import write as write_scorecard
from calolab.validation.scorecards.table import number

GENERATORS = ("3dgan", "3dgan:wgan-gp", "3dgan:hinge", "3dgan:optimal-transport", "gflash")
GFLASH, SHIPPED = "gflash", "shipped:"
SEED_SHIFT = 1_000_003  # GFlash's showers are not those of a training sample that GFlash made with the same seed


@dataclass(frozen=True)
class Baseline:
    """One generator of the comparison.

    Args:
        name: its name in tables, and that of its folder.
        architecture: architecture that is trained; empty for a generator that is not.
        objective: objective that replaces that of the architecture's recipe, or None.
        file: file or name of a trained generator; empty for GFlash and for one that is trained.
    """

    name: str
    architecture: str = ""
    objective: str | None = None
    file: str = ""

    @classmethod
    def parsed(cls, text: str) -> Baseline:
        """A generator as it is named on the command line.

        Args:
            text: `"3dgan"`, `"3dgan:wgan-gp"`, `"gflash"`, `"shipped:NAME"`, or a file that ends in `.gan`; with
                `"NAME="` before it under another name.

        Raises:
            ValueError: for an unknown name, with the nearest known ones, or a recipe that does not fit.
            FileNotFoundError: for a missing file.
        """
        name, _, text = text.rpartition("=")
        if text == GFLASH:
            return cls(name or text)
        if text.startswith(SHIPPED) or text.endswith(".gan"):
            file = text.removeprefix(SHIPPED)
            held = models.shipped()[file].path if text.startswith(SHIPPED) else file
            models.read_header(held)  # refuses a missing or damaged file
            return cls(name or Path(file).stem, file=str(Path(held).resolve()))
        architecture, _, objective = text.partition(":")
        check_name("generator", architecture, [*models.names(), GFLASH])
        plan.with_objective(architecture, objective or None)
        return cls(name or text.replace(":", "-").replace("/", "-"), architecture, objective or None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train several generators for the same time, score all of them, and write one table.

    Args:
        arguments: arguments of the command line; by default those of this process.

    Returns:
        The exit status: 0, or 2 with a message if an argument is wrong or a part fails.
    """
    options = shared.parse(_parser(), arguments, {"minutes": 0.02})
    return run("baselines", options.out, lambda: _all_results(options))


def _all_results(options: argparse.Namespace) -> str:
    """The results of all generators, calculated where they are missing; returns the summary."""
    chosen = [Baseline.parsed(text) for text in options.generators]
    if len({one.name for one in chosen}) < len(chosen):
        raise ValueError(f"--generators names one of them twice: {', '.join(one.name for one in chosen)}.")
    folder = StudyFolder.opened(options.out, "baselines", _recorded(options))
    sample = events.prepare(folder, options)
    found = {one.name: _result(folder, one, sample, options) for one in chosen}
    return _write(folder, found, options)


def _recorded(options: argparse.Namespace) -> dict[str, object]:
    """Generators can be added: each has its own folder."""
    return {name: value for name, value in shared.recorded(options).items() if name != "generators"}


def _result(folder: StudyFolder, one: Baseline, sample: events.StudySample, options: argparse.Namespace) -> Mapping:
    """The result of one generator: figures, scorecard and targets, or why it failed; calculated only if missing."""
    size = Path(one.file).stat().st_size if one.file else None
    own = StudyFolder.opened(folder / one.name, "baseline", {**vars(one), "bytes": size})
    step = f"{'training' if one.architecture else 'generating'} and scoring"
    return scoring.result(own, one.name, step, lambda: _measured(own, one, sample, options))


def _measured(own: StudyFolder, one: Baseline, sample: events.StudySample, options: argparse.Namespace) -> dict:
    """Train one generator, generate, and score; the figures of its row."""
    test, scores = sample.test, scoring.Scoring(options.metrics, options.seeds, options.seed, progress=options.progress)
    figures = {"minutes": 0.0, "epochs": 0, "steps": 0}
    if one.architecture:
        generator, figures = _trained(own, one, sample, options)
    elif one.file:
        generator = models.load(one.file)
    else:
        generator = None

    def make(labels):
        if generator is not None:
            return generator.generate(labels, seed=options.seed, batch_size=scores.batch_size)
        return _gflash(test.space, labels, options)

    made = scoring.generated(own, lambda: make(test.labels), test)
    card = scoring.scored(own, one.name, made, sample.train, test, scores)
    targets = scoring.targets(own, generator, card, made, test, scores)
    speed = next((each.value for each in targets if each.name == "speed.batch"), None)
    if speed is None:
        some = {name: column[: scores.batch_size] for name, column in test.labels.items()}
        began = time.perf_counter()
        make(some)
        speed = 1e3 * (time.perf_counter() - began) / len(some["energy"])
    return {**figures, "milliseconds": speed, "targets": [each.to_dict() for each in targets]}


def _trained(own: StudyFolder, one: Baseline, sample: events.StudySample, options: argparse.Namespace):
    """A GAN that was trained until its time was over."""
    return fitting.trained_for_minutes(
        own,
        lambda: models.build(one.architecture, sample.train.space, seed=options.seed),
        one.architecture,
        plan.with_objective(one.architecture, one.objective),
        sample.train,
        options,
    )


def _gflash(space, labels: Mapping[str, np.ndarray], options: argparse.Namespace):
    return simulate.showers(
        space,
        len(labels["energy"]),
        labels["energy"],
        particle=options.particle,
        seed=options.seed + SEED_SHIFT,
        method="gflash",
        progress=False,
    )


def _write(folder: StudyFolder, found: Mapping[str, Mapping], options: argparse.Namespace) -> str:
    """Write the common scorecard, the table of costs and all numbers; returns the text of both tables."""
    right = {name: one for name, one in found.items() if "failed" not in one}
    costs = _costs(found, options)
    parts, text = [costs._repr_html_()], repr(costs)
    if right:
        first, *others = [one["card"] for one in right.values()]
        card = first.beside(*others)
        write_scorecard(card, folder.path)
        text = f"{card!r}\n\n{text}"
        parts += [card._repr_html_(), '<p><img src="scorecard.png" alt="Scorecard" style="max-width:100%">']
        parts += [targets_table(one["targets"], name)._repr_html_() for name, one in right.items()]
    title = "calolab baselines"
    page = f'<!doctype html><meta charset="utf-8"><title>{escape(title)}</title>{STYLE}{"".join(parts)}\n'
    scoring.write_text(folder / "baselines.html", page)
    scoring.write_text(folder / "baselines.txt", f"{text}\n")
    results = {name: scoring.with_plain_scores(one) for name, one in found.items()}
    folder.write("baselines.json", {"budget": _budget(options), "generators": results})
    names = "baselines.json, baselines.txt, baselines.html, scorecard.json, scorecard.png"
    return f"{text}\n\nWritten to {folder.path}: {names}"


def _budget(options: argparse.Namespace) -> str:
    report = cpu.report()
    return f"{options.minutes:g} min of training on {report.cores} cores ({report.model}) each"


def _costs(found: Mapping[str, Mapping], options: argparse.Namespace) -> Table:
    """One row for each generator: cost, speed, the main scores, and targets met."""
    rows, notes = [], []
    for name, one in found.items():
        if "failed" in one:
            rows.append((name, *["–"] * 7))
            notes.append(f"{name} failed: {one['failed']}")
            continue
        entries = one["card"][name]
        scores = [
            number(entries[metric].value, entries[metric].error, factor) if metric in entries else ""
            for metric, factor in (("auc.trees", 1), ("auc.cnn", 1), ("fpd", 1e3))
        ]
        met = f"{sum(target.met for target in one['targets'])} of {len(one['targets'])}"
        trained = f"{one['minutes']:.1f}" if one["steps"] else "none"
        rows.append((name, trained, one["steps"] or "", f"{one['milliseconds']:.3g}", *scores, met))
    header = ("generator", "training [min]", "steps", "ms/shower", "AUC trees", "AUC CNN", "FPD × 10³", "targets met")
    return Table(rows, header, range(1, len(header)), f"Budget: {_budget(options)}", notes)


def _parser() -> argparse.ArgumentParser:
    parser = shared.parser(
        "calolab.studies.baselines", "Train generators for the same time on the same showers, and score all of them."
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="time of each training [%(default)s]")
    parser.add_argument("--engines", type=int, default=0, help="train on this number of engines [in this process]")
    parser.add_argument(
        "--generators",
        nargs="+",
        metavar="NAME",
        default=list(GENERATORS),
        help=f"architectures, with :OBJECTIVE for another objective; gflash; {SHIPPED}NAME for a trained generator "
        f"that is part of calolab, or a .gan file; NAME=... for another name [{' '.join(GENERATORS)}]",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
