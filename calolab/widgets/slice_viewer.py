"""SliceViewer: slices through reference and generated showers, side by side."""

from __future__ import annotations

import anywidget
import numpy as np
import traitlets

from calolab.plots import slices
from calolab.samples import Sample
from calolab.widgets import frontend


class SliceViewer(anywidget.AnyWidget):
    """Showers of two samples side by side, slice by slice, in one colour scale.

    All showers reach the browser in one binary transfer and are drawn there, so the viewer answers while the kernel is
    busy. Events are shown in pairs: event 3 of `reference` beside event 3 of `generated`. Keys, once it is clicked: left and
    right move the slice, up and down the event, the axis names turn it, `s` sums all slices, `l` changes the colours.

    Args:
        reference: showers or images, in any space of at least two axes.
        generated: showers in the same space, or None.
        events: at most so many events are sent to the browser, the first ones.

    Raises:
        TypeError: if a sample is not a Sample.
        ValueError: if a sample is empty, the spaces differ, or `events` is below 1.
    """

    _esm = frontend.module("slice_viewer")
    _css = frontend.style()

    axis = traitlets.Unicode(help="the axis along which the slices follow each other").tag(sync=True)
    position = traitlets.Int(help="index of the slice along `axis`").tag(sync=True)
    event = traitlets.Int(help="index of the event").tag(sync=True)
    log = traitlets.Bool(True, help="logarithmic colours").tag(sync=True)
    total = traitlets.Bool(False, help="the sum over all slices instead of one").tag(sync=True)
    showers = traitlets.Bytes(read_only=True).tag(sync=True)
    about = traitlets.Dict(read_only=True).tag(sync=True)

    def __init__(self, reference: Sample, generated: Sample | None = None, *, events: int = 200):
        samples = frontend.samples_of(reference, generated)
        if events < 1:
            raise ValueError(f"events must be at least 1, received {events}.")
        n_all = min(len(sample) for sample in samples.values())
        self._samples = {name: sample.select(slice(min(events, n_all))) for name, sample in samples.items()}
        # Mean energy of the reference in each slice, for every axis that can be cut: the viewer opens at the brightest.
        self._energies = _slice_energies(self._samples["reference"])
        self.set_trait("showers", frontend.pack(*(sample.values for sample in self._samples.values())))
        self.set_trait(
            "about",
            {
                "space": frontend.describe_space(reference.space),
                "note": f"The first {events:,} of {n_all:,} events." if events < n_all else "",
                "samples": [frontend.describe_events(name, sample) for name, sample in self._samples.items()],
            },
        )
        axis = reference.space.axes[-1]
        super().__init__(axis=axis, position=int(np.argmax(self._energies[axis])))

    @traitlets.validate("axis")
    def _known_axis(self, proposal):
        if proposal.value not in self._energies:
            raise traitlets.TraitError(f"axis must be one of {list(self._energies)}, received {proposal.value!r}.")
        return proposal.value

    @traitlets.validate("event")
    def _event_at_hand(self, proposal):
        return _within("event", proposal.value, len(self._samples["reference"]))

    @traitlets.validate("position")
    def _position_on_axis(self, proposal):
        return _within("position", proposal.value, len(self._energies[self.axis]))

    @traitlets.observe("axis")
    def _keep_on_axis(self, _):
        self.position = min(self.position, len(self._energies[self.axis]) - 1)

    def _repr_png_(self):
        position = None if self.total else self.position
        return slices.show(self._samples, self.event, axis=self.axis, position=position, log=self.log)._repr_png_()


def _within(name, index, count):
    if not 0 <= index < count:
        raise traitlets.TraitError(f"{name} must be between 0 and {count - 1}, received {index}.")
    return index


def _slice_energies(sample):
    space = sample.space
    if not space.has_depth:
        return {space.axes[-1]: np.zeros(1)}
    if not space.regular:
        sums = [sample.layer(k).sum(axis=(1, 2), dtype=float).mean() for k in range(len(space.layers))]
        return {space.axes[-1]: np.array(sums)}
    mean = sample.values.mean(axis=0, dtype=float)
    return {name: mean.sum(axis=tuple({0, 1, 2} - {k})) for k, name in enumerate(space.axes)}
