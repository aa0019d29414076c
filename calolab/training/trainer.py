"""Training a GAN: the loop over epochs, steps and passes, alone or as one of several ranks."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice

import keras
import numpy as np

from calolab.models import GAN
from calolab.samples import Sample, global_batch_size, rank_batches, steps_per_epoch
from calolab.training import checkpoints as store
from calolab.training import heads, ranks
from calolab.training.callbacks import progress_bar
from calolab.training.checks import check_request, count_events
from calolab.training.divergence import TrainingDiverged, check_losses, check_showers, check_weights
from calolab.training.draws import draw, order_seed
from calolab.training.history import History, Progress
from calolab.training.interrupts import deferred_interrupt
from calolab.training.passes import make_passes, seed_states
from calolab.training.precision import computing_in, warn_where_slow
from calolab.training.recipe import Recipe
from calolab.training.response import Response, pooled_response
from calolab.training.selection import PhysicsScore
from calolab.training.standing import Standing


@dataclass(frozen=True, eq=False)
class _Run:
    """What stays the same from the first step to the last."""

    gan: GAN
    data: object
    labels: Mapping[str, np.ndarray]
    recipe: Recipe
    optimizers: Mapping[str, keras.optimizers.Optimizer]
    passes: Mapping[str, Callable]
    parallel: object
    epochs: int
    batch_size: int
    global_batch: int
    seed: int
    events: int
    steps: int
    changing: Mapping[str, keras.Variable]
    folder: str | os.PathLike | None
    settings: Mapping[str, object]
    physics_score: PhysicsScore | None


def fit(
    gan: GAN,
    data,
    *,
    epochs: int,
    batch_size: int = 128,
    global_batch: int | None = None,
    precision: str = "float32",
    seed: int = 0,
    recipe: Recipe | None = None,
    physics_score: PhysicsScore | None = None,
    checkpoints: str | os.PathLike | None = None,
    resume: bool = False,
    callbacks: Sequence[Callable[[Progress], None]] = (),
    parallel=None,
    should_stop: Callable[[], bool] | None = None,
    should_pause: Callable[[], bool] | None = None,
    progress: bool = True,
) -> History:
    """Train a GAN in place, by default as published.

    In a step of 3DGAN's recipe (arXiv:1912.06794) the discriminator learns from a real batch, then from a generated
    one; then the generator learns twice. All randomness is a function of `seed`, the rank, the epoch, the step and the
    pass.

    Args:
        gan: the networks; they start from their present weights, on several ranks from those of rank 0.
        data: a `Sample` or `EventStream` in the GAN's space with the labels of its conditions: this rank's shard.
        epochs: epochs in all, those before a resumption included.
        batch_size: events per rank and pass; the last step of an epoch takes the rest.
        global_batch: events of all ranks per pass, shared out as evenly as can be; `batch_size` times the ranks by
            default. It lets a training go on with the same batches on another number of ranks.
        precision: `"float32"`, or `"bfloat16"` for mixed precision: variables, heads and losses stay float32. It pays
            on GPUs and on CPUs with AMX and warns elsewhere, where it is slower; see `fastest_precision`.
        seed: seed of noise, dropout, label flips, energies and the order of events.
        recipe: the objective and the numbers; by default `Recipe.published(gan.architecture)`.
        physics_score: what rank 0 judges every epoch by; the scores enter the history, and the GAN ends with the
            weights of the best epoch, which the checkpoints keep too, as `best.npz`.
        checkpoints: folder for a checkpoint after every epoch and when stopped; none by default.
        resume: go on from the checkpoint in that folder as if the training had never stopped.
        callbacks: called with a `Progress` after every step.
        parallel: an object with `rank`, `size`, `average(tensors)` (means over the ranks, also inside a `tf.function`)
            and `broadcast(arrays)` (those of rank 0); None trains alone.
        should_stop: asked between the passes; once it says True on any rank, all stop after the same pass.
        should_pause: asked after every epoch; once it says True on any rank, all stop there, where another number of
            ranks can go on. Given on all ranks or on none.
        progress: whether to show a progress bar on rank 0.

    Returns:
        The `History`, also of epochs before a resumption.

    Raises:
        ValueError: if arguments, data, recipe and networks do not fit together, or the checkpoint is damaged or comes
            from another training.
        FileNotFoundError: if there is no checkpoint to resume from.
        TrainingDiverged: if a loss is not finite or all generated showers stay empty; the GAN then has its weights of
            the last good epoch, and so has the checkpoint.
        KeyboardInterrupt: after Ctrl-C, once the pass in progress is done and the checkpoint is written.
    """
    run = prepare(
        gan,
        data,
        epochs=epochs,
        batch_size=batch_size,
        global_batch=global_batch,
        precision=precision,
        seed=seed,
        recipe=recipe,
        physics_score=physics_score,
        checkpoints=checkpoints,
        resume=resume,
        parallel=parallel,
    )
    steps, parallel = run.steps, run.parallel
    warn_where_slow(precision)
    standing, best = begin(run, resume)
    done = standing.epoch * steps + standing.step
    with (
        computing_in(precision, gan.generator, gan.discriminator),
        deferred_interrupt() as interrupted,
        progress_bar(epochs, steps, done, show=progress and parallel.rank == 0) as bar,
    ):
        stopped, best = _train(
            run,
            standing,
            best,
            wish=lambda: interrupted() or (should_stop is not None and bool(should_stop())),
            pause=should_pause,
            callbacks=(bar, *callbacks),
        )
    if best is not None:
        store.assign(run.changing, best)
    _note_provenance(run, standing, resume)
    if interrupted():
        raise KeyboardInterrupt
    history = History(tuple(standing.history), parallel.size, run.settings, stopped)
    if history.divergence:
        warnings.warn(history.divergence, stacklevel=2)
    return history


def prepare(
    gan: GAN,
    data,
    *,
    epochs: int,
    batch_size: int,
    global_batch: int | None = None,
    precision: str,
    seed: int,
    recipe: Recipe | None = None,
    physics_score: PhysicsScore | None = None,
    checkpoints: str | os.PathLike | None = None,
    resume: bool = False,
    parallel=None,
) -> _Run:
    """All that a training's steps need, agreed on by all ranks; arguments and errors are those of `fit`."""
    recipe = recipe or Recipe.published(gan.architecture)
    parallel = parallel or ranks.Alone()
    ranks.agreed(parallel, lambda: check_request(gan, data, epochs, precision, seed, recipe, checkpoints, resume))
    events = count_events(data, parallel)
    settings = {
        "architecture": gan.architecture,
        "events": events,
        "batch_size": batch_size,
        "ranks": parallel.size,
        "precision": precision,
        "seed": seed,
        "recipe": recipe.to_dict(),
    } | ({} if global_batch is None else {"global_batch": global_batch})
    global_batch = batch_size * parallel.size if global_batch is None else global_batch
    optimizers = {network: _optimizer(recipe) for network in ("generator", "discriminator")}
    for network, optimizer in optimizers.items():
        optimizer.build(getattr(gan, network).trainable_variables)
    return _Run(
        gan=gan,
        data=data,
        labels={name: np.asarray(data.labels[name]) for name in gan.conditions},
        recipe=recipe,
        optimizers=optimizers,
        passes=make_passes(gan, optimizers, recipe, parallel),
        parallel=parallel,
        epochs=epochs,
        batch_size=batch_size,
        global_batch=global_batch,
        seed=seed,
        events=events,
        steps=steps_per_epoch(events, batch_size, parallel.size, global_batch * recipe.discriminator_passes),
        changing=store.variables(gan, optimizers),
        folder=checkpoints,
        settings=settings,
        physics_score=physics_score,
    )


def _optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(recipe.learning_rate, *recipe.betas)
    return keras.optimizers.RMSprop(recipe.learning_rate, rho=recipe.decay)


def _train(
    run: _Run,
    standing: Standing,
    best: dict | None,
    wish: Callable,
    pause: Callable | None,
    callbacks: Sequence[Callable],
) -> tuple[bool, dict[str, np.ndarray] | None]:
    """Go through the epochs that are left; whether a wish to stop ended it, and the best epoch's variables."""
    good = store.values(run.changing)
    began = time.perf_counter()
    compiled = stop = False
    try:
        while standing.epoch < run.epochs and not stop:
            order = order_seed(run.seed, run.parallel.rank, standing.epoch)
            together = run.global_batch * run.recipe.discriminator_passes
            sizes = rank_batches(together, run.parallel.rank, run.parallel.size)
            batches = run.data.batches(sizes, order, run.steps)
            for batch in islice(batches, standing.step, None):
                started, from_its_start = time.perf_counter(), standing.passes == 0
                stop = take_step(run, batch, standing, wish)
                if standing.passes < len(run.recipe.passes):
                    break
                now = _close_step(run, standing, time.perf_counter() - started, time.perf_counter() - began, compiled)
                compiled = compiled or from_its_start
                for callback in callbacks:
                    callback(now)
                if stop:
                    break
            ended = standing.step == run.steps
            if ended:
                standing.count_epoch()
            good = _checked(run, standing)
            _write(run, standing, good, store.FILE)
            if ended and run.physics_score is not None:
                # After the checkpoint: a score may take long, or fail.
                with computing_in("float32", run.gan.generator):
                    scores = ranks.from_rank_0(run.parallel, lambda: run.physics_score(run.gan))
                if standing.count_scores(scores, run.physics_score.by):
                    best = good
                    _write(run, standing, best, store.BEST)
                _write(run, standing, good, store.FILE)
            if ended and pause is not None:
                stop = stop or bool(ranks.averaged(run.parallel, np.float32(pause()))[0] > 0)
    except TrainingDiverged:
        store.assign(run.changing, good)
        raise
    return standing.epoch < run.epochs, best


def take_step(run: _Run, batch: Sample, standing: Standing, wish: Callable[[], bool]) -> bool:
    """One step: the discriminator's passes on its parts of the batch, then the generator's.

    Returns:
        Whether a rank wished to stop; the step may then be unfinished, and `standing` tells after which pass.
    """
    kinds = run.recipe.passes
    # Set before every step: a checkpoint may come from another number of ranks.
    rate = run.recipe.rate(
        standing.epoch + standing.step / run.steps, run.batch_size, run.global_batch / run.batch_size
    )
    for optimizer in run.optimizers.values():
        optimizer.learning_rate = rate
    response = Response.from_dict(standing.response) if standing.response else None
    # Ranks average their gradients; weighted so, the mean over the ranks is the mean over all events of the step.
    weight = len(batch) * run.parallel.size / _events_of_step(run, standing)
    parts = min(run.recipe.discriminator_passes, len(batch))
    for position in range(standing.passes, len(kinds)):
        kind = kinds[position]
        part = batch.select(slice(kinds[:position].count(kind) % parts, None, parts)) if parts > 1 else batch
        place = (run.seed, run.parallel.rank, standing.epoch, standing.step, position)
        drawn = draw(place, len(part), run.gan.latent_size, run.labels, run.recipe, len(seed_states(run.gan)))
        seen, wanted = heads.question(kind, part, drawn, run.gan, run.recipe, response)
        losses, norm, stop = run.passes[kind](seen, wanted, weight, float(wish()), drawn.seeds)
        losses = {name: float(value) for name, value in losses.items()}
        check_losses(f"Epoch {standing.epoch + 1}, step {standing.step + 1}, {kind} pass", losses, float(norm))
        standing.count_pass(losses, share=1 / kinds.count(kind))
        if float(stop) > 0:
            return True
    return False


def _close_step(run: _Run, standing: Standing, seconds: float, time: float, compiled: bool) -> Progress:
    """Count a finished step, check that the generator lives, and say how far the training is."""
    losses = standing.count_step(_events_of_step(run, standing), seconds, timed=compiled)
    check_showers(f"Epoch {standing.epoch + 1}", standing.empty_steps, run.recipe.patience)
    return Progress(
        rank=run.parallel.rank,
        epoch=standing.epoch,
        epochs=run.epochs,
        step=standing.step - 1,
        steps=run.steps,
        losses=losses,
        samples_per_second=standing.samples_per_second / run.parallel.size,
        time=time,
    )


def _events_of_step(run: _Run, standing: Standing) -> int:
    together = run.global_batch * run.recipe.discriminator_passes
    return global_batch_size(run.events, run.batch_size, run.parallel.size, standing.step, together)


def begin(run: _Run, resume: bool) -> tuple[Standing, dict[str, np.ndarray] | None]:
    """Where to start, with equal variables on all ranks: a new training, or the checkpoint that rank 0 reads.

    Returns:
        Where the training stands, and the best epoch's variables where epochs have been scored.
    """

    def read(file):
        shapes = {name: variable.shape for name, variable in run.changing.items()}
        standing, arrays = store.load(run.folder, run.settings, shapes, file)
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


def _broadcast(run: _Run) -> dict[str, np.ndarray]:
    """Rank 0's values of all variables by name, on every rank."""
    arrays = run.parallel.broadcast(list(store.values(run.changing).values()))
    return {name: np.asarray(array) for name, array in zip(run.changing, arrays)}


def _checked(run: _Run, standing: Standing) -> dict[str, np.ndarray]:
    """The values of all variables by name, if they are good."""
    arrays = store.values(run.changing)
    check_weights(f"After {standing.epoch} epochs", arrays)
    return arrays


def _write(run: _Run, standing: Standing, arrays: Mapping[str, np.ndarray], file: str) -> None:
    """Where checkpoints are asked for, let rank 0 write one."""
    if run.folder is not None:
        ranks.from_rank_0(run.parallel, lambda: store.save(run.folder, arrays, standing, run.settings, file))


def _note_provenance(run: _Run, standing: Standing, resumed: bool) -> None:
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
        }
    )
