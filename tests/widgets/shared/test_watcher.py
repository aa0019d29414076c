import threading
from types import SimpleNamespace

import pytest

from calolab.widgets.shared.watcher import Watcher
from tests.helpers import wait_for


class Followed:
    """What a Watcher needs of a widget; `failures` are raised by the next refreshes."""

    def __init__(self):
        self.comm, self.messages, self.failures, self.refreshed = SimpleNamespace(), [""], [], 0

    @property
    def message(self):
        return self.messages[-1]

    @message.setter
    def message(self, text):
        self.messages.append(text)

    def refresh(self):
        if self.failures:
            raise self.failures.pop()
        self.refreshed += 1


@pytest.fixture
def widget():
    made = Followed()
    yield made
    made.comm = None
    wait_for(lambda: not threads())


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "Followed"]


def test_it_refreshes_until_the_widget_is_closed(widget):
    ended = []
    Watcher(widget, "run", 0.01, on_end=lambda: ended.append(True)).start()
    wait_for(lambda: widget.refreshed > 3)
    assert len(threads()) == 1 and threads()[0].daemon and ended == []
    widget.comm = None
    wait_for(lambda: not threads())
    assert ended == [True]


def test_it_ends_when_nothing_more_can_change(widget):
    Watcher(widget, "run", 0.01, is_finished=lambda: widget.refreshed >= 2).start()
    wait_for(lambda: not threads())
    assert widget.refreshed == 2


def test_an_error_is_displayed_until_the_next_success(widget):
    widget.failures = [ValueError("second"), ValueError("first")]
    Watcher(widget, "run", 0.01).start()
    wait_for(lambda: widget.refreshed > 2)
    reported = [f"The run cannot be read: ValueError: {number}" for number in ("first", "second")]
    assert widget.messages == ["", *reported, ""]


def test_a_message_of_another_origin_stays(widget):
    widget.message = "stop failed"
    Watcher(widget, "run", 0.01).start()
    wait_for(lambda: widget.refreshed > 2)
    assert widget.message == "stop failed"


def test_it_can_refresh_before_the_interval_has_passed(widget):
    watcher = Watcher(widget, "run", 100)
    watcher.start()
    watcher.refresh_soon()
    wait_for(lambda: widget.refreshed == 1)
    widget.comm = None
    watcher.refresh_soon()


@pytest.mark.parametrize("interval", [0, -1, float("nan")])
def test_the_interval_must_be_positive(widget, interval):
    with pytest.raises(ValueError, match="interval must be positive"):
        Watcher(widget, "run", interval)
