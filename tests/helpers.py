"""Functions used by tests of several folders."""

import base64
import contextlib
import io
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
from PIL import Image


def interrupted(command, ready, number=signal.SIGINT, program=sys.executable, **environment):
    """Send a signal to the process group of a program when it is ready; returns exit status and output."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    running = subprocess.Popen([program, *command], env=os.environ | environment, **options)
    try:
        wait_for(lambda: ready() or running.poll() is not None, 120)
        os.killpg(running.pid, number)
        printed, said = running.communicate(timeout=120)
    finally:
        running.kill()
    return running.returncode, printed, said


def wait_for(condition, seconds=60, every=0.05):
    """Wait until a condition is true; fail after this time [s]."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(every)


def alive(processes):
    """Those processes that are still running; zombies are not."""
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def alive_engines(pids):
    """Those process ids that still belong to engines; others may have been reused."""
    running = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if alive([process]) and "ipyparallel" in " ".join(process.cmdline()):
                running.append(pid)
    return running


def allow_root(patch):
    """Allow Open MPI to run as root, which tests in a container need."""
    for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"):
        patch.setenv(name, "1")


def pixels(canvas):
    """The colours of a canvas after it has been drawn, shape `(height, width, 3)`."""
    url = canvas.evaluate(
        """(canvas) => new Promise((done) => {
            requestAnimationFrame(() => requestAnimationFrame(() => done(canvas.toDataURL())));
        })"""
    )
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))


def cut_off(page, section, canvases, widths=(700, 1000, 1200)):
    """Texts that extend beyond the canvas of a widget, for windows of several widths."""
    page.evaluate(
        """() => {
            window.texts ??= [];
            if (window.drawsText) return;
            const draw = (window.drawsText = CanvasRenderingContext2D.prototype.fillText);
            CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...room) {
                const found = this.measureText(text);
                const { a, b, c, d, e, f } = this.getTransform();
                const half = Math.min(found.width, room[0] ?? Infinity) / found.width;
                const [left, right] = [x - half * found.actualBoundingBoxLeft, x + half * found.actualBoundingBoxRight];
                const [up, down] = [y - found.actualBoundingBoxAscent, y + found.actualBoundingBoxDescent];
                const corners = [[left, up], [right, down]].map(([p, q]) => [a * p + c * q + e, b * p + d * q + f]);
                const outside = corners.some(
                    ([p, q]) => p < -1 || q < -1 || p > this.canvas.width + 1 || q > this.canvas.height + 1,
                );
                window.texts.push([text, outside]);
                return draw.call(this, text, x, y, ...room);
            };
        }"""
    )
    before, found = page.viewport_size, []
    try:
        for width in widths:
            page.evaluate("window.texts = []")
            page.set_viewport_size({**before, "width": width})
            for canvas in section.locator(canvases).all():
                pixels(canvas)
            texts = page.evaluate("window.texts")
            assert texts, f"nothing was drawn at {width}"
            found += [(width, text) for text, outside in texts if outside]
    finally:
        page.set_viewport_size(before)
    return found
