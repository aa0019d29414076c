"""What is called after every step: functions of one `Progress`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from calolab.progress import bar
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
    with bar(total=epochs * steps, initial=done, unit="step", show=show) as shown:

        def move(progress: Progress) -> None:
            shown.set_description(progress.place, refresh=False)
            losses = {name: f"{progress.losses[name]:.3g}" for name in ("discriminator", "generator")}
            shown.set_postfix({**losses, "events/s": f"{progress.samples_per_second:.3g}"}, refresh=False)
            shown.update()

        yield move
