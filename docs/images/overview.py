"""Draws `overview.png`, the picture of README: one shower and a comparison of GFlash with Geant4.

Run it with `.venv/bin/python docs/images/overview.py`.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

import calolab as cl

HEIGHT = 560  # pixels


def image(figure):
    """A figure as an image."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=HEIGHT / figure.get_figheight())
    return Image.open(content).convert("RGB")


options = {"events": 300, "energy": (10, 50), "seed": 7}
geant4 = cl.simulate.showers("clic-ecal", **options)
gflash = cl.simulate.showers("clic-ecal", **options, method="gflash")
samples = {"Geant4": geant4, "GFlash": gflash}
event = int(np.argmax(geant4.labels["energy"]))
shower = cl.plots.slices.show(samples, event, axis="y", position=None)
report = cl.validation.compare(geant4, gflash, names=tuple(samples), seed=7)
left, right = image(shower), image(report.plot(["profile_z", "visible_fraction"]))
picture = Image.new("RGB", (left.width + right.width, HEIGHT), "white")
picture.paste(left, (0, 0))
picture.paste(right, (left.width, 0))
picture.quantize(128).save(Path(__file__).with_name("overview.png"), optimize=True)
