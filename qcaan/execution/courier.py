"""Takes planned submissions to a device and brings their counts into the store, whatever happens on the way.

One thread, one loop: submit what may be in flight, poll what is due, fetch and decode what is done. Each step is
durable before the next one begins, so a process may die anywhere and another one continues from the journal.

What the courier does about an error is decided by its class. An error of one submission does not stop its siblings:
they are brought home first, then the error is raised. Only a refusal that would hit every submission (credentials, a
device that is offline) stops new ones from being sent.
"""

import logging
import math
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
    JobFailedError,
    QcaanError,
    TransientError,
    UnavailableError,
    UnknownFateError,
    UnknownJobError,
)
from qcaan.execution.backend import Backend, JobState, JobStatus, Simulator
from qcaan.execution.counts import Counts, Failed, pack
from qcaan.execution.exchange import Exchange
from qcaan.execution.planner import price_usd
from qcaan.execution.policy import Clock, Patience
from qcaan.execution.records import FINISHED, OPEN, Call, Draft, Submission
from qcaan.execution.store import Store
from qcaan.execution.terms import Terms

log = logging.getLogger("qcaan.execution")


@dataclass(frozen=True)
class Progress:
    """Where a call stands, for a progress line."""

    n_submissions: int
    done: int
    running: int
    queued: int
    queue_position: int | None
    shots: int
    usd: float
    cap_usd: float | None


@dataclass
class _Flight:
    """A submission at the device."""

    submission: Submission
    job_id: str
    due: float
    interval: float
    state: JobState = field(default_factory=lambda: JobState(JobStatus.QUEUED))
    unknown_since: float | None = None


class Courier:
    """Drives the submissions of one call. The caller holds the call's lock."""

    def __init__(
        self,
        backend: Backend,
        store: Store,
        terms: Terms,
        patience: Patience,
        clock: Clock,
        refresh: Callable[[], Backend] | None = None,
        report: Callable[[Progress], None] | None = None,
    ) -> None:
        self._device = Exchange(backend, patience, clock, refresh)
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
                    self._detach(flights)
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
        except DetachedError:
            raise
        except (BackendError, UnknownFateError, BudgetError) as error:
            error.add_note(self._about(submission))
            log.warning("%s: %s", self._about(submission), error)
            self._errors.append(error)
            self._halted |= isinstance(error, CredentialsError | UnavailableError)
        else:
            if again is not None:
                waiting.append(again)

    def _send(self, s: Submission, flights: dict[int, _Flight]) -> Submission | None:
        dedupe = self._device.dedupe
        job_id = self._device.adopt(s) if s.state == "sending" else None
        if job_id is None:
            if dedupe != "key":
                self._store.sending(s.id)
            job_id = self._device.submit(s, self._batch(s), partial(self._unsent, s))
        if not (dedupe == "key" and job_id == s.key):  # else the journal has the id since the plan was made
            self._record_job(s, job_id)
        flights[s.id] = self._flight(s, job_id)
        return None

    def _unsent(self, s: Submission) -> None:
        if self._device.dedupe != "key":
            self._store.unsent(s.id)

    def _record_job(self, s: Submission, job_id: str) -> None:
        try:
            self._store.sent(s.id, job_id)
        except QcaanError as error:
            error.add_note(f"the device accepted submission {s.key} as job {job_id}")
            raise

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
                self._send(s, flights)
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
        failed = flight.state.status is JobStatus.FAILED
        self._store.over(s.id, "failed" if failed else "cancelled", flight.state.reason, 0.0 if failed else s.usd_high)
        return self._try_again(
            self._changed(replace(s, state="failed" if failed else "cancelled", reason=flight.state.reason))
        )

    def _collect(self, flight: _Flight, flights: dict[int, _Flight]) -> Submission | None:
        s = flight.submission
        try:
            reply = self._device.fetch(s, flight.job_id)
        except UnknownJobError:
            if not self._device.forgetful:
                raise
            self._send(s, flights)
            return None
        self._store.replied(s.id, flight.job_id, reply)
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
            items = _checked(self.backend.decode(reply, batch), batch, s.shots)
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
            items = _checked(self.backend.decode(reply, batch), batch, s.shots)
        failures = {place: item.reason for place, item in enumerate(items) if isinstance(item, Failed)}
        packs_itself = getattr(self.backend.decode, "__func__", None) is Simulator.decode
        usd = price_usd(self.backend.target, s.shots, len(items) - len(failures)) if len(failures) < len(items) else 0.0
        self._store.decoded(s.id, None if packs_itself else pack(items), failures, usd)
        self.counts[s.id] = items
        changed = self._changed(
            replace(s, state="partial" if failures else "done", failures=failures, usd=usd, job_id=job_id)
        )
        return self._try_again(changed) if failures else None

    def _try_again(self, s: Submission) -> Submission | None:
        """A new attempt for the circuits that the provider failed, with a new key and new money."""
        if any(o.position == s.position and o.attempt == s.attempt + 1 for o in self._known.values()):
            return None
        if s.state == "cancelled":
            raise JobFailedError(f"job {s.job_id or s.key} was cancelled; release the submission to run it again")
        places = np.array(sorted(s.failures) if s.state == "partial" else range(s.n_circuits), np.int64)
        reasons = [s.failures.get(int(p), s.reason) for p in places]
        items, flips = (column[places] for column in s.where)
        before = self._failed_before(s)
        stuck = [(int(item), why) in before for item, why in zip(items, reasons, strict=True)]
        if s.attempt + 1 >= self._patience.attempts or any(stuck):
            why = "twice for the same reason" if any(stuck) else f"{s.attempt + 1} times"
            raise JobFailedError(f"job {s.job_id or s.key} failed {why}: {'; '.join(sorted(set(reasons)))}")
        batch = self._batch(s)
        draft = Draft(
            position=s.position,
            attempt=s.attempt + 1,
            key=self._terms.key(s.position, s.attempt + 1),
            circuits=[batch[int(p)] for p in places],
            items=items,
            flips=flips,
            shots=s.shots,
            usd_high=price_usd(self.backend.target, s.shots, len(places)),
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
        log.info("%s: attempt %d of submission %d", self._about(made), made.attempt + 1, made.position)
        return made

    def _failed_before(self, s: Submission) -> set[tuple[int, str]]:
        """(item, reason) of what failed in the attempt before this one."""
        rows = self._known.values()
        before = next((o for o in rows if (o.position, o.attempt) == (s.position, s.attempt - 1)), None)
        if before is None:
            return set()
        items = before.where[0].tolist()
        whole = before.state == "failed"
        return {
            (items[p], before.failures.get(p, before.reason)) for p in (range(len(items)) if whole else before.failures)
        }

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

    def _detach(self, flights: dict[int, _Flight]) -> None:
        job_ids = [flight.job_id for flight in flights.values()]
        raise DetachedError(
            f"{len(job_ids)} job(s) are still queued or running at {self.backend.target.device} after "
            f"{self._patience.wait_s:g} s; nothing is lost, resume later",
            job_ids,
        )

    def _about(self, s: Submission) -> str:
        return f"run '{self._call.run}', '{self._call.tag}', submission {s.key}, job {s.job_id or 'unknown'}"

    def _raise(self) -> None:
        first, *others = self._errors
        for other in others:
            first.add_note(f"also: {type(other).__name__}: {other}")
        raise first

    def _tell(self, flights: dict[int, _Flight], waiting: deque[Submission]) -> None:
        if self._report is None:
            return
        positions = [f.state.queue_position for f in flights.values() if f.state.queue_position is not None]
        running = sum(f.state.status is JobStatus.RUNNING for f in flights.values())
        done = [s for s in self._known.values() if s.state not in OPEN]
        self._report(
            Progress(
                n_submissions=len(self._known),
                done=len(done),
                running=running,
                queued=len(flights) - running + len(waiting),
                queue_position=min(positions, default=None),
                shots=sum(s.shots * (s.n_circuits - len(s.failures)) for s in done if s.state in FINISHED),
                usd=sum(s.usd or 0.0 for s in done),
                cap_usd=None if math.isinf(self._terms.cap_usd) else self._terms.cap_usd,
            )
        )


def _checked(items: Sequence[Counts | Failed], batch: Sequence[NativeCircuit], shots: int) -> list[Counts | Failed]:
    """The items, if they are what was asked for."""
    if len(items) != len(batch):
        raise IntegrityError(f"the reply has {len(items)} results for {len(batch)} circuits")
    for place, (item, circuit) in enumerate(zip(items, batch, strict=True)):
        if isinstance(item, Failed):
            continue
        if item.n_qubits != circuit.n_qubits:
            raise IntegrityError(f"result {place} has {item.n_qubits} qubits, its circuit {circuit.n_qubits}")
        if item.shots != shots:
            raise IntegrityError(f"result {place} has {item.shots} shots, {shots} were asked for")
    return list(items)
