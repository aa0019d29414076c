"""The style of all figures: colours, HEP style, label, and a figure that a notebook shows by itself."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import contextmanager

import matplotlib
import mplhep
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from PIL import Image

REFERENCE = "#3b3b3b"
REFERENCE_FILL = "#d0d0d0"
GENERATED = "#d55e00"
SERIES = (REFERENCE, GENERATED, "#0072b2", "#009e73", "#cc79a7", "#e69f00")
ENERGY_MAP = "inferno"
DIFFERENCE_MAP = "RdBu_r"

# mplhep's ROOT style, at a size for panels in a notebook. Families are written out and the maths font is a named set,
# because matplotlib resolves "sans-serif" and "custom" only when a figure is drawn, by then outside of this style.
_STYLE = {
    **mplhep.style.ROOT,
    "axes.prop_cycle": matplotlib.cycler(color=SERIES),
    "axes.labelsize": 13,
    "axes.linewidth": 1.0,
    "axes.titlesize": 13,
    "figure.figsize": (7.0, 5.0),
    "font.family": ["TeX Gyre Heros", "DejaVu Sans"],
    "font.size": 12,
    "image.cmap": ENERGY_MAP,
    "legend.fontsize": 11,
    "legend.handlelength": 1.4,
    "legend.labelspacing": 0.3,
    "lines.linewidth": 1.6,
    "mathtext.fontset": "dejavusans",
    "xtick.labelsize": 11.5,
    "xtick.major.pad": 5,
    "xtick.major.size": 6,
    "xtick.minor.size": 3,
    "ytick.labelsize": 11.5,
    "ytick.major.size": 6,
    "ytick.minor.size": 3,
}


HEAVY = 300_000  # bytes of a PNG above which its colours are reduced, and then its resolution


class ShownFigure(Figure):
    """A figure that Jupyter shows when it is a cell's value, with or without `%matplotlib inline`."""

    def _repr_png_(self):
        # Twice the resolution, shown at the nominal size: sharp on every screen. Maps are noise, which does not
        # compress: a figure with many of them would take megabytes.
        drawn = _drawn(self, 2)
        for shrink, colours in ((1, None), (1, 256), (2, 256), (2, 128)):
            picture = _png(drawn.reduce(shrink), colours)
            if len(picture) <= HEAVY:
                break
        width, height = self.get_size_inches() * self.dpi
        return picture, {"width": round(width), "height": round(height), "alt": alt_text(self)}


def _drawn(figure: Figure, scale: float) -> Image.Image:
    pixels = io.BytesIO()
    figure.savefig(pixels, format="rgba", dpi=scale * figure.dpi)
    size = tuple(int(scale * figure.dpi * length) for length in figure.get_size_inches())
    return Image.frombuffer("RGBA", size, pixels.getvalue()).convert("RGB")


def _png(image: Image.Image, colours: int | None = None) -> bytes:
    picture = io.BytesIO()
    if colours is not None:
        image = image.quantize(colours, dither=Image.Dither.NONE)
    image.save(picture, format="png", optimize=colours is not None)
    return picture.getvalue()


def alt_text(figure: Figure) -> str:
    """A description of a figure for screen readers: the content of each panel, from its titles, axes and legend."""
    panels = dict.fromkeys(filter(None, (_panel_in_words(panel) for panel in figure.axes)))
    text = "; ".join(panels)
    return f"Figure: {_plain(text) if text else 'no labelled panels'}."


def _panel_in_words(panel: Axes) -> str:
    title = ", ".join(filter(None, (panel.get_title(loc) for loc in ("left", "center", "right"))))
    x, y = panel.get_xlabel(), panel.get_ylabel()
    axes = f"{y} against {x}" if x and y else x or y
    legend = panel.get_legend()
    entries = _joined(entry.get_text() for entry in legend.get_texts()) if legend else ""
    written = "" if title or axes or entries else _joined(text.get_text() for text in panel.texts)
    return ": ".join(filter(None, [title, ", ".join(filter(None, [axes, entries and f"showing {entries}"])), written]))


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(filter(None, texts))


def _plain(text: str) -> str:
    r"""Without the markup of mathtext: `$p_T$` reads p_T, `$10^{-3}$` 10^-3."""
    for sign in ("$", "{", "}", r"\mathrm", r"\,", "\\"):
        text = text.replace(sign, "")
    return " ".join(text.split())


@contextmanager
def hep():
    """The HEP style inside a `with hep():` block or a function decorated with `@hep()`; settings are restored."""
    with matplotlib.rc_context(_STYLE):
        yield


def new_figure(width: float, height: float, arranged: bool = True) -> Figure:
    """An empty figure of `width` x `height` inches, independent of pyplot; with `arranged` its layout is automatic.

    Args:
        width, height: size [inches].
        arranged: whether matplotlib arranges the panels.
    """
    return ShownFigure(figsize=(width, height), layout="constrained" if arranged else None, facecolor="white")


def ticks_outside(panel: Axes) -> None:
    """Major ticks only, outside the left and the lower border: for panels that are filled with cells."""
    panel.tick_params(which="both", top=False, right=False, direction="out")
    panel.minorticks_off()


def add_label(where: Figure | Axes, right: str = "", supplement: str = "simulation") -> None:
    """Write "calolab simulation" above a figure or one panel, at the place of an experiment's name.

    Args:
        where: the figure, or the panel.
        right: text at the right end that applies to the whole figure: space, number of events, energies.
        supplement: the word after "calolab".
    """
    if isinstance(where, Axes):
        figure, name = where.get_figure(), where.set_title("calolab", loc="left", fontweight="bold", fontsize=14)
        where.set_title(right, loc="right", fontsize=11.5)
    else:
        figure, name = where, where.suptitle("calolab", x=0.008, ha="left", fontweight="bold", fontsize=16)
        if where.get_layout_engine() is None:
            name.set_y(1 - 0.08 / where.get_figheight())
        figure.add_artist(
            Annotation(right, (0.992, 0), xycoords=("figure fraction", name), ha="right", va="bottom", fontsize=12.5)
        )
    size = name.get_fontsize()
    word = Annotation(
        supplement, (1, 0), xytext=(0.35 * size, 0), xycoords=name, textcoords="offset points", va="bottom"
    )
    word.set(fontstyle="italic", fontsize=size)
    figure.add_artist(word)
