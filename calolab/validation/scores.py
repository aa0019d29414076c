"""Scores of a generator by its jets: `ks_comb`, the sum of minus log p of three variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from calolab.jets import Jets, cluster
from calolab.labels import event_weights
from calolab.particles import Particles
from calolab.samples import Sample
from calolab.scores import Score
from calolab.validation.floors import DisjointHalves, weighted, with_floor
from calolab.validation.observables.jets import ANGLES, COMBINED, FEWEST, distances, observe, variables


def ks_comb(minus_log_p: Mapping[str, float | np.ndarray]) -> float | np.ndarray:
    """The published score, 0 to 2100: minus log p of the KS tests of jet pt, multiplicity and summed mass, added up.

    Args:
        minus_log_p: results of `distances.minus_log_p` by variable: numbers, or arrays of one shape.
    """
    return sum(minus_log_p[name] for name in COMBINED)


def jet_score(
    reference: Sample | Particles,
    *,
    seed: int,
    events: int | None = None,
    repetitions: int = 100,
    **clustering,
) -> Callable[[object], dict[str, Score]]:
    """A function that scores a GAN by the jets in its events, for `PhysicsScore(score, by="ks_comb")`.

    The reference is clustered once. Every call generates the same number of events with the same labels from the same
    latent vectors, so that two epochs differ by their weights alone, and compares N generated with N reference events.
    Events with the label `weight` count by it; generated events have the labels, and so the weights, of the reference.

    Args:
        reference: real events that the GAN is not trained on.
        seed: seed of the latent vectors, of the choice of events and of the floor.
        events: N; by default all events of the reference. With at most half of them the floor is drawn at the same N,
            with more it is scaled (see `DisjointHalves`).
        repetitions: number of draws for the floor.
        **clustering: arguments of `jets.cluster`, e.g. `radius`, `minimum_pt` [GeV].

    Returns:
        A function from a GAN to scores by name, lower is better for all: `ks_comb`, with the floor between real events;
        its parts `ks_jet_pt`, `ks_multiplicity` and `ks_summed_mass`, and `ks_jet_eta` and `ks_jet_phi` (minus log p,
        700 at most); `distance_` of the same variables (KS distances, which do not grow with N); and
        `chi2_multiplicity` (separation of the histograms, 0 to 1).

    Raises:
        TypeError, ValueError: as `compare_jets`, or if the reference has fewer than `events` events.
    """
    real = cluster(reference, **clustering)
    events = len(real) if events is None else events
    if not 1 <= events <= len(real):
        raise ValueError(
            f"jet_score(events=) expects 1 to {len(real)}, the events of the reference; received {events}."
        )
    floors = DisjointHalves(len(real), events, events, repetitions, seed)
    check_jets(real, real, repetitions)
    every = variables(real)
    combined = {name: every[name] for name in COMBINED}
    drawn = observe(combined, combined, weighted(floors.draws(), event_weights(real.labels)))[1]
    if events < len(real):
        real = real.select(np.sort(np.random.default_rng(seed).permutation(len(real))[:events]))
        every = variables(real)
    compared = {name: every[name] for name in (*COMBINED, *ANGLES)}

    def score(gan) -> dict[str, Score]:
        """The scores of `jet_score` for one GAN."""
        made = variables(cluster(gan.generate(real.labels or events, seed=seed), **clustering))
        measured = {
            name: distances(name, one.values, made[name].values, (one.weights, made[name].weights))
            for name, one in compared.items()
        }
        minus_log_p = {name: one["minus_log_p"] for name, one in measured.items()}
        combined = with_floor(ks_comb(minus_log_p), ks_comb(drawn)).score("ks_comb")
        plain = {
            **{f"ks_{name}": value for name, value in minus_log_p.items()},
            **{f"distance_{name}": one["ks"] for name, one in measured.items()},
            "chi2_multiplicity": measured["multiplicity"]["separation"],
        }
        return {"ks_comb": combined, **{name: Score(name, value) for name, value in plain.items()}}

    return score


def check_jets(reference: Jets, generated: Jets, repetitions: int) -> None:
    """Raise ValueError unless two samples of jets can be compared.

    Args:
        reference, generated: jets of the two samples.
        repetitions: number of draws for the floors.
    """
    with_jets = int(np.sum(reference.multiplicity > 0))
    if with_jets < FEWEST:
        raise ValueError(
            f"A comparison expects at least {FEWEST} reference events with jets, {with_jets} of {len(reference)} have "
            "some: give more events, or lower minimum_pt."
        )
    if not len(generated):
        raise ValueError("A comparison expects at least one generated event, received none.")
    if clustering_of(reference) != clustering_of(generated):
        raise ValueError(
            f"A comparison expects jets found in one way, received {clustering_of(reference)} and "
            f"{clustering_of(generated)}."
        )
    if repetitions < 1:
        raise ValueError(f"A comparison expects at least one repetition for the floors, received {repetitions}.")


def clustering_of(jets: Jets) -> str:
    """Description of how jets were found."""
    return str(jets.origin.get("jets", f"R = {jets.radius:g}"))
