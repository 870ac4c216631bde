"""Amazon Braket's API: its control plane, the parts of S3 and STS that its clients use, and its tracker's price list.

The devices are IonQ's, with their capabilities and noise, SV1 and DM1. Unmodified clients use it: `qcaan loopback
braket` prints the environment variables that point them here, and `Loopback` starts it from Python.

```
app ──┬── protocol        botocore's service model, the server's half
      └── service ─┬── tasks ── execution ── programs, documents
                   ├── limits, devices, search, validation
                   └── s3
```
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from backends.loopback.launcher import Launcher

__all__ = ["Loopback", "serve"]

_REGION = "us-east-1"


class Loopback(Launcher):
    """Braket's service as a process of its own."""

    vendor = "braket"


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
    from qcaan.errors import MissingSDK

    try:
        from backends.loopback import server
        from backends.loopback.braket.app import BraketApp
        from backends.loopback.braket.service import VOCABULARY, Service
        from backends.loopback.jobs import Pace
        from backends.loopback.physics import Physics
    except ImportError as error:
        raise MissingSDK("loopback", (error.name or str(error)).partition(".")[0]) from error
    pace = Pace(queue_s=latency_s, run_s=run_s, physics=Physics(noise, seed, repeatable))
    options = server.Options(vendor="braket", state=state, port=port, host=host, faults=faults)
    server.serve(
        options,
        VOCABULARY,
        lambda disk: BraketApp(Service(disk, pace, program_sets=program_sets)),
        lambda url: announce(url, environment(url), ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")),
    )


def environment(url: str) -> dict[str, str]:
    """Environment variables that point every AWS client, and Braket's cost tracker, at the service.

    Each endpoint is named twice, for all services and for each one, because the narrower setting wins.
    """
    endpoints = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BRAKET", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS")
    return {
        **dict.fromkeys((*endpoints, "BRAKET_ENDPOINT"), url),
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
        "AWS_ACCESS_KEY_ID": "LOOPBACK",
        "AWS_SECRET_ACCESS_KEY": "loopback",
        "AWS_SESSION_TOKEN": "",
        "AWS_REGION": _REGION,
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "BRAKET_PRICE_OFFERS_URL": f"{url}/loopback/prices.csv",
        "NO_PROXY": "127.0.0.1,localhost,::1",
        "no_proxy": "127.0.0.1,localhost,::1",
    }
