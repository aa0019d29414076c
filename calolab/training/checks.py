"""What must hold before a training begins, on this rank and across all of them."""

from __future__ import annotations

import os

import numpy as np

from calolab.models import GAN
from calolab.training import heads, ranks
from calolab.training.precision import check_precision
from calolab.training.recipe import Recipe


def check_request(
    gan: GAN,
    data,
    epochs: int,
    precision: str,
    seed: int,
    recipe: Recipe,
    folder: str | os.PathLike | None,
    resume: bool,
) -> None:
    """Raise ValueError unless the arguments of `fit` make sense and fit each other."""
    if data.space != gan.space:
        raise ValueError(
            f"The data are in space {data.space.name!r}, but the GAN makes showers in {gan.space.name!r}; "
            "build it with models.build(name, data.space)."
        )
    missing = [name for name in gan.conditions if name not in data.labels]
    if missing:
        raise ValueError(
            f"The GAN is conditioned on {', '.join(gan.conditions)}; the data lack {', '.join(missing)}, "
            f"they have {', '.join(data.labels) or 'no labels'}."
        )
    energy = np.asarray(data.labels["energy"]) if "energy" in gan.conditions else np.ones(1)
    if not np.all(energy > 0):
        raise ValueError(f"Energies must be positive [GeV]; the data hold {energy.min()}.")
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, received {epochs}.")
    if seed < 0:
        raise ValueError(f"seed must not be negative, received {seed}.")
    if resume and folder is None:
        raise ValueError("resume=True needs checkpoints=, the folder that holds the checkpoint to go on from.")
    check_precision(precision)
    heads.check_heads(gan, recipe)


def count_events(data, parallel) -> int:
    """The events of all ranks together.

    Raises:
        ValueError: on all ranks, if the shards of any two differ by more than one event.
    """
    (mean,) = ranks.averaged(parallel, np.float64(len(data)))
    events = round(float(mean) * parallel.size)

    def check_shard_length():
        if len(data) not in (events // parallel.size, -(-events // parallel.size)):
            raise ValueError(
                f"The ranks' shards may differ by one event at most; of {events} events on {parallel.size} ranks, rank "
                f"{parallel.rank} has {len(data)}. Use data.shard(rank, size)."
            )

    ranks.agreed(parallel, check_shard_length)
    return events
