"""Takes planned submissions to a device and brings their counts into the store, whatever happens on the way.

One thread, one loop: submit what may be in flight, poll what is due, fetch and decode what is done. Each step is
durable before the next one begins, so a process may die anywhere and another one continues from the journal.

What the courier does about an error is decided by its class. An error of one submission does not stop its siblings:
they are brought home first, then the error is raised. Only a refusal that would hit every submission (credentials, a
device that is offline) stops new ones from being sent.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from qcaan.circuits.native import NativeCircuit
from qcaan.errors import (
    BackendError,
    BudgetError,
    CredentialsError,
    DetachedError,
    IntegrityError,
    QcaanError,
    TargetError,
    TransientError,
    UnavailableError,
    UnknownFateError,
    UnknownJobError,
)
from qcaan.execution.attempts import next_attempt
from qcaan.execution.backend import Backend, JobState, JobStatus, Simulator
from qcaan.execution.counts import Counts, Failed, pack
from qcaan.execution.exchange import Exchange
from qcaan.execution.journal_log import about, log_step
from qcaan.execution.locks import Held
from qcaan.execution.planner import price_usd, violations
from qcaan.execution.policy import Clock, Patience
from qcaan.execution.progress import Progress
from qcaan.execution.records import Call, Submission
from qcaan.execution.store import Store
from qcaan.execution.terms import Terms

__all__ = ["Courier", "Progress", "checked"]


@dataclass
class _Flight:
    """A submission at the device."""

    submission: Submission
    job_id: str
    due: float
    interval: float
    state: JobState = field(default_factory=lambda: JobState(JobStatus.QUEUED))
    unknown_since: float | None = None
    again: int = 0
    """Times that it was sent again, with the same key, to a simulator that had forgotten it."""


class Courier:
    """Drives the submissions of one call. The caller holds the call's lock, and `held` says whether it still does."""

    def __init__(
        self,
        backend: Backend,
        store: Store,
        terms: Terms,
        patience: Patience,
        clock: Clock,
        held: Held,
        refresh: Callable[[], Backend] | None = None,
        report: Callable[[Progress], None] | None = None,
    ) -> None:
        self._device = Exchange(backend, patience, clock, held, refresh)
        self.counts: dict[int, list[Counts | Failed]] = {}
        self._store = store
        self._terms = terms
        self._patience = patience
        self._clock = clock
        self._report = report
        self._batches: dict[int, Sequence[NativeCircuit]] = {}
        self._errors: list[Exception] = []
        self._halted = False

    @property
    def backend(self) -> Backend:
        """The backend, as it is after credentials were renewed."""
        return self._device.backend

    def deliver(self, call: Call, batches: Mapping[int, Sequence[NativeCircuit]]) -> Call:
        """Drive every submission of this device that is not over; `batches` by id, as far as they are at hand.

        Returns:
            The call with its submissions as they are now.

        Raises:
            DetachedError: the deadline passed; the jobs live on.
            BackendError, UnknownFateError, BudgetError: after everything else was brought home.
        """
        self._batches.update(batches)
        self._call = call
        self._known = {s.id: s for s in call.submissions}
        mine = [s for s in call.submissions if (s.backend, s.device) == self._place()]
        waiting = deque(s for s in mine if s.state in ("planned", "sending"))
        flights: dict[int, _Flight] = {}
        started = self._clock.now()
        self._afford([s for s in waiting if s.id not in batches])
        for s in mine:
            if s.state == "replied":
                self._settle(s, partial(self._read_stored, s), waiting)
            elif s.state == "sent":
                assert s.job_id is not None
                flights[s.id] = self._flight(s, s.job_id)
            elif s.state in ("failed", "cancelled", "partial"):
                self._settle(s, partial(self._try_again, s), waiting)
        while waiting or flights:
            while waiting and not self._halted and len(flights) < self._patience.max_in_flight:
                s = waiting.popleft()
                self._settle(s, partial(self._send, s, flights), waiting)
            if self._halted:
                waiting.clear()
            now = self._clock.now()
            due = [f for f in flights.values() if f.due <= now]
            for flight in due:
                self._settle(flight.submission, partial(self._visit, flight, flights), waiting)
            self._tell(flights, waiting)
            if flights and not due:
                if now - started > self._patience.wait_s:
                    self._errors.append(self._detached(flights))
                    break
                self._clock.sleep(max(0.0, min(f.due for f in flights.values()) - now))
        if self._errors:
            self._raise()
        return self._now()

    # One submission

    def _settle(
        self, submission: Submission, step: Callable[[], Submission | None], waiting: deque[Submission]
    ) -> None:
        """Take a step of one submission; its error is kept for the end, a new attempt joins the queue."""
        try:
            again = step()
        except (BackendError, UnknownFateError, BudgetError, DetachedError) as error:
            error.add_note(self._about(submission))
            self._log("error", submission, level=logging.WARNING, more=f"{type(error).__name__}: {error}")
            self._errors.append(error)
            self._halted |= isinstance(error, CredentialsError | UnavailableError | DetachedError)
        else:
            if again is not None:
                waiting.append(again)

    def _afford(self, resumed: Sequence[Submission]) -> None:
        """What was planned under a higher cap is not sent under a lower one."""
        if not any(s.usd_high > 0 for s in resumed):
            return
        try:
            self._store.reserve(self._terms.budget, self._terms.cap_usd)
        except BudgetError as error:
            self._errors.append(error)
            self._halted = True

    def _send(self, s: Submission, flights: dict[int, _Flight], again: int = 0) -> Submission | None:
        job_id = None
        if s.state == "sending":
            job_id = self._device.adopt(s)
        elif s.state == "planned":
            s = self._current(s)
            if not self._device.forgetful:
                self._store.sending(s.id)
                self._log("sending", s)
        if job_id is None:
            job_id = self._device.submit(s, self._batch(s), partial(self._unsent, s))
        if not (self._device.forgetful and job_id == s.key):  # else the journal has the id since the plan was made
            self._record_job(s, job_id)
        self._log("sent", s, job_id=job_id)
        flights[s.id] = self._flight(s, job_id)
        flights[s.id].again = again
        return None

    def _current(self, s: Submission) -> Submission:
        """A submission that was never sent, for the device and the budget as they are now."""
        target, terms = self.backend.target, self._terms
        if s.target == target.digest and s.budget == terms.budget:
            return s
        if wrong := violations([circuit.program for circuit in self._batch(s)], s.shots, target):
            raise TargetError(target.name, [*wrong, "the device changed since this was planned: release it and resume"])
        usd_high = price_usd(target, s.shots, s.n_circuits)
        self._store.retarget(s, target, usd_high, terms.budget, terms.cap_usd)
        return self._changed(replace(s, target=target.digest, usd_high=usd_high, budget=terms.budget))

    def _unsent(self, s: Submission) -> None:
        if not self._device.forgetful:
            self._store.unsent(s.id)
            self._log("unsent", s)

    def _record_job(self, s: Submission, job_id: str) -> None:
        try:
            self._store.sent(s.id, job_id)
        except QcaanError as error:
            error.add_note(f"the device accepted submission {s.key} as job {job_id}")
            raise

    def _send_again(self, flight: _Flight, flights: dict[int, _Flight]) -> None:
        """To a simulator that has forgotten the job: the same key gives the same shots."""
        if flight.again >= self._patience.attempts:
            raise UnknownJobError(f"{self.backend.target.device} forgets job {flight.job_id} again and again")
        self._send(flight.submission, flights, flight.again + 1)

    def _visit(self, flight: _Flight, flights: dict[int, _Flight]) -> Submission | None:
        """Poll a job that is due; bring home what is done."""
        s = flight.submission
        now = self._clock.now()
        flight.interval = min(self._patience.max_poll_s, flight.interval * 1.5)
        flight.due = now + flight.interval / 2 + self._clock.jitter(flight.interval / 2)
        try:
            flight.state = self._device.ask(lambda backend: backend.poll(flight.job_id))
            flight.unknown_since = None
        except TransientError:
            return None  # no news: the next poll is due in a while, up to the deadline of all jobs
        except UnknownJobError:
            if self._device.forgetful:
                del flights[s.id]
                self._send_again(flight, flights)
                return None
            flight.unknown_since = flight.unknown_since if flight.unknown_since is not None else now
            if now - flight.unknown_since < self._patience.late_s:
                return None
            del flights[s.id]
            raise
        except BackendError:
            del flights[s.id]
            raise
        if flight.state.status in (JobStatus.QUEUED, JobStatus.RUNNING):
            return None
        del flights[s.id]
        if flight.state.status is JobStatus.DONE:
            return self._collect(flight, flights)
        # A failed job is not charged; one that was cancelled while it ran may be: its high estimate stays.
        state, usd = ("failed", 0.0) if flight.state.status is JobStatus.FAILED else ("cancelled", s.usd_high)
        self._store.over(s.id, state, flight.state.reason, usd)
        over = self._changed(replace(s, state=state, reason=flight.state.reason, usd=usd, job_id=flight.job_id))
        self._log(state, over, more=over.reason)
        return self._try_again(over)

    def _collect(self, flight: _Flight, flights: dict[int, _Flight]) -> Submission | None:
        s = flight.submission
        try:
            reply = self._device.fetch(s, flight.job_id)
        except UnknownJobError:
            if not self._device.forgetful:
                raise
            self._send_again(flight, flights)
            return None
        self._store.replied(s.id, flight.job_id, reply)
        self._log("replied", s, job_id=flight.job_id)
        return self._read(s, reply, flight.job_id)

    def _read_stored(self, s: Submission) -> Submission | None:
        reply = self._store.blob(s.id, "reply")
        assert reply is not None, "the state replied is written with its reply"
        assert s.job_id is not None, "and with its job"
        return self._read(s, reply, s.job_id)

    def _read(self, s: Submission, reply: bytes, job_id: str) -> Submission | None:
        """Decode a reply that is in the store, and end the submission."""
        batch = self._batch(s)
        try:
            items = checked(self.backend.decode(reply, batch), batch, s.shots)
        except IntegrityError:
            # A transfer that was cut short looks like this too: another copy may be whole.
            try:
                again = self._device.fetch(s, job_id)
            except BackendError:
                again = reply
            if again == reply:
                raise
            self._store.replied(s.id, job_id, again)
            reply = again
            items = checked(self.backend.decode(reply, batch), batch, s.shots)
        failures = {place: item.reason for place, item in enumerate(items) if isinstance(item, Failed)}
        packs_itself = getattr(self.backend.decode, "__func__", None) is Simulator.decode
        target = self.backend.target
        price = target if s.target == target.digest else self._store.target(s.target)
        usd = price_usd(price, s.shots, len(items) - len(failures))
        self._store.decoded(s.id, None if packs_itself else pack(items), failures, usd)
        self.counts[s.id] = items
        changed = self._changed(
            replace(s, state="partial" if failures else "done", failures=failures, usd=usd, job_id=job_id)
        )
        self._log(changed.state, changed)
        return self._try_again(changed) if failures else None

    def _try_again(self, s: Submission) -> Submission | None:
        """A new attempt for the circuits that the provider failed, with a new key and new money."""
        if any(o.position == s.position and o.attempt == s.attempt + 1 for o in self._known.values()):
            return None
        draft = next_attempt(
            s, self._known.values(), self._batch(s), self.backend.target, self._terms, self._patience.attempts
        )
        terms = self._terms
        planned = self._store.plan(
            self.backend.target,
            [draft],
            call=self._call,
            budget=terms.budget,
            cap_usd=terms.cap_usd,
            versions=terms.versions,
        )
        made = planned.submissions[-1]
        self._known[made.id] = made
        self._batches[made.id] = draft.circuits
        self._log("planned", made, more=f"attempt {made.attempt + 1}")
        return made

    # Bookkeeping

    def _place(self) -> tuple[str, str]:
        return (self.backend.target.name, self.backend.target.device)

    def _flight(self, s: Submission, job_id: str) -> _Flight:
        return _Flight(s, job_id, self._clock.now(), self._patience.first_poll_s)

    def _batch(self, s: Submission) -> Sequence[NativeCircuit]:
        if s.id not in self._batches:
            self._batches[s.id] = self._store.batch(s.id)
        return self._batches[s.id]

    def _changed(self, changed: Submission) -> Submission:
        self._known[changed.id] = changed
        return changed

    def _now(self) -> Call:
        return replace(self._call, submissions=sorted(self._known.values(), key=lambda s: (s.position, s.attempt)))

    def _detached(self, flights: dict[int, _Flight]) -> DetachedError:
        job_ids = [flight.job_id for flight in flights.values()]
        return DetachedError(
            f"{len(job_ids)} job(s) are still queued or running at {self.backend.target.device} after "
            f"{self._patience.wait_s:g} s; nothing is lost, resume later",
            job_ids,
        )

    def _about(self, s: Submission) -> str:
        return about(self._call.run, self._call.tag, s)

    def _log(
        self, step: str, s: Submission, *, level: int = logging.INFO, job_id: str | None = None, more: str = ""
    ) -> None:
        log_step(step, self._call.run, self._call.tag, s, level=level, job_id=job_id, more=more)

    def _raise(self) -> None:
        """Raise the first error that is more than a time-out, with the others as notes."""
        first, *others = sorted(self._errors, key=lambda error: isinstance(error, DetachedError))
        for other in others:
            first.add_note(f"also: {type(other).__name__}: {other}")
        raise first

    def _tell(self, flights: dict[int, _Flight], waiting: deque[Submission]) -> None:
        if self._report is not None:
            states = [flight.state for flight in flights.values()]
            self._report(Progress.of(self._known.values(), states, len(waiting), self._terms.cap_usd))


def checked(items: Sequence[Counts | Failed], batch: Sequence[NativeCircuit], shots: int) -> list[Counts | Failed]:
    """The decoded items, if they are what was asked for.

    Raises:
        IntegrityError: the number of results, of qubits or of shots is another.
    """
    if len(items) != len(batch):
        raise IntegrityError(f"the reply has {len(items)} results for {len(batch)} circuits")
    for place, (item, circuit) in enumerate(zip(items, batch, strict=True)):
        if isinstance(item, Failed):
            continue
        if item.n_qubits != circuit.n_qubits:
            raise IntegrityError(f"result {place} has {item.n_qubits} qubits, its circuit {circuit.n_qubits}")
    for place, total in _totals(items):
        if total != shots:
            raise IntegrityError(f"result {place} has {total} shots, {shots} were asked for")
    return list(items)


def _totals(items: Sequence[Counts | Failed]) -> list[tuple[int, int]]:
    """(place, shots) of what was run, added up all at once."""
    good = [(place, item.counts) for place, item in enumerate(items) if isinstance(item, Counts)]
    sums = np.cumsum(np.concatenate([np.zeros(1, np.int64), *(counts for _, counts in good)]))
    ends = np.cumsum([0, *(counts.size for _, counts in good)])
    return list(zip([place for place, _ in good], np.diff(sums[ends]).tolist(), strict=True))
