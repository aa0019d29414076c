"""Learning: the published recipe in one readable step, its objectives, history and checkpoints."""

import importlib

from calolab.training.divergence import TrainingDiverged
from calolab.training.history import History, Progress
from calolab.training.recipe import Recipe
from calolab.training.selection import PhysicsScore
from calolab.training.snapshots import Snapshots

__all__ = ["History", "PhysicsScore", "Progress", "Recipe", "Snapshots", "TrainingDiverged", "fastest_precision", "fit"]


def __getattr__(name):
    # What is above loads without TensorFlow, which a client that only watches a training does not need.
    if name == "fit":
        return importlib.import_module("calolab.training.trainer").fit
    if name == "fastest_precision":
        return importlib.import_module("calolab.training.precision").fastest_precision
    raise AttributeError(f"module 'calolab.training' has no attribute {name!r}; it has {', '.join(__all__)}")
