"""The quantities of each layer of a shower."""

from __future__ import annotations

from dataclasses import dataclass, fields

from keras import ops

CENTRED = 4  # hits apart from the core cell with which a centre is defined; with fewer it takes a few discrete values


@dataclass(frozen=True)
class LayerQuantities:
    """Quantities of each layer, all of shape `(event, layer)`.

    Args:
        hits: number of cells with energy.
        core: energy of the cell in the centre [GeV].
        ring: energy of the eight cells around it [GeV].
        outside: energy of all other cells [GeV].
        x, y: centre, weighted with the energy [pads].
        spread: mean squared distance to the centre outside the ring, weighted with the energy [pads²].
    """

    hits: object
    core: object
    ring: object
    outside: object
    x: object
    y: object
    spread: object

    @property
    def energy(self):
        """Energy of the layer [GeV]."""
        return self.core + self.ring + self.outside

    def stacked(self):
        """All of them, `(event, layer, 7)`."""
        return ops.stack([getattr(self, one.name) for one in fields(self)], axis=-1)

    @property
    def sums(self):
        """The sums of `Lattice.moments`, `(5, event, layer)`."""
        moments = self.x * self.energy, self.y * self.energy, self.spread * self.outside
        return ops.stack([self.ring, self.outside, *moments])

    @classmethod
    def of(cls, stacked):
        """Those that `stacked` returned."""
        return cls(*ops.unstack(stacked, len(fields(cls)), axis=-1))
