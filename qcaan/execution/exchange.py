"""One device, asked with patience: within the account's rate, credentials renewed, tried again by the error's class.

Only the call itself may run on another thread; everything around it runs on the loop's.

Why a lost reply is handled here: what may be done about it depends on what the device promises. A device that knows
keys is asked again with the same key; one that can be searched is searched first, long enough for an accepted job to
show; one that can do neither is never asked again, and a person decides.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from qcaan.circuits.native import NativeCircuit
from qcaan.errors import (
    CredentialsError,
    DetachedError,
    LateError,
    RejectedError,
    ThrottledError,
    TransientError,
    UnavailableError,
    UnknownFateError,
)
from qcaan.execution.access import Access
from qcaan.execution.backend import Backend, JobState, JobStatus, Simulator
from qcaan.execution.journal_log import log
from qcaan.execution.locks import Held
from qcaan.execution.loop import Loop, Stopped
from qcaan.execution.policy import Clock, Patience, retry
from qcaan.execution.rates import SharedRate, shared_rate
from qcaan.execution.records import Submission
from qcaan.execution.store import Store

T = TypeVar("T")

_REFUSED = (ThrottledError, RejectedError, UnavailableError, CredentialsError)
"""After these the device surely has no job of this try."""


class Exchange:
    """Asks the device of an access; `held` guards every submit."""

    def __init__(self, access: Access, store: Store, patience: Patience, clock: Clock, held: Held) -> None:
        self.access = access
        self._held = held
        self._patience = patience
        self._clock = clock
        account = self.backend.target.account or self.backend.target.device
        self._submits = shared_rate(store, account, "submit", patience.submits_per_s)
        self._requests = shared_rate(store, account, "any", patience.requests_per_s)
        self.loop = Loop(clock, patience.workers if self.remote else 1, patience.landing_s)
        """Runs the coroutines that ask."""

    @property
    def backend(self) -> Backend:
        """The backend, as it was made last."""
        return self.access.backend

    @property
    def remote(self) -> bool:
        """Whether calls leave this process: they have a rate, may be in the air together, and are landed."""
        return self.access.remote

    @property
    def dedupe(self) -> str:
        """What the device promises about keys: "key", "search" or "none"."""
        return self.backend.target.dedupe

    @property
    def forgetful(self) -> bool:
        """A job that this device does not know is gone for good, and the same key may be sent again, at no cost."""
        return not self.remote and self.dedupe == "key"

    @property
    def replies_are_counts(self) -> bool:
        """The raw reply is packed counts, as a `Simulator` makes it: nothing is between the two that could fail."""
        return getattr(self.backend.decode, "__func__", None) is Simulator.decode

    async def ask(
        self,
        question: Callable[[Backend], T],
        before: Callable[[], None] | None = None,
        expired: Callable[[], None] | None = None,
        *,
        must_land: bool = False,
    ) -> T:
        """One call to the device, within the account's rate; expired credentials are renewed once.

        `before()` runs the moment before the call is made, `expired()` before credentials are renewed. A call that
        `must_land` is waited for without a limit when the run is stopped; the driver's own time-outs end it.
        """
        await self._pace(self._requests)
        seen = self.access.renewals
        try:
            return await self.loop.call(partial(question, self.backend), before, must_land=must_land)
        except CredentialsError:
            if expired is not None:
                expired()
            if not self.access.renewable:
                raise
            if seen == self.access.renewals:  # else they were renewed while this call was in the air
                self.access.renew()
        return await self.loop.call(partial(question, self.backend), before, must_land=must_land)

    async def submit(self, s: Submission, batch: Sequence[NativeCircuit], refused: Callable[[], None]) -> str:
        """The job id; every try of one attempt uses the same key. `refused()` is called if the device surely has none.

        Raises:
            DetachedError: the device stayed busy or unreachable.
            UnknownFateError: there was no answer, and the device cannot be asked about it.
        """
        unsure = s.state == "sending" and self.dedupe == "key"  # an earlier process may have been heard

        def hand_over() -> None:
            nonlocal unsure
            self._held()
            unsure = True

        async def once() -> str:
            nonlocal unsure
            if unsure and self.dedupe == "search":
                if found := await self.find(s):
                    return found
                unsure = False
            await self._pace(self._submits)
            before = unsure

            def not_accepted() -> None:
                nonlocal unsure
                unsure = before

            try:
                # Without keys, another process would send again what is still in the air when the lock is free.
                return await self.ask(
                    lambda backend: backend.submit(batch, s.shots, s.key),
                    hand_over,
                    not_accepted,
                    must_land=self.dedupe != "key",
                )
            except _REFUSED:
                not_accepted()
                raise
            except TransientError as error:
                if self.dedupe == "none" and unsure:
                    raise unknown_fate(s) from error
                raise

        kinds: dict[type[Exception], float] = {TransientError: self._patience.create_s}
        if self._patience.unavailable_s > 0:
            kinds[UnavailableError] = self._patience.unavailable_s
        try:
            return await self._retry(once, kinds)
        except (Exception, Stopped) as error:
            if not unsure:
                self._held()
                refused()
            if isinstance(error, TransientError):
                raise _gave_up("submit", s, error) from error
            raise

    async def adopt(self, s: Submission) -> str | None:
        """The job of a submission that may have reached the device before its process died; None if there is none.

        Raises:
            UnknownFateError: the device cannot be asked.
        """
        if self.dedupe == "none":
            raise unknown_fate(s)
        return await self.find(s) if self.dedupe == "search" else None

    async def find(self, s: Submission) -> str | None:
        """Search for the key until a job that was accepted just now would surely have been found."""
        waited = 0.0
        while True:
            try:
                found = await self._retry(
                    lambda: self.ask(lambda backend: backend.find(s.key)), {TransientError: self._patience.create_s}
                )
            except TransientError as error:
                raise _gave_up("search for", s, error) from error
            if found is not None or waited >= self._patience.settle_s:
                return found
            if not waited:
                text = "submission %s may have been accepted unseen: looking for it for %.0f s before it is sent again"
                log.warning(text, s.key[:12], self._patience.settle_s)
            step = min(1.0, self._patience.settle_s - waited)
            await self.loop.sleep(step)
            waited += step

    async def poll(self, job_id: str) -> JobState:
        """Where the job stands now."""
        return await self.ask(lambda backend: backend.poll(job_id))

    async def fetch(self, s: Submission, job_id: str) -> bytes:
        """The reply of a job that is done.

        Raises:
            DetachedError: the device stayed busy or unreachable.
            LateError: the reply did not become readable.
        """
        kinds: dict[type[Exception], float] = {
            LateError: self._patience.late_s,
            TransientError: self._patience.download_s,
        }
        try:
            return await self._retry(lambda: self.ask(lambda backend: backend.fetch(job_id)), kinds)
        except TransientError as error:
            raise _gave_up("fetch", s, error, job_id) from error

    async def cancel(
        self, s: Submission, job_id: str, waiting: Callable[[JobState, float], None]
    ) -> tuple[JobState, JobState]:
        """Ask for a job that has not ended to be cancelled; where it stood before, and after.

        A provider may take its time: the job is polled until it has ended, or for `download_s`, and `waiting` is told
        each time where it stands, and after how many seconds.

        Raises:
            DetachedError: the device stayed busy or unreachable.
        """
        kinds: dict[type[Exception], float] = {TransientError: self._patience.download_s}
        try:
            before = await self._retry(lambda: self.poll(job_id), kinds)
            if before.status not in (JobStatus.QUEUED, JobStatus.RUNNING):
                return before, before
            await self._retry(lambda: self.ask(lambda backend: backend.cancel(job_id)), kinds)
            asked_at, interval_s = self._clock.now(), self._patience.first_poll_s
            while True:
                after = await self._retry(lambda: self.poll(job_id), kinds)
                waited_s = self._clock.now() - asked_at
                if after.status not in (JobStatus.QUEUED, JobStatus.RUNNING) or waited_s >= self._patience.download_s:
                    return before, after
                waiting(after, waited_s)
                await self.loop.sleep(interval_s)
                interval_s = min(self._patience.max_poll_s, interval_s * 1.5)
        except TransientError as error:
            raise _gave_up("cancel", s, error, job_id) from error

    async def _pace(self, rate: SharedRate) -> None:
        if self.remote and (wait_s := rate.take(self._clock.now())):
            await self.loop.sleep(wait_s)

    async def _retry(self, ask: Callable[[], Awaitable[T]], kinds: dict[type[Exception], float]) -> T:
        return await retry(ask, kinds, self._patience, self._clock, self.loop.sleep)


def unknown_fate(s: Submission) -> UnknownFateError:
    """The error that asks a person."""
    return UnknownFateError(
        f"submission {s.key} to {s.device} was interrupted, and the device cannot be asked about it: look at the "
        "provider's list of jobs; then adopt the job, or release the submission to send it again"
    )


def _gave_up(verb: str, s: Submission, error: Exception, job_id: str | None = None) -> DetachedError:
    return DetachedError(
        f"{s.device} kept failing to {verb} submission {s.key}: {error}; nothing is lost, resume later",
        [job_id] if job_id else [],
    )
