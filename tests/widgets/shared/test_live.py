"""The private interfaces of ipykernel, comm and ipywidgets that widgets use: each test fails when upstream changes."""

import asyncio
import inspect
import threading
from types import SimpleNamespace

import ipykernel.comm.comm
import pytest
from comm.base_comm import CommManager
from ipykernel.kernelbase import Kernel
from IPython.core.interactiveshell import InteractiveShell

from calolab.widgets.shared.live import LiveWidget, Widget

ESM = "export default { render() {} };"


class ChannelThread(threading.Thread):
    """The part of ipykernel's thread of the shell channel that `Kernel.shell_channel_thread_main` uses."""

    def __init__(self, comm, requested):
        super().__init__()
        self.asyncio_lock, self.used, self.manager = asyncio.Lock(), [], self
        self.kernel = SimpleNamespace(
            shell_channel_thread=self,
            session=SimpleNamespace(
                feed_identities=lambda message, copy: ([], message),
                deserialize=lambda message, content, copy: {
                    "header": {"msg_type": "comm_msg", "subshell_id": requested},
                    "content": {"comm_id": "one", "data": {"method": "custom", "content": {}}},
                },
                unpack=lambda content: content,
            ),
            comm_manager=SimpleNamespace(get_comm=lambda number: comm),
            log=SimpleNamespace(error=lambda *_, **__: self.used.append("error")),
        )

    def get_shell_channel_to_subshell_socket(self, subshell):
        self.used.append(subshell)
        return SimpleNamespace(send_multipart=lambda message, copy: None)

    def run(self):
        asyncio.run(Kernel.shell_channel_thread_main(self.kernel, []))


def thread_of_message(comm, requested):
    """The subshell (None: main thread) in which ipykernel handles a message to a comm."""
    thread = ChannelThread(comm, requested)
    thread.start()
    thread.join(timeout=30)
    (used,) = thread.used
    return used


@pytest.fixture
def make():
    """A function that makes a widget of a class and closes it after the test."""
    made = []

    def make(kind):
        widget = type("Shown", (kind,), {"_esm": ESM})()
        made.append(widget)
        return widget

    yield make
    for widget in made:
        widget.close()


@pytest.mark.parametrize("requested", [None, "subshell"])
def test_ipykernel_asks_the_comm_for_the_thread_of_a_message(make, requested):
    assert thread_of_message(make(LiveWidget).comm, requested) == requested
    assert thread_of_message(make(Widget).comm, requested) is None


def test_ipykernel_would_choose_the_thread_that_sent_last():
    """If this fails, `route_messages` may no longer be necessary."""
    parameters = list(inspect.signature(ipykernel.comm.comm.BaseComm._reply_subshell_for).parameters)
    assert parameters == ["self", "data", "default"]
    comm = ipykernel.comm.comm.BaseComm.__new__(ipykernel.comm.comm.BaseComm)
    comm._reply_subshell_lock, comm._reply_subshell_ids = threading.Lock(), {}
    comm._reply_subshell_id = "sent last"
    assert thread_of_message(comm, "requested") == "sent last"


@pytest.fixture
def events():
    """The IPython events that are triggered during a test."""
    shell, triggered = InteractiveShell.instance(), []
    callbacks = {name: lambda name=name: triggered.append(name) for name in ("pre_execute", "post_execute")}
    for name, callback in callbacks.items():
        shell.events.register(name, callback)
    yield triggered
    for name, callback in callbacks.items():
        shell.events.unregister(name, callback)
    InteractiveShell.clear_instance()


def deliver(comm):
    """Hand a custom message to a comm as the kernel does."""
    manager = CommManager()
    manager.register_comm(comm)
    data = {"method": "custom", "content": {"type": "click"}}
    manager.comm_msg(None, "identity", {"content": {"comm_id": comm.comm_id, "data": data}, "buffers": []})


def test_a_live_widget_handles_messages_without_ipythons_events(make, events):
    received = []
    for kind in (LiveWidget, Widget):
        widget = make(kind)
        widget.on_msg(lambda _, content, buffers: received.append(content))
        deliver(widget.comm)
        assert events == ([] if kind is LiveWidget else ["pre_execute", "post_execute"])
    assert received == [{"type": "click"}] * 2
