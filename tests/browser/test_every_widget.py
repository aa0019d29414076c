"""Every widget in JupyterLab in Chromium: it handles the keys pressed in it, and displays little or no data."""

import re

import pytest

from tests.helpers import wait_for

DATA = """
from types import SimpleNamespace

import numpy as np

from calolab import spaces, widgets
from calolab.search import space
from calolab.search.searches import Search
from calolab.search.store import TrialPlan, TrialStore
from calolab.search.trials import Trial
from calolab.samples import Sample
from calolab.training.history import Progress

random = np.random.default_rng(1)
small = spaces.space("clic-ecal")

def showers(energies):
    values = random.exponential(0.01, (len(energies), *small.shape)) * (random.random(small.shape) < 0.1)
    return Sample(values.astype(np.float32), {"energy": np.asarray(energies)}, small)

def traverse(labels, seed, latents):
    energies = np.tile(labels["energy"], latents)
    made = showers(energies)
    latent = np.repeat(np.arange(latents), len(labels["energy"]))
    return Sample(made.values, {"energy": energies, "latent": latent}, small)

def empty(n):
    return Sample(np.zeros((n, *small.shape), np.float32), {"energy": np.full(n, 10.0)}, small)

detector = spaces.space("whole-detector")

def events(n, mass=1400.0):
    values = 40 * random.exponential(4.0, (n, *detector.shape)) * (random.random((n, *detector.shape)) < 0.01)
    labels = {"gluino_mass": np.resize([mass, mass + 400], n), "neutralino_mass": np.full(n, 850.0)}
    return Sample(values.astype(np.float32), labels, detector)

def crossings(n, mu, seed):
    values = random.exponential(4.0, (n, *detector.shape)) * (random.random((n, *detector.shape)) < 0.02)
    return Sample(values.astype(np.float32), {"mu": np.full(n, mu)}, detector)

def history(name, *trials, requested=6):
    "A stored search without engines; each trial is a status and the values of its epochs."
    settings = {"space": space.to_dict({"lr": space.Real(1e-5, 1e-2, log=True)}), "trials": requested}
    store = TrialStore(name, {**settings, "metric": "ks_comb", "direction": "minimize", "stopped": False})
    for number, (status, *values) in enumerate(trials):
        times = {} if status == "queued" else {"started": 1.76e9, "ended": 1.76e9 + 60}
        error = "ValueError: these networks do not fit together" if status == "failed" else ""
        parameters = {"lr": 10.0 ** -(number % 3 + 2)}
        store.put(Trial(number, status, parameters, attempts=1, error=error, **times), TrialPlan(10))
        for epoch, value in enumerate(values):
            store.logs[number].append({"attempt": 1, "epoch": epoch, "ks_comb": value})
        store.logs[number].read()
        store.take_in(number)
    store.close()
    return Search(store)

def run(steps):
    "A training without progress."
    losses = [{"epoch": 0, "step": k, "discriminator": 9.0 / (k + 1), "generator": 5.0} for k in range(steps)]
    progress = [Progress(0, 0, 2, steps - 1, 10, losses[-1], 50.0, 2.0 * steps)] if steps else []
    return SimpleNamespace(status="running", losses=losses, progress=progress, stop=lambda: None)
"""
SHOWN = {
    "Slice viewer": "widgets.SliceViewer(showers([10.0, 50.0, 90.0]), showers([10.0, 50.0, 90.0]))",
    "Profile explorer": "widgets.ProfileExplorer(showers([10.0, 50.0, 90.0]), showers([10.0, 50.0, 90.0]))",
    "Energy interpolation": "widgets.EnergyInterpolation(traverse, points=3, latents=2)",
    "Training monitor": "widgets.TrainingMonitor(run(5), interval=1)",
    "Jet comparison": "widgets.JetComparison({'RPV': events(4)}, {'RPV': events(4)}, pileup=crossings, mus=[0, 20])",
    "Search dashboard": "widgets.SearchDashboard(history('usual', ('finished', 3.0, 2.0), ('failed',),"
    " ('finished', 4.0)))",
    "Cluster status": "widgets.ClusterStatus('nobody')",
}
# Widgets without data, with a single item or with failures only, and texts that they display.
SPARSE = {
    "search without a trial": ("history('s0')", ["0 of 6 trials ended", "No trial has begun yet.", "no trial yet"]),
    "search with a queued trial": ("history('s1', ('queued',))", ["No trial has a result yet.", "0 of 6 trials ended"]),
    "search with a result": (
        "history('s2', ('finished', 3.0))",
        ["Best so far: trial 0", "1 of 6 trials ended", "epoch"],
    ),
    "search with failures": (
        "history('s3', ('failed',), ('failed',))",
        ["No trial has a result: 2 failed.", "no trial has completed an epoch", "2 of 6 trials ended"],
    ),
    "search with equal results": ("history('s4', ('finished', 2.0), ('finished', 2.0))", ["Best so far: trial 0"]),
    "search with nulls": ("history('s5', ('finished', 0.0))", ["no value of ks_comb above 0: select the linear scale"]),
    "training without a step": ("run(0)", ["no step completed yet", "preparing"]),
    "training with a step": ("run(1)", ["epoch 1 of 2, step 1 of 10", "training step"]),
    "cluster that does not run": ("'nobody'", ["cluster nobody", "not running", "No engines are running"]),
    "one shower": ("showers([10.0])", ["0 (0 to 0)", "E 10.0 GeV"]),
    "a shower without energy": ("empty(1), empty(1)", ["visible 0 GeV"]),
    "profiles of one shower": ("showers([10.0]), showers([10.0])", ["1 shower", "10.0 to 10.0 GeV"]),
    "one latent vector": ("traverse, points=2, latents=1", ["2 showers of one latent vector"]),
    "one event with jets": ("events(1), events(1)", ["0 (0 to 0)", "jet"]),
}
KINDS = {
    "search": "SearchDashboard",
    "training": "TrainingMonitor",
    "cluster": "ClusterStatus",
    "profiles": "ProfileExplorer",
    "one latent": "EnergyInterpolation",
    "one event": "JetComparison",
}
# Keys of JupyterLab that change a notebook in command mode.
OWN = [*"abcvxddzmry1", "Enter", "Shift+Enter", "Alt+Enter", "Shift+M", "Shift+L"]
OWN += ["Control+z", "Control+Shift+Z", "Control+a", "Control+Shift+M", "Control+Enter"]
# Keys that a control may handle differently from the widget around it.
ON_CONTROLS = ["a", "Enter", "Shift+Enter", "Space", "ArrowUp", "ArrowDown", "Control+a", "Control+Shift+M"]
# The kinds of enabled controls, without buttons, which would act.
CONTROLS = """(section) => {
    const all = [...section.querySelectorAll("input:enabled, select, summary, [tabindex]")];
    return [...new Set(all.filter((node) => node.checkVisibility()).map((node) => node.type ?? node.tagName))];
}"""
FOCUS = """(section, kind) => {
    const all = [...section.querySelectorAll("input:enabled, select, summary, [tabindex]")];
    all.find((node) => node.checkVisibility() && (node.type ?? node.tagName) === kind)?.focus();
}"""
INSIDE = "(section) => section.contains(document.activeElement)"
# Points of the widget: one on each kind of visible element except buttons, or on one kind only.
REGIONS = """(section, only) => {
    const { left, top } = section.getBoundingClientRect();
    const found = { margin: [left + 1, top + 1] };
    for (const node of section.querySelectorAll("*")) {
        const around = node.closest("figcaption, table, label")?.tagName;
        const name = [around, node.tagName, node.classList[0]].filter(Boolean).join(" ");
        if (name in found || (only && name !== only)) continue;
        if (node.closest("button:enabled, select, summary")) continue;
        const { left, top, width, height } = node.getBoundingClientRect();
        for (let k = 0; k < 64 && !(name in found); k += 1) {
            const at = [left + ((k % 8 + 0.5) / 8) * width, top + (((k >> 3) + 0.5) / 8) * height];
            if (document.elementFromPoint(...at) === node) found[name] = at;
        }
    }
    return found;
}"""
# JupyterLab scrolls a little later to the cell that has the focus.
SCROLL = """async (section) => {
    const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    for (let top = null; top !== section.getBoundingClientRect().top; await frame()) {
        section.scrollIntoView({ block: "start" });
        top = section.getBoundingClientRect().top;
    }
}"""
STATE = """() => {
    const { content } = window.jupyterapp.shell.currentWidget;
    const kinds = (outputs) => outputs.map(({ data }) => Object.keys(data ?? {}));
    const cells = content.model.toJSON().cells.map(({ outputs, ...cell }) => [cell, kinds(outputs)]);
    return JSON.stringify([cells, content.mode, content.widgets.map((cell) => content.isSelected(cell))]);
}"""


# Stores the texts drawn on each canvas.
PAINTED = """() => {
    window.outside = []; // texts outside their canvas
    const pen = CanvasRenderingContext2D.prototype;
    const { fillText, drawImage } = pen;
    pen.fillText = function (text, ...rest) {
        (this.canvas.words ??= new Set()).add(String(text));
        const [x, y] = rest;
        const at = this.getTransform().transformPoint({ x, y });
        const inside = at.x >= 0 && at.y >= 0 && at.x <= this.canvas.width && at.y <= this.canvas.height;
        // The number of a jet at the edge may be outside.
        if (!inside && /[a-z]/i.test(text)) window.outside.push(text);
        return fillText.call(this, text, ...rest);
    };
    pen.drawImage = function (image, ...rest) {
        this.canvas.words = new Set([...(this.canvas.words ?? []), ...(image.words ?? [])]);
        return drawImage.call(this, image, ...rest);
    };
}"""
WORDS = """(section) => [
    section.innerText,
    ...[...section.querySelectorAll("canvas")].flatMap((canvas) => [...(canvas.words ?? [])]),
    ...[...section.querySelectorAll("[aria-valuetext]")].map((one) => one.getAttribute("aria-valuetext")),
].join("\\n")"""


def code(state):
    """The call that makes a widget in a sparse state."""
    kind = next((made for start, made in KINDS.items() if state.startswith(start)), "SliceViewer")
    return f"widgets.{kind}({SPARSE[state][0]})"


@pytest.fixture(scope="module")
def notebook(open_notebook):
    opened = open_notebook([DATA, *SHOWN.values(), *map(code, SPARSE)], height=1900)
    opened.page.evaluate(PAINTED)
    opened.run_all(120)
    assert opened.failures() == []
    yield opened
    opened.check_quiet()


def widget(notebook, name):
    cell = 1 + [*SHOWN, *SPARSE].index(name)
    section = notebook.page.locator(".jp-Notebook-cell").nth(cell).locator("section.calolab")
    section.wait_for()
    section.evaluate(SCROLL)
    return section


def advertised(section):
    """The keys that a widget and its parts declare."""
    texts = section.evaluate(
        "(node) => [node, ...node.querySelectorAll('*')].map((one) => one.getAttribute('aria-keyshortcuts') ?? '')"
    )
    return [key.replace("Space", " ") for text in texts for key in text.split()]


# These two are first because pressing all keys changes what the widgets display.
def test_after_a_click_on_a_choice_arrows_are_the_widgets(notebook):
    section, page = widget(notebook, "Slice viewer"), notebook.page
    log, linear = (section.get_by_label(name, exact=True) for name in ("log", "linear"))
    position = section.get_by_label("slice (keys")
    linear.click()
    before = int(position.input_value())
    page.keyboard.press("ArrowRight" if before < 24 else "ArrowLeft")
    wait_for(lambda: abs(int(position.input_value()) - before) == 1, 10)  # it is drawn in the next frame
    assert linear.is_checked() and not log.is_checked()
    # With the keyboard only: Tab moves from one choice to the next, Space and Enter select.
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    assert log.is_checked() and not linear.is_checked()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert linear.is_checked() and not log.is_checked()


def test_after_a_click_on_a_check_box_keys_are_the_widgets(notebook):
    section, page = widget(notebook, "Training monitor"), notebook.page
    box, log = section.get_by_label("generator", exact=True), section.get_by_label("log", exact=True)
    before = log.is_checked()
    box.click()
    assert not box.is_checked()
    page.keyboard.press("l")
    wait_for(lambda: log.is_checked() != before, 10)
    section.get_by_label("generator", exact=True).focus()
    page.keyboard.press("Enter")
    assert section.get_by_label("generator", exact=True).is_checked()


@pytest.mark.parametrize("name", SHOWN)
def test_no_key_pressed_in_a_widget_reaches_the_notebook(notebook, name):
    section, page = widget(notebook, name), notebook.page
    # The last one may move the focus to a text field.
    keys = sorted({*advertised(section)} - {"Escape"}, key=lambda key: (key == "/", key))
    before = page.evaluate(STATE)

    def press(where, *pressed):
        for key in pressed:
            page.keyboard.press(key)
        assert section.evaluate(INSIDE), where
        if page.evaluate(STATE) != before:
            pytest.fail(f"a key pressed on {where} changed the notebook: {page.evaluate(STATE)[:2000]}")

    # After a click anywhere, it handles the keys.
    places, clicked = [*section.evaluate(REGIONS)], 0
    assert {"margin", "DIV calolab-note"} < set(places)
    for place in places:
        # A click may scroll the page and change what the widget displays.
        at = widget(notebook, name).evaluate(REGIONS, place).get(place)
        if at is not None:
            clicked += 1
            page.mouse.click(*at)
            press(place, "a")
    assert clicked > len(places) - 4
    # The effect of a key depends on the control that has the focus.
    section.evaluate("(node) => node.focus()")
    press("the widget", *OWN, *keys)
    for kind in section.evaluate(CONTROLS):
        section.evaluate(FOCUS, kind)
        press(kind, *ON_CONTROLS)
    # If Escape has no other effect, such as clearing filters, it returns the focus to the notebook.
    section.evaluate("(node) => node.focus()")
    page.keyboard.press("Escape")
    if section.evaluate(INSIDE):
        page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.classList.contains('jp-Cell')")


def test_arrow_keys_on_a_choice_do_not_change_those_of_other_widgets(notebook):
    section, page = widget(notebook, "Training monitor"), notebook.page
    checked = "[...document.querySelectorAll('.jp-Notebook input[type=radio]')].map((node) => node.checked)"
    before = page.evaluate(checked)
    section.get_by_label("log", exact=True).focus()
    for key in ("ArrowUp", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowRight"):
        page.keyboard.press(key)
    assert section.evaluate(INSIDE)
    assert page.evaluate(checked) == before


def test_ctrl_s_saves_the_notebook_from_within_a_widget(notebook):
    section, page = widget(notebook, "Slice viewer"), notebook.page
    page.evaluate("window.jupyterapp.shell.currentWidget.content.model.setMetadata('touched', true)")
    assert page.evaluate("window.jupyterapp.shell.currentWidget.content.model.dirty")
    section.locator(".calolab-note").click()
    page.keyboard.press("Control+s")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.content.model.dirty")


def test_the_widget_takes_the_focus_of_a_control_that_is_disabled(notebook):
    section, page = widget(notebook, "Search dashboard"), notebook.page
    section.get_by_role("searchbox").fill("finished")
    clear = section.get_by_role("button", name="Clear filters")
    clear.focus()
    page.keyboard.press("Enter")  # there is nothing more to clear: it is disabled
    page.wait_for_function("document.activeElement.matches('section.calolab')")
    page.keyboard.press("/")
    assert section.get_by_role("searchbox").evaluate("(node) => node === document.activeElement")


@pytest.mark.parametrize("state", SPARSE)
def test_little_or_no_data_is_described_in_words(notebook, state):
    words = widget(notebook, state).evaluate(WORDS)
    for expected in SPARSE[state][1]:
        assert expected in words
    assert notebook.page.evaluate("window.outside") == []
    assert re.search(r"NaN|Infinity|undefined|null\b|\[object", words) is None
    notebook.check_quiet()


def test_the_search_dashboard_counts_the_requested_trials(notebook):
    section = widget(notebook, "Search dashboard")
    assert "3 of 6 trials ended" in section.inner_text()
