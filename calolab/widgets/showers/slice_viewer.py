"""SliceViewer: slices through reference and generated showers, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import traitlets

from calolab.plots import slices
from calolab.samples import Sample
from calolab.widgets.shared import frontend
from calolab.widgets.shared.live import Widget
from calolab.widgets.shared.traits import within
from calolab.widgets.showers.slicing import Slicing, slice_energies


class SliceViewer(Slicing, Widget):
    """Showers of two samples side by side, slice by slice, in one colour scale that the reference sets.

    All showers reach the browser in one binary transfer and are drawn there, so the viewer answers while the kernel is
    busy. Events are shown in pairs: event 3 of `reference` beside event 3 of `generated`. Keys, once it is clicked:
    left and right move the slice, up and down the event, the axis names turn it, `s` sums all slices, `l` changes the
    colours.

    Args:
        reference: showers or images, in any space of at least two axes.
        generated: showers in the same space, or None.
        events: at most so many events are sent to the browser, the first ones.
        names: what the two are called, e.g. `("Geant4", "GFlash")`; by default the simulations that made them, if they
            are two different ones, or else `("reference", "generated")`.

    Raises:
        TypeError: if a sample is not a Sample.
        ValueError: if a sample is empty, the spaces differ, `events` is below 1, or `names` are not two.
    """

    _esm = frontend.module(__file__)
    _css = frontend.style(__file__)

    event = traitlets.Int(help="index of the event").tag(sync=True)
    about = traitlets.Dict(read_only=True).tag(sync=True)
    showers = traitlets.Bytes(read_only=True).tag(sync=True)

    def __init__(
        self,
        reference: Sample,
        generated: Sample | None = None,
        *,
        events: int = 200,
        names: Sequence[str] | None = None,
    ):
        samples = frontend.samples_of(reference, generated, names)
        if events < 1:
            raise ValueError(f"events must be at least 1, received {events}.")
        n_all = min(len(sample) for sample in samples.values())
        self._samples = {name: sample.select(slice(min(events, n_all))) for name, sample in samples.items()}
        shown = next(iter(self._samples.values()))
        energies = slice_energies(shown)
        self._signed = slices.is_signed(shown)
        self.slices = {name: len(energy) for name, energy in energies.items()}
        about = {
            "space": frontend.describe_space(reference.space),
            "samples": [frontend.describe_events(name, sample) for name, sample in self._samples.items()],
            "signed": self._signed,
            "note": f"The first {events:,} of {n_all:,} events." if events < n_all else "",
        }
        self.set_trait("about", about)
        self.set_trait("showers", frontend.pack(*(sample.values for sample in self._samples.values())))
        # It opens where the reference is brightest.
        axis = reference.space.axes[-1]
        super().__init__(axis=axis, position=int(energies[axis].argmax()))

    @traitlets.validate("event")
    def _event_at_hand(self, proposal):
        return within("event", proposal.value, len(next(iter(self._samples.values()))))

    def _repr_png_(self):
        position = None if self.total else self.position
        return slices.show(
            self._samples, self.event, axis=self.axis, position=position, log=self.log, signed=self._signed
        )._repr_png_()
