"""Final-state particles of event generators in HepMC files, version 2 and 3, read by pyhepmc (arXiv:1912.08005)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from calolab import files
from calolab.datasets import joining, root
from calolab.momenta import cylindrical
from calolab.particles import Particles

_FINAL = 1  # status of particles that do not decay
_GEV = {"GEV": 1.0, "MEV": 1e-3}
_MM = {"MM": 1.0, "CM": 10.0}
_EVENT = b"\nE "  # begins an event in both versions
_BYTES = 4_000_000  # read at a time
_LINE = 1000  # bytes at the end of the file that contain the last line


def read(paths: Sequence[Path], *, labels: Mapping[str, float] | None = None, events: int | None = None) -> Particles:
    """Read the final-state particles of HepMC files, event by event, one file after the other.

    Args:
        paths: the files, not compressed.
        labels: labels that are not in the files, one value for all events.
        events: number of events, starting with the first; by default all.

    Returns:
        Particles of status 1 with their `identity` (PDG code) and production vertex `x`, `y`, `z` [mm], converted to
        GeV. The label `weight` is the first weight of the events, if all have weights. Particles along the beam, which
        have no eta, are left out; their number is in the origin, as is the cross section [pb] of the last event.

    Raises:
        ImportError: if pyhepmc is not installed.
        ValueError: if a file has no complete event.

    Warns:
        UserWarning: if a file is truncated or damaged, with the number of complete events, which are read.
    """
    return joining.read_each(paths, lambda path, missing: _read(path, labels or {}, missing), events)


def _pyhepmc():
    try:
        import pyhepmc
    except ImportError as error:
        raise ImportError("HepMC files need the package pyhepmc: pip install 'calolab[hepmc]'.") from error
    pyhepmc.Setup.print_errors = pyhepmc.Setup.print_warnings = False
    pyhepmc.Setup.debug_level = 0
    return pyhepmc


def _read(path: Path, labels: Mapping[str, float], events: int | None) -> Particles:
    pyhepmc = _pyhepmc()
    parts, weights, section, along_beam, size = [], [], None, 0, 0
    with (
        files.diagnosed(path, lambda error: f"{path}: cannot be read as a HepMC file ({error}). Write it again."),
        pyhepmc.open(str(path)) as file,
    ):
        for event in file:
            columns, skipped = _final_state(event)
            parts.append(columns)
            weights.append(event.weights[0] if event.weights else None)
            section = event.cross_section or section
            along_beam += skipped
            size += 8 * sum(map(len, columns.values()))
            if len(parts) == events:
                break
            if len(parts) % 1000 == 0:
                root.check_memory(path, size / 2)  # the same memory is needed again at the end
    if len(parts) != events:
        begun, whole = _events_begun(path)
        if not whole and begun == len(parts):
            parts, weights = parts[:-1], weights[:-1]  # its last number may be truncated
        if not parts:
            raise ValueError(f"{path}: truncated or damaged in the first event, none is complete. Write it again.")
        if begun != len(parts):
            warnings.warn(
                f"{path}: truncated or damaged in event {len(parts) + 1}: {len(parts)} complete events are read, "
                f"{begun - len(parts)} that begin later are not. Was its writer interrupted?",
                stacklevel=6,
            )
    flat = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    held = {name: np.full(len(parts), float(value)) for name, value in labels.items()}
    if None not in weights:
        held = {"weight": np.array(weights, np.float64)} | held
    origin: dict[str, object] = {} if section is None else {"cross section [pb]": float(section.xsec())}
    if along_beam:
        origin["not read"] = f"{along_beam} particles along the beam, without eta"
    try:
        return Particles.from_flat([len(part["pt"]) for part in parts], flat, held, origin)
    except ValueError as error:
        raise ValueError(f"{path}: {error} Remove such events from the file.") from error


def _final_state(event) -> tuple[dict[str, np.ndarray], int]:
    """The final-state particles of an event [GeV, mm], and the number of those along the beam, which are left out."""
    unit, length = _GEV[event.momentum_unit.name], _MM[event.length_unit.name]
    held = event.numpy.particles
    px, py, pz, energy = (getattr(held, name) * unit for name in ("px", "py", "pz", "e"))
    final = held.status == _FINAL
    chosen = np.flatnonzero(final & (np.hypot(px, py) > 0))
    columns = cylindrical(px[chosen], py[chosen], pz[chosen], energy[chosen])
    # More precise than the difference of energy and momentum, where the file has it.
    given = held.is_generated_mass_set[chosen].astype(bool)
    columns["mass"] = np.where(given, np.maximum(held.generated_mass[chosen] * unit, 0), columns["mass"])
    columns["identity"] = held.pid[chosen].astype(np.float64)
    particles = event.particles
    vertices = [particles[i].production_vertex for i in chosen.tolist()]
    positions = [(0.0, 0.0, 0.0) if one is None else tuple(one.position)[:3] for one in vertices]
    places = np.array(positions, np.float64).reshape(-1, 3) * length
    return {**columns, **dict(zip("xyz", places.T))}, int(final.sum()) - len(chosen)


def _events_begun(path: Path) -> tuple[int, bool]:
    """The number of events that begin in a file, and whether the last line of its events is complete."""
    begun, overlap, tail = 0, b"\n", b""
    with open(path, "rb") as file:
        while piece := file.read(_BYTES):
            begun += (overlap + piece).count(_EVENT)
            overlap, tail = (overlap + piece)[1 - len(_EVENT) :], (tail + piece)[-_LINE:]
    last = tail.rpartition(b"\n")[2]
    return begun, not last or last.startswith(b"HepMC::")
