"""What is called after every step: functions of one `Progress`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from calolab.training.history import Progress


@contextmanager
def progress_bar(epochs: int, steps: int, done: int, show: bool = True) -> Iterator:
    """A text bar over all steps with the losses beside it; yields the callback that moves it.

    Args:
        epochs: epochs in all.
        steps: steps per epoch.
        done: steps done before this run.
        show: whether to show the bar at all.
    """
    with tqdm(total=epochs * steps, initial=done, unit="step", disable=not show, dynamic_ncols=True) as bar:

        def move(progress: Progress) -> None:
            bar.set_description(f"epoch {progress.epoch + 1}/{progress.epochs}", refresh=False)
            shown = {name: f"{progress.losses[name]:.3g}" for name in ("discriminator", "generator")}
            bar.set_postfix({**shown, "events/s": f"{progress.samples_per_second:.3g}"}, refresh=False)
            bar.update()

        yield move
