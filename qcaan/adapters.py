"""Any backend as a device of another framework, so that its programs run here as they are.

```python
from qcaan.adapters import CirqSampler, QiskitSampler

sampler = QiskitSampler("braket:ionq-forte-1", store="shots.sqlite", budget=Budget(20.0))
```

PennyLane finds its device by itself: `qml.device("qcaan.device", wires=2, backend="local")`.

Why names are looked up when they are asked for: each needs the SDK of its framework, which the core never imports.
"""

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backends.adapters.cirq_sampler import CirqSampler
    from backends.adapters.pennylane_plugin import QcaanDevice
    from backends.adapters.qiskit_sampler import QiskitSampler

__all__ = ["CirqSampler", "QcaanDevice", "QiskitSampler"]
GROUP = "qcaan.adapters"


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class of another framework
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        raise AttributeError(f"module 'qcaan.adapters' has no attribute '{name}'")
    return found[name].load()


def __dir__() -> list[str]:
    return sorted(__all__)
