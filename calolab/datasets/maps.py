"""Convergence maps in FITS files, read in patches of the size of a space, and written."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from calolab import memory, spaces
from calolab.datasets import plausible, readback
from calolab.files import complete, diagnosed, reserve
from calolab.samples import Sample, concatenate
from calolab.spaces import Space

# Allowed relative difference between the pixel widths of patch and map, because headers are rounded.
SCALE_TOLERANCE = 0.01
_HEADERS_BYTES = 4 * 2880  # headers of maps and labels, and the padding of their last blocks
_REDSHIFT = re.compile(r"(?:^|[_\-.])z(\d+)(\.\d+)?(?=[_\-.]|$)", re.IGNORECASE)


def read(
    paths: Sequence[Path],
    *,
    space: str | Space = "convergence",
    labels: Mapping[str, float] | None = None,
    events: int | None = None,
    step: int | None = None,
) -> Sample:
    """Read maps and cut them into patches of the size of the space, row by row from the first pixel.

    The first image of a file contains one map (row, column) or several (map, row, column). The scale is given by the
    width of the map, `ANGLE` [deg], as written by LensTools, or by that of a pixel, `CDELT1` [deg].

    Args:
        paths: the files.
        space: an image with axes in degrees.
        labels: labels that are not in the files, one value for all maps.
        events: number of patches, starting with the first; by default all.
        step: distance between patches [pixels]; by default their width, so that they do not overlap.

    Returns:
        The patches. The label `redshift` of the sources is the header keyword `REDSHIFT`, otherwise it follows from the
        name of the file: `z1.08` or, in hundredths, `z108` and `z49`. If no file has either, there is no such label.

    Raises:
        ValueError: if a file is damaged, has no image, no scale or a different one from the space, header values or
            labels that are not numbers, maps smaller than a patch, or pixels that are not finite, or if the labels of
            the files differ.
        MemoryError: if the patches do not fit into the available memory.
    """
    space = spaces.space(space)
    if space.has_depth or len(space.axes) != 2 or set(space.units) != {"deg"}:
        raise ValueError(f"Maps expect a plain image whose axes are in degrees, received space {space.name!r}.")
    steps = space.shape if step is None else (step, step)
    if min(steps) < 1:
        raise ValueError(f"step expects a positive number of pixels, received {step}.")
    parts = [_patches(Path(path), space, steps, labels or {}) for path in paths]
    sets = {tuple(sorted(part.labels)) for part in parts}
    if len(sets) > 1:
        raise ValueError(
            f"{paths[0]} and the other files have different labels: {sorted(sets)}. Set the missing ones with "
            "labels=, or load the files separately."
        )
    joined = concatenate(parts)
    origin = {**joined.origin, "file": str(paths[0]) if len(paths) == 1 else f"{len(paths)} files from {paths[0]}"}
    return replace(joined if events is None else joined.select(slice(events)), origin=origin)


def write(path: Path, sample: Sample) -> None:
    """Write maps to one FITS file: one map as an image, several as a cube, and labels as a table.

    Args:
        path: the file.
        sample: maps in an image space with axes in degrees.

    Raises:
        ValueError: if the space is not such an image, or the labels cannot be columns of a table.
    """
    space = sample.space
    if space.has_depth or len(space.axes) != 2 or set(space.units) != {"deg"}:
        raise ValueError(f"{path}: layout 'convergence' is for maps in degrees, received {space!r}.")
    sample = sample if isinstance(sample, Sample) else sample.head()
    # Names of columns are not case-sensitive.
    plain = [name.lower() for name in sample.labels]
    wrong = sorted(
        name
        for name in sample.labels
        if not name or plain.count(name.lower()) > 1 or not (name.isascii() and name.isprintable())
    )
    if wrong:
        raise ValueError(f"{path}: labels {wrong} cannot be columns of a FITS table. Rename them.")
    image = fits.PrimaryHDU(sample.values[0] if len(sample) == 1 else sample.values)
    height, width = _pixel(space)
    image.header["ANGLE"] = (width * space.shape[1], "Side angle in degrees")
    image.header["CDELT1"], image.header["CDELT2"] = width, height
    image.header["ITYPE"] = ("ConvergenceMap", "Image type")
    columns = [fits.Column(name=name, format="D", array=column) for name, column in sample.labels.items()]
    table = [fits.BinTableHDU.from_columns(columns, name="LABELS")] if columns else []
    size = _HEADERS_BYTES + sample.values.nbytes + sum(column.nbytes for column in sample.labels.values())
    with complete(path, size) as partial:
        with open(partial, "wb") as file:
            # numpy, which writes the maps, does not report a full disk.
            reserve(file.fileno(), 0, size)
            file.truncate(0)
            fits.HDUList([image, *table]).writeto(file, checksum=True)
        _verify(path, partial, sample)


def _verify(path: Path, partial: Path, sample: Sample) -> None:
    """Read a file back before it is renamed to its final name.

    Raises:
        OSError: if it does not contain the maps and labels.
    """
    with readback.reading_back(path, partial), _opened(partial) as file:
        maps, labels = np.asarray(file[0].data), _labels(path, file)
    if not np.array_equal(maps.reshape(-1, *maps.shape[-2:]), sample.values):
        raise readback.differs(path, f"maps of shape {sample.values.shape}")
    same = labels.keys() == sample.labels.keys()
    if not same or not all(np.array_equal(labels[name], column) for name, column in sample.labels.items()):
        raise readback.differs(path, f"the labels {', '.join(sample.labels)}")


def _labels(path: Path, file: fits.HDUList) -> dict[str, np.ndarray]:
    """The columns of the table of labels."""
    table = next((one.data for one in file if one.name == "LABELS"), None)
    columns = {} if table is None else {name: np.asarray(table[name]) for name in table.names}
    wrong = {name: str(column.dtype) for name, column in columns.items() if column.dtype.kind not in "fiub"}
    if wrong:
        raise ValueError(
            f"{path}: expected numbers as labels, the table LABELS contains {wrong}. Write the file again."
        )
    return {name: column.astype(np.float64) for name, column in columns.items()}


def _patches(path: Path, space: Space, steps: Sequence[int], given: Mapping[str, float]) -> Sample:
    with _opened(path) as file:
        images = [one for one in file if one.is_image and one.header["NAXIS"] in (2, 3) and one.size]
        if not images:
            raise ValueError(
                f"{path}: expected a map: an image with two axes or a cube with three. The file contains none."
            )
        image = images[0]
        header = image.header.copy()
        pixels, patch = int(np.prod(image.shape)), float(np.prod(space.shape)) / float(np.prod(steps))
        needed, free = pixels * (8 + 4 * max(1.0, patch)), memory.available()
        if needed > free.bytes:
            raise MemoryError(f"{path}: cutting its maps needs {needed / 1e9:.2g} GB, which do not fit into {free}.")
        maps = np.asarray(image.data, dtype=np.float32)
        labels = _labels(path, file)
    maps = maps.reshape(-1, *maps.shape[-2:])
    _check_scale(path, header, maps.shape[-1], space)
    if not np.isfinite(maps.sum(dtype=np.float64)):
        raise ValueError(
            f"{path}: {np.sum(~np.isfinite(maps))} pixels are NaN or infinite. Mask or cut them out first."
        )
    rows, columns = (range(0, have - need + 1, by) for have, need, by in zip(maps.shape[1:], space.shape, steps))
    if not rows or not columns:
        raise ValueError(
            f"{path}: maps of {maps.shape[1]} x {maps.shape[2]} pixels are smaller than a patch of space "
            f"{space.name!r}, {space.shape[0]} x {space.shape[1]}. Set space= to a space with smaller patches."
        )
    height, width = space.shape
    cut = np.stack([maps[:, r : r + height, c : c + width] for r in rows for c in columns], axis=1)
    values = cut.reshape(-1, height, width)
    wrong = {name: column.shape for name, column in labels.items() if column.shape != (len(maps),)}
    if wrong:
        raise ValueError(f"{path}: {len(maps)} maps, but labels of shapes {wrong}. Write the file again.")
    clash = sorted(set(labels) & set(given))
    if clash:
        raise ValueError(f"{path}: already holds the labels {clash}. Remove them from labels=.")
    constants = dict(given)
    if "redshift" not in {*labels, *given}:
        redshift = _redshift(path, header)
        constants |= {} if redshift is None else {"redshift": redshift}
    labels = {name: np.repeat(column, len(rows) * len(columns)) for name, column in labels.items()}
    labels |= {name: np.full(len(values), float(value)) for name, value in constants.items()}
    plausible.warn_of_labels(path, labels, stacklevel=6)
    note = {} if "redshift" in labels else {"labels": "no redshift in header or file name, and none set with labels="}
    if images[1:]:
        note["not read"] = f"{len(images) - 1} more images"
    return Sample(values, labels, space, note)


def _check_scale(path: Path, header: fits.Header, columns: int, space: Space) -> None:
    """Reject maps whose pixels differ from those of the space."""
    if "ANGLE" in header:
        width = _number(path, header, "ANGLE", "the map's width [deg]") / columns
    elif "CDELT1" in header:
        width = abs(_number(path, header, "CDELT1", "a pixel's width [deg]"))
    else:
        raise ValueError(
            f"{path}: the map's scale is not known, expected ANGLE, its width [deg], or CDELT1 in the header. Add it: "
            "astropy.io.fits.setval(path, 'ANGLE', value=3.5)."
        )
    wanted = _pixel(space)[1]
    if not abs(width / wanted - 1) <= SCALE_TOLERANCE:
        raise ValueError(
            f"{path}: pixels are {60 * width:.4g} arcmin wide, those of space {space.name!r} {60 * wanted:.4g} arcmin. "
            "Resample the map, or set space= to a space with its pixels."
        )


def _redshift(path: Path, header: fits.Header) -> float | None:
    if "REDSHIFT" in header:
        return _number(path, header, "REDSHIFT", "the sources' redshift")
    found = _REDSHIFT.search(path.name)
    if not found:
        return None
    whole, fraction = found.groups()
    # Two or more digits without a point are hundredths: no source has redshift 49.
    return float(whole + fraction) if fraction else int(whole) / (100 if len(whole) > 1 else 1)


def _number(path: Path, header: fits.Header, key: str, meaning: str) -> float:
    try:
        value = header[key]
    except fits.VerifyError:
        value = "not readable"
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError(
            f"{path}: header keyword {key} is {value!r}, expected a number, {meaning}. Set it: "
            f"astropy.io.fits.setval(path, {key!r}, value=...)."
        )
    return float(value)


def _pixel(space: Space) -> tuple[float, ...]:
    """Height and width of a pixel [deg]."""
    return tuple((edges[-1] - edges[0]) / (len(edges) - 1) for edges in space.layers[0].edges)


@contextmanager
def _opened(path: Path) -> Iterator[fits.HDUList]:
    """Open a FITS file for reading; damage, for which astropy may only issue a warning, becomes one error."""

    def explain(error: Exception) -> str:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        return f"{path}: truncated or corrupt FITS file ({reason}). Copy, download or write it again."

    with diagnosed(path, explain):  # with a damaged file astropy may raise any exception
        with open(path, "rb") as file:
            axes = re.search(rb"NAXIS   = *(\d+)", file.read(2880))
        if axes and int(axes[1]) > 999:  # astropy would loop over all of them
            raise OSError(f"{int(axes[1])} axes, the standard allows 999")
        with warnings.catch_warnings():
            warnings.simplefilter("error", AstropyWarning)
            with fits.open(path, memmap=False) as file:  # without reading the data
                held = path.stat().st_size
                for one in file:
                    if not 0 <= one.size <= held:
                        raise OSError(f"{one.size} bytes of data are declared, but the file has {held}")
            with fits.open(path, memmap=False, checksum=True) as file:
                yield file
