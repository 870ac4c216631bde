"""IonQ's driver as it is judged by `qcaan backends check ionq`: IonQ's cloud is the loopback service."""

from collections.abc import Iterator
from contextlib import contextmanager

from backends.loopback.candidate import LoopbackFake, environment
from backends.loopback.ionq import Loopback
from qcaan.conformance import Candidate

OPERATIONS = {"submit": "CreateJob", "poll": "GetJob", "fetch": "GetJobProbabilities", "find": "GetJobs"}


@contextmanager
def candidate(**options: object) -> Iterator[Candidate]:
    """The installed driver, with the service instead of IonQ's cloud."""
    with Loopback() as service, environment(service.environment):
        yield Candidate.named("ionq", options, fake=LoopbackFake(service, OPERATIONS))
