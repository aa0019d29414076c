"""Proton-proton collisions at 13 TeV with Pythia 8 (arXiv:2203.11601), in several worker processes.

All collisions use the ATLAS tune A14 with NNPDF2.3 LO (`Tune:pp = 21`). It was made for hard processes; minimum-bias
collisions have the same settings, so that events and their pile-up are simulated with one model. Particles with c tau
above 10 mm are stable (so K0s and Lambda reach the calorimeter); all particles start at the origin.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from calolab import cpu, spaces
from calolab.cache import REMEDY, cache_dir
from calolab.files import complete, reserve
from calolab.interrupts import stopping
from calolab.names import check_name
from calolab.particles import Particles
from calolab.progress import bar
from calolab.samples import Sample
from calolab.simulate import slha, workers

# The settings of each process.
PROCESSES = {
    "rpv": ("gluino_mass", "neutralino_mass", "slha", "pythia"),
    "minimum-bias": ("pythia",),
    "qcd": ("pt", "pythia"),
    "w-boson": ("pt", "pythia"),
}
OUTPUT_FIELDS = {
    "particles": ("pt", "eta", "phi", "mass", "identity"),
    "towers": ("pt", "eta", "phi", "mass", "ecal", "hcal"),
    "images": (),
}
# Number of collisions per seed: enough for numpy to be efficient, few enough for balanced work.
CHUNK = 50
# The largest seed of Pythia. The stride is coprime to it, so that all seeds of a run are different.
SEEDS = 900_000_000
STRIDE = 472_882_027
BEAM_ENERGY = 13_000.0
TABLES_BYTES = 100_000  # upper limit for the size of the tables of multiparton interactions
LEAST_PT = 10.0
W_MASS, Z_MASS = 80.4, 91.2

COMMON = (
    f"Beams:eCM = {BEAM_ENERGY}",
    "Tune:pp = 21",
    "ParticleDecays:limitTau0 = on",
    "ParticleDecays:tau0Max = 10.",
    # The initialisation must not depend on the seed, which each chunk sets afterwards.
    "Random:setSeed = on",
    "Random:seed = 1",
    "Init:showProcesses = off",
    "Init:showMultipartonInteractions = off",
    "Init:showChangedSettings = off",
    "Init:showChangedParticleData = off",
    "Next:numberCount = 0",
    "Next:numberShowInfo = 0",
    "Next:numberShowProcess = 0",
    "Next:numberShowEvent = 0",
)
GLUINO_PAIRS = (
    "SUSY:gg2gluinogluino = on",
    "SUSY:qqbar2gluinogluino = on",
    "SLHA:useDecayTable = on",
    "RHadrons:allow = off",
)
MINIMUM_BIAS = ("SoftQCD:inelastic = on",)


@dataclass(frozen=True)
class Setup:
    """Settings of Pythia.

    Args:
        lines: settings in the syntax of Pythia.
        spectrum: text in the SUSY Les Houches format.
        tables: file with the tables of multiparton interactions.
        window: window for the pt of the W boson [GeV].
        decaying: PDG codes of particles that must decay.
    """

    lines: tuple[str, ...]
    spectrum: str | None = None
    tables: str | None = None
    window: tuple[float, float] | None = None
    decaying: tuple[int, ...] = ()


@dataclass(frozen=True)
class Task:
    """A task of a worker: a chunk of collisions with the seeds of Pythia and the towers, or a cross section."""

    kind: str
    setup: int
    events: int = 0
    seed: int = 0
    towers_seed: int = 0


@dataclass(frozen=True)
class _Point:
    """A setup, the indices of its events, their labels, and the name that determines their random numbers."""

    name: str
    setup: Setup
    events: np.ndarray
    labels: Mapping[str, float]


@stopping("the simulation of collisions")
def collisions(
    process: str,
    events: int,
    *,
    seed: int,
    output: str = "particles",
    processes: int | None = None,
    progress: bool = True,
    **settings,
) -> Particles | Sample:
    """Simulate proton-proton collisions at 13 TeV with Pythia 8 (arXiv:2203.11601).

    The processes and their settings:

    - `"rpv"`: pairs of gluinos that decay to quarks (see `calolab.simulate.slha`). `gluino_mass` [GeV];
      `neutralino_mass` [GeV] for decays through a neutralino, None (the default) for the direct decay to three quarks.
      Each is one number or an array of shape `(events,)`. Alternatively `slha=`, your own spectrum: its text or the
      name of its file.
    - `"minimum-bias"`: all inelastic collisions, used as pile-up.
    - `"qcd"`: quark and gluon jets; `pt=(low, high)` is the window for the pt of the hard process [GeV], by default
      (250, 300) as for the jet images of LAGAN (arXiv:1701.05927).
    - `"w-boson"`: W' to W Z, where the W decays to quarks and the Z to neutrinos; `pt=(low, high)` is the window for
      the pt of the W [GeV] in the hard process, by default (250, 300). The mass of the W' is chosen such that the pt
      spectrum peaks at the upper end. Radiation then smears the pt by about 20 GeV.

    All processes accept `pythia=`, a list of further settings in its own syntax, e.g. `["PartonLevel:MPI = off"]`.

    Args:
        process: the process, as above.
        events: number of collisions.
        seed: the same seed gives the same collisions on the same kind of CPU, for any number of processes.
        output: `"particles"`, the stable particles; `"towers"`, calorimeter towers (see `calolab.simulate.towers`);
            `"images"`, tower energies in the space `"whole-detector"`.
        processes: number of parallel processes; by default one per core.
        progress: whether to show a progress bar.
        **settings: settings of the process, as above.

    Returns:
        Particles with `pt`, `eta`, `phi`, `mass` and `identity`, towers with `ecal` and `hcal` instead, or images; in
        single precision. Labels: `gluino_mass` and `neutralino_mass` [GeV] for `"rpv"`, `signal` (1 for W bosons, 0 for
        QCD) for the two jet processes. The origin contains the cross section of Pythia and its statistical error [pb],
        at leading order and within the window; for several mass points one each.

    Raises:
        ValueError: for an unknown process or setting, a value out of range, or anything that Pythia rejects; with the
            last messages of Pythia.
        RuntimeError: if a Pythia process ends before its collisions are complete.
    """
    check_name("process", process, PROCESSES)
    check_name("output", output, OUTPUT_FIELDS)
    for name, number, least in (("events", events, 1), ("seed", seed, 0), ("processes", processes, 1)):
        whole = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
        if not (whole and number >= least) and not (name == "processes" and number is None):
            raise ValueError(f"collisions({name}=) expects a whole number of at least {least}, received {number!r}.")
    points = _points(process, events, settings)
    tasks, places = _tasks(points, seed)
    results: list = [None] * len(tasks)
    with bar(total=events, unit="collision", desc=f"Pythia ({process})", smoothing=0.05, show=progress) as shown:

        def receive(position: int, result: object) -> None:
            results[position] = result
            shown.update(tasks[position].events)

        about = _run([point.setup for point in points], tasks, receive, output, processes)
    results, sections = results[: -len(points)], results[-len(points) :]
    found = {point.name: section for point, section in zip(points, sections)}
    origin = {
        "simulation": "pythia",
        "process": process,
        "seed": int(seed),
        "pythia": about["version"],
        "tune": "ATLAS A14 NNPDF2.3 LO",
        **({"pt_window": str(settings["pt"])} if "pt" in settings else {}),
        **({"pythia_settings": ", ".join(settings["pythia"])} if settings.get("pythia") else {}),
        "cross_section": _one_or_all({name: result["value"] for name, result in found.items()}),
        "cross_section_error": _one_or_all({name: result["error"] for name, result in found.items()}),
    }
    names = list(points[0].labels)
    labels = {name: np.concatenate([[p.labels[name]] * len(p.events) for p in points]) for name in names}
    columns = {name: np.concatenate([result.pop(name) for result in results]) for name in list(results[0])}
    if output == "images":
        made = Sample(columns["values"], labels, spaces.space("whole-detector"), origin)
    else:
        made = Particles.from_flat(columns.pop("counts"), columns, labels, origin)
    return made if len(points) == 1 else made.select(np.argsort(places))


def _tasks(points: Sequence[_Point], seed: int) -> tuple[list[Task], np.ndarray]:
    """All collisions in chunks, then one cross section per point; and the final index of each event."""
    tasks = []
    for number, point in enumerate(points):
        key = zlib.crc32(point.name.encode())
        first = int(np.random.SeedSequence(seed, spawn_key=(5, key)).generate_state(1)[0])
        for chunk, start in enumerate(range(0, len(point.events), CHUNK)):
            towers_seed = np.random.SeedSequence(seed, spawn_key=(6, key, chunk)).generate_state(1, np.uint64)[0]
            size = min(CHUNK, len(point.events) - start)
            pythia_seed = (first + chunk * STRIDE) % SEEDS + 1
            tasks.append(Task("collisions", number, size, pythia_seed, int(towers_seed)))
    tasks += [Task("cross-section", number) for number in range(len(points))]
    return tasks, np.concatenate([point.events for point in points])


def _points(process: str, events: int, settings: Mapping[str, object]) -> list[_Point]:
    """The setups of a process, after a check of its settings."""
    for name in settings:
        check_name(f"setting of {process!r}", name, PROCESSES[process])
    everything = np.arange(events)
    extra = settings.get("pythia", ())
    if isinstance(extra, str) or not all(isinstance(line, str) and "=" in line for line in extra):
        raise ValueError(f"pythia= expects a list of settings like ['PartonLevel:MPI = off'], received {extra!r}.")
    if process == "rpv":
        return _mass_points(events, settings, (*COMMON, *GLUINO_PAIRS, *extra))
    if process == "minimum-bias":
        # The tables depend on the settings.
        setup = Setup((*COMMON, *MINIMUM_BIAS, *extra)) if extra else _minimum_bias()
        return [_Point(process, setup, everything, {})]
    low, high = _window(settings.get("pt", (250.0, 300.0)))
    name = f"{process} {low:g} {high:g}"
    if process == "qcd":
        hard = ("HardQCD:all = on", f"PhaseSpace:pTHatMin = {low!r}", f"PhaseSpace:pTHatMax = {high!r}")
        return [_Point(name, Setup((*COMMON, *hard, *extra)), everything, {"signal": 0.0})]
    # In the decay of this W' at rest both bosons have a momentum of `high`, where the spectrum of their pt peaks and
    # ends.
    mass = np.hypot(W_MASS, high) + np.hypot(Z_MASS, high)
    resonance = (
        "NewGaugeBoson:ffbar2Wprime = on",
        "Wprime:coup2WZ = 1.",
        f"34:m0 = {mass:.3f}",
        "34:onMode = off",
        "34:onIfMatch = 24 23",
        "24:onMode = off",
        "24:onIfAny = 1 2 3 4 5",
        "23:onMode = off",
        "23:onIfAny = 12 14 16",
    )
    return [_Point(name, Setup((*COMMON, *resonance, *extra), window=(low, high)), everything, {"signal": 1.0})]


def _minimum_bias() -> Setup:
    """Minimum bias with tables from the cache, which takes 0.2 s; Pythia needs 5 s to make them."""
    lines = (*COMMON, *MINIMUM_BIAS)
    key = zlib.crc32("\n".join((version("pythia8mc"), *lines)).encode())
    file = cache_dir("pythia") / f"minimum-bias-{key:08x}.tables"
    if not file.exists():
        with complete(file, TABLES_BYTES, remedy=REMEDY) as partial:
            with open(partial, "wb") as disk:  # Pythia does not report a full disk
                reserve(disk.fileno(), 0, TABLES_BYTES)
            making = Setup((*lines, "MultipartonInteractions:reuseInit = 1"), tables=str(partial))
            _run([making], [], lambda position, result: None, "particles", 1)
    return Setup((*lines, "MultipartonInteractions:reuseInit = 2"), tables=str(file))


def _run(setups, tasks, receive, output, processes) -> dict[str, str]:
    return workers.run(
        "calolab.simulate.pythia_worker",
        {"setups": setups, "output": output},
        tasks,
        receive,
        processes=cpu.cores() if processes is None else processes,
        environment={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        chunk=1,
    )


def _mass_points(events: int, settings: Mapping[str, object], lines: tuple[str, ...]) -> list[_Point]:
    """One setup per pair of masses, or that of the spectrum of the user."""
    gluino, neutralino = settings.get("gluino_mass"), settings.get("neutralino_mass")
    if (own := settings.get("slha")) is not None:
        if gluino is not None or neutralino is not None:
            raise ValueError("collisions('rpv') expects slha= or the masses, not both: the spectrum contains masses.")
        text = slha.read(own)
        name = "The spectrum in slha=" if own is text else str(own)
        labels = slha.masses(text, name)
        slha.check_blocks(text, name)
        setup = Setup(lines, text, decaying=(slha.GLUINO,))
        return [_Point(_point_name(*labels.values()), setup, np.arange(events), labels)]
    if gluino is None:
        raise ValueError("collisions('rpv') expects gluino_mass= [GeV], or your own spectrum as slha=.")
    given = {"gluino_mass": gluino} | ({} if neutralino is None else {"neutralino_mass": neutralino})
    masses = np.stack([_per_event(name, value, events) for name, value in given.items()], axis=1)
    points = []
    pairs, which = np.unique(masses, axis=0, return_inverse=True)
    for number, pair in enumerate(pairs.tolist()):
        decaying = (slha.GLUINO, slha.NEUTRALINO)[: len(pair)]
        setup = Setup(lines, slha.spectrum(*pair), decaying=decaying)
        chosen = np.flatnonzero(which.ravel() == number)
        points.append(_Point(_point_name(*pair), setup, chosen, dict(zip(given, pair))))
    return points


def _point_name(*masses: float) -> str:
    return "rpv " + " ".join(f"{mass:.10g}" for mass in masses)


def _per_event(name: str, value: object, events: int) -> np.ndarray:
    try:
        values = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        values = np.full((1, 1), np.nan)
    if values.shape not in ((), (events,)) or not np.all(np.isfinite(values)):
        raise ValueError(
            f"collisions({name}=) expects one mass [GeV], or one per event, shape ({events},); received {value!r}."
        )
    return np.broadcast_to(values, events)


def _window(pt: object) -> tuple[float, float]:
    try:
        low, high = (float(each) for each in pt)
    except (TypeError, ValueError):
        low, high = np.nan, np.nan
    if not LEAST_PT <= low < high <= BEAM_ENERGY / 2:
        raise ValueError(
            f"pt= expects (low, high) with {LEAST_PT:g} <= low < high <= {BEAM_ENERGY / 2:g} GeV, received {pt!r}."
        )
    return low, high


def _one_or_all(per_point: Mapping[str, float]) -> float | dict[str, float]:
    return next(iter(per_point.values())) if len(per_point) == 1 else dict(per_point)
