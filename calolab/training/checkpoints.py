"""Checkpoints: everything a training needs to go on as if it had never stopped, in one file that is always whole."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np

from calolab.files import complete, remove_abandoned, unreadable
from calolab.models import GAN
from calolab.training.recipe import Recipe
from calolab.training.standing import Standing, check_standing

FORMAT = "calolab-checkpoint"
VERSION = 1
FILE = "checkpoint.npz"
BEST = "best.npz"
PREVIOUS = "previous.npz"
PREVIOUS_BEST = "previous_best.npz"
REMEDY = "Free some space, then continue with resume=True."
_WITHOUT_BEST = (
    f"The latest state, {FILE}, needs no best epoch if resumed with physics_score=None; or start a new training with "
    "resume=False."
)


def variables(gan: GAN, optimizers: Mapping[str, keras.optimizers.Optimizer]) -> dict[str, keras.Variable]:
    """All that training changes, by a name that stays the same: weights, moving statistics, seeds, optimizer slots."""
    groups = {
        "generator": gan.generator.variables,
        "discriminator": gan.discriminator.variables,
        **{f"{name} optimizer": optimizer.variables for name, optimizer in optimizers.items()},
    }
    return {f"{group} {i}": variable for group, members in groups.items() for i, variable in enumerate(members)}


def values(changing: Mapping[str, keras.Variable]) -> dict[str, np.ndarray]:
    """Copies of the variables' values by name."""
    return {name: np.array(variable.value.numpy()) for name, variable in changing.items()}


def assign(changing: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray]) -> None:
    """Put values by name into the variables."""
    for name, variable in changing.items():
        variable.assign(arrays[name])


def save(
    folder: str | os.PathLike,
    arrays: Mapping[str, np.ndarray],
    standing: Standing,
    settings: Mapping,
    file_name: str = FILE,
) -> None:
    """Write a checkpoint; the one before it stays until the new one is complete on disk.

    Args:
        folder: made if it is not there.
        arrays: values of all variables by name.
        standing: where the training stands.
        settings: what it was started with; `load` compares them.
        file_name: `FILE` for the latest state, `BEST` for the epoch with the best physics score.

    Raises:
        OSError: if it does not fit onto the disk, or cannot be written; the one before it stays.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    header = {"format": FORMAT, "version": VERSION, "settings": dict(settings), "standing": asdict(standing)}
    text = np.array(json.dumps(header))
    size = text.nbytes + sum(array.nbytes for array in arrays.values())
    with complete(folder / file_name, size, remedy=REMEDY, durable=True) as partial, open(partial, "wb") as file:
        np.savez(file, header=text, **arrays)


def set_aside(folder: str | os.PathLike) -> None:
    """Keep an earlier training's checkpoints as `previous.npz` and `previous_best.npz`, out of a new one's way."""
    remove_abandoned(folder)
    if Path(folder, FILE).exists():
        os.replace(Path(folder, FILE), Path(folder, PREVIOUS))
    if Path(folder, BEST).exists():
        os.replace(Path(folder, BEST), Path(folder, PREVIOUS_BEST))


def load(
    folder: str | os.PathLike, settings: Mapping, variables: Mapping[str, keras.Variable], file_name: str = FILE
) -> tuple[Standing, dict[str, np.ndarray]]:
    """Read a checkpoint back, if it belongs to a training with these settings and these variables.

    Args:
        folder: where `save` wrote it.
        settings: what the training is resumed with.
        variables: what has the shapes and types of the values, by name.
        file_name: as for `save`.

    Returns:
        Where the training stands, and the values of its variables by name.

    Raises:
        FileNotFoundError: if there is no checkpoint.
        ValueError: if it is damaged, has values that are not finite, or belongs to a training of another kind.
        OSError, MemoryError: if it cannot be read at present, whatever it holds.
    """
    path = Path(folder, file_name)
    if not path.is_file():
        if file_name == BEST:
            raise FileNotFoundError(f"No {path} with the best epoch so far. {_WITHOUT_BEST}")
        raise FileNotFoundError(f"No checkpoint {path} to resume from; leave resume=False to start a new training.")
    header, arrays = _read(path)
    _check_settings(path, header, settings)
    if {name: array.shape for name, array in arrays.items()} != {n: tuple(v.shape) for n, v in variables.items()}:
        raise ValueError(f"The checkpoint {path} belongs to other networks than these; build the GAN as it was built.")
    for name, array in arrays.items():
        if not np.can_cast(array.dtype, variables[name].dtype, "same_kind"):
            raise _damaged(path, f"array {name!r} is of type {array.dtype}, expected {variables[name].dtype}")
        if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
            raise _damaged(path, f"array {name!r} has {np.sum(~np.isfinite(array))} values that are not finite")
    return Standing(**header["standing"]), arrays


def read_header(folder: str | os.PathLike, file_name: str = FILE) -> dict | None:
    """What a checkpoint says of itself, as `format`, `version`, `settings` and `standing`; None if there is none.

    Raises:
        ValueError: if it is damaged.
    """
    path = Path(folder, file_name)
    return _read(path, header_only=True)[0] if path.is_file() else None


def global_batch(header: Mapping) -> int:
    """Events of all ranks per pass in the training of a checkpoint."""
    settings = header["settings"]
    return settings.get("global_batch", settings["batch_size"] * settings["ranks"])


def _read(path: Path, header_only: bool = False) -> tuple[dict, dict[str, np.ndarray]]:
    with open(path, "rb") as content:
        try:
            with np.load(content, allow_pickle=False) as file:
                header = json.loads(str(file["header"]))
                arrays = {} if header_only else {name: file[name] for name in file.files if name != "header"}
        except Exception as error:  # a damaged archive makes zipfile and numpy raise almost anything
            fault = unreadable(error, path)
            if fault is None or (isinstance(error, MemoryError) and _has_wrong_checksum(path)):
                fault = _damaged(path, str(error) or type(error).__name__)
            raise fault from error
    if not isinstance(header, dict):
        raise _damaged(path, f"its header is a JSON {type(header).__name__}, not an object")
    version = header.get("version")
    if header.get("format") != FORMAT or not isinstance(version, int):
        raise _damaged(path, f"it has format {header.get('format')!r} version {version!r}, not {FORMAT!r}")
    if version > VERSION:
        raise ValueError(
            f"{path}: a checkpoint of version {version}; this calolab reads up to version {VERSION}. Update calolab."
        )
    for part, needed in (("settings", ("batch_size", "ranks")), ("standing", ("epoch", "step", "passes"))):
        content = header.get(part)
        if not isinstance(content, dict):
            raise _damaged(path, f"the {part} in its header are a JSON {type(content).__name__}, not an object")
        if missing := [name for name in needed if name not in content]:
            raise _damaged(path, f"the {part} in its header lack {', '.join(missing)}")
    if not isinstance(recipe := header["settings"].get("recipe", {}), dict):
        raise _damaged(path, f"the recipe in its header is a JSON {type(recipe).__name__}, not an object")
    positive = {name: header["settings"].get(name, 1) for name in ("batch_size", "ranks", "global_batch")}
    if wrong := [f"{name} {number!r}" for name, number in positive.items() if type(number) is not int or number < 1]:
        raise _damaged(path, f"the settings in its header have {', '.join(wrong)}")
    try:
        check_standing(header["standing"])
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    return header, arrays


def _has_wrong_checksum(path: Path) -> bool:
    """Whether a member of an archive is damaged: its header may then declare an array of any size."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is not None
    except (zipfile.BadZipFile, EOFError, NotImplementedError):
        return True


def _damaged(path: Path, wrong: str) -> ValueError:
    remedy = _WITHOUT_BEST if path.name == BEST else "Delete it, and start a new training with resume=False."
    return ValueError(f"{path}: damaged, or not a checkpoint ({wrong}). {remedy}")


def _check_settings(path, header, settings):
    # A checkpoint may be older than a part of the recipe, whose default is then what was done.
    saved, asked = (
        given | {"recipe": Recipe().to_dict() | given.get("recipe", {})}
        for given in (header["settings"], json.loads(json.dumps(dict(settings))))
    )
    if "global_batch" in saved or "global_batch" in asked:
        for given in (saved, asked):
            given.setdefault("global_batch", given["batch_size"] * given["ranks"])
    standing = header["standing"]
    # Between epochs another number of ranks can take over; within one, each rank's place in its shard would be lost.
    free = {"ranks"} if standing["step"] == 0 and standing["passes"] == 0 else set()
    differing = [
        f"{name}: {saved.get(name)!r} before, {asked.get(name)!r} now"
        for name in sorted({*saved, *asked} - free)
        if saved.get(name) != asked.get(name)
    ]
    if differing:
        raise ValueError(
            f"The checkpoint {path} belongs to a training with other settings ({'; '.join(differing)}). "
            "Resume with the same settings, or start anew with resume=False."
        )
