"""How training scales with the number of engines: measurement, breakdown of the step time, and prediction."""

from calolab.scaling.efficiency import ScalingPoint, ScalingReport
from calolab.scaling.measure import report
from calolab.scaling.network import Network

__all__ = ["Network", "ScalingPoint", "ScalingReport", "report"]
