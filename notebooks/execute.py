"""Execute a notebook without a browser; write the executed notebook and one self-contained HTML page.

    python notebooks/execute.py notebooks/00_from_engines_to_showers.ipynb --out out

The page needs no Internet connection. The output of the cell tagged `summary` is printed; messages of the kernel itself
(e.g. of TensorFlow) go to a log next to the page.

Ctrl-C interrupts the running cell, which may complete a step and write a checkpoint; notebook and page contain what was
executed. A second Ctrl-C ends the kernel at once. Clusters started by the notebook are always stopped at the end.
"""

import argparse
import asyncio
import os
import secrets
import signal
import sys
import threading
import time
from pathlib import Path

from calolab.interrupts import NOTHING, Stopped, handled, postponed, stopping

with stopping("the execution of a notebook"):  # these imports take some seconds
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from pages import page
    from tqdm import tqdm

    from calolab import cluster
    from calolab.files import complete

INTERRUPTED_CELL = 60.0  # time for an interrupted cell to end by itself [s]


class Execution:
    """Execution of a notebook in a new kernel; it runs in a separate thread, as the main thread receives signals.

    Args:
        notebook: the notebook, to which outputs are added cell by cell.
        options: options of `NotebookClient`.
        streams: output files and environment of the kernel, as for `subprocess.Popen`.
    """

    def __init__(self, notebook, options, streams):
        self.done, self.received, self.error = 0, 0, None
        self._loop = None
        self._client = NotebookClient(
            notebook, on_notebook_start=self._begin, on_cell_start=self._check, on_cell_executed=self._count, **options
        )
        self._thread = threading.Thread(target=self._run, args=(streams,), daemon=True)

    def run(self, advance):
        """Execute all cells, or those before a signal; returns the error of a cell that failed."""
        self._advance = advance
        with handled(self._receive, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._thread.start()
            while self._thread.is_alive():
                self._thread.join(0.2)
                if self.received and time.monotonic() > self._deadline:
                    self._in_loop("shutdown_kernel", now=True)
                    self._deadline = time.monotonic() + INTERRUPTED_CELL
        if self.error is not None and not self.received and not isinstance(self.error, CellExecutionError):
            raise self.error
        return self.error

    def _run(self, streams):
        try:
            self._client.execute(**streams)
        except BaseException as error:  # the main thread reports it
            self.error = error

    def _receive(self, number, frame):
        if self.received:
            self._deadline = 0.0
            return
        self.received, self._deadline = number, time.monotonic() + INTERRUPTED_CELL
        self._in_loop("interrupt_kernel")

    def _in_loop(self, call, **options):
        """Call a method of the kernel manager in its event loop."""
        if self._loop is not None and self._loop.is_running():
            asyncio.run_coroutine_threadsafe(getattr(self._client.km, call)(**options), self._loop)

    def _begin(self, **_):
        self._loop = asyncio.get_running_loop()

    def _check(self, **_):
        if self.received:
            raise Stopped("the notebook between two cells", number=self.received)

    def _count(self, execute_reply, **_):
        if execute_reply["content"]["status"] == "ok":
            self.done += 1
            self._advance()


def execute(path, timeout, log, owner, kept):
    """Execute a notebook in a new kernel; returns it with its outputs, and the error or `Stopped` that ended it.

    Args:
        path: path of the notebook.
        timeout: maximum time per cell [s]; None for no limit.
        log: file for messages of the kernel itself.
        owner: identifier of the clusters that the notebook starts.
        kept: text for `Stopped`.
    """
    notebook = nbformat.read(path, as_version=4)
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    with tqdm(total=len(code_cells), desc=path.stem, unit="cell", file=sys.stderr) as bar:
        options = {
            "timeout": timeout,
            "kernel_name": "python3",
            "resources": {"metadata": {"path": str(path.parent)}},
            # Widgets are saved as pictures; their full state would make the file large.
            "store_widget_state": False,
            # Only the last line of a progress bar is kept, as in JupyterLab.
            "coalesce_streams": True,
            # Output of C++ libraries goes to the log, not to the cells.
            "extra_arguments": ["--IPKernelApp.capture_fd_output=False"],
        }
        environment = os.environ | {cluster.OWNER: owner}
        execution = Execution(notebook, options, {"stdout": log, "stderr": log, "env": environment})
        error = execution.run(bar.update)
    if execution.received and error is not None:
        what = f"{path.stem} in code cell {execution.done + 1} of {len(code_cells)}, and its engines"
        return notebook, Stopped(what, kept, execution.received)
    return notebook, error


def write(path, text):
    """Write a file under a temporary name and rename it when it is complete."""
    content = text.encode()
    with complete(path, len(content)) as partial:
        partial.write_bytes(content)


def summary(notebook):
    """The output of the cell tagged `summary`."""
    tagged = [cell for cell in notebook.cells if "summary" in cell.metadata.get("tags", [])]
    outputs = [output for cell in tagged for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def main():
    """Execute and save the notebook; the exit status says whether all cells ran."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results (default: out)")
    parser.add_argument(
        "--timeout", type=float, default=None, help="maximum time per cell in seconds (default: no limit)"
    )
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    executed = arguments.out / arguments.notebook.name
    html = executed.with_suffix(".html")
    owner, written, kept = secrets.token_hex(8), f"what was executed is in {executed} and {html}", NOTHING
    # Before the end of the last cell, `Execution` receives signals; afterwards they are postponed until all is saved.
    with (
        stopping("the execution of a notebook", lambda: kept),
        postponed(signal.SIGHUP),
        open(executed.with_suffix(".log"), "w") as log,
    ):
        try:
            notebook, error = execute(arguments.notebook, arguments.timeout, log, owner, written)
            write(executed, nbformat.writes(notebook))
            write(html, page(notebook, arguments.notebook.stem))
            kept = written
        finally:
            cluster.stop_all(owner)
    if isinstance(error, Stopped):
        raise error
    print(f"\n{summary(notebook)}\nexecuted notebook: {executed.resolve()}\npage:              {html.resolve()}")
    if error is not None:
        sys.exit(f"\n{arguments.notebook} stopped at an error:\n{error}")


if __name__ == "__main__":
    main()
