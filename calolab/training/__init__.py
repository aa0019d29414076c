"""Learning: the published recipe in one readable step, its objectives, history and checkpoints."""

import importlib

from calolab.training.history import History, Progress
from calolab.training.recipe import Recipe

__all__ = ["History", "Progress", "Recipe", "TrainingDiverged", "fit"]


def __getattr__(name):
    # The records above load without TensorFlow, which a client that only watches a training does not need.
    if name in ("TrainingDiverged", "fit"):
        return getattr(importlib.import_module("calolab.training.trainer"), name)
    raise AttributeError(f"module 'calolab.training' has no attribute {name!r}; it has {', '.join(__all__)}")
