"""calolab-fast: showers by layer quantities first, then all cells in fifteen passes; trained by likelihood."""

from __future__ import annotations

import keras

from calolab.models.architecture import Architecture
from calolab.models.fast_showers import losses, tables
from calolab.models.fast_showers.calibration import ENOUGH, calibrate
from calolab.models.fast_showers.cells import CONDITIONS, Cells
from calolab.models.fast_showers.flow import Flow
from calolab.models.fast_showers.normalisation import LogEnergy, Normalisation
from calolab.models.fast_showers.quantities import COLUMNS
from calolab.models.gan import GAN
from calolab.models.initial_weights import SeedStream
from calolab.samples import Sample
from calolab.spaces import Space

THRESHOLD = 3e-5  # [GeV]
TEMPLATE_EVENTS = 3000


def build(
    space: Space,
    *,
    seed: int = 0,
    width: int = 48,
    blocks: int = 4,
    steps: int = 4,
    hidden: int = 48,
    far_hidden: int = 16,
    context: int = 64,
    threshold: float = THRESHOLD,
) -> GAN:
    """Build calolab-fast: a flow makes the quantities of all layers, then a likelihood draws the cells.

    Its latent vectors hold one number for the energy in all layers, seven for each layer and two for each cell.

    Args:
        space: a calorimeter whose layers all have the same odd number of pads along x and y, e.g. `clic-ecal`.
        seed: seed of the initial weights.
        width: neurons for each layer of the calorimeter in the network that is the velocity of the flow.
        blocks: its number of blocks.
        steps: steps along the flow, each of two evaluations of that network.
        hidden: neurons per near cell, up to six pads from the core cell along x and y.
        far_hidden: neurons per far cell.
        context: numbers by layer that scale and shift the neurons.
        threshold: lowest energy of a hit [GeV]; the recipe needs the same.

    Returns:
        An untrained `GAN` conditioned on `energy` [GeV], with the networks `quantities` and `cells`.

    Raises:
        ValueError: if the space has other axes, fewer than 3 layers or 5 pads, or an even or unequal number of pads.
    """
    shape = space.shape
    square = space.regular and len(shape) == 3 and shape[0] == shape[1]
    if not (square and shape[0] % 2 and shape[0] >= 5 and shape[2] >= 3):
        raise ValueError(
            "calolab-fast generates showers in at least 3 equal layers with the same odd number of pads in x and y, at "
            f"least 5; space {space.name!r} has the shape {shape}. Use e.g. 'clic-ecal'."
        )
    side, _, layers = shape
    seeds, numbers, noise = SeedStream(seed), layers * len(COLUMNS), 2 * side**2 * layers
    quantities = _quantities(side, layers, width, blocks, steps, threshold, seeds.next())
    cells = _cells(side, layers, hidden, far_hidden, context, threshold, seeds.next())
    latent, energy = keras.Input((1 + numbers + noise,), name="latent"), keras.Input((1,), name="energy")
    found = quantities({"latent": latent[:, : 1 + numbers], "energy": energy})
    showers = cells({**found, "noise": latent[:, 1 + numbers :]})
    generator = keras.Model({"latent": latent, "energy": energy}, showers, name="generator")
    return GAN(
        architecture="calolab-fast",
        space=space,
        networks={"generator": generator, "quantities": quantities, "cells": cells},
        latent_size=1 + numbers + noise,
        conditions=("energy",),
        settings={
            "seed": seed,
            "width": width,
            "blocks": blocks,
            "steps": steps,
            "hidden": hidden,
            "far_hidden": far_hidden,
            "context": context,
            "threshold": threshold,
        },
    )


def _quantities(side: int, layers: int, width: int, blocks: int, steps: int, threshold: float, seed: int):
    """The network from latent numbers and energy to the quantities of layers."""
    latent, energy = keras.Input((1 + layers * len(COLUMNS),), name="latent"), keras.Input((1,), name="energy")
    scaled = LogEnergy(name="scale")(energy)
    flow = Flow(len(COLUMNS), layers, width, blocks, steps, seed, name="flow")
    numbers = flow({"noise": latent[:, 1:], "scaled": scaled, "total": latent[:, :1]})
    normal = {"normal": keras.layers.Reshape((len(COLUMNS), layers))(numbers), "total": latent[:, :1]}
    found = Normalisation(side, layers, threshold, name="normalisation")({**normal, "energy": energy, "scaled": scaled})
    return keras.Model({"latent": latent, "energy": energy}, found, name="quantities")


def _cells(side: int, layers: int, hidden: int, far_hidden: int, context: int, threshold: float, seed: int):
    """The network from the quantities of layers to showers."""
    inputs = {
        "quantities": keras.Input((layers, len(COLUMNS)), name="quantities"),
        "conditions": keras.Input((layers, CONDITIONS), name="conditions"),
        "noise": keras.Input((2 * side**2 * layers,), name="noise"),
    }
    showers = Cells(side, layers, hidden, far_hidden, context, threshold, seed, name="cells")(inputs)
    return keras.Model(inputs, showers, name="cells")


def prepare(gan: GAN, sample: Sample) -> None:
    """Fit the normalisation of layer quantities and the templates of cells to showers.

    With few showers, the normalisation of a trained GAN is only moved to them: the shapes of distributions stay.

    Args:
        gan: a `GAN` of this architecture.
        sample: showers.
    """
    scale, normalisation = map(gan.networks["quantities"].get_layer, ("scale", "normalisation"))
    if gan.provenance.get("trainings") and len(sample) < ENOUGH:
        tables.adapt(scale, normalisation, sample.values, sample.labels["energy"])
        return
    cells = gan.networks["cells"].get_layer("cells")
    tables.fit(scale, normalisation, sample.values, sample.labels["energy"])
    values = sample.values[:TEMPLATE_EVENTS]
    cells.hit_template.assign(tables.hit_template(cells.lattice, values))
    cells.spectrum_template.assign(tables.spectrum_template(cells.lattice, values, cells.threshold))


ARCHITECTURES = (
    Architecture(
        name="calolab-fast",
        build=build,
        space="clic-ecal",
        conditions=("energy",),
        heads={},
        recipe={
            "weights": {"generation": 1.0},
            "objective": "calolab-fast/quantities",
            "optimizer": "adam",
            "betas": (0.9, 0.999),
            "threshold": THRESHOLD,
            "augment": True,
            "schedule": "cosine",
            "stages": (
                {
                    "networks": ("quantities",),
                    "epochs": 300,
                    "recipe": {"learning_rate": 3e-3, "clip": 1.0, "average": 0.999, "batch_multiple": 8},
                },
                {
                    "networks": ("cells",),
                    "recipe": {
                        "objective": "calolab-fast/cells",
                        "learning_rate": 2.5e-3,
                        "clip": 100.0,
                        "average": 0.995,
                    },
                },
            ),
        },
        adaptation={
            "stages": (
                {"networks": ("quantities",), "epochs": 10, "recipe": {"learning_rate": 3e-4, "average": 0.9}},
                {
                    "networks": ("cells",),
                    "recipe": {
                        "objective": "calolab-fast/cells",
                        "learning_rate": 5e-4,
                        "clip": 100.0,
                        "average": 0.95,
                    },
                },
            ),
        },
        citation="calolab; flow matching: arXiv:2210.02747",
        parameters={"generator": 655_402, "quantities": 295_458, "cells": 359_944},
        batch_size=32,
        objectives={"quantities": {"quantities": losses.quantities}, "cells": {"cells": losses.cells}},
        latent_sizes={
            "quantities": lambda gan: losses.numbers_per_layer() * gan.space.shape[-1],
            "cells": lambda gan: losses.numbers_for_cells() * gan.space.shape[-1],
        },
        prepare=prepare,
        calibrate=calibrate,
    ),
)
