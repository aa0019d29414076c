"""Training: recipes, objectives, the training loop, and the history and checkpoints that it produces."""

import importlib

from calolab.training.history import History, Progress
from calolab.training.objectives import OBJECTIVES, Objective
from calolab.training.recipe import Recipe
from calolab.training.request import PhysicsScore, TrainingRequest
from calolab.training.snapshots import Snapshots
from calolab.training.stages import Stage
from calolab.training.state import TrainingDiverged

__all__ = [
    "OBJECTIVES",
    "History",
    "Objective",
    "PhysicsScore",
    "Progress",
    "Recipe",
    "Snapshots",
    "Stage",
    "TrainingDiverged",
    "TrainingRequest",
    "fastest_precision",
    "fit",
]
# These load TensorFlow, which a client that only follows a training does not need.
_HEAVY = {"fit": "trainer", "fastest_precision": "precision"}


def __getattr__(name):
    if name in _HEAVY:
        return getattr(importlib.import_module(f"calolab.training.{_HEAVY[name]}"), name)
    raise AttributeError(f"module 'calolab.training' has no attribute {name!r}; it has {', '.join(__all__)}")
