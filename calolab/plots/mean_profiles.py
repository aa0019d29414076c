"""Mean shower profiles along each axis, with the error of the mean and the ratio of generated to reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from calolab.plots import ratios, scales
from calolab.plots.style import GENERATED, REFERENCE, REFERENCE_FILL, hep, new_figure
from calolab.spaces import Space, with_unit


@hep()
def show(
    space: Space,
    profiles: Mapping[str, Mapping[str, np.ndarray]],
    *,
    title: str = "",
    log: bool = False,
    spread: bool = False,
    energies: tuple[Mapping[str, np.ndarray], tuple[float, float]] | None = None,
    table: Sequence[Sequence[str]] = (),
) -> Figure:
    """Mean profiles, one column per axis; with two samples, their ratio below.

    Args:
        space: the space of the showers.
        profiles: for one or two samples by name, the reference first, the profiles of the showers along each axis,
            shape `(event, bins)`.
        title: text that applies to all panels, e.g. the range of energies.
        log: whether the profiles are drawn on a logarithmic scale.
        spread: whether bands show the spread of the showers instead of the error of the mean.
        energies: the incident energies of all showers by name of the sample, and the selected range (lowest, highest)
            [GeV].
        table: rows of text to write below the panels; the first is the header.

    Returns:
        The figure. The reference sets the scales, a second sample extends them to at most twice its maximum; values
        beyond are marked at the border.
    """
    names = list(profiles)
    colours = dict(zip(names, (REFERENCE, GENERATED)))
    axes = list(profiles[names[0]])
    compared = len(names) > 1
    heights = [4.6 if compared else 3.6, *([1.5] if energies else []), *([0.27 * len(table) + 0.15] if table else [])]
    figure = new_figure(4.3 * max(len(axes), 2 if table else 1), sum(heights))
    parts = list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    rows = parts[0].subplots(
        1 + compared, len(axes), sharex="col", squeeze=False, height_ratios=[3, 1] if compared else [1]
    )
    for column, axis in enumerate(axes):
        upper, edges = rows[0, column], space.edges(axis)
        means = {name: by_axis[axis].mean(axis=0) for name, by_axis in profiles.items() if len(by_axis[axis])}
        errors = {name: _half(profiles[name][axis], spread) for name in means}
        for name, mean in means.items():
            n = len(profiles[name][axis])
            label = f"{name}, {n:,} shower{'' if n == 1 else 's'}"
            _band(upper, edges, mean, errors[name], colours[name], label)
        _set_height(upper, edges, means, errors, colours, log, space.unit)
        upper.set_ylabel(with_unit("mean per slice", space.unit) if column == 0 else "")
        if compared and len(means) == 2:
            _ratio(rows[1, column], edges, means, errors, colours)
            rows[1, column].set_ylabel(ratios.ratio_label(names) if column == 0 else "")
        rows[-1, column].set_xlabel(space.axis_label(axis))
        rows[-1, column].set_xlim(edges[0], edges[-1])
    if rows[0, 0].get_legend_handles_labels()[0]:
        rows[0, 0].legend(title=title, fontsize=10, title_fontsize=10)
    else:
        rows[0, 0].text(0.5, 0.5, f"{title}: no shower", transform=rows[0, 0].transAxes, ha="center")
    if energies:
        _spectrum(parts[1].subplots(), *energies, colours)
    if table:
        _table(parts[-1].subplots(), table)
    return figure


def _half(profile, spread):
    """Standard error of the mean or standard deviation, bin by bin; undefined (not drawn) for a single shower."""
    n = len(profile)
    deviation = profile.std(axis=0, ddof=1) if n > 1 else np.full(profile.shape[1], np.nan)
    return deviation if spread else deviation / np.sqrt(n)


def _set_height(panel, edges, means, errors, colours, log, unit):
    """Limits set by the first sample, with marks where the second exceeds them."""
    if not means:
        return
    tops = [float(np.nanmax(mean + np.nan_to_num(errors[name]))) for name, mean in means.items()]
    top = scales.top(tops[0], max(tops))
    if log:
        panel.set_yscale("log")
        panel.set_ylim(1e-4 * top, 2 * top)
    else:
        panel.set_ylim(0, 1.06 * top)
    for name, mean in means.items():
        centres, high = (edges[1:] + edges[:-1]) / 2, panel.get_ylim()[1]
        scales.mark_beyond(panel, centres, mean, high, name, colours[name], unit)


def _ratio(panel, edges, means, errors, colours):
    """Ratios to the first sample: 0.5 to 1.5, or 0 to 2 if many bins differ; arrows mark ratios outside."""
    base = next(iter(means.values()))
    base = np.where(base > 0, base, np.nan)
    (second, mean) = list(means.items())[1]
    quotient = mean / base
    off = np.abs(quotient - 1) > 0.5
    low, high = (0, 2) if off.sum() > len(quotient) / 4 else (0.5, 1.5)
    for name, one in means.items():
        _band(panel, edges, one / base, errors[name] / base, colours[name])
    panel.set(ylim=(low, high), yticks=[low, 1, high])
    centres = (edges[1:] + edges[:-1]) / 2
    for outside, height, arrow in ((quotient > high, 0.92, "^"), (quotient < low, 0.08, "v")):
        where = centres[outside]
        look = {"color": colours[second], "markersize": 3.5, "transform": panel.get_xaxis_transform()}
        panel.plot(where, np.full(len(where), height), arrow, **look)


def _spectrum(panel, energies, chosen, colours):
    """The incident energies of all showers, and the selected range."""
    every = np.concatenate(list(energies.values()))
    around = 0.0 if np.ptp(every) else 1.0
    edges = np.linspace(every.min() - around, every.max() + around, 41)
    panel.axvspan(*chosen, color=REFERENCE_FILL, alpha=0.6, linewidth=0)
    for name, column in energies.items():
        panel.stairs(np.histogram(column, edges)[0], edges, baseline=None, color=colours[name], linewidth=1.4)
    panel.set(xlim=edges[[0, -1]], xlabel="incident energy [GeV]", ylabel="showers")
    panel.set_ylim(bottom=0)


def _table(panel, table):
    """Rows of text in columns, the first one aligned to the left."""
    panel.axis("off")
    wide = 1.6 / (len(table[0]) + 0.6)
    for row, texts in enumerate(table):
        for column, text in enumerate(texts):
            right = wide + (column) * (1 - wide) / max(len(texts) - 1, 1)
            place = (0.0, "left") if column == 0 else (right, "right")
            weight = "bold" if row == 0 else "normal"
            panel.text(place[0], 1 - (row + 0.5) / len(table), text, ha=place[1], va="center", fontsize=10.5,
                       fontweight=weight, transform=panel.transAxes)  # fmt: skip


def _band(panel, edges, mean, error, colour, label=None):
    panel.stairs(mean + error, edges, baseline=mean - error, fill=True, color=colour, alpha=0.25, linewidth=0)
    panel.stairs(mean, edges, color=colour, label=label, linewidth=1.6, baseline=None)
