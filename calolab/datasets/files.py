"""Files of events: load, stream and save them in the layouts of the field."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calolab import memory
from calolab.datasets import layouts, saving
from calolab.datasets.inspection import inspect
from calolab.datasets.layouts import CONTAINERS, ECAL, Layout
from calolab.datasets.matching import find
from calolab.datasets.signatures import container, first_bytes
from calolab.datasets.streaming import EventStream
from calolab.samples import Sample
from calolab.spaces import Space

if TYPE_CHECKING:
    from calolab.particles import Particles  # awkward loads with the first of them

Paths = str | os.PathLike | Iterable[str | os.PathLike]

# A stream keeps at most three windows in memory: one in use, one ready, one being read.
_WINDOW_BYTES = 64_000_000
_BLOCK_BYTES = 2_000_000


def stream(
    paths: Paths,
    *,
    space: str | Space | None = None,
    layout: str | Layout | None = None,
    quantity: str = ECAL,
    labels: Mapping[str, float] | None = None,
    window: int | None = None,
) -> EventStream:
    """Open files as one sample that is read while it is used; for samples larger than memory.

    Args:
        paths: an HDF5 or npz file, a pattern such as `"showers/*.h5"` (its matches in sorted order), or several; or the
            name of a set in `catalogue()` that is part of calolab, such as `"clic-electrons-demo"`.
        space: the space of the cells, a name or a `Space`; by default that of the file or its layout, or by shape: 368,
            533, 6480 and 40500 voxels are data sets 1 (photons, pions), 2 and 3 of the CaloChallenge; 25x25x25 cells
            are `clic-ecal`, 51x51x25 are `clic-ecal-51`. HCAL cells of unknown size get edges in units of cells.
        layout: a name of `layouts.LAYOUTS` or a `Layout`. Showers: `3dgan` (GeV), `3dgan-target` (GeV, energy in column
            1 of `target`), `3dgan-angle` (GeV x 50), `calochallenge`, `par04` and `calogan` (MeV in the file; for the
            first two also the incident energies). Points, which are put into the cells of the space: `ild` and, with
            numbers of layers as depths, `ild-layers`; with `Points` in a `Layout` any others. Whole events [MeV in the
            file]: `rpv` (npz, images in `hist`) and `rpv-h5` (images in `all_events/hist`). Jet images: `lagan`. By
            default that of the file, otherwise by the names of its datasets. A mean response, cell or incident energy
            that does not match the unit is an error.
        quantity: the dataset of showers to read, `"ECAL"` or `"HCAL"`.
        labels: labels that are not in the files, one value for all their events. For whole events the masses [GeV] are
            read from file names such as `RPV10_1400_850_01_train.npz`.
        window: number of events that are shuffled together; by default 64 MB of events. A stream needs memory for about
            three windows.

    Returns:
        The stream. Its labels are `energy` [GeV], and `theta` and `mtheta` [rad] if present, or those of the images;
        datasets that are not read are listed in its origin. Events without energy are kept.

    Raises:
        FileNotFoundError: if a path or pattern matches no file.
        ValueError: if a file has another format, is truncated, corrupt or being written, lacks a dataset or part of its
            content, stores it in other files, has another shape, no events, datasets of different lengths, or energies
            that are NaN or not positive, or if the files differ in space or labels.
    """
    return _open(paths, space, layout, quantity, labels, window)


def _open(
    paths: Paths,
    space: str | Space | None,
    layout: str | Layout | None,
    quantity: str,
    labels: Mapping[str, float] | None,
    window: int | None = None,
    admit: Callable[[int, Space], None] = lambda n_events, space: None,
) -> EventStream:
    """A stream; `admit` may reject the number of events in a file before any array of that length is read."""
    files, space_found, origins = [], None, []
    for path in find(paths):
        kind = container(path)
        if kind not in ("hdf5", "npz"):
            raise ValueError(
                f"{path}: is {CONTAINERS[kind][0]}, and only HDF5 files and npz archives are streamed. Use "
                "datasets.load(path)."
            )
        file, found, origin = inspect(
            path,
            space=space,
            layout=layout,
            quantity=quantity,
            block_bytes=_BLOCK_BYTES,
            constants=labels,
            admit=admit,
        )
        if files and found != space_found:
            raise ValueError(
                f"{file.path}: dataset {file.dataset!r} is in space {found.name!r} {found.shape}, but "
                f"{files[0].path} in {space_found.name!r} {space_found.shape}. Stream them separately."
            )
        if files and set(file.labels) != set(files[0].labels):
            raise ValueError(
                f"{file.path}: labels {', '.join(file.labels)}, but {files[0].path} has "
                f"{', '.join(files[0].labels)}. Stream them separately."
            )
        files.append(file)
        origins.append(origin)
        space_found = found
    window = max(1, _WINDOW_BYTES // (4 * space_found.n_cells)) if window is None else window
    shared = {k: v for k, v in origins[0].items() if all(k in other and other[k] == v for other in origins)}
    where = files[0].path if len(files) == 1 else f"{len(files)} files, {files[0].path} to {files[-1].path}"
    return EventStream(tuple(files), space_found, window, origin=shared | {"file": where})


def load(
    paths: Paths,
    *,
    space: str | Space | None = None,
    layout: str | Layout | None = None,
    quantity: str = ECAL,
    labels: Mapping[str, float | np.ndarray] | None = None,
    events: int | None = None,
    shuffle: int | None = None,
    step: int | None = None,
    columns: Mapping[str, str] | Sequence[str] | None = None,
    tree: str | None = None,
) -> Sample | Particles:
    """Read events into memory; several files become one sample.

    HDF5 and npz files contain showers or images, as for `stream`; single numpy arrays (`.npy`) and ROOT files of
    CaloGAN's simulation contain showers. FITS files contain convergence maps, which are cut into patches of the size of
    the space; the label `redshift` of the sources is read from the header or from a name such as
    `convergence_z1.08.fit`. `Particles` are returned for all other files: ROOT files with calorimeter towers of Delphes
    or particle-flow candidates of PFNano (TTree or RNTuple), or, with `columns=`, with any other flat tree; HepMC files
    of event generators, with the extra `calolab[hepmc]`; and, with `columns=`, numpy arrays and text with the
    constituents of each event, padded with zeros.

    Args:
        paths, space, layout, quantity, labels: as for `stream`; the labels of a single numpy array may also be arrays
            of shape `(event,)`.
        events: number of events, starting with the first; by default all. A warning says if the first events of HDF5
            and npz files differ from the others, because the files are sorted.
        shuffle: seed of a random choice of events from HDF5 and npz files and numpy arrays, in random order.
        step: distance between patches of a map [pixels]; by default their width, so that they do not overlap.
        columns: for a ROOT file, its branches by column, e.g. `{"pt": "Jet_pt", "eta": "Jet_eta", "phi": "Jet_phi",
            "mass": "Jet_mass", "weight": "genWeight"}`: a momentum (`pt`, `eta`, `phi` or `px`, `py`, `pz`, and `mass`,
            `energy` or neither) [GeV, rad], fields of `Particles`, and labels with any other name. For a numpy or text
            file, the columns in order, e.g. `("pt", "eta", "phi")`, as for `Particles.from_padded`.
        tree: name of the tree with these branches; by default it is found.

    Returns:
        The sample, with cells in GeV, or the particles.

    Raises:
        FileNotFoundError, ValueError: as for `stream`; also for cells that are NaN, infinite or negative, ROOT files
            without such branches, HepMC files without a complete event, and maps with a pixel size other than that of
            the space.
        ImportError: if a HepMC file is read without pyhepmc.
        MemoryError: if the events do not fit into the available memory.
    """
    if events is not None and events < 1:
        raise ValueError(f"load(events=) expects at least one event, received {events}.")
    if shuffle is not None and events is None:
        raise ValueError(f"load(shuffle={shuffle}) chooses events at random: give their number with events=.")
    found = find(paths)
    if columns is not None:
        if shuffle is not None:
            raise ValueError(f"shuffle= is for HDF5 files and numpy arrays; {found[0]} is read by columns=.")
        if {first_bytes(path).startswith(b"root") for path in found} == {True}:
            from calolab.datasets import trees

            chosen, certain = layouts.layout("nanoaod" if layout is None else layout), layout is not None
            return trees.read(
                found, layout=chosen, columns=columns, tree=tree, labels=labels, events=events, certain=certain
            )
        from calolab.datasets import constituents

        return constituents.read(found, columns=columns, labels=labels, events=events)
    kinds = {container(path) for path in found}
    if len(kinds) > 1 and not kinds <= {"hdf5", "npz"}:
        raise ValueError(f"Expected files of one kind, received {', '.join(CONTAINERS[k][0] for k in sorted(kinds))}.")
    kind = kinds.pop()
    if step is not None and kind != "fits":
        raise ValueError(f"step= is for maps in FITS files; {found[0]} is {CONTAINERS[kind][0]}.")
    if shuffle is not None and kind not in ("hdf5", "npz", "npy"):
        raise ValueError(f"shuffle= is for HDF5 files and numpy arrays; {found[0]} is {CONTAINERS[kind][0]}.")
    if kind == "npy":
        from calolab.datasets import numpy_files

        chosen, certain = layouts.layout("3dgan" if layout is None else layout), layout is not None
        return numpy_files.read(
            found, layout=chosen, space=space, labels=labels, events=events, shuffle=shuffle, certain=certain
        )
    if kind in ("root", "fits", "hepmc"):
        # uproot, pyhepmc and astropy are imported only for such files.
        from calolab.datasets import calogan, delphes, hepmc, maps, trees

        name = {"root": "delphes", "fits": "convergence", "hepmc": "hepmc"}[kind]
        if kind == "root" and layout is None:
            if trees.is_flat(found[0], layouts.layout("nanoaod")):
                name = "nanoaod"
            elif calogan.has_tree(found[0]):
                name = "calogan-root"
        chosen, certain = layouts.layout(name if layout is None else layout), layout is not None
        if chosen.container != kind:
            raise ValueError(f"{found[0]}: is {CONTAINERS[kind][0]}, but layout {chosen.name!r} is for another.")
        if kind == "fits":
            return maps.read(found, space=space or chosen.space, labels=labels, events=events, step=step)
        if kind == "hepmc":
            return hepmc.read(found, labels=labels, events=events)
        if chosen.cells == calogan.TREE:
            return calogan.read(found, layout=chosen, labels=labels, events=events, certain=certain)
        if chosen.name == "nanoaod":
            return trees.read(found, layout=chosen, tree=tree, labels=labels, events=events, certain=certain)
        return delphes.read(found, layout=chosen, labels=labels, events=events, certain=certain)
    declared, free = 0, memory.available()

    def admit(n_events: int, space: Space) -> None:
        nonlocal declared
        declared += n_events
        # Cells in single precision, and a few labels.
        needed = (4 * space.n_cells + 64) * (declared if events is None else min(events, declared))
        if needed > free.bytes:
            raise MemoryError(
                f"{found[0]}{' and others' if found[1:] else ''}: {needed / 1e9:.2g} GB of events do not fit into "
                f"{free}. Use datasets.stream(paths) instead of load, or load(paths, events=n)."
            )

    return _open(found, space, layout, quantity, labels, admit=admit)._head(
        events, shuffle, f"load(..., events={events}, shuffle=seed)", stacklevel=4
    )


def save(
    path: str | os.PathLike,
    sample: Sample | EventStream | Particles,
    *,
    layout: str | Layout | None = None,
    hcal: Sample | None = None,
    overwrite: bool = False,
) -> Path:
    """Write events in a format that `load` and other programs can read; an incomplete file is never left.

    HDF5 files store cells as float32 in compressed chunks of a few events (gzip level 1, which is fast for sparse
    showers and readable by every HDF5 program). npz archives are not compressed, so that they can be streamed. Both
    also contain the labels and a JSON text, `calolab`, with space and origin, so that `load` returns what was saved; in
    layouts with a factor of 50 or 1000, up to float32 rounding.

    Args:
        path: the file to write.
        sample: showers, images, or particles; a stream is written without loading all of it.
        layout: a name of `layouts.LAYOUTS` or a `Layout`; by default `calochallenge`, `par04` or `calogan` for showers
            in their spaces, `3dgan` for those in other boxes of cells and `showers` for all other showers; `rpv` or,
            for `.h5` files, `rpv-h5` for images of energy in eta and phi, `lagan` for images of transverse momentum,
            `convergence` for maps in FITS files, `image` for other images, and `delphes` for particles
            without mass; `nanoaod` stores particles with mass, identity and vertex. Column 0 of `target`, which calolab
            does not read, is zero. `compact` stores showers in half precision, in small files; cells above 6e-8 GeV are
            rounded by at most 0.05 %.
        hcal: the hadronic calorimeter of the same events, written as `HCAL`.
        overwrite: whether to replace an existing file.

    Returns:
        The path.

    Raises:
        FileExistsError: if the file exists and `overwrite` is false.
        ValueError: if the layout cannot store the sample: no energy, no box of cells, negative or no values; or if the
            name of the file belongs to another format, or gives other masses.

    >>> import tempfile
    >>> import numpy as np
    >>> from calolab import spaces
    >>> sample = Sample(np.full((2, 25, 25, 25), 1e-4), {"energy": [50.0, 60.0]}, spaces.space("clic-ecal"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load(save(Path(folder, "electrons.h5"), sample)).labels["energy"]
    array([50., 60.])
    """
    path = Path(path)
    chosen = layouts.layout(saving.fitting_layout(path, sample) if layout is None else layout)
    what, endings = CONTAINERS[chosen.container]
    others = [ending for name, (_, all_) in CONTAINERS.items() if name != chosen.container for ending in all_]
    if path.suffix.lower() in others:
        raise ValueError(f"{path}: layout {chosen.name!r} is {what}; name the file *{endings[0]}.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists. Choose another path, or pass overwrite=True to replace it.")
    if chosen.name == "calogan-root":
        raise ValueError(f"{path}: ROOT files of CaloGAN are only read. Save showers with layout='calogan' to HDF5.")
    if chosen.container == "hepmc":
        raise ValueError(f"{path}: HepMC files are only read. Save particles with layout='nanoaod' to a ROOT file.")
    if len(sample) == 0:
        raise ValueError(f"{path}: the sample has zero events; there is nothing to save.")
    if hcal is not None and chosen.cells is not None:
        raise ValueError(f"{path}: layout {chosen.name!r} cannot store hcal=; use a layout for showers.")
    if isinstance(sample, Sample | EventStream) == (chosen.container == "root"):
        raise ValueError(f"{path}: layout {chosen.name!r} cannot store {type(sample).__name__}.")
    if chosen.name == "nanoaod":
        from calolab.datasets import trees

        trees.write(path, sample, chosen)
    elif chosen.container == "root":
        from calolab.datasets import delphes

        delphes.write(path, sample, chosen)
    elif chosen.container == "fits":
        from calolab.datasets import maps

        maps.write(path, sample)
    elif chosen.cells is None or (chosen.energy is not None and sample.space.has_depth):
        saving.write_showers(path, sample, chosen, hcal)
    else:
        saving.write_images(path, sample, chosen)
    return path
