"""Figures of jet images: mean images and their differences, what their pixels add up to, and single variables."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from calolab.plots import event_images, scales
from calolab.plots.ratios import both, draw, number, ratio_grid, ratio_label, stacked
from calolab.plots.style import DIFFERENCE_MAP, SERIES, add_label, hep, new_figure
from calolab.spaces import Space, with_unit

# Means below this fraction of the largest are black; differences below ten times that are drawn on a linear scale.
FAINTEST = 1e-4
PANELS = ("mass", "pt", "tau_21", "pixels")


@hep()
def means(rows: Mapping[str, Mapping[str, np.ndarray]], space: Space) -> Figure:
    """Pairs of mean images on a logarithmic scale, and the second less the first on a signed logarithmic one.

    Args:
        rows: for each row under its name two mean images under theirs, each of shape `space.shape`.
        space: of the images.

    Returns:
        The figure; a row's two images share their colours.

    Raises:
        ValueError: if a row has not two images, or one of another shape.
    """
    for name, pair in rows.items():
        if len(pair) != 2 or any(np.shape(mean) != space.shape for mean in pair.values()):
            raise ValueError(
                f"means expects two images of shape {space.shape} in each row; row {name!r} has shapes "
                f"{[np.shape(mean) for mean in pair.values()]}."
            )
    figure = new_figure(15.5, 4.25 * len(rows) + 0.55)
    panels = figure.subplots(len(rows), 3, squeeze=False)
    what = with_unit(f"mean {space.quantity}", space.unit)
    for line, (name, pair) in zip(panels, rows.items()):
        (first, second), images = pair, list(pair.values())
        largest = scales.top(*(float(np.max(mean)) for mean in images))
        for panel, title, mean in zip(line, pair, images):
            image = event_images.draw(panel, mean, space, largest, lowest=FAINTEST * largest)
            panel.set_title(_title(name, title), loc="left")
            figure.colorbar(image, ax=panel, pad=0.015, label=what)
        difference = images[1] - images[0]
        most = float(np.abs(difference).max()) or 1.0
        norm = SymLogNorm(10 * FAINTEST * most, vmin=-most, vmax=most, base=10)
        image = line[2].pcolormesh(*space.layers[0].edges, difference.T, norm=norm, cmap=DIFFERENCE_MAP)
        line[2].set(xlim=line[0].get_xlim(), ylim=line[0].get_ylim(), aspect="equal")
        line[2].tick_params(which="both", top=False, right=False, direction="out")
        line[2].minorticks_off()
        line[2].set_title(_title(name, f"{second} − {first}"), loc="left")
        # Powers of ten that do not crowd around zero.
        powers = 10.0 ** np.arange(np.ceil(np.log10(20 * FAINTEST * most)), np.floor(np.log10(most)) + 1)
        ticks = [*-powers[::-1], 0, *powers]
        bar = figure.colorbar(image, ax=line[2], pad=0.015, label=with_unit("difference", space.unit), ticks=ticks)
        bar.ax.set_yticklabels([f"{tick:g}".replace("-", "−") for tick in ticks])
        for panel in line:
            panel.set(xlabel=space.axis_label("eta"), ylabel=space.axis_label("phi"))
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_locator(MaxNLocator(5, prune="both"))
    add_label(figure, space.name)
    return figure


@hep()
def comparison(comparison) -> Figure:
    """Mass, pt, tau_21 and the spectrum of the pixels over their ratios to the reference, one row per class.

    Args:
        comparison: a `validation.JetImageComparison`, or what has its attributes.

    Returns:
        The figure. Grey is the reference with its statistical band; under- and overflow stand in the outermost bins.
    """
    names = list(comparison.classes)
    first, second = comparison.names
    numbers = "; ".join(f"{name}: {a:,} {first}, {b:,} {second}" for name, (a, b) in comparison.events.items())
    subject = f"{comparison.space.name}, {numbers}"
    figure, cells = ratio_grid(len(names), len(PANELS), subject, width=4.7, names=comparison.names)
    for position, cell in enumerate(cells):
        row, column = divmod(position, len(PANELS))
        observable = comparison[names[row]][PANELS[column]]
        upper, lower = stacked(figure, cell, ratio_label(comparison.names))
        reference, generated = both(observable, comparison.names)
        notes = [names[row], *_numbers(observable)]
        logarithmic = (observable.logarithmic,) * 2
        draw(upper, lower, observable.edges, reference, [generated], notes=notes, logarithmic=logarithmic)
        upper.set_ylabel(observable.height or "fraction of images")
        label = "pt per pixel" if observable.is_profile else observable.label
        lower.set_xlabel(with_unit(label, observable.unit))
    return figure


@hep()
def distributions(
    variables: Mapping[str, Mapping[str, np.ndarray]], limits: Mapping[str, tuple[float, float]] | None = None
) -> Figure:
    """Histograms of one or more variables, a panel for each, in which samples lie over each other.

    Args:
        variables: under what stands on a panel's axis, e.g. `"jet mass [GeV]"`, the values of each sample under its
            name, shape `(event,)`; NaN are left out.
        limits: of a panel's axis, under the same name; by default the central 99 % of all values.

    Returns:
        The figure: fractions of each sample's events, those outside in the outermost bins, which are as narrow as the
        smallest sample allows. A name that ends in ` (jet)`, as in `"QCD (jet)"`, is dashed in the colour of `"QCD"`.

    Raises:
        ValueError: if there is no variable, or a sample without a finite value.
    """
    finite = {
        label: {name: np.asarray(values)[np.isfinite(values)] for name, values in samples.items()}
        for label, samples in variables.items()
    }
    if not all(samples and all(map(len, samples.values())) for samples in finite.values()) or not finite:
        raise ValueError("distributions expects at least one variable, and finite values of every sample in it.")
    figure = new_figure(5.2 * max(1.2, len(finite)), 4.6)
    panels = figure.subplots(1, len(finite), squeeze=False)[0]
    for panel, (label, samples) in zip(panels, finite.items()):
        low, high = np.quantile(np.concatenate(list(samples.values())), (0.005, 0.995))
        low, high = (limits or {}).get(label, (low, high if high > low else low + 1))
        bins = int(np.clip(3 * min(map(len, samples.values())) ** (1 / 3), 10, 40))
        edges = np.linspace(low, high, bins + 1)
        # As elsewhere what is real is dark, and what is compared with it in colour.
        palette = SERIES if next(iter(samples)).startswith("real") else [*SERIES[1:], SERIES[0]]
        colours = dict(zip(dict.fromkeys(name.removesuffix(" (jet)") for name in samples), palette))
        handles, highest = [], 0.0
        for name, values in samples.items():
            contents = np.histogram(np.clip(values, low, high), edges)[0] / len(values)
            jet = name.endswith(" (jet)")
            look = {"color": colours[name.removesuffix(" (jet)")], "linewidth": 1.2 if jet else 1.8}
            look["linestyle"] = "--" if jet else "-"
            panel.stairs(contents, edges, **look)
            handles.append(Line2D([], [], label=f"{name}, {len(values):,}", **look))
            highest = max(highest, contents.max())
        panel.legend(handles=handles, fontsize=10.5)
        panel.set(xlabel=label, ylabel="fraction of images", xlim=(low, high))
        panel.set_ylim(0, highest * (1.15 + 0.09 * len(handles)))
    add_label(figure)
    return figure


def _title(row: str, title: str) -> str:
    return f"{row}: {title}" if row else title


def _numbers(observable):
    """The distances for a panel's corner, each with its floor."""
    names = {"ks": "KS", "w1": "W₁/σ", "separation": "S"}
    lines = [
        f"{text} {number(observable.distances[name].value)} (floor {number(observable.distances[name].floor)})"
        for name, text in names.items()
        if name in observable.distances
    ]
    undefined = observable.undefined[1]
    return lines + ([f"{undefined} empty images left out"] if undefined else [])
