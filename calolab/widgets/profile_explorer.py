"""ProfileExplorer: longitudinal and transverse profiles and their moments, for a range of incident energies."""

from __future__ import annotations

import anywidget
import numpy as np
import traitlets

from calolab.plots import mean_profiles
from calolab.samples import Sample
from calolab.validation import profiles
from calolab.widgets import frontend


class ProfileExplorer(anywidget.AnyWidget):
    """Mean shower profiles of two samples with statistical bands, their ratio and their moments.

    The profiles of the single showers go to the browser, where the means over the chosen energies are formed: they
    follow the range handles at once, also while the kernel is busy. Positions and widths are those of
    `calolab.validation`.

    Args:
        reference: showers with the label `energy` [GeV].
        generated: showers in the same space, or None.
        events: at most so many events of each are sent to the browser, the first ones.

    Raises:
        TypeError: if a sample is not a Sample.
        ValueError: if a sample is empty or lacks the label, the spaces differ, or `events` is below 1.
    """

    _esm = frontend.module("profile_explorer")
    _css = frontend.style()

    energy_range = traitlets.Tuple(
        traitlets.Float(), traitlets.Float(), help="lowest and highest incident energy [GeV]"
    ).tag(sync=True)
    log = traitlets.Bool(False, help="logarithmic profiles").tag(sync=True)
    spread = traitlets.Bool(False, help="bands show the spread of showers, not the error of the mean").tag(sync=True)
    about = traitlets.Dict(read_only=True).tag(sync=True)
    numbers = traitlets.Bytes(read_only=True).tag(sync=True)

    def __init__(self, reference: Sample, generated: Sample | None = None, *, events: int = 10_000):
        samples = frontend.samples_of(reference, generated)
        if events < 1:
            raise ValueError(f"events must be at least 1, received {events}.")
        for name, sample in samples.items():
            if "energy" not in sample.labels:
                raise ValueError(f"{name} needs the label 'energy' [GeV], it has {sorted(sample.labels)}.")
        n_all = max(len(sample) for sample in samples.values())
        self._samples = {name: sample.select(slice(events)) for name, sample in samples.items()}
        space = reference.space
        # The depth first: it is what one looks at first. Where layers differ, only the depth has bins of its own.
        axes = [space.axes[-1], *space.axes[:-1]] if space.regular else [space.axes[-1]]
        self._profiles = {
            name: {axis: profiles.profile(sample, axis) for axis in axes} for name, sample in self._samples.items()
        }
        columns = []
        for name, sample in self._samples.items():
            for axis in axes:
                first, second = profiles.moments(sample, axis)
                columns += [self._profiles[name][axis], first, np.sqrt(second)]
            columns.append(sample.values.reshape(len(sample), -1).sum(axis=1, dtype=float))
        about = {
            "space": frontend.describe_space(space),
            "profiles": [
                {"axis": axis, "unit": space.units[space.axes.index(axis)], "edges": space.edges(axis).tolist()}
                for axis in axes
            ],
            "samples": [
                {"name": name, "energies": sample.labels["energy"].tolist()} for name, sample in self._samples.items()
            ],
            "note": f"The first {events:,} of {n_all:,} events." if events < n_all else "",
        }
        self.set_trait("about", about)
        self.set_trait("numbers", frontend.pack(*columns))
        energies = np.concatenate([sample.labels["energy"] for sample in self._samples.values()])
        super().__init__(energy_range=(float(energies.min()), float(energies.max())))

    @traitlets.validate("energy_range")
    def _in_order(self, proposal):
        low, high = proposal.value
        if low > high:
            raise traitlets.TraitError(f"energy_range must be (low, high) in GeV, received {proposal.value}.")
        return proposal.value

    def _repr_png_(self):
        low, high = self.energy_range
        chosen = {}
        for name, sample in self._samples.items():
            inside = (sample.labels["energy"] >= low) & (sample.labels["energy"] <= high)
            chosen[name] = {axis: profile[inside] for axis, profile in self._profiles[name].items()}
        space = next(iter(self._samples.values())).space
        return mean_profiles.show(space, chosen, title=f"{low:.4g} to {high:.4g} GeV", log=self.log)._repr_png_()
