"""Geant4 with no download: showers made particle by particle, in several processes.

The Geant4 program comes with the wheel `geant4_pybind` (Geant4 11.4). Its data sets are gigabytes that the bindings
would offer to download; the few tables that electrons, positrons and photons need are made from two small packages
instead (see `calolab.simulate.tables`), and nothing is ever asked or downloaded. The physics is
`G4EmStandardPhysics_option1` with a production cut of 0.7 mm: electromagnetic, without hadrons, so that a photon never
breaks a nucleus.

Where `GEANT4_DATA_DIR` holds the official data sets, Geant4 reads those instead, and `physics` may name any of the
official physics lists (`"FTFP_BERT"`, `"QGSP_BERT_EMZ"`, ...). This is untested, for want of the official data where
calolab is tested. A sample's origin and the progress bar always say which tables were used.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence

import numpy as np

from calolab import cpu
from calolab.progress import bar
from calolab.simulate import workers
from calolab.simulate.readout import in_cells, layer_of
from calolab.simulate.tables import INSTALL, Tables, tables
from calolab.spaces import Space

PHYSICS = "G4EmStandardPhysics_option1"
# Production cut [mm] at which the electromagnetic physics was validated, and Geant4's own default.
CUT = 0.7


def cells(
    space: Space,
    labels: Mapping[str, np.ndarray],
    *,
    particle: str,
    seed: int,
    processes: int | None = None,
    progress: bool = True,
    physics: str | None = None,
) -> tuple[np.ndarray, dict[str, str]]:
    """Energy that showers deposit in the sensitive slabs, per cell.

    Args:
        space: a regular calorimeter with slabs and equal cells.
        labels: `energy` [GeV] and, for tilted showers, `theta` [rad], each of shape `(event,)`.
        particle: Geant4's name of the particle.
        seed: of all showers; each one's random numbers follow from it and the shower's position alone.
        processes: how many run at once; by default one per core.
        progress: whether to show a progress bar.
        physics: name of an official physics list; by default `G4EmStandardPhysics_option1`.

    Returns:
        The energies [GeV], shape `(event, *space.shape)`, float32; and what made them: version, physics, cut, tables.

    Raises:
        ModuleNotFoundError: if the extra `geant4` is not installed.
        ValueError: if `physics` is unknown or needs data that are not there.
        RuntimeError: if a process ends before its showers are done.
    """
    values = np.zeros((len(labels["energy"]), *space.shape), np.float32)

    def receive(event: int, steps: np.ndarray) -> None:
        x, y, z, energy = steps
        first = np.zeros(len(energy), np.int32)
        values[event] = in_cells(space, 1, first, x, y, layer_of(space, z), energy, follow="theta" in labels)[0]

    about = _run(space, labels, receive, particle, seed, processes, progress, physics)
    return values, about


def deposits(
    space: Space,
    labels: Mapping[str, np.ndarray],
    *,
    particle: str,
    seed: int,
    processes: int | None = None,
    progress: bool = True,
    physics: str | None = None,
) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Every step's deposit in the sensitive slabs, at the step's midpoint; the very showers that `cells` adds up.

    Returns:
        The number of deposits of each event, shape `(event,)`; x, y, z [mm] and energy [GeV] of all deposits, shape
        `(4, deposit)`, float32, in event order; and what made them. Arguments and errors are those of `cells`.
    """
    rows: list[np.ndarray] = [np.empty((4, 0), np.float32)] * len(labels["energy"])
    about = _run(space, labels, rows.__setitem__, particle, seed, processes, progress, physics)
    return np.array([row.shape[1] for row in rows]), np.concatenate(rows, axis=1), about


def _run(space, labels, receive, particle, seed, processes, progress, physics) -> dict[str, str]:
    if importlib.util.find_spec("geant4_pybind") is None:
        raise ModuleNotFoundError(
            "Geant4 showers need geant4_pybind, which is not installed. It comes with calolab's extra 'geant4': "
            f"{INSTALL} (method='gflash' works without it)",
            name="geant4_pybind",
        )
    data = tables()
    _check_physics(physics, data)
    tasks = _tasks(labels, seed)
    processes = cpu.cores() if processes is None else processes
    name = f"Geant4 (tables: {data.name})"
    with bar(total=len(tasks), unit="shower", desc=name, smoothing=0.05, show=progress) as shown:

        def receive_one(event: int, result: object) -> None:
            receive(event, result)
            shown.update()

        about = workers.run(
            "calolab.simulate.geant4_worker",
            {"space": space.to_dict(), "particle": particle, "physics": physics or PHYSICS, "cut": CUT},
            tasks,
            receive_one,
            processes=processes,
            environment=data.environment,
            # Large enough to keep a worker busy while it waits for nobody, small enough to end together.
            chunk=max(1, min(16, len(tasks) // (4 * processes))),
        )
    return {**about, "tables": data.name}


def _check_physics(physics: str | None, data: Tables) -> None:
    if physics not in (None, PHYSICS) and not data.official:
        raise ValueError(
            f"physics={physics!r} needs Geant4's official data sets, and GEANT4_DATA_DIR does not name a folder that "
            f"holds them (no G4EMLOW* in it). Without them there is {PHYSICS}: leave physics=None."
        )


def _tasks(labels: Mapping[str, np.ndarray], seed: int) -> Sequence[tuple[float, float | None, tuple[int, int]]]:
    """Energy [GeV], angle [rad] and the two seeds of each shower's own random numbers."""
    angles = labels.get("theta", [None] * len(labels["energy"]))
    tasks = []
    for event, (energy, angle) in enumerate(zip(labels["energy"], angles)):
        words = np.random.SeedSequence(seed, spawn_key=(1, event)).generate_state(2)
        # Geant4's command takes signed numbers and ends its list of seeds at the first zero.
        seeds = tuple(int(word % (2**31 - 2)) + 1 for word in words)
        tasks.append((float(energy), None if angle is None else float(angle), seeds))
    return tasks
