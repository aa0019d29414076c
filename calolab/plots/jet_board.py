"""One event with its jets next to distributions of many events: JetComparison as a figure, without JavaScript."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from calolab.plots import event_images, ratios, scales
from calolab.plots.jets import ALONE
from calolab.plots.ratios import DrawnHistogram, number
from calolab.plots.style import GENERATED, REFERENCE, hep
from calolab.spaces import Space, with_unit

COLOURS = {"reference": REFERENCE, "generated": GENERATED}


@hep()
def show(
    space: Space,
    images: Mapping[str, tuple[np.ndarray, Sequence]],
    variables: Sequence[Mapping],
    *,
    radius: float,
    colours: Mapping[str, float],
    log: bool = True,
    title: str = "",
    names: Mapping[str, str],
    events: Mapping[str, int],
) -> Figure:
    """Event images with their jets, then histograms of the jets of many events, each over its ratio.

    Args:
        space: space of the images.
        images: for "reference" and optionally "generated", an image, shape `space.shape`, and its jets, one
            (pt, eta, phi, mass) [GeV] each.
        variables: one dictionary per histogram: `label`, `unit`, `per` (what the bins count), `edges`, and under
            "reference" and optionally "generated" and "alone" the `contents`, the `errors` and the fractions `beyond`
            the edges; optionally `ks` and `floor`.
        radius: radius of the jets.
        colours: `high`, the end of the colour scale, and the `decades` that it spans where it is logarithmic.
        log: whether the colours are logarithmic.
        title: text that applies to all panels.
        names: names of "reference", "generated" and "alone".
        events: number of events of each in the histograms.
    """
    columns = 3
    texts = {role: f"{names[role]}, {number:,} event{'' if number == 1 else 's'}" for role, number in events.items()}
    looks = {"generated": {}, "alone": ALONE}
    handles = ratios.legend_handles(
        texts["reference"], {texts[role]: look for role, look in looks.items() if role in texts}
    )
    rows = -(-(len(images) + len(variables)) // columns)
    figure, cells = ratios.ratio_grid(rows, columns, title, legend=handles, titles=True)
    high = colours["high"]
    for cell, (role, (values, jets)) in zip(cells, images.items()):
        panel = figure.add_subplot(cell[:])
        drawn = event_images.draw(panel, values, space, high, log, high * 10 ** -colours["decades"])
        found = np.asarray(jets, dtype=float).reshape(-1, 4)
        event_images.circles(panel, found[:, 1], found[:, 2], radius)
        panel.set(xlabel=space.axis_label("eta"), ylabel=space.axis_label("phi"), anchor="W")
        panel.set_title(names[role], loc="left", color=COLOURS[role], fontweight="bold")
        panel.set_title(
            f"{len(found)} jet{'' if len(found) == 1 else 's'}, Σm {found[:, 3].sum():,.0f} {space.unit}",
            loc="right",
            fontsize=11,
        )
        ends = scales.extended([values], drawn.norm, signed=False)
        bar = figure.colorbar(drawn, cax=panel.inset_axes((1.03, 0, 0.05, 1)), extend=ends)
        bar.set_label(with_unit(f"{space.quantity} per pixel", space.unit))
    for cell, variable in zip(cells[len(images) :], variables):
        roles = {role: look for role, look in {"reference": {}, **looks}.items() if role in variable}
        reference, *others = (_histogram(variable[role], name=names[role], **look) for role, look in roles.items())
        notes = [f"KS {number(variable['ks'])} (floor {number(variable['floor'])})"] if "ks" in variable else []
        _, lower = ratios.draw_pair(
            figure,
            cell,
            np.asarray(variable["edges"]),
            reference,
            others,
            labels=(with_unit(variable["label"], variable["unit"]), f"fraction of {variable['per']}"),
            ratio=ratios.ratio_label(list(names.values())),
            notes=notes,
        )
        if variable["name"] == "multiplicity":
            lower.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    return figure


def _histogram(found, **look) -> DrawnHistogram:
    contents, errors = (np.asarray(found[name]) for name in ("contents", "errors"))
    return DrawnHistogram(contents, errors, beyond=tuple(found["beyond"]), **look)
