"""Results as JSON can hold them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def plain(content):
    """The same content as JSON can hold it: dictionaries for records, lists for arrays, None for NaN and infinity.

    Args:
        content: mappings, sequences, arrays, numbers, strings, and records with `to_dict`.
    """
    if isinstance(content, Mapping):
        return {name: plain(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    if isinstance(content, np.ndarray | np.generic):
        return plain(content.tolist())
    if hasattr(content, "to_dict"):
        return plain(content.to_dict())
    return None if isinstance(content, float) and not np.isfinite(content) else content
