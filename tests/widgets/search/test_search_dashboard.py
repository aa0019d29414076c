import asyncio
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from calolab.search.space import Choice, Real
from calolab.search.table import make_table
from calolab.search.trials import Trial
from calolab.widgets import SearchDashboard, SliceViewer
from tests.helpers import wait_for


class Search:
    """Trials with the interface of a `Search`; it records the calls."""

    metric, direction, folder, note = "ks_comb", "minimize", Path("scan"), ""
    space = {"lr": Real(1e-5, 1e-2, log=True), "optimizer": Choice("adam", "nadam")}

    def __init__(self, trials=3, epochs=2, engines=()):
        self.status, self.version, self.engines, self.calls, self.asked = "running", 1, engines, [], 6
        parameters = {"lr": 1e-3, "optimizer": "adam"}
        self.trials = tuple(Trial(k, "running", parameters, attempts=1) for k in range(trials))
        for _ in range(epochs):
            self.step()

    def step(self, *numbers):
        for one in numbers or range(len(self.trials)):
            trial = self.trials[one]
            epoch = {"epoch": len(trial.epochs), "ks_comb": 90.0 - one - len(trial.epochs)}
            self.put(trial.with_epochs((*trial.epochs, epoch), self.metric, self.direction))

    def put(self, trial):
        self.trials = tuple(trial if old.number == trial.number else old for old in self.trials)
        self.version += 1

    def trial(self, number):
        return self.trials[number]

    def called(self, *call):
        self.calls.append((*call, threading.current_thread() is threading.main_thread()))

    def stop(self, number=None):
        self.called("stop", number)
        for trial in self.trials if number is None else (self.trials[number],):
            self.put(replace(trial, status="stopped"))

    def restart(self, number):
        self.called("restart", number)

    def promote(self, number, epochs):
        self.called("promote", number, epochs)
        raise ValueError(f"Trial {number} has had {epochs} epochs.")

    def gan(self, number):
        return f"gan {number}"

    def table(self, top=10):
        return make_table(self.trials, self.metric, self.direction, top)


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == "SearchDashboard"]


@pytest.fixture
def make_dashboard():
    """A function that makes a dashboard and closes it after the test."""
    made = []

    def make(search, views=None, interval=0.01):
        made.append(SearchDashboard(search, views, interval=interval))
        return made[-1]

    yield make
    for dashboard in made:
        dashboard.close()
    wait_for(lambda: not watchers())


def ask(dashboard, **content):
    """Click, and wait for the result."""
    known = len(dashboard.actions)
    dashboard._handle_custom_msg({"id": f"click {known}", **content}, [])
    wait_for(lambda: len(dashboard.actions) > known)
    return dashboard.actions[-1]


def test_it_opens_with_the_whole_history(make_dashboard):
    dashboard = make_dashboard(Search(trials=40, epochs=5))
    state = dashboard.get_state("trials")["trials"]
    assert [row["number"] for row in state["rows"]] == list(range(40))
    assert {row["count"] for row in state["rows"]} == {5} and len(state["curves"]) == 40 * 5 * 2 * 4
    assert (dashboard.objective, dashboard.metric, dashboard.title) == ("ks_comb", "ks_comb", "scan")
    assert dashboard.requested == 6
    assert [one["name"] for one in dashboard.space] == ["lr", "optimizer"]


def test_the_thread_sends_only_what_has_changed(make_dashboard):
    search = Search(trials=1000, epochs=3)
    dashboard = make_dashboard(search, interval=2)
    serial = dashboard.get_state("trials")["trials"]["serial"]
    dashboard.refresh()
    assert dashboard.changed == {}
    search.step(7)
    dashboard.refresh()
    assert dashboard.changed["serial"] == serial + 1
    assert [row["number"] for row in dashboard.changed["rows"]] == [7]
    sent = {key: value for key, value in dashboard.changed.items() if key != "curves"}
    assert len(json.dumps(sent)) < 1000 and len(dashboard.changed["curves"]) == 8
    # A page that is opened later gets all trials and the serial number of the latest change.
    state = dashboard.get_state("trials")["trials"]
    assert state["serial"] == serial + 1 and state["rows"][7]["count"] == 4


def test_the_thread_follows_the_search_and_ends_with_the_widget(make_dashboard):
    search = Search()
    dashboard = make_dashboard(search)
    search.step(1)
    wait_for(lambda: dashboard.changed)
    search.status = "finished"
    wait_for(lambda: dashboard.status == "finished")
    # The thread continues: trials of a finished search can be promoted.
    assert len(watchers()) == 1
    dashboard.close()
    wait_for(lambda: not watchers())


def test_clicks_call_the_search_outside_the_main_thread(make_dashboard):
    search = Search()
    dashboard = make_dashboard(search)
    action = ask(dashboard, type="act", action="stop", trial=1)
    assert (action["request"], action["result"], action["failed"]) == ("Stop trial 1", "trial 1 is stopped", False)
    action = ask(dashboard, type="act", action="restart", trial=2)
    assert action["request"] == "Restart trial 2"
    action = ask(dashboard, type="act", action="stop", trial=None)
    assert action["request"] == "Stop the search"
    assert search.calls == [("stop", 1, False), ("restart", 2, False), ("stop", None, False)]
    assert {trial.status for trial in search.trials} == {"stopped"}


def test_errors_are_displayed(make_dashboard):
    dashboard = make_dashboard(Search())
    action = ask(dashboard, type="act", action="promote", trial=0, epochs=2)
    assert action["failed"] and action["request"] == "Promote trial 0 to 2 epochs"
    assert action["result"] == "ValueError: Trial 0 has had 2 epochs."
    assert ask(dashboard, type="act", action="stop", trial=77)["failed"]


def test_a_history_cannot_be_controlled(make_dashboard):
    search = Search(engines=None)
    dashboard = make_dashboard(search)
    assert dashboard.reason.startswith("Read only")
    action = ask(dashboard, type="act", action="stop", trial=1)
    assert action["failed"] and "without engines" in action["result"]
    assert search.calls == []


def test_unknown_messages_do_nothing(make_dashboard):
    search = Search()
    dashboard = make_dashboard(search, {"picture": lambda gan, trial: None})
    for content in ({}, {"type": "act", "action": "gan"}, {"type": "view", "view": "other"}):
        dashboard._handle_custom_msg({"id": "x", "trial": 0, **content}, [])
    assert [thread.name for thread in threading.enumerate() if "action" in thread.name] == []
    assert (search.calls, dashboard.actions, dashboard.view) == ([], [], {})


def test_a_view_receives_the_gan_of_the_trial_and_its_figure_is_displayed(make_dashboard):
    seen = []

    def view(gan, trial):
        seen.append((gan, trial.number))
        return Figure()

    dashboard = make_dashboard(Search(), {"jets": view})
    assert not ask(dashboard, type="view", view="jets", trial=2)["failed"]
    assert seen == [("gan 2", 2)]
    assert dashboard.view["title"] == "jets: trial 2, epoch 2"
    assert dashboard.view["kind"] == "image" and dashboard.view["image"].startswith(b"\x89PNG")
    dashboard._handle_custom_msg({"type": "close view"}, [])
    assert dashboard.view == {}


def test_views_may_be_widgets_and_tables(make_dashboard, make_sample):
    viewers = []

    def slices(gan, trial):
        viewers.append(SliceViewer(make_sample()))
        return viewers[-1]

    search = Search()
    dashboard = make_dashboard(search, {"slices": slices, "table": lambda *_: search.table(), "no": lambda *_: 3})
    ask(dashboard, type="view", view="slices", trial=0)
    assert dashboard.view["widget"] == viewers[0].model_id
    ask(dashboard, type="view", view="slices", trial=1)
    assert viewers[0].comm is None and dashboard.view["widget"] == viewers[1].model_id
    ask(dashboard, type="view", view="table", trial=1)
    assert viewers[1].comm is None and "<table" in dashboard.view["html"]
    action = ask(dashboard, type="view", view="no", trial=1)
    assert action["failed"] and "must return a widget, a figure" in action["result"]
    # The open view remains.
    assert dashboard.view["kind"] == "html"


def test_a_view_is_closed_with_the_dashboard(make_dashboard, make_sample):
    viewer = SliceViewer(make_sample())
    dashboard = make_dashboard(Search(), {"slices": lambda *_: viewer})
    ask(dashboard, type="view", view="slices", trial=0)
    dashboard.close()
    wait_for(lambda: viewer.comm is None)


def test_a_search_that_cannot_be_read_is_reported_until_it_can(make_dashboard):
    search = Search()
    dashboard = make_dashboard(search)
    trials, search.trials = search.trials, None
    search.version += 1
    wait_for(lambda: dashboard.message.startswith("The search cannot be read: TypeError"))
    search.trials = trials
    wait_for(lambda: dashboard.message == "")


def test_waiting_leaves_the_kernel_free(make_dashboard):
    search = Search()
    dashboard = make_dashboard(search)

    async def notebook():
        waiting = asyncio.ensure_future(dashboard.wait())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        search.status = "finished"
        return await waiting

    assert asyncio.run(notebook()) is search
    assert dashboard.status == "finished"


def test_a_table_represents_it_on_pages_without_javascript(make_dashboard):
    assert ">ks_<wbr>comb</th>" in make_dashboard(Search())._repr_html_()


def test_invalid_arguments_are_rejected():
    with pytest.raises(TypeError, match="view 'jets' must be a function"):
        SearchDashboard(Search(), {"jets": Figure()})
    with pytest.raises(ValueError, match="interval must be positive"):
        SearchDashboard(Search(), interval=0)
