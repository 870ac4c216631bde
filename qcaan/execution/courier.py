"""Takes planned submissions to a device and brings their counts into the store, whatever happens on the way.

Each step is durable before the next one begins, so a process may die anywhere and another one continues from the
journal. One thread owns the journal; the calls to a remote device run on a few others (see `qcaan.execution.loop`).

What the courier does about an error is decided by its class. An error of one submission does not stop its siblings:
they are brought home first, then the error is raised. Only a refusal that would hit every submission (credentials, a
device that is offline) stops new ones from being sent.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from qcaan.circuits.native import NativeCircuit
from qcaan.errors import (
    BackendError,
    BudgetError,
    CredentialsError,
    DetachedError,
    StoreError,
    UnavailableError,
    UnknownFateError,
)
from qcaan.execution.access import Access
from qcaan.execution.board import Board
from qcaan.execution.counts import Counts, Failed
from qcaan.execution.exchange import Exchange
from qcaan.execution.journey import Journey
from qcaan.execution.locks import Held
from qcaan.execution.loop import Gate
from qcaan.execution.policy import Clock, Patience
from qcaan.execution.progress import Progress
from qcaan.execution.records import Call, Submission
from qcaan.execution.signals import landing
from qcaan.execution.standing import foreign_account
from qcaan.execution.store import Store
from qcaan.execution.terms import Terms

__all__ = ["Courier", "Progress"]


class Courier:
    """Drives the submissions of one call. The caller holds the call's lock, and `held` says whether it still does."""

    def __init__(
        self,
        access: Access,
        store: Store,
        terms: Terms,
        patience: Patience,
        clock: Clock,
        held: Held,
        report: Callable[[Progress], None] | None = None,
    ) -> None:
        self._device = Exchange(access, store, patience, clock, held)
        self.counts: Mapping[int, list[Counts | Failed]] = {}
        self._store = store
        self._terms = terms
        self._patience = patience
        self._clock = clock
        self._report = report
        self._errors: list[Exception] = []
        self._halted = False
        self._affordable: bool | None = None

    def deliver(self, call: Call, batches: Mapping[int, Sequence[NativeCircuit]]) -> Call:
        """Drive every submission of this device that is not over; `batches` by id, as far as they are at hand.

        SIGINT and SIGTERM take effect when the calls that are in the air have come down and are recorded.

        Returns:
            The call with its submissions as they are now.

        Raises:
            DetachedError: the deadline passed; the jobs live on.
            BackendError, UnknownFateError, BudgetError: after everything else was brought home.
            StoreError: something was sent from another account; nothing was done.
        """
        target = self._device.backend.target
        board = Board(call, batches, self._store, self._clock.now, self._tell)
        self.counts = board.counts
        due = [s for s in call.submissions if (s.backend, s.device) == (target.name, target.device)]
        if accounts := [account for s in due if (account := foreign_account(s, target, self._store))]:
            raise StoreError(
                f"'{call.tag}' of run '{call.run}' has {len(accounts)} submission(s) at {target.device} that are not "
                f"over, sent from account '{accounts[0]}', not '{target.account}'; resume from that account, or cancel "
                "or release them"
            )
        resumed = {s.id for s in due if s.state in ("planned", "sending") and s.id not in batches and s.usd_high > 0}

        def may_ask() -> bool:
            return not (self._halted or board.overdue)

        journey = Journey(
            self._device,
            self._store,
            board,
            self._terms,
            self._patience,
            self._clock,
            may_ask,
            may_send=lambda s: may_ask() and (s.id not in resumed or self._afford()),
        )
        loop = self._device.loop
        room = Gate(loop, self._patience.max_in_flight)
        for s in sorted(due, key=lambda s: s.state in ("planned", "sending")):
            if s.state not in ("done", "released"):
                loop.start(self._bring_home(s, journey, board, room))
        with landing(loop.stop, only_if=self._device.remote):
            loop.run()
        if loop.stopping:
            raise DetachedError("stopped by a signal; nothing is lost, resume later", [])
        if board.overdue:
            self._errors.append(
                DetachedError(
                    f"{len(board.overdue)} job(s) are still queued or running at {target.device} after "
                    f"{self._patience.wait_s:g} s; nothing is lost, resume later",
                    board.overdue,
                )
            )
        if self._errors:
            self._raise()
        return board.call

    async def _bring_home(self, s: Submission, journey: Journey, board: Board, room: Gate) -> None:
        """Drive one submission, and the attempts that follow it; its error is kept for the end."""
        step: Submission | None = s
        async with room:
            while step is not None:
                s = step
                try:
                    step = await journey.go(s)
                except (BackendError, UnknownFateError, BudgetError, DetachedError) as error:
                    error.add_note(board.about(s))
                    # The error is raised when the siblings are home: that may be hours away, or the next moment.
                    away = any(o.state == "sent" and o.id != s.id for o in board.submissions)
                    level = logging.WARNING if away else logging.INFO
                    board.log("error", s, level=level, more=f"{type(error).__name__}: {error}")
                    self._errors.append(error)
                    self._halted |= isinstance(error, CredentialsError | UnavailableError | DetachedError)
                    step = None
                board.tell()

    def _afford(self) -> bool:
        """What was planned under a higher cap is not sent under a lower one; its error is kept for the end."""
        if self._affordable is None:
            try:
                self._store.reserve(self._terms.budget, self._terms.cap_usd)
                self._affordable = True
            except BudgetError as error:
                self._errors.append(error)
                self._affordable = False
        return self._affordable

    def _raise(self) -> None:
        """Raise the first error that is more than a time-out, with the others as notes."""
        first, *others = sorted(self._errors, key=lambda error: isinstance(error, DetachedError))
        for text, times in Counter(f"{type(other).__name__}: {other}" for other in others).items():
            first.add_note(f"also{f', {times} times' if times > 1 else ''}: {text}")
        raise first

    def _tell(self, board: Board) -> None:
        if self._report is not None:
            cap_usd = self._terms.cap_usd
            self._report(board.progress(self._store.cap_usd(self._terms.budget) if cap_usd is None else cap_usd))
