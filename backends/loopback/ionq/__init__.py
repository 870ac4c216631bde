"""IonQ's REST API v0.4: its computers and its simulator, jobs of one circuit and of several, results and costs.

Unmodified clients use it: `qcaan loopback ionq` prints the environment variables that point them here, and `Loopback`
starts it from Python.

```
app ── jobs ──┬── body         what is accepted
              ├── execution    what the devices compute
              ├── documents    what is told
              └── devices      what there is, and what it costs
```

The computers are those whose capabilities qcaan ships, with their fidelities; the rates are made up, in the order of
public ones.
"""

from typing import TYPE_CHECKING

from backends.loopback.launcher import Launcher
from backends.loopback.vendor import Vendor
from qcaan.errors import ConfigError

if TYPE_CHECKING:
    from backends.loopback.faults import Vocabulary
    from backends.loopback.vendor import Build

__all__ = ["Loopback", "serve"]


class Loopback(Launcher):
    """IonQ's service as a process of its own."""

    vendor = "ionq"


def _load(program_sets: bool) -> "tuple[Vocabulary, Build]":
    from backends.loopback.ionq.app import IonqApp
    from backends.loopback.ionq.jobs import VOCABULARY

    if program_sets:
        raise ConfigError("--program-sets: IonQ has none, several circuits are always one job; leave it out")
    return VOCABULARY, IonqApp


def environment(url: str) -> dict[str, str]:
    """Environment variables that point qcaan, qiskit-ionq and cirq-ionq at the service."""
    return {
        "IONQ_API_URL": f"{url}/v0.4",
        "QISKIT_IONQ_API_URL": f"{url}/v0.4",
        "IONQ_REMOTE_HOST": url,
        "IONQ_API_KEY": "loopback-key",
        "QISKIT_IONQ_API_TOKEN": "loopback-key",
        "NO_PROXY": "127.0.0.1,localhost,::1",
        "no_proxy": "127.0.0.1,localhost,::1",
    }


serve = Vendor(name="ionq", port=8090, load=_load, environment=environment)
