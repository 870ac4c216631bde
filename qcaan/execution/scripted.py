"""A device that does what a script says: for tests, rehearsals and benchmarks, without a network.

It has a queue, a clock and a bill of its own, and loses replies, throttles, fails and forgets as it is told. Its state
may be a file: a process that was killed and the one that follows it then talk to the same device, which knows exactly
how many jobs it accepted and what they cost.

Shots differ from job to job, as on hardware: two jobs for one submission would be noticed.
"""

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from qcaan.circuits.native import NativeCircuit
from qcaan.circuits.simulate import Engine
from qcaan.errors import (
    BackendError,
    ConfigError,
    CredentialsError,
    IntegrityError,
    LateError,
    RejectedError,
    ThrottledError,
    TransientError,
    UnavailableError,
    UnknownJobError,
)
from qcaan.execution.backend import Backend, JobState, JobStatus, Price, Target
from qcaan.execution.counts import Counts, Failed

Verb = Literal["submit", "poll", "fetch", "find", "job"]
_ERRORS: dict[str, type[BackendError]] = {
    "throttled": ThrottledError,
    "error": TransientError,
    "reset": TransientError,
    "lost": TransientError,
    "late": LateError,
    "unknown": UnknownJobError,
    "offline": UnavailableError,
    "expired": CredentialsError,
    "rejected": RejectedError,
}
_CALL_FAULTS: dict[str, tuple[str, ...]] = {
    "submit": ("throttled", "error", "reset", "lost", "offline", "expired", "rejected"),
    "poll": ("throttled", "error", "reset", "unknown", "expired"),
    "fetch": ("throttled", "error", "reset", "late", "truncated", "expired"),
    "find": ("throttled", "error", "reset", "expired"),
    "job": ("failed", "partial", "cancelled", "stuck"),
}
_ASKED = "asked to be cancelled"
"""Outcome of a job whose `accepted` is when it was asked to be cancelled."""
_TABLES = """
CREATE TABLE IF NOT EXISTS jobs (number INTEGER PRIMARY KEY, key TEXT, accepted REAL, outcome TEXT, reason TEXT,
    usd REAL, reply BLOB);
CREATE TABLE IF NOT EXISTS called (verb TEXT PRIMARY KEY, times INTEGER);
"""


@dataclass(frozen=True)
class Fault:
    """What goes wrong at the `at`-th call of a verb, counted from 1 over the device's life; or with the `at`-th job.

    submit: throttled, error, reset (nothing accepted), lost (accepted, but the reply is lost), offline, expired,
    rejected. poll: throttled, error, reset, unknown, expired. fetch: throttled, error, reset, late, truncated, expired.
    find: throttled, error, reset, expired. job: failed, partial (`places` fail), cancelled, stuck (queued for ever).
    """

    verb: Verb
    at: int
    what: str
    reason: str = "scripted"
    places: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        known = _CALL_FAULTS.get(self.verb)
        if known is None or self.what not in known:
            allowed = f"use {', '.join(known)}" if known else f"verbs are {', '.join(_CALL_FAULTS)}"
            raise ConfigError(f"fault '{self.verb}: {self.what}': {allowed}")


class ScriptedBackend(Backend):
    """A scripted device; `path` keeps its state in a file, None in memory.

    A job is queued for `queue_s`, runs for `run_s`, and can be found by its key after `find_lag_s`; one that was asked
    to be cancelled looks running for `cancel_s`; `clock` is in seconds. Every call takes `latency_s` of true time, as
    over a network. With `tells_usd` the states of jobs that have ended tell what they cost. The other options become
    facts of the target; without `account`, the device is one's own.
    """

    def __init__(
        self,
        *,
        path: str | Path | None = None,
        faults: Sequence[Fault] = (),
        queue_s: float = 0.0,
        run_s: float = 0.0,
        find_lag_s: float = 0.0,
        cancel_s: float = 0.0,
        latency_s: float = 0.0,
        tells_usd: bool = False,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
        kind: Literal["simulator", "emulator", "qpu"] = "qpu",
        dedupe: Literal["key", "search", "none"] = "key",
        n_qubits: int = 12,
        min_shots: int = 1,
        max_shots: int = 5000,
        max_circuits: int = 1,
        per_task_usd: float = 0.3,
        per_shot_usd: float = 0.08,
        entangler: Literal["ms", "zz"] = "zz",
        calibration: str = "",
        account: str = "",
    ) -> None:
        self.target = Target(
            name="scripted",
            device="scripted device",
            kind=kind,
            n_qubits=n_qubits,
            native_gates=("gpi", "gpi2", entangler),
            min_shots=min_shots,
            max_shots=max_shots,
            max_circuits=max_circuits,
            dedupe=dedupe,
            price=Price(per_task_usd=per_task_usd, per_shot_usd=per_shot_usd),
            calibration=calibration,
            account=account or f"scripted {path or id(self)}",
        )
        self._faults = {(fault.verb, fault.at): fault for fault in faults}
        self._times = (queue_s, run_s, find_lag_s)
        self._cancel_s = cancel_s
        self._latency_s = latency_s
        self._tells_usd = tells_usd
        self._clock = clock
        self._seed = seed
        self._turn = threading.RLock()
        self._inside = 0
        self.most_at_once = 0
        """The largest number of calls that were under way together."""
        self._engines: dict[str, Engine] = {}
        self._state = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=30.0, check_same_thread=False)
        # The file must outlive its process, not the machine.
        self._state.execute("PRAGMA synchronous=OFF")
        self._state.executescript(_TABLES)

    # The device's own books

    @property
    def n_jobs(self) -> int:
        """Jobs that the device accepted."""
        return int(self._state.execute("SELECT count(*) FROM jobs").fetchone()[0])

    @property
    def bill_usd(self) -> float:
        """What the device charges for the jobs that it ran."""
        return float(self._state.execute("SELECT coalesce(sum(usd), 0) FROM jobs").fetchone()[0])

    def keys(self) -> Counter[str]:
        """How many jobs each key has."""
        return Counter(key for (key,) in self._state.execute("SELECT key FROM jobs"))

    def job_of(self, key: str) -> str | None:
        """The job with this key, as a person finds it in the provider's list."""
        row = self._state.execute("SELECT max(number) FROM jobs WHERE key = ?", (key,)).fetchone()
        return None if row[0] is None else str(row[0])

    def called(self, verb: Verb) -> int:
        """How often a verb was called."""
        row = self._state.execute("SELECT times FROM called WHERE verb = ?", (verb,)).fetchone()
        return int(row[0]) if row else 0

    # The contract

    def submit(self, batch: Sequence[NativeCircuit], shots: int, key: str) -> str:
        """Accept the job, unless the script says otherwise."""
        with self._serving():
            with self._transaction():
                fault = self._count("submit")
                lost = fault is not None and fault.what == "lost"
                if fault is None or lost:
                    job_id = self._accept(batch, shots, key)
            if fault is not None:
                raise _ERRORS[fault.what](f"submit {fault.what} ({fault.reason})")
            return job_id

    def poll(self, job_id: str) -> JobState:
        """The state by the device's clock."""
        with self._serving():
            self._stumble("poll")
            accepted, outcome, reason, usd = self._job(job_id, "accepted, outcome, reason, usd")
            queue_s, run_s, _ = self._times
            age = self._clock() - accepted
            if outcome == _ASKED:
                return JobState(JobStatus.RUNNING) if age < self._cancel_s else self._ended("cancelled", "", usd)
            if outcome == "stuck" or age < queue_s:
                ahead = "SELECT count(*) FROM jobs WHERE number < ? AND accepted > ? AND outcome != ?"
                position = self._state.execute(ahead, (job_id, self._clock() - queue_s, _ASKED)).fetchone()[0]
                return JobState(JobStatus.QUEUED, queue_position=position + 1)
            if age < queue_s + run_s:
                return JobState(JobStatus.RUNNING)
            return self._ended(outcome, reason, usd)

    def fetch(self, job_id: str) -> bytes:
        """The reply, JSON."""
        with self._serving():
            fault = self._stumble("fetch")
            (reply,) = self._job(job_id, "reply")
            return bytes(reply[: len(reply) // 2]) if fault else bytes(reply)

    def decode(self, reply: bytes, batch: Sequence[NativeCircuit]) -> list[Counts | Failed]:
        """Counts by bitstring, or the reason of a failure."""
        try:
            rows = json.loads(reply)["results"]
            return [
                Failed(row["failed"]) if "failed" in row else Counts.from_dict(circuit.n_qubits, row["counts"])
                for row, circuit in zip(rows, batch, strict=True)
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"the reply is not what was asked for: {error}") from error

    def find(self, key: str) -> str | None:
        """The latest job with this key, once it is visible."""
        with self._serving():
            if self.target.dedupe != "search":
                return super().find(key)
            self._stumble("find")
            query = "SELECT max(number) FROM jobs WHERE key = ? AND accepted <= ?"
            (number,) = self._state.execute(query, (key, self._clock() - self._times[2])).fetchone()
            return None if number is None else str(number)

    def cancel(self, job_id: str) -> None:
        """A job that has not ended is cancelled and costs nothing."""
        with self._serving():
            accepted, outcome = self._job(job_id, "accepted, outcome")
            ended = self._clock() - accepted >= sum(self._times[:2]) and outcome != "stuck"
            if not ended and outcome != _ASKED:
                update = "UPDATE jobs SET outcome = ?, usd = 0, accepted = ? WHERE number = ?"
                self._state.execute(update, (_ASKED, self._clock(), job_id))

    # Inside

    def _ended(self, outcome: str, reason: str, usd: float) -> JobState:
        return JobState(JobStatus(outcome), reason, usd=usd if self._tells_usd else None)

    @contextmanager
    def _serving(self) -> Iterator[None]:
        """Calls may come from several threads: they travel together, and are served one by one."""
        with self._turn:
            self._inside += 1
            self.most_at_once = max(self.most_at_once, self._inside)
        try:
            if self._latency_s:
                time.sleep(self._latency_s)
            with self._turn:
                yield
        finally:
            with self._turn:
                self._inside -= 1

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._state.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:  # whatever ended it, no transaction stays open
            self._state.execute("ROLLBACK")
            raise
        self._state.execute("COMMIT")

    def _count(self, verb: Verb) -> Fault | None:
        """Count a call, and say what is to go wrong with it."""
        add = "INSERT INTO called VALUES (?, 1) ON CONFLICT (verb) DO UPDATE SET times = times + 1"
        self._state.execute(add, (verb,))
        return self._faults.get((verb, self.called(verb)))

    def _stumble(self, verb: Verb) -> Fault | None:
        with self._transaction():
            fault = self._count(verb)
        if fault is not None and fault.what in _ERRORS:
            raise _ERRORS[fault.what](f"{verb} {fault.what} ({fault.reason})")
        return fault

    def _job(self, job_id: str, columns: str) -> tuple:  # type: ignore[type-arg]  # as many values as columns
        query = f"SELECT {columns} FROM jobs WHERE number = ?"  # noqa: S608 - columns are our own
        row = self._state.execute(query, (job_id,)).fetchone()
        if row is None:
            raise UnknownJobError(f"the scripted device has no job {job_id}")
        return tuple(row)

    def _accept(self, batch: Sequence[NativeCircuit], shots: int, key: str) -> str:
        if self.target.dedupe == "key":
            known = self._state.execute("SELECT number FROM jobs WHERE key = ?", (key,)).fetchone()
            if known:
                return str(known[0])
        self._count("job")
        number = self.called("job")
        fault = self._faults.get(("job", number))
        outcome = fault.what if fault else "done"
        failing = fault.places if fault and outcome == "partial" else ()
        rows: list[dict[str, object]] = []
        for place, circuit in enumerate(batch):
            if place in failing:
                rows.append({"failed": fault.reason if fault else ""})
            else:
                rows.append({"counts": self._shots(circuit, shots, number, place).to_dict()})
        ran = sum("counts" in row for row in rows) if outcome in ("done", "partial") else 0
        price = self.target.price
        usd = price.per_task_usd + price.per_shot_usd * shots * ran if ran else 0.0
        ending = "done" if outcome == "partial" else outcome
        reason = fault.reason if fault else ""
        reply = json.dumps({"job": number, "results": rows}).encode()
        job = (number, key, self._clock(), ending, reason, usd, reply)
        self._state.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?)", job)
        return str(number)

    def _shots(self, circuit: NativeCircuit, shots: int, number: int, place: int) -> Counts:
        engine = self._engines.setdefault(circuit.program.digest, Engine(circuit.program))
        probabilities = engine.probabilities(circuit.angles[None])[0]
        rng = np.random.default_rng([self._seed, number, place])
        counts = rng.multinomial(shots, probabilities / probabilities.sum())
        outcomes = np.flatnonzero(counts)
        return Counts(circuit.n_qubits, outcomes, counts[outcomes])
