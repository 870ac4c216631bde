"""Many runs as one: `Sweep` names them, `conduct` runs what is missing, `compare` and `write_results` tell the end."""

from qcaan.learn.sweep.comparison import Comparison, compare
from qcaan.learn.sweep.conductor import PointState, conduct
from qcaan.learn.sweep.plan import Plan, Point, Sweep
from qcaan.learn.sweep.results import write_results

__all__ = ["Comparison", "Plan", "Point", "PointState", "Sweep", "compare", "conduct", "write_results"]
