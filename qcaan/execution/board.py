"""What is known of a call's submissions while they are under way."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from qcaan.circuits.native import NativeCircuit
from qcaan.execution.backend import JobState
from qcaan.execution.counts import Counts, Failed
from qcaan.execution.journal_log import about, log_step
from qcaan.execution.progress import Progress
from qcaan.execution.records import OPEN, Call, Submission
from qcaan.execution.store import Store


class Board:
    """Rows as they are now, circuits, counts, and where the jobs at the device stand, all by the submission's id."""

    def __init__(
        self,
        call: Call,
        batches: Mapping[int, Sequence[NativeCircuit]],
        store: Store,
        now: Callable[[], float],
        report: Callable[["Board"], None],
    ) -> None:
        self._call = call
        self._report = report
        self._now = now
        self._began = (now(), sum(s.state not in OPEN for s in call.submissions))
        self._store = store
        self._batches = dict(batches)
        self._known = {s.id: s for s in call.submissions}
        self._at_device: dict[int, JobState] = {}
        self._stalled: set[int] = set()
        self.counts: dict[int, list[Counts | Failed]] = {}
        self.overdue: list[str] = []
        """Job ids that were left at the device because the deadline passed."""

    @property
    def call(self) -> Call:
        """The call with its submissions as they are now."""
        return replace(self._call, submissions=sorted(self._known.values(), key=lambda s: (s.position, s.attempt)))

    @property
    def submissions(self) -> list[Submission]:
        """Every submission of the call."""
        return list(self._known.values())

    def batch(self, s: Submission) -> Sequence[NativeCircuit]:
        """The circuits of a submission, from memory or from the store."""
        if s.id not in self._batches:
            self._batches[s.id] = self._store.batch(s.id)
        return self._batches[s.id]

    def add(self, s: Submission, batch: Sequence[NativeCircuit]) -> None:
        """A submission that was planned just now."""
        self._known[s.id] = s
        self._batches[s.id] = batch

    def change(self, s: Submission, **facts: Any) -> Submission:  # noqa: ANN401 - any column of the row
        """The submission as it is now in the store."""
        self._known[s.id] = s.changed(**facts)
        return self._known[s.id]

    def place(self, s: Submission, state: JobState, *, stalled: bool) -> None:
        """Where the submission's job stands at the device."""
        before = (self._at_device.get(s.id), self.is_stalled(s))
        self._at_device[s.id] = state
        if stalled:
            self._stalled.add(s.id)
        else:
            self._stalled.discard(s.id)
        if before != (state, stalled):
            self.tell()

    def leave(self, s: Submission) -> None:
        """The submission's job is not at the device any more, or nobody looks at it."""
        self._at_device.pop(s.id, None)
        self._stalled.discard(s.id)

    def is_stalled(self, s: Submission) -> bool:
        """Whether the submission was placed as stalled."""
        return s.id in self._stalled

    def tell(self) -> None:
        """Report that something changed."""
        self._report(self)

    def progress(self, cap_usd: float) -> Progress:
        """Where the call stands."""
        return Progress.of(
            self._known.values(),
            self._at_device.values(),
            stalled=len(self._stalled),
            cap_usd=cap_usd,
            elapsed_s=self._now() - self._began[0],
            done_before=self._began[1],
        )

    def about(self, s: Submission) -> str:
        """Which submission, in words."""
        return about(self._call.run, self._call.tag, s)

    def log(
        self, step: str, s: Submission, *, level: int = logging.INFO, job_id: str | None = None, more: str = ""
    ) -> None:
        """Tell that a submission took a step."""
        log_step(step, self._call.run, self._call.tag, s, level=level, job_id=job_id, more=more)
