"""Mean shower profiles along each axis, with the error of the mean and the ratio of generated to reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from calolab.plots.style import GENERATED, REFERENCE, hep, new_figure
from calolab.spaces import Space

COLOURS = {"reference": REFERENCE, "generated": GENERATED}


@hep()
def show(
    space: Space, profiles: Mapping[str, Mapping[str, np.ndarray]], *, title: str = "", log: bool = False
) -> Figure:
    """Mean profiles, one column per axis; under them the ratio where there are both reference and generated.

    Args:
        space: the space of the showers.
        profiles: for "reference" and perhaps "generated", for each axis the showers' profiles, shape `(event, bins)`.
        title: what belongs to all panels, e.g. the range of energies.
        log: whether the profiles are drawn on a logarithmic scale.
    """
    axes = list(profiles["reference"])
    compared = "generated" in profiles
    figure = new_figure(4.3 * len(axes), 4.6 if compared else 3.6)
    rows = figure.subplots(
        1 + compared, len(axes), sharex="col", squeeze=False, height_ratios=[3, 1] if compared else [1]
    )
    for column, axis in enumerate(axes):
        edges = space.edges(axis)
        means = {name: by_axis[axis].mean(axis=0) for name, by_axis in profiles.items() if len(by_axis[axis])}
        errors = {name: _error(profiles[name][axis]) for name in means}
        for name, mean in means.items():
            label = f"{name}, {len(profiles[name][axis]):,} showers"
            _band(rows[0, column], edges, mean, errors[name], COLOURS[name], label)
        if log:
            rows[0, column].set_yscale("log")
        else:
            rows[0, column].set_ylim(bottom=0)
        rows[0, column].set_ylabel(f"mean per slice [{space.unit}]" if column == 0 else "")
        if compared and len(means) == 2:
            base = np.where(means["reference"] > 0, means["reference"], np.nan)
            for name, mean in means.items():
                _band(rows[1, column], edges, mean / base, errors[name] / base, COLOURS[name])
            rows[1, column].set(ylim=(0.5, 1.5), ylabel="gen. / ref." if column == 0 else "")
        rows[-1, column].set_xlabel(space.axis_label(axis))
        rows[-1, column].set_xlim(edges[0], edges[-1])
    if rows[0, 0].get_legend_handles_labels()[0]:
        rows[0, 0].legend(title=title, fontsize=10, title_fontsize=10)
    else:
        rows[0, 0].text(0.5, 0.5, f"{title}: no shower", transform=rows[0, 0].transAxes, ha="center")
    return figure


def _error(profile):
    """Standard error of the mean, bin by bin; unknown (not drawn) for a single shower."""
    n = len(profile)
    return profile.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(profile.shape[1], np.nan)


def _band(panel, edges, mean, error, colour, label=None):
    panel.stairs(mean + error, edges, baseline=mean - error, fill=True, color=colour, alpha=0.25, linewidth=0)
    panel.stairs(mean, edges, color=colour, label=label, linewidth=1.6, baseline=None)
