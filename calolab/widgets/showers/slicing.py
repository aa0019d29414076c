"""The traits of widgets that show slices: which axis, which slice, which colours; slicing.js is the other half."""

from __future__ import annotations

import numpy as np
import traitlets

from calolab.samples import Sample
from calolab.widgets.shared.traits import one_of, within


class Slicing(traitlets.HasTraits):
    """Axis, position and colours of a slice, held to what the space has; `slices` is set before the traits are."""

    axis = traitlets.Unicode(help="the axis along which the slices follow each other").tag(sync=True)
    position = traitlets.Int(help="index of the slice along `axis`").tag(sync=True)
    log = traitlets.Bool(True, help="logarithmic colours").tag(sync=True)
    total = traitlets.Bool(False, help="the sum over all slices instead of one").tag(sync=True)
    # Number of slices along each axis that can be cut.
    slices: dict[str, int]

    @traitlets.validate("axis")
    def _known_axis(self, proposal):
        return one_of("axis", proposal.value, self.slices)

    @traitlets.validate("position")
    def _position_on_axis(self, proposal):
        return within("position", proposal.value, self.slices[self.axis])

    @traitlets.validate("total")
    def _summable(self, proposal):
        if proposal.value and len(self.slices) == 1:
            raise traitlets.TraitError("total=True needs slices of one shape: they differ in this space.")
        return proposal.value

    @traitlets.observe("axis")
    def _keep_on_axis(self, _):
        self.position = min(self.position, self.slices[self.axis] - 1)


def slice_energies(sample: Sample) -> dict[str, np.ndarray]:
    """Mean energy in each slice of a sample, for every axis that can be cut: all, or the depth where layers differ."""
    space = sample.space
    if not space.has_depth:
        return {space.axes[-1]: np.zeros(1)}
    if not space.regular:
        sums = [sample.layer(k).sum(axis=(1, 2), dtype=float).mean() for k in range(len(space.layers))]
        return {space.axes[-1]: np.array(sums)}
    mean = sample.values.mean(axis=0, dtype=float)
    return {name: mean.sum(axis=tuple({0, 1, 2} - {k})) for k, name in enumerate(space.axes)}
