"""A quantum task: what was asked for, and how far it has come."""

from dataclasses import dataclass, field
from typing import Any

from backends.loopback.braket.devices import PROGRAM_SET
from backends.loopback.jobs import Job


@dataclass(kw_only=True)
class Task(Job):
    """One task: id and device are ARNs, shots those of all executables together."""

    token: str
    """The client's idempotency token."""
    request: str
    """SHA-256 of all that was asked for with it."""
    bucket: str
    folder: str
    """Where results go in the bucket, without a slash at the end."""
    parameters: str
    """Device parameters, JSON text."""
    kind: str
    """The action's type: a program or a program set."""
    executables: list[int]
    """Number of executables of each program."""
    tags: dict[str, str] = field(default_factory=dict)
    associations: list[dict[str, str]] = field(default_factory=list)

    @property
    def is_set(self) -> bool:
        """It is a program set."""
        return self.kind == PROGRAM_SET

    @property
    def n_circuits(self) -> int:
        """Executables of all programs."""
        return sum(self.executables)

    def summary(self) -> dict[str, Any]:
        """What SearchQuantumTasks tells, and a part of what GetQuantumTask tells."""
        return {
            "quantumTaskArn": self.id,
            "status": self.status,
            "deviceArn": self.device,
            "shots": self.shots,
            "outputS3Bucket": self.bucket,
            "outputS3Directory": self.folder,
            "createdAt": self.created,
            "endedAt": self.ended,
            "tags": self.tags,
        }

    def detail(self, position: int | None) -> dict[str, Any]:
        """What GetQuantumTask tells; `position` in the queue, 1 for the next."""
        place = "None" if position is None else str(position) if position <= 2000 else ">2000"
        told = f"Task is in {self.status} status. AmazonBraket does not show queue position for this status."
        queue = {"queue": "QUANTUM_TASKS_QUEUE", "queuePriority": "Normal", "position": place}
        action: dict[str, Any] = {"actionType": self.kind}
        if self.is_set:
            action |= {"programCount": len(self.executables), "executableCount": self.n_circuits}
        return self.summary() | {
            "failureReason": self.reason or None,
            "deviceParameters": self.parameters,
            "queueInfo": queue | ({"message": told} if position is None else {}),
            "associations": self.associations,
            "numSuccessfulShots": self.successful_shots,
            "actionMetadata": action,
        }
