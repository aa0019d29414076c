"""One event with its jets beside the distributions of many: what JetComparison leaves where there is no JavaScript."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from calolab.plots import event_images, ratios
from calolab.plots.ratios import Histogram, number
from calolab.plots.style import GENERATED, REFERENCE, SERIES, hep
from calolab.spaces import Space

COLOURS = {"reference": REFERENCE, "generated": GENERATED}


@hep()
def show(
    space: Space,
    images: Mapping[str, tuple[np.ndarray, Sequence]],
    variables: Sequence[Mapping],
    *,
    radius: float,
    log: bool = True,
    title: str = "",
) -> Figure:
    """Event images with their jets, then histograms of the jets of many events, each over its ratio.

    Args:
        space: of the images.
        images: for "reference" and perhaps "generated" an image, shape `space.shape`, and its jets, one
            (pt, eta, phi, mass) [GeV] each.
        variables: one dictionary per histogram: `label`, `unit`, `per` (what it holds fractions of), `edges`, and under
            "reference", perhaps "generated" and "alone" the `contents` and `errors`; perhaps `ks` and `floor`.
        radius: of the jets.
        log: whether the colours are logarithmic.
        title: what all have in common.
    """
    columns = 3
    handles = [
        *ratios.reference_handles("real", "statistical uncertainty"),
        Line2D([], [], color=GENERATED, linewidth=1.8, label="generated"),
    ]
    if any("alone" in variable for variable in variables):
        handles.append(Line2D([], [], color=SERIES[2], linewidth=1.8, linestyle="--", label="real, without pile-up"))
    rows = -(-(len(images) + len(variables)) // columns)
    figure, cells = ratios.ratio_grid(rows, columns, title, legend=handles, titles=True)
    largest = max(float(values.max()) for values, _ in images.values()) or 1.0
    for cell, (role, (values, jets)) in zip(cells, images.items()):
        panel = figure.add_subplot(cell[:])
        drawn = event_images.draw(panel, values, space, largest, log)
        found = np.asarray(jets, dtype=float).reshape(-1, 4)
        event_images.circles(panel, found[:, 1], found[:, 2], radius)
        panel.set(xlabel=space.axis_label("eta"), ylabel=space.axis_label("phi"), anchor="W")
        panel.set_title(role if role == "generated" else "real", loc="left", color=COLOURS[role], fontweight="bold")
        panel.set_title(
            f"{len(found)} jet{'' if len(found) == 1 else 's'}, Σm {found[:, 3].sum():,.0f} {space.unit}",
            loc="right",
            fontsize=11,
        )
        bar = figure.colorbar(drawn, cax=panel.inset_axes((1.03, 0, 0.05, 1)))
        bar.set_label(f"{space.quantity} per pixel [{space.unit}]")
    for cell, variable in zip(cells[len(images) :], variables):
        upper, lower = ratios.stacked(figure, cell)
        edges = np.asarray(variable["edges"])
        looks = {"generated": {}, "alone": {"colour": SERIES[2], "line": "--", "marker": "s"}}
        histograms = {
            role: Histogram(*(np.asarray(variable[role][part]) for part in ("contents", "errors")), **look)
            for role, look in {"reference": {}, **looks}.items()
            if role in variable
        }
        reference = histograms.pop("reference")
        notes = [f"KS {number(variable['ks'])} (floor {number(variable['floor'])})"] if "ks" in variable else []
        ratios.draw(upper, lower, edges, reference, list(histograms.values()), notes=notes)
        upper.set_ylabel(f"fraction of {variable['per']}")
        lower.set_xlabel(f"{variable['label']} [{variable['unit']}]" if variable["unit"] else variable["label"])
        if variable["name"] == "multiplicity":
            lower.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    return figure
