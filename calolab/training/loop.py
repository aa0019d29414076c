"""The training loop over epochs, steps and passes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import keras
import numpy as np

from calolab.models import GAN, Head
from calolab.progress import bar
from calolab.samples import Sample, global_batch_size, rank_batches, steps_per_epoch
from calolab.symmetries import Symmetry
from calolab.training import checkpoints as store
from calolab.training import ranks
from calolab.training.averages import MovingAverage, adopt, averaged
from calolab.training.heads import Response
from calolab.training.history import ASKED_TO_PAUSE, ASKED_TO_STOP, NO_BETTER_SCORE, OUT_OF_TIME, Progress
from calolab.training.inputs import draw, order_seed, step_inputs
from calolab.training.passes import seed_states
from calolab.training.precision import computing_in
from calolab.training.recipe import Recipe
from calolab.training.request import TrainingRequest
from calolab.training.state import TrainingDiverged, TrainingState, check_losses, check_not_empty, check_weights


@dataclass(frozen=True, eq=False)
class Part:
    """A stage of a training, or the whole of one without stages.

    Args:
        recipe: its recipe, one of `Recipe.parts`.
        first, end: its first epoch, and the one after its last.
        latent_size: length of the latent vectors that its passes take.
        heads: the discriminator's heads, as returned by `heads.heads_of`.
        optimizers: optimizers by network.
        passes: compiled passes by kind.
        symmetries: those that are applied to real events, as returned by `inputs.augmentation`.
    """

    recipe: Recipe
    first: int
    end: int
    latent_size: int
    heads: Mapping[str, Head]
    optimizers: Mapping[str, keras.optimizers.Optimizer]
    passes: Mapping[str, Callable]
    symmetries: Sequence[Symmetry]

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Passes of one step, in order."""
        return self.recipe.passes_in(0)


@dataclass(frozen=True, eq=False)
class Run:
    """Everything that stays the same from the first step of a training to the last.

    Args:
        gan, data: as for `fit`.
        request: the arguments of the training.
        recipe: that of the request, or the published one.
        parts: what each of its stages needs.
        labels: those of the GAN's conditions in the data, by name, each `(event,)`.
        averages: moving averages of weights, by network.
        parallel: the ranks.
        events: events of all ranks in the data.
        variables: all variables that training changes, by name.
        settings: what a resumption and the provenance compare, as plain numbers and strings.
        began: when the training began, as returned by `time.perf_counter` [s].

    Raises:
        ValueError: if there are fewer events than ranks, in total or in a step.
    """

    gan: GAN
    data: object
    request: TrainingRequest
    recipe: Recipe
    parts: Sequence[Part]
    labels: Mapping[str, np.ndarray]
    averages: Mapping[str, MovingAverage]
    parallel: object
    events: int
    variables: Mapping[str, keras.Variable]
    settings: Mapping[str, object]
    began: float

    def __post_init__(self):
        for part in self.parts:  # an impossible number of events is reported before the training changes anything
            self.steps(part.first)

    def part(self, epoch: int) -> Part:
        """The part of the training to which an epoch belongs."""
        return self.parts[self.recipe.place(epoch)]

    @cached_property
    def global_batch(self) -> int:
        """Events of all ranks per pass."""
        return self.request.global_batch or self.request.batch_size * self.parallel.size

    def events_of_step(self, epoch: int, step: int | None = None) -> int:
        """Events of all ranks in a step of an epoch, in all passes of a network together; by default the usual number.

        Args:
            epoch: number of the epoch.
            step: number of the step; the last one takes the remaining events.
        """
        recipe = self.part(epoch).recipe
        usual = self.global_batch * recipe.batches * recipe.batch_multiple
        if step is None:
            return usual
        return global_batch_size(self.events, self.request.batch_size, self.parallel.size, step, usual)

    def steps(self, epoch: int) -> int:
        """Steps of an epoch."""
        size = self.parallel.size
        return steps_per_epoch(self.events, self.request.batch_size, size, self.events_of_step(epoch))

    def steps_before(self, epoch: int) -> int:
        """Steps of all epochs before this one."""
        return sum(map(self.steps, range(epoch)))

    def batch_sizes(self, epoch: int) -> tuple[int, ...]:
        """This rank's numbers of events per step, which alternate."""
        return rank_batches(self.events_of_step(epoch), self.parallel.rank, self.parallel.size)

    @property
    def elapsed(self) -> float:
        """Time since the training began [s]."""
        return time.perf_counter() - self.began


@contextmanager
def progress_bar(steps: int, done: int, show: bool = True) -> Iterator[Callable[[Progress], None]]:
    """Show a text bar over all steps with the losses; yields the callback that updates it.

    Args:
        steps: steps of all epochs.
        done: steps done before this run.
        show: whether to show the bar at all.
    """
    with bar(total=steps, initial=done, unit="step", show=show) as shown:

        def update(progress: Progress) -> None:
            shown.set_description(progress.place, refresh=False)
            losses = {name: f"{progress.losses[name]:.3g}" for name in progress.sums}
            shown.set_postfix({**losses, "events/s": f"{progress.samples_per_second:.3g}"}, refresh=False)
            shown.update()

        yield update


def train(
    run: Run,
    state: TrainingState,
    best: dict | None,
    should_stop: Callable[[], bool],
    should_pause: Callable[[], bool] | None,
    callbacks: Sequence[Callable],
    on_epoch: Callable | None,
) -> tuple[str, dict[str, np.ndarray] | None]:
    """Train for the epochs that are left.

    Args:
        run: the training.
        state: how far it is; updated.
        best: variables of the best epoch so far, or None.
        should_stop, should_pause, callbacks, on_epoch: as for `fit`.

    Returns:
        Why it stopped before the end of the last epoch, and the variables of the best epoch.
    """
    good = store.values(run.variables)
    compiled, reason = set(), _out_of_patience(run, state)  # of a training that had stopped for this reason
    try:
        while state.epoch < run.request.epochs and not reason:
            part, steps = run.part(state.epoch), run.steps(state.epoch)
            order = order_seed(run.request.seed, run.parallel.rank, state.epoch)
            batches = run.data.batches(run.batch_sizes(state.epoch), order, steps)
            for batch in islice(batches, state.step, None):
                started, is_whole = time.perf_counter(), state.passes == 0
                reason = ASKED_TO_STOP if take_step(run, batch, state, should_stop) else ""
                if state.passes < len(part.kinds):
                    break
                passes = set(part.passes.values())
                now = _close_step(run, state, time.perf_counter() - started, timed=compiled >= passes)
                if is_whole:
                    compiled |= passes
                for callback in callbacks:
                    callback(now)
                reason = reason or _out_of_time(run)
                if reason:
                    break
            ended = state.step == steps
            if ended:
                state.count_epoch()
                if run.part(state.epoch) is not part:
                    adopt(run.averages.values())
            values = store.values(run.variables)
            check_weights(f"After {state.epoch} epochs", values)
            good = values
            _write(run, state, good, store.FILE)
            if ended and _is_scored(run, state.epoch):
                # After the checkpoint: a score may take long, or fail.
                best = _score(run, state, good, best)
            if ended and on_epoch is not None:
                with _as_used(run):
                    on_epoch(state.history, run.gan)
            if ended:
                # The physics score takes time, too.
                reason = reason or _out_of_patience(run, state) or _out_of_time(run)
            if ended and not reason and should_pause is not None and _on_any_rank(run, should_pause()):
                reason = ASKED_TO_PAUSE
    except TrainingDiverged:
        store.assign(run.variables, good)
        adopt(run.averages.values())
        raise
    return reason if state.epoch < run.request.epochs else "", best


def take_step(run: Run, batch: Sample, state: TrainingState, should_stop: Callable[[], bool]) -> bool:
    """Take one step: the passes of each network in turn, each with its share of the batch.

    Args:
        run: the training.
        batch: this rank's events of the step.
        state: how far the training is; updated after each pass.
        should_stop: as for `fit`.

    Returns:
        Whether a stop is requested on any rank; `state` then says after which pass.
    """
    part, request = run.part(state.epoch), run.request
    recipe, kinds = part.recipe, part.kinds
    # Set before every step: a checkpoint may be from another number of ranks.
    rates = recipe.rates(
        state.epoch - part.first + state.step / run.steps(state.epoch),
        part.end - part.first,
        request.batch_size * recipe.batch_multiple,
        run.global_batch / request.batch_size,
    )
    for name, rate in rates.items():
        part.optimizers[name].learning_rate = rate
    response = Response.from_dict(state.response) if state.response else None
    # Ranks average their gradients; with these weights, the mean over the ranks is that over all events of the step.
    weight = len(batch) * run.parallel.size / run.events_of_step(state.epoch, state.step)
    shares = min(recipe.batches, len(batch))
    dropouts = len(seed_states(run.gan))
    for position in range(state.passes, len(kinds)):
        kind = kinds[position]
        events = batch.select(slice(kinds[:position].count(kind) % shares, None, shares)) if shares > 1 else batch
        place = (request.seed, run.parallel.rank, state.epoch, state.step, position)
        drawn = draw(place, len(events), part.latent_size, run.labels, recipe, dropouts, len(part.symmetries))
        inputs, targets = step_inputs(
            kind, events, drawn, run.gan.conditions, part.heads, recipe, response, part.symmetries
        )
        losses, norm, stop = part.passes[kind](inputs, targets, weight, float(should_stop()), drawn.seeds)
        losses = {name: float(value) for name, value in losses.items()}
        check_losses(f"Epoch {state.epoch + 1}, step {state.step + 1}, {kind} pass", losses, float(norm))
        state.count_pass(losses, share=1 / kinds.count(kind))
        if float(stop) > 0:
            return True
    return False


def _close_step(run: Run, state: TrainingState, seconds: float, timed: bool) -> Progress:
    """Count a finished step, check that the generator has not collapsed, and return the progress."""
    losses = state.count_step(run.events_of_step(state.epoch, state.step), seconds, timed)
    check_not_empty(f"Epoch {state.epoch + 1}", state.empty_steps, run.part(state.epoch).recipe.empty_limit)
    return Progress(
        rank=run.parallel.rank,
        epoch=state.epoch,
        epochs=run.request.epochs,
        step=state.step - 1,
        steps=run.steps(state.epoch),
        losses=losses,
        samples_per_second=state.samples_per_second / run.parallel.size,
        time=run.elapsed,
        time_limit=run.request.time_limit,
    )


def _is_scored(run: Run, epochs: int) -> bool:
    """Whether the physics score is due after this number of epochs."""
    due = epochs % run.request.score_every == 0 or epochs == run.request.epochs
    return run.request.physics_score is not None and due


def _score(run: Run, state: TrainingState, arrays: dict, best: dict | None) -> dict | None:
    """Compute the physics score on rank 0, add it to the state, and return the variables of the best epoch."""
    score = run.request.physics_score
    with _as_used(run):
        # As types that JSON can hold.
        scores = ranks.from_rank_0(run.parallel, lambda: {name: one.to_dict() for name, one in score(run.gan).items()})
    if state.count_scores(scores, score.by):
        best = arrays
        _write(run, state, best, store.BEST)
    _write(run, state, arrays, store.FILE)
    return best


@contextmanager
def _as_used(run: Run) -> Iterator[None]:
    """Inside the block, the networks are as they are used after the training: in float32, with averaged weights."""
    with computing_in("float32", *run.gan.networks.values()), averaged(run.averages.values()):
        yield


def _write(run: Run, state: TrainingState, arrays: Mapping[str, np.ndarray], file: str) -> None:
    """Let rank 0 write a checkpoint, if the training has a folder for checkpoints."""
    folder = run.request.checkpoints
    if folder is not None:
        ranks.from_rank_0(run.parallel, lambda: store.save(folder, arrays, state, run.settings, file))


def _on_any_rank(run: Run, here: bool) -> bool:
    """Whether a condition holds on any rank; all ranks call this together and receive the same answer."""
    return bool(ranks.averaged(run.parallel, np.float32(here))[0] > 0)


def _out_of_patience(run: Run, state: TrainingState) -> str:
    """The reason to stop if the physics score no longer improves, else an empty string; the same on all ranks."""
    patience, epochs = run.request.patience, state.epochs_without_better_score(run.recipe.last_stage_begins)
    stops = patience is not None and epochs >= patience
    return NO_BETTER_SCORE.format(by=state.best["by"], epochs=epochs, s="s" * (epochs > 1)) if stops else ""


def _out_of_time(run: Run) -> str:
    """The reason to stop if the time limit has passed on any rank, else an empty string."""
    limit = run.request.time_limit
    return OUT_OF_TIME if limit is not None and _on_any_rank(run, run.elapsed >= limit) else ""
