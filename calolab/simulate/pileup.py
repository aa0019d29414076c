"""Pile-up: minimum-bias collisions from a library on disk, added to events with a mean number mu.

Each bunch crossing gets Poisson(mu) collisions, drawn from the library with replacement, all at the origin and in time.
There are two kinds of libraries:

- A library of particles (`kind="particles"`, the default) is exact: the particles of all collisions are passed together
  to `towers.simulate`, as in one crossing.
- A library of towers (`kind="towers"`) is fast but approximate, because each collision was read out separately. Towers
  and images are additive, thresholds and noise are not: energy below the thresholds in each collision is lost, although
  the sum may be above them, and the noise of the calorimeter is added once per collision. In `"whole-detector"` images
  6 % of the energy is missing at mu = 20, and 22 % at mu = 200.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import escape
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array, vstack

from calolab import spaces
from calolab.cache import REMEDY, cache_dir
from calolab.files import complete, diagnosed
from calolab.interrupts import stopping
from calolab.particles import Particles, images, merge
from calolab.samples import Sample
from calolab.simulate import atlas_card, pdg, pythia, solenoid, towers
from calolab.spaces import Space

KINDS = ("towers", "particles")
MOST_COLLISIONS = 10_000.0
# Number of crossings processed together. The result of an exact overlay depends on it, so it is fixed.
PIECE = 1024
EXACT_PIECE = 32


@dataclass(frozen=True, eq=False)
class PileupLibrary:
    """Minimum-bias collisions from which pile-up is drawn.

    Args:
        collisions: one event per collision, towers or particles.
        kind: `"towers"` or `"particles"`.

    Raises:
        ValueError: if there are no collisions, or they are not of this kind.
    """

    collisions: Particles
    kind: str = "towers"
    _pixels: dict[str, csr_array] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"A library's kind is one of {', '.join(map(repr, KINDS))}, received {self.kind!r}.")
        needed = "ecal" if self.kind == "towers" else "identity"
        if not len(self.collisions) or needed not in self.collisions.fields:
            raise ValueError(
                f"A library of {self.kind} expects at least one collision with the field {needed!r}, received "
                f"{len(self.collisions)} with {', '.join(self.collisions.fields)}."
            )

    def __len__(self):
        return len(self.collisions)

    def images(self, events: int, mu: float | np.ndarray, seed: int, space: Space | str = "whole-detector") -> Sample:
        """Images of pile-up alone.

        Args:
            events: number of crossings.
            mu: mean number of collisions per crossing: one number, or one per crossing, shape `(events,)`.
            seed: seed of the draw, and of the towers for a library of particles.
            space: an image in eta and phi.

        Returns:
            Values `(event, eta, phi)` [GeV] with the labels `mu` and `collisions` (number of collisions drawn).

        Raises:
            ValueError: if an argument is out of range.
        """
        space = spaces.space(space)
        mu, counts, drawn = _draw(len(self), events, mu, seed)
        values = np.empty((events, *space.shape), np.float32)
        size = PIECE if self.kind == "towers" else EXACT_PIECE
        stops = np.concatenate([[0], np.cumsum(counts)])
        for piece, start in enumerate(range(0, events, size)):
            stop = min(start + size, events)
            chosen = drawn[stops[start] : stops[stop]]
            if self.kind == "towers":
                shape = (stop - start, len(self))
                rows = csr_array(
                    (np.ones(len(chosen), np.float32), chosen, stops[start : stop + 1] - stops[start]), shape=shape
                )
                values[start:stop] = (rows @ self._images(space)).toarray().reshape(-1, *space.shape)
            else:
                laid = _laid(self.collisions, counts[start:stop], chosen)
                values[start:stop] = images(towers.simulate(laid, seed=_towers_seed(seed, piece)), space).values
        origin = {**self.collisions.origin, "pileup": f"library of {len(self)} ({self.kind})", "pileup_seed": int(seed)}
        return Sample(values, {"mu": mu, "collisions": counts}, space, origin)

    def draw(self, events: int, mu: float | np.ndarray, seed: int) -> Particles:
        """Towers or particles of pile-up alone, as `overlay` adds them for the same arguments.

        For particles, mu = 200 needs about 1 MB per crossing.

        Args:
            events: number of crossings.
            mu: mean number of collisions per crossing: one number, or one per crossing, shape `(events,)`.
            seed: seed of the draw.

        Raises:
            ValueError: if an argument is out of range.
        """
        mu, counts, drawn = _draw(len(self), events, mu, seed)
        return replace(_laid(self.collisions, counts, drawn), labels={"mu": mu, "collisions": counts})

    def _images(self, space: Space) -> csr_array:
        """One row per collision, one column per cell; most cells are empty."""
        if space not in self._pixels:
            pieces = (self.collisions.select(slice(at, at + PIECE)) for at in range(0, len(self), PIECE))
            rows = [csr_array(images(piece, space).values.reshape(len(piece), -1)) for piece in pieces]
            self._pixels[space] = csr_array(vstack(rows))
        return self._pixels[space]

    def __repr__(self):
        return f"PileupLibrary({len(self)} collisions of {self.collisions.counts.mean():.1f} {self.kind} on average)"

    def _repr_html_(self):
        origin = ", ".join(f"{escape(str(k))} {escape(str(v))}" for k, v in self.collisions.origin.items())
        mean = self.collisions.counts.mean()
        return f"<b>{len(self)} collisions</b> of {mean:.1f} {self.kind} on average<br><small>{origin}</small>"


@stopping("the simulation of a pile-up library")
def library(
    events: int,
    *,
    seed: int,
    kind: str = "particles",
    path: str | Path | None = None,
    processes: int | None = None,
    progress: bool = True,
) -> PileupLibrary:
    """A library of minimum-bias collisions: read from disk, or simulated with Pythia and saved for the next call.

    Args:
        events: number of collisions. A crossing at mu = 200 draws 200 of them, so thousands are needed.
        seed: the same seed gives the same library on the same kind of CPU.
        kind: `"towers"`, fast but approximate, or `"particles"`, exact; see the module.
        path: its file; by default in the cache, with a name that depends on everything that determines its content.
        processes, progress: as for `simulate.collisions`.

    Returns:
        The library.

    Raises:
        ValueError: if `path` exists and contains anything but this library, or an argument is out of range.
        RuntimeError: if a Pythia process ends before its collisions are complete.
    """
    if kind not in KINDS:
        raise ValueError(f"library(kind=) is one of {', '.join(map(repr, KINDS))}, received {kind!r}.")
    _check_whole("library", events=(events, 1), seed=(seed, 0))
    wanted = {"events": int(events), "seed": int(seed), "kind": kind}
    path = cache_dir("pileup") / f"minimum-bias-{kind}-{_fingerprint(wanted)}.npz" if path is None else Path(path)
    if path.exists():
        found, about = _read(path)
        if {name: about.get(name) for name in wanted} != wanted:
            raise ValueError(
                f"{path} contains another library: {about['events']} collisions ({about['kind']}) with seed "
                f"{about['seed']}. Choose a file that does not exist yet, or read this one with pileup.read(path)."
            )
        return found
    made = pythia.collisions("minimum-bias", events, seed=seed, output=kind, processes=processes, progress=progress)
    _write(path, made, wanted)
    return PileupLibrary(made, kind)


def read(path: str | Path) -> PileupLibrary:
    """Read a library from a file.

    Raises:
        ValueError: if there is no such file, or it is not a library.
        OSError, MemoryError: if it cannot be read at present.
    """
    return _read(Path(path))[0]


@stopping("the overlay of pile-up")
def overlay(
    signal: Particles | Sample, library: PileupLibrary, mu: float | np.ndarray, *, seed: int
) -> Particles | Sample:
    """Add pile-up to events.

    Images of pile-up are added to images, towers to towers (two towers in the same cell are not combined), and
    particles to particles, for which `towers.simulate` afterwards is exact.

    Args:
        signal: images in eta and phi, towers, or particles.
        library: source of the pile-up. Towers need a library of towers, particles with identities one of particles.
        mu: mean number of collisions per crossing, one number or one per event; 0 returns the signal.
        seed: seed of the draw.

    Returns:
        Events of the same kind as `signal`, with the labels `mu` and `collisions` (number of collisions drawn), added
        to the values of these labels from earlier pile-up.

    Raises:
        ValueError: if `mu` is negative or not finite, there are no events, or the library has the wrong kind.
    """
    if not isinstance(signal, (Particles, Sample)):
        raise ValueError(f"overlay expects Particles or a Sample of images, received {type(signal).__name__}.")
    if not len(signal):
        raise ValueError("overlay expects at least one event, received none.")
    if isinstance(signal, Sample):
        pileup = library.images(len(signal), mu, seed, signal.space)
        made = replace(signal, values=signal.values + pileup.values)
    else:
        fields = set(signal.fields)
        for one, needed in (("ecal", "towers"), ("identity", "particles")):
            if one in fields and library.kind != needed:
                raise ValueError(
                    f"These events are {needed}, but the library contains {library.kind}: make the library with "
                    f"kind={needed!r}" + ("." if needed == "towers" else ", or overlay towers.simulate(events, seed=).")
                )
        pileup = library.draw(len(signal), mu, seed)
        made = merge([signal, _with_fields(pileup, signal.fields)])
    labels = {name: signal.labels.get(name, 0) + pileup.labels[name] for name in ("mu", "collisions")}
    origin = {**signal.origin, "pileup": f"library of {len(library)} ({library.kind})", "pileup_seed": int(seed)}
    return replace(made, labels={**signal.labels, **labels}, origin=origin)


def _draw(size: int, events: int, mu: object, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and number of collisions of each crossing, and the indices of the drawn collisions."""
    _check_whole("pile-up", events=(events, 1), seed=(seed, 0))
    try:
        means = np.asarray(mu, np.float64)
    except (TypeError, ValueError):
        means = np.array(np.nan)
    if means.shape not in ((), (events,)):
        raise ValueError(f"mu= expects one number or one per event, shape ({events},); received shape {means.shape}.")
    if not np.all((means >= 0) & (means <= MOST_COLLISIONS)):
        raise ValueError(f"mu= expects mean numbers of collisions from 0 to {MOST_COLLISIONS:g}, received {mu!r}.")
    means = np.broadcast_to(means, events)
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7,)))
    counts = generator.poisson(means)
    return means, counts, generator.integers(0, size, counts.sum())


def _towers_seed(seed: int, piece: int) -> int:
    return int(np.random.SeedSequence(seed, spawn_key=(8, piece)).generate_state(1, np.uint64)[0])


def _laid(collisions: Particles, counts: np.ndarray, drawn: np.ndarray) -> Particles:
    """Events with the particles of the drawn collisions, the next `counts[i]` of them in crossing i."""
    sizes = collisions.counts
    starts = np.cumsum(sizes) - sizes
    taken = sizes[drawn]
    # Positions in the flat columns, from the start of each drawn collision.
    flat = np.arange(taken.sum()) + np.repeat(starts[drawn] - (np.cumsum(taken) - taken), taken)
    crossing = np.repeat(np.arange(len(counts)), counts)
    per_crossing = np.bincount(crossing, weights=taken, minlength=len(counts)).astype(np.int64)
    columns = {name: collisions.flat(name)[flat] for name in collisions.fields}
    return Particles.from_flat(per_crossing, columns, origin=collisions.origin)


def _with_fields(pileup: Particles, fields: tuple[str, ...]) -> Particles:
    """Pile-up with only these columns; unknown vertices are at the origin."""
    nowhere = np.zeros(pileup.counts.sum(), np.float32)
    columns = {name: pileup.flat(name) if name in pileup.fields else nowhere for name in fields}
    return Particles.from_flat(pileup.counts, columns, pileup.labels, pileup.origin)


def _fingerprint(wanted: Mapping[str, object]) -> str:
    """Hash of everything that determines a library: Pythia, its settings and, for towers, the simulation code."""
    parts = [json.dumps(wanted, sort_keys=True), version("pythia8mc"), *pythia.COMMON, *pythia.MINIMUM_BIAS]
    if wanted["kind"] == "towers":
        parts += [Path(module.__file__).read_text() for module in (towers, atlas_card, pdg, solenoid)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _write(path: Path, collisions: Particles, wanted: Mapping[str, object]) -> None:
    columns = {
        name: collisions.flat(name) for name in collisions.fields if name != "mass" or wanted["kind"] != "towers"
    }
    about = json.dumps({**wanted, "origin": collisions.origin})
    path.parent.mkdir(parents=True, exist_ok=True)
    size = collisions.counts.nbytes + sum(column.nbytes for column in columns.values())
    with (
        complete(path, size, remedy=f"{REMEDY} Or name another file with path=.") as partial,
        partial.open("wb") as file,
    ):
        np.savez(file, about=about, counts=collisions.counts.astype(np.int32), **columns)


def _read(path: Path) -> tuple[PileupLibrary, dict]:
    def explain(error: Exception) -> str:
        return (
            f"{path} is not a pile-up library as written by pileup.library(..., path=): {error}. Delete it, so that it "
            "is made again, or choose another file."
        )

    with diagnosed(path, explain, (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile)):
        with np.load(path, allow_pickle=False) as file:
            columns = {name: file[name] for name in file.files}
        about = json.loads(str(columns.pop("about")))
        counts = columns.pop("counts")
        if about["kind"] == "towers":
            columns["mass"] = np.zeros_like(columns["pt"])
        return PileupLibrary(Particles.from_flat(counts, columns, origin=about["origin"]), about["kind"]), about


def _check_whole(who: str, **numbers: tuple[object, int]) -> None:
    for name, (number, least) in numbers.items():
        if not isinstance(number, (int, np.integer)) or isinstance(number, bool) or number < least:
            raise ValueError(f"{who}: {name}= expects a whole number of at least {least}, received {number!r}.")
