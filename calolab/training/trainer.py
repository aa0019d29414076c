"""Training of a model: `fit`, alone or as one of several ranks."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from calolab import cpu
from calolab.interrupts import Stopped, deferred_interrupt, stopping
from calolab.model_card import withdraw
from calolab.models import GAN, registry
from calolab.training import checkpoints as store
from calolab.training import loop, ranks
from calolab.training.averages import MovingAverage, adopt
from calolab.training.heads import FIT_EVENTS, heads_of, pooled_response
from calolab.training.history import History
from calolab.training.inputs import augmentation, fitting_sample, order_seed
from calolab.training.loop import Part, Run, progress_bar
from calolab.training.objectives import find_objective
from calolab.training.optimizers import make_optimizers
from calolab.training.passes import make_passes
from calolab.training.precision import computing_in, warn_where_slow
from calolab.training.recipe import Recipe, entries
from calolab.training.request import TrainingRequest, check_data, takes_request
from calolab.training.state import TrainingState

POOLED_EVENTS = 1000  # of all ranks: with at most as many, constants are fitted to the events of all of them


@stopping("the training", "checkpoints written before, if any, are kept")
@takes_request
def fit(
    gan: GAN,
    data,
    *,
    request: TrainingRequest | None = None,
    parallel=None,
    should_stop: Callable[[], bool] | None = None,
    should_pause: Callable[[], bool] | None = None,
    on_epoch: Callable[[Sequence[Mapping], GAN], None] | None = None,
    progress: bool = True,
    **keywords,
) -> History:
    """Train a GAN in place: by default as published, or, if it was trained before, as in its last training.

    In a step of 3DGAN's recipe (arXiv:1912.06794) the discriminator learns from a real batch, then from a generated
    one; then the generator learns twice. All random numbers are determined by `seed`, rank, epoch, step and pass. The
    same training therefore gives the same weights, whether or not it was stopped and resumed in between. They are
    bit-identical on the same kind of CPU with the same number of ranks and threads and the same oneDNN setting (see
    `calolab.cpu`). Otherwise float32 sums are rounded differently, and the weights soon differ as much as those of
    trainings with different seeds. The ranks of one training always have equal weights, since all of them apply the
    same averaged gradients.

    Args:
        gan: the networks; they start from their current weights, on several ranks from those of rank 0.
        data: a `Sample` or `EventStream` in the GAN's space with the labels of its conditions: this rank's shard.
        epochs, batch_size, global_batch, precision, seed, recipe, physics_score, score_every, patience, checkpoints,
            resume, time_limit, callbacks: the fields of `TrainingRequest`; only `epochs` is required.
        request: a `TrainingRequest` with these arguments; keywords replace its fields.
        parallel: an object with `rank`, `size`, `average(tensors)` (means over the ranks, also inside a `tf.function`)
            and `broadcast(arrays)` (those of rank 0); None for one rank alone.
        should_stop: called before each pass; once it returns True on any rank, all stop after the same pass.
        should_pause: called after every epoch; once it returns True on any rank, all stop there, where another number
            of ranks can resume. Given on all ranks or on none.
        on_epoch: called after every epoch with the epochs so far, as in `History.epochs`, and the GAN, which it must
            not change.
        progress: whether to show a progress bar on rank 0.

    Returns:
        The `History`, including epochs before a resumption; it says why training stopped, and contains the losses of an
        unfinished epoch.

    Raises:
        ValueError: if arguments, data, recipe and networks do not fit together, or the checkpoint is damaged or from
            another training.
        TypeError: if `physics_score` is not a `PhysicsScore`, or for an unknown keyword.
        FileNotFoundError: if there is no checkpoint to resume from.
        TrainingDiverged: if a loss is not finite or all generated events stay empty; the GAN and the checkpoint then
            have the weights of the last good epoch.
        Stopped: a KeyboardInterrupt, after Ctrl-C (in a script also SIGTERM), once the pass in progress is done and the
            checkpoint is written; a second Ctrl-C stops at once.
    """
    began = time.perf_counter()
    parallel = parallel or ranks.Alone()

    def checked() -> TrainingRequest:
        return TrainingRequest(**keywords) if request is None else replace(request, **keywords)

    request = ranks.agreed(parallel, checked)
    run = prepare(gan, data, request, parallel, began)
    warn_where_slow(request.precision)
    state, best = begin(run)
    with (
        computing_in(request.precision, *gan.networks.values()),
        deferred_interrupt() as interrupted,
        progress_bar(
            run.steps_before(request.epochs),
            run.steps_before(state.epoch) + state.step,
            show=progress and parallel.rank == 0,
        ) as bar,
    ):
        reason, best = loop.train(
            run,
            state,
            best,
            should_stop=lambda: bool(interrupted()) or (should_stop is not None and bool(should_stop())),
            should_pause=should_pause,
            callbacks=(bar, *request.callbacks),
            on_epoch=on_epoch,
        )
    if best is not None:
        store.assign(run.variables, best)
    adopt(run.averages.values())
    if interrupted():
        _note_provenance(run, state)
        raise _stopped(run, state, interrupted())
    _calibrate(run)
    _note_provenance(run, state)
    history = History(
        tuple(state.history),
        parallel.size,
        run.settings,
        stopped=bool(reason),
        reason=reason,
        unfinished=state.unfinished,
        steps=run.steps_before(state.epoch) + state.step,
    )
    if history.divergence:
        warnings.warn(history.divergence, stacklevel=3)  # `stopping` is a caller, too
    return history


def prepare(gan: GAN, data, request: TrainingRequest, parallel, began: float = 0.0) -> Run:
    """Make everything that a training's steps need, with agreement of all ranks; errors are those of `fit`.

    Args:
        gan, data, parallel: as for `fit`.
        request: the arguments of the training.
        began: when it began, as returned by `time.perf_counter` [s].
    """
    recipe = _recipe(gan, request, parallel)

    def checked():
        found = [augmentation(gan.space, gan.conditions, data.labels, part) for part in recipe.parts]
        return check_data(gan, data), [heads_of(gan, part) for part in recipe.parts], found

    labels, heads, groups = ranks.agreed(parallel, checked)
    events = _count_events(data, parallel)
    settings = {
        "architecture": gan.architecture,
        "events": events,
        "batch_size": request.batch_size,
        "ranks": parallel.size,
        "precision": request.precision,
        "seed": request.seed,
        "recipe": recipe.to_dict(),
    } | ({} if request.global_batch is None else {"global_batch": request.global_batch})
    if recipe.has_schedule_to_end:
        settings["total_epochs"] = request.epochs
    optimizers, by_part = make_optimizers(gan, recipe)
    averages = _averages(gan, recipe)
    parts = []
    for part, (first, end), *needed, group in zip(recipe.parts, recipe.spans, heads, by_part, groups, strict=True):
        same = [one.passes for one in parts if _without_rates(one.recipe) == _without_rates(part)]
        passes = same[0] if same else make_passes(gan, *needed, part, parallel, averages)
        latents = find_objective(part.objective).latents(gan)
        parts.append(Part(part, first, request.epochs if end is None else end, latents, *needed, passes, group))
    return Run(
        gan=gan,
        data=data,
        request=request,
        recipe=recipe,
        parts=parts,
        labels=labels,
        averages=averages,
        parallel=parallel,
        events=events,
        variables=store.variables(gan, optimizers, averages),
        settings=settings,
        began=began,
    )


def begin(run: Run) -> tuple[TrainingState, dict[str, np.ndarray] | None]:
    """Start a training or resume it from the checkpoint that rank 0 reads; variables are then equal on all ranks.

    Returns:
        The state, and the variables of the best epoch if epochs have been scored.
    """
    folder, score = run.request.checkpoints, run.request.physics_score
    withdraw(run.gan.provenance)  # its card describes the weights before this training

    def read(file):
        state, arrays = store.load(folder, run.settings, run.variables, file)
        store.assign(run.variables, arrays)
        return asdict(state)

    best = None
    if run.request.resume:
        state = TrainingState(**ranks.from_rank_0(run.parallel, lambda: read(store.FILE)))
        if score is None or state.best.get("by") != score.by:
            state.best = {}  # another metric, or none: no epoch is the best one so far
        if state.best:
            # If it was killed between two writes, the best epoch on disk is later than that of the checkpoint.
            state.best = ranks.from_rank_0(run.parallel, lambda: read(store.BEST))["best"]
            best = _broadcast(run)
            ranks.from_rank_0(run.parallel, lambda: read(store.FILE))
    else:
        state, seed = TrainingState(), order_seed(run.request.seed, run.parallel.rank, 0)
        if any(head.uses_total for part in run.parts for head in part.heads.values()):
            state.response = pooled_response(run.data, run.parallel, seed).to_dict()
        _fit_constants(run, seed)
        if folder is not None:
            ranks.from_rank_0(run.parallel, lambda: store.set_aside(folder))
    store.assign(run.variables, _broadcast(run))
    return state, best


def _recipe(gan: GAN, request: TrainingRequest, parallel) -> Recipe:
    """The recipe of a request; by default that of the checkpoint to resume from, or `Recipe.of(gan)`."""
    if request.recipe is None and request.resume:
        header = ranks.from_rank_0(parallel, lambda: store.read_header(request.checkpoints))
        if header is not None and "recipe" in header["settings"]:
            return ranks.agreed(parallel, lambda: Recipe.from_dict(header["settings"]["recipe"]))
    return ranks.agreed(parallel, lambda: request.recipe_for(gan))


def _broadcast(run: Run) -> dict[str, np.ndarray]:
    """Rank 0's values of all variables by name, on every rank."""
    arrays = run.parallel.broadcast(list(store.values(run.variables).values()))
    return {name: np.asarray(array) for name, array in zip(run.variables, arrays)}


def _fit_constants(run: Run, seed: int) -> None:
    """Let rank 0 fit the constants of the networks to some of its events, where the architecture has such constants."""
    architecture, wanted = registry.get(run.gan.architecture), run.recipe.prepare
    if wanted is None:
        wanted = not run.gan.provenance.get("trainings")
    if wanted and architecture is not None and architecture.prepare is not None:
        _on_sample(run, seed, lambda sample: architecture.prepare(run.gan, sample))


def _calibrate(run: Run) -> None:
    """Let rank 0 measure constants of the trained networks, where the architecture has such constants."""
    architecture, seed = registry.get(run.gan.architecture), run.request.seed
    if run.recipe.calibrate and architecture is not None and architecture.calibrate is not None:
        order = order_seed(seed, run.parallel.rank, 0)
        _on_sample(run, order, lambda sample: architecture.calibrate(run.gan, sample, seed))
        store.assign(run.variables, _broadcast(run))


def _on_sample(run: Run, seed: int, function: Callable) -> None:
    """Let rank 0 call a function with some of its events; if there are few, with those of all ranks."""
    data, parallel, threshold = run.data, run.parallel, run.parts[0].recipe.threshold

    def own():
        return fitting_sample(data, FIT_EVENTS, seed, threshold)

    if parallel.size > 1 and run.events <= POOLED_EVENTS:
        everything = ranks.pooled_sample(parallel, ranks.agreed(parallel, own), -(-POOLED_EVENTS // parallel.size))
        ranks.from_rank_0(parallel, lambda: function(everything))
    else:
        ranks.from_rank_0(parallel, lambda: function(own()))


def _without_rates(recipe: Recipe) -> Recipe:
    """What determines the passes of a recipe: they are compiled once for all parts that differ in learning rates."""
    plain = Recipe()
    names = ("learning_rate", "schedule", "final_rate", "rate_scaling", "reference_batch", "warmup_epochs")
    return replace(recipe, **{name: getattr(plain, name) for name in names})


def _averages(gan: GAN, recipe: Recipe) -> dict[str, MovingAverage]:
    """A moving average for each network that has one in a stage."""
    names = {name for part in recipe.parts if part.average is not None for name in part.trained_networks}
    return {name: MovingAverage.of(network) for name, network in gan.networks.items() if name in names}


def _count_events(data, parallel) -> int:
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


def _note_provenance(run: Run, state: TrainingState) -> None:
    """Record in the GAN how it was trained; a resumed training replaces the record that it left when it stopped."""
    trainings = run.gan.provenance.setdefault("trainings", [])
    # The record of an earlier training with other settings stays: only one with these settings, on any number of ranks,
    # can have been resumed.
    settings = {name: value for name, value in run.settings.items() if name != "ranks"}
    last = {**trainings[-1], "recipe": entries(trainings[-1].get("recipe", {}))} if trainings else {}
    if run.request.resume and last and all(last.get(name) == value for name, value in settings.items()):
        trainings.pop()
    trainings.append(
        {
            **run.settings,
            "epochs": state.epoch,
            "best": state.best,
            "response": state.response,
            "labels": {name: [float(column.min()), float(column.max())] for name, column in run.labels.items()},
            "data": dict(getattr(run.data, "origin", {})),
            "cpu": str(cpu.report()),  # bit-identical results are promised for this kind of CPU only
        }
    )


def _stopped(run: Run, state: TrainingState, number: int) -> Stopped:
    """The exception for a training that a signal has stopped, which says what is kept."""
    epochs, folder = run.request.epochs, run.request.checkpoints
    ended = state.epoch >= epochs
    place = f"in epoch {state.epoch + 1} of {epochs}, after step {state.step} of {run.steps(state.epoch)}"
    kept = "without checkpoints= its state is lost when this process ends"
    if folder is not None:
        kept = f"checkpoint in {folder}, resume=True {'returns its history' if ended else 'continues from it'}"
    return Stopped(f"the training {f'after the last of {epochs} epochs' if ended else place}", kept, number)
