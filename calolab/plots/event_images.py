"""Images of whole events: single events with their jets, averages, and the spectrum of pixel energies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from matplotlib.ticker import FixedLocator, FuncFormatter

from calolab.labels import symbol, value_text
from calolab.plots import ratios, scales
from calolab.plots.style import DIFFERENCE_MAP, GENERATED, REFERENCE, SERIES, add_label, hep, new_figure, ticks_outside
from calolab.samples import Sample
from calolab.spaces import with_unit

JET = "#56b4e9"
# Labels shown in the title of an event.
TITLED = ("gluino_mass", "neutralino_mass", "mu")


@hep()
def gallery(
    samples: Mapping[str, Sample],
    jets: Mapping[str, object] | None = None,
    events: int | Sequence[int] = 4,
    *,
    log: bool = True,
) -> Figure:
    """Single events of one or more samples, a row for each, all in one colour scale; with their jets as circles.

    Args:
        samples: images in eta and phi of one space under their names, e.g. pile-up at mu = 20 and at 200.
        jets: under the same names the events' `Jets`; circles of their radius are drawn around them, numbered in order
            of decreasing pt. Phi is periodic: a circle that extends beyond one edge of the image continues at the
            opposite edge.
        events: number of events, starting with the first, or their indices.
        log: whether the colours are logarithmic.

    Returns:
        The figure. The title of each event has the sum of its pixels and the labels that are not in its sample's name.

    Raises:
        ValueError: if there is no sample, spaces differ or are not images in eta and phi, a sample has too few events,
            or jets belong to no sample.
    """
    samples, jets = dict(samples), dict(jets or {})
    chosen = list(range(events)) if isinstance(events, int) else list(events)
    space = _checked(samples, max(chosen, default=-1), jets)
    tops = [float(sample.values[chosen].max()) for sample in samples.values()]
    largest = _largest(list(samples), tops)
    filled = [sample.values[chosen][sample.values[chosen] > 0].min(initial=largest) for sample in samples.values()]
    faintest = max(float(min(filled)), scales.FAINTEST * largest)
    # The scale begins just below the faintest pixel, so that it is visible against the black of empty pixels.
    lowest = faintest * (faintest / largest) ** 0.2 if faintest < largest else scales.FAINTEST * largest
    rows, columns = len(samples), len(chosen)
    figure = new_figure(1.1 + 2.75 * columns + 1.1, 3.5 * rows + 0.95)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for row, (name, sample) in enumerate(samples.items()):
        fixed, varying = _labels(sample, chosen)
        for panel, event in zip(panels[row], chosen):
            image = draw(panel, sample.values[event], space, largest, log, lowest)
            facts = [f"Σ {_large(sample.values[event].sum(dtype=float))} {space.unit}"]
            facts += [f"{text} {sample.labels[label][event]:.4g}" for label, text in varying.items()]
            if name in jets:
                one = jets[name].select([event])
                circles(panel, one.flat("eta"), one.flat("phi"), one.radius)
                facts.append(f"{one.multiplicity[0]} jets" if one.multiplicity[0] != 1 else "1 jet")
            panel.set_title(", ".join(facts), loc="left", fontsize=11)
            if panel is panels[row, 0]:
                panel.set_ylabel(space.axis_label("phi"))
                aside = {"xycoords": "axes fraction", "textcoords": "offset points", "rotation": 90, "ha": "center"}
                colour = GENERATED if name.startswith("generated") else REFERENCE
                fixed = ", ".join(part for part in fixed if part not in name)
                panel.annotate(name, (0, 0), xytext=(-52, 0), fontweight="bold", color=colour, va="bottom", **aside)
                panel.annotate(fixed, (0, 0), xytext=(-37, 0), fontsize=10, va="bottom", **aside)
            if row == rows - 1:
                panel.set_xlabel(space.axis_label("eta"))
    _bar(figure, image, panels, with_unit(f"{space.quantity} per pixel", space.unit), rows)
    add_label(figure, space.name)
    return figure


@hep()
def averages(reference: Sample, generated: Sample) -> Figure:
    """The average image of real and of generated events, and their difference.

    Args:
        reference, generated: images in eta and phi of one space, any numbers of events.

    Returns:
        The figure: both in one logarithmic colour scale. The difference is in units of its statistical uncertainty,
        pixel by pixel; its root mean square is 1 for samples that differ by chance only.

    Raises:
        ValueError: if the spaces differ or are not images in eta and phi, or a sample is empty.
    """
    samples = {"real": reference, "generated": generated}
    space = _checked(samples, 0, {})
    means = [np.mean(sample.values, axis=0, dtype=np.float64) for sample in samples.values()]
    errors = [np.var(sample.values, axis=0, dtype=np.float64) / len(sample) for sample in samples.values()]
    figure = new_figure(13.5, 4.7)
    panels = figure.subplots(1, 3)
    largest = scales.top(*(float(mean.max()) for mean in means))
    filled = np.concatenate([mean[mean > 0] for mean in means])
    # Averages span fewer decades than single events: the range of nearly all pixels.
    lowest = max(np.quantile(filled, 0.01), 1e-3 * largest) if len(filled) else scales.FAINTEST * largest
    for panel, mean, (name, sample) in zip(panels, means, samples.items()):
        image = draw(panel, mean, space, largest, log=True, lowest=lowest)
        panel.set_title(f"{name}, average of {len(sample):,} events", loc="left")
        figure.colorbar(image, ax=panel, pad=0.015, label=with_unit(f"average {space.quantity}", space.unit))
    error = np.sqrt(sum(errors))
    pull = np.divide(means[1] - means[0], error, out=np.full(error.shape, np.nan), where=error > 0)
    known = pull[np.isfinite(pull)]
    size = np.sqrt(np.mean(known**2)) if len(known) else 0.0
    # Linear up to 3 standard deviations, the range of chance, and logarithmic beyond.
    most = max(5.0, float(np.abs(known).max(initial=0)))
    norm = SymLogNorm(3, vmin=-most, vmax=most, base=10) if most > 10 else Normalize(-most, most)
    image = draw_difference(panels[2], pull, space, norm)
    panels[2].set_title(f"generated − real: rms {size:.3g} σ", loc="left")
    figure.colorbar(image, ax=panels[2], pad=0.015, label="difference / statistical uncertainty")
    for panel in panels:
        panel.set(xlabel=space.axis_label("eta"), ylabel=space.axis_label("phi"))
    add_label(figure, space.name)
    return figure


@hep()
def pixel_spectrum(spectra, notes: Sequence[str] = ()) -> Figure:
    """The energies of all pixels above zero, real against generated, over their ratio.

    Args:
        spectra: result of `validation.pixel_spectra`: the reference as `"real"`, then up to five other samples.
        notes: lines for the figure's corner, e.g. a distance and its floor.

    Returns:
        The figure, both axes logarithmic. Pixels per event and bin; the share of empty pixels is in the corner.
    """
    names = list(spectra.histograms)
    lines = [*notes, *(f"{name}: {100 * spectra.empty[name]:.3g} % of pixels empty" for name in names)]
    drawn = [
        ratios.drawn(found, colour=colour, name=name)
        for (name, found), colour in zip(spectra.histograms.items(), SERIES)
    ]
    handles = ratios.legend_handles("real", {name: {"colour": colour} for name, colour in zip(names[1:], SERIES[1:])})
    events = ", ".join(f"{number:,} {name}" for name, number in spectra.events.items())
    subject, space = f"{spectra.space.name}, N = {events}", spectra.space
    figure, cells = ratios.ratio_grid(1, 1, subject, width=8.0, height=5.4, legend=handles)
    ratios.draw_pair(
        figure,
        cells[0],
        spectra.histograms[names[0]].edges,
        drawn[0],
        drawn[1:],
        labels=(with_unit(f"{space.quantity} per pixel", space.unit), "pixels per event and bin"),
        ratio="ratio to real",
        notes=lines,
        logarithmic=(True, True),
    )
    return figure


def draw(panel: Axes, values: np.ndarray, space, largest: float, log: bool = True, lowest: float | None = None):
    """Draw one image into a panel, black where it is empty; returns the image for a colour bar.

    Pixels above `largest` have a separate colour and are counted in the corner.

    Args:
        panel: where.
        values: shape `space.shape`, axes eta and phi.
        space: the image's space.
        largest: the value of the highest colour.
        log: whether the colours are logarithmic.
        lowest: the value of the lowest colour of a logarithmic scale.
    """
    norm = scales.colour_norm(largest if largest > 0 else 1.0, log, low=lowest)
    image = scales.draw_cells(panel, space.layers[0].edges, values, norm, space.unit)
    _frame(panel, space)
    return image


def draw_difference(panel: Axes, values: np.ndarray, space, norm: Normalize):
    """Draw the difference of two images into a panel; returns the image for a colour bar.

    Args:
        panel: where.
        values: shape `space.shape`, axes eta and phi; NaN are left white.
        space: the images' space.
        norm: colour scale of matplotlib, with zero in the middle.
    """
    image = panel.pcolormesh(*space.layers[0].edges, values.T, norm=norm, cmap=DIFFERENCE_MAP)
    _frame(panel, space)
    return image


def circles(panel: Axes, eta: np.ndarray, phi: np.ndarray, radius: float) -> None:
    """Draw jets as numbered circles, also shifted by ±2π, so that they continue at the opposite edge in phi.

    Args:
        panel: where an image in eta and phi is drawn.
        eta, phi: eta and phi of one event's jets, in order of decreasing pt.
        radius: radius of the circles, in eta and phi alike.
    """
    low, high = panel.get_ylim()
    for number, (x, y) in enumerate(zip(eta, phi), start=1):
        for turn in (-2 * np.pi, 0, 2 * np.pi):
            if low - radius < y + turn < high + radius:
                line = {"fill": False, "edgecolor": JET, "linewidth": 1.8 if number == 1 else 1.2}
                panel.add_patch(Ellipse((x, y + turn), 2 * radius, 2 * radius, clip_on=True, **line))
        # The number is within its circle and within the panel.
        height = y + 0.62 * radius if y + radius < high else y - 0.62 * radius
        panel.text(x, height, str(number), color=JET, fontsize=10, ha="center", va="center", clip_on=True)


def _frame(panel, space):
    eta, phi = space.layers[0].edges
    panel.set(xlim=(eta[0], eta[-1]), ylim=(phi[0], phi[-1]))
    panel.set_aspect("equal")
    ticks_outside(panel)
    if np.allclose((phi[0], phi[-1]), (-np.pi, np.pi)):
        panel.yaxis.set_major_locator(FixedLocator([-np.pi, -np.pi / 2, 0, np.pi / 2, np.pi]))
        texts = {-2: "−π", -1: "−π/2", 0: "0", 1: "π/2", 2: "π"}
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: texts[round(2 * value / np.pi)]))


def _bar(figure, image, panels, label, rows):
    bar = figure.colorbar(image, ax=panels, fraction=0.05, pad=0.012, aspect=16 * rows)
    bar.set_label(label)


def _labels(sample, chosen):
    """The values of labels that are the same for all chosen events, and the symbols of labels that vary."""
    fixed, varying = [], {}
    for name in TITLED:
        column = sample.labels[name][chosen] if name in sample.labels else ()
        if len(column) and np.all(column == column[0]):
            fixed.append(f"{symbol(name)} = {value_text(name, column[0])}")
        elif len(column):
            varying[name] = symbol(name)
    return fixed, varying


def _largest(names, tops):
    """The end of the colour scale: generated events extend that of the others to at most twice its largest value."""
    others = [top for name, top in zip(names, tops) if not name.startswith("generated")] or tops
    return scales.top(max(others), max(tops))


def _large(value):
    """Three digits, without a power of ten."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _checked(samples, last, jets):
    """The space that all samples share."""
    if not samples or last < 0:
        raise ValueError("Images expect at least one sample and one event of it.")
    space = next(iter(samples.values())).space
    if any(sample.space != space for sample in samples.values()) or space.axes != ("eta", "phi") or space.has_depth:
        raise ValueError(
            "Images expect samples of one plain space with the axes eta and phi, such as 'whole-detector'; received "
            f"{', '.join(sample.space.name for sample in samples.values())}."
        )
    short = {name: len(sample) for name, sample in samples.items() if last >= len(sample)}
    if short:
        raise ValueError(f"Event {last} of each sample is to be shown, but there are only {short}.")
    if set(jets) - set(samples):
        raise ValueError(f"Jets of {sorted(set(jets) - set(samples))} belong to no sample; there are {list(samples)}.")
    wrong = {name: len(one) for name, one in jets.items() if len(one) != len(samples[name])}
    if wrong:
        raise ValueError(f"Jets must be those of their sample's events: there are jets of {wrong} events.")
    return space
