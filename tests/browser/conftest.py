"""A running JupyterLab and Debian's Chromium: open, run and inspect a notebook, recording all requests and errors."""

import base64
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--disable-smooth-scrolling"),
    # No name of another machine is resolved, as on an offline computer.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
# JavaScript for the kernel of the notebook that is open in JupyterLab.
KERNEL = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
# No notifications of JupyterLab; all cells remain in the page when it is scrolled.
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}


@dataclass(frozen=True)
class Server:
    """A Jupyter server on this machine, and the folder of its notebooks."""

    url: str
    folder: Path


@dataclass
class Page:
    """An open page: its Playwright page, the errors on its console and the requests to other machines."""

    page: object
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.context.on("request", lambda request: is_outside(request.url) and self.outside.append(request.url))
        self.page.on("websocket", lambda request: is_outside(request.url) and self.outside.append(request.url))

    def screenshot(self, path: Path) -> Path:
        """Save a screenshot of the page as PNG."""
        self.page.screenshot(path=path)
        return path

    def check_quiet(self) -> None:
        """Fail if there was an error on the console or a request to another machine."""
        assert self.outside == []
        assert self.errors == []


@dataclass
class Notebook(Page):
    """A notebook in JupyterLab."""

    path: Path = None

    def run_all(self, timeout: float = 60) -> list:
        """Run all cells, wait at most `timeout` seconds for the last one, and return the cells with their outputs."""
        self.page.evaluate(
            """() => {
                window.ran = undefined;
                const running = window.jupyterapp.commands.execute('notebook:run-all-cells');
                running.then((result) => { window.ran = result ?? true; });
            }"""
        )
        self.page.wait_for_function("window.ran !== undefined", timeout=1000 * timeout)
        self.wait_until_idle(timeout)
        return self.cells()

    def start(self, code: str) -> None:
        """Send code to the kernel without waiting for it."""
        self.page.evaluate(f"(code) => {{ {KERNEL}.requestExecute({{ code }}); }}", code)

    def run(self, code: str) -> str:
        """Run code in the notebook's kernel, after what is running there, and return its printed output."""
        answer = self.page.evaluate(
            """async (code) => {
                const future = KERNEL.requestExecute({ code });
                let printed = '';
                future.onIOPub = ({ header, content }) => {
                    if (header.msg_type === 'stream') printed += content.text;
                    if (header.msg_type === 'error') printed += content.traceback.join('\\n');
                };
                const reply = await future.done;
                return { printed, status: reply.content.status };
            }""".replace("KERNEL", KERNEL),
            code,
        )
        assert answer["status"] == "ok", answer["printed"]
        return answer["printed"].strip()

    def read(self, expression: str):
        """The value of an expression in the notebook's kernel."""
        return json.loads(self.run(f"import json; print(json.dumps({expression}))"))

    def becomes(self, expression: str, value, seconds: float = 20) -> bool:
        """Whether an expression in Python takes a value; a widget sends its changes one after the other."""
        deadline = time.monotonic() + seconds
        while (found := self.read(expression)) != value:
            if time.monotonic() > deadline:
                raise AssertionError(f"{expression} is {found}, not {value}")
            time.sleep(0.05)
        return True

    def is_busy(self) -> bool:
        """Whether the kernel is busy."""
        return self.page.evaluate(f"{KERNEL}.status") == "busy"

    def wait_until_idle(self, timeout: float = 60) -> None:
        """Wait until the kernel is idle."""
        self.page.wait_for_function(f"{KERNEL}.status === 'idle'", timeout=1000 * timeout)

    def cells(self) -> list:
        """The notebook's cells as they are in the page now, with their outputs."""
        content = self.page.evaluate("JSON.stringify(window.jupyterapp.shell.currentWidget.content.model.toJSON())")
        return nbformat.reads(content, as_version=4).cells

    def failures(self) -> list[str]:
        """The errors of the cells: the last line of each traceback."""
        outputs = [output for cell in self.cells() for output in cell.get("outputs", [])]
        return ["\n".join(o.traceback)[-3000:] for o in outputs if o.output_type == "error"]

    def save(self) -> Path:
        """Save the notebook to its file, as the user's Ctrl-S does."""
        self.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        return self.path


def is_outside(url: str) -> bool:
    """Whether a request is for another machine."""
    return re.match(r"(https?|wss?)://(?!127\.0\.0\.1[:/])", url) is not None


def own_folders(folder: Path) -> dict[str, str]:
    """The environment of a Jupyter process with folders of its own instead of the user's."""
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR")
    return {**os.environ, **{name: str(folder / name.lower()) for name in names}}


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_server(process: subprocess.Popen, url: str, log: Path, seconds: float = 60) -> None:
    """Return when `url` responds; fail with the server's log if it ends or does not respond in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"{process.args[0]} did not answer at {url}:\n{log.read_text()[-4000:]}")


@contextmanager
def serving(command: list[str], url: str, log: Path, **settings):
    """Run a server in a `with` block; it ends with its kernels at the end of the block."""
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **settings)
    try:
        wait_for_server(process, url, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def playwright():
    """The module of Playwright, if it and Debian's Chromium are installed."""
    module = pytest.importorskip("playwright.sync_api", reason="the extra `test` is not installed: no playwright")
    if not Path(CHROMIUM).exists():
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    return module


# Playwright keeps an event loop running in this thread, which other tests would stumble over: a module's browser ends
# with the module.
@pytest.fixture(scope="module")
def browser(playwright):
    """Debian's Chromium without a window."""
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@contextmanager
def running_lab(home: Path, **variables: str):
    """Run a JupyterLab with folders of its own and these environment variables in a `with` block: a `Server`."""
    folder = home / "notebooks"
    folder.mkdir()
    for name, content in SETTINGS.items():
        settings = home / "settings" / f"{name}.jupyterlab-settings"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(json.dumps(content))
    port, token = free_port(), secrets.token_hex(16)
    command = [
        *(sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"),
        *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}", "--ServerApp.port_retries=0"),
        *(f"--LabApp.user_settings_dir={home / 'settings'}", f"--LabApp.workspaces_dir={home / 'workspaces'}"),
        *("--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"),
    ]
    with serving(
        command, f"http://127.0.0.1:{port}/api", home / "lab.log", env=own_folders(home) | variables, cwd=folder
    ):
        yield Server(f"http://127.0.0.1:{port}/lab{{path}}?token={token}", folder)


@pytest.fixture(scope="session")
def lab(playwright, tmp_path_factory):
    """A running JupyterLab with folders of its own: a `Server`."""
    with running_lab(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture(scope="session")
def voila(playwright, tmp_path_factory):
    """A running Voila with calolab's template from the checkout and folders of its own: a `Server`."""
    pytest.importorskip("voila", reason="the extra `test` is not installed: no voila")
    home = tmp_path_factory.mktemp("voila")
    folder = home / "notebooks"
    folder.mkdir()
    port = free_port()
    command = [
        *(sys.executable, "-m", "voila", str(folder), "--no-browser", "--template=calolab", f"--port={port}"),
        *("--Voila.ip=127.0.0.1", "--Voila.port_retries=0"),
        # These two expect a whole JupyterLab and say so on Voila's console.
        "--VoilaConfiguration.extension_denylist=['ipyparallel-labextension', 'jupyterlab-jupytext']",
    ]
    environment = {**own_folders(home), "JUPYTER_PATH": str(ROOT / "calolab" / "widgets")}
    url = f"http://127.0.0.1:{port}"
    with serving(command, f"{url}/voila/static/voila-style.js", home / "voila.log", env=environment, cwd=folder):
        yield Server(f"{url}/voila/render{{path}}", folder)


def write_notebook(path: Path, cells: list[str]) -> None:
    """Write a notebook of Python cells."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, path)


@pytest.fixture
def open_in_voila(voila, browser):
    """A function that opens code cells in Voila and returns a `Page`."""
    contexts = []

    def open_it(cells: list[str]) -> Page:
        name = f"cells_{secrets.token_hex(4)}.ipynb"
        write_notebook(voila.folder / name, cells)
        contexts.append(browser.new_context(viewport={"width": 1200, "height": 1000}))
        page = Page(contexts[-1].new_page())
        page.page.goto(voila.url.format(path=f"/{name}"))
        return page

    yield open_it
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def open_notebook(lab, browser):
    """A function that opens a notebook in JupyterLab, waits for its kernel and returns a `Notebook`.

    It takes the path of a notebook file, which is copied to the server's folder, or a list of code cells.
    """
    contexts = []

    def open_it(source: Path | list[str], *, width: int = 1200, height: int = 1000, density: float = 1) -> Notebook:
        path = lab.folder / (source.name if isinstance(source, Path) else f"cells_{secrets.token_hex(4)}.ipynb")
        if isinstance(source, Path):
            shutil.copy(source, path)
        else:
            write_notebook(path, source)
        context = browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=density)
        contexts.append(context)
        notebook = Notebook(context.new_page(), path=path)
        # In a workspace of its own: JupyterLab would bring back the notebook of another test, and show that one.
        notebook.page.goto(lab.url.format(path=f"/workspaces/{secrets.token_hex(4)}/tree/{path.name}"))
        notebook.page.wait_for_function(
            """(name) => {
                const shown = window.jupyterapp?.shell.currentWidget;
                return shown?.context?.path === name && shown.sessionContext?.session?.kernel?.status === 'idle';
            }""",
            arg=path.name,
            timeout=60_000,
        )
        return notebook

    yield open_it
    for context in contexts:
        for page in context.pages:
            page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        context.close()


# A widget without JupyterLab: its JavaScript and style in an empty page, with the current traits of its Python side.
ALONE = """async ({ source, style, state, buffers, theme }) => {
    const traits = { ...state };
    for (const [name, text] of Object.entries(buffers))
        traits[name] = new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
    document.body.dataset.jpThemeLight = theme === "light";
    document.body.style.background = theme === "light" ? "white" : "#111";
    if (theme === "dark") {
        const colours = { "content-font-color1": "#fff", "content-font-color2": "#bbb", "layout-color0": "#111" };
        const more = { "layout-color2": "#424242", "border-color1": "#616161", "brand-color1": "#1976d2" };
        for (const [name, colour] of Object.entries({ ...colours, ...more }))
            document.body.style.setProperty(`--jp-${name}`, colour);
    }
    document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
    const listeners = {};
    window.sent = [];
    window.model = {
        get: (name) => traits[name],
        set(name, value) { traits[name] = value; (listeners[`change:${name}`] ?? []).forEach((react) => react()); },
        save_changes() {},
        on: (name, react) => (listeners[name] ??= []).push(react),
        off: (name, react) => (listeners[name] = (listeners[name] ?? []).filter((one) => one !== react)),
        send: (message) => window.sent.push(message),
    };
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const { default: widget } = await import(url);
    document.body.replaceChildren();
    await widget.render({ model: window.model, el: document.body });
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""


def draw_alone(page, widget, theme: str = "light") -> None:
    """Draw a widget in an empty page of Playwright, without JupyterLab and a kernel."""
    # `_anywidget_id` and the rest are anywidget's; the code and the style are traits of their own there.
    state = {name: value for name, value in widget.get_state().items() if not name.startswith("_")}
    packed = {name: bytes(value) for name, value in state.items() if isinstance(value, (bytes, memoryview))}
    buffers = {name: base64.b64encode(value).decode() for name, value in packed.items()}
    state = {name: value for name, value in state.items() if name not in {*packed, "layout", "tabbable"}}
    content = {"source": str(widget._esm), "style": str(widget._css), "state": state, "buffers": buffers}
    page.evaluate(ALONE, {**content, "theme": theme})


@pytest.fixture
def show_alone(browser):
    """A function that shows a widget in an empty page, without JupyterLab and a kernel, and returns a `Page`."""
    contexts = []

    def show(widget, theme: str = "light", width: int = 1000, height: int = 1000) -> Page:
        contexts.append(browser.new_context(viewport={"width": width, "height": height}))
        page = Page(contexts[-1].new_page())
        draw_alone(page.page, widget, theme)
        return page

    yield show
    for context in contexts:
        context.close()
