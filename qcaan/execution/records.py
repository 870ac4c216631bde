"""The journal's rows as frozen data."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from qcaan.circuits.native import NativeCircuit
from qcaan.execution import payload
from qcaan.execution.counts import IntArray

OPEN = ("planned", "sending", "sent", "replied")
"""States of a submission that is not over yet."""
FINISHED = ("done", "partial")
"""States of a submission that has counts; "partial": for circuits that failed, a new attempt is due."""
UNLUCKY = ("failed", "cancelled", "partial")
"""States of a submission whose circuits, all or some, the provider did not run."""
KEPT = "the reply is in the store, and 'qcaan jobs redecode' reads it again after a decoder fix, at no cost"
"""Of a submission that was replied to, for people."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A submission to be planned. `items` int64 (k,): each circuit's place in the call; `flips` int64 (k,)."""

    position: int
    attempt: int
    key: str
    circuits: Sequence[NativeCircuit]
    items: IntArray
    flips: IntArray
    shots: int
    usd_high: float


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A row of the journal. `failures`: place in the batch -> reason, of circuits that the provider did not run."""

    id: int
    call: int
    position: int
    attempt: int
    key: str
    state: str
    backend: str
    device: str
    kind: str
    target: str
    shots: int
    n_circuits: int
    places: bytes
    payload_digest: str
    """SHA-256 (hex) of the circuits as they are stored."""
    budget: str
    usd_high: float
    usd: float | None
    job_id: str | None
    status: str
    """What the provider said of the job when it said something new: "queued", "running", ...; "" before that."""
    queue_position: int | None
    status_at: float | None
    """When it said so, seconds since 1970."""
    reason: str
    failures: dict[int, str]
    versions: str
    created_at: float
    sent_at: float | None
    done_at: float | None

    def changed(self, **facts: Any) -> Self:  # noqa: ANN401 - any column of the row
        """The row with other facts, but for `places`: what was read out of them stays."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__ | facts)
        return made

    @cached_property
    def where(self) -> tuple[IntArray, IntArray]:
        """For each circuit its number in the call and its readout flips as a binary number, int64 (k,) each."""
        return payload.decode_places(self.places)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A recorded `Runner.run`: what was asked, and its submissions by position and attempt."""

    id: int
    run: str
    tag: str
    digest: str
    requests: str
    seed: str
    submissions: list[Submission]


@dataclass(frozen=True)
class Reuse:
    """Shots that another run recorded, used by `item` of this call."""

    submission: int
    place: int
    item: int
    flips: int
