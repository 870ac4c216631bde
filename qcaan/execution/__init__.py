"""Running native circuits on devices, safely: HOW it is run.

Names are imported when they are first used: a driver imports this package for its contract alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qcaan.execution.budget import Budget
    from qcaan.execution.registry import available_backends, open_backend
    from qcaan.execution.request import Request
    from qcaan.execution.result import Result
    from qcaan.execution.runner import Runner, run
    from qcaan.execution.scripted import Fault, ScriptedBackend
    from qcaan.execution.store import Store

__all__ = [
    "Budget",
    "Fault",
    "Request",
    "Result",
    "Runner",
    "ScriptedBackend",
    "Store",
    "available_backends",
    "open_backend",
    "run",
]

_HOMES = {
    "Budget": "budget",
    "Fault": "scripted",
    "Request": "request",
    "Result": "result",
    "Runner": "runner",
    "ScriptedBackend": "scripted",
    "Store": "store",
    "available_backends": "registry",
    "open_backend": "registry",
    "run": "runner",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'qcaan.execution' has no attribute '{name}'")
    return getattr(import_module(f"qcaan.execution.{_HOMES[name]}"), name)
