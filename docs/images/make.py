"""Makes the pictures of README and of docs/widgets-and-notebooks.md from the shipped generator `calolab-fast`.

    PYTHONPATH=. .venv/bin/python docs/images/make.py

`overview.png`: one shower of Geant4 and of the generator, and both compared. `slice_viewer.png`: a screenshot of the
slice viewer in Chromium. It needs the extra `test` and /usr/bin/chromium.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

import calolab as cl
from tests.browser.conftest import CHROMIUM, FLAGS, draw_alone

FOLDER = Path(__file__).parent
GENERATOR = "calolab-fast"
HEIGHT = 560  # of overview.png [pixels]
ENERGY = 50  # of the showers shown, the nearest in the sample [GeV]


def image(figure):
    """A figure as an image."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=HEIGHT / figure.get_figheight())
    return Image.open(content).convert("RGB")


def overview(samples, event):
    """One shower of each sample, and the samples compared."""
    shower = cl.plots.slices.show(samples, event, axis="y", position=None)
    report = cl.validation.compare(*samples.values(), names=tuple(samples), seed=7)
    left, right = image(shower), image(report.plot(["profile_z", "visible_fraction"]))
    picture = Image.new("RGB", (left.width + right.width, HEIGHT), "white")
    picture.paste(left, (0, 0))
    picture.paste(right, (left.width, 0))
    picture.quantize(128).save(FOLDER / "overview.png", optimize=True)


def slice_viewer(samples, event):
    """A screenshot of the slice viewer with one shower of each sample."""
    pair = [sample.select(slice(event, event + 1)) for sample in samples.values()]
    viewer = cl.widgets.SliceViewer(*pair, names=tuple(samples))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 700, "height": 900}, device_scale_factor=1.5)
        draw_alone(page, viewer)
        page.locator("section.calolab").screenshot(path=FOLDER / "slice_viewer.png")
        browser.close()


def main():
    """Make both pictures."""
    geant4 = cl.datasets.load("clic-electrons-demo")
    generated = cl.models.load(GENERATOR).generate(geant4.labels, seed=7)
    samples = {"Geant4": geant4, GENERATOR: generated}
    event = int(np.argmin(np.abs(geant4.labels["energy"] - ENERGY)))
    overview(samples, event)
    slice_viewer(samples, event)


if __name__ == "__main__":
    main()
