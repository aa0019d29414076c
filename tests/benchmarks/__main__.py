"""Measure calolab's speed and memory: `make bench`, or `python tests/benchmarks training streaming` for parts of it.

Prints a table and saves it, as it goes, as JSON and Markdown with the machine, the CPU's instructions, the state of
oneDNN, the versions and the date. Absolute times belong to a machine, so each figure stands beside a ratio or a split
measured in the same run. Each part runs in a process of its own, so that one part's memory and threads do not affect
another's, and trains for a fixed time, so that all of them end within 15 minutes on two cores with AVX2.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path

import events
import networks
import scorecard
from figures import GEANT4, GENERATION, Figure, received, send

from calolab.files import complete
from calolab.interrupts import stopping

PARTS = {
    part.__name__: part
    for part in (
        events.imports,
        events.simulation,
        events.streaming,
        networks.generation,
        networks.onednn,
        networks.training,
        networks.scaling,
        events.collisions,
        events.jets,
        scorecard.features,
        scorecard.distances,
        networks.dcgan,
    )
}
# Run by other parts, in processes whose environment differs.
WITHIN = {part.__name__: part for part in (networks.generated, networks.onednn_state)}
PACKAGES = (
    "calolab",
    "tensorflow",
    "keras",
    "horovod",
    "ipyparallel",
    "geant4_pybind",
    "pythia8mc",
    "fastjet",
    "numpy",
    "h5py",
)


def machine():
    """What the figures are measured on, and with."""
    from calolab import cpu

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": date.today().isoformat(),
        "machine": f"{cpu.report()}, {memory:.0f} GiB of memory",
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def table(about, figures):
    """All figures as Markdown."""
    return "\n".join(
        [
            "# calolab benchmarks",
            "",
            *(f"- {name}: {value}" for name, value in about.items()),
            "",
            "| figure | value | beside it |",
            "|---|---|---|",
            *(figure.row() for figure in figures),
            "",
        ]
    )


def save(folder, about, figures):
    """Write all figures so far; returns the files' common path without its suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"benchmarks-{about['date']}"
    record = json.dumps({**about, "figures": [asdict(figure) for figure in figures]}, indent=1)
    for suffix, text in ((".json", record), (".md", table(about, figures))):
        content = text.encode()
        with complete(folder / f"{name}{suffix}", len(content)) as partial:
            partial.write_bytes(content)
    return (folder / name).resolve()


def measure(parts, keep):
    """Measure parts one after the other, and show how far they are.

    Args:
        parts: their names.
        keep: called with all figures so far, after each.

    Returns:
        The names of the parts that failed.
    """
    figures, failed, began = [], [], time.monotonic()
    for number, name in enumerate(parts, 1):
        place, started = f"[{number}/{len(parts)}] {name}", time.monotonic()
        told = lambda what: print(f"{time.monotonic() - began:5.0f} s  {place}: {what}", file=sys.stderr)  # noqa: B023, E731
        told("begins")
        try:
            for kind, content in received(name):
                if kind == "figure":
                    told(f"{content.name}: {content.value:.4g} {content.unit}")
                    figures.append(content)
                    keep(with_ratio(figures))
                else:
                    told(f"{content} ...")
            told(f"took {time.monotonic() - started:.0f} s")
        except subprocess.CalledProcessError:
            failed.append(name)
            told("failed; its messages are above")
    return failed


def with_ratio(figures):
    """The figures, and the one that needs two parts: Geant4's time over the generator's."""
    found = {figure.name: figure.value for figure in figures}
    simulated, generated = found.get(GEANT4.format(50)), found.get(GENERATION.format(128, 1))
    if not (simulated and generated):
        return figures
    note = "50 GeV electrons, batch 128, one core each; quality aside"
    return [*figures, Figure("speed-up of 3DGAN over Geant4", simulated / generated, "times", note)]


def main():
    """Measure the parts that are asked for, print and save them."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.splitlines()[0])
    # argparse checks an empty list against the choices, too.
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        send((PARTS | WITHIN)[arguments.part])
        return
    measured = []
    with stopping("the benchmarks", lambda: f"{len(measured)} figures are kept in {arguments.out.resolve()}"):
        about = machine()
        print(about["machine"], file=sys.stderr)

        def keep(figures):
            measured[:] = figures
            save(arguments.out, about, figures)

        failed = measure(arguments.parts or list(PARTS), keep)
    print(f"{table(about, measured)}\nsaved: {save(arguments.out, about, measured)}.json and .md")
    if failed:
        sys.exit(f"These parts failed: {', '.join(failed)}. The figures of the others are saved.")


if __name__ == "__main__":
    main()
