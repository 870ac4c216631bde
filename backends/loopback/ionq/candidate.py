"""IonQ's driver as it is judged by `qcaan backends check ionq`: IonQ's cloud is the loopback service."""

from collections.abc import Iterator
from contextlib import contextmanager

from backends.loopback.candidate import LoopbackFake, environment
from backends.loopback.ionq import Loopback
from backends.loopback.ionq.recordings import recordings
from qcaan.conformance import Candidate
from qcaan.conformance.candidate import Recording

OPERATIONS = {"submit": "CreateJob", "poll": "GetJob", "fetch": "GetJobProbabilities", "find": "GetJobs"}


@contextmanager
def candidate(**options: object) -> Iterator[Candidate]:
    """The installed driver, with the service instead of IonQ's cloud."""
    device = str(options.get("device", "simulator")).removeprefix("qpu.")
    replies = recordings(device if device == "simulator" else f"qpu.{device}")
    with Loopback() as service, environment(service.environment):
        fake = LoopbackFake(service, OPERATIONS)
        yield Candidate.named("ionq", options, fake=fake, recordings=[Recording(*one) for one in replies])
