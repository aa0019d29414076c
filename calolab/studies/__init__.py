"""Studies: commands that simulate, train, score and tabulate, and the targets of generators that are shipped."""

from calolab.studies.targets import (
    LIMITS,
    Target,
    judge_targets,
    memorisation_target,
    shower_targets,
    speed_targets,
)

__all__ = ["LIMITS", "Target", "judge_targets", "memorisation_target", "shower_targets", "speed_targets"]
