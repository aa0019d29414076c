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

from calolab.samples import LABEL_UNITS, Sample
from calolab.spaces import Space

FORMAT = "calolab-gan"
VERSION = 1
NETWORKS = ("generator", "discriminator")


@dataclass(frozen=True, eq=False)
class GAN:
    """A generator and a discriminator with what is needed to use them.

    Args:
        architecture: name in the registry, e.g. `"3dgan"`.
        space: what the generated values mean.
        generator: Keras model from `{"latent": (event, latent_size), <condition>: (event, 1), ...}`, conditions in the
            labels' units, to values `(event, *space.shape, 1)` in `space.unit`.
        discriminator: Keras model from values `(event, *space.shape, 1)` to named heads, each `(event, 1)`.
        latent_size: length of the latent vector, standard normal.
        conditions: names of the labels that the generator takes.
        settings: what the architecture was built with.
        provenance: under `trainings`, how it was trained, as plain numbers and strings; filled in by training.

    Raises:
        ValueError: if the networks do not fit the space, the latent size or the conditions.
    """

    architecture: str
    space: Space
    generator: keras.Model
    discriminator: keras.Model
    latent_size: int
    conditions: tuple[str, ...] = ("energy",)
    settings: Mapping[str, object] = field(default_factory=dict)
    provenance: dict[str, object] = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "conditions", tuple(self.conditions))
        expected = {"latent": (self.latent_size,), **dict.fromkeys(self.conditions, (1,))}
        inputs = self.generator.input if isinstance(self.generator.input, dict) else {}
        received = {name: tuple(tensor.shape[1:]) for name, tensor in inputs.items()}
        if received != expected:
            raise ValueError(f"The generator must have the inputs {expected}, it has {received}.")
        values = (*self.space.shape, 1)
        for network, shape in (("generator", "output_shape"), ("discriminator", "input_shape")):
            received = tuple(getattr(getattr(self, network), shape)[1:])
            if received != values:
                raise ValueError(
                    f"The {network}'s {shape} must be {values} for space {self.space.name!r}, it is {received}."
                )

    @property
    def epochs(self) -> int:
        """Epochs of all trainings so far."""
        return sum(training["epochs"] for training in self.provenance.get("trainings", ()))

    def generate(
        self, labels: Mapping[str, np.ndarray], seed: int, batch_size: int = 32, latent: np.ndarray | None = None
    ) -> Sample:
        """One generated event for every entry of the labels; the same seed gives the same events.

        Args:
            labels: an array of shape `(event,)` for each of `conditions`, e.g. `energy` [GeV]; others are left out.
            seed: seed of the latent vectors.
            batch_size: events that the generator makes at a time; it bounds the memory and does not change the events.
            latent: latent vectors of shape `(event, latent_size)` to use instead of drawing them.

        Returns:
            A `Sample` in `space` with the labels of `conditions`.

        Raises:
            ValueError: if a label is missing, not finite or, for an energy, not positive, or if shapes disagree.
        """
        labels = self._checked(labels)
        events = len(labels[self.conditions[0]])
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
        for start in range(0, events, batch_size):
            chosen = slice(start, start + batch_size)
            batch = {name: column[chosen] for name, column in inputs.items()}
            values[chosen] = self.generator.predict_on_batch(batch)[..., 0]
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
            ValueError: as `generate`, or if `latents` is less than 1.
        """
        if latents < 1:
            raise ValueError(f"latents must be at least 1, received {latents}.")
        labels = self._checked(labels)
        points = len(labels[self.conditions[0]])
        vectors = np.random.default_rng(seed).standard_normal((latents, self.latent_size), dtype=np.float32)
        sample = self.generate(
            {name: np.tile(column, latents) for name, column in labels.items()},
            seed,
            latent=np.repeat(vectors, points, axis=0),
        )
        return replace(sample, labels={**sample.labels, "latent": np.repeat(np.arange(latents), points)})

    def save(self, path: str | os.PathLike) -> None:
        """Write one file with both networks and what is needed to use them; `load` reads it back.

        The file is a zip archive of `generator.keras` and `discriminator.keras`, which Keras alone can load, and
        `gan.json`: space, latent size, conditions and their units, settings and training provenance. Nothing in it is
        pickled. It appears under its name only when complete.

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
            "settings": dict(self.settings),
            "provenance": self.provenance,
            "keras": keras.__version__,
        }
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            whole = Path(folder, path.name)
            with zipfile.ZipFile(whole, "w") as archive:
                archive.writestr("gan.json", json.dumps(description, indent=1))
                for network in NETWORKS:
                    part = Path(folder, f"{network}.keras")
                    getattr(self, network).save(part)
                    archive.write(part, part.name)
            os.replace(whole, path)

    def _checked(self, labels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The labels of `conditions` as float64 columns, or a ValueError that says what is wrong with them."""
        missing = [name for name in self.conditions if name not in labels]
        if missing:
            raise ValueError(
                f"This GAN expects the labels {', '.join(self.conditions)}; {', '.join(missing)} is missing, "
                f"received {', '.join(labels) or 'none'}."
            )
        columns = {name: np.asarray(labels[name], dtype=np.float64) for name in self.conditions}
        events = columns[self.conditions[0]].shape
        for name, column in columns.items():
            if column.ndim != 1 or column.shape != events:
                raise ValueError(
                    f"Label {name!r} must have shape (event,), the same for all labels, received {column.shape}."
                )
            if not np.all(np.isfinite(column)):
                raise ValueError(f"Label {name!r} holds {np.sum(~np.isfinite(column))} values that are not finite.")
            if name == "energy" and np.any(column <= 0):
                raise ValueError(f"Energies must be positive [GeV], received {column.min()}.")
        return columns

    def __repr__(self):
        return (
            f"GAN({self.architecture!r} in {self.space.name!r}, conditions {self.conditions}, generator "
            f"{self.generator.count_params():,} and discriminator {self.discriminator.count_params():,} parameters)"
        )

    def _repr_html_(self):
        rows = [
            ("space", self.space._repr_html_()),
            ("conditions", ", ".join(f"{escape(n)} [{LABEL_UNITS.get(n, '')}]" for n in self.conditions)),
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
        ValueError: if it is not a complete GAN file, or a later calolab wrote it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No GAN file {path}; write one with gan.save({str(path)!r}).")
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            description = json.loads(archive.read("gan.json"))
            if description.get("format") != FORMAT or description.get("version", 0) > VERSION:
                raise ValueError(
                    f"{path} has format {description.get('format')!r} version {description.get('version')}; this "
                    f"calolab reads {FORMAT!r} up to version {VERSION}. Update calolab to read it."
                )
            models = {}
            for network in NETWORKS:
                part = archive.extract(f"{network}.keras", folder)
                models[network] = keras.saving.load_model(part, compile=False)
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a complete GAN file ({error}); write it again with gan.save.") from error
    return GAN(
        architecture=description["architecture"],
        space=Space.from_dict(description["space"]),
        latent_size=description["latent_size"],
        conditions=description["conditions"],
        settings=description["settings"],
        provenance=description["provenance"],
        **models,
    )
