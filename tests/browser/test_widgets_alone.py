"""Widgets in Chromium, without JupyterLab: pointers on their canvases, and what they display in unusual states."""

import numpy as np
import pytest

from calolab import spaces
from calolab.samples import Sample
from calolab.widgets import EnergyInterpolation, JetComparison, ProfileExplorer, SliceViewer
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
