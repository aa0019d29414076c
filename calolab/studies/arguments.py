"""Command-line arguments that the studies share, and their short form."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from calolab.datasets.matching import find

# Without influence on the results.
_FREE = ("out", "processes", "progress", "short")
SHORT = {
    "events": 420,
    "test": 200,
    "piece": 210,
    "method": "gflash",
    "batch_size": 64,
    "seeds": 0,
    "metrics": ["energy", "separation", "auc.trees", "memorised", "correlations"],
}


def parser(module: str, description: str, space: str | None = "clic-ecal") -> argparse.ArgumentParser:
    """A parser with the arguments that all studies share.

    Args:
        module: name of the command's module.
        description: what it does, in a sentence.
        space: default of `--space`, the calorimeter to simulate; None for a study that has no such argument.
    """
    made = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        epilog="The same command continues where it was stopped; what is done is kept in the folder.",
    )
    made.add_argument("--out", type=Path, required=True, help="folder for the results")
    group = made.add_argument_group("showers")
    group.add_argument("--showers", nargs="+", metavar="FILE", help="files of showers; by default they are simulated")
    group.add_argument("--events", type=int, default=12_000, help="number of showers to simulate [%(default)s]")
    if space is not None:
        group.add_argument("--space", default=space, help="calorimeter to simulate [%(default)s]")
    group.add_argument("--particle", default="e-", help="particle [%(default)s]")
    group.add_argument(
        "--energy", type=float, nargs=2, default=[10.0, 100.0], metavar=("LOW", "HIGH"), help="[10 100] GeV"
    )
    group.add_argument("--method", default="geant4", help="simulation, geant4 or gflash [%(default)s]")
    group.add_argument("--piece", type=int, default=500, help="showers that are written at a time [%(default)s]")
    group.add_argument("--processes", type=int, help="processes of the simulation; by default one per core")
    group.add_argument("--test", type=int, default=3_000, help="showers that are held out [%(default)s]")
    group = made.add_argument_group("training and scores")
    group.add_argument("--batch-size", type=int, help="events per step; by default as in the paper, or 128")
    group.add_argument("--seed", type=int, default=7, help="of all random choices [%(default)s]")
    group.add_argument("--seeds", type=int, default=3, help="trainings of each classifier [%(default)s]; 0: none")
    group.add_argument("--metrics", nargs="+", metavar="NAME", help="metrics of the scorecard; by default all")
    group.add_argument("--no-progress", dest="progress", action="store_false", help="show no progress bars")
    made.add_argument(
        "--short",
        action="store_true",
        help="a test of the command in seconds, with showers of GFlash; also with CALOLAB_SIZE=test",
    )
    return made


def parse(
    made: argparse.ArgumentParser, arguments: Sequence[str] | None, short: Mapping[str, object]
) -> argparse.Namespace:
    """Parse a command line; the short form changes the defaults.

    Args:
        made: the parser.
        arguments: the command line; by default that of this process.
        short: defaults of the short form, in addition to `SHORT`.

    Raises:
        SystemExit: for wrong arguments, with a message.
    """
    if made.parse_args(arguments).short or os.environ.get("CALOLAB_SIZE") == "test":
        made.set_defaults(**{**SHORT, **short, "short": True})
    options = made.parse_args(arguments)
    if not getattr(options, "minutes", 1) > 0:
        made.error(f"--minutes expects a positive number, received {options.minutes}")
    for name in ("events", "piece", "test", "batch_size"):
        if (number := getattr(options, name)) is not None and number < 1:
            made.error(f"--{name.replace('_', '-')} expects at least 1, received {number}")
    for name in ("seed", "seeds"):
        if getattr(options, name) < 0:
            made.error(f"--{name} must not be negative, received {getattr(options, name)}")
    return options


def recorded(options: argparse.Namespace) -> dict[str, object]:
    """The arguments that influence the results, as the folder records them.

    Args:
        options: the parsed command line.

    Raises:
        FileNotFoundError: if a file of showers is missing.
    """
    found = {name: value for name, value in vars(options).items() if name not in _FREE}
    if options.showers is None:
        return found
    simulation = ("events", "space", "method", "piece")
    files = [[str(path.resolve()), path.stat().st_size] for path in find(options.showers)]
    return {name: value for name, value in found.items() if name not in simulation} | {"showers": files}
