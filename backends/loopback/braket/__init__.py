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

from typing import TYPE_CHECKING

from backends.loopback.launcher import Launcher
from backends.loopback.vendor import Vendor

if TYPE_CHECKING:
    from backends.loopback.faults import Vocabulary
    from backends.loopback.vendor import Build

__all__ = ["Loopback", "serve"]

_REGION = "us-east-1"


class Loopback(Launcher):
    """Braket's service as a process of its own."""

    vendor = "braket"


def _load(program_sets: bool) -> "tuple[Vocabulary, Build]":
    from backends.loopback.braket.app import BraketApp
    from backends.loopback.braket.service import VOCABULARY, Service

    return VOCABULARY, lambda disk, pace: BraketApp(Service(disk, pace, program_sets=program_sets))


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


serve = Vendor(
    name="braket", port=8089, load=_load, environment=environment, unset=("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
)
