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

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from backends.loopback.launcher import Launcher

__all__ = ["Loopback", "serve"]


class Loopback(Launcher):
    """IonQ's service as a process of its own."""

    vendor = "ionq"


def serve(
    *,
    port: int,
    host: str,
    state: Path,
    faults: Path | None,
    latency_s: float,
    run_s: float,
    noise: Literal["device", "none"],
    seed: int,
    repeatable: bool,
    program_sets: bool,
    announce: Callable[[str, dict[str, str], tuple[str, ...]], None],
) -> None:
    """Run the service until SIGINT or SIGTERM.

    `announce` gets its URL, its environment, and the variables that must not be set, as soon as it answers.

    Raises:
        MissingSDK: a package that the service needs is not installed.
        ConfigError: an option is wrong, the port is taken, or another service has the state open.
    """
    from qcaan.errors import ConfigError, MissingSDK

    if program_sets:
        raise ConfigError("--program-sets: IonQ has none, several circuits are always one job; leave it out")
    try:
        from backends.loopback import server
        from backends.loopback.ionq.app import IonqApp
        from backends.loopback.ionq.jobs import VOCABULARY
        from backends.loopback.jobs import Pace
        from backends.loopback.physics import Physics
    except ImportError as error:
        raise MissingSDK("loopback", (error.name or str(error)).partition(".")[0]) from error
    pace = Pace(queue_s=latency_s, run_s=run_s, physics=Physics(noise, seed, repeatable))
    options = server.Options(vendor="ionq", state=state, port=port, host=host, faults=faults)
    server.serve(options, VOCABULARY, lambda disk: IonqApp(disk, pace), lambda url: announce(url, environment(url), ()))


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
