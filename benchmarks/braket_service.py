"""Circuits through the Braket driver and the runner, beside the stock SDK's loop, against the loopback service.

Every task is one circuit of 8 qubits; the service runs it without noise, so that its own work is small. Amazon's SDK
gets the same OpenQASM text, one session, and a poll interval of 20 ms instead of its default of one second: a loop of
`run` and `result`, and the same in 16 threads. The works take turns, and medians are told; one task at a time is
measured on a part of the tasks, and a round of two tasks before that warms up. One row has all circuits of ours in one
program set, which is what the driver does where the device offers it. The second group has a service that takes 100 ms
a call, as one across the internet does. CPU time is the client's; the service is a process of its own. How many tasks a
second that one can serve, a bare HTTP client tells: no SDK, no signature, no journal, nothing is read.

Rows have `work`, `ours`, `peer`, `theirs`, `unit`, `ratio`; a ratio above 1 means that ours is better.

    python benchmarks/braket_service.py [--json] [--tasks N] [--repeats N]
"""

import argparse
import asyncio
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import aiohttp
import numpy as np
from suite import FAMILIES
from yarl import URL

from backends.braket.encode import payload
from backends.loopback.braket import Loopback
from qcaan.circuits.circuit import Circuit
from qcaan.circuits.native import FORTE, NativeCircuit
from qcaan.circuits.render import render_braket
from qcaan.circuits.transpile import transpile
from qcaan.execution import Request, Runner, Store, open_backend
from qcaan.execution.budget import Budget
from qcaan.execution.policy import Patience

N_QUBITS, SHOTS, POLL_S = 8, 100, 0.02
WORKERS = 16
DEVICE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"
BUCKET = "amazon-braket-us-east-1-123456789012"
Work = Callable[[int], None]


def ansatz() -> Circuit:
    return FAMILIES["qcbm line L4"](N_QUBITS)


def thetas(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-3, 3, (n, ansatz().n_params))


def ours(program_sets: str, folder: Path, workers: int, n: int) -> Work:
    """`n` circuits through runner, journal and driver; on disk, as with a real device."""
    device = open_backend("braket", device="ionq-forte-1", program_sets=program_sets)
    patience = Patience(
        workers=workers, first_poll_s=POLL_S, max_poll_s=0.5, submits_per_s=1e9, requests_per_s=1e9, max_in_flight=200
    )
    store = Store.open(str(folder / f"{workers} {program_sets}.sqlite"))
    circuit = ansatz()

    def work(k: int) -> None:
        runner = Runner(device, store=store, run=f"{n} {k}", seed=k, budget=Budget(1e9), patience=patience)
        (results,) = runner.run([Request(circuit, SHOTS, theta=thetas(n, k))], tag="all")
        assert all(sum(result.counts.values()) == SHOTS for result in results)

    return work


def stock(url: str, threads: int, n: int) -> Work:
    """`n` tasks by Amazon's SDK: `run`, then `result`."""
    from braket.aws import AwsDevice, AwsSession
    from braket.ir.openqasm import Program

    device = AwsDevice(DEVICE, aws_session=AwsSession())
    assert device.aws_session.braket_client.meta.endpoint_url == url
    template = transpile(ansatz(), FORTE)

    def one(source: str) -> None:
        task = device.run(Program(source=source), shots=SHOTS, poll_interval_seconds=POLL_S)
        assert sum(task.result().measurement_counts.values()) > 0

    def work(k: int) -> None:
        sources = render_braket(template.program, template.bind(thetas(n, k)).angles)
        if threads == 1:
            for source in sources:
                one(source)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(one, sources))

    return work


def bare(url: str, n: int) -> Work:
    """`n` tasks by an HTTP client that does nothing else, 16 at a time: create, look until it is done, read."""
    template = transpile(ansatz(), FORTE)

    def work(k: int) -> None:
        batch = [NativeCircuit(template.program, angles) for angles in template.bind(thetas(n, k)).angles]
        asyncio.run(all_of([payload([circuit], SHOTS) for circuit in batch]))

    async def all_of(requests: list[dict]) -> None:
        async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=WORKERS)) as client:
            await asyncio.gather(*(one(client, request) for request in requests))

    async def one(client: aiohttp.ClientSession, request: dict) -> None:
        place = {"deviceArn": DEVICE, "outputS3Bucket": BUCKET, "outputS3KeyPrefix": "bare"}
        made = json.loads(
            await call(client, "braket", "POST", "/quantum-task", request | place | {"clientToken": token()})
        )
        path = f"/quantum-task/{made['quantumTaskArn'].replace(':', '%3A').replace('/', '%2F')}"
        while (task := json.loads(await call(client, "braket", "GET", path)))["status"] != "COMPLETED":
            await asyncio.sleep(POLL_S)
        await call(client, "s3", "GET", f"/{BUCKET}/{task['outputS3Directory']}/results.json")

    async def call(client: aiohttp.ClientSession, service: str, method: str, path: str, body: object = None) -> bytes:
        scope = f"AWS4-HMAC-SHA256 Credential=LOOPBACK/20260101/us-east-1/{service}/aws4_request, Signature=none"
        target = URL(path, encoded=True)
        async with client.request(method, target, json=body, headers={"Authorization": scope}) as reply:
            assert reply.status < 300, await reply.text()
            return await reply.read()

    return work


def token() -> str:
    return secrets.token_hex(32)


def measured(works: dict[str, Work], warm: dict[str, Work], repeats: int, where: str) -> dict[str, tuple[float, float]]:
    """Median seconds of wall time and of this process's CPU time, in turns."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for k in range(repeats + 1):
        for name in works:
            print(f"\r{where}: {name}, round {k} of {repeats}   ", end="", file=sys.stderr, flush=True)
            wall, cpu = time.perf_counter(), time.process_time()
            (works if k else warm)[name](k)
            if k:
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    print(file=sys.stderr)
    return {name: (median(w for w, _ in all_), median(c for _, c in all_)) for name, all_ in times.items()}


def rows(service: Loopback, n: int, part: int, repeats: int, where: str) -> list[dict]:
    """`part` of the `n` tasks are run where they run one after the other."""
    with tempfile.TemporaryDirectory() as folder:

        def works(n: int, part: int) -> dict[str, Work]:
            return {
                "1": ours("never", Path(folder), 1, part),
                "16": ours("never", Path(folder), WORKERS, n),
                "set": ours("auto", Path(folder), WORKERS, n),
                "stock": stock(service.url, 1, part),
                "stock 16": stock(service.url, WORKERS, n),
                "bare": bare(service.url, n),
            }

        found = measured(works(n, part), works(2, 2), repeats, where)
    sizes = {"1": part, "stock": part}
    rate = {name: sizes.get(name, n) / wall for name, (wall, _) in found.items()}
    cpu = {name: 1e3 * seconds / sizes.get(name, n) for name, (_, seconds) in found.items()}
    loop, threads = "amazon-braket-sdk run + result", f"amazon-braket-sdk in {WORKERS} threads"
    return [
        row(f"{where}, 1 worker", rate["1"], loop, rate["stock"], "tasks/s"),
        row(f"{where}, {WORKERS} workers", rate["16"], loop, rate["stock"], "tasks/s"),
        row(f"{where}, {WORKERS} workers", rate["16"], threads, rate["stock 16"], "tasks/s"),
        row(f"{where}, {WORKERS} workers", rate["16"], "the service's own limit", rate["bare"], "tasks/s"),
        row(f"{where}, one program set", rate["set"], loop, rate["stock"], "circuits/s"),
        row(f"{where}, client's CPU", cpu["16"], loop, cpu["stock"], "ms/task"),
        row(f"{where}, client's CPU", cpu["16"], threads, cpu["stock 16"], "ms/task"),
    ]


def row(work: str, mine: float, peer: str, theirs: float, unit: str) -> dict:
    ratio = mine / theirs if unit.endswith("/s") else theirs / mine
    return {"work": work, "ours": mine, "peer": peer, "theirs": theirs, "unit": unit, "ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tasks", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with Loopback(noise="none", program_sets=True) as service:
        os.environ.update(service.environment)
        n, repeats = arguments.tasks, arguments.repeats
        found = rows(service, n, max(1, n // 3), repeats, "loopback")
        service.set_faults([{"kind": "delay", "seconds": 0.1}])
        found += rows(service, n, max(1, n // 12), repeats, "100 ms a call")
    if arguments.json:
        print(json.dumps(found))
        return
    for r in found:
        print(f"{r['work']:28} {r['ours']:8.1f} {r['theirs']:8.1f} {r['unit']:10} {r['ratio']:6.1f}x  {r['peer']}")


if __name__ == "__main__":
    main()
