"""Draws `overview.png`, the picture of README: one Geant4 shower beside a comparison of Geant4 with GFlash.

    .venv/bin/python docs/images/overview.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

import calolab as cl


def pixels(figure, height):
    """A figure as an image of so many pixels in height."""
    figure.savefig("/dev/null", format="png")  # lays the panels out
    figure.set_dpi(height / figure.get_figheight())
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


options = {"events": 400, "energy": (10, 50), "seed": 7}
geant4 = cl.simulate.showers("clic-ecal", **options)
gflash = cl.simulate.showers("clic-ecal", **options, method="gflash")
names = {"Geant4": geant4, "GFlash": gflash}
event = int(np.argmax(geant4.labels["energy"]))
shower = cl.plots.slices.show({"Geant4": geant4}, event, axis="y", position=None)
report = cl.validation.compare(geant4, gflash, names=tuple(names), seed=7)
panels = report.plot(["profile_z", "visible_fraction"])
left, right = (pixels(figure, 560) for figure in (shower, panels))
height = min(len(left), len(right))
picture = Image.fromarray(np.concatenate([left[:height], right[:height]], axis=1))
picture.quantize(128).save(Path(__file__).with_name("overview.png"), optimize=True)
