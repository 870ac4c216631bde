"""Running native circuits on devices, safely: HOW it is run."""

from qcaan.execution.budget import Budget
from qcaan.execution.registry import available_backends, open_backend
from qcaan.execution.request import Request
from qcaan.execution.result import Result
from qcaan.execution.runner import Runner, run
from qcaan.execution.store import Store

__all__ = ["Budget", "Request", "Result", "Runner", "Store", "available_backends", "open_backend", "run"]
