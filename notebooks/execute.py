"""Execute a notebook without a browser and leave the executed notebook and one self-contained HTML page.

    python notebooks/execute.py notebooks/00_from_engines_to_showers.ipynb --out out

The page needs no network: nothing in it is fetched from elsewhere. What the cell tagged `summary` prints is printed
here; what the kernel itself says (TensorFlow about this machine, say) is kept in a log beside the page.
"""

import argparse
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from tqdm import tqdm

from calolab.files import complete


def execute(path, timeout, log):
    """The notebook at `path` with its outputs, run in a new kernel, and the error that stopped it, if any."""
    notebook = nbformat.read(path, as_version=4)
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    with tqdm(total=len(code_cells), desc=path.stem, unit="cell", file=sys.stderr) as bar:
        client = NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name="python3",
            resources={"metadata": {"path": str(path.parent)}},
            # Widgets leave a picture: their whole state in the file would only make it heavy.
            store_widget_state=False,
            # A progress bar keeps its last line only, as in JupyterLab.
            coalesce_streams=True,
            # What C++ libraries write past Python goes to the log, not into the cells.
            extra_arguments=["--IPKernelApp.capture_fd_output=False"],
            on_cell_executed=lambda **_: bar.update(),
        )
        try:
            client.execute(stdout=log, stderr=log)
        except CellExecutionError as error:
            return notebook, error
    return notebook, None


def page(notebook, title):
    """One HTML page with all scripts, styles and pictures inside."""
    exporter = HTMLExporter(
        embed_images=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        # Each of these is a script that nbconvert would otherwise take from a content delivery network.
        mathjax_url="",
        require_js_url="",
        jquery_url="",
        widget_renderer_url="",
        html_manager_semver_range="",
        mermaid_js_url="",
        mermaid_layout_elk_js_url="",
    )
    html, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}})
    return html


def write(path, text):
    """Write beside the target, then rename: a reader never meets half a file."""
    with complete(path, len(text)) as partial:
        partial.write_text(text)


def summary(notebook):
    """What the cell tagged `summary` printed."""
    tagged = [cell for cell in notebook.cells if "summary" in cell.metadata.get("tags", [])]
    outputs = [output for cell in tagged for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def main():
    """Execute, save, report; the exit status says whether every cell ran."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results (default: out)")
    parser.add_argument("--timeout", type=float, default=None, help="seconds allowed per cell (default: no limit)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    executed = arguments.out / arguments.notebook.name
    html = executed.with_suffix(".html")
    with open(executed.with_suffix(".log"), "w") as log:
        notebook, error = execute(arguments.notebook, arguments.timeout, log)
    write(executed, nbformat.writes(notebook))
    write(html, page(notebook, arguments.notebook.stem))
    print(f"\n{summary(notebook)}\nexecuted notebook: {executed.resolve()}\npage:              {html.resolve()}")
    if error is not None:
        sys.exit(f"\n{arguments.notebook} stopped at an error:\n{error}")


if __name__ == "__main__":
    main()
