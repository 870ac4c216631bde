"""Many runs as one: `Sweep` names them, `conduct` runs what is missing, `compare` and `write_results` tell the end."""

from qcaan.learn.sweep.cluster import Cluster
from qcaan.learn.sweep.comparison import Comparison, compare
from qcaan.learn.sweep.conductor import conduct
from qcaan.learn.sweep.engine import Engine
from qcaan.learn.sweep.plan import Plan, Point, Sweep
from qcaan.learn.sweep.processes import Processes
from qcaan.learn.sweep.results import write_results
from qcaan.learn.sweep.tracked import tracked
from qcaan.learn.sweep.watch import PointState, as_found

__all__ = [
    "Cluster",
    "Comparison",
    "Engine",
    "Plan",
    "Point",
    "PointState",
    "Processes",
    "Sweep",
    "as_found",
    "compare",
    "conduct",
    "tracked",
    "write_results",
]
