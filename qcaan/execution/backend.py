"""The driver contract: all that a driver author reads.

A driver translates. It turns native circuits into one provider call, and the provider's reply into counts. Compiling,
planning, batching, retrying, journaling, caching, budgeting and polling exist once, in the core, for every device.

Rules for a driver:

- A method makes at most one provider call and never sleeps, loops, retries or caches.
- The calls of a remote device (all but a `Simulator`) may come from several threads at once: share a client only if its
  SDK says that it may be shared. `decode` and everything about a `Simulator` stays on one thread.
- Qubit 0 is the leftmost bit, angles are radians. A driver converts to the provider's order and units, and back.
- Foreign errors become `qcaan.errors.BackendError` subclasses (their type tells the core what to do), cause kept.
- `decode` is pure: it needs nothing but the reply and the batch, so that a reply paid for years ago can be decoded
  again in another process.
- Options are the fields of the driver's dataclass, so keyword arguments only. Secrets are only referenced.
- A local simulator subclasses `Simulator` and writes one method.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from functools import cached_property
from typing import Literal, Self

from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import NativeCircuit
from qcaan.circuits.report import DeviceFigures
from qcaan.errors import IntegrityError, UnknownJobError
from qcaan.execution.counts import Counts, Failed, pack, unpack

__all__ = ["Backend", "Counts", "Failed", "JobState", "JobStatus", "Price", "Simulator", "Target"]


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a device charges, in US dollars."""

    per_task_usd: float = 0.0
    per_shot_usd: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Target:
    """The facts of a device, frozen and stored with every result. Everything is checked against them before a call."""

    name: str
    """The backend's name in the registry."""
    device: str
    """What the provider calls the device: an ARN, a simulator's name."""
    kind: Literal["simulator", "emulator", "qpu"]
    n_qubits: int
    native_gates: tuple[str, ...]
    """One-qubit pulses and the entangler: ("gpi", "gpi2", "ms") or ("gpi", "gpi2", "zz"), or both entanglers."""
    connectivity: tuple[tuple[int, int], ...] | None = None
    """Pairs that can be entangled; None for all of them."""
    recompiled_by: str = ""
    """What compiles native circuits further, to the device's own gates; "" where they run as they are."""
    min_shots: int = 1
    max_shots: int = 1_000_000
    """Shots of one circuit in one submission; more shots are split and merged."""
    max_circuits: int = 1
    """Circuits in one submission."""
    max_total_shots: int | None = None
    """Limit of the shots of all circuits in one submission together; None for no limit."""
    max_gate_shots: int | None = None
    """Limit of gates x shots of one circuit in one submission."""
    returns: Literal["shots", "counts", "probabilities"] = "counts"
    """What the provider's reply holds."""
    dedupe: Literal["key", "search", "none"] = "none"
    """How a lost submission is adopted: the same key is never run twice; `find` can look for it; or not at all."""
    seedable: bool = False
    """The same key gives the same shots."""
    exact: bool = False
    """`Simulator.probabilities` gives exact float64 probabilities."""
    ideal: bool = False
    """The device is noise-free and exact, and is the core's own engine: gradients may come from its adjoint method."""
    price: Price = Price()
    figures: DeviceFigures | None = None
    """Fidelities and durations, as the provider states them; None for a simulator."""
    windows: tuple[str, ...] = ()
    """When the device runs jobs, such as "Monday 09:00-17:00 UTC"; outside of it they wait. Empty for always."""
    mitigation: str = "none"
    calibration: str = ""
    """Identifies the calibration: what was recorded under another one is never used again.

    A call that outlasts a calibration has submissions of both; each keeps its own target.
    """
    account: str = ""
    """Devices of one account share a rate limit."""
    encoder: int = 1
    """Version of the driver's encoding; raised when the same native circuit is sent in another form."""

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        facts = json.loads(text)
        pairs, figures = facts["connectivity"], facts.get("figures")
        facts["connectivity"] = None if pairs is None else tuple((a, b) for a, b in pairs)
        facts["figures"] = None if figures is None else DeviceFigures(**figures)
        facts |= {name: tuple(facts[name]) for name in ("native_gates", "windows") if name in facts}
        return cls(**facts | {"price": Price(**facts["price"])})

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of `to_json`."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


class JobStatus(Enum):
    """Where a submission stands at the provider."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class JobState:
    """Status of a job, with what else the provider says of it."""

    status: JobStatus
    reason: str = ""
    """Why it failed or was cancelled."""
    queue_position: int | None = None
    usd: float | None = None
    """What the provider says it charged, once the job has ended; None: the price list decides."""


class Backend(ABC):
    """A device. Five calls (and `find`), none of which sleeps, loops, retries or caches; threads may share it."""

    target: Target

    @abstractmethod
    def submit(self, batch: Sequence[NativeCircuit], shots: int, key: str) -> str:
        """Send circuits in one provider call, `shots` of each; return the provider's job id.

        `key` is at most 64 hex characters, unique to this attempt: the provider sees it as idempotency token, tag or
        name, whatever `Target.dedupe` promises.

        Raises:
            BackendError: the subclass says whether to try again.
        """

    @abstractmethod
    def poll(self, job_id: str) -> JobState:
        """Where the job stands now.

        Raises:
            UnknownJobError: the provider does not know this id (a simulator forgets its jobs with its process).
        """

    @abstractmethod
    def fetch(self, job_id: str) -> bytes:
        """The provider's reply of a job that is done, verbatim.

        Raises:
            LateError: the job is done but the reply is not readable yet.
        """

    @abstractmethod
    def decode(self, reply: bytes, batch: Sequence[NativeCircuit]) -> list[Counts | Failed]:
        """One entry a circuit, in the batch's order. Pure: no network, no state.

        Raises:
            IntegrityError: the reply contradicts the batch.
        """

    def find(self, key: str) -> str | None:
        """The id of the job that was submitted with `key`, None if there is none; needed for dedupe "search"."""
        raise NotImplementedError(f"backend '{self.target.name}' cannot look jobs up by key")

    @abstractmethod
    def cancel(self, job_id: str) -> None:
        """Ask the provider to cancel; cancelling a job that has ended is not an error."""


class Simulator(Backend):
    """A local simulator: a subclass sets `target` and writes `sample`, and `probabilities` where `Target.exact`.

    A submission runs at once. Its seed derives from its key, so the same key gives the same shots, in any process:
    that is what `Target.dedupe` "key" means here, and why a job that died with its process is simply submitted again.
    """

    def __init__(self) -> None:
        self._replies: dict[str, tuple[bytes, list[Counts]]] = {}
        self._latest: tuple[bytes, list[Counts]] = (b"", [])

    @abstractmethod
    def sample(self, batch: Sequence[NativeCircuit], shots: int, seed: int) -> list[Counts]:
        """`shots` shots of each circuit; `seed` (63 bits) determines them; items must not share random numbers."""

    def probabilities(self, batch: Sequence[NativeCircuit]) -> list[FloatArray]:
        """Exact probabilities, float64 (2**n_qubits,) each, indexed by the bitstring as a binary number."""
        raise NotImplementedError(f"backend '{self.target.name}' does not give exact probabilities")

    def submit(self, batch: Sequence[NativeCircuit], shots: int, key: str) -> str:
        """Run the batch now; the job id is the key."""
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1
        items = self.sample(batch, shots, seed)
        self._replies[key] = (pack(items), items)
        return key

    def poll(self, job_id: str) -> JobState:
        """Done, or unknown."""
        if job_id not in self._replies:
            raise UnknownJobError(f"simulator '{self.target.name}' has no job {job_id}")
        return JobState(JobStatus.DONE)

    def fetch(self, job_id: str) -> bytes:
        """The packed counts; handed over once."""
        if job_id not in self._replies:
            raise UnknownJobError(f"simulator '{self.target.name}' has no job {job_id}")
        self._latest = self._replies.pop(job_id)
        return self._latest[0]

    def decode(self, reply: bytes, batch: Sequence[NativeCircuit]) -> list[Counts | Failed]:
        """Unpack the counts; a reply that was just handed over needs no unpacking."""
        items: list[Counts | Failed]
        items = list(self._latest[1]) if reply is self._latest[0] else unpack(reply)
        if len(items) != len(batch):
            raise IntegrityError(f"the reply has {len(items)} items for {len(batch)} circuits")
        return items

    def cancel(self, job_id: str) -> None:
        """Forget the job."""
        self._replies.pop(job_id, None)
