"""Widgets in Chromium, without JupyterLab: pointers on their canvases, and what they display in unusual states."""

import numpy as np
import pytest

from calolab import spaces
from calolab.samples import Sample
from calolab.widgets import ClusterStatus, EnergyInterpolation, JetComparison, ProfileExplorer, SliceViewer
from tests.helpers import pixels
from tests.widgets.jets.jet_events import make_events

ECAL = spaces.space("clic-ecal")
# Events of the pointer on each canvas: moved over it, pressed, dragged beyond its right border, released.
POINT = """(canvases) => canvases.forEach((canvas) => {
    const send = (type, x, buttons = 0) =>
        canvas.dispatchEvent(new PointerEvent(type, { clientX: x, clientY: 5, buttons, pointerId: 1 }));
    const { left, right } = canvas.getBoundingClientRect();
    send("pointermove", (left + right) / 2);
    send("pointerdown", left + 60, 1);
    send("pointermove", right - 2, 1);
    send("pointerup", right - 2);
    send("pointerleave", right + 9);
})"""


def showers(energies=(10.0, 50.0, 90.0), seed=1, scale=0.01):
    random = np.random.default_rng(seed)
    values = random.exponential(scale, (len(energies), *ECAL.shape)) * (random.random(ECAL.shape) < 0.1)
    return Sample(values.astype(np.float32), {"energy": np.asarray(energies)}, ECAL)


def traverse(labels, seed, latents):
    energies = np.tile(labels["energy"], latents)
    latent = np.repeat(np.arange(latents), len(labels["energy"]))
    return Sample(showers(energies, seed).values, {"energy": energies, "latent": latent}, ECAL)


def constant(value, like):
    return Sample(np.full_like(like.values, value), like.labels, like.space)


# The texts that each canvas draws after the window has been made a little narrower.
TEXTS = """async (selector) => {
    const wait = (time) => new Promise((done) => setTimeout(done, time));
    const pen = CanvasRenderingContext2D.prototype;
    const write = pen.fillText;
    const texts = [];
    pen.fillText = function (text, ...place) {
        if (this.canvas.matches(selector)) texts.push(String(text));
        return write.call(this, text, ...place);
    };
    document.body.style.width = `${document.body.getBoundingClientRect().width - 40}px`;
    for (let k = 0; k < 100 && !texts.length; k += 1) await wait(50);
    await wait(100);
    pen.fillText = write;
    return texts;
}"""


def texts(page, selector="canvas"):
    found = page.page.evaluate(TEXTS, selector)
    assert found
    return set(found)


WIDGETS = {
    "slices": lambda: SliceViewer(showers(), showers(seed=2)),
    "profiles": lambda: ProfileExplorer(showers(), showers(seed=2)),
    "energies": lambda: EnergyInterpolation(traverse, reference=showers(), points=3, latents=2),
    "jets": lambda: JetComparison(make_events(), make_events(seed=2)),
}


@pytest.mark.parametrize("name", WIDGETS)
def test_the_pointer_may_reach_a_canvas_before_it_is_drawn(show_alone, name):
    widget = WIDGETS[name]()
    widget._css += "canvas { display: none !important; }"  # as in a collapsed output
    page = show_alone(widget)
    page.page.eval_on_selector_all("canvas", POINT)
    widget.close()
    page.check_quiet()


def test_dragged_beyond_the_right_border_the_last_slice_and_energy_are_displayed(show_alone):
    viewer, interpolation = WIDGETS["slices"](), WIDGETS["energies"]()
    page = show_alone(viewer)
    page.page.eval_on_selector_all(".calolab-strip", POINT)
    assert page.page.evaluate("window.model.get('position')") == ECAL.shape[2] - 1
    page.check_quiet()
    page = show_alone(interpolation)
    page.page.eval_on_selector_all(".calolab-strip", POINT)
    assert page.page.evaluate("[window.model.get('energy'), window.model.get('position')]") == [100, ECAL.shape[2] - 1]
    page.check_quiet()


def test_an_empty_event_is_described_in_its_panel(show_alone):
    page = show_alone(SliceViewer(constant(0, showers()), showers()))
    assert "all cells are empty" in texts(page, ".calolab-panel")


def test_in_a_narrow_panel_the_count_of_cells_beyond_the_scale_takes_two_lines(show_alone):
    page = show_alone(SliceViewer(showers(), constant(5, showers())), width=640)
    found = texts(page, ".calolab-panel")
    assert "625 cells above the scale," in found and "up to 5.00 GeV" in found


def test_energies_below_zero_are_marked(show_alone):
    page = show_alone(SliceViewer(showers(), constant(-0.01, showers())))
    assert "generated down to −6.25 GeV" in texts(page, ".calolab-strip")
    page = show_alone(ProfileExplorer(showers(), constant(-0.01, showers())))
    assert "generated down to −6.25 GeV" in texts(page, ".calolab-profile")


def test_profiles_of_a_range_without_showers_are_described_and_the_spectrum_has_numbers(show_alone):
    explorer = ProfileExplorer(showers(), showers(seed=2))
    page = show_alone(explorer)
    assert "no shower in this range" not in texts(page, ".calolab-profile")
    assert {"0", "1"} <= texts(page, ".calolab-spectrum")  # the bins contain one shower at most
    explorer.energy_range = (11.0, 12.0)
    assert "no shower in this range" in texts(show_alone(explorer), ".calolab-profile")


def test_a_reference_near_one_energy_only_is_a_dot(show_alone):
    widget = EnergyInterpolation(traverse, reference=showers([55.0]), points=3, latents=2)
    response = pixels(show_alone(widget).page.locator("canvas.calolab-strip").first)
    assert (response == (59, 59, 59)).all(axis=-1).sum() > 4


def test_one_latent_vector_needs_no_controls(show_alone):
    page = show_alone(EnergyInterpolation(traverse, points=3, latents=1)).page
    assert page.get_by_text("mean of").count() == 0 and page.get_by_role("slider", name="latent").count() == 0
    assert "3 showers of one latent vector" in page.locator(".calolab-note").inner_text()


def test_jets_of_one_sample_are_displayed_in_panels_of_one_size_and_no_jets_in_words(show_alone):
    page = show_alone(JetComparison(make_events(1)))
    widths = page.page.eval_on_selector_all("figure", "(all) => all.map((one) => one.getBoundingClientRect().width)")
    visible = [width for width in widths if width]
    assert len(visible) == 5 and max(visible) - min(visible) < 1
    assert "no jets" in texts(page, ".calolab-histogram")


def test_a_silent_engine_is_readable_in_the_dark_theme(show_alone):
    widget = ClusterStatus("nobody", interval=60)
    with widget._watcher.lock:
        widget.launcher, widget.size = "local", 1
        widget.engines = [{"id": 0, "rank": 0, "state": "silent", "host": "node", "memory": None, "load": None}]
    cell = show_alone(widget, theme="dark").page.locator("tr[data-state=silent] td").first
    widget.close()
    assert cell.evaluate("(cell) => getComputedStyle(cell).color") == "rgb(255, 138, 128)"
