"""Compare a generated sample with a reference: showers, jets, jet images or maps, with statistical floors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from calolab.jets import Jets, cluster, signal_regions
from calolab.labels import effective_number, event_weights, range_text
from calolab.particles import Particles
from calolab.samples import Sample, side_names
from calolab.validation.distances import CAP, kolmogorov_smirnov
from calolab.validation.floors import DisjointHalves, Resampled, equivalent_events, weighted, with_floor
from calolab.validation.observables import energy, jet_images, jets, maps, showers
from calolab.validation.observables.texture import check_image
from calolab.validation.report import ImageDetails, JetDetails, Report, ShowerDetails
from calolab.validation.scores import check_jets, clustering_of, ks_comb


def compare(
    reference: Sample,
    generated: Sample,
    threshold: float = 3e-4,
    seed: int = 0,
    repetitions: int = 100,
    *,
    names: Sequence[str] | None = None,
) -> Report:
    """Compare a generated sample with a reference in all observables that their space allows.

    The floor of each distance is resampled: it is the same distance between two samples that are both drawn (with
    replacement) from the reference. One has the number of events and the energies of the reference, the other those of
    the generated sample.

    Args:
        reference: e.g. Geant4 showers that the generator was not trained on.
        generated: showers in the same space, preferably with the same labels: `gan.generate(reference.labels, seed=)`.
        threshold: cell energy above which a cell counts as hit [`space.unit`].
        seed: seed of the draws for the floors.
        repetitions: number of draws.
        names: names of the two samples in tables and figures, e.g. `("Geant4", "GFlash")`; by default the simulations
            that made them, if these differ, otherwise `("reference", "generated")`.

    Returns:
        The report; the same arguments give the same numbers.

    Raises:
        ValueError: if the spaces differ, a sample has fewer than two events, only one has energies, or all reference
            events are empty.

    Warns:
        UserWarning: if the incident energies of the two samples differ.
    """
    _check_pair("compare", "events", reference, generated, repetitions)
    if ("energy" in reference.labels) != ("energy" in generated.labels):
        raise ValueError(
            f"compare expects the label 'energy' in both samples or in none, received {sorted(reference.labels)} and "
            f"{sorted(generated.labels)}; gan.generate(reference.labels, seed=) keeps them."
        )
    empty = tuple(int(np.sum(~(energy.visible_energy(sample) > 0))) for sample in (reference, generated))
    if empty[0] == len(reference):
        raise ValueError(f"All {len(reference)} reference showers are empty: there is nothing to compare with.")
    notes = [
        f"{count} of {len(sample)} {word} showers are empty: left out of moments, maximum and radius."
        for count, sample, word in zip(empty, (reference, generated), ("reference", "generated"))
        if count
    ]
    notes += _unused_weights(reference, generated)
    energies = responses = None
    if "energy" in reference.labels:
        both = [sample.labels["energy"] for sample in (reference, generated)]
        energies = tuple((float(one.min()), float(one.max())) for one in both)
        notes += _differing_energies(*both)
        edges = energy.energy_bins(both[0])
        responses = tuple(energy.response(sample, edges) for sample in (reference, generated))

    floors = Resampled(repetitions, seed)
    # Without energies every draw is from the whole reference.
    draws_among = floors.draws_among(*(s.labels.get("energy", np.zeros(len(s))) for s in (reference, generated)))
    found, drawn = {}, {}
    for observable in showers.observe(reference, generated, threshold):
        found[observable.name], drawn[observable.name] = showers.measure(observable, draws_among)
    projections = [f"profile_{axis}" for axis in showers.projected_axes(reference.space)]
    error = sum(found[name].distances["mse"].value for name in projections)
    totals = {"projection_error": with_floor(error, sum(drawn[name]["mse"] for name in projections), power=2)}
    correlations = None
    if len(reference.space.layers) > 1:
        correlations, totals["correlations"] = showers.correlations(reference, generated, draws_among())
    return Report(
        kind="showers",
        space=reference.space,
        events=(len(reference), len(generated)),
        floors=floors,
        observables=found,
        totals=totals,
        details=ShowerDetails(threshold, empty, energies, correlations, responses),
        notes=tuple(notes),
        names=side_names(reference, generated, names),
    )


def compare_jets(
    reference: Sample | Particles | Jets,
    generated: Sample | Particles | Jets,
    *,
    seed: int = 0,
    repetitions: int = 100,
    names: Sequence[str] | None = None,
    **clustering,
) -> Report:
    """Compare the jets of generated events with those of real ones, with the metric of the RPV GANs.

    Each variable has the distances `"ks"` (the KS distance), `"separation"` (the chi-square distance of the histograms,
    0 to 1) and `"minus_log_p"` (of the KS test, capped at 700). Minus log p grows with the number of events, and it
    assumes continuous and independent entries, which a multiplicity and the jets of one event are not: judge a
    multiplicity by its separation, and every distance relative to its floor. KS distances in phi depend on the origin
    of phi; separations do not.

    The floor of each distance is from disjoint halves: it is the same distance between two disjoint sets of real events
    of the same sizes (see `DisjointHalves`). Events without jets are kept, with multiplicity and summed mass zero; the
    published selection lost them.

    Events with different labels `weight` count by their weights in all distances, histograms, floors and signal
    regions; minus log p is then that of the effective number of entries, (sum w)² / sum w². Bins in which negative
    weights predominate count as empty in separations.

    Args:
        reference: real events (images in eta and phi, particles or towers), or jets that were already found.
        generated: events to compare, of any of these kinds, preferably with the same labels.
        seed: seed of the draws for the floors.
        repetitions: number of draws.
        names: names of the two samples in tables and figures, e.g. `("Pythia", "GAN")`; by default the simulations that
            made them, if these differ, otherwise `("reference", "generated")`.
        **clustering: arguments of `jets.cluster`, e.g. `radius`, `minimum_pt` [GeV]; not for jets already found.

    Returns:
        The report, with the variables `multiplicity` (with its zeros), `summed_mass`, `jet_pt`, `jet_eta`, `jet_phi`,
        `leading_pt`, `leading_mass_1` to `leading_mass_4`, and the total `ks_comb`; same arguments, same numbers.

    Raises:
        TypeError: for a source that `jets.cluster` does not accept.
        ValueError: for fewer than ten reference events with a jet, no generated event, samples in different spaces,
            jets of different radius, clustering options for jets already found, or weights without a positive sum.
    """
    spaces = [sample.space if isinstance(sample, Sample) else None for sample in (reference, generated)]
    if None not in spaces and spaces[0] != spaces[1]:
        raise ValueError(f"compare_jets expects both samples in one space, received {spaces[0]!r} and {spaces[1]!r}.")
    found = tuple(_jets(source, clustering) for source in (reference, generated))
    check_jets(*found, repetitions)
    weights = tuple(event_weights(one.labels) for one in found)
    equivalent = equivalent_events(len(found[0]), len(found[1]), weights)
    floors = DisjointHalves(len(found[0]), len(found[0]), equivalent, repetitions, seed)
    observed, drawn = jets.observe(*map(jets.variables, found), weighted(floors.draws(), weights[0]))
    values = {name: one.distances["minus_log_p"].value for name, one in observed.items()}
    inside = [signal_regions(one) for one in found]
    return Report(
        kind="jets",
        space=None,
        events=(len(found[0]), len(found[1])),
        floors=floors,
        observables=observed,
        totals={"ks_comb": with_floor(ks_comb(values), ks_comb(drawn))},
        details=JetDetails(
            clustering=clustering_of(found[0]),
            jets=tuple(int(one.multiplicity.sum()) for one in found),
            regions={
                name: tuple(float(np.average(one[name], weights=w)) for one, w in zip(inside, weights))
                for name in inside[0]
            },
        ),
        notes=tuple(_jet_notes(found, observed, floors)),
        names=side_names(reference, generated, names),
    )


def compare_jet_images(
    reference: Sample,
    generated: Sample,
    *,
    seed: int = 0,
    repetitions: int = 100,
    names: Sequence[str] | None = None,
) -> Report:
    """Compare generated jet images with real ones in the variables of the LAGAN paper (arXiv:1701.05927), by class.

    Mass, transverse momentum and tau_21 are computed from the pixels of both; an empty image has no tau_21, and a mass
    and a momentum of zero. The floor of each distance is resampled: it is the same distance between two samples that
    are both drawn, image by image and with replacement, from the reference.

    Args:
        reference: real images, e.g. those of Pythia that the generator was not trained on.
        generated: images in the same space.
        seed: seed of the draws for the floors.
        repetitions: number of draws.
        names: names of the two samples in tables and figures, e.g. `("Pythia", "LAGAN")`; by default the simulations
            that made them, if these differ, otherwise `("reference", "generated")`.

    Returns:
        The report, whose parts are the classes by the label `signal` (1 for W bosons, 0 for QCD), or `"all"` images
        where a sample has no such label; same arguments, same numbers.

    Raises:
        ValueError: if the spaces differ or are not jet images, classes differ, a class has fewer than two images in a
            sample, or the reference is empty.
    """
    _check_pair("compare_jet_images", "images", reference, generated, repetitions)
    names, floors = side_names(reference, generated, names), Resampled(repetitions, seed)
    notes, parts = _unused_weights(reference, generated), {}
    for name, *pair in jet_images.pairs_of_classes(reference, generated):
        if min(map(len, pair)) < 2 or not np.any(pair[0].values > 0):
            raise ValueError(
                f"compare_jet_images expects two or more images of class {name!r} in each sample, and not all of the "
                f"reference empty; received {len(pair[0])} and {len(pair[1])}."
            )
        empty = int(np.sum(~np.any(pair[1].values > 0, axis=(1, 2))))
        if empty:
            notes.append(f"{empty} of {len(pair[1])} generated images of class {name!r} are empty.")
        draws_among = floors.draws_among(*(np.zeros(len(one)) for one in pair))
        observed = jet_images.observe(*pair)
        means = [np.mean(one.values, axis=0, dtype=np.float64) for one in pair]
        error = np.sqrt(sum(np.var(one.values, axis=0, dtype=np.float64) / len(one) for one in pair))
        parts[name] = Report(
            kind="jet images",
            space=reference.space,
            events=tuple(map(len, pair)),
            floors=floors,
            observables={one: showers.measure(observed[one], draws_among)[0] for one in observed},
            details=ImageDetails((*means, error)),
            names=names,
        )
    events = len(reference), len(generated)
    return Report("jet images", reference.space, events, floors, parts=parts, notes=tuple(notes), names=names)


def compare_maps(
    reference: Sample,
    generated: Sample,
    *,
    seed: int = 0,
    repetitions: int = 100,
    thresholds: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> Report:
    """Compare two samples of maps in their pixels, angular power spectra and Minkowski functionals.

    The distances: for the pixels the Kolmogorov-Smirnov distance (to 0.001: between a thousand quantiles of the
    reference); for the power spectrum the root mean square, over the bins, of the logarithm of the ratio of the means;
    for each functional the root mean square difference of the mean curves over that of the reference's. The floor is
    resampled: the same distance between two samples that are both drawn, map by map and with replacement, from the
    reference (of equal redshift where both are labelled), with as many maps as the two samples have. Maps that overlap
    or are mirror images of each other are not independent, so that their floor is too low.

    Args:
        reference: maps in a plain image in degrees, e.g. ray-traced ones.
        generated: maps in the same space.
        seed: seed of the draws for the floors.
        repetitions: number of draws.
        thresholds: thresholds of the functionals [`space.unit`]; by default 41 within -2.5 to 5 standard deviations
            about the reference's mean, as far as its pixels extend.
        names: names of the two samples in tables and figures, e.g. `("ray-traced", "log-normal")`; by default the
            simulations that made them, if these differ, otherwise `("reference", "generated")`.

    Returns:
        The report, with the curves `pixels`, `power_spectrum`, `v0`, `v1` and `v2`; same arguments, same numbers.

    Raises:
        ValueError: if the spaces differ or are not images in degrees, a sample has fewer than two maps, or the
            reference is constant.
    """
    _check_pair("compare_maps", "maps", reference, generated, repetitions)
    check_image(reference.space)
    usual = maps.default_thresholds(reference)
    labelled = ["redshift" in sample.labels for sample in (reference, generated)]
    redshifts = [
        sample.labels["redshift"] if all(labelled) else np.zeros(len(sample)) for sample in (reference, generated)
    ]
    floors = Resampled(repetitions, seed, exact=True)
    draws = floors.draws(*redshifts)
    return Report(
        kind="maps",
        space=reference.space,
        events=(len(reference), len(generated)),
        floors=floors,
        observables=maps.observe(reference, generated, usual if thresholds is None else thresholds, draws),
        notes=(*_unused_weights(reference, generated), *_map_notes(reference, generated, redshifts, labelled)),
        names=side_names(reference, generated, names),
    )


def _check_pair(function, events, reference, generated, repetitions):
    if reference.space != generated.space:
        raise ValueError(
            f"{function} expects both samples in one space, received {reference.space!r} and {generated.space!r}."
        )
    if min(len(reference), len(generated)) < 2:
        raise ValueError(
            f"{function} expects two or more {events} in each sample, received {len(reference)} and {len(generated)}."
        )
    if repetitions < 1:
        raise ValueError(f"{function} expects at least one repetition for the floors, received {repetitions}.")


def _differing_energies(reference, generated):
    """A note, also given as a warning, if two sets of incident energies are unlikely to have one distribution."""
    p = kolmogorov_smirnov(reference, generated)[1]
    if p > 1e-3:
        return []
    note = (
        f"Incident energies differ: reference {range_text('energy', reference)}, mean {reference.mean():.4g}; "
        f"generated {range_text('energy', generated)}, mean {generated.mean():.4g}. Every observable that depends on "
        "the energy differs for that reason alone."
    )
    warnings.warn(note, UserWarning, stacklevel=3)
    return [note]


def _unused_weights(reference, generated):
    """A note for samples whose weights this comparison does not use."""
    if all(event_weights(sample.labels) is None for sample in (reference, generated)):
        return []
    return ["The label 'weight' is not used: all events count equally here, unlike in compare_jets."]


def _jets(source, clustering):
    if not isinstance(source, Jets):
        return cluster(source, **clustering)
    if clustering:
        raise ValueError(f"These jets were found already; leave out {', '.join(clustering)}, or give their events.")
    return source


def _jet_notes(found, observed, floors):
    for one, word in zip(found, ("reference", "generated")):
        if (weights := event_weights(one.labels)) is not None:
            equal = effective_number(weights)
            yield f"The {len(one)} {word} events are weighted; they are as precise as {equal:.0f} of equal weight."
        without = int(np.sum(one.multiplicity == 0))
        if without == len(one):
            yield (
                f"None of the {len(one)} {word} events has a jet: variables of jets have minus log p = {CAP:g} and "
                f"distances of 1."
            )
        elif without:
            yield f"{without} of {len(one)} {word} events have no jet: they have multiplicity 0 and mass 0."
    capped = [one.label for one in observed.values() if one.distances["minus_log_p"].value >= CAP]
    if capped:
        yield f"Minus log p is capped at {CAP:g} for {', '.join(capped)}: there it cannot rank generators."
    if floors.scale < 1:
        yield (
            f"The reference is too small for two sets of its size: the floors are those of two sets of {floors.events} "
            f"events, KS distances scaled by {floors.scale:.3f} and separations by its square."
        )
    reference, generated = found
    for name in sorted(set(reference.labels) & set(generated.labels) - {"weight"}):
        first, second = reference.labels[name], generated.labels[name]
        if len(first) > 1 and kolmogorov_smirnov(first, second)[1] < 1e-3:
            yield (
                f"The label {name!r} differs: reference mean {first.mean():.4g}, generated {second.mean():.4g}. "
                "Every variable that depends on it differs for that reason alone."
            )


def _map_notes(reference, generated, redshifts, labelled):
    if len(reference) < 30:
        yield f"Only {len(reference)} reference maps: their own spread, and so the floor, is uncertain."
    if labelled[0] != labelled[1]:
        yield "Only one sample has the label 'redshift': whether both have the same depth cannot be checked."
    elif abs(redshifts[0].mean() - redshifts[1].mean()) > 0.02 * redshifts[0].mean():
        yield f"Mean redshifts differ: reference {redshifts[0].mean():.3g}, generated {redshifts[1].mean():.3g}."
    flat = int(np.sum(np.ptp(generated.values.reshape(len(generated), -1), axis=1) == 0))
    if flat:
        yield f"{flat} of {len(generated)} generated maps are constant."
