"""Training a GAN: the loop over epochs, steps and passes, alone or as one of several ranks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from math import isfinite

import keras
import numpy as np
import tensorflow as tf

from calolab.models import GAN
from calolab.samples import Sample, global_batch_size, steps_per_epoch
from calolab.training import checkpoints as store
from calolab.training import objectives, ranks
from calolab.training.callbacks import progress_bar
from calolab.training.draws import Draw, draw, order_seed
from calolab.training.history import History, Progress
from calolab.training.interrupts import deferred_interrupt
from calolab.training.passes import make_passes, moving_statistics, seed_states
from calolab.training.precision import check_precision, computing_in
from calolab.training.recipe import Recipe
from calolab.training.response import FIT_EVENTS, Response, fit_response
from calolab.training.standing import Standing


class TrainingDiverged(RuntimeError):
    """A loss was not finite, or the generator made nothing but empty showers."""


@dataclass(frozen=True, eq=False)
class _Run:
    """What stays the same from the first step to the last."""

    gan: GAN
    data: object
    labels: Mapping[str, np.ndarray]
    recipe: Recipe
    passes: Mapping[str, Callable]
    parallel: object
    epochs: int
    batch_size: int
    seed: int
    events: int
    steps: int
    changing: Mapping[str, keras.Variable]
    folder: str | os.PathLike | None
    settings: Mapping[str, object]


def fit(
    gan: GAN,
    data,
    *,
    epochs: int,
    batch_size: int = 128,
    precision: str = "float32",
    seed: int = 0,
    recipe: Recipe | None = None,
    checkpoints: str | os.PathLike | None = None,
    resume: bool = False,
    callbacks: Sequence[Callable[[Progress], None]] = (),
    parallel=None,
    should_stop: Callable[[], bool] | None = None,
    progress: bool = True,
) -> History:
    """Train a GAN in place by the published 3DGAN recipe (arXiv:1912.06794).

    A step is: the discriminator learns from a real batch, then from a generated one; the generator learns twice. All
    randomness is a function of `seed`, the rank, the epoch and the step. Ctrl-C stops after the pass in progress.

    Args:
        gan: the networks; they start from their present weights, on several ranks from those of rank 0.
        data: a `Sample` or `EventStream` in the GAN's space with the labels of its conditions: this rank's shard.
        epochs: epochs in all, those before a resumption included.
        batch_size: events per rank and step; the last step of an epoch takes the rest.
        precision: `"float32"`, or `"bfloat16"`: convolutions in bfloat16, variables, heads and losses in float32. It pays
            on GPUs and on CPUs with AMX; on others it is slower.
        seed: seed of noise, dropout, label flips, energies and the order of events.
        recipe: the numbers of the recipe; the published ones by default.
        checkpoints: folder for a checkpoint after every epoch and when stopped; none by default.
        resume: go on from the checkpoint in that folder as if the training had never stopped.
        callbacks: called with a `Progress` after every step.
        parallel: an object with `rank`, `size`, `average(tensors)` (means over the ranks, also inside a `tf.function`) and
            `broadcast(arrays)` (those of rank 0); None trains alone.
        should_stop: asked between the passes; once it says True on any rank, all stop after the same pass.
        progress: whether to show a progress bar on rank 0.

    Returns:
        The `History`, also of epochs before a resumption.

    Raises:
        ValueError: if arguments, data, recipe and networks do not fit together, or a checkpoint is damaged or another's.
        FileNotFoundError: if there is no checkpoint to resume from.
        TrainingDiverged: if a loss is not finite or all generated showers stay empty; the GAN then has its last good weights.
        KeyboardInterrupt: after Ctrl-C, once the GAN and the checkpoint are in order.
    """
    recipe = recipe or Recipe()
    parallel = parallel or ranks.Alone()
    _check_request(gan, data, epochs, precision, seed, recipe, checkpoints, resume)
    events = _count_events(data, parallel)
    steps = steps_per_epoch(events, batch_size, parallel.size)
    settings = {
        "architecture": gan.architecture,
        "events": events,
        "batch_size": batch_size,
        "ranks": parallel.size,
        "precision": precision,
        "seed": seed,
        "recipe": recipe.to_dict(),
    }
    optimizers = {
        network: keras.optimizers.RMSprop(recipe.learning_rate, rho=recipe.decay)
        for network in ("generator", "discriminator")
    }
    for network, optimizer in optimizers.items():
        optimizer.build(getattr(gan, network).trainable_variables)
    run = _Run(
        gan=gan,
        data=data,
        labels={name: np.asarray(data.labels[name]) for name in gan.conditions},
        recipe=recipe,
        passes=make_passes(gan, optimizers, recipe, parallel),
        parallel=parallel,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        events=events,
        steps=steps,
        changing=store.variables(gan, optimizers),
        folder=checkpoints,
        settings=settings,
    )
    standing = _begin(run, resume)
    done = standing.epoch * steps + standing.step
    with (
        computing_in(precision, gan.generator, gan.discriminator),
        deferred_interrupt() as interrupted,
        progress_bar(epochs, steps, done, show=progress and parallel.rank == 0) as bar,
    ):
        stopped = _train(
            run,
            standing,
            wish=lambda: interrupted() or (should_stop is not None and bool(should_stop())),
            callbacks=(bar, *callbacks),
        )
    _note_provenance(run, standing, resume)
    if interrupted():
        raise KeyboardInterrupt
    return History(tuple(standing.history), parallel.size, settings, stopped)


def _train(run: _Run, standing: Standing, wish: Callable[[], bool], callbacks: Sequence[Callable]) -> bool:
    """Go through the epochs that are left; whether a wish to stop ended it."""
    good = store.values(run.changing)
    began = time.perf_counter()
    stop = False
    try:
        while standing.epoch < run.epochs and not stop:
            batches = run.data.batches(
                run.batch_size, order_seed(run.seed, run.parallel.rank, standing.epoch), run.steps
            )
            for batch in islice(batches, standing.step, None):
                stop = _step(run, batch, standing, wish, callbacks, began)
                if stop:
                    break
            if standing.step == run.steps:
                standing.count_epoch()
            _average_moving_statistics(run)
            good = _keep(run, standing)
    except TrainingDiverged:
        store.assign(run.changing, good)
        raise
    return standing.epoch < run.epochs


def _step(run: _Run, batch: Sample, standing: Standing, wish: Callable, callbacks: Sequence, began: float) -> bool:
    """One step as published: the discriminator on real, then on generated showers; then the generator, twice.

    Returns:
        Whether a rank wished to stop; the step may then be unfinished, and `standing` tells after which pass.
    """
    started = time.perf_counter()
    first = not run.passes["generator"].experimental_get_tracing_count()
    events = global_batch_size(run.events, run.batch_size, run.parallel.size, standing.step)
    # Ranks average their gradients; weighted so, the mean over the ranks is the mean over all events of the step.
    weight = tf.constant(len(batch) * run.parallel.size / events, tf.float32)
    kinds = run.recipe.passes
    for kind in kinds[standing.passes :]:
        place = (run.seed, run.parallel.rank, standing.epoch, standing.step, standing.passes)
        drawn = draw(
            place, len(batch), run.gan.latent_size, run.labels, run.recipe.flip, dropouts=len(seed_states(run.gan))
        )
        seen, wanted = _question(run, kind, batch, drawn, standing.response)
        report, stop = run.passes[kind](seen, wanted, weight, tf.constant(float(wish())), tf.constant(drawn.seeds))
        losses = {name: float(value) for name, value in report.items()}
        if not all(isfinite(value) for value in losses.values()):
            raise TrainingDiverged(
                f"Epoch {standing.epoch + 1}, step {standing.step + 1}, {kind} pass: not all losses and gradients are "
                f"finite ({', '.join(f'{name} {value:.3g}' for name, value in losses.items())}). The GAN has its weights of "
                f"the last good epoch{_kept(run)}. A lower Recipe(learning_rate=) may help."
            )
        del losses["norm"]
        standing.count_pass(kind, losses, share=1 / kinds.count(kind))
        if float(stop) > 0 and standing.passes < len(kinds):
            return True
    losses = standing.count_step(events, time.perf_counter() - started, compiled=first)
    if standing.empty_steps >= run.recipe.patience:
        raise TrainingDiverged(
            f"Epoch {standing.epoch + 1}: the generator has made nothing but empty showers in {standing.empty_steps} steps "
            f"in a row, and learns nothing from them. The GAN has its weights of the last good epoch{_kept(run)}. Another "
            "seed or a lower Recipe(learning_rate=) may help."
        )
    now = Progress(
        rank=run.parallel.rank,
        epoch=standing.epoch,
        epochs=run.epochs,
        step=standing.step - 1,
        steps=run.steps,
        losses=losses,
        samples_per_second=standing.samples_per_second / run.parallel.size,
        time=time.perf_counter() - began,
    )
    for callback in callbacks:
        callback(now)
    return float(stop) > 0


def _question(run: _Run, kind: str, batch: Sample, drawn: Draw, response: Mapping) -> tuple[object, dict]:
    """What the network sees in a pass, and what the discriminator's heads should answer."""
    heads = run.recipe.weights
    if kind == "real":
        images = np.where(batch.values < run.recipe.threshold, np.float32(0), batch.values)
        total = images.reshape(len(batch), -1).sum(axis=1)
        return images[..., None], objectives.targets(heads, ~drawn.flips, batch.labels, total)
    inputs = {"latent": drawn.latent}
    inputs |= {name: column.astype(np.float32)[:, None] for name, column in drawn.labels.items()}
    total = Response.from_dict(response)(drawn.labels["energy"])
    # Only the discriminator's labels are flipped: the generator always wants its showers to be called real.
    real = drawn.flips if kind == "fake" else np.ones(len(batch))
    return inputs, objectives.targets(heads, real, drawn.labels, total)


def _begin(run: _Run, resume: bool) -> Standing:
    """Where to start, with equal variables on all ranks: a new training, or the checkpoint that rank 0 reads."""

    def read():
        shapes = {name: variable.shape for name, variable in run.changing.items()}
        standing, arrays = store.load(run.folder, run.settings, shapes)
        store.assign(run.changing, arrays)
        return asdict(standing)

    if resume:
        standing = Standing(**ranks.from_rank_0(run.parallel, read))
    else:
        standing = Standing(response=_fit_response(run).to_dict())
        if run.folder is not None:
            ranks.from_rank_0(run.parallel, lambda: store.set_aside(run.folder))
    arrays = run.parallel.broadcast(list(store.values(run.changing).values()))
    store.assign(run.changing, {name: np.asarray(array) for name, array in zip(run.changing, arrays)})
    return standing


def _fit_response(run: _Run) -> Response:
    rows = -(-FIT_EVENTS // run.parallel.size)
    found = []
    for batch in run.data.batches(min(rows, 1000, len(run.data)), order_seed(run.seed, run.parallel.rank, 0)):
        found.append(np.stack([batch.labels["energy"], batch.values.reshape(len(batch), -1).sum(axis=1)], axis=1))
        if sum(map(len, found)) >= rows:
            break
    energy, total = ranks.pooled(run.parallel, np.concatenate(found)[:rows], rows).T
    return fit_response(energy, total)


def _average_moving_statistics(run: _Run) -> None:
    """Each rank normalises by its own batches, so only the moving statistics differ between ranks."""
    statistics = moving_statistics(run.gan)
    if run.parallel.size > 1 and statistics:
        means = ranks.averaged(run.parallel, *(keras.ops.convert_to_numpy(variable) for variable in statistics))
        for variable, mean in zip(statistics, means):
            variable.assign(mean)


def _keep(run: _Run, standing: Standing) -> dict[str, np.ndarray]:
    """The values of all variables, also written as a checkpoint, if they are good."""
    arrays = store.values(run.changing)
    if not all(np.all(np.isfinite(array)) for array in arrays.values()):
        raise TrainingDiverged(
            f"After epoch {standing.epoch} not all weights are finite. The GAN has its weights of the last good "
            f"epoch{_kept(run)}. A lower Recipe(learning_rate=) may help."
        )
    if run.folder is not None:
        ranks.from_rank_0(run.parallel, lambda: store.save(run.folder, arrays, standing, run.settings))
    return arrays


def _kept(run: _Run) -> str:
    return "" if run.folder is None else f", as has the checkpoint in {run.folder}"


def _note_provenance(run: _Run, standing: Standing, resumed: bool) -> None:
    training = {
        **run.settings,
        "epochs": standing.epoch,
        "response": standing.response,
        "labels": {name: [float(column.min()), float(column.max())] for name, column in run.labels.items()},
        "data": dict(getattr(run.data, "origin", {})),
    }
    trainings = run.gan.provenance.setdefault("trainings", [])
    if resumed and trainings:
        trainings.pop()
    trainings.append(training)


def _count_events(data, parallel) -> int:
    """Events of all ranks, after a check on all of them that the shards are even."""
    (mean,) = ranks.averaged(parallel, np.float32(len(data)))
    events = round(float(mean) * parallel.size)
    uneven = len(data) not in (events // parallel.size, -(-events // parallel.size))
    (any_uneven,) = ranks.averaged(parallel, np.float32(uneven))
    if any_uneven > 0:
        raise ValueError(
            f"Shards must differ by at most one event; of {events} events on {parallel.size} ranks, rank "
            f"{parallel.rank} has {len(data)}. Use data.shard(rank, size)."
        )
    return events


def _check_request(gan, data, epochs, precision, seed, recipe, folder, resume):
    if data.space != gan.space:
        raise ValueError(
            f"The data are in space {data.space.name!r}, the GAN makes {gan.space.name!r}; build it for them."
        )
    missing = [name for name in gan.conditions if name not in data.labels]
    if missing:
        raise ValueError(f"The GAN takes the labels {gan.conditions}; the data lack {', '.join(missing)}.")
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, received {epochs}.")
    if seed < 0:
        raise ValueError(f"seed must not be negative, received {seed}.")
    if resume and folder is None:
        raise ValueError("resume=True needs checkpoints=, the folder with the checkpoint to go on from.")
    check_precision(precision)
    objectives.check_heads(gan.discriminator, recipe.weights)
