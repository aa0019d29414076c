"""ProfileExplorer: longitudinal and transverse profiles and their moments, for a range of incident energies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import traitlets

from calolab.generators import Generator
from calolab.labels import range_text, symbol
from calolab.plots import mean_profiles
from calolab.samples import Sample
from calolab.spaces import with_unit
from calolab.validation.observables import profiles
from calolab.widgets.shared import frontend
from calolab.widgets.shared.live import Widget
from calolab.widgets.shared.side_by_side import first_events


class ProfileExplorer(Widget):
    """Mean shower profiles of two samples with statistical bands, their ratio and their moments.

    The profiles of the individual showers are sent to the browser, which computes the means over the selected energies;
    they follow the range handles immediately, also while the kernel is busy. Positions and widths are defined as in
    `calolab.validation`.

    Args:
        reference: showers with the label `energy` [GeV].
        generated: showers in the same space; a `Generator`, which generates showers with the labels of the reference;
            or None.
        events: maximum number of events of each sample that are sent to the browser, the first ones.
        names: names of the two samples, e.g. `("Geant4", "GFlash")`; by default the simulations that produced them, if
            these differ, or else `("reference", "generated")`.
        seed: seed of a generator.

    Raises:
        TypeError: if a sample is not a Sample.
        ValueError: if a sample is empty or lacks the label, the spaces differ, `events` is less than 1, the reference
            lacks a label that the generator needs, or `names` are not two different names.
    """

    _esm = frontend.module(__file__)
    _css = frontend.style(__file__)

    energy_range = traitlets.Tuple(
        traitlets.Float(), traitlets.Float(), help="lowest and highest incident energy [GeV]"
    ).tag(sync=True)
    log = traitlets.Bool(False, help="logarithmic profiles").tag(sync=True)
    spread = traitlets.Bool(False, help="bands display the spread of showers, not the error of the mean").tag(sync=True)
    about = traitlets.Dict(read_only=True).tag(sync=True)
    numbers = traitlets.Bytes(read_only=True).tag(sync=True)

    def __init__(
        self,
        reference: Sample,
        generated: Sample | Generator | None = None,
        *,
        events: int = 10_000,
        names: Sequence[str] | None = None,
        seed: int = 0,
    ):
        self._samples, note = first_events(reference, generated, names, events, seed=seed, in_pairs=False)
        for name, sample in self._samples.items():
            if "energy" not in sample.labels:
                raise ValueError(f"{name} needs the label 'energy' [GeV], it has {sorted(sample.labels)}.")
        space = reference.space
        # The longitudinal profile first. If the layers differ, only the depth has common bins.
        axes = [space.axes[-1], *space.axes[:-1]] if space.regular else [space.axes[-1]]
        self._profiles = {
            name: {axis: profiles.profile(sample, axis) for axis in axes} for name, sample in self._samples.items()
        }
        columns, self._moments = [], {}
        for name, sample in self._samples.items():
            self._moments[name] = {}
            for axis in axes:
                unit = space.units[space.axes.index(axis)]
                first, second = profiles.moments(sample, axis)
                columns += [self._profiles[name][axis], first, _width(second)]
                self._moments[name] |= {
                    with_unit(f"mean {symbol(axis)}", unit): first,
                    with_unit(f"width in {symbol(axis)}", unit): _width(second),
                }
            columns.append(sample.values.reshape(len(sample), -1).sum(axis=1, dtype=float))
            self._moments[name][with_unit("visible energy", space.unit)] = columns[-1]
        about = {
            "space": frontend.describe_space(space),
            "profiles": [
                {"axis": axis, "unit": space.units[space.axes.index(axis)], "edges": space.edges(axis).tolist()}
                for axis in axes
            ],
            "samples": [
                {"name": name, "energies": sample.labels["energy"].tolist()} for name, sample in self._samples.items()
            ],
            "note": note,
        }
        self.set_trait("about", about)
        self.set_trait("numbers", frontend.pack(*columns))
        energies = np.concatenate([sample.labels["energy"] for sample in self._samples.values()])
        super().__init__(energy_range=(float(energies.min()), float(energies.max())))

    @traitlets.validate("energy_range")
    def _validate_range(self, proposal):
        low, high = proposal.value
        if low > high:
            raise traitlets.TraitError(f"energy_range must be (low, high) in GeV, received {proposal.value}.")
        return proposal.value

    def _repr_png_(self):
        low, high = self.energy_range
        energies = {name: sample.labels["energy"] for name, sample in self._samples.items()}
        inside = {name: (column >= low) & (column <= high) for name, column in energies.items()}
        selected = {
            name: {axis: profile[inside[name]] for axis, profile in by_axis.items()}
            for name, by_axis in self._profiles.items()
        }
        return mean_profiles.show(
            next(iter(self._samples.values())).space,
            selected,
            title=range_text("energy", (low, high)),
            log=self.log,
            spread=self.spread,
            energies=(energies, (low, high)),
            table=_moment_table(self._moments, inside),
        )._repr_png_()


def _moment_table(moments, inside):
    """Means over the selected showers with their errors; for two samples also the difference and its significance."""
    names = list(moments)
    head = ["", *names, *(["difference", "significance"] if len(names) > 1 else [])]
    rows = [head]
    for quantity in moments[names[0]]:
        means = [_mean(moments[name][quantity][inside[name]]) for name in names]
        row = [quantity, *(_measured(*one) for one in means)]
        if len(names) > 1:
            difference, error = means[1][0] - means[0][0], float(np.hypot(means[0][1], means[1][1]))
            significance = difference / error if error > 0 else float("nan")
            row += [
                _measured(difference, error),
                f"{round(significance, 1) + 0.0:.1f} σ".replace("-", "−") if np.isfinite(significance) else "–",
            ]
        rows.append(row)
    return rows


def _width(variances):
    """Standard deviations; NaN where negative cells of a bad generator make a variance negative."""
    return np.sqrt(np.where(variances >= 0, variances, np.nan))


def _mean(values):
    """Mean and its error over the showers with a finite value; an empty shower has no position."""
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def _measured(mean, error):
    """Mean and error to the second significant digit of the error, as in the browser."""
    if not error > 0 or not np.isfinite(mean):
        return f"{mean:.4g}".replace("-", "−") if np.isfinite(mean) else "–"
    decimals = max(1 - int(np.floor(np.log10(error))), 0)
    if decimals > 6:
        return f"{mean:.3g} ± {error:.2g}".replace("-", "−")
    return f"{mean:.{decimals}f} ± {error:.{decimals}f}".replace("-", "−")
