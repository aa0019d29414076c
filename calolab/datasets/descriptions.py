"""The description in files written by calolab: layout, labels, spaces and origin, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from calolab.datasets.layouts import DESCRIPTION, Layout
from calolab.spaces import Space


@dataclass(frozen=True)
class Description:
    """The description of a file.

    Args:
        layout: how it stores events; None if not given.
        labels: names of its labels; None if not given.
        spaces: space of each of its datasets.
        origin: where the events come from.
    """

    layout: Layout | None = None
    labels: tuple[str, ...] | None = None
    spaces: Mapping[str, Space] = field(default_factory=dict)
    origin: Mapping[str, object] = field(default_factory=dict)


def parse(path: str, text: str | bytes) -> Description:
    """Read a file's description.

    Args:
        path: the file, for the message.
        text: the JSON text in the file.

    Raises:
        ValueError: if the text is not such a description.
    """
    try:
        content = json.loads(text)
        if not isinstance(content, dict):
            raise TypeError(f"it is a {type(content).__name__}, expected an object")
        kinds = {"labels": list, "spaces": dict, "origin": dict, "layout": dict | str}
        for key, kind in kinds.items():
            if key in content and not isinstance(content[key], kind):
                raise TypeError(f"{key!r} is a {type(content[key]).__name__}")
        labels, layout = content.get("labels"), content.get("layout")
        if labels is not None and not all(isinstance(label, str) for label in labels):
            raise TypeError("'labels' are not strings")
        return Description(
            Layout(**layout) if isinstance(layout, dict) else None,  # a ROOT file only names it
            None if labels is None else tuple(labels),
            {name: Space.from_dict(space) for name, space in content.get("spaces", {}).items()},
            content.get("origin", {}),
        )
    except KeyError as error:
        raise damaged(path, f"{error} is missing") from error
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise damaged(path, str(error)) from error


def damaged(path: str, reason: str) -> ValueError:
    """The error to raise for a description that cannot be read.

    Args:
        path: the file.
        reason: why.
    """
    return ValueError(
        f"{path}: {DESCRIPTION!r} should describe the file as a JSON object with layout, labels, spaces and origin, "
        f"but cannot be read ({reason}). Write the file again with datasets.save; in a file of another program, give "
        f"its {DESCRIPTION!r} another name."
    )
