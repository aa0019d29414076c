"""The scorecard of files from the command line: a table, a page of figures and the numbers as JSON."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from calolab import datasets
from calolab.files import complete
from calolab.interrupts import stopping
from calolab.samples import Sample
from calolab.validation.scorecards.metrics import GROUPS, METRICS
from calolab.validation.scorecards.records import Scorecard
from calolab.validation.scorecards.scoring import CLASSIFIERS, scorecard

STYLE = "<style>body{font-family:sans-serif;margin:2em}td,th{padding:0 .7em}</style>"
EPILOG = """\
Files in the CaloChallenge's layout (incident_energies, showers; MeV) and all others that calolab reads are accepted.
The folder receives scorecard.json, scorecard.txt, scorecard.html and scorecard.png.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Score files of generated showers against a file of reference showers.

    Args:
        arguments: arguments of the command line; by default those of this process.

    Returns:
        The exit status: 0, or 2 with a message if a file or an option is wrong.
    """
    options = _parser().parse_args(arguments)
    with stopping("the scorecard", f"nothing was written to {options.out}"):
        try:
            names = _names(options)
            reference = _read(options.reference, options)
            generated = {name: _read(path, options) for name, path in zip(names, options.generated)}
            card = scorecard(
                reference,
                generated,
                train=None if options.train is None else _read(options.train, options),
                threshold=options.threshold,
                classifier=options.classifier,
                binning=options.binning,
                metrics=options.metrics,
                reference_name=options.reference_name,
                seed=options.seed,
                seeds=options.seeds,
            )
            write(card, options.out)
        except (ValueError, OSError, MemoryError) as error:
            print(f"calolab.validation: {error}", file=sys.stderr)
            return 2
    print(card)
    print(f"\nWritten to {options.out}: scorecard.json, scorecard.txt, scorecard.html, scorecard.png")
    return 0


def write(card: Scorecard, folder: str | os.PathLike) -> None:
    """Write a scorecard as JSON, text, HTML and PNG into a folder, which is created if it is missing.

    Args:
        card: the scorecard.
        folder: the folder; existing files of these names are replaced, each when the new one is complete.

    Raises:
        OSError: if the folder cannot be written to.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    picture, _ = card.plot()._repr_png_()
    page = f'<!doctype html><meta charset="utf-8"><title>calolab scorecard</title>{STYLE}{card._repr_html_()}\n'
    page += '<p><img src="scorecard.png" alt="Figures of the scorecard" style="max-width:100%">\n'
    contents = {
        "scorecard.png": picture,
        "scorecard.html": page.encode(),
        "scorecard.txt": f"{card!r}\n".encode(),
        "scorecard.json": card.to_json().encode(),
    }
    for name, content in contents.items():
        with complete(folder / name, len(content)) as partial:
            partial.write_bytes(content)


def _read(path: Path, options) -> Sample:
    """All events of a file, or a random choice of some."""
    return datasets.load(path, events=options.events, shuffle=options.seed if options.events else None)


def _names(options) -> list[str]:
    """The generators' names: those given, otherwise the names of the files."""
    names = options.names or [path.stem for path in options.generated]
    if len(names) != len(options.generated) or len(set(names)) < len(names):
        raise ValueError(
            f"expected one different name for each of {len(options.generated)} generated files, received "
            f"{', '.join(names)}: give --names."
        )
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m calolab.validation",
        description="Score generated showers against reference showers.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("reference", type=Path, help="file of reference showers, e.g. of Geant4")
    parser.add_argument("generated", type=Path, nargs="+", help="files of generated showers, one per generator")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--train", type=Path, help="file of the training sample, for the memorisation check")
    parser.add_argument("--names", nargs="+", help="names of the generators; by default those of the files")
    parser.add_argument("--reference-name", default="reference", help="name of the reference [%(default)s]")
    parser.add_argument("--events", type=int, help="number of events of each file, chosen at random; by default all")
    parser.add_argument(
        "--threshold", type=float, help="cells below it count as zero [GeV]; by default that of the space"
    )
    parser.add_argument(
        "--binning",
        choices=("reference", "calochallenge"),
        default="reference",
        help="of the histograms for the separation powers [%(default)s]",
    )
    parser.add_argument("--classifier", choices=CLASSIFIERS, default=CLASSIFIERS[0], help="judges [%(default)s]")
    parser.add_argument("--metrics", nargs="+", metavar="NAME", help=f"only these: {', '.join([*GROUPS, *METRICS])}")
    parser.add_argument("--seed", type=int, default=0, help="of all random choices [%(default)s]")
    parser.add_argument("--seeds", type=int, help="trainings per classifier [5 for trees, 1 for networks]")
    return parser
