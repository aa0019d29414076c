"""TrainingMonitor in Chromium, without JupyterLab: the display before, during and after a training."""

import base64
import inspect
import re
from types import SimpleNamespace

import numpy as np
import pytest

from calolab import spaces
from calolab.training.history import Progress
from calolab.training.snapshots import plane_of
from calolab.widgets import TrainingMonitor
from calolab.widgets.shared import frontend
from tests.helpers import pixels

THIRTEEN = [
    *("discriminator", "generator", "real_generation", "real_auxiliary", "real_ecal", "fake_empty", "fake_generation"),
    *("fake_auxiliary", "fake_ecal", "generator_generation", "generator_auxiliary", "generator_ecal"),
    "generator_empty",
]
# Records the texts that the canvases draw after a change of scale.
LISTEN = """() => {
    window.written = [];
    const write = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
        window.written.push(text);
        write.call(this, text, ...place);
    };
    window.model.set("log", !window.model.get("log"));
    return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(window.written))));
}"""


class Run:
    """A run with the interface of a TrainingRun, advanced by the test."""

    def __init__(self, space="clic-ecal"):
        self.status, self.losses, self.progress, self.epochs, self.example = "running", [], [], [], {}
        self.judged_by, self.gan = "ks_comb", SimpleNamespace(space=spaces.space(space))
        self.failure = None

    def go(self, steps, per_epoch=10):
        for n in range(len(self.losses), len(self.losses) + steps):
            losses = {name: (2.0 + k) / (1 + n / 10) for k, name in enumerate(THIRTEEN)}
            self.losses.append({"epoch": n // per_epoch, "step": n % per_epoch, **losses})
            place = (n // per_epoch, 20, n % per_epoch, per_epoch)
            self.progress = [Progress(rank, *place, losses, 51.4, 95.0 + 2 * n) for rank in (0, 1)]
        shape = plane_of(self.gan.space).shape
        self.example = {"labels": {"energy": 34.25}, "event": np.ones(shape, np.float32)}
        for epoch in range(len(self.epochs), len(self.losses) // per_epoch):
            score = {"value": 20.0 - epoch, "floor": 6.5, "direction": "lower"}
            scores = {"ks_comb": score} if self.judged_by else {}
            self.epochs.append({"epoch": epoch, "scores": scores, "event": np.eye(*shape, dtype=np.float32) + epoch})

    def stop(self):
        self.status = "stopping"


@pytest.fixture
def watch(show_alone):
    """A function that displays a run after each of several changes, and returns the page."""
    runs = []

    def show(run, *changes):
        runs.append(run)
        monitor = TrainingMonitor(run, interval=0.05)
        for change in changes:
            change()
            monitor.refresh()
        page = show_alone(monitor)
        monitor.close()
        assert page.errors == []
        return page.page

    yield show
    for run in runs:
        run.status = "finished"


def test_numbers_that_round_up_take_the_next_unit(browser):
    """119.6 s are 2 min, not 1 min 60 s; 999.6 has four digits, and no power of ten."""
    source = frontend.module(inspect.getfile(TrainingMonitor)).replace(
        "export default { render };", "export { duration, number };"
    )
    url = "data:text/javascript;base64," + base64.b64encode(source.encode()).decode()
    page = browser.new_page()
    try:
        durations, numbers = page.evaluate(
            """async (url) => {
                const { duration, number } = await import(url);
                const seconds = [0, 59.4, 59.6, 119.4, 119.6, 3599.4, 3599.6, 7199.6, 9000];
                const values = [999.4, 999.6, -999.6, 99.96, 0.009996, 99999.6, 0.5];
                return [seconds.map(duration), values.map((value) => number(value))];
            }""",
            url,
        )
    finally:
        page.close()
    assert durations == [
        *("0 s", "59 s", "1 min 0 s", "1 min 59 s", "2 min 0 s", "59 min 59 s", "1 h 0 min", "2 h 0 min", "2 h 30 min")
    ]
    assert numbers == ["999", "1000", "−1000", "100", "0.0100", "100000", "0.500"]


def test_before_the_first_step_it_displays_the_reason_for_the_delay_and_the_clock_runs(watch):
    page = watch(Run())
    timer = page.get_by_role("timer")
    assert re.fullmatch(r"\d s, preparing: the first step also compiles the networks", timer.inner_text())
    before = timer.inner_text()
    # Without a message from the kernel.
    page.wait_for_function("(before) => document.querySelector('[role=timer]').textContent !== before", arg=before)
    assert page.get_by_role("slider").count() == 0


def test_after_one_step_each_loss_is_a_marker_at_step_1_and_the_remaining_time_is_being_estimated(watch):
    run = Run()
    page = watch(run, lambda: run.go(1))
    # The clock runs while the page opens.
    assert re.fullmatch(r"1 min 3[5-9] s, estimating the remaining time", page.get_by_role("timer").inner_text())
    assert page.get_by_text("epoch 1 of 20, step 1 of 10, 51.4 showers/s").count() == 2
    chart = pixels(page.locator("canvas.calolab-losses"))
    for colour in ((213, 94, 0), (0, 114, 178)):
        assert 10 < (chart == colour).all(axis=-1).sum() < 100
    steps = [text for text in page.evaluate(LISTEN) if re.fullmatch(r"[\d.]+", text)][:3]
    assert steps == ["0", "1", "2"]


def test_the_remaining_time_does_not_include_the_first_step(watch):
    run = Run()
    page = watch(run, lambda: run.go(1), lambda: run.go(1), lambda: run.go(9))
    # 189 steps of two seconds; the first took 95 s.
    assert re.fullmatch(r"1 min 5[5-9] s, about 6 min 1[4-8] s left", page.get_by_role("timer").inner_text())


@pytest.mark.parametrize(
    "space, noun", [("whole-detector", "events"), ("jet-image", "images"), ("convergence", "maps")]
)
def test_events_are_called_by_their_name_in_the_space(watch, space, noun):
    run = Run(space)
    page = watch(run, lambda: run.go(11))
    assert page.get_by_text(f"51.4 {noun}/s").count() == 2
    assert page.get_by_text("showers").count() == 0
    assert len(np.unique(pixels(page.locator("canvas.calolab-snapshot").last).reshape(-1, 3), axis=0)) > 5


def test_thirteen_losses_have_different_lines_and_each_can_be_selected(watch):
    run = Run()
    page = watch(run, lambda: run.go(30))
    keys = page.locator(".calolab-legends svg line").evaluate_all(
        "(lines) => lines.map((line) => getComputedStyle(line).stroke + ' ' + line.getAttribute('stroke-dasharray'))"
    )
    assert len(keys) == len(set(keys)) == 13
    page.get_by_role("group", name="losses of the generator").get_by_label("auxiliary").check()
    assert page.evaluate("window.model.get('shown')") == ["discriminator", "generator", "generator_auxiliary"]
    # Check boxes are not replaced while losses are added: one replaced between press and release misses the click.
    page.evaluate("window.box = document.querySelectorAll('.calolab-legends input')[3]")
    page.evaluate("window.model.set('losses', window.model.get('losses'))")
    assert page.evaluate("window.box.isConnected")


def test_scores_are_shown_with_their_floor_and_the_best_epoch(watch):
    run = Run()
    page = watch(run, lambda: run.go(55))
    assert (
        "latest 16.0, best 16.0 after epoch 5, floor 6.50" in page.locator(".calolab-scoring figcaption").inner_text()
    )
    written = page.evaluate(LISTEN.replace("log", "score").replace("!window", "window"))
    assert {"floor: real against real", "ks comb", "epoch"} <= set(written)


def test_scores_of_the_first_epochs_do_not_hide_the_floor(watch):
    run = Run()

    def rate(*values):
        for epoch, value in zip(run.epochs, values, strict=True):
            epoch["scores"] = {"ks_comb": {"value": value, "floor": 6.5, "direction": "lower"}}

    page = watch(run, lambda: run.go(50), lambda: rate(4e5, 3e3, 90.0, 9.0, 8.0))
    canvas = page.locator("canvas.calolab-scores")
    height = pixels(canvas).shape[0]
    # The score of the last epochs is above the floor by more than a few pixels; the floor is a dashed line.
    dashed = np.flatnonzero((pixels(canvas) == (59, 59, 59)).all(axis=-1).sum(axis=1) > 60)
    assert len(dashed) and dashed.max() < height - 46


def test_a_score_that_is_never_finite_is_described_in_words(watch):
    run = Run()

    def fail():
        for epoch in run.epochs:
            epoch["scores"] = {"ks_comb": {"value": float("nan"), "floor": 6.5, "direction": "lower"}}

    page = watch(run, lambda: run.go(20), fail)
    assert "no finite value yet, floor 6.50" in page.locator(".calolab-scoring figcaption").inner_text()


def test_the_images_of_an_epoch_are_side_by_side_at_one_height(watch):
    run = Run()
    page = watch(run, lambda: run.go(20))
    tops = page.locator("canvas.calolab-snapshot").evaluate_all("(all) => all.map((one) => one.offsetTop)")
    assert tops[0] == tops[1]


def test_the_event_of_an_earlier_epoch_can_be_displayed_beside_the_reference(watch):
    run = Run()
    page = watch(run, lambda: run.go(55))
    captions = page.locator(".calolab-epochs figcaption")
    assert "E 34.25 GeV" in captions.nth(1).inner_text() and "625 GeV" in captions.nth(1).inner_text()
    assert "generated after epoch 5" in captions.nth(2).inner_text()
    panel = page.locator("canvas.calolab-snapshot").last
    before = pixels(panel)
    page.get_by_label("the epoch after which").press("Home")
    assert "generated after epoch 1" in captions.nth(2).inner_text() and "25.0 GeV" in captions.nth(2).inner_text()
    assert (pixels(panel) != before).any()
    page.get_by_label("the epoch after which").press("End")
    assert page.evaluate("window.model.get('event_epoch')") == 0  # it follows the training again


def test_without_a_physics_score_events_are_shown_alone(watch):
    run = Run()
    run.judged_by = ""
    page = watch(run, lambda: run.go(25))
    assert not page.locator(".calolab-scoring").is_visible() and not page.get_by_label("score", exact=True).is_visible()
    assert page.locator("canvas.calolab-snapshot").count() == 2


def test_the_clock_of_a_run_that_has_ended_does_not_advance(watch):
    run = Run()

    def fail():
        run.status, run.failure = "failed", RuntimeError("engine 1 died")

    page = watch(run, lambda: run.go(12), fail)
    assert page.get_by_role("alert").inner_text() == "RuntimeError: engine 1 died"
    assert page.get_by_role("button", name="Stop").is_disabled()
    before = page.get_by_role("timer").inner_text()
    page.wait_for_timeout(1200)
    assert page.get_by_role("timer").inner_text() == before == "1 min 57 s"


def test_stop_remains_disabled_until_the_kernel_has_received_it(watch):
    run = Run()
    page = watch(run, lambda: run.go(1))
    stop = page.locator(".calolab-stop")
    stop.click()
    assert page.evaluate("window.sent") == [{"type": "stop"}]
    for name, value, text in (
        ("elapsed", 200, "Stopping …"),
        ("status", "stopping", "Stopping …"),
        ("status", "stopped", "Stop"),
    ):
        page.evaluate("([name, value]) => window.model.set(name, value)", [name, value])
        assert (stop.inner_text(), stop.is_disabled()) == (text, True)
