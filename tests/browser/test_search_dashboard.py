"""SearchDashboard with a search on two engines, in JupyterLab in Chromium: display, filters, control."""

import re

import numpy as np
import pytest

from tests.helpers import pixels, wait_for

ENGINES = """
import time

import calolab as cl
from calolab import cluster, models, spaces, widgets
from calolab.search import Choice, Real

engines = cluster.start(2, "local", name="dashboard", cores=1)
"""
TRAIN = """
def train(trial):
    "Learns nothing, but as slowly as trial 0 and as steerably as a real one."
    import time

    done = trial.folder / "done.txt"
    trial.folder.mkdir(parents=True, exist_ok=True)
    first = int(done.read_text()) if trial.resume and done.exists() else 0
    for epoch in range(first, trial.epochs):
        if trial.number == 3:
            raise ValueError("these networks do not fit together")
        time.sleep(1 if trial.number == 0 else 0.01)
        if trial.should_stop():
            return
        size = 20 + 1e5 * trial.parameters["lr"] + 40 / (1 + epoch)
        trial.report(epoch, ks_jet_pt=size / 2, ks_multiplicity=size / 4, ks_summed_mass=size / 4, ks_comb=size)
        done.write_text(str(epoch + 1))

space = {"lr": Real(1e-5, 1e-2, log=True), "n_filters": Choice(16, 32, 64)}
search = cl.search.start(engines, train, space, folder="scan", trials=6, epochs=100, method="random", seed=3)
while any(trial.status in ("queued", "running") for trial in search.trials[1:]) or len(search.trials) < 6:
    time.sleep(0.1)
"""
SHOWN = """
def slices(gan, trial):
    return widgets.SliceViewer(gan.generate({"energy": [20.0, 50.0]}, seed=1))

def profile(gan, trial):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 3))
    figure.subplots().plot(gan.generate({"energy": [50.0]}, seed=1).values.sum(axis=(0, 1, 2)))
    return figure

def failing(gan, trial):
    raise RuntimeError("no jets found")

views = {"Slice viewer": slices, "Profile": profile, "Jet plots": failing}
dashboard = widgets.SearchDashboard(search, views, interval=0.2)
dashboard
"""
CLUSTER = "status = widgets.ClusterStatus(engines, interval=1)\nstatus"


@pytest.fixture(scope="module")
def notebook(open_notebook):
    opened = open_notebook([ENGINES, TRAIN, SHOWN, CLUSTER], height=1400)
    opened.run_all(120)
    assert opened.failures() == []
    yield opened
    opened.run("search.stop(); cluster.stop(engines)")
    opened.check_quiet()


@pytest.fixture
def section(notebook):
    found = notebook.page.locator("section.calolab[aria-label='Search dashboard']").first
    found.wait_for()
    found.scroll_into_view_if_needed()
    yield found
    notebook.run("dashboard.selected, dashboard.log = [], True")
    clear = found.get_by_role("button", name="Clear filters")
    if clear.is_enabled():
        clear.click()
    notebook.check_quiet()


def numbers(section):
    """The trials in the order of the table."""
    # In one call: the table may be drawn again between two calls.
    return section.locator("tr[data-trial]").evaluate_all("(rows) => rows.map((row) => Number(row.dataset.trial))")


def row(section, number):
    return section.locator(f"tr[data-trial='{number}']")


def shows(section, number, status):
    """Wait until a trial has a status in the table."""
    row(section, number).locator(f"td:has-text('{status}')").wait_for()


def test_it_displays_all_trials_the_best_one_and_all_scores(notebook, section):
    best = notebook.read("min((t for t in search.trials if t.status == 'finished'), key=lambda t: t.value).number")
    shows(section, best, "finished")
    shows(section, 0, "running")
    shows(section, 3, "failed")
    assert sorted(numbers(section)) == list(range(6))
    value = notebook.read("search.best.value")
    headline = section.get_by_text(re.compile(r"^Best so far: trial \d+$")).locator("..").inner_text()
    assert f"ks_comb {value:.2f}" in headline and "lower is better" in headline
    table = section.get_by_role("table", name="ten best trials")
    heads = [text.replace("\u200b", "") for text in table.locator("th").all_inner_texts()]
    scores = ["ks_jet_pt", "ks_multiplicity", "ks_summed_mass", "ks_comb"]
    assert heads == ["rank", "trial", "lr", "n_filters", "epoch", *scores]
    assert table.locator("tbody tr").count() == 5
    for name in ("calolab-curves", "calolab-parallel"):
        picture = pixels(section.locator(f"canvas.{name}"))
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


def test_it_sorts_and_filters(notebook, section):
    rates = notebook.read("[trial.parameters['lr'] for trial in search.trials]")
    by_rate = sorted(range(6), key=lambda number: rates[number])
    heading = section.get_by_role("button", name=re.compile("^lr"))
    heading.click()
    section.locator("th[aria-sort=ascending]:has-text('lr')").wait_for()
    notebook.page.wait_for_timeout(200)
    assert numbers(section) == by_rate
    heading.click()
    section.locator("th[aria-sort=descending]:has-text('lr')").wait_for()
    notebook.page.wait_for_timeout(200)
    assert numbers(section) == by_rate[::-1]
    field = section.get_by_role("searchbox")
    field.fill(f"lr<={rates[by_rate[2]]}")
    section.get_by_text("3 of 6 trials shown", exact=True).wait_for()
    assert set(numbers(section)) == set(by_rate[:3])
    # Letters in the field are not keys of the widget; Escape displays all trials again.
    field.fill("")
    field.type("l")
    assert notebook.read("dashboard.log")
    field.press("Escape")
    section.get_by_role("button", name=re.compile("^failed 1$")).click()
    section.get_by_text("1 of 6 trials shown", exact=True).wait_for()
    notebook.page.wait_for_timeout(200)
    assert numbers(section) == [3]


def test_brushing_an_axis_filters_table_and_curves(notebook, section):
    rates = notebook.read("[trial.parameters['lr'] for trial in search.trials]")
    parallel, curves = (section.locator(f"canvas.calolab-{name}") for name in ("parallel", "curves"))
    before = pixels(curves)
    place = parallel.bounding_box()
    # The first axis is lr, from 10⁻⁵ at its lower end to 10⁻² at its upper end: the lower half of the decades.
    foot, top = place["height"] - 14, 28
    middle = (foot + top) / 2
    notebook.page.mouse.move(place["x"] + 52, place["y"] + foot)
    notebook.page.mouse.down()
    notebook.page.mouse.move(place["x"] + 52, place["y"] + middle, steps=5)
    notebook.page.mouse.up()
    low = {number for number, rate in enumerate(rates) if rate < 10**-3.5}
    section.get_by_text(f"{len(low)} of 6 trials shown", exact=True).wait_for()
    notebook.page.wait_for_timeout(200)
    assert 0 < len(low) < 6 and set(numbers(section)) == low
    assert (pixels(curves) != before).any()
    parallel.click(position={"x": 52, "y": 60})
    notebook.page.wait_for_timeout(300)
    assert len(numbers(section)) == 6


def test_curves_display_their_trial_and_select_it(notebook, section):
    curves = section.locator("canvas.calolab-curves")
    place = curves.bounding_box()
    readout = section.locator("output.calolab-readout")
    for height in range(20, 240, 12):
        curves.hover(position={"x": place["width"] * 0.7, "y": height})
        if readout.inner_text():
            break
    found = int(re.match(r"trial (\d) · epoch \d+: ks_comb ", readout.inner_text())[1])
    curves.click(position={"x": place["width"] * 0.7, "y": height})
    assert notebook.becomes("dashboard.selected", [found])
    assert row(section, found).get_attribute("aria-selected") == "true"
    # The same with the keyboard: the current row of the table.
    table = section.locator(".calolab-trials")
    table.focus()
    notebook.page.keyboard.press("Enter")
    assert notebook.becomes("dashboard.selected", [])


def test_the_buttons_of_a_trial_depend_on_its_status(section):
    labels = {
        number: [button.inner_text() for button in row(section, number).get_by_role("button").all()]
        for number in (0, 1, 3)
    }
    assert labels == {0: ["Stop"], 1: ["Restart", "Promote"], 3: ["Restart"]}


def test_promote_continues_a_trial(notebook, section):
    row(section, 1).get_by_role("button", name="Promote").click()
    field = section.get_by_role("spinbutton")
    assert field.input_value() == "200"
    field.fill("105")
    field.press("Enter")
    section.get_by_text("Promote trial 1 to 105 epochs: trial 1 is").wait_for()
    assert notebook.becomes("[len(search.trial(1).epochs), search.trial(1).status]", [105, "finished"])
    # It continued from its last epoch.
    assert [*range(105)] == notebook.read("[epoch['epoch'] for epoch in search.trial(1).epochs]")
    row(section, 1).locator("td:has-text('105')").first.wait_for()


def test_restart_runs_a_trial_again(notebook, section):
    row(section, 3).get_by_role("button", name="Restart").click()
    section.get_by_text("Restart trial 3: trial 3 is").wait_for()
    assert notebook.becomes("[search.trial(3).attempts, search.trial(3).status]", [2, "failed"])
    shows(section, 3, "failed")
    row(section, 3).locator("td").first.click()
    section.locator(".calolab-chosen pre:has-text('these networks do not fit together')").wait_for()


def test_stop_is_clicked_while_the_kernel_is_busy(notebook, section):
    shows(section, 0, "running")
    before = notebook.read("engines.ids")
    notebook.start("free = time.time() + 8; time.sleep(8)")
    wait_for(notebook.is_busy)
    row(section, 0).get_by_role("button", name="Stop").click()
    section.locator(".calolab-actions li:has-text('Stop trial 0')").wait_for()
    shows(section, 0, "stopped")
    assert notebook.read("search.trial(0).ended < free")
    section.get_by_text("Stop trial 0: trial 0 is stop").wait_for()
    assert notebook.read("[search.trial(0).status, list(engines.ids)]") == ["stopped", before]


def test_clicks_do_not_affect_the_figures_of_a_running_cell(notebook, section):
    notebook.start(
        "import matplotlib.pyplot as plt; drawn = plt.figure(); time.sleep(4); kept = plt.fignum_exists(drawn.number)"
    )
    wait_for(notebook.is_busy)
    for _ in range(4):
        section.get_by_label("linear", exact=True).check(force=True)
        section.get_by_label("log", exact=True).check(force=True)
        notebook.page.wait_for_timeout(500)
    assert notebook.read("kept")


def test_a_kernel_that_does_not_answer_is_displayed_and_the_page_can_be_used(notebook, section):
    row(section, 0).get_by_role("button", name="Restart").click()
    shows(section, 0, "running")
    # A call of C code that keeps Python's lock blocks all threads of the kernel.
    notebook.start("import ctypes; ctypes.PyDLL(None).sleep(12)")
    section.locator(".calolab-kernel[data-state=busy], .calolab-kernel[data-state=silent]").wait_for(timeout=15_000)
    assert re.search(r"since \d\d:\d\d:\d\d", section.locator(".calolab-kernel").inner_text())
    section.get_by_role("button", name=re.compile("^failed 1$")).click()
    section.get_by_text("1 of 6 trials shown", exact=True).wait_for()
    notebook.wait_until_idle(90)
    section.locator(".calolab-kernel[data-state=live]").wait_for()


def test_one_click_displays_the_best_model(notebook, section):
    # The training function makes no networks: save some where those of the best epoch would be.
    notebook.run(
        "from calolab.search.trials import trial_folder\n"
        "models.build('3dgan', spaces.space('clic-ecal')).save(trial_folder(search.folder, search.best.number) / "
        "'best.gan')"
    )
    best = notebook.read("search.best.number")
    section.get_by_role("button", name="Slice viewer").first.click()
    viewer = section.locator(".calolab-view section[aria-label='Slice viewer']")
    viewer.wait_for(timeout=60_000)
    assert section.locator(".calolab-view b").first.inner_text().startswith(f"Slice viewer: trial {best}, epoch")
    assert len(np.unique(pixels(viewer.locator("canvas").first).reshape(-1, 3), axis=0)) > 5
    section.get_by_role("button", name="Profile").first.click()
    picture = section.get_by_role("img", name=f"Profile: trial {best}, epoch")
    picture.wait_for(timeout=60_000)
    notebook.page.wait_for_function("(node) => node.naturalWidth > 300", arg=picture.element_handle())
    assert not viewer.is_visible()
    section.get_by_role("button", name="Slice viewer").first.click()
    viewer.wait_for(timeout=60_000)
    section.get_by_role("button", name="Jet plots").first.click()
    section.get_by_text("RuntimeError: no jets found").wait_for()
    section.get_by_role("button", name="Close").click()
    viewer.wait_for(state="detached")


def test_the_search_is_stopped_by_two_clicks(notebook, section):
    section.get_by_role("button", name="Stop search").click()
    section.get_by_role("button", name="Really stop all trials?").click()
    assert notebook.becomes("search.status", "stopped")
    section.locator("b.calolab-status:has-text('stopped')").wait_for()
    assert section.get_by_role("button", name="Stop search").is_disabled()


def test_a_reattached_search_displays_its_history_and_cannot_be_controlled(notebook, section):
    notebook.run("past = widgets.SearchDashboard(cl.search.reattach('scan'))\nfrom IPython.display import display")
    notebook.page.evaluate("window.jupyterapp.commands.execute('notebook:move-cursor-down')")
    before = {number: row(section, number).inner_text() for number in range(6)}
    notebook.run("dashboard.close()")
    notebook.page.evaluate(
        """() => {
            const model = window.jupyterapp.shell.currentWidget.content.model.sharedModel;
            model.insertCell(2, { cell_type: 'code', source: 'past' });
        }"""
    )
    notebook.page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex = 2")
    notebook.page.evaluate("window.jupyterapp.commands.execute('notebook:run-cell')")
    found = notebook.page.locator("section.calolab[aria-label='Search dashboard']").first
    found.locator(".calolab-message:has-text('Read only')").wait_for()
    assert sorted(numbers(found)) == list(range(6))
    assert {number: row(found, number).inner_text() for number in range(6)} == before
    assert all(button.is_disabled() for button in found.locator("tr[data-trial] button").all())


def test_cluster_status_displays_the_engines_and_stops_them(notebook):
    found = notebook.page.locator("section.calolab[aria-label='Cluster status']")
    found.scroll_into_view_if_needed()
    found.get_by_text("cluster dashboard: 2 of 2 engines, local").wait_for()
    assert found.locator("tbody tr").count() == 2
    found.get_by_role("button", name="Stop").click()
    found.get_by_role("button", name="Really stop?").click()
    # An update may have begun before the controller ended, and waits for its answer first.
    found.locator("b.calolab-status:has-text('not running')").wait_for(timeout=90_000)
    assert notebook.read("cluster.status('dashboard').state") == "not running"
    notebook.check_quiet()
