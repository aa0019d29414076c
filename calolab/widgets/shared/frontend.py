"""Data that widgets send to the browser: JavaScript, style sheets, and arrays and descriptions of samples."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from calolab.labels import UNITS, symbol
from calolab.samples import Sample
from calolab.spaces import Space

_SHARED_STYLE = Path(__file__).with_name("style.css")
_IMPORT = re.compile(r'^import \{[^}]*\} from "(\.\.?/[\w/]+\.js)";\n', re.MULTILINE)

# Comments that fill whole lines; saved notebooks contain the code of their widgets.
_COMMENT = re.compile(r"^[ \t]*(?://[^\n]*|/\*(?:(?!\*/).)*\*/)[ \t]*\n", re.MULTILINE | re.DOTALL)


def module(widget: str | Path) -> str:
    """The JavaScript of a widget and of all files that it imports, as one module without comments.

    anywidget sends a widget's code to the browser as one string, which cannot import neighbouring files. Each imported
    file is therefore put in front of it, once, in the order of first import.

    Args:
        widget: the widget's Python file (`__file__`); its JavaScript has the same name with the ending `.js`.
    """
    parts: dict[Path, str] = {}

    def add(path: Path) -> None:
        source = path.read_text(encoding="utf-8")
        for needed in _IMPORT.findall(source):
            imported = (path.parent / needed).resolve()
            if imported not in parts:
                add(imported)
        parts[path] = _COMMENT.sub("", _IMPORT.sub("", source)).lstrip("\n")

    start = Path(widget).with_suffix(".js").resolve()
    add(start)
    code = parts.pop(start)
    return "\n".join([*(re.sub("^export ", "", text, flags=re.MULTILINE) for text in parts.values()), code])


def style(widget: str | Path) -> str:
    """The style sheet that all widgets share, followed by the widget's own, if it has one.

    Args:
        widget: the widget's Python file (`__file__`); its style sheet has the same name with the ending `.css`.
    """
    own = Path(widget).with_suffix(".css")
    return "".join(path.read_text(encoding="utf-8") for path in (_SHARED_STYLE, own) if path.exists())


def pack(*arrays: np.ndarray) -> bytes:
    """Arrays as little-endian float32, concatenated and compressed by zlib; showers consist mostly of zeros."""
    return zlib.compress(b"".join(np.ascontiguousarray(array, dtype="<f4").tobytes() for array in arrays), 1)


def finite(value: float | None) -> float | None:
    """A number in JSON form: None if it is not finite."""
    return float(value) if value is not None and math.isfinite(value) else None


def describe_space(space: Space) -> dict:
    """A space in JSON form: cell edges of each layer, edges in depth, index of each layer's first cell in an event."""
    layers = space.layers[:1] if space.regular else space.layers
    return {
        "axes": list(space.axes),
        "symbols": [symbol(axis) for axis in space.axes],
        "rowsFirst": space.rows_first,
        "units": list(space.units),
        "quantity": space.quantity,
        "unit": space.unit,
        "hasDepth": space.has_depth,
        "regular": space.regular,
        "layers": [layer.edges for layer in layers],
        "depth": space.edges(space.axes[-1]).tolist() if space.has_depth else None,
        "starts": list(space.layer_starts),
    }


def describe_events(name: str, sample: Sample) -> dict:
    """A sample in JSON form: name, labels with symbol, unit and values, and the sum over the cells of each event.

    Args:
        name: name of the sample.
        sample: the sample.
    """
    return {
        "name": name,
        "labels": describe_labels(sample.labels),
        "visible": sample.values.reshape(len(sample), -1).sum(axis=1, dtype=float).tolist(),
    }


def describe_labels(labels: Mapping[str, np.ndarray]) -> list[dict]:
    """Labels in JSON form: each with its symbol, unit and values."""
    return [
        {"symbol": symbol(name), "unit": UNITS.get(name, ""), "values": column.tolist()}
        for name, column in labels.items()
    ]
