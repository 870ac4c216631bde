"""What running through the runner and the store costs, against calling the device directly.

Rows have `work`, `ours`, `peer`, `theirs`, `unit`, `ratio`; a ratio above 1 means that ours is better. The whole path
is timed in turns with the direct call, and the least time of each counts: other work on the machine only adds to it.

Why the whole path on `local` does not come down to 1.1 times the direct call: the driver needs 85 us a circuit, nearly
all of it random numbers, which leaves 1.7 ms for everything that makes 200 results durable and traceable. `--parts`
shows where the time goes, of 17 ms for the direct call on a busy machine: what a submission needs once takes 2.4 ms,
however large the batch is (1.6 for two transactions with seven statements, 0.8 for the lock, the keys, the loop); what
every circuit needs takes 2.2 ms for 200 (0.7 counts and 0.5 angles as exact bytes, 0.3 a result object each, 0.3
digests, 0.3 the reply's checks, 0.1 the plan). The once is SQLAlchemy's own, the rest mostly numpy's calls on arrays of
250 numbers: 1.25 to 1.3 is what is left. A driver that takes longer, as `aer` does, comes nearer to 1.

    python benchmarks/runner.py [--json | --parts]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from qcaan.circuits.circuit import Circuit, theta
from qcaan.circuits.transpile import transpile
from qcaan.execution import Request, Runner, ScriptedBackend, Store, journey, open_backend, payload
from qcaan.execution import backend as backend_module
from qcaan.execution import runner as runner_module
from qcaan.execution.backend import Simulator
from qcaan.execution.policy import Patience
from qcaan.execution.request import Compiler

N_QUBITS, BATCH, SHOTS, REPEATS = 8, 200, 10_000, 15
LIMIT_BYTES = 1536
UNLIMITED = Patience(submits_per_s=1e9, requests_per_s=1e9, max_in_flight=1000)


def ansatz(n_layers: int = 2) -> Circuit:
    """RX, RZ on every qubit and XX on every pair, a layer."""
    circuit, k = Circuit(N_QUBITS), 0
    for _ in range(n_layers):
        for q in range(N_QUBITS):
            circuit = circuit.rx(theta[k], q).rz(theta[k + 1], q)
            k += 2
        for a in range(N_QUBITS):
            for b in range(a + 1, N_QUBITS):
                circuit, k = circuit.xx(theta[k], a, b), k + 1
    return circuit


def shifted(circuit: Circuit) -> np.ndarray:
    """A gradient's batch: one theta, and its copies with one entry shifted."""
    batch = np.tile(np.random.default_rng(0).uniform(-3, 3, circuit.n_params), (BATCH, 1))
    rows = np.arange(1, BATCH)
    batch[rows, (rows // 2) % circuit.n_params] += np.where(rows % 2, np.pi / 2, -np.pi / 2)
    return batch


def seconds(work: Callable[[int], object], repeats: int = REPEATS) -> float:
    """Least wall time of `work(k)`, k = 1, 2, ...; the first call warms up."""
    times = []
    for k in range(repeats + 1):
        start = time.perf_counter()
        work(k)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def running(runner: Runner, request: Request, tag: str) -> Callable[[int], object]:
    return lambda k: runner.run([request], tag=tag.format(k))


def row(work: str, ours: float, peer: str, theirs: float, unit: str, *, more_is_better: bool = False) -> dict:
    ratio = ours / theirs if more_is_better else theirs / ours
    return {"work": work, "ours": ours, "peer": peer, "theirs": theirs, "unit": unit, "ratio": ratio}


def side_by_side(works: dict[str, Callable[[int], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Least CPU and wall seconds of each work, in turns, so that what else the machine does hits all of them alike."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for k in range(repeats + 1):
        for name, work in works.items():
            start = time.process_time(), time.perf_counter()
            work(k)
            times[name].append((time.process_time() - start[0], time.perf_counter() - start[1]))
    return {name: tuple(min(column) for column in zip(*many[1:], strict=True)) for name, many in times.items()}


def whole_path(name: str, repeats: int) -> list[dict]:
    """A batch through the runner, and the same batch bound and given to the driver by hand."""
    backend = open_backend(name)
    assert isinstance(backend, Simulator)
    circuit = ansatz()
    batch = shifted(circuit)
    template = transpile(circuit, backend.target, "Z")
    request = Request(circuit, SHOTS, batch)
    works: dict[str, Callable[[int], object]] = {
        "direct": lambda k: backend.sample(template.bind(batch).circuits(), SHOTS, k)
    }
    with tempfile.TemporaryDirectory() as folder, Store.open() as memory, Store.open(Path(folder) / "s.sqlite") as disk:
        for where, store in (("memory", memory), ("disk", disk)):
            works[where] = running(Runner(backend, store=store, run="a", seed=1), request, "step {}")
        took = side_by_side(works, repeats)
    return [
        row(
            f"{BATCH} circuits of {N_QUBITS} qubits, {SHOTS} shots, {name}, store {where}",
            took[where][column] * 1e3,
            f"{name} driver called directly",
            took["direct"][column] * 1e3,
            unit,
        )
        for where in ("memory", "disk")
        for column, unit in enumerate(("ms of CPU", "ms"))
    ]


PARTS: list[tuple[str, object, tuple[str, ...]]] = [
    ("check and digest what is asked", Compiler, ("check",)),
    ("compile and bind (the direct call does this too)", Compiler, ("compile",)),
    ("the driver (the direct call does this too)", Simulator, ("submit",)),
    ("counts as bytes", backend_module, ("pack",)),
    ("angles as bytes", payload, ("encode", "encode_places")),
    ("plan within the device's limits", runner_module, ("plan",)),
    ("check the reply", journey, ("checked",)),
    ("transactions of the store", Store, ("call", "plan", "decoded")),
    ("results", runner_module, ("assemble",)),
    ("everything else: lock, keys, loop, progress", Runner, ("run",)),
]


def parts(repeats: int) -> None:
    """Print the least CPU time of each part of a run on `local`, its own parts taken off."""
    spent: dict[str, float] = {}
    open_parts: list[float] = []

    def timed(part: str, whole: Callable[..., object]) -> Callable[..., object]:
        def work(*given: object, **options: object) -> object:
            open_parts.append(0.0)
            start = time.thread_time()
            try:
                return whole(*given, **options)
            finally:
                took = time.thread_time() - start
                spent[part] = spent.get(part, 0.0) + took - open_parts.pop()
                if open_parts:
                    open_parts[-1] += took

        return work

    for part, owner, names in PARTS:
        for name in names:
            setattr(owner, name, timed(part, getattr(owner, name)))
    request, runs = Request(circuit := ansatz(), SHOTS, shifted(circuit)), []
    with Store.open() as store:
        runner = Runner(open_backend("local"), store=store, run="a", seed=1)
        for k in range(3 * repeats):
            spent.clear()
            runner.run([request], tag=f"step {k}")
            runs.append(dict(spent))
    print(f"| part | ms of CPU for {BATCH} circuits |\n|---|---:|")
    for part, *_ in PARTS:
        print(f"| {part} | {min(run[part] for run in runs[1:]) * 1e3:.2f} |")


def in_the_air() -> list[dict]:
    """Submissions a second to a device whose calls take as long as over a network, by threads and one by one."""
    circuit = Circuit(1).rx(theta[0], 0)
    wanted = Request(circuit, 100, np.linspace(0, 3, 64)[:, None])
    rates = {}
    for workers in (1, 16):
        with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "store.sqlite") as store:
            device = ScriptedBackend(kind="emulator", per_task_usd=0, per_shot_usd=0, latency_s=0.1)
            patience = replace(UNLIMITED, workers=workers)
            start = time.perf_counter()
            Runner(device, store=store, run="a", seed=1, patience=patience).run([wanted], tag="t")
            rates[workers] = 64 / (time.perf_counter() - start)
    work = "submissions whose 3 calls take 100 ms each, 16 workers, store on disk"
    return [row(work, rates[16], "1 worker", rates[1], "submissions/s", more_is_better=True)]


def throughput() -> list[dict]:
    """Submissions a second to a device that answers at once, and replays a second."""
    circuit = Circuit(1).rx(theta[0], 0)
    batch = np.linspace(0, 3, 50)[:, None]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for where, path in (("memory", None), ("disk", Path(folder) / "store.sqlite")):
            with Store.open(path) as store:
                device = ScriptedBackend(kind="emulator", per_task_usd=0, per_shot_usd=0)
                natives = transpile(circuit, device.target, "Z").bind(batch).circuits()

                def bare(k: int, device: ScriptedBackend = device, natives: list = natives) -> None:
                    for place, native in enumerate(natives):
                        job_id = device.submit([native], 100, f"bare {k} {place}")
                        device.poll(job_id)
                        device.decode(device.fetch(job_id), [native])

                runner = Runner(device, store=store, run="a", seed=1, patience=UNLIMITED)
                ours = 50 / seconds(running(runner, Request(circuit, 100, batch), "step {}"), 5)
                theirs = 50 / seconds(bare, 5)
                work = f"submissions at zero latency, store on {where}"
                rows.append(
                    row(work, ours, "scripted device called directly", theirs, "submissions/s", more_is_better=True)
                )
                replay = Runner(None, store=store, run="a", seed=1, policy="replay")
                one = Request(circuit, 100, batch[:1])
                live = 1 / seconds(running(runner, one, "one {}"), 20)
                again = 1 / seconds(running(replay, one, "one 1"), 50)
                work = f"calls of one circuit replayed, store on {where}"
                rows.append(row(work, again, "running it", live, "calls/s", more_is_better=True))
    return rows


def growth() -> list[dict]:
    """Bytes on disk per result: when theta shifts by one entry, and when all of it is new."""
    circuit = ansatz()
    backend = open_backend("local")
    batches = {"one entry of theta shifted": shifted(circuit)}
    batches["a theta of its own each"] = np.random.default_rng(1).uniform(
        -3, 3, batches["one entry of theta shifted"].shape
    )
    rows = []
    for what, batch in batches.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "store.sqlite"
            sizes = []
            for calls in (1, 5):
                with Store.open(path) as store:
                    runner = Runner(backend, store=store, run="a", seed=1)
                    for k in range(calls):
                        runner.run([Request(circuit, SHOTS, batch)], tag=f"{calls} {k}")
                sizes.append(path.stat().st_size)
            grown = (sizes[1] - sizes[0]) / (5 * BATCH)
            work = f"store growth per result of {N_QUBITS} qubits and {SHOTS} shots, {what}"
            rows.append(row(work, grown, "limit", LIMIT_BYTES, "bytes"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--json", action="store_true", help="print rows as JSON")
    choice.add_argument("--parts", action="store_true", help="print where the time of the whole path goes")
    options = parser.parse_args()
    if options.parts:
        parts(REPEATS)
        return
    rows = [*throughput(), *in_the_air(), *growth(), *whole_path("local", REPEATS), *whole_path("aer", 5)]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print("| work | ours | peer | unit | compared with | ratio |\n|---|---:|---:|---|---|---:|")
    for r in rows:
        print(f"| {r['work']} | {r['ours']:.4g} | {r['theirs']:.4g} | {r['unit']} | {r['peer']} | {r['ratio']:.2f} |")


if __name__ == "__main__":
    main()
