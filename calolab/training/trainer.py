"""Training a GAN: the loop over epochs, steps and passes, alone or as one of several ranks."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import keras
import numpy as np

from calolab.interrupts import Stopped, deferred_interrupt, stopping
from calolab.models import GAN
from calolab.samples import Sample, global_batch_size, rank_batches, steps_per_epoch
from calolab.training import checkpoints as store
from calolab.training import heads, ranks, resumption
from calolab.training.callbacks import progress_bar
from calolab.training.checks import check_request, count_events
from calolab.training.divergence import TrainingDiverged, check_losses, check_showers
from calolab.training.draws import draw, order_seed
from calolab.training.history import ASKED_TO_PAUSE, ASKED_TO_STOP, OUT_OF_TIME, History, Progress
from calolab.training.passes import make_passes, seed_states
from calolab.training.precision import computing_in, warn_where_slow
from calolab.training.recipe import Recipe
from calolab.training.response import Response
from calolab.training.selection import PhysicsScore, check_physics_score
from calolab.training.standing import Standing
from calolab.training.time_limit import TimeLimit


@dataclass(frozen=True, eq=False)
class Run:
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


@stopping("the training", "checkpoints written before, if any, are kept")
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
    time_limit: float | None = None,
    callbacks: Sequence[Callable[[Progress], None]] = (),
    parallel=None,
    should_stop: Callable[[], bool] | None = None,
    should_pause: Callable[[], bool] | None = None,
    on_epoch: Callable[[Sequence[Mapping], GAN], None] | None = None,
    progress: bool = True,
) -> History:
    """Train a GAN in place, by default as published.

    In a step of 3DGAN's recipe (arXiv:1912.06794) the discriminator learns from a real batch, then from a generated
    one; then the generator learns twice. All randomness is a function of `seed`, the rank, the epoch, the step and the
    pass. So the same training gives the same weights, and a resumed one those of one that never stopped: bit by bit on
    the same kind of CPU with as many ranks and threads and oneDNN on or off alike (see `calolab.cpu`). Otherwise sums
    are rounded differently, and two trainings drift apart as trainings with other seeds do. Ranks of one training hold
    equal weights in any case, since all apply the same averaged gradients.

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
        time_limit: seconds after which training stops, once the step in progress is done on all ranks; at least one
            step is taken. The clock starts with this call, so compiling, physics scores and checkpoints count; a
            resumed training has the full time again. The best epoch is kept, and `resume=True` continues
            bit-identically. Given on all ranks or on none.
        callbacks: called with a `Progress` after every step.
        parallel: an object with `rank`, `size`, `average(tensors)` (means over the ranks, also inside a `tf.function`)
            and `broadcast(arrays)` (those of rank 0); None trains alone.
        should_stop: asked between the passes; once it says True on any rank, all stop after the same pass.
        should_pause: asked after every epoch; once it says True on any rank, all stop there, where another number of
            ranks can go on. Given on all ranks or on none.
        on_epoch: called after every epoch with the epochs so far, as in `History.epochs`, and the GAN, which it must
            not change.
        progress: whether to show a progress bar on rank 0.

    Returns:
        The `History`, also of epochs before a resumption; it says why training stopped, and holds the losses of an
        epoch that was not finished.

    Raises:
        ValueError: if arguments, data, recipe and networks do not fit together, or the checkpoint is damaged or comes
            from another training.
        TypeError: if `physics_score` is no `PhysicsScore`.
        FileNotFoundError: if there is no checkpoint to resume from.
        TrainingDiverged: if a loss is not finite or all generated showers stay empty; the GAN then has its weights of
            the last good epoch, and so has the checkpoint.
        Stopped: a KeyboardInterrupt, after Ctrl-C (in a script SIGTERM too), once the pass in progress is done and the
            checkpoint is written; a second Ctrl-C breaks at once.
    """
    limit = TimeLimit(time_limit)
    check_physics_score(physics_score)
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
    standing, best = resumption.begin(run, resume)
    before = standing.epoch * steps + standing.step
    with (
        computing_in(precision, gan.generator, gan.discriminator),
        deferred_interrupt() as interrupted,
        progress_bar(epochs, steps, before, show=progress and parallel.rank == 0) as bar,
    ):
        reason, best = _train(
            run,
            standing,
            best,
            limit,
            wish=lambda: bool(interrupted()) or (should_stop is not None and bool(should_stop())),
            pause=should_pause,
            callbacks=(bar, *callbacks),
            on_epoch=on_epoch,
        )
    if best is not None:
        store.assign(run.changing, best)
    resumption.note_provenance(run, standing, resume)
    if interrupted():
        ended = standing.epoch >= epochs
        place = f"in epoch {standing.epoch + 1} of {epochs}, after step {standing.step} of {steps}"
        kept = "without checkpoints= its state is lost when this process ends"
        if checkpoints is not None:
            kept = f"checkpoint in {checkpoints}, resume=True {'returns its history' if ended else 'continues from it'}"
        raise Stopped(f"the training {f'after the last of {epochs} epochs' if ended else place}", kept, interrupted())
    history = History(
        tuple(standing.history),
        parallel.size,
        run.settings,
        stopped=bool(reason),
        reason=reason,
        unfinished=standing.unfinished,
        steps=standing.epoch * steps + standing.step,
    )
    if history.divergence:
        warnings.warn(history.divergence, stacklevel=3)  # `stopping` is a caller, too
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
) -> Run:
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
    return Run(
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
    run: Run,
    standing: Standing,
    best: dict | None,
    limit: TimeLimit,
    wish: Callable,
    pause: Callable | None,
    callbacks: Sequence[Callable],
    on_epoch: Callable | None,
) -> tuple[str, dict[str, np.ndarray] | None]:
    """Go through the epochs that are left; why it stopped before their end, and the best epoch's variables."""
    good = store.values(run.changing)
    compiled, reason = False, ""
    try:
        while standing.epoch < run.epochs and not reason:
            order = order_seed(run.seed, run.parallel.rank, standing.epoch)
            together = run.global_batch * run.recipe.discriminator_passes
            sizes = rank_batches(together, run.parallel.rank, run.parallel.size)
            batches = run.data.batches(sizes, order, run.steps)
            for batch in islice(batches, standing.step, None):
                started, from_its_start = time.perf_counter(), standing.passes == 0
                reason = ASKED_TO_STOP if take_step(run, batch, standing, wish) else ""
                if standing.passes < len(run.recipe.passes):
                    break
                now = _close_step(run, standing, limit, time.perf_counter() - started, compiled)
                compiled = compiled or from_its_start
                for callback in callbacks:
                    callback(now)
                reason = reason or _out_of_time(run, limit)
                if reason:
                    break
            ended = standing.step == run.steps
            if ended:
                standing.count_epoch()
            good = resumption.checked(run, standing)
            resumption.write(run, standing, good, store.FILE)
            if ended and run.physics_score is not None:
                # After the checkpoint: a score may take long, or fail.
                with computing_in("float32", run.gan.generator):
                    scores = ranks.from_rank_0(run.parallel, lambda: run.physics_score(run.gan))
                if standing.count_scores(scores, run.physics_score.by):
                    best = good
                    resumption.write(run, standing, best, store.BEST)
                resumption.write(run, standing, good, store.FILE)
            if ended and on_epoch is not None:
                with computing_in("float32", run.gan.generator):
                    on_epoch(standing.history, run.gan)
            if ended:
                # The physics score takes time, too.
                reason = reason or _out_of_time(run, limit)
            if ended and not reason and pause is not None and _on_any_rank(run, pause()):
                reason = ASKED_TO_PAUSE
    except TrainingDiverged:
        store.assign(run.changing, good)
        raise
    return reason if standing.epoch < run.epochs else "", best


def _on_any_rank(run: Run, here: bool) -> bool:
    """Whether something holds on any rank; all ranks ask together, and get the same answer."""
    return bool(ranks.averaged(run.parallel, np.float32(here))[0] > 0)


def _out_of_time(run: Run, limit: TimeLimit) -> str:
    """The reason to stop if the time limit has passed on any rank, else an empty string."""
    return OUT_OF_TIME if limit.seconds is not None and _on_any_rank(run, limit.passed) else ""


def take_step(run: Run, batch: Sample, standing: Standing, wish: Callable[[], bool]) -> bool:
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


def _close_step(run: Run, standing: Standing, limit: TimeLimit, seconds: float, compiled: bool) -> Progress:
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
        time=limit.elapsed,
        time_limit=limit.seconds,
    )


def _events_of_step(run: Run, standing: Standing) -> int:
    together = run.global_batch * run.recipe.discriminator_passes
    return global_batch_size(run.events, run.batch_size, run.parallel.size, standing.step, together)
