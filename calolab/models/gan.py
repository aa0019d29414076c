"""The GAN record: two networks, what they mean, how to make showers with them, and the file that keeps them."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path

import keras
import numpy as np

from calolab.files import DISK_FULL_REASONS, complete, full_disk, scratch, unreadable
from calolab.samples import LABEL_UNITS, Sample
from calolab.spaces import Space

FORMAT = "calolab-gan"
VERSION = 2  # 1: the head `generation` answered with a probability, no layer was named `features`, no value_scale
NETWORKS = ("generator", "discriminator")
# What `gan.json` must hold.
DESCRIPTION = {
    "architecture": str,
    "space": dict,
    "latent_size": int,
    "conditions": list,
    "settings": dict,
    "provenance": dict,
}

# What a label can be beyond finite, in words and as a test.
POSSIBLE = {
    **dict.fromkeys(("energy", "gluino_mass", "neutralino_mass"), ("positive [GeV]", lambda column: column > 0)),
    "mu": ("0 or more", lambda column: column >= 0),
    "signal": ("0 or 1", lambda column: np.isin(column, (0, 1))),
}


@dataclass(frozen=True, eq=False)
class GAN:
    """A generator and a discriminator with what is needed to use them.

    Args:
        architecture: name in the registry, e.g. `"3dgan"`.
        space: what the generated values mean.
        generator: Keras model from `{"latent": (event, latent_size), <condition>: (event, 1), ...}`, conditions in the
            labels' units, to values `(event, *space.shape, 1)` in `space.unit`.
        discriminator: Keras model from values `(event, *space.shape, 1)`, or, where it is told the conditions, from
            `{"image": values, <condition>: (event, 1), ...}`, to named heads, each `(event, 1)`. `generation` is a
            logit, whose sigmoid is the probability of being real; the heads see the output of the layer `features`.
        latent_size: length of the latent vector, standard normal.
        conditions: names of the labels that the generator takes; none for a GAN without conditions.
        settings: what the architecture was built with.
        provenance: under `trainings`, how it was trained, as plain numbers and strings; filled in by training.
        value_scale: the unit in which the networks see values [`space.unit`]; 1 where they do not normalise.

    Raises:
        ValueError: if the networks do not fit the space, the latent size or the conditions, or value_scale is no scale.
    """

    architecture: str
    space: Space
    generator: keras.Model
    discriminator: keras.Model
    latent_size: int
    conditions: tuple[str, ...] = ("energy",)
    settings: Mapping[str, object] = field(default_factory=dict)
    provenance: dict[str, object] = field(default_factory=dict)
    value_scale: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "conditions", tuple(self.conditions))
        values, rows = (*self.space.shape, 1), dict.fromkeys(self.conditions, (1,))
        expected = {"latent": (self.latent_size,), **rows}
        received = _shapes(self.generator.input)
        if received != expected:
            raise ValueError(f"The generator must have the inputs {expected}, it has {received}.")
        received = _shapes(self.generator.output)
        if received != values:
            raise ValueError(
                f"The generator's output_shape must be {values} for space {self.space.name!r}, it is {received}."
            )
        if not 0 < self.value_scale < np.inf:
            raise ValueError(f"value_scale must be positive and finite, received {self.value_scale}.")
        expected, received = {"image": values, **rows}, _shapes(self.discriminator.input)
        if received not in (values, expected):
            raise ValueError(
                f"The discriminator's input_shape must be {values} for space {self.space.name!r}, or {expected} where "
                f"it is told the conditions; it is {received}."
            )

    @property
    def epochs(self) -> int:
        """Epochs of all trainings so far."""
        return sum(training["epochs"] for training in self.provenance.get("trainings", ()))

    def generate(
        self, labels: Mapping[str, np.ndarray] | int, seed: int, batch_size: int = 32, latent: np.ndarray | None = None
    ) -> Sample:
        """One generated event for every entry of the labels; the same seed gives the same events.

        The latent vectors are those of the seed, whatever else changes; those of fewer events are the first of those
        of more. The same call gives equal bits on the same kind of CPU with as many threads and oneDNN on or off alike.
        With another batch size or number of events, or elsewhere, the network adds up its float32 numbers in another
        order, and cells differ by some 1e-6 of the largest one (at most 5e-6 for the registered architectures).

        Args:
            labels: an array of shape `(event,)` for each of `conditions`, e.g. `energy` [GeV]; others are left out.
                For a GAN without conditions the number of events, or labels of which only the number counts.
            seed: seed of the latent vectors.
            batch_size: events that the generator makes at a time; it bounds the memory and changes
                the events by rounding only.
            latent: latent vectors of shape `(event, latent_size)` to use instead of drawing them.

        Returns:
            A `Sample` in `space` with the labels of `conditions`.

        Raises:
            ValueError: if a label is missing, not finite or impossible (a negative energy), or if shapes disagree.
        """
        events, labels = self._checked(labels)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, received {batch_size}.")
        if latent is None:
            latent = np.random.default_rng(seed).standard_normal((events, self.latent_size), dtype=np.float32)
        latent = np.asarray(latent, dtype=np.float32)
        if latent.shape != (events, self.latent_size):
            raise ValueError(
                f"latent must have shape {(events, self.latent_size)}, one vector per event, received {latent.shape}."
            )
        inputs = {"latent": latent, **{name: column.astype(np.float32)[:, None] for name, column in labels.items()}}
        values = np.empty((events, *self.space.shape), dtype=np.float32)
        size = min(batch_size, events)
        for start in range(0, events, size or 1):
            # The last batch is filled up: TensorFlow would compile anew for another size.
            chosen = np.minimum(np.arange(start, start + size), events - 1)
            batch = {name: column[chosen] for name, column in inputs.items()}
            values[start : start + size] = self.generator.predict_on_batch(batch)[: events - start, ..., 0]
        origin = {"gan": self.architecture, "training epochs": self.epochs, "seed": seed}
        return Sample(values, labels, self.space, origin)

    def traverse(self, labels: Mapping[str, np.ndarray], seed: int, latents: int = 1) -> Sample:
        """The same latent vectors at every point of the labels: what changes between points is the labels' doing.

        Args:
            labels: an array of shape `(point,)` for each of `conditions`, e.g. `energy` [GeV].
            seed: seed of the latent vectors.
            latents: number of latent vectors.

        Returns:
            A `Sample` of `latents * point` events, all points of the first latent vector first, with the label `latent`
            (0 to `latents - 1`) beside those of `conditions`.

        Raises:
            ValueError: as `generate`, if `latents` is less than 1, or if the GAN has no conditions to traverse.
        """
        if not self.conditions:
            raise ValueError(f"GAN {self.architecture!r} has no conditions to traverse; use generate(events, seed=).")
        if latents < 1:
            raise ValueError(f"latents must be at least 1, received {latents}.")
        points, labels = self._checked(labels)
        vectors = np.random.default_rng(seed).standard_normal((latents, self.latent_size), dtype=np.float32)
        sample = self.generate(
            {name: np.tile(column, latents) for name, column in labels.items()},
            seed,
            latent=np.repeat(vectors, points, axis=0),
        )
        return replace(sample, labels={**sample.labels, "latent": np.repeat(np.arange(latents), points)})

    def save(self, path: str | os.PathLike) -> None:
        """Write one file with both networks and what is needed to use them; `load` reads it back.

        The file is a zip archive of `generator.keras` and `discriminator.keras`, which Keras alone can load (if the
        architecture has layers of its own, once `calolab.models` is imported), and `gan.json`: space, latent size,
        conditions and their units, settings and training provenance. Nothing in it is pickled. It appears under its
        name only when complete.

        Args:
            path: the file, by convention ending in `.gan`.
        """
        path = Path(path)
        description = {
            "format": FORMAT,
            "version": VERSION,
            "architecture": self.architecture,
            "space": self.space.to_dict(),
            "latent_size": self.latent_size,
            "conditions": list(self.conditions),
            "label_units": {name: LABEL_UNITS.get(name, "") for name in self.conditions},
            "value_scale": self.value_scale,
            "settings": dict(self.settings),
            "provenance": self.provenance,
            "keras": keras.__version__,
        }
        weights = sum(4 * getattr(self, network).count_params() for network in NETWORKS)
        # The archive, and beside it one network.
        with complete(path, 2 * weights) as whole, scratch(path) as folder:
            folder.mkdir()
            with zipfile.ZipFile(whole, "w") as archive:
                archive.writestr("gan.json", json.dumps(description, indent=1))
                for network in NETWORKS:
                    part = Path(folder, f"{network}.keras")
                    getattr(self, network).save(part)
                    archive.write(part, part.name)
                    part.unlink()

    def _checked(self, labels: Mapping[str, np.ndarray] | int) -> tuple[int, dict[str, np.ndarray]]:
        """How many events are wanted and the labels of `conditions` as float64 columns, or a ValueError."""
        needs = f"GAN {self.architecture!r} expects the labels {', '.join(self.conditions)}"
        if isinstance(labels, (int, np.integer)):
            if self.conditions:
                raise ValueError(f"{needs}, an array for each; received only the number {labels}.")
            if labels < 0:
                raise ValueError(f"The number of events must not be negative, received {labels}.")
            return int(labels), {}
        missing = [name for name in self.conditions if name not in labels]
        if missing:
            raise ValueError(f"{needs}; {', '.join(missing)} is missing, received {', '.join(labels) or 'none'}.")
        if not labels:
            raise ValueError("A GAN without conditions expects the number of events or labels to count, received none.")
        columns = {name: np.asarray(labels[name], dtype=np.float64) for name in self.conditions or labels}
        shape = next(iter(columns.values())).shape
        for name, column in columns.items():
            if column.ndim != 1 or column.shape != shape:
                raise ValueError(
                    f"Label {name!r} must have shape (event,), the same for all labels, received {column.shape}."
                )
        columns = {name: columns[name] for name in self.conditions}
        for name, column in columns.items():
            _check_possible(name, column)
        if {"gluino_mass", "neutralino_mass"} <= set(columns):
            above = columns["neutralino_mass"] >= columns["gluino_mass"]
            if np.any(above):
                gluino, neutralino = (columns[name][above][0] for name in ("gluino_mass", "neutralino_mass"))
                raise ValueError(
                    f"A gluino must be heavier than the neutralino that it decays to, received {gluino} and "
                    f"{neutralino} GeV."
                )
        return shape[0], columns

    def __repr__(self):
        return (
            f"GAN({self.architecture!r} in {self.space.name!r}, conditions {self.conditions}, generator "
            f"{self.generator.count_params():,} and discriminator {self.discriminator.count_params():,} parameters)"
        )

    def _repr_html_(self):
        units = {name: f" [{LABEL_UNITS[name]}]" if name in LABEL_UNITS else "" for name in self.conditions}
        rows = [
            ("space", self.space._repr_html_()),
            ("conditions", ", ".join(f"{escape(name)}{unit}" for name, unit in units.items()) or "none"),
            ("latent size", self.latent_size),
            *((network, f"{getattr(self, network).count_params():,} parameters") for network in NETWORKS),
            ("training", f"{self.epochs} epochs"),
        ]
        cells = "".join(f"<tr><td>{name}</td><td>{content}</td></tr>" for name, content in rows)
        return f"<b>GAN {escape(self.architecture)}</b><table>{cells}</table>"


def load(path: str | os.PathLike) -> GAN:
    """Read a GAN that `GAN.save` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a complete GAN file, has weights that are not finite, or a later calolab wrote it.
        OSError, MemoryError: if it cannot be read at present, whatever it holds.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No GAN file {path}; write one with gan.save({str(path)!r}).")
    try:
        with zipfile.ZipFile(path) as archive:
            description = json.loads(archive.read("gan.json"))
            if not isinstance(description, dict) or not isinstance(description.get("version"), int):
                raise ValueError(f"gan.json must be an object with a version, it is {description!r:.80}")
            kind, version = description.get("format"), description["version"]
            if kind == FORMAT and version <= VERSION:
                return _read(archive, description)
    except Exception as error:  # a foreign part makes zipfile, Keras and HDF5 raise almost anything
        if isinstance(error, OSError) and error.errno in DISK_FULL_REASONS:
            folder = tempfile.gettempdir()
            remedy = f"Free some space in {folder}, or set TMPDIR to a folder on another disk."
            raise full_disk(error, Path(folder, path.name), None, f"{path} was not read. {remedy}") from error
        if (fault := unreadable(error, path)) is not None:
            raise fault from error
        raise ValueError(
            f"{path}: not a complete GAN file, or damaged ({str(error) or type(error).__name__}). Copy it again, or "
            "write it again with gan.save."
        ) from error
    raise ValueError(
        f"{path} has format {kind!r} version {version}; this calolab reads {FORMAT!r} up to version {VERSION}. Update "
        "calolab to read it."
    )


def _read(archive: zipfile.ZipFile, description: Mapping) -> GAN:
    """The GAN of an archive."""
    for name, kind in DESCRIPTION.items():
        if not isinstance(description.get(name), kind):
            raise ValueError(f"gan.json must have {name!r} of type {kind.__name__}, has {description.get(name)!r:.80}")
    trainings = description["provenance"].get("trainings", [])
    if not isinstance(trainings, list) or not all(isinstance(one.get("epochs"), int) for one in trainings):
        raise ValueError(f"the trainings in gan.json must each say their number of epochs, they are {trainings!r:.80}")
    models = {network: _read_network(archive, f"{network}.keras") for network in NETWORKS}
    if description["version"] == 1:
        _from_version_1(models["discriminator"])
    return GAN(
        architecture=description["architecture"],
        space=Space.from_dict(description["space"]),
        latent_size=description["latent_size"],
        conditions=description["conditions"],
        settings=description["settings"],
        provenance=description["provenance"],
        value_scale=description.get("value_scale", 1.0),
        **models,
    )


def _read_network(archive: zipfile.ZipFile, name: str) -> keras.Model:
    """One network; nothing but Keras's own layers and those of `calolab.models` is made, and no code is run."""
    with tempfile.TemporaryDirectory() as folder:
        part = archive.extract(name, folder)
        try:
            network = keras.saving.load_model(part, compile=False, safe_mode=True)
        except Exception as error:
            if unreadable(error, name) is not None:
                raise
            said = " ".join(str(error).replace(f"{folder}{os.sep}", "").split()) or type(error).__name__
            raise ValueError(f"{name} cannot be read by Keras: {said[:300]}") from error
    if not isinstance(network, keras.Model):
        raise ValueError(f"{name} holds a {type(network).__name__}, no Keras model")
    for variable in network.weights:
        if not np.all(np.isfinite(keras.ops.convert_to_numpy(variable))):
            raise ValueError(f"weights {variable.path} of {name} are not finite: its training diverged")
    return network


def check_shape(architecture: str, space: Space, shape: tuple[int, ...], example: str) -> None:
    """Raise ValueError unless an architecture's values fit a space.

    Args:
        architecture: its name.
        space: what it was asked to fill.
        shape: of the values that it makes.
        example: name of a space of that shape.
    """
    if space.shape != shape:
        raise ValueError(
            f"The {architecture} architecture makes values of shape {shape}, but space {space.name!r} has shape "
            f"{space.shape}. Use a space of that shape, e.g. {example!r}."
        )


def _check_possible(name: str, column: np.ndarray) -> None:
    if not np.all(np.isfinite(column)):
        raise ValueError(f"Label {name!r} holds {np.sum(~np.isfinite(column))} values that are not finite.")
    words, possible = POSSIBLE.get(name, ("", np.isfinite))
    wrong = column[~possible(column)]
    if len(wrong):
        raise ValueError(f"Label {name!r} must be {words}, received {wrong[0]}.")


def _from_version_1(discriminator: keras.Model) -> None:
    """Let a discriminator of the first format, which only 3DGANs had, answer with logits and name its features."""
    for layer in discriminator.layers:
        if layer.name == "generation" and layer.activation is keras.activations.sigmoid:
            layer.activation = keras.activations.linear
        if isinstance(layer, keras.layers.Flatten):
            layer.name = "features"


def _shapes(tensors) -> tuple | dict[str, tuple]:
    """Shapes without the events, by name if the tensors have names."""
    if isinstance(tensors, dict):
        return {name: tuple(tensor.shape[1:]) for name, tensor in tensors.items()}
    return tuple(tensors.shape[1:])
