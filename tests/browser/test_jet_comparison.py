"""JetComparison in JupyterLab in Chromium: drawing, controls, keys and responses of Python; no errors, offline."""

import time

import numpy as np
import pytest

from tests.helpers import cut_off, pixels

EVENTS = """
import time
import numpy as np

from calolab import spaces, widgets
from calolab.samples import Sample, concatenate

space = spaces.space("whole-detector")

def events(n, seed, gluino_mass=1400.0, harder=1.0):
    "Three to six clusters of energy each."
    random = np.random.default_rng(seed)
    values = np.zeros((n, *space.shape), np.float32)
    for value in values:
        for _ in range(random.integers(3, 7)):
            eta, phi = random.integers(14, 50), random.integers(0, 64)
            at = np.clip(eta + random.normal(0, 2, 25).round().astype(int), 0, 63), \\
                (phi + random.normal(0, 2, 25).round().astype(int)) % 64
            np.add.at(value, at, random.exponential(harder * gluino_mass / 60, 25))
    return Sample(values, {"gluino_mass": np.full(n, gluino_mass), "neutralino_mass": np.full(n, 850.0)}, space)

def crossings(n, mu, seed):
    random = np.random.default_rng(seed)
    values = random.exponential(4.0, (n, *space.shape)) * (random.random((n, *space.shape)) < mu / 800)
    return Sample(values, {"mu": np.full(n, mu)}, space)

def generated_crossings(n, mu, seed):
    if mu == 200:
        raise RuntimeError("not trained at mu = 200")
    return crossings(n, 2 * mu, seed + 1)

rpv = concatenate([events(60, 1), events(60, 2, 1800.0)])
made = concatenate([events(60, 3, harder=1.2), events(60, 4, 1800.0, harder=1.2)])
"""
SHOWN = """
comparison = widgets.JetComparison(
    {"RPV": rpv, "soft": events(50, 9, 700.0)}, {"RPV": made}, pileup=crossings, generated_pileup=generated_crossings,
    mus=[0, 20, 40, 200],
)
comparison
"""


WILD = """
wild = widgets.JetComparison(rpv, Sample(100 * made.values, made.labels, space), names=("Pythia", "GFlash"))
wild
"""


@pytest.fixture(scope="module")
def notebook(open_notebook):
    opened = open_notebook([EVENTS, SHOWN, WILD], height=1200)
    opened.run_all()
    assert opened.failures() == []
    yield opened
    opened.check_quiet()


@pytest.fixture
def section(notebook):
    """The widget after opening."""
    notebook.run(
        "comparison.sample, comparison.mass_point, comparison.pileup = 'RPV', 'all', 'none'\n"
        "comparison.mu, comparison.signal, comparison.event, comparison.log = 20, 'generated', 0, True"
    )
    found = notebook.page.locator("section.calolab[aria-label='Jet comparison']").first
    found.wait_for()
    found.scroll_into_view_if_needed()
    answered(notebook)
    yield found
    notebook.check_quiet()


def test_every_message_is_handled_in_the_main_thread(notebook, section):
    notebook.run(
        "import threading\nthreads = []\n"
        "def note(_):\n    threads.append(threading.current_thread() is threading.main_thread())\n"
        "comparison.observe(note, 'event')"
    )
    slider = section.get_by_label("event (keys")
    for number in (1, 2, 3):
        slider.press("ArrowRight")
        assert notebook.becomes("comparison.event", number)
    notebook.run("comparison.unobserve(note, 'event')")
    assert notebook.read("threads") == [True] * 3


def answered(notebook):
    """Wait until the histograms are those of the current choice with all events."""
    notebook.wait_until_idle()
    notebook.page.locator("section.calolab[aria-busy='false']").first.wait_for()
    deadline = time.monotonic() + 60
    while notebook.read("comparison.distributions['events'] != comparison.distributions['of']"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    notebook.page.wait_for_timeout(100)


def all_pixels(section):
    return [pixels(canvas) for canvas in section.locator("canvas.calolab-event, canvas.calolab-histogram").all()]


def blue(picture):
    """Number of pixels in the colour of the circles."""
    return int(np.sum(np.all(np.abs(picture.astype(int) - (86, 180, 233)) < 12, axis=2)))


def test_it_opens_with_two_images_and_four_histograms(notebook, section):
    pictures = all_pixels(section)
    assert len(pictures) == 6
    assert all(len(np.unique(picture.reshape(-1, 3), axis=0)) > 20 for picture in pictures)
    jets = notebook.read("[len(comparison.scene['jets'][k][0]) for k in (0, 1)]")
    captions = section.locator("figcaption").all_inner_texts()
    assert [f"{n} jets, Σm" in caption for n, caption in zip(jets, captions)] == [True, True]
    assert "m(g̃) 1400, m(χ̃) 850 GeV" in captions[0]
    distances = notebook.read("[(v['ks'], v['floor']) for v in comparison.distributions['variables']]")
    for caption, (ks, floor) in zip(captions[2:], distances):
        assert f"KS {ks:.3f} (floor {floor:.3f})" in caption
    assert (
        section.locator(".calolab-legend").inner_text().replace("\n", " ") == "― real 120 events ― generated 120 events"
    )


def test_circles_are_drawn_around_the_jets(notebook, section):
    image = section.locator("canvas.calolab-event").first
    numbers = notebook.read("[len(jets) for jets in comparison.scene['jets'][0]]")
    most, fewest = int(np.argmax(numbers)), int(np.argmin(numbers))
    drawn = []
    for event in (fewest, most):
        notebook.run(f"comparison.event = {event}")
        notebook.page.wait_for_timeout(100)
        drawn.append(blue(pixels(image)))
    assert numbers[most] > numbers[fewest] > 0 and drawn[1] > drawn[0] > 100


def test_the_event_can_be_changed_while_the_kernel_is_busy(notebook, section):
    image = section.locator("canvas.calolab-event").first
    before = pixels(image)
    image.click()
    notebook.start("time.sleep(3)")
    notebook.page.keyboard.press("ArrowUp")
    after = pixels(image)
    assert notebook.is_busy() and (before != after).any()
    section.get_by_label("event (keys").press("ArrowRight")
    assert (pixels(image) != after).any() and notebook.is_busy()
    notebook.wait_until_idle()
    assert notebook.becomes("comparison.event", 2)


def test_pileup_and_mu_change_images_and_histograms(notebook, section):
    before = all_pixels(section)
    slider = section.get_by_label("mean number of pile-up collisions")
    assert slider.is_disabled()
    section.get_by_label("real", exact=True).check(force=True)
    answered(notebook)
    assert notebook.becomes("comparison.distributions['choice']['pileup']", "real")
    first = all_pixels(section)
    assert all((a != b).any() for a, b in zip(before, first))
    assert "real with real pile-up" in section.locator(".calolab-legend").inner_text()
    assert "real, no pile-up" in section.locator(".calolab-legend").inner_text()
    slider.press("ArrowRight")
    answered(notebook)
    assert notebook.becomes("comparison.distributions['choice']['mu']", 40.0)
    assert section.get_by_text("40 collisions").is_visible()
    assert all((a != b).any() for a, b in zip(first, all_pixels(section)))


def test_keys_change_pileup_mass_point_and_mu(notebook, section):
    section.locator("canvas.calolab-event").first.click()
    for key in "pmm":
        notebook.page.keyboard.press(key)
    assert notebook.becomes("[comparison.pileup, comparison.mass_point]", ["real", "1800, 850"])
    notebook.page.keyboard.press("ArrowLeft")
    notebook.page.keyboard.press("l")
    assert notebook.becomes("[comparison.mu, comparison.log]", [0.0, False])
    answered(notebook)
    assert "m(g̃) 1800" in section.locator("figcaption").first.inner_text()


def test_lists_select_sample_and_mass_point(notebook, section):
    section.get_by_label("mass point").select_option("1800, 850")
    assert notebook.becomes("comparison.distributions['events']['reference']", 60)
    section.get_by_label("sample", exact=True).select_option("soft")
    answered(notebook)
    assert notebook.becomes("[comparison.sample, comparison.mass_point]", ["soft", "700, 850"])
    # This sample has no generated events: their image and the comparison are hidden.
    assert [figure.is_visible() for figure in section.locator("figure").all()] == [True, False, True, True, True, True]
    assert "KS" not in section.locator("figcaption").nth(2).inner_text()
    # In a list, arrow keys and letters select an option.
    section.get_by_label("sample", exact=True).press("p")
    assert notebook.becomes("comparison.pileup", "none")


def test_it_displays_values_at_the_pointer(notebook, section):
    eta, phi, pt, mass = notebook.read("[comparison.scene['jets'][0][0][0][k] for k in (1, 2, 0, 3)]")
    image = section.locator("canvas.calolab-event").first
    place = image.bounding_box()
    inner = {"left": 56, "top": 6, "right": place["width"] - 12, "bottom": place["height"] - 40}
    x = inner["left"] + (eta + 2.5) / 5 * (inner["right"] - inner["left"])
    y = inner["bottom"] - (phi + np.pi) / (2 * np.pi) * (inner["bottom"] - inner["top"])
    image.hover(position={"x": x, "y": y})
    text = section.locator(".calolab-readout").inner_text()
    assert text.startswith("η ") and ", φ " in text and f"jet 1: pt {pt:.0f}" in text and f"m {mass:.0f} GeV" in text
    section.locator("canvas.calolab-histogram").first.hover()
    assert "jets · fraction of events: real" in section.locator(".calolab-readout").inner_text()


def test_an_error_of_a_source_is_displayed(notebook, section):
    notebook.run("comparison.pileup, comparison.mu = 'generated', 200")
    alert = section.get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text() == "RuntimeError: not trained at mu = 200"
    notebook.run("comparison.mu = 20")
    alert.wait_for(state="hidden")
    answered(notebook)
    assert "generated with generated pile-up" in section.locator(".calolab-legend").inner_text()
    section.get_by_label("real events").check(force=True)
    assert notebook.becomes("comparison.distributions['choice']['signal']", "real")


def test_the_range_of_the_event_slider_is_displayed(notebook, section):
    assert section.get_by_text("images of the first 32 of 120 events, histograms of all").is_visible()
    assert section.get_by_text("0 (0 to 31)").is_visible()


def test_with_a_bad_generator_the_real_events_still_fill_the_panels(notebook, section):
    other = notebook.page.locator("section.calolab[aria-label='Jet comparison']").last
    other.scroll_into_view_if_needed()
    assert "― Pythia 120 events" in other.locator(".calolab-legend").inner_text()
    assert [caption.split("\n")[0] for caption in other.locator("figcaption").all_inner_texts()[:2]] == [
        "Pythia",
        "GFlash",
    ]
    # Pixels beyond the scale have a colour of their own; those of the real events do not change.
    real, generated = (pixels(canvas).astype(int) for canvas in other.locator("canvas.calolab-event").all())
    beyond = [np.sum(np.all(np.abs(picture - (31, 214, 181)) < 4, axis=2)) for picture in (real, generated)]
    assert beyond[0] == 0 and beyond[1] > 500
    # The summed mass of the real events: the grey bins are not a narrow peak, and high enough to read.
    picture = pixels(other.locator("canvas.calolab-histogram").nth(1)).astype(int)
    filled = (np.ptp(picture, axis=2) == 0) & (picture[:, :, 0] > 190) & (picture[:, :, 0] < 245)
    upper = filled[: int(0.6 * len(picture))]
    assert upper.any(axis=0).mean() > 0.15 and upper.any(axis=1).mean() > 0.25
    notebook.check_quiet()


def test_no_text_is_cut_off(notebook, section):
    assert cut_off(notebook.page, section, "canvas") == []


def test_a_dark_theme_repaints_it(notebook, section):
    histogram = section.locator("canvas.calolab-histogram").first
    before = pixels(histogram)
    theme = "(name) => window.jupyterapp.commands.execute('apputils:change-theme', { theme: name })"
    notebook.page.evaluate(theme, "JupyterLab Dark")
    notebook.page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
    notebook.page.wait_for_timeout(500)
    assert (pixels(histogram) != before).any()
    notebook.page.evaluate(theme, "JupyterLab Light")
    notebook.page.wait_for_function("document.body.dataset.jpThemeLight === 'true'")


def test_a_picture_represents_it_on_pages_without_javascript(notebook):
    outputs = [output for cell in notebook.cells() for output in cell.outputs if "data" in output]
    assert len(outputs) == 2
    assert all({"image/png", "application/vnd.jupyter.widget-view+json"} <= set(output.data) for output in outputs)
