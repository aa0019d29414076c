"""Spaces: named detectors and grids, which define the meaning of a value array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from html import escape
from itertools import pairwise
from os import PathLike
from pathlib import Path

import numpy as np

from calolab import calochallenge
from calolab.calochallenge import LayerBinning
from calolab.labels import symbol
from calolab.layers import Layer, Slab, changed, description, pad_edges, stack
from calolab.names import check_name

__all__ = ["Layer", "Slab", "Space", "from_xml", "names", "pad_edges", "space", "stack", "with_unit"]


@dataclass(frozen=True)
class Space:
    """Meaning of a value array: axes, cells, layers that may differ from each other, the quantity and its unit.

    A calorimeter whose layers all have the same cells is *regular*: its values are `(event, x, y, z)`. If layers
    differ in shape, values are flat, `(event, cell)` in layer order, and `Sample.layer(i)` returns a layer in its
    shape. A plain image has one layer without depth: `(event, eta, phi)`.

    Args:
        name: the name with which `space(name)` returns it, or any other name.
        axes: axis names of a layer, then `z` for a calorimeter, e.g. `("x", "y", "z")` or `("eta", "phi")`.
        units: one unit per axis, e.g. `("mm", "mm", "mm")`.
        layers: the layers, in depth order.
        quantity: physical quantity of a cell's value, e.g. `"deposited energy"`.
        unit: its unit, e.g. `"GeV"`.

    Raises:
        ValueError: if axes, units and layers do not fit together.
    """

    name: str
    axes: tuple[str, ...]
    units: tuple[str, ...]
    layers: tuple[Layer, ...]
    quantity: str = "deposited energy"
    unit: str = "GeV"

    def __post_init__(self):
        for field in ("axes", "units", "layers"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        texts = (self.name, self.quantity, self.unit, *self.axes, *self.units)
        if not self.name or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"A space needs strings as name (not empty), axes, quantity and units; it has {texts}.")
        if not self.layers:
            raise ValueError(f"Space {self.name!r} needs at least one layer.")
        if len(self.axes) != len(self.units):
            raise ValueError(f"Space {self.name!r} has axes {self.axes} but units {self.units}: one unit per axis.")
        transverse = len(self.axes) - (1 if self.has_depth else 0)
        if any(len(layer.edges) != transverse for layer in self.layers):
            raise ValueError(
                f"Space {self.name!r} with axes {self.axes} expects layers with {transverse} edge arrays, "
                f"received {[len(layer.edges) for layer in self.layers]}."
            )
        if not self.has_depth and len(self.layers) != 1:
            raise ValueError(f"Space {self.name!r} has several layers, so each needs its depth.")

    @property
    def has_depth(self) -> bool:
        """Whether this is a calorimeter (layers in depth) rather than a plain image."""
        return self.layers[0].depth is not None

    @cached_property
    def regular(self) -> bool:
        """Whether all layers have the same cells, so that the values of an event are a rectangular array."""
        return all(layer.edges == self.layers[0].edges for layer in self.layers)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of one event's values."""
        if not self.regular:
            return (self.n_cells,)
        return self.layers[0].shape + ((len(self.layers),) if self.has_depth else ())

    @cached_property
    def n_cells(self) -> int:
        """Number of cells in one event."""
        return sum(layer.n_cells for layer in self.layers)

    @cached_property
    def layer_starts(self) -> tuple[int, ...]:
        """Index of the first cell of each layer in a flat array, and the number of all cells as the last entry."""
        return (0, *np.cumsum([layer.n_cells for layer in self.layers]).tolist())

    @property
    def noun(self) -> str:
        """Plural noun for its events: showers, events, maps or images."""
        if self.has_depth:
            return "showers"
        return {"tower energy": "events", "convergence": "maps"}.get(self.quantity, "images")

    def edges(self, axis: str) -> np.ndarray:
        """Cell edges along a named axis, shape `(cells + 1,)`, in that axis's unit; in depth, the layer boundaries.

        Raises:
            ValueError: if there is no such axis, or it differs from layer to layer (use `layers[i].edges` then).
        """
        if axis not in self.axes:
            raise ValueError(f"Space {self.name!r} has axes {self.axes}, received {axis!r}.")
        position = self.axes.index(axis)
        if self.has_depth and position == len(self.axes) - 1:
            return np.array([self.layers[0].depth[0], *(layer.depth[1] for layer in self.layers)])
        if not self.regular:
            raise ValueError(f"The layers of {self.name!r} differ: use .layers[i].edges[{position}].")
        return np.array(self.layers[0].edges[position])

    def centres(self, axis: str) -> np.ndarray:
        """Cell centres along a named axis, shape `(cells,)`; along the depth, the middles of the sensitive slabs."""
        if self.has_depth and axis == self.axes[-1]:
            return np.array([layer.sensitive_depth for layer in self.layers])
        edges = self.edges(axis)
        return (edges[1:] + edges[:-1]) / 2

    @property
    def rows_first(self) -> bool:
        """Whether this is an image of rows and columns, whose first axis is vertical and points down."""
        return not self.has_depth and self.axes[0] == "row"

    def axis_label(self, axis: str) -> str:
        """The axis with its unit, as on a plot, e.g. `x [mm]` or `φ [rad]`."""
        return with_unit(symbol(axis), self.units[self.axes.index(axis)])

    def replaced(
        self,
        *,
        material: Mapping[str, str] | None = None,
        thickness: Mapping[str, float] | None = None,
        scale: Mapping[str, float] | None = None,
        pads: float | Sequence[float] | None = None,
        name: str | None = None,
    ) -> Space:
        """The same calorimeter with other materials, thicknesses or cells, with its layers stacked again in depth.

        Args:
            material: new materials by present ones, e.g. `{"W": "Pb"}`; see `Slab` for their names.
            thickness: new thickness of all slabs of a present material [mm], e.g. `{"W": 2.0}`.
            scale: factor on the thickness of all slabs of a present material, e.g. `{"W": 1.25}`.
            pads: new size of the cells, one number or one along each axis [mm]; their number stays.
            name: name of the new space; by default this name and the changes.

        Returns:
            The new space. The thicknesses of slabs that are not named do not change, so the depth of the layers does.

        Raises:
            ValueError: if there is no such material or no slab at all, a size is not positive, nothing changes, or the
                name is that of another space.

        >>> space("clic-ecal").replaced(material={"W": "lead"}, scale={"W": 1.6})
        Space('clic-ecal, W -> Pb x 1.6', shape=(25, 25, 25), deposited energy [GeV])
        """
        if not self.has_depth:
            raise ValueError(
                f"Space {self.name!r} is an image, without materials or depth; only a calorimeter has them."
            )
        if pads is not None:
            if set(self.units[:-1]) != {"mm"}:
                raise ValueError(f"replaced(pads=) needs cells in mm, but those of {self.name!r} are in {self.units}.")
            if np.shape(pads) not in ((), (2,)):
                raise ValueError(f"replaced(pads=) expects one number or one along each axis [mm], received {pads!r}.")
            pads = tuple(np.broadcast_to(np.asarray(pads, np.float64), 2).tolist())
        changes = (material or {}, thickness or {}, scale or {}, pads)
        try:
            layers = changed(self.layers, *changes)
        except ValueError as error:
            raise ValueError(f"Space {self.name!r} cannot be changed in this way: {error}") from error
        if layers == self.layers:
            raise ValueError(
                f"replaced() changes nothing in {self.name!r}: give material=, thickness=, scale= or pads= with values "
                "that it does not have."
            )
        name = name or f"{self.name}, {description(*changes)}"
        if name in (self.name, *names()):
            raise ValueError(f"The name {name!r} is that of another space: give the changed one a name of its own.")
        return replace(self, name=name, layers=layers)

    def to_dict(self) -> dict:
        """The space as plain numbers and strings that JSON can hold; `Space.from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping) -> Space:
        """Rebuild a space from `to_dict`."""
        layers = [
            Layer(
                edges=layer["edges"],
                depth=None if layer["depth"] is None else tuple(layer["depth"]),
                slabs=tuple(Slab(**slab) for slab in layer["slabs"]),
            )
            for layer in content["layers"]
        ]
        return cls(**{**content, "layers": tuple(layers)})

    def __repr__(self):
        return f"Space({self.name!r}, shape={self.shape}, {with_unit(self.quantity, self.unit)})"

    def _repr_html_(self):
        where = f"{len(self.layers)} layers, " if self.has_depth else ""
        return (
            f"<b>{escape(self.name)}</b>: {where}{' x '.join(map(str, self.shape))} cells "
            f"({', '.join(escape(self.axis_label(axis)) for axis in self.axes)}), "
            f"{escape(with_unit(self.quantity, self.unit))}"
        )


def with_unit(text: str, unit: str) -> str:
    """A quantity with its unit, as on a plot or in a table; without brackets if it has no unit.

    Args:
        text: name or symbol of the quantity.
        unit: its unit, or an empty string.

    >>> with_unit("energy", "GeV")
    'energy [GeV]'
    """
    return f"{text} [{unit}]" if unit else text


def _clic_ecal(name: str, pads: int) -> Space:
    """CLIC's ECAL as calolab simulates it: 17 thin and 8 thick tungsten absorbers, 0.5 mm silicon, 5.1 mm pads."""
    edges = (pad_edges(pads, 5.1), pad_edges(pads, 5.1))
    slabs = [
        (Slab("W", 2.4 if layer < 17 else 4.8), Slab("Si", 0.5, sensitive=True), Slab("Air", 1.5))
        for layer in range(25)
    ]
    return Space(name, ("x", "y", "z"), ("mm", "mm", "mm"), stack(slabs, [edges] * 25))


def _calogan() -> Space:
    """The three-layer lead and liquid-argon calorimeter of CaloGAN (arXiv:1705.02355): 3x96, 12x12, 12x6 cells.

    It consists of 80 sheets of 2 mm lead and 4 mm argon, read out in depths of 90, 347 and 43 mm. These do not coincide
    with sheet boundaries, so the layers have no slabs here; all deposits count, including those in the absorber.
    """
    shapes, borders = ((3, 96), (12, 12), (12, 6)), (0.0, 90.0, 437.0, 480.0)
    layers = [
        Layer(edges=(pad_edges(rows, 480.0 / rows), pad_edges(columns, 480.0 / columns)), depth=depth)
        for (rows, columns), depth in zip(shapes, pairwise(borders))
    ]
    return Space("calogan", ("eta", "phi", "z"), ("mm", "mm", "mm"), tuple(layers))


def _cylinder(name: str, layers: Sequence[LayerBinning], thickness: float, unit: str) -> Space:
    """Cells in alpha and r around the direction of the incident particle, in adjacent layers of equal thickness."""
    stacked = [Layer(layer.edges, (i * thickness, (i + 1) * thickness)) for i, layer in enumerate(layers)]
    return Space(name, ("alpha", "r", "z"), ("rad", "mm", unit), tuple(stacked))


def _calochallenge(data_set: str) -> Space:
    """The cells of a CaloChallenge data set; the depths of data set 1 are not published and are given in layers."""
    depth = (calochallenge.LAYER_DEPTH, "mm") if data_set in ("2", "3") else (1.0, "layer")
    return _cylinder(f"calochallenge-{data_set}", calochallenge.BINNINGS[data_set], *depth)


def _par04(name: str, data_set: str) -> Space:
    """A mesh of Geant4's example Par04, with the deposits in silicon, which the CaloChallenge divides by 0.033."""
    return _cylinder(name, calochallenge.BINNINGS[data_set], calochallenge.LAYER_DEPTH, "mm")


def from_xml(path: str | PathLike, particle: str | None = None) -> Space:
    """The space of a binning file of the CaloChallenge (arXiv:2410.21611): cells in alpha and r around the particle.

    Args:
        path: the XML file, e.g. `binning_dataset_2.xml`.
        particle: name of the particle in it, e.g. `"photon"`; may be None if it describes only one.

    Returns:
        The named space with this binning, e.g. `calochallenge-2`, or one named after the file, whose depths are in
        layers because the file does not contain them.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not such a file, contains a document type declaration, or lacks the particle.
    """
    layers = calochallenge.read_xml(path, particle)
    known = next((name for name, binning in calochallenge.BINNINGS.items() if binning == layers), None)
    return space(f"calochallenge-{known}") if known else _cylinder(Path(path).stem, layers, 1.0, "layer")


def _image(name: str, axes: tuple, units: tuple, edges: tuple, quantity: str, unit: str) -> Space:
    """A plain image: one layer without depth."""
    return Space(name, axes, units, (Layer(edges),), quantity, unit)


def _whole_detector() -> Space:
    """The whole-detector images of the RPV GANs (arXiv:1711.03573): tower energies in 64 x 64 bins of eta and phi."""
    edges = (np.linspace(-2.5, 2.5, 65), np.linspace(-np.pi, np.pi, 65))
    return _image("whole-detector", ("eta", "phi"), ("", "rad"), edges, "tower energy", "GeV")


def _jet_image() -> Space:
    """LAGAN's jet images (arXiv:1701.05927): 25 x 25 pixels of 0.1 around the jet, with its second subjet below."""
    edges = (pad_edges(25, 0.1), pad_edges(25, 0.1))
    return _image("jet-image", ("eta", "phi"), ("", "rad"), edges, "transverse momentum", "GeV")


def _convergence() -> Space:
    """CosmoGAN's weak-lensing maps (arXiv:1706.02390): 256 x 256 pixels, 1.75 degrees wide."""
    edges = (pad_edges(256, 1.75 / 256), pad_edges(256, 1.75 / 256))
    return _image("convergence", ("row", "column"), ("deg", "deg"), edges, "convergence", "")


_BUILDERS = {
    "clic-ecal": lambda: _clic_ecal("clic-ecal", 25),
    "clic-ecal-51": lambda: _clic_ecal("clic-ecal-51", 51),
    "calogan": _calogan,
    **{f"calochallenge-{name}": partial(_calochallenge, name) for name in calochallenge.BINNINGS},
    **{f"par04{end}": partial(_par04, f"par04{end}", of) for end, of in (("", "3"), ("-low", "2"))},
    "whole-detector": _whole_detector,
    "jet-image": _jet_image,
    "convergence": _convergence,
}
_built: dict[str, Space] = {}


def names() -> list[str]:
    """Names of all spaces that `space` accepts."""
    return sorted(_BUILDERS)


def space(name: str | Space) -> Space:
    """The detector or grid with this name.

    Args:
        name: one of `names()`, or a `Space`, which is returned unchanged.

    Raises:
        ValueError: for an unknown name, with the nearest known ones.
    """
    if isinstance(name, Space):
        return name
    check_name("space", name, names())
    if name not in _built:
        _built[name] = _BUILDERS[name]()
    return _built[name]
