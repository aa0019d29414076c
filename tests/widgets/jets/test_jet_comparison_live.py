"""JetComparison in an event loop: the first events immediately, the others later, neighbouring mu in advance."""

import asyncio

from calolab.widgets import JetComparison
from calolab.widgets.jets.event_sources import FIRST_PIECE
from tests.widgets.jets.jet_events import make_events, make_pileup

IMAGES = 32


async def settled(widget, steps=400):
    for _ in range(steps):
        await asyncio.sleep(0.02)
        if (
            widget.distributions["events"] == widget.distributions["of"]
            and widget.distributions["choice"] == widget._current()
        ):
            return
    raise AssertionError(widget.distributions["events"])


def test_in_an_event_loop_the_first_events_are_displayed_before_the_others(real, generated, monkeypatch):
    monkeypatch.setattr("calolab.widgets.jets.jet_comparison.FIRST_RESPONSE", 0)

    async def live():
        widget = JetComparison(make_events(200), make_events(200, seed=5))
        first = dict(widget.distributions["events"])
        for _ in range(200):
            await asyncio.sleep(0.02)
            if widget.distributions["events"]["generated"] == 200 == widget.distributions["events"]["reference"]:
                break
        return first, widget.distributions

    first, last = asyncio.run(live())
    at_once = JetComparison(make_events(200), make_events(200, seed=5)).distributions
    assert first == {"reference": FIRST_PIECE, "generated": FIRST_PIECE}
    assert last["events"] == at_once["events"] == {"reference": 200, "generated": 200}
    for one, other in zip(last["variables"], at_once["variables"]):
        assert one.get("ks") == other.get("ks")


def test_of_several_steps_of_mu_the_last_is_displayed_and_its_neighbours_are_clustered_in_advance(real, generated):
    calls = []

    def counted(events, mu, seed):
        calls.append((mu, events))
        return make_pileup(events, mu, seed)

    async def live():
        widget = JetComparison(real, generated, pileup=counted, mus=range(0, 201, 20))
        widget.pileup = "real"
        calls.clear()
        for mu in (40, 60, 80, 100):
            widget.mu = mu
        # Nothing was computed while the slider was moved.
        assert calls == [] and widget.scene["choice"]["mu"] != 100
        await settled(widget)
        assert {mu for mu, _ in calls} <= {100.0, 120.0, 80.0}
        for _ in range(400):
            await asyncio.sleep(0.02)
            if widget._next_neighbour() is None:
                break
        assert {mu for mu, _ in calls} == {60.0, 80.0, 100.0, 120.0, 140.0}
        known = len(calls)
        widget.mu = 120
        # Immediately, with all images and without a call of the source.
        assert len(calls) == known and widget.scene["choice"]["mu"] == 120 and widget.scene["events"] == IMAGES
        widget.close()

    asyncio.run(live())


def test_the_first_events_are_sent_first_and_the_displayed_event_stays(monkeypatch):
    monkeypatch.setattr("calolab.widgets.jets.jet_comparison.FIRST_RESPONSE", 0)
    sent = []

    async def live():
        widget = JetComparison(make_events(60), make_events(60, seed=5), pileup=make_pileup, mus=[20, 40])
        await settled(widget)
        widget.event = 20
        widget.observe(lambda change: sent.append((change.new["events"], change.new["images"])), "scene")
        widget.pileup = "real"
        await settled(widget)
        assert widget.event == 20
        widget.close()

    asyncio.run(live())
    # The images are sent once for the first response and once when all are complete.
    assert sent == [(FIRST_PIECE, IMAGES), (IMAGES, IMAGES)]


def test_the_picture_of_a_cell_that_changes_the_choice_is_that_of_the_new_choice(real, generated):
    async def live():
        widget = JetComparison(real, generated, pileup=make_pileup, mus=[20, 200])
        widget.pileup, widget.mu = "real", 200
        assert widget._repr_png_()[0].startswith(b"\x89PNG")
        assert widget.scene["choice"]["mu"] == 200 == widget.distributions["choice"]["mu"]
        widget.close()

    asyncio.run(live())
