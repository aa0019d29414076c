"""`python -m calolab.studies.adaptation --out DIR`: a trained generator learns a changed detector from few showers."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from calolab import cpu, datasets, models
from calolab.plots import adaptation as figures
from calolab.spaces import Space
from calolab.studies import arguments as shared
from calolab.studies import events, fitting, scoring
from calolab.studies.folder import StudyFolder, run
from calolab.tables import Table
from calolab.training.recipe import Recipe
from calolab.validation.scorecards.command import STYLE
from calolab.validation.scorecards.metrics import METRICS
from calolab.validation.scorecards.table import floor_number, number

GENERATOR, NUMBERS = "calolab-fast", (100, 300, 1000, 3000)
ADAPTED, SCRATCH, UNTRAINED = "adapted", "from scratch", "without training"
QUICK = ("energy", "separation", "auc.trees", "fpd", "correlations", "memorised")
COLUMNS = ("auc.trees", "fpd", "separation.mean", "correlations.layers")  # metrics in the table
PANELS = 3  # in the figure, of the first of these that were measured
CHANGES = ("material", "thickness", "scale", "pads")  # arguments of `Space.replaced`


def main(arguments: Sequence[str] | None = None) -> int:
    """Adapt a trained generator to a changed detector with few showers, and train another one on them from scratch.

    Args:
        arguments: arguments of the command line; by default those of this process.

    Returns:
        The exit status: 0, or 2 with a message if an argument is wrong or a part fails.
    """
    options = shared.parse(_parser(), arguments, {"minutes": 0.02, "numbers": [50]})
    return run("adaptation", options.out, lambda: _all_results(options))


def _all_results(options: argparse.Namespace) -> str:
    """The results of all trainings, calculated where they are missing; returns the summary."""
    numbers = sorted(set(options.numbers))
    if numbers[0] < 1:
        raise ValueError(f"--numbers expects at least 1 shower, received {numbers[0]}.")
    if options.showers is None:
        _check_enough(numbers, options.events - options.test)
    path = _file(options.generator)
    gan = models.load(path)
    _check_trainable(gan, path)
    space = _changed(gan.space, options)
    gan.adapted(space)  # refuses another shape before any work
    folder = StudyFolder.opened(options.out, "adaptation", _recorded(options, path))
    options.space = space
    sample = events.prepare(folder, options)
    _check_enough(numbers, len(sample.train))
    found = {(0, UNTRAINED): _result(folder, UNTRAINED, 0, gan, sample, options)}
    for some in numbers:
        few = events.StudySample(sample.train.select(slice(0, some)), sample.test, sample.about, sample.excluded)
        for kind in (ADAPTED, SCRATCH):
            found[some, kind] = _result(folder, kind, some, gan, few, options)
    return _write(folder, space, found, options)


def _recorded(options: argparse.Namespace, path: Path) -> dict[str, object]:
    """Numbers of showers can be added: each training has its own folder."""
    kept = {name: value for name, value in shared.recorded(options).items() if name != "numbers"}
    return kept | {"generator": [str(path.resolve()), path.stat().st_size]}


def _file(generator: str) -> Path:
    return Path(generator) if generator.endswith(".gan") else models.shipped()[generator].path


def _changed(space: Space, options: argparse.Namespace) -> Space:
    """The space of the changed detector: by the arguments that change it, or of the files of showers.

    Raises:
        ValueError: if neither is given, or they differ.
    """
    given = {name: getattr(options, name) for name in CHANGES if getattr(options, name) is not None}
    changes = {name: value if name == "pads" else dict(value) for name, value in given.items()}
    if len(changes.get("pads", ())) == 1:
        (changes["pads"],) = changes["pads"]
    changed = space.replaced(**changes) if changes else None
    if options.showers is None:
        if changed is None:
            raise ValueError(
                f"The detector does not change: give {', '.join(f'--{name}' for name in CHANGES)} or --showers."
            )
        return changed
    found = datasets.stream(options.showers).space
    if changed is not None and found.layers != changed.layers:
        raise ValueError(f"The showers of --showers are in {found!r}, the changes result in {changed!r}.")
    return found


def _check_enough(numbers: Sequence[int], available: int) -> None:
    if numbers[-1] > available:
        raise ValueError(
            f"--numbers expects at most the {max(available, 0):,} showers that are not held out, received "
            f"{numbers[-1]:,}: give more with --events or --showers."
        )


def _check_trainable(gan, path: Path) -> None:
    if missing := set(Recipe.of_adaptation(gan).trained_networks) - set(gan.networks):
        raise ValueError(
            f"{path} cannot be trained further: it lacks the networks {', '.join(sorted(missing))}. Use a file "
            "that was saved with all networks."
        )


def _result(
    folder: StudyFolder, kind: str, some: int, gan, sample: events.StudySample, options: argparse.Namespace
) -> Mapping:
    """The result of one training, or of the generator without any; calculated only if missing."""
    name = f"{kind}, {some:,} showers" if some else kind
    own = StudyFolder.opened(
        folder / (f"{some:05d}-{kind}" if some else kind).replace(" ", "-"), "training", {"kind": kind, "showers": some}
    )
    step = f"{'training' if some else 'generating'} and scoring"
    return scoring.result(own, name, step, lambda: _measured(own, name, kind, gan, sample, options))


def _measured(own: StudyFolder, name: str, kind: str, gan, sample: events.StudySample, options) -> dict:
    """Train one generator, generate, and score; its figures."""
    if kind == UNTRAINED:
        generator, figures = gan.adapted(sample.test.space), {"minutes": 0.0, "epochs": 0, "steps": 0}
    else:
        generator, figures = _trained(own, kind, gan, sample, options)
    test, scores = sample.test, scoring.Scoring(options.metrics, options.seeds, options.seed, progress=options.progress)
    made = scoring.generated(
        own, lambda: generator.generate(test.labels, seed=options.seed, batch_size=scores.batch_size), test
    )
    card = scoring.scored(own, name, made, sample.train, test, scores)
    targets = scoring.targets(own, None, card, made, test, scores)
    return {**figures, "targets": [one.to_dict() for one in targets]}


def _trained(own: StudyFolder, kind: str, gan, sample: events.StudySample, options: argparse.Namespace):
    """The generator after its adaptation, or one of the same architecture after a training of the same time."""
    space, settings = sample.train.space, {name: value for name, value in gan.settings.items() if name != "seed"}

    def build():
        if kind == ADAPTED:
            return gan.adapted(space)
        return models.build(gan.architecture, space, seed=options.seed, **settings)

    recipe = Recipe.of_adaptation(gan) if kind == ADAPTED else Recipe.published(gan.architecture)
    return fitting.trained_for_minutes(own, build, gan.architecture, recipe, sample.train, options)


def _write(folder: StudyFolder, space: Space, found: Mapping[tuple[int, str], Mapping], options) -> str:
    """Write the table, the figure and all numbers; returns the table as text."""
    report = cpu.report()
    budget = f"{options.minutes:g} min of training on {report.cores} cores ({report.model}) each"
    table = _table(found, f"{options.generator} adapted to {space.name}: {budget}, {options.test:,} showers held out")
    names = ["adaptation.json", "adaptation.txt", "adaptation.html"]
    picture = ""
    if panels := _panels(found):
        figures.show(panels, space.name).savefig(folder / "adaptation.png", dpi=150)
        names.append("adaptation.png")
        picture = '<p><img src="adaptation.png" alt="Scores by number of showers" style="max-width:100%">'
    title = "calolab adaptation"
    page = f'<!doctype html><meta charset="utf-8"><title>{escape(title)}</title>{STYLE}{table._repr_html_()}{picture}\n'
    scoring.write_text(folder / "adaptation.html", page)
    scoring.write_text(folder / "adaptation.txt", f"{table!r}\n")
    results = [{"showers": some, "kind": kind, **scoring.with_plain_scores(one)} for (some, kind), one in found.items()]
    folder.write("adaptation.json", {"budget": budget, "space": space.to_dict(), "results": results})
    return f"{table!r}\n\nWritten to {folder.path}: {', '.join(names)}"


def _entries(one: Mapping) -> Mapping:
    """The entries of a result's only generator by metric; none if it failed."""
    return next(iter(one["card"].results.values())) if "card" in one else {}


def _table(found: Mapping[tuple[int, str], Mapping], title: str) -> Table:
    """One row for each training, and one for the floors of the scores."""
    columns = [metric for metric in COLUMNS if any(metric in _entries(one) for one in found.values())]
    rows, notes, floors = [], [], {}
    for (some, kind), one in found.items():
        if "failed" in one:
            rows.append((f"{some:,}", kind, *["–"] * (3 + len(columns))))
            notes.append(f"{kind}, {some:,} showers, failed: {one['failed']}")
            continue
        entries = _entries(one)
        floors = floors or entries
        scores = [
            number(entries[each].value, entries[each].error, METRICS[each].factor) if each in entries else "–"
            for each in columns
        ]
        met = f"{sum(target.met for target in one['targets'])} of {len(one['targets'])}"
        cost = (f"{one['minutes']:.1f}", one["epochs"]) if some else ("none", "")
        rows.append((f"{some:,}", kind, *cost, *scores, met))
    if floors:
        scores = [floor_number(floors[each], METRICS[each].factor) if each in floors else "" for each in columns]
        rows.append(("", "real against real", "", "", *scores, ""))
    header = ["showers", "generator", "training [min]", "epochs", *map(_label, columns), "targets met"]
    return Table(rows, header, (0, *range(2, len(header))), title, notes)


def _label(metric: str) -> str:
    found = METRICS[metric]
    label = f"separation, {found.label}" if found.group == "separation" else found.label
    return label if found.factor == 1 else f"{label} × {found.factor:g}"


def _panels(found: Mapping[tuple[int, str], Mapping]) -> list[figures.ScoresByNumber]:
    """What the figure shows: scores of all trainings that have not failed, with floors."""
    panels = []
    for metric in COLUMNS:
        points, floor = {}, None
        for key, one in found.items():
            # An FPD, for example, needs more events than a short study has.
            if (entry := _entries(one).get(metric)) is not None and math.isfinite(entry.value):
                factor = METRICS[metric].factor
                points[key] = (factor * entry.value, None if entry.error is None else factor * entry.error)
                if entry.floor is not None:
                    floor = (factor * entry.floor, factor * (entry.floor_spread or 0.0))
        curves = {
            kind: {some: point for (some, other), point in points.items() if other == kind}
            for kind in (ADAPTED, SCRATCH)
        }
        if any(curves.values()):
            untrained = points.get((0, UNTRAINED))
            log = metric != "auc.trees"
            panels.append(figures.ScoresByNumber(_label(metric), curves, untrained, floor, log))
    return panels[:PANELS]


def _pair(text: str) -> tuple[str, str]:
    """A change of a material on the command line."""
    name, _, value = text.partition("=")
    if not name or not value:
        raise argparse.ArgumentTypeError(f"expects MATERIAL=VALUE, e.g. W=Pb, received {text!r}")
    return name, value


def _number_pair(text: str) -> tuple[str, float]:
    name, value = _pair(text)
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expects MATERIAL=NUMBER, e.g. W=1.6, received {text!r}") from None


def _parser() -> argparse.ArgumentParser:
    parser = shared.parser(
        "calolab.studies.adaptation",
        "Adapt a trained generator to a changed detector with few showers, train another one on them from scratch for "
        "the same time, and score both.",
        space=None,
    )
    parser.set_defaults(events=max(NUMBERS) + 1000, test=1000, seeds=0, metrics=list(QUICK))
    parser.add_argument(
        "--generator",
        default=GENERATOR,
        metavar="NAME",
        help="trained generator that is part of calolab, or a .gan file with all networks [%(default)s]",
    )
    group = parser.add_argument_group("change of the detector", "not needed with --showers of the changed detector")
    changes = (
        ("material", _pair, "W=Pb", "other materials"),
        ("thickness", _number_pair, "W=2", "thickness of all slabs of a material [mm]"),
        ("scale", _number_pair, "W=1.6", "factors on the thickness of all slabs of a material"),
    )
    for name, kind, example, words in changes:
        group.add_argument(f"--{name}", nargs="+", type=kind, metavar=example, help=words)
    group.add_argument(
        "--pads", nargs="+", type=float, metavar="SIZE", help="size of the cells [mm], one or two numbers"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="time of each training [%(default)s]")
    parser.add_argument("--engines", type=int, default=0, help="train on this number of engines [in this process]")
    parser.add_argument(
        "--numbers",
        nargs="+",
        type=int,
        default=list(NUMBERS),
        metavar="N",
        help=f"showers to train with [{' '.join(map(str, NUMBERS))}]",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
