"""The widgets in JupyterLab in Chromium: painted, moved by their controls, telling Python, quiet, offline."""

import io
import re

import nbconvert
import numpy as np
import pytest
from PIL import Image

from tests.helpers import cut_off, pixels

SHOWERS = """
import threading, time
import numpy as np

from calolab import spaces, widgets
from calolab.samples import Sample

clic = spaces.space("clic-ecal")

def showers(energies, seed):
    "Smeared by hand: longitudinally a gamma function with its maximum at ln E, transversely an exponential."
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(clic.centres("x"), clic.centres("y"), clic.centres("z"), indexing="ij")
    t = z / 6.0
    values = np.empty((len(energies), *clic.shape), dtype=np.float32)
    for value, energy in zip(values, energies):
        rise = 2 + 0.7 * np.log(energy) + 0.3 * rng.normal()
        mean = t**rise * np.exp(-0.7 * t) * np.exp(-np.hypot(x, y) / 7)
        hits = rng.poisson(60 * energy * mean / mean.sum())
        value[:] = hits * rng.gamma(2, 1.5e-4, hits.shape)
    return Sample(values, {"energy": energies}, clic)

rng = np.random.default_rng(5)
reference, generated = (showers(rng.uniform(10, 100, 60), seed) for seed in (1, 2))
"""
TRAVERSE = """
def traverse(labels, seed, latents):
    energies = labels["energy"]
    column = np.tile(energies, latents)
    made = showers(column, seed)
    return Sample(made.values, {"energy": column, "latent": np.repeat(np.arange(latents), len(energies))}, clic)
"""
MAPS = """
convergence = spaces.space("convergence")
around = np.random.default_rng(3).normal(0, 0.01, (2, *convergence.shape))
around[:, :64], around[:, :, :64] = 0.02, -0.02
maps = widgets.SliceViewer(Sample(around, {"redshift": [1.0, 1.0]}, convergence), names=("sky", "GAN"))
maps
"""
RUN = """
from calolab.training.history import Progress

class Run:
    "The interface of a TrainingRun that TrainingMonitor uses; the steps only take time."
    def __init__(self):
        self.status, self.progress, self.losses = "running", [], []
        threading.Thread(target=self.go, daemon=True).start()
    def go(self):
        for n in range(100_000):
            time.sleep(0.02)
            if self.status == "stopping":
                self.status = "stopped"
                return
            losses = {"discriminator": 9 / (1 + n / 50), "generator": 20 / (1 + n / 90), "real_auxiliary": 30 / (1 + n)}
            self.losses = [*self.losses, {"epoch": n // 500, "step": n % 500, **losses}]
            self.progress = [Progress(rank, n // 500, 200, n % 500, 500, losses, 50.0, 0.02 * n) for rank in (0, 1)]
    def stop(self):
        self.status = "stopping"
    def wait(self, timeout=None):
        while self.status in ("running", "stopping"):
            time.sleep(0.05)
        return len(self.losses)
"""


@pytest.fixture(scope="module")
def notebook(open_notebook):
    opened = open_notebook(
        [
            SHOWERS,
            TRAVERSE,
            RUN,
            "viewer = widgets.SliceViewer(reference, generated)\nviewer",
            "explorer = widgets.ProfileExplorer(reference, generated)\nexplorer",
            "interpolation = widgets.EnergyInterpolation(traverse, reference=reference, points=7, latents=3)\n"
            "interpolation",
            MAPS,
            "monitor = widgets.TrainingMonitor(Run(), interval=0.2)\nmonitor",
        ]
    )
    opened.run_all()
    assert opened.failures() == []
    yield opened
    opened.check_quiet()


@pytest.fixture(autouse=True)
def nothing_goes_wrong(notebook):
    """No test leaves an error on the console or sends a request to another machine."""
    yield
    notebook.check_quiet()


def widget(notebook, name, which=0):
    section = notebook.page.locator(f"section.calolab[aria-label='{name}']").nth(which)
    section.wait_for()
    section.scroll_into_view_if_needed()
    return section


def colours(canvas):
    """Number of colours in the area of a canvas."""
    picture = np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB"))
    return len(np.unique(picture.reshape(-1, 3), axis=0))


def test_slice_viewer_follows_its_slider(notebook):
    section = widget(notebook, "Slice viewer")
    panels = section.locator("canvas.calolab-panel")
    assert panels.count() == 2
    before = [pixels(panel) for panel in panels.all()]
    assert all(colours(panel) > 20 for panel in panels.all())
    position = notebook.read("viewer.position")
    section.get_by_label("slice (keys").press("ArrowRight")
    after = [pixels(panel) for panel in panels.all()]
    assert all((a != b).any() for a, b in zip(before, after))
    assert notebook.becomes("viewer.position", position + 1)


def test_slice_viewer_follows_keys_and_python(notebook):
    section = widget(notebook, "Slice viewer")
    panel = section.locator("canvas.calolab-panel").first
    panel.click()
    notebook.page.keyboard.press("x")
    notebook.page.keyboard.press("ArrowUp")
    notebook.page.keyboard.press("ArrowLeft")
    brightest = notebook.read("int(reference.values[0].sum(axis=(1, 2)).argmax())")
    assert notebook.becomes("[viewer.axis, viewer.event, viewer.position]", ["x", 1, brightest - 1])
    assert "z [mm]" not in section.locator(".calolab-readout").inner_text()
    before = pixels(panel)
    notebook.run("viewer.event = 7; viewer.axis = 'z'; viewer.log = False")
    section.get_by_text("7 (0 to 59)").wait_for()
    assert (pixels(panel) != before).any()
    notebook.page.keyboard.press("l")
    assert notebook.becomes("viewer.log", True)


def test_slice_viewer_displays_the_value_of_a_cell(notebook):
    section = widget(notebook, "Slice viewer")
    notebook.run("viewer.axis, viewer.position, viewer.event, viewer.total = 'z', 10, 3, False")
    panel = section.locator("canvas.calolab-panel").last
    place = panel.bounding_box()
    # Inside the frame of the panel (drawCells), the middle of cell (11, 14).
    inner = {"left": 56, "top": 6, "right": place["width"] - 12, "bottom": place["height"] - 40}
    x = inner["left"] + (11.5 / 25) * (inner["right"] - inner["left"])
    y = inner["bottom"] - (14.5 / 25) * (inner["bottom"] - inner["top"])
    panel.hover(position={"x": x, "y": y})
    text = section.locator(".calolab-readout").inner_text()
    cells = notebook.read("[float(s.values[3, 11, 14, 10]) for s in (reference, generated)]")
    assert text.startswith("cell (11, 14, 10) · x −5.10 mm, y 10.2 mm, z 46.2 mm · ")
    found = [number(part) for part in re.findall(r"(?:reference|generated) (.*?) GeV", text)]
    assert found == pytest.approx(cells, rel=1e-3)
    assert max(cells) > 0


def test_slice_viewer_can_be_used_while_the_kernel_is_busy(notebook):
    section = widget(notebook, "Slice viewer")
    panel = section.locator("canvas.calolab-panel").first
    notebook.run("viewer.axis, viewer.position = 'z', 5")
    before = pixels(panel)
    notebook.start("time.sleep(4)")
    section.get_by_label("slice (keys").press("ArrowRight")
    after = pixels(panel)
    assert notebook.is_busy()
    assert (before != after).any()
    notebook.wait_until_idle()
    assert notebook.becomes("viewer.position", 6)


def test_maps_have_signed_colours_and_rows_from_top_to_bottom(notebook):
    section = widget(notebook, "Slice viewer", 1)
    panel = section.locator("canvas.calolab-panel")
    picture = pixels(panel).astype(int)
    height, width, _ = picture.shape
    # The left quarter of the columns is below zero, the upper quarter of the rows above it.
    left, up = picture[height // 2, 56 + (width - 68) // 8], picture[6 + (height - 46) // 8, width - 40]
    assert left[2] > left[0] + 60 and up[0] > up[2] + 60
    assert np.mean(picture[6 : height - 40, 56 : width - 12].max(axis=2) < 40) < 0.02
    panel.hover(position={"x": width - 14, "y": 8})
    text = section.locator(".calolab-readout").inner_text()
    assert re.match(r"cell \([01], 25[45]\) · row −0\.8\d+ deg, column 0\.8\d+ deg · sky 0\.0200", text), text
    assert "[]" not in text
    assert section.locator("figcaption").inner_text().startswith("sky")


@pytest.mark.parametrize("name", ["Slice viewer", "Profile explorer", "Energy interpolation"])
def test_no_text_is_cut_off(notebook, name):
    assert cut_off(notebook.page, widget(notebook, name), "canvas") == []


def test_profile_explorer_follows_its_range(notebook):
    section = widget(notebook, "Profile explorer")
    panels = section.locator("canvas.calolab-profile")
    assert panels.count() == 3
    before = [pixels(panel) for panel in panels.all()]
    assert all(colours(panel) > 10 for panel in panels.all())
    handle = section.get_by_label("lowest incident energy")
    handle.focus()
    for _ in range(30):
        handle.press("ArrowRight")
    assert all((pixels(panel) != picture).any() for panel, picture in zip(panels.all(), before))
    lowest = notebook.read("min(min(s.labels['energy']) for s in (reference, generated))")
    # The handle moves in steps of 1 GeV.
    assert notebook.becomes("explorer.energy_range[0]", round(lowest) + 30)
    low, high = notebook.read("explorer.energy_range")
    expected = notebook.read(
        "[[float(v.mean()), float(v.std(ddof=1) / len(v)**0.5)] for s in (reference, generated) "
        f"for v in [s.values[(s.labels['energy'] >= {low}) & (s.labels['energy'] <= {high})].sum(axis=(1, 2, 3))]]",
    )
    row = section.locator("tr", has_text="visible energy").locator("td").all_inner_texts()
    for text, (mean, error) in zip(row, expected):
        shown = [float(part) for part in text.split(" ± ")]
        assert shown == pytest.approx([mean, error], rel=0.05)


def test_energy_interpolation_follows_its_slider(notebook):
    section = widget(notebook, "Energy interpolation")
    cells, profile = section.locator("canvas.calolab-panel").last, section.locator("canvas.calolab-strip").last
    before = pixels(cells), pixels(profile)
    assert colours(cells) > 20
    slider = section.get_by_label("incident energy (keys")
    slider.press("ArrowRight")
    assert (pixels(cells) != before[0]).any()
    assert (pixels(profile) != before[1]).any()
    assert notebook.becomes("interpolation.energy", 70.0)
    one = pixels(cells)
    section.get_by_label("mean of 3").check()
    assert (pixels(cells) != one).any()
    assert notebook.becomes("interpolation.average", True)
    shown = section.locator("figcaption").last.inner_text()
    mean = notebook.read("float(interpolation.traversal.values[4::7].sum(axis=(1, 2, 3)).mean())")
    assert float(re.search(r"visible ([\d.]+) GeV", shown).group(1)) == pytest.approx(mean, rel=0.01)


def test_training_monitor_is_refreshed_while_the_kernel_is_busy(notebook):
    section = widget(notebook, "Training monitor")
    chart = section.locator("canvas.calolab-profile")
    assert section.get_by_role("progressbar").count() == 2
    before = pixels(chart)
    assert colours(chart) > 5
    notebook.start("time.sleep(3)")
    notebook.page.wait_for_timeout(1500)
    assert (pixels(chart) != before).any()
    assert notebook.is_busy()
    notebook.wait_until_idle()
    section.get_by_role("group", name="losses on real events").get_by_label("auxiliary").check()
    assert notebook.becomes("monitor.shown", ["discriminator", "generator", "real_auxiliary"])


def test_training_monitor_stops_the_run_that_a_cell_waits_for(notebook):
    section = widget(notebook, "Training monitor")
    notebook.start("steps = monitor._run.wait()")
    notebook.page.wait_for_timeout(500)
    assert notebook.is_busy()
    section.get_by_role("button", name="Stop").click()
    section.get_by_text("stopped", exact=True).wait_for(timeout=10_000)
    notebook.wait_until_idle()
    assert notebook.read("[monitor.status, steps == len(monitor._run.losses)]") == ["stopped", True]


def test_a_picture_represents_every_widget_on_pages_without_javascript(notebook):
    outputs = [output for cell in notebook.cells() for output in cell.outputs if "data" in output]
    kinds = [set(output.data) for output in outputs]
    assert len(kinds) == 5
    assert all({"image/png", "application/vnd.jupyter.widget-view+json"} <= kind for kind in kinds)
    page, _ = nbconvert.HTMLExporter().from_filename(str(notebook.save()))
    assert page.count('src="data:image/png;base64') == 5
    assert "widget-view+json" not in page


def number(text):
    """Read a number written by `number` of numbers.js."""
    power = re.fullmatch(r"(.*)×10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", text)
    if power is None:
        return float(text.replace("−", "-"))
    exponent = power.group(2).translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    return float(f"{power.group(1)}e{exponent}".replace("−", "-"))
