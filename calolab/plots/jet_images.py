"""Figures of jet images: mean images and their differences, variables of the pixels, and single variables."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from calolab.plots import event_images, ratios, scales
from calolab.plots.scales import FAINTEST
from calolab.plots.style import SERIES, add_label, hep, new_figure
from calolab.spaces import Space, with_unit

# Up to this fraction of its end the scale of differences is linear.
LINEAR = 10 * FAINTEST
PANELS = ("mass", "pt", "tau_21", "pixels")


@hep()
def means(rows: Mapping[str, Mapping[str, np.ndarray]], space: Space) -> Figure:
    """Pairs of mean images on a logarithmic scale, and the second minus the first on a symmetric logarithmic scale.

    Args:
        rows: by name of the row, two mean images by their names, each of shape `space.shape`.
        space: space of the images.

    Returns:
        The figure; a row's two images share their colours.

    Raises:
        ValueError: if a row does not have two images, or one has another shape.
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
            image = event_images.draw(panel, mean, space, largest)
            panel.set_title(_title(name, title), loc="left")
            figure.colorbar(image, ax=panel, pad=0.015, label=what)
        difference = images[1] - images[0]
        most = float(np.abs(difference).max()) or 1.0
        norm = SymLogNorm(LINEAR * most, vmin=-most, vmax=most, base=10)
        image = event_images.draw_difference(line[2], difference, space, norm)
        line[2].set_title(_title(name, f"{second} − {first}"), loc="left")
        bar = figure.colorbar(image, ax=line[2], pad=0.015, label=with_unit("difference", space.unit))
        # Powers of ten that are not too close to zero.
        bar.set_ticks(**scales.signed_ticks(2 * LINEAR * most, most))
        for panel in line:
            panel.set(xlabel=space.axis_label("eta"), ylabel=space.axis_label("phi"))
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_locator(MaxNLocator(5, prune="both"))
    add_label(figure, space.name)
    return figure


@hep()
def comparison(report) -> Figure:
    """Mass, pt, tau_21 and the spectrum of the pixels over their ratios to the reference, one row per class.

    Args:
        report: result of `validation.compare_jet_images`, or one of its parts.

    Returns:
        The figure. Grey is the reference with its statistical band; under- and overflow are in the outermost bins.
    """
    parts = report.parts or {"all": report}
    numbers = "; ".join(f"{name}: {ratios.event_numbers(part)}" for name, part in parts.items())
    subject = f"{report.space.name}, {numbers}"
    figure, cells = ratios.ratio_grid(len(parts), len(PANELS), subject, width=4.7, names=report.names)
    for position, cell in enumerate(cells):
        row, column = divmod(position, len(PANELS))
        name = list(parts)[row]
        observable = parts[name][PANELS[column]]
        reference, generated = ratios.both(observable, report.names)
        label = "pt per pixel" if observable.is_profile else observable.label
        ratios.draw_pair(
            figure,
            cell,
            observable.edges,
            reference,
            [generated],
            labels=(with_unit(label, observable.unit), observable.height or "fraction of images"),
            ratio=ratios.ratio_label(report.names),
            notes=[name, *ratios.distance_notes(observable, events="images")],
            logarithmic=(observable.logarithmic,) * 2,
        )
    return figure


@hep()
def distributions(variables: Mapping[str, Mapping[str, object]]) -> Figure:
    """Histograms of one or more variables, one panel for each, in which several samples are drawn.

    Args:
        variables: result of `validation.distributions`: for each axis label, e.g. `"jet mass [GeV]"`, the
            `validation.binning.Histogram` of each sample by name.

    Returns:
        The figure: fractions of each sample's events; under- and overflow are in the outermost bins. A name that ends
        in ` (jet)`, as in `"QCD (jet)"`, is dashed in the colour of `"QCD"`.
    """
    figure = new_figure(5.2 * max(1.2, len(variables)), 4.6)
    panels = figure.subplots(1, len(variables), squeeze=False)[0]
    for panel, (label, samples) in zip(panels, variables.items()):
        # Real samples are dark, and generated ones in colour, as in all figures.
        palette = SERIES if next(iter(samples)).startswith("real") else [*SERIES[1:], SERIES[0]]
        colours = dict(zip(dict.fromkeys(name.removesuffix(" (jet)") for name in samples), palette))
        handles, highest = [], 0.0
        for name, found in samples.items():
            jet = name.endswith(" (jet)")
            look = {"color": colours[name.removesuffix(" (jet)")], "linewidth": 1.2 if jet else 1.8}
            look["linestyle"] = "--" if jet else "-"
            panel.stairs(found.contents, found.edges, **look)
            handles.append(Line2D([], [], label=f"{name}, {found.entries:,}", **look))
            highest = max(highest, found.contents.max())
        panel.legend(handles=handles, fontsize=10.5)
        panel.set(xlabel=label, ylabel="fraction of images", xlim=found.edges[[0, -1]])
        panel.set_ylim(0, highest * (1.15 + 0.09 * len(handles)))
    add_label(figure)
    return figure


def _title(row: str, title: str) -> str:
    return f"{row}: {title}" if row else title
