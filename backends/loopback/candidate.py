"""A driver as it is judged by `qcaan backends check`: its device is a loopback service.

Why every fault of a call is staged twice: of some calls a client's transport asks once more by itself.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from backends.loopback.launcher import Launcher
from qcaan.conformance.candidate import Verb

_CALLS = {"throttled": "throttle", "error": "error", "lost": "lost_reply", "expired": "expired_credentials"}
_OTHERS: Mapping[tuple[Verb, str], dict[str, Any]] = {
    ("submit", "offline"): {"kind": "quota", "times": 2},
    ("fetch", "late"): {"kind": "missing_object", "times": 2},
    ("fetch", "truncated"): {"kind": "truncated_object", "times": 2},
    ("job", "failed"): {"kind": "failed", "times": 1},
    ("job", "cancelled"): {"kind": "cancelled", "times": 1},
    ("job", "stuck"): {"kind": "slow_queue", "seconds": 3600.0, "times": 1},
    ("job", "partial"): {"kind": "partial", "times": 1},
}


class LoopbackFake:
    """A service's jobs and faults, as the kit asks for them.

    Args:
        service: the service.
        operations: of the verbs submit, poll, fetch and find, the provider's operation.
    """

    faults: tuple[tuple[Verb, str], ...] = (
        *((verb, what) for verb in ("submit", "poll", "fetch", "find") for what in ("throttled", "error", "expired")),
        ("submit", "lost"),
        *_OTHERS,
    )

    def __init__(self, service: Launcher, operations: Mapping[str, str]) -> None:
        self._service = service
        self._operations = operations

    def n_jobs(self) -> int:
        """Jobs that the service has accepted."""
        return len(self._service.jobs())

    def stage(self, verb: Verb, what: str) -> None:
        """This fault, instead of those that were staged before."""
        call = {"kind": _CALLS.get(what), "operation": self._operations.get(verb), "times": 2}
        self._service.set_faults([_OTHERS.get((verb, what), call)])

    def calm(self) -> None:
        """No fault."""
        self._service.set_faults([])


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """These environment variables, for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
