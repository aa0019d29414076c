"""Symmetries of a space: reflections, exchanges and rotations that map its cells onto each other and keep the physics.

Which ones a space has follows from its axes and cell edges:

- a calorimeter with pads (particles enter in the middle, perpendicularly): reflections of both axes and their exchange,
  the eight symmetries of a square; four for oblong pads;
- a calorimeter in alpha and r around the particle: rotations and the reflection of alpha. Data set 1 of the
  CaloChallenge, whose depths are not in mm, has none: particles do not enter ATLAS perpendicularly;
- an image in eta and phi with phi all around: the reflection of eta, and rotations and the reflection of phi (in a
  magnetic field this neglects that there are more positive than negative particles);
- a map of the sky, in rows and columns: those of a square.

Jet images have none: their preprocessing turns and mirrors each jet into one orientation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import gcd

import numpy as np

from calolab.spaces import Space

# Labels that are the direction of a particle. A label with the name of an axis is a direction or a position along it.
DIRECTIONS = ("theta", "mtheta", "phi", "eta", "alpha")


@dataclass(frozen=True)
class Symmetry:
    """A permutation of the cells of each layer: exchange of its two axes, then reflections, then rotations.

    Args:
        name: e.g. `"identity"`, `"reflect x"` or `"exchange x and y"`.
        exchange: whether the two axes are exchanged.
        reflect: for each axis whether it is reversed.
        turn: for each axis by which fraction of a full turn the values move along it; 0 for an axis that is no angle.
    """

    name: str
    exchange: bool = False
    reflect: tuple[bool, bool] = (False, False)
    turn: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The permuted values of one layer, or of all layers if they have the same cells.

        Args:
            values: shape `(event, first axis, second axis, ...)`.
        """
        if self.exchange:
            values = np.swapaxes(values, 1, 2)
        values = values[:, *(slice(None, None, -1 if flip else 1) for flip in self.reflect)]
        for axis, turn in enumerate(self.turn, start=1):
            # A layer with a single cell around the axis looks the same after any rotation.
            if turn and values.shape[axis] > 1:
                values = np.roll(values, int(turn * values.shape[axis]), axis)
        return values


def symmetries(space: Space, labels: Iterable[str] = ()) -> tuple[Symmetry, ...]:
    """The symmetries of a space that leave labels of its events true; the identity is the first.

    Angles of incidence and positions change under most symmetries. Energies, masses and the like do not, and neither
    should labels with other names.

    Args:
        space: the space.
        labels: names of the labels. With `theta`, the angle to the y axis, a calorimeter keeps the reflection of x.

    Returns:
        A group: each product of two of them and each inverse is one of them, too.

    >>> from calolab import spaces
    >>> [symmetry.name for symmetry in symmetries(spaces.space("calogan"))]
    ['identity', 'reflect phi', 'reflect eta', 'reflect eta and phi']
    >>> len(symmetries(spaces.space("clic-ecal"))), len(symmetries(spaces.space("clic-ecal"), ["theta"]))
    (8, 2)
    """
    if len(space.axes) - space.has_depth != 2:
        return (Symmetry("identity"),)
    free = [axis not in _fixed(space, labels) for axis in (0, 1)]
    bins = [_bins_of_a_turn(space, axis) if free[axis] else 1 for axis in (0, 1)]
    reflects = [free[axis] and (bins[axis] > 1 or _is_mirrored(space, axis)) for axis in (0, 1)]
    exchanges = all(free) and _is_square(space)
    names = space.axes[:2]
    found = []
    for exchange, *flips in product(*((False, True)[: 1 + allowed] for allowed in (exchanges, *reflects))):
        for steps in product(*map(range, bins)):
            turn = tuple(Fraction(step, number) for step, number in zip(steps, bins))
            words = [f"exchange {names[0]} and {names[1]}"] if exchange else []
            if any(flips):
                words.append(f"reflect {' and '.join(name for name, flip in zip(names, flips) if flip)}")
            words += [f"rotate {name} by {part} turn" for name, part in zip(names, turn) if part]
            found.append(Symmetry(", ".join(words) or "identity", exchange, tuple(flips), turn))
    return tuple(found)


def transform(space: Space, values: np.ndarray, group: Sequence[Symmetry], chosen: np.ndarray) -> np.ndarray:
    """Apply one symmetry to each event.

    Args:
        space: the space of the values.
        values: shape `(event, *space.shape)`.
        group: symmetries of the space.
        chosen: index in `group` for each event, shape `(event,)`.

    Returns:
        New values of the same shape.
    """
    values, chosen = np.asarray(values), np.asarray(chosen)
    made = np.empty_like(values)
    for number in np.unique(chosen):
        events = np.flatnonzero(chosen == number)
        if space.regular:
            made[events] = group[number](values[events])
            continue
        for layer, start, stop in zip(space.layers, space.layer_starts, space.layer_starts[1:]):
            part = values[events, start:stop].reshape(len(events), *layer.shape)
            made[events, start:stop] = group[number](part).reshape(len(events), -1)
    return made


def _fixed(space: Space, labels: Iterable[str]) -> set[int]:
    """The axes, 0 and 1, along which a label is a direction or a position, so that it would change with them."""
    axes, fixed = space.axes[:2], set()
    for name in labels:
        if name in axes and axes[0] != "alpha":
            fixed.add(axes.index(name))
        elif name in ("theta", "mtheta") and axes == ("x", "y"):
            fixed.add(1)
        elif name in ("theta", "mtheta") and axes == ("eta", "phi") and not space.has_depth:
            fixed.add(0)
        elif name in (*DIRECTIONS, *axes):
            fixed |= {0, 1}
    return fixed


def _is_angle(space: Space, axis: int) -> bool:
    """Whether an axis is an angle around which the detector is the same everywhere."""
    name = space.axes[axis]
    return (name == "alpha" and space.units[-1] == "mm") or (name == "phi" and not space.has_depth)


def _bins_of_a_turn(space: Space, axis: int) -> int:
    """Into how many equal parts a full turn can be divided so that each rotates all layers onto themselves."""
    if not _is_angle(space, axis):
        return 1
    edges = [np.array(layer.edges[axis]) for layer in space.layers]
    if not all(np.allclose(one, np.linspace(one[0], one[0] + 2 * np.pi, len(one)), atol=1e-4) for one in edges):
        return 1
    several = [one for one in edges if len(one) > 2]
    if any(abs(one[0] - several[0][0]) > 1e-4 for one in several):
        return 1
    return gcd(*(len(one) - 1 for one in several)) or 1


def _is_mirrored(space: Space, axis: int) -> bool:
    """Whether the reflection of an axis maps the edges of all layers onto themselves and keeps the physics."""
    # The origin is where a particle enters, and the collision at eta = 0; a map of the sky has no special point.
    sky, about_origin = space.axes == ("row", "column"), space.has_depth or _is_whole_detector(space)
    if not (sky or about_origin) or space.axes[axis] in ("alpha", "r"):
        return False
    edges = [np.array(layer.edges[axis]) for layer in space.layers]
    if sky:
        edges = [one - (one[0] + one[-1]) / 2 for one in edges]
    return all(np.allclose(one, -one[::-1], atol=1e-6 * np.ptp(one)) for one in edges)


def _is_square(space: Space) -> bool:
    """Whether both axes of all layers have the same edges, and directions along both are equivalent."""
    if not _is_mirrored(space, 0) or space.units[0] != space.units[1] or _is_whole_detector(space):
        return False
    sides = [[np.array(axis) for axis in layer.edges] for layer in space.layers]
    if not space.has_depth:
        sides = [[side - (side[0] + side[-1]) / 2 for side in pair] for pair in sides]
    return all(len(a) == len(b) and np.allclose(a, b, atol=1e-6 * np.ptp(a)) for a, b in sides)


def _is_whole_detector(space: Space) -> bool:
    """Whether this is an image in eta and phi with phi all around, rather than one around a jet."""
    return space.axes == ("eta", "phi") and _bins_of_a_turn(space, 1) > 1
