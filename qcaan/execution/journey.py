"""The steps of one submission, from the plan to its counts, each durable before the next one begins."""

import logging
from collections.abc import Callable
from functools import partial

from qcaan.errors import BackendError, IntegrityError, QcaanError, TargetError, TransientError, UnknownJobError
from qcaan.execution.attempts import next_attempt
from qcaan.execution.backend import JobState, JobStatus
from qcaan.execution.board import Board
from qcaan.execution.checks import checked
from qcaan.execution.counts import Failed, pack
from qcaan.execution.exchange import Exchange
from qcaan.execution.loop import Gate
from qcaan.execution.planner import price_usd, violations
from qcaan.execution.policy import Clock, Patience
from qcaan.execution.records import KEPT, UNLUCKY, Submission
from qcaan.execution.standing import charged_usd, is_stalled, standing
from qcaan.execution.store import Store
from qcaan.execution.terms import Terms


class Journey:
    """Takes a submission of a call from where it is to its end.

    `may_ask()` is asked before one that has no job yet is looked at, `may_send(submission)` before it is sent; polling
    ends `patience.wait_s` after this was made.
    """

    def __init__(
        self,
        device: Exchange,
        store: Store,
        board: Board,
        terms: Terms,
        patience: Patience,
        clock: Clock,
        may_ask: Callable[[], bool],
        may_send: Callable[[Submission], bool],
    ) -> None:
        self._device = device
        self._store = store
        self._board = board
        self._terms = terms
        self._patience = patience
        self._clock = clock
        self._may_ask = may_ask
        self._may_send = may_send
        self._deadline = clock.now() + patience.wait_s
        # A submission that waits to be sent again after a refusal must not be overtaken by a hundred others.
        self._counter = Gate(device.loop, patience.workers)

    async def go(self, s: Submission) -> Submission | None:
        """Go on with a submission; the next attempt if one must follow.

        Raises:
            BackendError, UnknownFateError, BudgetError, DetachedError: this submission's end; siblings go on.
        """
        if s.state in UNLUCKY:
            return self._try_again(s)
        if s.state == "replied":
            reply = self._store.blob(s.id, "reply")
            assert reply is not None, "the state replied is written with its reply"
            assert s.job_id is not None, "and with its job"
            return await self._read(s, reply, s.job_id)
        job_id = s.job_id if s.state == "sent" else None
        for _ in range(self._patience.attempts + 1):
            if job_id is None:
                async with self._counter:
                    sent = await self._send(s) if self._may_ask() else None
                if sent is None:
                    return None
                s, job_id = sent
            try:
                return await self._follow(s, job_id)
            except UnknownJobError:
                if not self._device.forgetful:
                    raise
                job_id = None  # the same key gives the same shots
            finally:
                self._board.leave(s)
        raise UnknownJobError(f"{s.device} forgets the job of submission {s.key} again and again")

    # To the device

    async def _send(self, s: Submission) -> tuple[Submission, str] | None:
        """The submission and its job, at no cost if the device has it already; None if it may not be sent."""
        job_id = await self._device.adopt(s) if s.state == "sending" else None
        if job_id is None:
            if not self._may_send(s):
                return None
            if s.state == "planned":
                self._device.access.look_again()
                s = self._current(s)
                if not self._device.forgetful:
                    self._store.sending(s.id)
                    self._board.log("sending", s)
            job_id = await self._device.submit(s, self._board.batch(s), partial(self._unsent, s))
        if not (self._device.forgetful and job_id == s.key):  # else the journal has the id since the plan was made
            self._record_job(s, job_id)
        s = self._board.change(s, state="sent", job_id=job_id)
        self._board.log("sent", s)
        return s, job_id

    def _current(self, s: Submission) -> Submission:
        """A submission that was never sent, for the device and the budget as they are now."""
        target, terms = self._device.backend.target, self._terms
        if s.target == target.digest and s.budget == terms.budget:
            return s
        if wrong := violations([circuit.program for circuit in self._board.batch(s)], s.shots, target):
            raise TargetError(target.name, [*wrong, "the device changed since this was planned: release it and resume"])
        usd_high = price_usd(target, s.shots, s.n_circuits)
        self._store.retarget(s, target, usd_high, terms.budget, terms.cap_usd)
        return self._board.change(s, target=target.digest, usd_high=usd_high, budget=terms.budget)

    def _unsent(self, s: Submission) -> None:
        if not self._device.forgetful:
            self._store.unsent(s.id)
            self._board.log("unsent", s)

    def _record_job(self, s: Submission, job_id: str) -> None:
        try:
            self._store.sent(s.id, job_id)
        except QcaanError as error:
            note = f"the device accepted submission {s.key} as job {job_id}"
            self._board.log("error", s, level=logging.ERROR, job_id=job_id, more=f"{note}, and the store failed")
            error.add_note(note)
            raise

    # At the device

    async def _follow(self, s: Submission, job_id: str) -> Submission | None:
        """Poll a job until it has ended, and bring home what it did."""
        state = await self._end_of(s, job_id)
        if state is None:
            self._board.overdue.append(job_id)
            return None
        if state.status is JobStatus.DONE:
            reply = await self._device.fetch(s, job_id)
            s = self._board.change(s, usd=state.usd)
            if not self._device.replies_are_counts:
                s = self._keep(s, reply, job_id)
            return await self._read(s, reply, job_id)
        name = "failed" if state.status is JobStatus.FAILED else "cancelled"
        usd = charged_usd(s, state)
        self._store.over(s.id, name, state.reason, usd)
        over = self._board.change(s, state=name, reason=state.reason, usd=usd, job_id=job_id)
        self._board.log(name, over, more=over.reason)
        return self._try_again(over)

    async def _end_of(self, s: Submission, job_id: str) -> JobState | None:
        """How the job ended; None if the deadline comes first."""
        interval_s = self._patience.first_poll_s
        unknown_since: float | None = None
        await self._device.loop.sleep(0.0)  # others are sent first
        while True:
            try:
                state = await self._device.poll(job_id)
            except TransientError:
                pass  # no news: the next poll is due in a while, up to the deadline of all jobs
            except UnknownJobError:
                now = self._clock.now()
                unknown_since = now if unknown_since is None else unknown_since
                if self._device.forgetful or now - unknown_since >= self._patience.late_s:
                    raise
            else:
                unknown_since = None
                if state.status not in (JobStatus.QUEUED, JobStatus.RUNNING):
                    return state
                s = self._watch(s, job_id, state)
            if self._clock.now() > self._deadline:
                return None
            interval_s = min(self._patience.max_poll_s, interval_s * 1.5)
            await self._device.loop.sleep(interval_s / 2 + self._clock.jitter(interval_s / 2))

    def _watch(self, s: Submission, job_id: str, state: JobState) -> Submission:
        """Record what is new about a job that has not ended; say so when nothing is new for too long."""
        now = self._store.clock()
        news = (state.status.value, state.queue_position)
        if news != (s.status, s.queue_position) or s.status_at is None:
            self._store.stands(s.id, *news, now)
            s = self._board.change(s, status=news[0], queue_position=news[1], status_at=now)
        stalled = is_stalled(s, now, self._patience)
        if stalled and not self._board.is_stalled(s):
            more = f"{job_id} {standing(s, now)}; it is still waited for; to end it, stop this run first, "
            more += f"then 'qcaan jobs cancel --key {s.key}'"
            self._board.log("stalled", s, level=logging.WARNING, job_id=job_id, more=more)
        self._board.place(s, state, stalled=stalled)
        return s

    # Home

    def _keep(self, s: Submission, reply: bytes, job_id: str) -> Submission:
        """Record a raw reply."""
        self._store.replied(s.id, job_id, reply, s.usd)
        s = self._board.change(s, state="replied", job_id=job_id)
        self._board.log("replied", s)
        return s

    async def _read(self, s: Submission, reply: bytes, job_id: str) -> Submission | None:
        """Decode a reply, which is in the store unless it is the counts themselves, and end the submission."""
        batch = self._board.batch(s)
        decode = self._device.backend.decode
        try:
            items = checked(decode(reply, batch), batch, s.shots)
        except IntegrityError as error:
            if s.state != "replied":
                s = self._keep(s, reply, job_id)
            # A transfer that was cut short looks like this too: another copy may be whole, or this one be the whole
            # one, so it is replaced only by one that can be read.
            try:
                again = await self._device.fetch(s, job_id)
                items = checked(decode(again, batch), batch, s.shots)
            except BackendError:
                self._store.unreadable(s.id, f"unreadable: {error}")
                error.add_note(KEPT)
                raise error from None
            self._store.replied(s.id, job_id, again, s.usd)
        failures = {place: item.reason for place, item in enumerate(items) if isinstance(item, Failed)}
        usd = s.usd
        if usd is None:
            target = self._device.backend.target
            price = target if s.target == target.digest else self._store.target(s.target)
            usd = price_usd(price, s.shots, len(items) - len(failures))
        counts = None if self._device.replies_are_counts else pack(items)
        self._store.decoded(s.id, counts, failures, usd, reply=None if s.state == "replied" else (job_id, reply))
        self._board.counts[s.id] = items
        state = "partial" if failures else "done"
        home = self._board.change(s, state=state, failures=failures, usd=usd, job_id=job_id)
        self._board.log(state, home)
        return self._try_again(home) if failures else None

    def _try_again(self, s: Submission) -> Submission | None:
        """A new attempt for the circuits that the provider failed, with a new key and new money."""
        siblings = self._board.submissions
        if any(o.position == s.position and o.attempt == s.attempt + 1 for o in siblings):
            return None
        target, terms = self._device.backend.target, self._terms
        draft = next_attempt(s, siblings, self._board.batch(s), target, terms, self._patience.attempts)
        planned = self._store.plan(
            target,
            [draft],
            call=self._board.call,
            budget=terms.budget,
            cap_usd=terms.cap_usd,
            versions=terms.versions,
        )
        made = planned.submissions[-1]
        self._board.add(made, draft.circuits)
        self._board.log("planned", made, more=f"attempt {made.attempt + 1}")
        return made
