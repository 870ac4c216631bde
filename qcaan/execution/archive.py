"""What a store tells of calls, submissions, shots and money. `qcaan.execution.store.Store` adds what is written."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, Row, bindparam, select

from qcaan.circuits.native import NativeCircuit, NativeProgram
from qcaan.errors import ConfigError, IntegrityError, StoreError
from qcaan.execution import payload
from qcaan.execution.backend import Target
from qcaan.execution.counts import Counts, Failed, unpack
from qcaan.execution.database import Database
from qcaan.execution.locks import Held
from qcaan.execution.records import Call, Reuse, Submission
from qcaan.execution.schema import blobs, budgets, calls, programs, reused, submissions, targets

_CALL = select(calls).where(calls.c.run == bindparam("run"), calls.c.tag == bindparam("tag"))
_SUBMISSIONS_OF = (
    select(submissions)
    .where(submissions.c.call == bindparam("call"))
    .order_by(submissions.c.position, submissions.c.attempt)
)
_BLOB = select(blobs.c.data).where(blobs.c.submission == bindparam("submission"), blobs.c.kind == bindparam("kind"))
_PAYLOAD = (
    select(blobs.c.data, submissions.c.payload_digest)
    .join(submissions, submissions.c.id == blobs.c.submission)
    .where(blobs.c.submission == bindparam("submission"), blobs.c.kind == "payload")
)
_COUNTS_OF = select(blobs.c.kind, blobs.c.data).where(
    blobs.c.submission == bindparam("submission"), blobs.c.kind.in_(["counts", "reply"])
)


class Archive(Database):
    """The reading half of a store.

    Raises (every method):
        StoreError: the database is unreachable, damaged, or locked for longer than `busy_s`.
    """

    def __init__(self, engine: Engine, busy_s: float, clock: Callable[[], float] = time.time) -> None:
        super().__init__(engine, busy_s, clock)
        self._programs: dict[str, NativeProgram] = {}

    def call(self, run: str, tag: str) -> Call | None:
        """The recorded call of this run and tag, if any."""
        with self.reading() as connection:
            row = connection.execute(_CALL, {"run": run, "tag": tag}).one_or_none()
            if row is None:
                return None
            rows = connection.execute(_SUBMISSIONS_OF, {"call": row.id}).all()
        return _call(row, [_submission(r) for r in rows])

    def submission(self, number: int) -> Submission:
        """One row of the journal."""
        with self.reading() as connection:
            return _submission(connection.execute(select(submissions).where(submissions.c.id == number)).one())

    def by_key(self, key: str) -> Submission:
        """The submission with this key, or with the only key that begins like this.

        Raises:
            ConfigError: there is none, or there are several.
        """
        begins = submissions.c.key.startswith(key, autoescape=True)
        near = submissions.c.key.between(key, f"{key}z")  # keys are hexadecimal; an index knows this, and no prefix
        found = self.rows(select(submissions).where(near, begins).limit(2))
        if not key or not found:
            raise ConfigError(f"{self.name} has no submission with the key {key}")
        if len(found) > 1:
            raise ConfigError(f"{self.name} has several submissions with a key {key}...; give more of it")
        return _submission(found[0])

    def name_of(self, call: int) -> tuple[str, str]:
        """Run and tag of a call."""
        with self.reading() as connection:
            row = connection.execute(select(calls.c.run, calls.c.tag).where(calls.c.id == call)).one()
        return row.run, row.tag

    def cap_usd(self, budget: str) -> float:
        """The cap that was last set for a budget; infinity if none was."""
        with self.reading() as connection:
            cap = connection.execute(select(budgets.c.cap_usd).where(budgets.c.name == budget)).scalar_one_or_none()
        return math.inf if cap is None else float(cap)

    def reuses(self, call: int) -> list[Reuse]:
        """Shots of other runs that this call uses."""
        query = select(reused.c.submission, reused.c.place, reused.c.item, reused.c.flips).where(reused.c.call == call)
        with self.reading() as connection:
            rows = connection.execute(query.order_by(reused.c.submission, reused.c.place))
            return [Reuse(*row) for row in rows]

    def target(self, digest: str) -> Target:
        """A recorded target."""
        with self.reading() as connection:
            return Target.from_json(
                connection.execute(select(targets.c.facts).where(targets.c.digest == digest)).scalar_one()
            )

    def batch(self, submission: int) -> list[NativeCircuit]:
        """The circuits of a submission.

        Raises:
            IntegrityError: they are not what was planned: the store is damaged.
        """
        with self.reading() as connection:
            row = connection.execute(_PAYLOAD, {"submission": submission}).one_or_none()
        if row is None:
            raise StoreError(f"{self.name}: submission {submission} has no payload")
        data = bytes(row.data)
        if hashlib.sha256(data).hexdigest() != row.payload_digest:
            raise IntegrityError(f"{self.name}: the circuits of submission {submission} are damaged")
        missing = set(payload.program_digests(data)) - set(self._programs)
        if missing:
            with self.reading() as connection:
                rows = connection.execute(select(programs).where(programs.c.digest.in_(missing))).all()
            self._programs |= {row.digest: payload.program_from_text(row.gates) for row in rows}
        return payload.decode(data, self._programs)

    def counts(self, submission: int) -> list[Counts | Failed]:
        """The decoded counts of a submission, one entry a circuit."""
        with self.reading() as connection:
            found = {row.kind: row.data for row in connection.execute(_COUNTS_OF, {"submission": submission})}
        data = found.get("counts", found.get("reply"))
        if data is None:
            raise StoreError(f"{self.name}: submission {submission} has no counts")
        return unpack(data)

    def blob(self, submission: int, kind: str) -> bytes | None:
        """The payload, reply or counts of a submission, as it was written."""
        with self.reading() as connection:
            data = connection.execute(_BLOB, {"submission": submission, "kind": kind}).scalar_one_or_none()
        return None if data is None else bytes(data)

    @contextmanager
    def held(self, key: str, wait_s: float) -> Iterator[tuple[Submission, Held]]:
        """The submission as it is while nobody else works on its call; `Database.lock` says what is waited for."""
        with self.lock(*self.name_of(self.by_key(key).call), wait_s) as held:
            yield self.by_key(key), held


def _call(row: Row, found: list[Submission]) -> Call:  # type: ignore[type-arg]
    return Call(
        id=row.id,
        run=row.run,
        tag=row.tag,
        digest=row.digest,
        requests=row.requests,
        seed=row.seed,
        submissions=found,
    )


def _submission(row: Row) -> Submission:  # type: ignore[type-arg]
    values = dict(row._mapping)
    return Submission(**values | {"failures": failures_of(values["failures"])})


def failures_of(text: str) -> dict[int, str]:
    """The column `failures` as place -> reason."""
    return {int(place): reason for place, reason in json.loads(text or "{}").items()}
