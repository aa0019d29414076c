"""What the widgets send to the browser: their JavaScript and style, and showers packed for one binary transfer."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from calolab.labels import SYMBOLS, UNITS
from calolab.samples import Sample, side_names
from calolab.spaces import Space

_SHARED_STYLE = Path(__file__).with_name("style.css")
_IMPORT = re.compile(r'^import \{[^}]*\} from "(\.\.?/[\w/]+\.js)";\n', re.MULTILINE)


def module(widget: str | Path) -> str:
    """The JavaScript of a widget and of all files that it imports, as one module.

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
        parts[path] = _IMPORT.sub("", source)

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
    """Arrays as float32, one after the other, deflated: showers are mostly zeros and shrink to a few per cent."""
    return zlib.compress(b"".join(np.ascontiguousarray(array, dtype="<f4").tobytes() for array in arrays), 1)


def finite(value: float | None) -> float | None:
    """A number as JSON can hold it: None where it is not finite."""
    return float(value) if value is not None and math.isfinite(value) else None


def describe_space(space: Space) -> dict:
    """A space as the browser needs it: cell edges by layer, borders in depth, where each layer starts in an event."""
    layers = space.layers[:1] if space.regular else space.layers
    return {
        "axes": list(space.axes),
        "symbols": [SYMBOLS.get(axis, axis) for axis in space.axes],
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
    """A sample's name, its labels with symbol, unit and values, and the visible energy of each event.

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
    """Labels as the browser writes them: each with its symbol, unit and values."""
    return [
        {"symbol": SYMBOLS.get(name, name), "unit": UNITS.get(name, ""), "values": column.tolist()}
        for name, column in labels.items()
    ]


def samples_of(reference: Sample, generated: Sample | None, names: Sequence[str] | None = None) -> dict[str, Sample]:
    """The given samples under their names (those of `side_names`), the reference first, fit to be shown side by side.

    Args:
        reference, generated: the samples; `generated` may be None.
        names: their names.

    Raises:
        TypeError: if one of them is not a Sample.
        ValueError: if one has no events, they lie in different spaces, or the names are not two different ones.
    """
    given = {"reference": reference} if generated is None else {"reference": reference, "generated": generated}
    for role, sample in given.items():
        if not isinstance(sample, Sample):
            raise TypeError(f"{role} must be a Sample, received {type(sample).__name__}.")
        if not len(sample):
            raise ValueError(f"{role} holds no events: there is nothing to show.")
    if generated is not None and reference.space != generated.space:
        raise ValueError(
            f"reference lies in space {reference.space.name!r} and generated in {generated.space.name!r}: "
            "only samples of one space can be shown side by side."
        )
    return dict(zip(side_names(reference, generated, names), given.values()))
