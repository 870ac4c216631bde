"""Braket's driver as it is judged by `qcaan backends check braket`: a device at AWS is the loopback service."""

from collections.abc import Iterator
from contextlib import contextmanager

from backends.loopback.braket import Loopback
from backends.loopback.candidate import LoopbackFake, environment
from qcaan.conformance import Candidate

OPERATIONS = {
    "submit": "CreateQuantumTask",
    "poll": "GetQuantumTask",
    "fetch": "GetObject",
    "find": "SearchQuantumTasks",
}


@contextmanager
def candidate(**options: object) -> Iterator[Candidate]:
    """The installed driver; a device at AWS is stood in for by the service."""
    if options.get("device", "local") == "local" or options.get("emulate"):
        yield Candidate.named("braket", options)
        return
    with Loopback(program_sets=True) as service, environment(service.environment):
        yield Candidate.named("braket", options, fake=LoopbackFake(service, OPERATIONS))
