"""How a training scales with the number of engines: measure it, see where the time goes, predict more engines."""

from calolab.scaling.efficiency import ScalingPoint, ScalingReport
from calolab.scaling.measure import report
from calolab.scaling.network import Network

__all__ = ["Network", "ScalingPoint", "ScalingReport", "report"]
