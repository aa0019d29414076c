"""Every widget in JupyterLab in Chromium: the keys pressed anywhere in it stay in it."""

import pytest

DATA = """
from types import SimpleNamespace

import numpy as np

from calolab import spaces, widgets
from calolab.distributed import search_space
from calolab.distributed.search import Search
from calolab.distributed.trial_store import Plan, TrialStore
from calolab.distributed.trials import Trial
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

detector = spaces.space("whole-detector")

def events(n, mass=1400.0):
    values = 40 * random.exponential(4.0, (n, *detector.shape)) * (random.random((n, *detector.shape)) < 0.01)
    labels = {"gluino_mass": np.repeat([mass, mass + 400], n // 2), "neutralino_mass": np.full(n, 850.0)}
    return Sample(values.astype(np.float32), labels, detector)

def crossings(n, mu, seed):
    values = random.exponential(4.0, (n, *detector.shape)) * (random.random((n, *detector.shape)) < 0.02)
    return Sample(values.astype(np.float32), {"mu": np.full(n, mu)}, detector)

def history(name, *trials, asked=6):
    "A search as its store keeps it, without engines; each trial is a status and the values of its epochs."
    settings = {"space": search_space.to_dict({"lr": search_space.Real(1e-5, 1e-2, log=True)}), "trials": asked}
    store = TrialStore(name, {**settings, "metric": "ks_comb", "direction": "minimize", "stopped": False})
    for number, (status, *values) in enumerate(trials):
        times = {} if status == "queued" else {"started": 1.76e9, "ended": 1.76e9 + 60}
        error = "ValueError: these networks do not fit together" if status == "failed" else ""
        parameters = {"lr": 10.0 ** -(number % 3 + 2)}
        store.put(Trial(number, status, parameters, attempts=1, error=error, **times), Plan(10))
        for epoch, value in enumerate(values):
            store.logs[number].append({"attempt": 1, "epoch": epoch, "ks_comb": value})
        store.logs[number].read()
        store.take_in(number)
    store.close()
    return Search(store)

def run(steps):
    "A training that stands still."
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
    "Search dashboard": "widgets.SearchDashboard(history('scan', ('finished', 3.0, 2.0), ('failed',),"
    " ('finished', 4.0)))",
    "Cluster status": "widgets.ClusterStatus('nobody')",
}
# JupyterLab's own keys that change a notebook in command mode, whether or not a widget uses them.
OWN = [
    "a",
    "b",
    "c",
    "v",
    "x",
    "d",
    "d",
    "z",
    "m",
    "r",
    "y",
    "1",
    "Enter",
    "Shift+Enter",
    "Alt+Enter",
    "Shift+M",
    "Shift+L",
]
# Places that belong to the widget itself: one point for each kind of element where it can be seen, but for buttons.
REGIONS = """(section) => {
    const { left, top } = section.getBoundingClientRect();
    const found = { margin: [left + 1, top + 1] };
    for (const node of section.querySelectorAll("*")) {
        const around = node.closest("figcaption, table, label")?.tagName;
        const name = [around, node.tagName, node.classList[0]].filter(Boolean).join(" ");
        if (name in found || node.closest("button:enabled, select, summary")) continue;
        const { left, top, width, height } = node.getBoundingClientRect();
        for (let k = 0; k < 64 && !(name in found); k += 1) {
            const at = [left + ((k % 8 + 0.5) / 8) * width, top + (((k >> 3) + 0.5) / 8) * height];
            if (document.elementFromPoint(...at) === node) found[name] = at;
        }
    }
    return found;
}"""
STATE = """() => {
    const { content } = window.jupyterapp.shell.currentWidget;
    const kinds = (outputs) => outputs.map(({ data }) => Object.keys(data ?? {}));
    const cells = content.model.toJSON().cells.map(({ outputs, ...cell }) => [cell, kinds(outputs)]);
    return JSON.stringify([cells, content.mode, content.widgets.map((cell) => content.isSelected(cell))]);
}"""


@pytest.fixture(scope="module")
def notebook(open_notebook):
    opened = open_notebook([DATA, *SHOWN.values()], height=1900)
    opened.run_all()
    assert opened.failures() == []
    yield opened
    opened.check_quiet()


def widget(notebook, name):
    section = notebook.page.locator(f"section.calolab[aria-label='{name}']")
    section.wait_for()
    section.evaluate("(node) => node.scrollIntoView({ block: 'start' })")
    return section


def advertised(section):
    """The keys that a widget and its parts say they obey."""
    texts = section.evaluate(
        "(node) => [node, ...node.querySelectorAll('*')].map((one) => one.getAttribute('aria-keyshortcuts') ?? '')"
    )
    return [key.replace("Space", " ") for text in texts for key in text.split()]


@pytest.mark.parametrize("name", SHOWN)
def test_no_key_that_is_pressed_in_a_widget_reaches_the_notebook(notebook, name):
    section, page = widget(notebook, name), notebook.page
    # The last one may move the focus into a field of text.
    keys = sorted({*advertised(section)} - {"Escape"}, key="/".__eq__)
    before = page.evaluate(STATE)
    places = [*section.evaluate(REGIONS)]
    assert {"margin", "DIV calolab-note"} < set(places)
    clicked = 0
    for place in places:
        # Some keys scroll the page, and some change what the widget shows.
        at = widget(notebook, name).evaluate(REGIONS).get(place)
        if at is None:
            continue
        clicked += 1
        page.mouse.click(*at)
        for key in [*(OWN if place == "margin" else []), *keys]:
            page.keyboard.press(key)
        assert section.evaluate("(node) => node.contains(document.activeElement)"), place
        if page.evaluate(STATE) != before:
            pytest.fail(f"a key pressed on {place} changed the notebook: {page.evaluate(STATE)[:2000]}")
        if "/" in keys:
            page.keyboard.press("Escape")
    assert clicked > len(places) - 4
    # Where there is nothing else for it to do, Escape hands the keys back to the notebook.
    section.evaluate("(node) => node.focus()")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.classList.contains('jp-Cell')")
