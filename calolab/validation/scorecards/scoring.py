"""Make scorecards: equal numbers of events of every sample, all metrics, and the same metrics between real events."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import ModuleType

import numpy as np

from calolab.interrupts import stopping
from calolab.labels import event_weights
from calolab.names import check_name
from calolab.progress import bar
from calolab.samples import SIMULATIONS, Sample, concatenate, side_names
from calolab.scores import Score
from calolab.validation.distances import kolmogorov_smirnov
from calolab.validation.scorecards import images, showers
from calolab.validation.scorecards.measurement import Family, Measured, Settings, combined
from calolab.validation.scorecards.metrics import METRICS, chosen
from calolab.validation.scorecards.records import Entry, Scorecard

CLASSIFIERS = ("default", "calochallenge")
BINNINGS = ("reference", "calochallenge")
OUTSIDE = 0.02  # fraction of generated events that may be outside the reference's range of energies without a note
FEWEST = 100  # events compared: with fewer, no metric distinguishes a good from a bad generator


@stopping("the scorecard")
def scorecard(
    reference: Sample,
    generated: Sample | Mapping[str, Sample],
    *,
    train: Sample | None = None,
    floor: Sample | None = None,
    metrics: str | Sequence[str] | None = None,
    threshold: float | None = None,
    classifier: str = "default",
    binning: str = "reference",
    reference_name: str | None = None,
    seed: int = 0,
    seeds: int | None = None,
    repetitions: int = 10,
    time_limit: float | None = None,
    progress: bool = True,
) -> Scorecard:
    """Compare generated samples with a reference in the usual metrics of publications, each with its floor.

    Showers in any calorimeter are scored by the CaloChallenge's high-level features (arXiv:2410.21611): separation
    powers, FPD and KPD (arXiv:2211.10295), response and resolution, correlations; by classifiers on features and on
    cells; by precision, recall, density and coverage (arXiv:2002.09797), SSIM, and a comparison with the training
    sample that finds memorised showers. Whole events and jet images are scored by their jets and by their pixels.

    Every metric compares as many generated as reference events, and its floor as many reference events with each other:
    the reference is split for this purpose. So with N reference events, N/2 are compared; further real events given as
    `floor` are added to the reference, and with as many of them, N are compared.

    Args:
        reference: real events that the generators were not trained on.
        generated: a sample in the same space, or several by name; preferably with the labels of the reference.
        train: the training sample, for the check for memorised events.
        floor: further real events with the same distribution of labels.
        metrics: names or groups of metrics (`"classifiers"`, `"fpd"`, ...), or `"cheap"`: separation powers, FPD and
            trees; by default all that samples and options allow.
        threshold: cells below it count as zero in all samples [`space.unit`]; by default 3e-5 GeV for calorimeters in
            GeV, and the thresholds of the CaloChallenge for its spaces.
        classifier: `"default"`, trees on features and a convolutional network on cells; or `"calochallenge"`, the
            challenge's networks on cells, normalised cells and high-level features, for comparison with its tables.
        binning: binning of the separation powers: edges from the `"reference"`, or those of the `"calochallenge"`.
        reference_name: in tables and figures; by default the simulation that made it, otherwise `"reference"`.
        seed: seed of all random choices; the same arguments give the same numbers on the same machine.
        seeds: trainings per classifier; by default five for trees, with different test events, and one for networks.
        repetitions: draws of reference events for the floors of the fast metrics.
        time_limit: for each training of a classifier [s].
        progress: whether to show progress.

    Returns:
        The scorecard: a table in a notebook, `plot()` for a page of figures, `to_json()` to keep it.

    Raises:
        ValueError: for samples in different spaces, fewer than 100 events to compare, labels of only one sample,
            negative cells, all events empty, or unknown names.
        Stopped: after Ctrl-C.
    """
    generated, reference_name = _named(reference, generated, reference_name)
    check_name("classifier", classifier, CLASSIFIERS)
    check_name("binning", binning, BINNINGS)
    if repetitions < 1:
        raise ValueError(f"scorecard expects at least one of the repetitions for the floors, received {repetitions}.")
    maker = _maker(reference)
    _check(reference, {**generated, "train": train, "floor": floor})
    threshold = maker.default_threshold(reference.space) if threshold is None else threshold
    settings = Settings(threshold, classifier, binning, seed, seeds, repetitions, time_limit, progress)
    began = time.monotonic()
    paired = {name: floor is None and _same_labels(reference, sample) for name, sample in generated.items()}
    reference = reference if floor is None else concatenate([reference, floor])
    basis = _basis(maker, reference, train, metrics, settings, min(map(len, generated.values())))
    with bar(total=len(basis.families) * (1 + len(generated)), desc="Scorecard", unit="step", show=progress) as shown:
        floors = basis.floors(shown)
        sides = {name: maker.prepare(sample, basis.real, settings) for name, sample in generated.items()}
        results = {name: basis.results(side, paired[name], floors, shown, name) for name, side in sides.items()}
    whole = {reference_name: basis.real, **sides}
    return Scorecard(
        kind=maker.kind(reference.space),
        space=reference.space,
        reference=reference_name,
        fingerprint=_fingerprint(reference, basis.events, settings),
        events={**{name: len(side) for name, side in whole.items()}, "compared": basis.events},
        energies=_range(reference),
        settings={**asdict(settings), "seconds": round(time.monotonic() - began, 1)},
        results=results,
        panels=maker.panels(whole, settings),
        matrices=maker.matrices(whole),
        notes=tuple(_notes(reference, generated, reference_name, train)),
    )


def shower_score(
    reference: Sample, *, seed: int, metrics: str | Sequence[str] = "cheap", threshold: float | None = None
) -> Callable[[object], dict[str, Score]]:
    """A function that scores a GAN by its showers, for `PhysicsScore(score, by="separation.mean")`.

    Every call generates showers with the labels of the reference from the same latent vectors, so that two epochs
    differ by their weights alone. The reference and the floors are calculated once.

    Args:
        reference: real showers that the GAN is not trained on, at least 200.
        seed: seed of the latent vectors and of the choice of events.
        metrics: as for `scorecard`; by default the cheap ones, which take seconds for a few thousand showers.
        threshold: cells below it count as zero [`space.unit`]; the default is that of `scorecard`.

    Returns:
        A function from a GAN to scores by the names of the metrics, e.g. `separation.mean`, `fpd`, `auc.trees`.

    Raises:
        ValueError: as `scorecard`.
    """
    maker = _maker(reference)
    _check(reference, {})
    threshold = maker.default_threshold(reference.space) if threshold is None else threshold
    settings = Settings(threshold, CLASSIFIERS[0], BINNINGS[0], seed, None, 10, None, False)
    basis = _basis(maker, reference, None, metrics, settings, len(reference))
    floors = basis.floors()

    def score(gan) -> dict[str, Score]:
        """The scores of `shower_score` for one GAN."""
        made = gan.generate(reference.labels or len(reference), seed=seed)
        side = maker.prepare(made, basis.real, settings)
        return {name: entry.score for name, entry in basis.results(side, True, floors).items()}

    return score


@dataclass(frozen=True, eq=False)
class _Basis:
    """Everything that does not depend on a generated sample: the reference, the events to compare, and the metrics.

    Args:
        real: the prepared reference.
        pairs: for each draw the positions of the compared reference events, and of those of the floor.
        families: the families of the requested metrics.
        names: names of these metrics.
        settings: settings of the measurement.
    """

    real: object
    pairs: list[tuple[np.ndarray, np.ndarray]]
    families: list[Family]
    names: tuple[str, ...]
    settings: Settings

    @property
    def events(self) -> int:
        """Number of events on each side of a comparison."""
        return len(self.pairs[0][0])

    def floors(self, shown=None) -> dict[str, list[Measured]]:
        """Every metric between reference events, in all draws."""
        return self._measure(lambda first, second: self.real.select(second), shown, "floor")

    def results(self, side, paired: bool, floors: dict[str, list[Measured]], shown=None, name="") -> dict[str, Entry]:
        """Every metric of a generated sample.

        Args:
            side: the prepared sample.
            paired: whether its labels are those of the reference, event by event.
            floors: result of `floors`.
            shown: progress bar.
            name: name of the sample.
        """
        random = np.random.default_rng(self.settings.seed)
        choices = {id(first): first if paired else _choose(random, len(side), len(first)) for first, _ in self.pairs}
        values = self._measure(lambda first, second: side.select(choices[id(first)]), shown, name)
        return {metric: _entry(metric, values[metric], floors[metric]) for metric in METRICS if metric in values}

    def _measure(self, other: Callable, shown, name: str) -> dict[str, list[Measured]]:
        found = {}
        for family in self.families:
            wanted = tuple(metric for metric in family.metrics if metric in self.names)
            if shown is not None:
                shown.set_postfix_str(f"{name}: {wanted[0]}", refresh=True)
            for first, second in self.pairs[: family.draws]:
                measured = family.measure(self.real.select(first), other(first, second), self.settings, wanted)
                for metric in wanted:
                    if metric in measured:
                        found.setdefault(metric, []).append(measured[metric])
            if shown is not None:
                shown.update()
        return found


def _basis(maker: ModuleType, reference, train, metrics, settings: Settings, most: int) -> _Basis:
    events = min(len(reference) // 2, most)
    if events < FEWEST:
        raise ValueError(
            f"A scorecard compares at least {FEWEST} events: it expects {2 * FEWEST} reference events (they are split "
            f"for the floors) and {FEWEST} generated ones, received {len(reference)} and {most}."
        )
    real = maker.prepare(reference, None, settings)
    pairs = []
    for repetition in range(settings.repetitions):
        order = np.random.default_rng((settings.seed, repetition)).permutation(len(reference))
        pairs.append((np.sort(order[:events]), np.sort(order[events : 2 * events])))
    families = maker.families(real, settings, None if train is None else maker.prepare(train, real, settings))
    names = chosen(metrics, [name for name in METRICS if any(name in family.metrics for family in families)])
    families = [family for family in families if set(family.metrics) & set(names)]
    return _Basis(real, pairs, families, names, settings)


def _choose(random: np.random.Generator, available: int, wanted: int) -> np.ndarray:
    return np.sort(random.permutation(available)[:wanted])


def _entry(metric: str, values: list[Measured], floors: list[Measured]) -> Entry:
    value, floor = combined(values), combined(floors)
    return Entry(metric, value.value, value.error, floor.value, floor.error, value.note)


def _named(reference, generated, reference_name) -> tuple[dict[str, Sample], str]:
    """The generated samples by name, and the name of the reference."""
    if isinstance(generated, Mapping):
        found = dict(generated)
        if not found:
            raise ValueError("scorecard expects at least one generated sample.")
        name = reference_name or SIMULATIONS.get(reference.origin.get("simulation"), "reference")
    else:
        sides = side_names(reference, generated)
        name, found = reference_name or sides[0], {sides[1]: generated}
    taken = {"compared", name, *METRICS} & set(found)
    if taken or name == "compared":
        raise ValueError(
            f"Names of generators must differ from that of the reference, from 'compared' and from those of metrics; "
            f"received the reference {name!r} and {', '.join(map(repr, found))}."
        )
    return found, name


def _maker(reference: Sample) -> ModuleType:
    """The module that scores this kind of sample."""
    return showers if reference.space.has_depth else images


def _check(reference: Sample, others: Mapping[str, Sample | None]) -> None:
    labelled = "energy" in reference.labels
    for name, sample in {"reference": reference, **others}.items():
        if sample is None:
            continue
        if sample.space != reference.space:
            raise ValueError(
                f"scorecard expects all samples in one space: the reference is in {reference.space!r}, {name!r} in "
                f"{sample.space!r}."
            )
        if ("energy" in sample.labels) != labelled:
            raise ValueError(
                f"scorecard expects the label 'energy' in all samples or in none: the reference has "
                f"{sorted(reference.labels)}, {name!r} has {sorted(sample.labels)}."
            )
        if len(sample) and sample.values.min() < 0:
            event = int(np.argmax(sample.values.reshape(len(sample), -1).min(axis=1) < 0))
            raise ValueError(
                f"scorecard expects cells of zero or more, event {event} of {name!r} has {sample.values.min():.4g}: "
                "set negative cells to zero in every sample."
            )
        if len(sample) and not sample.values.any():
            raise ValueError(f"All {len(sample)} events of {name!r} are empty: there is nothing to score.")


def _same_labels(reference: Sample, sample: Sample) -> bool:
    return len(sample) == len(reference) and all(
        name in sample.labels and np.array_equal(sample.labels[name], column)
        for name, column in reference.labels.items()
    )


def _range(sample: Sample) -> tuple[float, float] | None:
    energy = sample.labels.get("energy")
    return None if energy is None else (float(energy.min()), float(energy.max()))


def _notes(reference: Sample, generated: Mapping[str, Sample], reference_name: str, train: Sample | None):
    """Warnings about the samples."""
    if train is not None and (shared := _events_in_both(reference, train)):
        yield (
            f"{shared} of {len(reference)} events of {reference_name} are also in the training sample: the check for "
            "memorised events finds those, too. Compare with events that the generator was not trained on."
        )
    if any(event_weights(sample.labels) is not None for sample in (reference, *generated.values())):
        yield "The events have different weights, which only ks_comb uses: all others count them equally."
    for name, sample in generated.items():
        empty = int(np.sum(~sample.values.reshape(len(sample), -1).any(axis=1)))
        if empty:
            yield f"{empty} of {len(sample)} events of {name} are empty."
        if "energy" not in reference.labels or _same_labels(reference, sample):
            continue
        mine, theirs = sample.labels["energy"], reference.labels["energy"]
        outside = int(np.sum((mine < theirs.min()) | (mine > theirs.max())))
        if outside > OUTSIDE * len(sample) or kolmogorov_smirnov(theirs, mine)[1] < 1e-3:
            note = (
                f"The incident energies of {name} differ from those of {reference_name} ({outside} of {len(sample)} "
                f"events are outside its range): the metrics measure this difference, too. Generate with "
                "reference.labels."
            )
            warnings.warn(note, stacklevel=4)
            yield note


def _events_in_both(first: Sample, second: Sample) -> int:
    """Number of events of the first sample that are also in the second."""
    mine, theirs = (
        [hashlib.blake2b(np.ascontiguousarray(event), digest_size=16).digest() for event in one.values if event.any()]
        for one in (first, second)
    )
    known = set(theirs)
    return sum(digest in known for digest in mine)


def _fingerprint(reference: Sample, events: int, settings: Settings) -> str:
    """Hash of everything that two scorecards must share to be shown together."""
    content = {name: value for name, value in asdict(settings).items() if name not in ("progress", "time_limit")}
    digest = hashlib.sha256(json.dumps([events, content]).encode())
    digest.update(np.ascontiguousarray(reference.values).view(np.uint8))
    for name in sorted(reference.labels):
        digest.update(name.encode() + reference.labels[name].tobytes())
    return digest.hexdigest()[:16]
