"""Layers of a detector: cell edges across, slabs of materials in depth, and how both are changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from calolab import materials


@dataclass(frozen=True)
class Slab:
    """A sheet of one material inside a layer.

    Args:
        material: name of the material, e.g. `"W"`, `"lead"` or `"liquid argon"`: one of those in `materials.NAMES`, in
            which it is then stored as `"W"`, `"Pb"` or `"lAr"`, or any of Geant4's NIST database.
        thickness: along the shower axis [mm].
        sensitive: whether its energy deposits are read out.

    Raises:
        ValueError: if the thickness is not positive and finite, or the material is not a name.
    """

    material: str
    thickness: float
    sensitive: bool = False

    def __post_init__(self):
        object.__setattr__(self, "material", materials.canonical(self.material))
        if not 0 < self.thickness < np.inf:
            raise ValueError(
                f"Slab thickness must be positive and finite [mm], received {self.thickness} for {self.material}."
            )


@dataclass(frozen=True)
class Layer:
    """One readout layer: cell edges along its axes and, in a calorimeter, its depth and its materials.

    Args:
        edges: one increasing tuple of cell edges per axis, in the axis's unit.
        depth: start and end of the layer along the shower axis [mm], or None for a plain image.
        slabs: the materials in the order in which the particle crosses them; their thicknesses add up to `depth`.

    Raises:
        ValueError: if edges do not increase, or slabs and depth disagree.
    """

    edges: tuple[tuple[float, ...], ...]
    depth: tuple[float, float] | None = None
    slabs: tuple[Slab, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "edges", tuple(tuple(float(e) for e in axis) for axis in self.edges))
        for axis in self.edges:
            if len(axis) < 2 or not np.all(np.isfinite(axis)) or any(b <= a for a, b in pairwise(axis)):
                raise ValueError(f"Layer edges must be finite and increasing, at least two of them, received {axis}.")
        if self.depth is not None and not (len(self.depth) == 2 and -np.inf < self.depth[0] < self.depth[1] < np.inf):
            raise ValueError(f"A layer's depth must be (begin, end) with begin < end [mm], received {self.depth}.")
        if self.slabs:
            if self.depth is None:
                raise ValueError("A layer with slabs needs its depth=(begin, end) in mm.")
            total = sum(slab.thickness for slab in self.slabs)
            if abs(total - (self.depth[1] - self.depth[0])) > 1e-6:
                raise ValueError(f"Slabs fill {total} mm, but the layer's depth spans {self.depth} mm.")

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of cells along each axis."""
        return tuple(len(axis) - 1 for axis in self.edges)

    @property
    def n_cells(self) -> int:
        """Number of cells in the layer."""
        return int(np.prod(self.shape))

    @property
    def sensitive_depth(self) -> float:
        """Depth of the middle of the sensitive slab, or of the layer where none is marked [mm]."""
        if self.depth is None:
            raise ValueError("This layer has no depth: it belongs to an image, not to a calorimeter.")
        position = self.depth[0]
        for slab in self.slabs:
            if slab.sensitive:
                return position + slab.thickness / 2
            position += slab.thickness
        return sum(self.depth) / 2


def pad_edges(n_cells: int, size: float) -> tuple[float, ...]:
    """Edges of equal cells, centred on zero.

    Args:
        n_cells: number of cells.
        size: width of a cell, in any unit.

    Returns:
        `n_cells + 1` edges in the same unit.
    """
    return tuple((np.arange(n_cells + 1) - n_cells / 2) * size)


def stack(
    slabs_per_layer: Iterable[Sequence[Slab]], edges: Iterable[Sequence], start: float = 0.0
) -> tuple[Layer, ...]:
    """Stack layers in depth.

    Args:
        slabs_per_layer: for each layer its slabs, in the order in which the particle crosses them.
        edges: for each layer its cell edges along both axes.
        start: depth at which the first layer begins [mm].
    """
    layers = []
    for slabs, layer_edges in zip(slabs_per_layer, edges, strict=True):
        end = start + sum(slab.thickness for slab in slabs)
        layers.append(Layer(edges=tuple(layer_edges), depth=(start, end), slabs=tuple(slabs)))
        start = end
    return tuple(layers)


def changed(
    layers: Sequence[Layer],
    material: Mapping[str, str],
    thickness: Mapping[str, float],
    scale: Mapping[str, float],
    pads: Sequence[float] | None,
) -> tuple[Layer, ...]:
    """Layers with other materials, thicknesses or cells, stacked from the same front face.

    Args:
        layers: the layers as they are, in depth order.
        material: new material by material.
        thickness: thickness of all slabs of a material [mm], by material.
        scale: factor on the thickness of all slabs of a material, by material.
        pads: size of the cells along both axes [mm], as many as before and centred where they were; None to keep them.

    Raises:
        ValueError: if the layers do not have one of the materials, or a size is not positive.
    """
    present = list(dict.fromkeys(slab.material for layer in layers for slab in layer.slabs))
    changes = [
        {materials.canonical(name): new for name, new in change.items()} for change in (material, thickness, scale)
    ]
    for name in dict.fromkeys(name for change in changes for name in change):
        if name not in present:
            raise ValueError(f"There is no slab of {name!r}; the materials are {', '.join(present) or 'not defined'}.")
    names, sizes, factors = changes
    if both := sizes.keys() & factors.keys():
        raise ValueError(f"Give either the thickness or the scale of {', '.join(sorted(both))}, not both.")
    for what, numbers in (("thickness", sizes), ("scale", factors), ("pads", dict(enumerate(pads or ())))):
        for number in numbers.values():
            if not 0 < number < np.inf:
                raise ValueError(f"{what} must be positive and finite, received {number}.")

    def renewed(slab: Slab) -> Slab:
        name = slab.material
        size = sizes.get(name, slab.thickness * factors.get(name, 1.0))
        return Slab(names.get(name, name), float(size), slab.sensitive)

    made, shift = [], 0.0
    for layer in layers:
        slabs = tuple(renewed(slab) for slab in layer.slabs)
        begin, end = (depth + shift for depth in layer.depth)
        if slabs:
            end = begin + sum(slab.thickness for slab in slabs)
        shift = end - layer.depth[1]
        edges = layer.edges
        if pads is not None:
            edges = tuple(
                tuple((np.array(pad_edges(len(axis) - 1, size)) + (axis[0] + axis[-1]) / 2).tolist())
                for axis, size in zip(edges, pads, strict=True)
            )
        made.append(Layer(edges, (begin, end), slabs))
    return tuple(made)


def description(
    material: Mapping[str, str],
    thickness: Mapping[str, float],
    scale: Mapping[str, float],
    pads: Sequence[float] | None,
) -> str:
    """What `changed` changes, in a few words.

    Args:
        material, thickness, scale, pads: as for `changed`.

    >>> description({"W": "lead"}, {"W": 2.5}, {"Si": 2}, (3.0, 3.0))
    'W -> Pb 2.5 mm, Si x 2, pads 3 mm'
    """
    words: dict[str, str] = {}
    for change, form in ((material, " -> {}"), (thickness, " {:g} mm"), (scale, " x {:g}")):
        for name, new in change.items():
            name, new = materials.canonical(name), materials.canonical(new) if change is material else new
            words[name] = words.get(name, name) + form.format(new)
    across = [] if pads is None else [f"pads {' x '.join(f'{size:g}' for size in dict.fromkeys(pads))} mm"]
    return ", ".join([*words.values(), *across])
