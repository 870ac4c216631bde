"""The exact engine against every simulator that is installed: `python benchmarks/engine.py [--json] [--works 8x4 ...]`.

The circuit is the Born machine with RX, RZ, RX on every qubit and all-to-all XX, "n x L". Each peer's result is
compared with ours before anything is timed. Gradients are those of the clipped negative log-likelihood of a fixed
target by all parameters. Ours and all peers of a row take turns. Times are CPU seconds of all threads or wall seconds,
whichever is less, so that a busy machine disturbs least; a row holds the medians of one run, and stderr the ranges,
the ratios of the least times, the machine and the versions.
"""

import argparse
import itertools
import json
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from simulators import GRADIENTS, INTERFACES, PACKAGES, PEERS, SINGLE_PRECISION, Array, Run, qulacs, torch_gradient

from qcaan.circuits.circuit import Circuit, theta
from qcaan.circuits.native import ARIA, FORTE
from qcaan.circuits.simulate import Engine, sample
from qcaan.circuits.transpile import transpile

WORKS = ("8x2", "8x4", "12x2", "12x4", "16x2", "16x4", "20x2")
SLOW = ("lightning", "qsim", "cirq", "braket")
"""Not asked for 100 thetas."""
TURN_S = 0.01
Rows = Iterator[dict[str, Any]]


def born_machine(n: int, n_layers: int) -> Circuit:
    circuit, k = Circuit(n), itertools.count()
    for _ in range(n_layers):
        for q in range(n):
            circuit = circuit.rx(theta[next(k)], q).rz(theta[next(k)], q).rx(theta[next(k)], q)
        for a, b in itertools.combinations(range(n), 2):
            circuit = circuit.xx(theta[next(k)], a, b)
    return circuit


def timed(run: Callable[[], object], count: int) -> float:
    """Seconds a call, CPU or wall, whichever is less."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        run()
    return min(time.perf_counter() - wall, time.process_time() - cpu) / count


def samples(runs: list[Callable[[], object]], budget_s: float) -> list[list[float]]:
    """Seconds per call of each, CPU or wall, whichever is less; the runs take turns for `budget_s` each.

    A turn is as many calls as take `TURN_S`: the first finds its code and data gone from the caches.
    """
    repeats = []
    for run in runs:
        took = [timed(run, 1) for _ in range(4)]
        repeats.append(max(1, int(TURN_S / (min(took) + 1e-9))))
    times: list[list[float]] = [[] for _ in runs]
    end = time.perf_counter() + budget_s * len(runs)
    while time.perf_counter() < end or len(times[0]) < 3:
        for run, count, row in zip(runs, repeats, times, strict=True):
            row.append(timed(run, count))
    return times


def compare(work: str, ours: Run, builds: dict[str, Callable[[], Run]], budget_s: float = 1.0) -> Rows:
    """A row for each peer that is installed and agrees."""
    expected, runs = ours(), {}
    for name, build in builds.items():
        try:
            run = build()
            found = run()
        except ImportError as error:
            print(f"{work}: {name} is left out: {error}", file=sys.stderr)
            continue
        loose = 2e-4 if name in SINGLE_PRECISION else 1e-6 * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(found, expected, rtol=0, atol=loose, err_msg=f"{work}: {name} disagrees")
        runs[name] = run
    mine, *theirs = samples([ours, *runs.values()], budget_s)
    for name, times in zip(runs, theirs, strict=True):
        yield row(work, mine, name, times)


def row(work: str, ours: list[float], peer: str, theirs: list[float]) -> dict[str, Any]:
    """Medians, in milliseconds; ranges and the ratio of the least times to stderr."""
    ranges = " ".join(f"{1e3 * min(times):.4g}..{1e3 * max(times):.4g}" for times in (ours, theirs))
    print(f"{work}: {peer}: ms {ranges}, least {min(theirs) / min(ours):.1f}x", file=sys.stderr)
    mine, other = (1e3 * statistics.median(times) for times in (ours, theirs))
    return {"work": work, "ours": mine, "peer": peer, "theirs": other, "unit": "ms", "ratio": other / mine}


def benchmark(works: list[str], skip: list[str]) -> Rows:
    rng = np.random.default_rng(1)
    for work in works:
        n, n_layers = map(int, work.split("x"))
        circuit = born_machine(n, n_layers)
        yield from forward(f"probabilities {work}", circuit, rng.uniform(-np.pi, np.pi, (1, circuit.n_params)), skip)
        if n <= 16:
            yield from backward(f"gradient {work}", circuit, rng, skip)
            yield from through_torch(f"gradient through torch {work}", circuit, rng, skip)
            yield from native(work, circuit, rng.uniform(-np.pi, np.pi, (1, circuit.n_params)))
        if n <= 12:
            batch = rng.uniform(-np.pi, np.pi, (100, circuit.n_params))
            yield from forward(f"100 thetas {work}", circuit, batch, [*skip, *SLOW])
            yield from native(f"100 of {work}", circuit, batch)
    if "8x2" in works and "qulacs" not in skip:
        yield sampling(rng)


def forward(work: str, circuit: Circuit, thetas: Array, skip: list[str]) -> Rows:
    builds = {name: partial(build, circuit, thetas) for name, build in PEERS.items() if name not in skip}
    yield from compare(work, partial(Engine(circuit).probabilities, thetas), builds)


def backward(work: str, circuit: Circuit, rng: np.random.Generator, skip: list[str]) -> Rows:
    values, target = rng.uniform(-np.pi, np.pi, circuit.n_params), rng.dirichlet(np.ones(2**circuit.n_qubits))
    engine = Engine(circuit)

    def gradient() -> Array:
        p, vjp = engine.linearize(values)
        return vjp(-target / np.clip(p, 1e-12, None))[0]

    builds = {name: partial(build, circuit, values, target) for name, build in GRADIENTS.items() if name not in skip}
    yield from compare(work, gradient, builds)


def through_torch(work: str, circuit: Circuit, rng: np.random.Generator, skip: list[str]) -> Rows:
    """The same gradient through our torch functions, and through the peers' own interfaces."""
    import torch

    from qcaan.learn.differentiable import loss_of, probabilities
    from qcaan.learn.losses import ClippedNll

    values, target = rng.uniform(-np.pi, np.pi, circuit.n_params), rng.dirichlet(np.ones(2**circuit.n_qubits))
    theta, nll = torch.tensor(values, requires_grad=True), ClippedNll(epsilon=1e-12)

    def ours() -> Array:
        (gradient,) = torch.autograd.grad(loss_of(circuit, theta, target, nll), theta)
        return np.asarray(gradient.numpy())

    builds = {name: partial(build, circuit, values, target) for name, build in INTERFACES.items() if name not in skip}
    yield from compare(work, ours, builds)
    by_torch = torch_gradient(partial(probabilities, circuit), values, target)
    yield from compare(f"{work}, its loss too", by_torch, builds)


def native(work: str, circuit: Circuit, batch: Array) -> Rows:
    """The compiled forms against the circuit itself: probabilities, and gradients by theta or by native angles."""
    engines = {"logical": (Engine(circuit), batch)}
    for target in (ARIA, FORTE):
        template = transpile(circuit, target)
        engines[target.native_gates[-1]] = (Engine(template.program), template.bind(batch).angles)
    cotangent = np.random.default_rng(2).normal(size=(len(batch), 2**circuit.n_qubits))

    def gradient(engine: Engine, values: Array) -> Array:
        return engine.linearize(values)[1](cotangent)

    for what, call in (("probabilities", Engine.probabilities), ("gradient", gradient)):
        logical, *forms = samples([partial(call, *engine) for engine in engines.values()], 1.0)
        for name, times in zip(("ms", "zz"), forms, strict=True):
            yield row(f"native {what} {work} {name}", times, "logical form", logical)


def sampling(rng: np.random.Generator) -> dict[str, Any]:
    """A pair of bases, 10,000 shots each, theta new each time; the peer draws from its own state."""
    from qulacs import QuantumState

    circuit = born_machine(8, 2)
    engines = [Engine(circuit.in_basis(basis)) for basis in ("Z", "X")]
    values = rng.normal(size=(1, circuit.n_params))
    runs = [qulacs(circuit, values), qulacs(circuit, values)]
    state = QuantumState(8)

    def theirs() -> None:
        for run in runs:
            state.load(np.sqrt(run()[0]))
            state.sampling(10_000, 1)

    def ours() -> None:
        for engine in engines:
            sample(engine.probabilities(values), 10_000, 1)

    mine, other = samples([ours, theirs], 1.0)
    return row("sampling 2 bases 8x2, 10,000 shots", mine, "qulacs", other)


def print_versions() -> None:
    """To stderr."""
    print(platform.platform(), platform.processor(), sys.version.split()[0], file=sys.stderr)
    for package in PACKAGES:
        try:
            print(package, version(package), file=sys.stderr)
        except PackageNotFoundError:
            print(package, "is not installed", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description="The exact engine against every simulator that is installed.")
    parser.add_argument("--json", action="store_true", help="rows as JSON")
    parser.add_argument("--works", nargs="+", default=WORKS, metavar="NxL")
    parser.add_argument("--skip", nargs="*", default=[], help="peers to leave out")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print_versions()
    out = []
    for line in benchmark(arguments.works, arguments.skip):
        out.append(line)
        if not arguments.json:
            times = f"{line['ours']:10.4g} ms  {line['peer']:22} {line['theirs']:10.4g} ms  {line['ratio']:8.1f}x"
            print(f"{line['work']:36} {times}", flush=True)
    if arguments.json:
        print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
