"""What grows with qubits, queued tasks and recorded submissions: the numbers of docs/scaling.md.

    python benchmarks/scaling.py engine [--qubits 20 21 22 23 24]      time and memory of the exact engine
    python benchmarks/scaling.py queue [--tasks 1000 10000] [--store URL]    a call of so many tasks
    python benchmarks/scaling.py store [--rows 10000 1000000] [--store URL]   a store that holds so many submissions
    python benchmarks/scaling.py writers [--writers 1 2 4 8] [--store URL]    processes that share a store

Each prints a row a measurement, with --json a list of them. Rows have no peer: what they are compared with is the model
in docs/scaling.md. Times are the least wall seconds of a few repeats.

The first 10,000 submissions of a store are planned through the store's own verb, 100 a call; that they were sent,
replied to and decoded, and the rest as their copies, is written in a few statements: a million journeys take hours.
"""

import argparse
import hashlib
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from itertools import count
from pathlib import Path

import numpy as np
from sqlalchemy import Column, ColumnElement, Connection, String, Table, cast, insert, literal, select, text, update

from qcaan.circuits.circuit import Circuit, theta
from qcaan.circuits.native import NativeCircuit
from qcaan.circuits.simulate import Engine
from qcaan.circuits.transpile import transpile
from qcaan.execution import Budget, Request, Runner, ScriptedBackend, Store, jobs
from qcaan.execution.counts import Counts, pack
from qcaan.execution.planner import plan
from qcaan.execution.policy import Patience
from qcaan.execution.records import Draft
from qcaan.execution.schema import blobs, calls, submissions

Row = dict[str, object]
QUICK = Patience(submits_per_s=1e9, requests_per_s=1e9, first_poll_s=0.0, max_poll_s=0.0)
PER_CALL, CALLS_PER_RUN, FIRST, LAST = 100, 10, 10_000, 900_000
BUDGET, CAP_USD = "all", 1e9
LISTED = 100_000
"""Longer lists are not read: they take time and memory in proportion."""


def row(work: str, value: float, unit: str) -> Row:
    return {"work": work, "ours": float(f"{value:.4g}"), "unit": unit}


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Least wall time; the first call warms up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def peak_bytes() -> int:
    """Most memory that the process has held so far (Linux)."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# The exact engine


def born_machine(n: int) -> Circuit:
    """One layer: RX, RZ, RX on every qubit and XX on all pairs."""
    circuit, k = Circuit(n), 0
    for q in range(n):
        circuit = circuit.rx(theta[k], q).rz(theta[k + 1], q).rx(theta[k + 2], q)
        k += 3
    for a in range(n):
        for b in range(a + 1, n):
            circuit, k = circuit.xx(theta[k], a, b), k + 1
    return circuit


def of_qubits(n: int) -> list[Row]:
    """Probabilities and a gradient; alone in a process, so that its peak of memory is theirs."""
    rows = []
    for size in (17, n):  # first a run that compiles and loads all code
        before, circuit = peak_bytes(), born_machine(size)
        values = np.random.default_rng(1).uniform(-np.pi, np.pi, circuit.n_params)
        engine = Engine(circuit)
        start = time.perf_counter()
        engine.probabilities(values)
        forward_s, forward = time.perf_counter() - start, peak_bytes() - before
        start = time.perf_counter()
        engine.linearize(values)[1](np.ones((1, 2**size)))
        gradient_s, gradient = time.perf_counter() - start, peak_bytes() - before
        rows = [
            row(f"{size} qubits: probabilities", forward_s, "s"),
            row(f"{size} qubits: probabilities, memory", forward / 2**20, "MiB"),
            row(f"{size} qubits: gradient", gradient_s, "s"),
            row(f"{size} qubits: gradient, memory", gradient / 2**20, "MiB"),
        ]
    return rows


def engine(options: argparse.Namespace) -> Iterator[Row]:
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for n in options.qubits:
            yield from pool.apply(of_qubits, (n,))


# Many tasks of one call


def queue(options: argparse.Namespace) -> Iterator[Row]:
    """A paid device that takes one circuit a task and answers at once."""
    circuit = tree()
    for n in options.tasks:
        asked = Request(circuit, 100, np.random.default_rng(1).uniform(-3, 3, (n, circuit.n_params)))
        with folder() as path, Store.open(options.store or path / "store.sqlite") as opened:
            device = ScriptedBackend(path=path / "device.sqlite", n_qubits=4)
            programs = [transpile(circuit, device.target).program] * n
            yield row(f"{n} tasks: the planner", seconds(partial(plan, programs, [100] * n, device.target)), "s")
            runner = Runner(device, store=opened, run=f"{n}", seed=1, budget=Budget(CAP_USD), patience=QUICK)
            runner.run([Request(circuit, 100, asked.theta[:2])], tag="warm")
            before, start = peak_bytes(), time.perf_counter()
            runner.run([asked], tag="all")
            yield row(f"{n} tasks: planned, sent, polled, fetched, decoded", time.perf_counter() - start, "s")
            yield row(f"{n} tasks: memory", (peak_bytes() - before) / 2**20, "MiB")
            again = partial(runner.run, [asked], tag="all")
            yield row(f"{n} tasks: results again from the store", seconds(again, 1), "s")
            assert device.n_jobs == n + 2


def tree() -> Circuit:
    circuit = Circuit(4)
    for q in range(4):
        circuit = circuit.ry(theta[q], q)
    return circuit.cx(0, 1).cx(2, 3)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


# Many submissions in a store


def store(options: argparse.Namespace) -> Iterator[Row]:
    for n in options.rows:
        with folder() as path, Store.open(options.store or path / "store.sqlite") as opened:
            yield from fill(opened, n)
            yield from ask(opened, n)
            yield row(f"{n} rows: size of the database", size_bytes(opened) / n, "bytes a row")


def drafts(device: ScriptedBackend, name: str) -> list[Draft]:
    """A call's submissions, each of one circuit with angles of its own."""
    none = np.zeros(1, np.int64)
    return [
        Draft(
            position=k,
            attempt=0,
            key=hashlib.sha256(f"{name} {k}".encode()).hexdigest(),
            circuits=[circuit],
            items=np.array([k]),
            flips=none,
            shots=100,
            usd_high=0.31,
        )
        for k, circuit in enumerate(circuits(device))
    ]


@cache
def circuits(device: ScriptedBackend) -> list[NativeCircuit]:
    angles = np.random.default_rng(1).uniform(-3, 3, (PER_CALL, 4))
    return transpile(tree(), device.target).bind(angles).circuits()


def put(opened: Store, device: ScriptedBackend, number: int, cap_usd: float = float("inf")) -> None:
    """The call with this number, planned."""
    run, tag = f"run-{number // CALLS_PER_RUN:06d}", f"{number % CALLS_PER_RUN}/refit"
    name = (run, tag, "digest", json.dumps([{"shots": 100, "rows": PER_CALL}]), "1")
    made = drafts(device, f"{run}/{tag}")
    opened.plan(device.target, made, call=None, new=name, budget=BUDGET, cap_usd=cap_usd, versions="qcaan 0.1.0")


def fill(opened: Store, n: int) -> Iterator[Row]:
    """`n` submissions that are done, and a call's that are planned."""
    device, first = ScriptedBackend(n_qubits=4, account="somebody"), min(n, FIRST)
    start = time.perf_counter()
    for number in range(first // PER_CALL):
        put(opened, device, number)
    yield row(
        f"{n} rows: the first {first} planned, 100 a transaction", first / (time.perf_counter() - start), "rows/s"
    )
    counts = Counts.from_dict(4, {f"{k:04b}": 5 + k % 3 for k in range(16)})
    reply, packed = json.dumps({"results": [{"counts": counts.to_dict()}]}).encode(), pack([counts])
    now = time.time()
    with opened.write() as connection:
        for kind, data in (("reply", reply), ("counts", packed)):
            rows = select(submissions.c.id, literal(kind), literal(data))
            connection.execute(insert(blobs).from_select(["submission", "kind", "data"], rows))
        job = literal("job-") + cast(submissions.c.id, String)
        values = {"state": "done", "usd": 0.31, "sent_at": now, "done_at": now}
        connection.execute(update(submissions).values(job_id=job, **values))
    start = time.perf_counter()
    for copy in range(1, n // first):
        with opened.write() as connection:
            again(connection, calls, copy * first // PER_CALL, {"run": f"run-{copy * first // PER_CALL:06d}-"})
            salt = hashlib.sha256(str(copy).encode()).hexdigest()[:8]
            again(connection, submissions, copy * first, {"key": salt, "job_id": salt}, copy * first // PER_CALL)
            again(connection, blobs, copy * first, {})
    yield row(f"{n} rows: the others copied", (n - first) / (time.perf_counter() - start), "rows/s")
    if opened.engine.dialect.name == "postgresql":
        with opened.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in ("calls", "submissions"):
                last = f"(SELECT max(id) FROM {table})"
                connection.execute(text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {last})"))
            connection.execute(text("VACUUM ANALYZE"))
    put(opened, device, LAST)


def again(connection: Connection, table: Table, shift: int, marks: dict[str, str], call: int = 0) -> None:
    """The first rows once more: their numbers are shifted, their names marked."""
    shifts = {"id": shift, "submission": shift, "call": call}

    def new(column: Column) -> ColumnElement:
        if column.name in shifts:
            return column + shifts[column.name]
        return literal(marks[column.name]) + column if column.name in marks else column

    number = table.c.id if "id" in table.c else table.c.submission
    most = FIRST // PER_CALL if table is calls else FIRST
    rows = select(*(new(column) for column in table.c)).where(number <= most)
    connection.execute(insert(table).from_select(list(table.c), rows))


def ask(opened: Store, n: int) -> Iterator[Row]:
    """What a run asks on its way, then what a person asks."""
    device = ScriptedBackend(n_qubits=4, account="somebody")
    last = f"run-{LAST // CALLS_PER_RUN:06d}"
    key = jobs.list_jobs(opened, run=last)[0].key
    numbers = count(LAST + 1)
    asked: dict[str, Callable[[], object]] = {
        "a call by run and tag": lambda: opened.call(last, f"{LAST % CALLS_PER_RUN}/refit"),
        "counts of a submission": lambda: opened.counts(n // 2),
        "the room left in a budget": lambda: opened.reserve(BUDGET, CAP_USD),
        "plan 100 more, under a cap": lambda: put(opened, device, next(numbers), CAP_USD),
        "a submission by the first 12 letters of its key": lambda: opened.by_key(key[:12]),
        "jobs list --only-open": lambda: jobs.list_jobs(opened, only_open=True),
        "jobs list --run": lambda: jobs.list_jobs(opened, run=last),
        "jobs costs --run": lambda: jobs.costs(opened, run=last),
        "jobs costs": lambda: jobs.costs(opened),
    }
    if n <= LISTED:
        asked["jobs list"] = lambda: jobs.list_jobs(opened)
    for what, work in asked.items():
        yield row(f"{n} rows: {what}", 1e3 * seconds(work), "ms")
    call = opened.call(last, f"{LAST % CALLS_PER_RUN}/refit")
    assert call is not None
    start = time.perf_counter()
    for s in call.submissions:
        opened.sending(s.id)
        opened.sent(s.id, "job")
        opened.replied(s.id, "job", b"{}", None)
        opened.decoded(s.id, b"counts", {}, 0.31)
    yield row(f"{n} rows: the steps of a submission", 1e3 * (time.perf_counter() - start) / PER_CALL, "ms")


def size_bytes(opened: Store) -> int:
    with opened.engine.connect() as connection:
        if opened.engine.dialect.name == "postgresql":
            return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        return int(pages * connection.execute(text("PRAGMA page_size")).scalar_one())


# Many processes on one store


def write(where: str, number: int, seconds_each: float) -> int:
    """Take submissions through their steps for so long; return how many steps were made durable."""
    device = ScriptedBackend(n_qubits=4, account="somebody")
    n_steps, end = 0, time.monotonic() + seconds_each
    with Store.open(where) as opened:
        while True:
            name = (f"writer {number}", str(time.time_ns()), "", "[]", "1")
            made = drafts(device, "/".join(name))
            call = opened.plan(device.target, made, call=None, new=name, budget=name[0], cap_usd=CAP_USD)
            for s in call.submissions:
                opened.sending(s.id)
                opened.sent(s.id, "job")
                opened.replied(s.id, "job", b"{}", None)
                opened.decoded(s.id, b"counts", {}, 0.31)
                n_steps += 4
                if time.monotonic() > end:
                    return n_steps


def writers(options: argparse.Namespace) -> Iterator[Row]:
    """Durable steps a second of all processes together."""
    for n in options.writers:
        with folder() as path, multiprocessing.get_context("spawn").Pool(n) as pool:
            where = options.store or str(path / "store.sqlite")
            Store.open(where).close()
            for seconds_each in (1.0, options.seconds):  # first a run that loads all code
                steps = pool.starmap(write, [(where, k, seconds_each) for k in range(n)], chunksize=1)
            yield row(f"{n} writers", sum(steps) / options.seconds, "steps/s")


def main() -> None:
    parser = argparse.ArgumentParser(description="What grows with qubits, queued tasks and recorded submissions.")
    parser.add_argument("what", choices=("engine", "queue", "store", "writers"))
    parser.add_argument("--qubits", type=int, nargs="+", default=[20, 21, 22, 23, 24])
    parser.add_argument("--tasks", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000], help="ascending")
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each number of writers")
    parser.add_argument("--store", metavar="URL", help="an empty database; without it, SQLite in a temporary folder")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    parts: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
        "engine": engine,
        "queue": queue,
        "store": store,
        "writers": writers,
    }
    rows = []
    for found in parts[options.what](options):
        rows.append(found)
        if not options.json:
            print(f"{found['work']}: {found['ours']:g} {found['unit']}", flush=True)
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
