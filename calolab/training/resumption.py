"""Where a training begins, what it keeps on disk, and what it notes in its GAN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from calolab import cpu
from calolab.training import checkpoints as store
from calolab.training import ranks
from calolab.training.divergence import check_weights
from calolab.training.draws import order_seed
from calolab.training.response import pooled_response
from calolab.training.standing import Standing

if TYPE_CHECKING:
    from calolab.training.trainer import Run


def begin(run: Run, resume: bool) -> tuple[Standing, dict[str, np.ndarray] | None]:
    """Where to start, with equal variables on all ranks: a new training, or the checkpoint that rank 0 reads.

    Returns:
        Where the training stands, and the best epoch's variables where epochs have been scored.
    """

    def read(file):
        standing, arrays = store.load(run.folder, run.settings, run.changing, file)
        store.assign(run.changing, arrays)
        return asdict(standing)

    best = None
    if resume:
        standing = Standing(**ranks.from_rank_0(run.parallel, lambda: read(store.FILE)))
        if run.physics_score is None or standing.best.get("by") != run.physics_score.by:
            standing.best = {}  # what was judged by something else, or by nothing, has no best epoch
        if standing.best:
            # Killed between two writes, a training leaves a best epoch that its checkpoint does not know yet.
            standing.best = ranks.from_rank_0(run.parallel, lambda: read(store.BEST))["best"]
            best = _broadcast(run)
            ranks.from_rank_0(run.parallel, lambda: read(store.FILE))
    else:
        standing = Standing()
        if "ecal" in run.recipe.weights:
            response = pooled_response(run.data, run.parallel, order_seed(run.seed, run.parallel.rank, 0))
            standing.response = response.to_dict()
        if run.folder is not None:
            ranks.from_rank_0(run.parallel, lambda: store.set_aside(run.folder))
    store.assign(run.changing, _broadcast(run))
    return standing, best


def _broadcast(run: Run) -> dict[str, np.ndarray]:
    """Rank 0's values of all variables by name, on every rank."""
    arrays = run.parallel.broadcast(list(store.values(run.changing).values()))
    return {name: np.asarray(array) for name, array in zip(run.changing, arrays)}


def checked(run: Run, standing: Standing) -> dict[str, np.ndarray]:
    """The values of all variables by name, if they are good."""
    arrays = store.values(run.changing)
    check_weights(f"After {standing.epoch} epochs", arrays)
    return arrays


def write(run: Run, standing: Standing, arrays: Mapping[str, np.ndarray], file: str) -> None:
    """Where checkpoints are asked for, let rank 0 write one."""
    if run.folder is not None:
        ranks.from_rank_0(run.parallel, lambda: store.save(run.folder, arrays, standing, run.settings, file))


def note_provenance(run: Run, standing: Standing, resumed: bool) -> None:
    """Write into the GAN how it was trained; a resumed training replaces the note that it left when it stopped."""
    trainings = run.gan.provenance.setdefault("trainings", [])
    # An earlier training of another kind keeps its note: only one with these settings can have been resumed, be it on
    # another number of ranks.
    settings = {name: value for name, value in run.settings.items() if name != "ranks"}
    if resumed and trainings and all(trainings[-1].get(name) == value for name, value in settings.items()):
        trainings.pop()
    trainings.append(
        {
            **run.settings,
            "epochs": standing.epoch,
            "best": standing.best,
            "response": standing.response,
            "labels": {name: [float(column.min()), float(column.max())] for name, column in run.labels.items()},
            "data": dict(getattr(run.data, "origin", {})),
            "cpu": str(cpu.report()),  # equal bits are promised on this kind of CPU only
        }
    )
