"""The GAN record: a generator with its Keras networks, for training and saving."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import keras
import numpy as np

from calolab.files import unreadable
from calolab.generators import Generator
from calolab.labels import UNITS
from calolab.model_card import ModelCard, withdraw
from calolab.models import compact, compiled, gan_file
from calolab.models import layers as _registered  # noqa: F401  (Keras finds the layers that files may hold)
from calolab.names import check_name
from calolab.spaces import Space, with_unit
from calolab.tables import Html, Table


@dataclass(frozen=True, eq=False, repr=False)
class GAN(Generator):
    """A `Generator` with its Keras networks, for training and saving.

    `networks` holds a model's networks by name. The network `generator` makes the events, from
    `{"latent": (event, latent_size), <condition>: (event, 1), ...}`, conditions in the labels' units, to values
    `(event, *space.shape, 1)` in `space.unit`. An adversarial model also has a `discriminator`, from values
    `(event, *space.shape, 1)`, or, if it depends on the conditions, from
    `{"image": values, <condition>: (event, 1), ...}`, to named heads, each `(event, 1)`: `generation` is a logit, whose
    sigmoid is the probability that the event is real, and the heads' input is the output of the layer `features`.
    Other networks, such as those of a model that is trained in stages, may have any name and shape; one that is a layer
    of another network shares its weights, also after saving and loading.

    Args:
        architecture, space, latent_size, conditions, settings, provenance: as for `Generator`.
        networks: Keras models by name.
        value_scale: unit in which the networks process values [`space.unit`]; 1 if they do not rescale them.

    Raises:
        ValueError: if the networks do not match the space, the latent size or the conditions, or value_scale is not
            positive and finite.
    """

    run: Callable[[Mapping[str, np.ndarray]], np.ndarray] = field(init=False)
    networks: Mapping[str, keras.Model] = field(kw_only=True)
    value_scale: float = field(default=1.0, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "networks", dict(self.networks))
        if "generator" not in self.networks:
            raise ValueError(f"A GAN needs the network 'generator', received {', '.join(self.networks) or 'none'}.")
        object.__setattr__(self, "run", self._predict)
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
        if "discriminator" not in self.networks:
            return
        expected, received = {"image": values, **rows}, _shapes(self.discriminator.input)
        if received not in (values, expected):
            raise ValueError(
                f"The discriminator's input_shape must be {values} for space {self.space.name!r}, or {expected} if it "
                f"depends on the conditions; it is {received}."
            )

    @property
    def generator(self) -> keras.Model:
        """The network that makes the events."""
        return self.networks["generator"]

    @property
    def discriminator(self) -> keras.Model:
        """The network that distinguishes real from generated events.

        Raises:
            ValueError: if the model has none.
        """
        if "discriminator" not in self.networks:
            raise ValueError(f"{self.architecture!r} has no discriminator, only {', '.join(self.networks)}.")
        return self.networks["discriminator"]

    def save(
        self,
        path: str | os.PathLike,
        *,
        dtype: str = "float32",
        networks: Sequence[str] | None = None,
        card: ModelCard | None = None,
    ) -> None:
        """Write one file with all networks and what is needed to use them; `load` reads it back.

        The file is a zip archive of one `.keras` file per network, which Keras alone can load (if the architecture has
        layers of its own, after `import calolab.models.layers`), and `gan.json`: space, latent size, conditions and
        their units, settings and training provenance. It is written under a temporary name and renamed when it is
        complete.

        Args:
            path: the file, by convention ending in `.gan`.
            dtype: type of the stored weights, `"float32"`, or `"float16"` for a file of less than half the size; see
                `models.compact` for the rounding. They are float32 after loading.
            networks: names of the networks to store, by default all. With `("generator",)`, events can be generated;
                training needs the others.
            card: the model card to store; by default that of the file from which the GAN was loaded.

        Raises:
            ValueError: for an unknown type or network, without the generator, or for a card of another detector or with
                labels that are no conditions.
            OSError: if the disk is full; an earlier file of that name is kept.
        """
        check_name("type of stored weights", dtype, gan_file.DTYPES)
        for name in (chosen := tuple(self.networks if networks is None else networks)):
            check_name(f"network of {self.architecture!r}", name, self.networks)
        if "generator" not in chosen:
            raise ValueError(f"A GAN file needs the network 'generator', received {', '.join(chosen) or 'none'}.")
        if card is not None and (card.detector != self.space.name or not set(card.validity) <= set(self.conditions)):
            raise ValueError(
                f"The card of {card.name!r} is for {card.detector!r} and {', '.join(card.validity)}; the GAN generates "
                f"events in {self.space.name!r} for {', '.join(self.conditions) or 'no labels'}."
            )
        kept = {name: network for name, network in self.networks.items() if name in chosen}
        parts = _parts(kept)
        own = {name: network for name, network in kept.items() if name not in parts}
        header = gan_file.Header(
            architecture=self.architecture,
            space=self.space,
            latent_size=self.latent_size,
            conditions=self.conditions,
            settings=self.settings,
            provenance=self.provenance if card is None else {**self.provenance, "card": card.to_dict()},
            value_scale=self.value_scale,
            networks={name: {gan_file.KERAS: f"{name}.keras"} for name in own},
            parts=parts,
            library={"keras": keras.__version__},
            dtype=dtype,
        )
        weights = sum(4 * network.count_params() for network in own.values())
        save = compact.save if dtype == "float16" else keras.Model.save
        gan_file.write(
            path, header, {f"{name}.keras": partial(save, network) for name, network in own.items()}, weights
        )

    def adapted(self, space: Space) -> GAN:
        """A copy of this GAN for a changed detector, with the same weights, to be trained further on its showers.

        Args:
            space: a space with the same axes, cells and quantity, e.g. `gan.space.replaced(material={"W": "Pb"})`.

        Returns:
            The copy; training it leaves this GAN as it is. Its provenance has the name of the former space as
            `adapted_from`, and it has no model card.

        Raises:
            ValueError: if the axes, the number of cells, the quantity or its unit differ.
        """
        for what in ("axes", "shape", "quantity", "unit"):
            here, there = getattr(self.space, what), getattr(space, what)
            if here != there:
                raise ValueError(
                    f"This GAN generates events of {what} {here}; space {space.name!r} has the {what} {there}. Only a "
                    "space with the same axes, cells and quantity can take its networks; build a new model otherwise."
                )
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "copy.gan")
            self.save(path)
            copy = load(path)
        withdraw(copy.provenance)
        return replace(copy, space=space, provenance={**copy.provenance, "adapted_from": self.space.name})

    def _predict(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        return compiled.predict(self.generator, inputs)[..., 0]

    def __repr__(self):
        sizes = ", ".join(f"{name} {network.count_params():,}" for name, network in self.networks.items())
        return f"GAN({self.architecture!r} in {self.space.name!r}, conditions {self.conditions}, parameters: {sizes})"

    def _repr_html_(self):
        conditions = ", ".join(with_unit(name, UNITS.get(name, "")) for name in self.conditions)
        rows = [
            ("space", Html(self.space._repr_html_(), repr(self.space))),
            ("conditions", conditions or "none"),
            ("latent size", self.latent_size),
            *((name, f"{network.count_params():,} parameters") for name, network in self.networks.items()),
            ("training", f"{self.epochs} epochs"),
        ]
        card = "" if self.card is None else self.card._repr_html_()
        return Table(rows, title=f"GAN {self.architecture}")._repr_html_() + card


def load(path: str | os.PathLike) -> GAN:
    """Read a GAN file, which `GAN.save` wrote.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a complete GAN file, has weights that are not finite, or a later version of calolab
            wrote it.
        OSError, MemoryError: if it cannot be read at present, whatever its content.
    """
    with gan_file.opened(path) as (archive, header):
        networks = {name: _read_network(archive, header.member(name, gan_file.KERAS)) for name in header.networks}
        for name in header.parts:
            networks[name] = _shared(name, networks, header.parts)
        if header.version == 1:
            _from_version_1(networks["discriminator"])
        return GAN(
            architecture=header.architecture,
            space=header.space,
            networks=networks,
            latent_size=header.latent_size,
            conditions=header.conditions,
            settings=header.settings,
            provenance=header.provenance,
            value_scale=header.value_scale,
        )


def _read_network(archive: zipfile.ZipFile, name: str) -> keras.Model:
    """One network; only layers of Keras and of `calolab.models` are created, and no code of the file is run."""
    with tempfile.TemporaryDirectory() as folder:
        part = archive.extract(name, folder)
        try:
            network = keras.saving.load_model(part, compile=False, safe_mode=True)
        except Exception as error:
            if unreadable(error, name) is not None:
                raise
            message = " ".join(str(error).replace(f"{folder}{os.sep}", "").split()) or type(error).__name__
            raise ValueError(f"{name} cannot be read by Keras: {message[:300]}") from error
    if not isinstance(network, keras.Model):
        raise ValueError(f"{name} holds a {type(network).__name__}, which is not a Keras model")
    for variable in network.weights:
        if not np.all(np.isfinite(keras.ops.convert_to_numpy(variable))):
            raise ValueError(f"weights {variable.path} of {name} are not finite: its training diverged")
    return network


def _parts(networks: Mapping[str, keras.Model]) -> dict[str, tuple[str, str]]:
    """Networks that are layers of another one: by their names, the other one's name and that of its layer."""
    found = {}
    for name, network in networks.items():
        for holder, whole in networks.items():
            if whole is not network and any(layer is network for layer in whole.layers):
                found[name] = (holder, network.name)
                break
    return found


def _shared(name: str, networks: Mapping[str, keras.Model], parts: Mapping[str, tuple[str, str]]) -> keras.Model:
    """A network that is a layer of another one, which may itself be a layer of a third one."""
    if name not in parts:
        return networks[name]
    holder, layer = parts[name]
    return _shared(holder, networks, parts).get_layer(layer)


def _from_version_1(discriminator: keras.Model) -> None:
    """Make the head of a discriminator of version 1, which only 3DGANs had, a logit, and name its features."""
    for layer in discriminator.layers:
        if layer.name == "generation" and layer.activation is keras.activations.sigmoid:
            layer.activation = keras.activations.linear
        if isinstance(layer, keras.layers.Flatten):
            layer.name = "features"


def _shapes(tensors) -> tuple | dict[str, tuple]:
    """Shapes without the event axis, by name if the tensors have names."""
    if isinstance(tensors, dict):
        return {name: tuple(tensor.shape[1:]) for name, tensor in tensors.items()}
    return tuple(tensors.shape[1:])
