"""Where long work stands, for a progress line: a call of a device, or something that is computed here."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from qcaan.execution.backend import JobState, JobStatus
from qcaan.execution.records import FINISHED, OPEN, Submission


@dataclass(frozen=True)
class Work:
    """Something that takes long on this machine: `done` of `total` parts; `values` are numbers to show with it."""

    name: str
    done: int
    total: int
    values: Mapping[str, float] = field(default_factory=dict)


def parts(n: int, size: int, name: str, report: Callable[[Work], None] | None) -> Iterator[slice]:
    """`n` things in slices of `size`; `report` is told before each slice, and when all are done."""
    for start in range(0, n, size):
        if report is not None:
            report(Work(name, start, n))
        yield slice(start, min(n, start + size))
    if report is not None:
        report(Work(name, n, n))


@dataclass(frozen=True)
class Progress:
    """Where a call stands. `usd` is spent, `cap_usd` may be; `queue_position` is the best one, if a device tells it.

    `stalled`: jobs of which nothing new was heard for long, queued or running.
    """

    n_submissions: int
    done: int
    running: int
    queued: int
    stalled: int
    queue_position: int | None
    shots: int
    left_s: float | None
    """Seconds until all are done, if they go on as those that are done did; None before the first."""
    usd: float
    cap_usd: float | None

    @classmethod
    def of(
        cls,
        submissions: Iterable[Submission],
        at_device: Iterable[JobState],
        *,
        stalled: int,
        cap_usd: float,
        elapsed_s: float,
        done_before: int,
    ) -> "Progress":
        """Of a call's submissions and the states of those at the device; what is not there yet is queued.

        `done_before` of them were done when the call began, `elapsed_s` ago.
        """
        known, states = list(submissions), list(at_device)
        positions = [state.queue_position for state in states if state.queue_position is not None]
        running = sum(state.status is JobStatus.RUNNING for state in states)
        done = [s for s in known if s.state not in OPEN]
        fresh = len(done) - done_before
        return cls(
            n_submissions=len(known),
            done=len(done),
            running=running,
            queued=len(known) - len(done) - running,
            stalled=stalled,
            queue_position=min(positions, default=None),
            shots=sum(s.shots * (s.n_circuits - len(s.failures)) for s in done if s.state in FINISHED),
            left_s=elapsed_s / fresh * (len(known) - len(done)) if fresh > 0 else None,
            usd=sum(s.usd or 0.0 for s in done),
            cap_usd=None if math.isinf(cap_usd) else cap_usd,
        )
