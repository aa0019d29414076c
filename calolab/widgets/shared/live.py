"""In which thread of the kernel a widget's messages are handled."""

from __future__ import annotations

import anywidget


class Widget(anywidget.AnyWidget):
    """A widget whose messages are handled in the kernel's main thread, between cells.

    ipykernel 7.4 hands a message to the thread that handled the one before, which may be a subshell's (see
    `LiveWidget`). Two threads would then change the widget at the same time.
    """

    def open(self):
        """Open the connection to the browser."""
        super().open()
        self.comm._reply_subshell_for = lambda data, named: None


class LiveWidget(anywidget.AnyWidget):
    """A widget whose clicks Python hears while a cell is at work, where the kernel has subshells.

    Subshells (ipykernel 7, JupyterLab 4.4) are threads of the kernel that answer widgets beside the running cell. What
    a subclass does on a click must therefore be safe in a thread. Without subshells clicks wait for the cell's end.
    """

    def open(self):
        """Open the connection to the browser."""
        super().open()
        # ipykernel 7.4 hands what the browser sends to the thread that sent last, which is a cell's more often than
        # not, and waits for that cell. The browser names the subshell itself: that one shall have it.
        self.comm._reply_subshell_for = lambda data, named: named
        # Without IPython's events around a message: they would close the figures that the running cell is drawing.
        self.comm.handle_msg = self._handle_msg
