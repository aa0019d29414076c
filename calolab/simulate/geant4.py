"""Geant4 without downloads: full simulation of showers in several processes.

Geant4 is installed with the package `geant4_pybind` (Geant4 11.4). The bindings would download its data sets, which
have several gigabytes. The few tables that electrons, positrons and photons need are instead made from two small
packages (`calolab.simulate.tables`), without downloads. The physics is `G4EmStandardPhysics_option1` with a production
cut of 0.7 mm: electromagnetic without hadrons, so there are no photonuclear reactions.

If `GEANT4_DATA_DIR` contains the official data sets, Geant4 reads those, and `physics` can be any official physics list
(`"FTFP_BERT"`, `"QGSP_BERT_EMZ"`, ...). This is not tested, because the official data are not available in the tests
of calolab. The origin of a sample and the progress bar say which tables were used.
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
# Production cut [mm] at which the electromagnetic physics was validated; also the default of Geant4.
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
    """Energy that showers deposit in the cells of the sensitive slabs.

    Args:
        space: a regular calorimeter with slabs and equal cells.
        labels: `energy` [GeV] and, for tilted showers, `theta` [rad], each of shape `(event,)`.
        particle: name of the particle in Geant4.
        seed: seed of all showers; the random numbers of a shower depend only on it and on the index of the shower.
        processes: number of parallel processes; by default one per core.
        progress: whether to show a progress bar.
        physics: name of an official physics list; by default `G4EmStandardPhysics_option1`.

    Returns:
        Energies [GeV], shape `(event, *space.shape)`, float32, and how they were simulated: version, physics, cut,
        tables.

    Raises:
        ModuleNotFoundError: if the extra `geant4` is not installed.
        ValueError: if `physics` is unknown or needs data that are not available.
        RuntimeError: if a process ends before its showers are complete.
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
    """The energy deposit of every step in the sensitive slabs, at its midpoint, for the same showers as `cells`.

    Args:
        space, labels, particle, seed, processes, progress, physics: as for `cells`.

    Returns:
        The number of deposits of each event, shape `(event,)`; x, y, z [mm] and energy [GeV] of all deposits, shape
        `(4, deposit)`, float32, in event order; and how they were simulated.

    Raises:
        ModuleNotFoundError, ValueError, RuntimeError: as for `cells`.
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
            # Large enough to keep the workers busy, small enough that they finish at about the same time.
            chunk=max(1, min(16, len(tasks) // (4 * processes))),
        )
    return {**about, "tables": data.name}


def _check_physics(physics: str | None, data: Tables) -> None:
    if physics not in (None, PHYSICS) and not data.official:
        raise ValueError(
            f"physics={physics!r} needs the official data sets of Geant4, but GEANT4_DATA_DIR is not a folder that "
            f"contains them (no G4EMLOW*). Without them only {PHYSICS} is available: keep physics=None."
        )


def _tasks(labels: Mapping[str, np.ndarray], seed: int) -> Sequence[tuple[float, float | None, tuple[int, int]]]:
    """Energy [GeV], angle [rad] and the two seeds of each shower."""
    angles = labels.get("theta", [None] * len(labels["energy"]))
    tasks = []
    for event, (energy, angle) in enumerate(zip(labels["energy"], angles)):
        words = np.random.SeedSequence(seed, spawn_key=(1, event)).generate_state(2)
        # The command of Geant4 takes signed numbers and ends the list of seeds at the first zero.
        seeds = tuple(int(word % (2**31 - 2)) + 1 for word in words)
        tasks.append((float(energy), None if angle is None else float(angle), seeds))
    return tasks
