"""Traits of the widgets that display slices; slicing.js is the JavaScript side."""

from __future__ import annotations

import numpy as np
import traitlets

from calolab.samples import Sample
from calolab.widgets.shared.traits import one_of, within


class Slicing(traitlets.HasTraits):
    """Axis, position and colours of a slice, validated against the space; `slices` must be set before the traits."""

    axis = traitlets.Unicode(help="the axis perpendicular to the slices").tag(sync=True)
    position = traitlets.Int(help="index of the slice along `axis`").tag(sync=True)
    log = traitlets.Bool(True, help="logarithmic colours").tag(sync=True)
    total = traitlets.Bool(False, help="the sum over all slices instead of a single one").tag(sync=True)
    # Number of slices along each axis.
    slices: dict[str, int]

    @traitlets.validate("axis")
    def _validate_axis(self, proposal):
        return one_of("axis", proposal.value, self.slices)

    @traitlets.validate("position")
    def _validate_position(self, proposal):
        return within("position", proposal.value, self.slices[self.axis])

    @traitlets.validate("total")
    def _validate_total(self, proposal):
        if proposal.value and len(self.slices) == 1:
            raise traitlets.TraitError("total=True requires slices of the same shape; in this space they differ.")
        return proposal.value

    @traitlets.observe("axis")
    def _limit_position(self, _):
        self.position = min(self.position, self.slices[self.axis] - 1)


def slice_energies(sample: Sample) -> dict[str, np.ndarray]:
    """Mean of the sum over each slice of a sample, by axis, in units of the space.

    All axes are included, or the depth only if the layers differ from each other; an image without depth has one slice.
    """
    space = sample.space
    if not space.has_depth:
        return {space.axes[-1]: np.zeros(1)}
    if not space.regular:
        sums = [sample.layer(k).sum(axis=(1, 2), dtype=float).mean() for k in range(len(space.layers))]
        return {space.axes[-1]: np.array(sums)}
    mean = sample.values.mean(axis=0, dtype=float)
    return {name: mean.sum(axis=tuple({0, 1, 2} - {k})) for k, name in enumerate(space.axes)}
