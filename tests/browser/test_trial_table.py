"""The table of SearchDashboard in Chromium, without JupyterLab, with more columns than there is room for."""

import numpy as np
import pytest

from calolab.search.searches import Search
from calolab.search.space import Choice, Integer, Real, to_dict
from calolab.search.store import TrialPlan, TrialStore
from calolab.search.trials import Trial
from calolab.widgets import SearchDashboard

SPACE = {
    "learning_rate": Real(1e-5, 1e-2, log=True),
    "beta_1": Real(0.0, 0.9),
    "n_filters": Choice(16, 32, 64),
    "latent_size": Integer(50, 400),
    "dropout": Real(0.0, 0.5),
    "generator_passes": Integer(1, 3),
    "ecal_weight": Real(0.01, 1.0, log=True),
    "optimizer": Choice("adam", "rmsprop"),
}
# Visible cells that are partly covered by the column of buttons.
CUT = """() => {
    const cut = [];
    for (const line of document.querySelectorAll(".calolab-trials tr[data-trial], .calolab-trials thead tr")) {
        const acts = line.querySelector(".calolab-acts").getBoundingClientRect();
        for (const cell of line.querySelectorAll("td:not(.calolab-acts), th:not(.calolab-acts)")) {
            const { left, right } = cell.getBoundingClientRect();
            if (left < acts.left - 1 && right > acts.left + 1) cut.push(cell.textContent);
        }
    }
    return cut;
}"""
# Readable text of cells that are partly covered by the first column or the buttons: 0.410 could be read as 410.
HALF = """() => [...document.querySelectorAll(".calolab-trials :is(thead tr, tr[data-trial])")].flatMap((line) => {
    const edges = [line.cells[0].getBoundingClientRect().right, [...line.cells].at(-1).getBoundingClientRect().left];
    return [...line.cells].slice(1).filter((cell) => {
        const { left, right } = cell.getBoundingClientRect();
        const { color } = getComputedStyle(cell.querySelector("button") ?? cell);
        return edges.some((edge) => left < edge - 1 && right > edge + 1) && color !== "rgba(0, 0, 0, 0)";
    }).map((cell) => cell.textContent);
})"""
# Buttons of rows whose text does not fit: cut off, or beyond the edge of their column.
SHORTENED = """() => [...document.querySelectorAll(".calolab-trials td.calolab-acts button")].filter((button) => {
    const column = button.parentElement.getBoundingClientRect();
    return button.scrollWidth > button.clientWidth || button.getBoundingClientRect().right > column.right;
}).map((button) => button.textContent)"""


@pytest.fixture
def page(show_alone, tmp_path):
    """A page with the dashboard of eleven trials with eight parameters."""
    random = np.random.default_rng(3)
    settings = {"space": to_dict(SPACE), "trials": 11, "metric": "ks_comb", "direction": "minimize", "stopped": False}
    store = TrialStore(tmp_path / "wide", settings)
    for number in range(11):
        values = [10.0 ** random.uniform(-5, -2), 0.5, 32, 200, random.uniform(0, 0.5), 2, 0.1, "adam"]
        times = {"attempts": 1, "started": 1.76e9, "ended": 1.76e9 + 4000 + number}
        store.put(Trial(number, "finished", dict(zip(SPACE, values, strict=True)), **times), TrialPlan(10))
        for epoch in range(10):
            score = 5 + 30 * np.exp(-epoch / 4) + random.uniform(0, 3)
            parts = {name: score * random.uniform(0.2, 0.4) for name in ("ks_jet_pt", "ks_multiplicity", "ks_mass")}
            store.logs[number].append({"attempt": 1, "epoch": epoch, **parts, "ks_comb": score})
        store.logs[number].read()
        store.take_in(number)
    store.close()
    dashboard = SearchDashboard(Search(store))
    shown = show_alone(dashboard, width=1200, height=1200)
    yield shown.page
    dashboard.close()
    shown.check_quiet()


def test_the_numbers_of_an_axis_have_one_notation(page):
    written = page.evaluate(
        """() => new Promise((done) => {
            const texts = [];
            const write = CanvasRenderingContext2D.prototype.fillText;
            CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
                texts.push(text);
                write.call(this, text, ...place);
            };
            window.model.set("log", false);
            setTimeout(() => done(texts), 300);
        })"""
    )
    assert {"10⁻²", "10⁻³", "10⁻⁴", "10⁻⁵"} <= set(written)


def test_no_cell_is_partly_covered_by_the_buttons_and_clicks_scroll_to_the_others(page):
    table, more = page.locator(".calolab-trials"), page.locator("th.calolab-acts button")
    table.locator("tr[data-trial]").first.wait_for()
    for width in (700, 1000, 1200):
        page.set_viewport_size({"width": width, "height": 1200})
        # Measured and drawn again in the next frames.
        page.evaluate("new Promise((done) => setTimeout(done, 100))")
        assert page.evaluate(CUT) == [], width
        assert page.evaluate(SHORTENED) == [], width
        last = table.get_by_role("columnheader").filter(has_text="attempts")
        box, acts = last.bounding_box(), table.locator("th.calolab-acts").bounding_box()
        assert box["x"] + 1 >= acts["x"] and more.is_visible(), width
        before, clicks = table.get_by_role("columnheader").count(), 0
        while more.is_visible() and clicks < before:
            clicks += 1
            hidden = more.inner_text()
            more.click()
            page.wait_for_function(
                "(text) => document.querySelector('th.calolab-acts button').textContent !== text", arg=hidden
            )
            assert page.evaluate(HALF) == [], width
        box = last.bounding_box()
        assert box["x"] + box["width"] <= acts["x"] + 1, width
        table.evaluate("(node) => (node.scrollLeft = 0)")
        more.wait_for()


def test_a_row_stays_at_the_pointer_when_the_dashboard_describes_it(page):
    for width in (700, 1000):
        page.set_viewport_size({"width": width, "height": 1200})
        page.mouse.move(5, 5)
        page.evaluate("new Promise((done) => setTimeout(done, 100))")  # drawn again in the next frames
        row = page.locator("tr[data-trial]").nth(4)
        before = row.bounding_box()
        row.locator("td").nth(1).hover()
        readout = page.locator(".calolab-readout")
        assert readout.inner_text().endswith("optimizer adam")
        assert row.bounding_box()["y"] == before["y"], width
        assert readout.evaluate("(node) => node.scrollHeight <= node.clientHeight"), width
