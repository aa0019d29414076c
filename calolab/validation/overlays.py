"""Several samples in one binning, for figures: mass points, pile-up, pixel spectra, single variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calolab.jets import Jets
from calolab.names import check_name
from calolab.samples import Sample
from calolab.spaces import Space
from calolab.validation.binning import Histogram, bin_of, histogram, pixel_edges, shared_edges
from calolab.validation.observables.jets import variables
from calolab.validation.report import Report

OVERLAID = ("multiplicity", "summed_mass", "jet_pt")
PIXEL_BINS = 50
# The largest generated pixel of a spectrum, in units of the largest real one.
MOST_ABOVE = 10


def share_binning(
    reports: Mapping[str, Report], names: Sequence[str] = ("multiplicity", "summed_mass")
) -> dict[str, Report]:
    """The same reports on jets with these variables in one binning, for `plots.jets.masses`.

    Args:
        reports: results of `compare_jets` at each mass point, by name.
        names: names of the variables; the others are left out.

    Raises:
        ValueError: without a report, or for a variable that one lacks.
    """
    if not reports:
        raise ValueError("share_binning expects the report of at least one mass point, received none.")
    rebinned = {key: {} for key in reports}
    for name in names:
        for report in reports.values():
            check_name("observable", name, report.observables)
        found = {key: report.observables[name] for key, report in reports.items()}
        edges = shared_edges(name, *zip(*((one.reference, one.generated) for one in found.values())))
        for key, one in found.items():
            rebinned[key][name] = replace(one, edges=edges)
    return {key: replace(report, observables=rebinned[key]) for key, report in reports.items()}


def pileup_overlay(
    report: Report, alone: Jets | None = None, names: Sequence[str] = OVERLAID
) -> tuple[Report, dict[str, Histogram]]:
    """Events with real, with generated and without pile-up in one binning, for `plots.jets.pileup`.

    Args:
        report: result of `compare_jets`: the reference are events with real pile-up, the generated ones the same kind
            of events with generated pile-up.
        alone: the jets of the events without pile-up, or None.
        names: among `multiplicity`, `summed_mass` and `jet_pt`; other variables are left out.

    Returns:
        The report in the new binning, and the histograms of the events alone by variable; empty without them.

    Raises:
        ValueError: for other variables.
    """
    observables, histograms = {}, {}
    for name in names:
        check_name("variable under pile-up", name, OVERLAID)
        one, others = report[name], [report[name].generated]
        if alone is not None:
            single = variables(alone)[name]
            others.append(single.values)
        edges = shared_edges(name, [one.reference], others)
        observables[name] = replace(one, edges=edges)
        if alone is not None:
            histograms[name] = histogram(single.values, edges, single.weights)
    return replace(report, observables=observables), histograms


@dataclass(frozen=True, eq=False)
class PixelSpectra:
    """The energies of all positive pixels of several samples in one binning; `pixel_spectra` makes it.

    Args:
        space: space of the samples.
        histograms: histogram of each sample by name, the reference as `"real"` first: pixels per event and bin.
        events: number of events of each sample.
        empty: fraction of its pixels that are zero.
    """

    space: Space
    histograms: Mapping[str, Histogram]
    events: Mapping[str, int]
    empty: Mapping[str, float]


def pixel_spectra(reference: Sample, generated: Sample | Mapping[str, Sample]) -> PixelSpectra:
    """Count the positive pixels of real and generated images in logarithmic bins, for `plots.event_images`.

    Args:
        reference: images of any space.
        generated: one sample of the same space, or up to five by name.

    Raises:
        ValueError: if the spaces differ or a sample is empty or has no pixel above zero.
    """
    others = {"generated": generated} if isinstance(generated, Sample) else dict(generated)
    samples = {"real": reference, **others}
    for name, sample in samples.items():
        if sample.space != reference.space or not len(sample):
            raise ValueError(
                f"pixel_spectra expects events of one space, received {len(sample)} in {sample.space.name!r} as "
                f"{name!r}, but the reference in {reference.space.name!r}."
            )
    filled = {name: sample.values[sample.values > 0] for name, sample in samples.items()}
    if not all(len(pixels) for pixels in filled.values()):
        raise ValueError(f"No pixel above zero in {[name for name, pixels in filled.items() if not len(pixels)]}.")
    low, high = filled["real"].min(), max(pixels.max() for pixels in filled.values())
    edges = pixel_edges(low, min(high, MOST_ABOVE * filled["real"].max()), PIXEL_BINS)
    histograms = {}
    for name, pixels in filled.items():
        counts, events = np.bincount(bin_of(pixels, edges), minlength=PIXEL_BINS), len(samples[name])
        beyond = float(np.mean(pixels < low)), float(np.mean(pixels > edges[-1]))
        histograms[name] = Histogram(edges, counts / events, np.sqrt(counts) / events, beyond)
    return PixelSpectra(
        reference.space,
        histograms,
        {name: len(sample) for name, sample in samples.items()},
        {name: float(np.mean(sample.values == 0)) for name, sample in samples.items()},
    )


def distributions(
    variables: Mapping[str, Mapping[str, np.ndarray]], limits: Mapping[str, tuple[float, float]] | None = None
) -> dict[str, dict[str, Histogram]]:
    """Histograms of several samples in each of several variables, for `plots.jet_images.distributions`.

    Args:
        variables: for each axis label, e.g. `"jet mass [GeV]"`, the values of each sample by name, shape `(event,)`;
            NaN are left out.
        limits: limits of the bins, by the same label; by default the central 99 % of all values.

    Returns:
        Histograms by label and name; bins are as narrow as the smallest sample allows.

    Raises:
        ValueError: if there is no variable, or a sample without a finite value.
    """
    finite = {
        label: {name: np.asarray(values)[np.isfinite(values)] for name, values in samples.items()}
        for label, samples in variables.items()
    }
    if not all(samples and all(map(len, samples.values())) for samples in finite.values()) or not finite:
        raise ValueError("distributions expects at least one variable, and finite values of every sample in it.")
    found = {}
    for label, samples in finite.items():
        low, high = np.quantile(np.concatenate(list(samples.values())), (0.005, 0.995))
        low, high = (limits or {}).get(label, (low, high if high > low else low + 1))
        bins = int(np.clip(3 * min(map(len, samples.values())) ** (1 / 3), 10, 40))
        edges = np.linspace(low, high, bins + 1)
        found[label] = {name: histogram(values, edges) for name, values in samples.items()}
    return found
