"""Smaller `.keras` files: weights in float16, compressed. Keras alone can load them, with variables in float32."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection
from pathlib import Path

import h5py
import keras
import numpy as np

ROUNDING = 2.0**-11  # largest relative difference between a number and its nearest one in float16
_WEIGHTS = "model.weights.h5"  # Keras's name


def save(network: keras.Model, path: Path) -> None:
    """Write a network to a `.keras` file with its weights in float16 where that is precise enough.

    Trained weights are rounded by at most `ROUNDING` of the largest one of their array. Constants and statistics are
    stored in float16 only if each of their values is rounded by at most this fraction of itself. All other arrays, such
    as integers and those with values above 65504, are stored unchanged.

    Args:
        network: the network.
        path: the file.
    """
    network.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    fixed = {_key(np.asarray(keras.ops.convert_to_numpy(one))) for one in network.non_trainable_variables}
    members[_WEIGHTS] = _rounded(members[_WEIGHTS], fixed)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _rounded(content: bytes, fixed: Collection[tuple]) -> bytes:
    """An HDF5 file with its float32 arrays in float16 where that is precise enough.

    Args:
        content: the file.
        fixed: keys of the arrays that training does not change.
    """
    written = io.BytesIO()
    with h5py.File(io.BytesIO(content), "r") as before, h5py.File(written, "w") as after:
        after.attrs.update(before.attrs)

        def copy(name: str, held: h5py.Group | h5py.Dataset) -> None:
            if isinstance(held, h5py.Group):
                made = after.require_group(name)
            else:
                array = held[()]
                made = after.create_dataset(name, data=_in_float16(array, _key(array) in fixed))
            made.attrs.update(held.attrs)

        before.visititems(copy)
    return written.getvalue()


def _in_float16(array: np.ndarray, is_fixed: bool) -> np.ndarray:
    """An array in float16, or unchanged if that is not precise enough."""
    if array.dtype != np.float32 or not array.size:
        return array
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    sizes = np.abs(array) if is_fixed else np.max(np.abs(array))
    return half if np.all(np.abs(half - array) <= ROUNDING * sizes) else array


def _key(array: np.ndarray) -> tuple:
    return array.shape, array.tobytes()
