"""The journal, the shots and the ledger, in one database.

Each verb below is one transaction: when it returns, its step is on the disk. The steps of a submission are

    plan -> sending -> sent (job id) -> replied (raw reply) -> decoded (counts)      or failed / cancelled / released

`plan` writes all submissions of a call at once, with the budget's reservation, so a call is planned completely or not
at all, and a resumed run continues the plan that it finds instead of making another one. `sending` tells a submission
that may have reached the device from one that never left; only for simulators, which cost nothing, it is not written.
A simulator's reply is its counts: `replied` and `decoded` are one step there.

Why each verb names the states that it may follow: if a process lost its lock and another one took over, its next step
finds the submission elsewhere than it left it, and stops instead of sending it a second time.

Why a lock beside the database: two processes that resume the same call must not both send it. The operating system (or
PostgreSQL) drops the lock when its holder dies, whatever killed it, so there is no lease to expire and no clock to
trust.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, Update, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from qcaan.circuits.native import NativeProgram
from qcaan.errors import StoreError
from qcaan.execution import payload
from qcaan.execution.archive import Archive, failures_of
from qcaan.execution.backend import Target
from qcaan.execution.budget import check_room
from qcaan.execution.records import FINISHED, OPEN, Call, Draft, Reuse, Submission
from qcaan.execution.schema import blobs, budgets, calls, pool, programs, reused, submissions, targets

_HELD = select(func.sum(func.coalesce(submissions.c.usd, submissions.c.usd_high))).where(
    submissions.c.budget == bindparam("budget")
)
_INSERT_CALL, _INSERT_BLOB = insert(calls), insert(blobs)
_INSERT_SUBMISSIONS = insert(submissions).returning(submissions.c.id, sort_by_parameter_order=True)
_UPDATES: dict[tuple[tuple[str, ...], tuple[str, ...]], Update] = {}


class Store(Archive):
    """A database of submissions and shots. Open one with `Store.open`; several processes may share it.

    Raises (every method):
        StoreError: the database is unreachable, full, damaged, or locked for longer than `busy_s`.
    """

    def __init__(self, engine: Engine, busy_s: float, clock: Callable[[], float] = time.time) -> None:
        super().__init__(engine, busy_s, clock)
        blob = self.insert_new(blobs)
        self._put_blob = blob.on_conflict_do_update(
            index_elements=["submission", "kind"], set_={"data": blob.excluded.data}
        )
        self._targets: set[str] = set()

    # The journal

    def plan(
        self,
        target: Target,
        drafts: Sequence[Draft],
        *,
        call: Call | None,
        new: tuple[str, str, str, str, str] | None = None,
        reuse: Sequence[Reuse] = (),
        budget: str = "",
        cap_usd: float | None = math.inf,
        versions: str = "",
    ) -> Call:
        """Record drafts and reserve their high price, all or nothing.

        Makes the call `new` (run, tag, digest, requests, seed) if there is none yet. A cap of None, here and below, is
        the one that the budget has at that moment; any other one is set.

        Raises:
            BudgetError: the reservation does not fit under the cap; nothing was recorded.
            StoreError: shots to be used again are not free any more; nothing was recorded.
        """
        now = self.clock()
        used = {id(c.program): c.program for draft in drafts for c in draft.circuits}
        unknown = {p.digest: p for p in used.values() if p.digest not in self._programs}
        with self.write() as connection:
            self._reserve(connection, budget, cap_usd, sum(draft.usd_high for draft in drafts))
            self._remember(connection, target, unknown)
            if call is None:
                assert new is not None
                values = dict(zip(("run", "tag", "digest", "requests", "seed"), new, strict=True))
                identity = connection.execute(_INSERT_CALL, values | {"created_at": now}).inserted_primary_key
                assert identity is not None
                call = Call(id=int(identity[0]), submissions=[], **values)
            if reuse:
                rows = [vars(r) | {"run": call.run, "call": call.id} for r in reuse]
                try:
                    connection.execute(insert(reused), rows)
                except IntegrityError as error:
                    raise StoreError(
                        f"{self.name}: recorded shots that '{call.tag}' of run '{call.run}' was to use again were used "
                        "or removed by another process meanwhile; nothing was sent, start it again"
                    ) from error
            made = self._insert(connection, call.id, target, drafts, budget, versions, now) if drafts else []
        self._targets.add(target.digest)
        self._programs |= unknown
        return replace(call, submissions=[*call.submissions, *made])

    def reserve(self, budget: str, cap_usd: float | None) -> None:
        """Set the cap of a budget, or look at it: it may be lower than when its submissions were planned.

        Raises:
            BudgetError: more than that is spent or reserved already.
        """
        if cap_usd != math.inf:
            with self.write() as connection:
                held, cap_usd = self._hold(connection, budget, cap_usd)
            check_room(budget, held, 0.0, cap_usd)  # after the transaction: a lower cap stays

    def retarget(self, s: Submission, target: Target, usd_high: float, budget: str, cap_usd: float | None) -> None:
        """A submission that was never sent will run on the device as it is now, at its price, paid from `budget`.

        Raises:
            BudgetError: the new price does not fit under the cap; nothing was changed.
        """
        with self.write() as connection:
            held = s.usd_high if s.budget == budget else 0.0
            self._reserve(connection, budget, cap_usd, usd_high - held)
            self._remember(connection, target, {})
            self._step(connection, s.id, ("planned",), target=target.digest, usd_high=usd_high, budget=budget)
        self._targets.add(target.digest)

    def sending(self, submission: int) -> None:
        """The submission may reach the device from now on."""
        self._set(submission, ("planned",), state="sending", sent_at=self.clock())

    def unsent(self, submission: int) -> None:
        """The device surely refused the submission: it never happened."""
        self._set(submission, ("sending",), state="planned")

    def sent(self, submission: int, job_id: str) -> None:
        """The device accepted the submission under this job id."""
        self._set(submission, ("planned", "sending", "sent"), state="sent", job_id=job_id, sent_at=self.clock())

    def stands(self, submission: int, status: str, queue_position: int | None, at: float) -> None:
        """What the provider says of the job, which it had not said before."""
        self._set(submission, OPEN, status=status, queue_position=queue_position, status_at=at)

    def replied(self, submission: int, job_id: str, reply: bytes, usd: float | None) -> None:
        """The raw reply of this job, and what it cost, if the provider says so; a reply replaces an unreadable one."""
        with self.write() as connection:
            self._step(connection, submission, OPEN, state="replied", job_id=job_id, usd=usd)
            self._put(connection, submission, "reply", reply)

    def unreadable(self, submission: int, reason: str) -> None:
        """The reply was tried, and cannot be read by the decoder as it is now."""
        self._set(submission, ("replied",), reason=reason)

    def decoded(
        self,
        submission: int,
        counts: bytes | None,
        failures: dict[int, str],
        usd: float,
        *,
        reply: tuple[str, bytes] | None = None,
        again: bool = False,
        settled: bool = False,
    ) -> None:
        """The packed counts (None: the reply is already in this form) and the price to pay: the submission is over.

        `reply`: job id and raw reply, if they are not recorded yet: of a simulator, whose reply is its counts, so that
        both are one step. `again`: the counts differ from what was decoded before; the index for reuse is to look anew.
        `settled`: its failures were given up before, and nobody is to try them again as they are.
        """
        job = {} if reply is None else {"job_id": reply[0]}
        with self.write() as connection:
            self._step(
                connection,
                submission,
                ("replied", *FINISHED) if reply is None else OPEN,
                state="partial" if failures and not settled else "done",
                failures=json.dumps(failures) if failures else "",
                reason="",
                usd=usd,
                done_at=self.clock(),
                **job,
            )
            if reply is not None:
                self._put(connection, submission, "reply", reply[1])
            if counts is not None:
                self._put(connection, submission, "counts", counts)
            if again:
                connection.execute(delete(pool).where(pool.c.submission == submission))

    def given_up(self, s: Submission, reason: str, usd: float) -> None:
        """A person or a move gave the submission up, at this price; of a partial one, the failures alone."""
        if s.state == "partial":
            self._set(s.id, ("partial",), state="done")
        else:
            self.over(s.id, "released", reason, usd)

    def over(self, submission: int, state: str, reason: str, usd: float) -> None:
        """The submission ended without counts: "failed", "cancelled", or "released" (a person or a move gave it up)."""
        before = (*OPEN, "failed", "cancelled", "released")
        self._set(submission, before, state=state, reason=reason, usd=usd, done_at=self.clock())

    def failures(self, connection: Connection, submission: int) -> dict[int, str]:
        """Which circuits of a submission failed, and why; nobody can change it until this transaction ends."""
        query = select(submissions.c.failures).where(submissions.c.id == submission).with_for_update()
        return failures_of(connection.execute(query).scalar_one())

    # Inside

    def _set(self, submission: int, before: tuple[str, ...], **values: object) -> None:
        with self.write() as connection:
            self._step(connection, submission, before, **values)

    def _step(self, connection: Connection, submission: int, before: tuple[str, ...], **values: object) -> None:
        """Change a submission that is in one of the states `before`."""
        if connection.execute(_update(before, *values), values | {"of": submission}).rowcount != 1:
            raise StoreError(
                f"{self.name}: submission {submission} is not {' or '.join(before)} any more: another process went on "
                "with it"
            )

    def _put(self, connection: Connection, submission: int, kind: str, data: bytes) -> None:
        connection.execute(self._put_blob, {"submission": submission, "kind": kind, "data": data})

    def _reserve(self, connection: Connection, budget: str, cap_usd: float | None, usd: float) -> None:
        if cap_usd != math.inf:
            held, cap_usd = self._hold(connection, budget, cap_usd)
            check_room(budget, held, usd, cap_usd)

    def _hold(self, connection: Connection, budget: str, cap_usd: float | None) -> tuple[float, float]:
        """Set the cap, if any; return what is spent or reserved, and the cap, as both stay for this transaction."""
        if cap_usd is not None:
            row = {"name": budget, "cap_usd": cap_usd}
            connection.execute(self.insert_new(budgets).on_conflict_do_nothing(), row)
        # The row is locked (SQLite: the whole store is), so that two processes cannot both see room for their own.
        cap = select(budgets.c.cap_usd).where(budgets.c.name == budget).with_for_update()
        found = connection.execute(cap).scalar_one_or_none()
        if cap_usd is not None:
            connection.execute(update(budgets).where(budgets.c.name == budget).values(cap_usd=cap_usd))
        else:
            cap_usd = math.inf if found is None else float(found)
        return float(connection.execute(_HELD, {"budget": budget}).scalar_one() or 0.0), cap_usd

    def _remember(self, connection: Connection, target: Target, unknown: dict[str, NativeProgram]) -> None:
        if target.digest not in self._targets:
            row = {"digest": target.digest, "facts": target.to_json()}
            connection.execute(self.insert_new(targets).on_conflict_do_nothing(), row)
        if unknown:
            rows = [{"digest": digest, "gates": payload.program_text(p)} for digest, p in unknown.items()]
            connection.execute(self.insert_new(programs).on_conflict_do_nothing(), rows)

    def _insert(
        self,
        connection: Connection,
        call: int,
        target: Target,
        drafts: Sequence[Draft],
        budget: str,
        versions: str,
        now: float,
    ) -> list[Submission]:
        payloads = [payload.encode(draft.circuits) for draft in drafts]
        common: dict[str, Any] = {
            "call": call,
            "state": "planned",
            "backend": target.name,
            "device": target.device,
            "kind": target.kind,
            "target": target.digest,
            "budget": budget,
            "usd": None,
            "job_id": None,
            "status": "",
            "queue_position": None,
            "status_at": None,
            "reason": "",
            "failures": "",
            "versions": versions,
            "created_at": now,
            "sent_at": None,
            "done_at": None,
        }
        rows = [
            common
            | {
                "position": draft.position,
                "attempt": draft.attempt,
                "key": draft.key,
                "shots": draft.shots,
                "n_circuits": len(draft.circuits),
                "places": payload.encode_places(draft.items, draft.flips),
                "payload_digest": hashlib.sha256(data).hexdigest(),
                "usd_high": draft.usd_high,
            }
            for draft, data in zip(drafts, payloads, strict=True)
        ]
        numbers = connection.execute(_INSERT_SUBMISSIONS, rows).scalars().all()
        numbered = zip(numbers, payloads, strict=True)
        connection.execute(_INSERT_BLOB, [{"submission": n, "kind": "payload", "data": data} for n, data in numbered])
        return [Submission(id=n, **row | {"failures": {}}) for n, row in zip(numbers, rows, strict=True)]


def _update(before: tuple[str, ...], *columns: str) -> Update:
    """A prepared update of these columns of the submission `of`: building a statement costs more than running it."""
    name = (before, columns)
    if name not in _UPDATES:
        values: dict[str, BindParameter[object]] = {column: bindparam(column) for column in columns}
        chosen = (submissions.c.id == bindparam("of")) & submissions.c.state.in_(before)
        _UPDATES[name] = update(submissions).where(chosen).values(values)
    return _UPDATES[name]
