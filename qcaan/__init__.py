"""qcaan: generative networks whose prior is learned by a quantum computer, on any quantum computer.

The names below are the library's front door; they are imported when they are first used, so that `import qcaan` costs
nothing. `qcaan.learn` holds the science, `qcaan.errors` the error tree.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qcaan.circuits.circuit import Circuit, theta
    from qcaan.circuits.native import ARIA, FORTE
    from qcaan.circuits.transpile import transpile
    from qcaan.config import Config
    from qcaan.execution.registry import available_backends, open_backend
    from qcaan.execution.runner import run

__version__ = "0.1.0"
__all__ = ["ARIA", "FORTE", "Circuit", "Config", "available_backends", "open_backend", "run", "theta", "transpile"]

_HOMES = {
    "ARIA": "qcaan.circuits.native",
    "FORTE": "qcaan.circuits.native",
    "Circuit": "qcaan.circuits.circuit",
    "Config": "qcaan.config",
    "available_backends": "qcaan.execution.registry",
    "open_backend": "qcaan.execution.registry",
    "run": "qcaan.execution.runner",
    "theta": "qcaan.circuits.circuit",
    "transpile": "qcaan.circuits.transpile",
}
_ROOMS = ("circuits", "conformance", "errors", "execution", "learn")


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return import_module(f"qcaan.{name}")
    raise AttributeError(f"module 'qcaan' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS, "__version__"])
