"""Compare generated whole events with real ones by their jets, and score a generator by them while it trains."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calolab.jets import Jets, cluster, signal_regions
from calolab.names import check_name
from calolab.particles import Particles
from calolab.samples import Sample, side_names
from calolab.validation.jet_table import html_table, text_table
from calolab.validation.jet_variables import ANGLES, CAP, COMBINED, FEWEST, Halves, distances, edges, observe, variables
from calolab.validation.metrics import Distance, kolmogorov_smirnov
from calolab.validation.observables import Observable, floored


@dataclass(frozen=True, eq=False)
class JetReport:
    """Jets of a reference and of generated events side by side; `compare_jets` makes it, `plot()` draws it.

    Each variable is an `Observable` with the distances `"ks"` (the KS distance), `"separation"` (the chi-square
    distance of the histograms, 0 to 1) and `"minus_log_p"` (of the KS test, capped at 700), each beside its floor.
    Minus log p grows with the number of events, and it takes entries for continuous and independent: a multiplicity is
    not continuous and jets of one event are not independent. So judge a multiplicity by its separation, and everything
    by its floor, which knows of both. KS distances in phi depend on where the circle is cut, separations do not.

    Args:
        clustering: how the jets were found, in words.
        events: numbers of (reference, generated) events.
        jets: numbers of (reference, generated) jets.
        variables: by name: `multiplicity` (with its zeros), `summed_mass`, `jet_pt`, `jet_eta`, `jet_phi`,
            `leading_pt`, `leading_mass_1` to `leading_mass_4`.
        combined: `ks_comb` with its floor: the minus log p of jet pt, multiplicity and summed mass together.
        regions: fractions of (reference, generated) events in each signal region.
        halves: between which real events the floors were measured.
        notes: what a reader must know before believing the numbers.
        names: what the two samples are called in tables and figures.
    """

    clustering: str
    events: tuple[int, int]
    jets: tuple[int, int]
    variables: Mapping[str, Observable]
    combined: Distance
    regions: Mapping[str, tuple[float, float]]
    halves: Halves
    notes: tuple[str, ...] = ()
    names: tuple[str, str] = ("reference", "generated")

    def __getitem__(self, name: str) -> Observable:
        check_name("variable", name, self.variables)
        return self.variables[name]

    @property
    def ks_comb(self) -> float:
        """The published number to select by, 0 to 2100: minus log p of jet pt, multiplicity and summed mass, added."""
        return self.combined.value

    @property
    def floor(self) -> tuple[float, float]:
        """Mean and standard deviation of `ks_comb` between real and real events."""
        return self.combined.floor, self.combined.floor_spread

    def plot(self):
        """The main figure: the variables of both samples with their ratios.

        Returns:
            A matplotlib figure, which a notebook shows.
        """
        from calolab.plots import jets  # matplotlib loads when something is drawn

        return jets.comparison(self)

    def to_dict(self) -> dict:
        """All results as plain numbers, lists and strings that JSON can hold (not-a-number becomes None)."""
        return _plain(
            {
                "clustering": self.clustering,
                "events": list(self.events),
                "jets": list(self.jets),
                "ks_comb": self.combined.to_dict(),
                "variables": {name: one.to_dict() for name, one in self.variables.items()},
                "regions": {name: list(fractions) for name, fractions in self.regions.items()},
                "floor": {**vars(self.halves), "events": self.halves.events, "scale": self.halves.scale},
                "notes": list(self.notes),
                "names": list(self.names),
            }
        )

    def to_json(self) -> str:
        """`to_dict` as a JSON text."""
        return json.dumps(self.to_dict(), indent=1)

    def __repr__(self):
        return text_table(self)

    def _repr_html_(self):
        return html_table(self)


def compare_jets(
    reference: Sample | Particles | Jets,
    generated: Sample | Particles | Jets,
    *,
    seed: int = 0,
    repetitions: int = 100,
    names: Sequence[str] | None = None,
    **clustering,
) -> JetReport:
    """Compare the jets of generated events with those of real ones, as the RPV GANs are judged.

    The floor beside each distance is the same distance between two disjoint sets of real events with as many events
    (see `Halves`), repeated: what a perfect generator would score. Events without jets stay, with multiplicity and
    summed mass zero; the published selection lost them.

    Args:
        reference: real events: images in eta and phi, particles or towers, or jets already found.
        generated: events to judge, of any kind, best with the same labels.
        seed: of the draws for the floors.
        repetitions: how many draws.
        names: what the two samples are called in tables and figures, e.g. `("Geant4", "GFlash")`; by default the
            simulations that made them, if they are two different ones, or else `("reference", "generated")`.
        **clustering: of `jets.cluster`, e.g. `radius`, `minimum_pt` [GeV]; not for jets already found.

    Returns:
        The comparison; same arguments, same numbers.

    Raises:
        TypeError: for a source that `jets.cluster` does not take.
        ValueError: for fewer than ten reference events with a jet, no generated event, samples in different spaces,
            jets of different radius, or clustering options for jets already found.
    """
    if isinstance(reference, Sample) and isinstance(generated, Sample) and reference.space != generated.space:
        raise ValueError(
            f"compare_jets expects both samples in one space, received {reference.space!r} and {generated.space!r}."
        )
    found = tuple(_jets(source, clustering) for source in (reference, generated))
    _check(found, repetitions)
    halves = Halves(len(found[0]), len(found[0]), len(found[1]), repetitions, seed)
    observed, drawn = observe(variables(found[0]), variables(found[1]), halves)
    combined = floored(
        sum(observed[name].distances["minus_log_p"].value for name in COMBINED), sum(drawn[name] for name in COMBINED)
    )
    inside = [signal_regions(jets) for jets in found]
    return JetReport(
        clustering=_clustering(found[0]),
        events=(len(found[0]), len(found[1])),
        jets=tuple(int(jets.multiplicity.sum()) for jets in found),
        variables=observed,
        combined=combined,
        regions={name: tuple(float(one[name].mean()) for one in inside) for name in inside[0]},
        halves=halves,
        notes=tuple(_notes(found, observed, halves)),
        names=side_names(reference, generated, names),
    )


def jet_score(
    reference: Sample | Particles,
    *,
    seed: int,
    events: int | None = None,
    repetitions: int = 100,
    **clustering,
) -> Callable[[object], dict[str, float]]:
    """A function that scores a GAN by the jets in the events it makes, for `PhysicsScore(score, by="ks_comb")`.

    The reference is clustered once. Every call makes the same number of events with the same labels from the same
    latent vectors, so that two epochs differ by their weights alone, and compares N generated with N reference events.

    Args:
        reference: real events that the GAN is not trained on.
        seed: of the latent vectors, of the choice of events and of the floor.
        events: N; by default all events of the reference. With no more than half of them the floor is drawn at the same
            N, with more it is scaled (see `Halves`).
        repetitions: draws for the floor.
        **clustering: of `jets.cluster`, e.g. `radius`, `minimum_pt` [GeV].

    Returns:
        A function from a GAN to numbers, all lower the better: `ks_jet_pt`, `ks_multiplicity` and `ks_summed_mass`
        (minus log p, 700 at most) and their sum `ks_comb`; `distance_` of the same three (KS distances, which do not
        grow with N), `chi2_multiplicity` (separation of the histograms, 0 to 1); and the constants `floor_ks_comb` and
        `floor_spread_ks_comb`, what real events score against real ones.

    Raises:
        TypeError, ValueError: as `compare_jets`, or if the reference has fewer than `events` events.
    """
    real = cluster(reference, **clustering)
    events = len(real) if events is None else events
    if not 1 <= events <= len(real):
        raise ValueError(
            f"jet_score(events=) expects 1 to {len(real)}, the events of the reference; received {events}."
        )
    halves = Halves(len(real), events, events, repetitions, seed)
    _check((real, real), repetitions)
    drawn = observe(variables(real), variables(real), halves)[1]
    floor = sum(drawn[name] for name in COMBINED)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(real))[:events])
    real = real.select(chosen)
    values = {name: variables(real)[name].values for name in (*COMBINED, *ANGLES)}
    constants = {"floor_ks_comb": float(floor.mean()), "floor_spread_ks_comb": float(floor.std())}

    def score(gan) -> dict[str, float]:
        """The numbers of `jet_score` for one GAN."""
        made = variables(cluster(gan.generate(real.labels or events, seed=seed), **clustering))
        measured = {}
        for name, real_values in values.items():
            made_values = made[name].values
            measured[name] = distances(real_values, made_values, edges(name, real_values, made_values))
        return {
            "ks_comb": sum(measured[name]["minus_log_p"] for name in COMBINED),
            **{f"ks_{name}": one["minus_log_p"] for name, one in measured.items()},
            **{f"distance_{name}": one["ks"] for name, one in measured.items()},
            "chi2_multiplicity": measured["multiplicity"]["separation"],
            **constants,
        }

    return score


def _jets(source, clustering):
    if not isinstance(source, Jets):
        return cluster(source, **clustering)
    if clustering:
        raise ValueError(f"These jets were found already; leave out {', '.join(clustering)}, or give their events.")
    return source


def _check(found, repetitions):
    reference, generated = found
    with_jets = int(np.sum(reference.multiplicity > 0))
    if with_jets < FEWEST:
        raise ValueError(
            f"A comparison expects at least {FEWEST} reference events with jets, {with_jets} of {len(reference)} have "
            "some: give more events, or lower minimum_pt."
        )
    if not len(generated):
        raise ValueError("A comparison expects at least one generated event, received none.")
    if _clustering(reference) != _clustering(generated):
        raise ValueError(
            f"A comparison expects jets found in one way, received {_clustering(reference)} and "
            f"{_clustering(generated)}."
        )
    if repetitions < 1:
        raise ValueError(f"A comparison expects at least one repetition for the floors, received {repetitions}.")


def _clustering(jets):
    return str(jets.origin.get("jets", f"R = {jets.radius:g}"))


def _notes(found, observed, halves):
    for jets, word in zip(found, ("reference", "generated")):
        without = int(np.sum(jets.multiplicity == 0))
        if without == len(jets):
            yield (
                f"None of the {len(jets)} {word} events has a jet: what needs one has minus log p = {CAP:g} and "
                "distances of 1."
            )
        elif without:
            yield f"{without} of {len(jets)} {word} events have no jet: they count with multiplicity 0 and mass 0."
    capped = [one.label for one in observed.values() if one.distances["minus_log_p"].value >= CAP]
    if capped:
        yield f"Minus log p is capped at {CAP:g} for {', '.join(capped)}: there it no longer tells better from worse."
    if halves.scale < 1:
        yield (
            f"The reference is too small to be drawn from twice: the floors are those of two sets of {halves.events} "
            f"events, KS distances scaled by {halves.scale:.3f} and separations by its square."
        )
    reference, generated = found
    for name in sorted(set(reference.labels) & set(generated.labels)):
        first, second = reference.labels[name], generated.labels[name]
        if len(first) > 1 and kolmogorov_smirnov(first, second)[1] < 1e-3:
            yield (
                f"The label {name!r} differs: reference mean {first.mean():.4g}, generated {second.mean():.4g}. "
                "Whatever depends on it differs for that reason already."
            )


def _plain(content):
    """JSON knows no not-a-number and no infinity."""
    if isinstance(content, dict):
        return {name: _plain(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_plain(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content
