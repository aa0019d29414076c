"""The kernel thread that handles a widget's messages."""

from __future__ import annotations

import anywidget


class Widget(anywidget.AnyWidget):
    """A widget whose messages are handled in the kernel's main thread, between cells.

    By default, ipykernel 7.4 passes a message to the thread that handled the previous one, which may be that of a
    subshell (see `LiveWidget`). Two threads could then change the widget at the same time.
    """

    def open(self):
        """Open the connection to the browser."""
        super().open()
        route_messages(self.comm, to_subshell=False)


class LiveWidget(anywidget.AnyWidget):
    """A widget whose messages are handled while a cell runs, if the kernel has subshells.

    Subshells (ipykernel 7, JupyterLab 4.4) are threads of the kernel that handle widget messages in parallel with the
    running cell. The message handlers of a subclass must therefore be thread-safe. Without subshells, messages are
    handled when the cell has finished.
    """

    def open(self):
        """Open the connection to the browser."""
        super().open()
        route_messages(self.comm, to_subshell=True)
        handle_without_events(self)


def route_messages(comm, *, to_subshell: bool) -> None:
    """Choose the kernel thread that handles the browser's messages to a comm.

    ipykernel 7.4 calls the private method `comm._reply_subshell_for(data, requested)`, which returns the subshell that
    handles a message (None: the main thread). Its default is the thread that sent the comm's last message,
    usually that of a running cell, and the message then waits for the end of this cell. ipykernel before 7.4 does not
    call the method.

    Args:
        comm: the widget's comm.
        to_subshell: whether the subshell that the browser requested handles the message, or else the main thread.
    """
    comm._reply_subshell_for = lambda data, requested: requested if to_subshell else None


def handle_without_events(widget: anywidget.AnyWidget) -> None:
    """Call a widget's message handler without triggering IPython's `pre_execute` and `post_execute` events.

    These events would close the figures that the running cell is drawing. `handle_msg` of the comm triggers them and
    calls the widget's private `_handle_msg`; here it is replaced by the latter.
    """
    widget.comm.handle_msg = widget._handle_msg
