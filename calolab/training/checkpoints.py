"""Checkpoints: everything that a training needs to resume as if it had never stopped, in one file."""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np

from calolab import cpu
from calolab.files import complete, diagnosed, remove_abandoned
from calolab.models import GAN
from calolab.scores import Score
from calolab.training.averages import MovingAverage
from calolab.training.recipe import entries
from calolab.training.state import TrainingState, check_state

FORMAT = "calolab-checkpoint"
VERSION = 2  # 1: the state was called "standing", its scores were numbers, and the CPU was not recorded
FILE = "checkpoint.npz"
BEST = "best.npz"
PREVIOUS = "previous.npz"
PREVIOUS_BEST = "previous_best.npz"
REMEDY = "Free some space, then continue with resume=True."
_SCHEDULED = "The learning rates of its last stage follow a schedule until the last epoch. "
_WITHOUT_BEST = (
    f"The latest state, {FILE}, needs no best epoch if resumed with physics_score=None; or start a new training with "
    "resume=False."
)


def variables(
    gan: GAN, optimizers: Mapping[str, keras.optimizers.Optimizer], averages: Mapping[str, MovingAverage] | None = None
) -> dict[str, keras.Variable]:
    """Everything that training changes, by name: weights, moving statistics, seeds, optimizer slots, averages.

    Args:
        gan: the networks; a variable that two of them share is listed once.
        optimizers: optimizers, by network and stage.
        averages: moving averages of weights by network.
    """
    groups = {
        **{name: network.variables for name, network in gan.networks.items()},
        **{f"{name} optimizer": optimizer.variables for name, optimizer in optimizers.items()},
        **{f"{name} average": average.variables for name, average in (averages or {}).items()},
    }
    named = {f"{group} {i}": variable for group, members in groups.items() for i, variable in enumerate(members)}
    first = {id(variable): name for name, variable in reversed(named.items())}
    return {name: variable for name, variable in named.items() if first[id(variable)] == name}


def values(changing: Mapping[str, keras.Variable]) -> dict[str, np.ndarray]:
    """Copies of the variables' values by name."""
    return {name: np.array(variable.value.numpy()) for name, variable in changing.items()}


def assign(changing: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray]) -> None:
    """Assign values to variables.

    Args:
        changing: variables by name.
        arrays: their values by name.
    """
    for name, variable in changing.items():
        variable.assign(arrays[name])


def save(
    folder: str | os.PathLike,
    arrays: Mapping[str, np.ndarray],
    state: TrainingState,
    settings: Mapping,
    file_name: str = FILE,
) -> None:
    """Write a checkpoint; the previous one is kept until the new one is complete on disk.

    Args:
        folder: created if it does not exist.
        arrays: values of all variables by name.
        state: the training state.
        settings: the settings of the training; `load` compares them.
        file_name: `FILE` for the latest state, `BEST` for the epoch with the best physics score.

    Raises:
        OSError: if it does not fit on the disk, or cannot be written; the previous one is kept.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    header = {
        "format": FORMAT,
        "version": VERSION,
        "settings": dict(settings),
        "state": asdict(state),
        "cpu": _computes_on(),
    }
    text = np.array(json.dumps(header))
    size = text.nbytes + sum(array.nbytes for array in arrays.values())
    with complete(folder / file_name, size, remedy=REMEDY, durable=True) as partial, open(partial, "wb") as file:
        np.savez(file, header=text, **arrays)


def set_aside(folder: str | os.PathLike) -> None:
    """Rename an earlier training's checkpoints to `previous.npz` and `previous_best.npz`."""
    remove_abandoned(folder)
    if Path(folder, FILE).exists():
        os.replace(Path(folder, FILE), Path(folder, PREVIOUS))
    if Path(folder, BEST).exists():
        os.replace(Path(folder, BEST), Path(folder, PREVIOUS_BEST))


def load(
    folder: str | os.PathLike, settings: Mapping, variables: Mapping[str, keras.Variable], file_name: str = FILE
) -> tuple[TrainingState, dict[str, np.ndarray]]:
    """Read a checkpoint, if it belongs to a training with these settings and these variables.

    Warns if it was written on a CPU of another kind, or with another oneDNN setting or number of threads, since the
    resumed training is then not bit-identical to one that was never stopped.

    Args:
        folder: folder in which `save` wrote it.
        settings: the settings with which the training is resumed.
        variables: variables or arrays of the same shapes and types, by name.
        file_name: as for `save`.

    Returns:
        The training state, and the values of the variables by name.

    Raises:
        FileNotFoundError: if there is no checkpoint.
        ValueError: if it is damaged, has values that are not finite, or belongs to another training.
        OSError, MemoryError: if it cannot be read at present, whatever its content.
    """
    path = Path(folder, file_name)
    if not path.is_file():
        if file_name == BEST:
            raise FileNotFoundError(f"No {path} with the best epoch so far. {_WITHOUT_BEST}")
        raise FileNotFoundError(f"No checkpoint {path} to resume from; set resume=False to start a new training.")
    header, arrays = _read(path)
    _check_settings(path, header, settings)
    if {name: array.shape for name, array in arrays.items()} != {n: tuple(v.shape) for n, v in variables.items()}:
        raise ValueError(f"The checkpoint {path} belongs to networks other than these; build the GAN as it was built.")
    for name, array in arrays.items():
        if not np.can_cast(array.dtype, variables[name].dtype, "same_kind"):
            raise _damaged(path, f"array {name!r} is of type {array.dtype}, expected {variables[name].dtype}")
        if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
            raise _damaged(path, f"array {name!r} has {np.sum(~np.isfinite(array))} values that are not finite")
    if file_name == FILE:
        _warn_of_another_cpu(path, header.get("cpu"))
    return TrainingState(**header["state"]), arrays


def read_header(folder: str | os.PathLike, file_name: str = FILE) -> dict | None:
    """The header of a checkpoint: `format`, `version`, `settings`, `state` and `cpu`; None if there is no checkpoint.

    Args:
        folder, file_name: as for `load`.

    Raises:
        ValueError: if it is damaged.
    """
    path = Path(folder, file_name)
    return _read(path, header_only=True)[0] if path.is_file() else None


def global_batch(header: Mapping) -> int:
    """Events of all ranks per pass in a training, from the header of its checkpoint."""
    settings = header["settings"]
    return settings.get("global_batch", settings["batch_size"] * settings["ranks"])


def _read(path: Path, header_only: bool = False) -> tuple[dict, dict[str, np.ndarray]]:
    def explain(error: Exception) -> str:
        return str(_damaged(path, str(error) or type(error).__name__))

    with open(path, "rb") as content:
        try:
            # zipfile and numpy raise almost any exception for a damaged archive.
            with diagnosed(path, explain), np.load(content, allow_pickle=False) as file:
                header = json.loads(str(file["header"]))
                arrays = {} if header_only else {name: file[name] for name in file.files if name != "header"}
        except MemoryError as error:
            if not _has_wrong_checksum(path):
                raise
            raise _damaged(path, str(error.__cause__ or error)) from error
    if not isinstance(header, dict):
        raise _damaged(path, f"its header is a JSON {type(header).__name__}, not an object")
    version = header.get("version")
    if header.get("format") != FORMAT or not isinstance(version, int):
        raise _damaged(path, f"it has format {header.get('format')!r} version {version!r}, not {FORMAT!r}")
    if version > VERSION:
        raise ValueError(
            f"{path}: a checkpoint of version {version}; this calolab reads up to version {VERSION}. Update calolab."
        )
    if version == 1:
        header["state"] = _from_version_1(header.pop("standing", None))
    for part, needed in (("settings", ("batch_size", "ranks")), ("state", ("epoch", "step", "passes"))):
        content = header.get(part)
        if not isinstance(content, dict):
            raise _damaged(path, f"in its header, {part!r} is a JSON {type(content).__name__}, not an object")
        if missing := [name for name in needed if name not in content]:
            raise _damaged(path, f"in its header, {part!r} lacks {', '.join(missing)}")
    if not isinstance(recipe := header["settings"].get("recipe", {}), dict):
        raise _damaged(path, f"the recipe in its header is a JSON {type(recipe).__name__}, not an object")
    positive = {name: header["settings"].get(name, 1) for name in ("batch_size", "ranks", "global_batch")}
    if wrong := [f"{name} {number!r}" for name, number in positive.items() if type(number) is not int or number < 1]:
        raise _damaged(path, f"the settings in its header have {', '.join(wrong)}")
    try:
        check_state(header["state"])
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    return header, arrays


def _from_version_1(state: object) -> object:
    """The state of a checkpoint of version 1; what is not valid is left to `check_state`."""
    if not isinstance(state, dict) or not isinstance(state.get("history"), list):
        return state
    history = [
        {**epoch, "scores": {name: Score(name, value).to_dict() for name, value in epoch["scores"].items()}}
        if isinstance(epoch, dict) and "scores" in epoch
        else epoch
        for epoch in state["history"]
    ]
    return {**state, "history": history}


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
    # A checkpoint may be older than an entry of the recipe; the training then used what is now the default.
    saved, asked = (
        given | {"recipe": entries(given.get("recipe", {}))}
        for given in (header["settings"], json.loads(json.dumps(dict(settings))))
    )
    if "global_batch" in saved or "global_batch" in asked:
        for given in (saved, asked):
            given.setdefault("global_batch", given["batch_size"] * given["ranks"])
    state = header["state"]
    # Another number of ranks can resume between epochs only; within one, each rank's position in its shard matters.
    free = {"ranks"} if state["step"] == 0 and state["passes"] == 0 else set()
    differing = [
        f"{name}: {saved.get(name)!r} before, {asked.get(name)!r} now"
        for name in sorted({*saved, *asked} - free)
        if saved.get(name) != asked.get(name)
    ]
    if differing:
        raise ValueError(
            f"The checkpoint {path} belongs to a training with other settings ({'; '.join(differing)}). "
            f"{_SCHEDULED if saved.get('total_epochs') != asked.get('total_epochs') else ''}"
            "Resume with the same settings, or start a new training with resume=False."
        )


def _computes_on() -> dict[str, object]:
    """Everything that determines how sums are rounded on this machine, as plain numbers and strings."""
    report = cpu.report()
    return {
        "CPU": report.model,
        "instructions": ", ".join(report.features),
        "oneDNN": report.onednn.partition(" ")[0],
        "threads": report.threads,
    }


def _warn_of_another_cpu(path: Path, before: Mapping | None) -> None:
    now = _computes_on()
    # Checkpoints of version 1 have no such entry.
    differing = [
        f"{name}: {old!r} before, {now.get(name)!r} now" for name, old in (before or {}).items() if old != now.get(name)
    ]
    if differing:
        warnings.warn(
            f"The checkpoint {path} was written on other hardware or with other settings ({'; '.join(differing)}). The "
            "training resumes, but sums are rounded differently, so it is not bit-identical to one that never stopped.",
            stacklevel=2,
        )
