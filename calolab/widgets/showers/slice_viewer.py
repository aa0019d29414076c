"""SliceViewer: slices of reference and generated showers, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import traitlets

from calolab.generators import Generator
from calolab.plots import slices
from calolab.samples import Sample
from calolab.widgets.shared import frontend
from calolab.widgets.shared.live import Widget
from calolab.widgets.shared.side_by_side import first_events
from calolab.widgets.shared.traits import within
from calolab.widgets.showers.slicing import Slicing, slice_energies


class SliceViewer(Slicing, Widget):
    """Slices of the showers of two samples side by side, in one colour scale that is set by the reference.

    All showers are sent to the browser in one binary transfer and drawn there, so the viewer can be used while the
    kernel is busy. Events are displayed in pairs: event 3 of `reference` next to event 3 of `generated`. Keys, after a
    click on the widget: left and right change the slice, up and down the event, the names of the axes the direction,
    `s` sums all slices, `l` switches between logarithmic and linear colours.

    Args:
        reference: showers or images, in any space of at least two axes.
        generated: showers in the same space; a `Generator`, which generates showers with the labels of the reference;
            or None.
        events: maximum number of events that are sent to the browser, the first ones.
        names: names of the two samples, e.g. `("Geant4", "GFlash")`; by default the simulations that produced them, if
            these differ, or else `("reference", "generated")`.
        seed: seed of a generator.

    Raises:
        TypeError: if a sample is not a Sample.
        ValueError: if a sample is empty, the spaces differ, `events` is less than 1, the reference lacks a label that
            the generator needs, or `names` are not two different names.
    """

    _esm = frontend.module(__file__)
    _css = frontend.style(__file__)

    event = traitlets.Int(help="index of the event").tag(sync=True)
    about = traitlets.Dict(read_only=True).tag(sync=True)
    showers = traitlets.Bytes(read_only=True).tag(sync=True)

    def __init__(
        self,
        reference: Sample,
        generated: Sample | Generator | None = None,
        *,
        events: int = 200,
        names: Sequence[str] | None = None,
        seed: int = 0,
    ):
        self._samples, note = first_events(reference, generated, names, events, seed=seed, in_pairs=True)
        first_sample = next(iter(self._samples.values()))
        energies = slice_energies(first_sample)
        self._signed = slices.is_signed(first_sample)
        self.slices = {name: len(energy) for name, energy in energies.items()}
        about = {
            "space": frontend.describe_space(reference.space),
            "samples": [frontend.describe_events(name, sample) for name, sample in self._samples.items()],
            "signed": self._signed,
            "note": note,
        }
        self.set_trait("about", about)
        self.set_trait("showers", frontend.pack(*(sample.values for sample in self._samples.values())))
        # At first the slice with the highest mean energy of the reference.
        axis = reference.space.axes[-1]
        # Energies span decades; a signed quantity such as convergence varies around zero.
        super().__init__(axis=axis, position=int(energies[axis].argmax()), log=not self._signed)

    @traitlets.validate("event")
    def _validate_event(self, proposal):
        return within("event", proposal.value, len(next(iter(self._samples.values()))))

    def _repr_png_(self):
        position = None if self.total else self.position
        return slices.show(
            self._samples, self.event, axis=self.axis, position=position, log=self.log, signed=self._signed
        )._repr_png_()
