"""What is told of jobs: the members of IonQ's documents, and its words for states."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from backends.loopback.ionq.devices import ACCOUNT
from backends.loopback.jobs import Job

_STATES = {
    "QUEUED": "ready",
    "RUNNING": "started",
    "CANCELLING": "started",
    "COMPLETED": "completed",
    "FAILED": "failed",
    "CANCELLED": "canceled",
}
SINGLE = "ionq.result.probabilities.json.v1"
AGGREGATE = "ionq.result.probabilities-aggregate.json.v1"
LOST = "the ions were lost (injected fault)"
Json = dict[str, Any]


@dataclass(kw_only=True)
class IonqJob(Job):
    """A job: its id is a UUID, its device IonQ's name, its shots those of all circuits together."""

    type: str
    name: str | None
    metadata: dict[str, str] | None
    settings: Json
    noise: Json | None
    gates: dict[str, int]
    n_qubits: int
    names: list[str | None]
    """The circuits' names."""
    prices: list[str]
    """US dollars of each circuit."""
    children: list[str] = field(default_factory=list)
    """Ids of the circuits' jobs; none for a single circuit."""
    results: list[str] = field(default_factory=list)
    """Ids of the circuits that have a result."""

    @property
    def n_circuits(self) -> int:
        """Its circuits."""
        return len(self.names)

    @property
    def key(self) -> str:
        """What the client calls it."""
        return (self.metadata or {}).get("qcaan-key", "")

    def view(self) -> Json:
        """As people and tests see it."""
        return super().view() | {"key": self.key}


def job_document(job: IonqJob) -> Json:
    """What `GET /jobs/ID` tells of a job."""
    return _document(job, job.id, None, job.name, _STATES[job.status], job.reason) | {
        "metadata": job.metadata,
        "child_job_ids": job.children or None,
        "results": _results(job, job.id, aggregate=bool(job.children)) if job.status == "COMPLETED" else None,
        "stats": {"qubits": job.n_qubits, "circuits": job.n_circuits, "gate_counts": job.gates},
    }


def child_documents(job: IonqJob) -> list[Json]:
    """What is told of a job's children."""
    return [child_document(job, place) for place in range(len(job.children))]


def child_document(job: IonqJob, place: int) -> Json:
    """What `GET /jobs/ID` tells of a child: it stands where its parent does, but may have failed alone."""
    child = job.children[place]
    state = _STATES[job.status]
    if job.status == "COMPLETED" and child not in job.results:
        state = "failed"
    reason = (job.reason or LOST) if state == "failed" else ""
    return _document(job, child, job.id, job.names[place], state, reason) | {
        "type": "ionq.circuit.v1",
        "metadata": None,
        "child_job_ids": None,
        "results": _results(job, child, aggregate=False) if child in job.results else None,
        "stats": {"qubits": job.n_qubits, "circuits": 1},
    }


def listing(jobs: Sequence[Json], following: str | None) -> Json:
    """A page of `GET /jobs`."""
    return {"jobs": list(jobs), "next": following}


def _document(job: IonqJob, name: str, parent: str | None, label: str | None, state: str, reason: str) -> Json:
    ran = job.started is not None and job.ended is not None
    return {
        "id": name,
        "status": state,
        "type": job.type,
        "backend": job.device,
        "dry_run": False,
        "submitter_id": ACCOUNT["key_id"],
        "project_id": ACCOUNT["project_id"],
        "parent_job_id": parent,
        "session_id": None,
        "name": label,
        "submitted_at": iso(job.created),
        "started_at": iso(job.started) if job.started is not None else None,
        "completed_at": iso(job.ended) if job.ended is not None else None,
        "predicted_wait_time_ms": None,
        "predicted_execution_duration_ms": None,
        "execution_duration_ms": round(1000 * ((job.ended or 0) - (job.started or 0))) if ran else None,
        "failure": {"code": "QuantumComputerError", "message": reason} if state == "failed" else None,
        "settings": job.settings,
        "output": {},
    } | _simulated(job)


def _simulated(job: IonqJob) -> Json:
    """The ideal simulator tells no shots; computers have no noise model."""
    told: Json = {} if job.noise is None else {"noise": job.noise}
    ideal = job.noise is not None and job.noise["model"] == "ideal"
    return told if ideal else told | {"shots": job.shots // job.n_circuits}


def _results(job: IonqJob, name: str, *, aggregate: bool) -> Json:
    """Where results lie: as an address, and as an artifact."""
    ending, kind = ("/aggregated", AGGREGATE) if aggregate else ("", SINGLE)
    artifact = "probabilities-aggregate" if aggregate else "probabilities"
    return {
        "probabilities": {"url": f"/v0.4/jobs/{name}/results/probabilities{ending}"},
        kind: {"id": artifact, "format": kind, "media_type": "application/json"},
    }


def iso(seconds: float) -> str:
    """A time in seconds since 1970 as YYYY-MM-DDTHH:mm:ss.sssZ."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
