"""Each driver against every way of calling its SDK by hand: native circuits of 8 qubits, one program, other angles.

    OMP_NUM_THREADS=1 python benchmarks/drivers.py [--json] [--circuits 200] [--repeats 7] [--only NAME ...]

The circuits are the ion-trap ansatz of seven sublayers (148 parameters), compiled for an MS and for a ZZ device: a
batch with random theta, and the batch of a parameter-shift gradient. A row is one kind of work and one peer, in CPU
milliseconds a circuit of one thread; ratio above 1: ours is faster. Ours and the peers take turns, and a row holds the
least of each, so that a busy machine disturbs little; medians, ranges, the machine and the versions go to stderr.
Every peer's result is checked against ours first. A peer that takes many times as long gets a tenth of the circuits,
since its time grows with their number alone.

The fastest peers are what these drivers do themselves, written down without driver, options and checks (for Aer, the
driver's own circuits and table, ready made): they tell what the driver layer costs.
"""
# ruff: noqa: ANN401 - the SDKs' objects are not typed

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cirq
import cirq_ionq
import numpy as np
import sympy
from braket.default_simulator import StateVectorSimulation, gate_operations
from braket.devices import LocalSimulator
from braket.ir.openqasm import Program
from engine import print_versions
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import UnitaryGate
from qiskit_aer import AerSimulator
from qiskit_aer.primitives import SamplerV2

from qcaan.circuits.gates import GATES
from qcaan.circuits.native import NativeCircuit
from qcaan.circuits.render import render_braket
from qcaan.circuits.transpile import transpile
from qcaan.execution.registry import open_backend
from qcaan.learn.ansatz import ion_trap_ansatz

N_QUBITS, SHOTS, TURN = 8, 1000, 2 * math.pi
MOST = slice(None)
FEW = slice(0, None, 10)
Batch = Sequence[NativeCircuit]
Peer = Callable[[Batch, int], list[Any]]
"""From circuits and shots to probabilities (shots = 0) or to the SDK's own counts."""


def aer_unitaries(batch: Batch, shots: int) -> list[Any]:
    circuits = []
    for native in batch:
        circuit = QuantumCircuit(N_QUBITS)
        for name, qubits, angles in native:
            gate = UnitaryGate(GATES[name].unitary(np.array(angles)), check_input=False)
            circuit.append(gate, [N_QUBITS - 1 - q for q in reversed(qubits)], copy=False)
        circuits.append(circuit)
    return _aer(circuits, None, len(batch), shots)


def _aer_template(batch: Batch) -> tuple[QuantumCircuit, ParameterVector]:
    """One circuit of R, RZ, RXX, RZZ; each MS between four RZ."""
    program = batch[0].program
    theta = ParameterVector("angle", program.n_angles)
    circuit = QuantumCircuit(N_QUBITS)
    for gate, at in zip(program.gates, program.offsets, strict=False):
        where = [N_QUBITS - 1 - q for q in gate.qubits]
        if gate.name == "zz":
            circuit.rzz(theta[at], *where)
        elif gate.name == "ms":
            for q, k in zip(where, (at, at + 1), strict=True):
                circuit.rz(-theta[k], q)
            circuit.rxx(theta[at + 2], *where)
            for q, k in zip(where, (at, at + 1), strict=True):
                circuit.rz(theta[k], q)
        else:
            circuit.r(math.pi if gate.name == "gpi" else math.pi / 2, theta[at], where[0])
    return circuit, theta


def aer_binds(batch: Batch, shots: int) -> list[Any]:
    circuit, theta = _aer_template(batch)
    columns = np.array([native.angles for native in batch]).T.tolist()
    return _aer([circuit], [dict(zip(theta, columns, strict=True))], len(batch), shots)


def _aer(circuits: list[QuantumCircuit], binds: list[dict[Any, Any]] | None, size: int, shots: int) -> list[Any]:
    for circuit in circuits:
        circuit.measure_all() if shots else circuit.save_probabilities()
    simulator = AerSimulator(method="statevector", max_parallel_threads=1, runtime_parameter_bind_enable=bool(binds))
    result = simulator.run(circuits, parameter_binds=binds, shots=shots or 1, seed_simulator=1).result()
    return [result.get_counts(k) if shots else result.data(k)["probabilities"] for k in range(size)]


def aer_sampler(batch: Batch, shots: int) -> list[Any]:
    """SamplerV2, one circuit broadcast over an array of angles; it has no exact probabilities."""
    circuit, theta = _aer_template(batch)
    circuit.measure_all()
    options = {"backend_options": {"method": "statevector", "max_parallel_threads": 1}}
    angles = np.array([native.angles for native in batch])
    data = SamplerV2(seed=1, options=options).run([(circuit, {tuple(theta): angles})], shots=shots).result()[0].data
    return [data.meas.get_counts(k) for k in range(len(batch))]


def aer_replay(backend: Any, batch: Batch) -> Callable[[], list[Any]]:
    """Aer's part of the driver's work: its circuits and its table, made beforehand."""
    simulator, seen = backend._simulator, {}
    run = simulator.run
    simulator.run = lambda circuits, **table: seen.update(circuits=circuits, table=table) or run(circuits, **table)
    backend.probabilities(batch)
    del simulator.run

    def again() -> list[Any]:
        result = simulator.run(seen["circuits"], **seen["table"]).result()
        return [result.data(k)["probabilities"] for k in range(len(batch))]

    return again


def _cirq_operations(native: NativeCircuit, qubits: list[cirq.LineQubit]) -> list[cirq.Operation]:
    return [_CIRQ[name](*(a / TURN for a in angles)).on(*(qubits[q] for q in on)) for name, on, angles in native]


_CIRQ: dict[str, Callable[..., cirq.Gate]] = {
    "gpi": lambda a: cirq_ionq.GPIGate(phi=a),
    "gpi2": lambda a: cirq_ionq.GPI2Gate(phi=a),
    "ms": lambda a, b, t: cirq_ionq.MSGate(phi0=a, phi1=b, theta=t),
    "zz": lambda t: cirq_ionq.ZZGate(theta=t),
}


def cirq_simulator(batch: Batch, shots: int) -> list[Any]:
    qubits = cirq.LineQubit.range(N_QUBITS)
    simulator = cirq.Simulator(split_untangled_states=False, seed=1)
    circuits = [cirq.Circuit(_cirq_operations(native, qubits)) for native in batch]
    if shots:
        programs = [circuit + cirq.measure(*qubits, key="m") for circuit in circuits]
        return [r[0].histogram(key="m") for r in simulator.run_batch(programs, repetitions=shots)]
    states = [simulator.simulate(circuit, qubit_order=qubits).final_state_vector for circuit in circuits]
    return [np.abs(state) ** 2 for state in states]


def cirq_sweep(batch: Batch, shots: int) -> list[Any]:
    """One circuit with symbols; cirq-ionq's gates take none, so their pulses are PhasedXPowGates, MS between RZ."""
    qubits, program = cirq.LineQubit.range(N_QUBITS), batch[0].program
    symbols = sympy.symbols(f"a:{program.n_angles}")
    turns = [symbol / math.pi for symbol in symbols]
    operations: list[cirq.Operation] = []
    for gate, at in zip(program.gates, program.offsets, strict=False):
        on = [qubits[q] for q in gate.qubits]
        if gate.name in ("gpi", "gpi2"):
            half = 1.0 if gate.name == "gpi" else 0.5
            operations.append(cirq.PhasedXPowGate(exponent=half, phase_exponent=turns[at]).on(*on))
        elif gate.name == "zz":
            operations.append(cirq.ZZPowGate(exponent=turns[at]).on(*on))
        else:
            operations += [cirq.ZPowGate(exponent=-turns[at + i]).on(on[i]) for i in (0, 1)]
            operations.append(cirq.XXPowGate(exponent=turns[at + 2]).on(*on))
            operations += [cirq.ZPowGate(exponent=turns[at + i]).on(on[i]) for i in (0, 1)]
    names = [symbol.name for symbol in symbols]
    sweep = [cirq.ParamResolver(dict(zip(names, native.angles.tolist(), strict=True))) for native in batch]
    simulator = cirq.Simulator(split_untangled_states=False, seed=1)
    if shots:
        circuit = cirq.Circuit(operations, cirq.measure(*qubits, key="m"))
        return [r.histogram(key="m") for r in simulator.run_sweep(circuit, sweep, repetitions=shots)]
    results = simulator.simulate_sweep(cirq.Circuit(operations), sweep, qubit_order=qubits)
    return [np.abs(result.final_state_vector) ** 2 for result in results]


def cirq_unitaries(batch: Batch, shots: int) -> list[Any]:
    qubits, axes = cirq.LineQubit.range(N_QUBITS), range(N_QUBITS)
    states = []
    for native in batch:
        state = _zero(np.complex64)
        args = cirq.ApplyUnitaryArgs(state, np.empty_like(state), axes)
        states.append(cirq.apply_unitaries(_cirq_operations(native, qubits), qubits, args).reshape(-1))
    return _cirq_read(states, shots)


def cirq_matrices(batch: Batch, shots: int) -> list[Any]:
    states = []
    for native in batch:
        state = _zero(np.complex128)
        spare = np.empty_like(state)
        for name, on, angles in native:
            matrix = cirq.unitary(_CIRQ[name](*(a / TURN for a in angles))).reshape([2] * (2 * len(on)))
            state, spare = cirq.targeted_left_multiply(matrix, state, on, out=spare), state
        states.append(state.reshape(-1))
    return _cirq_read(states, shots)


def _zero(dtype: Any) -> Any:
    state = np.zeros([2] * N_QUBITS, dtype=dtype)
    state[(0,) * N_QUBITS] = 1
    return state


def _cirq_read(states: list[Any], shots: int) -> list[Any]:
    if not shots:
        return [np.abs(state) ** 2 for state in states]
    weights = 1 << np.arange(N_QUBITS)[::-1]
    bits = (
        cirq.sample_state_vector(s.astype(np.complex64), range(N_QUBITS), repetitions=shots, seed=1) for s in states
    )
    return [np.unique(rows @ weights, return_counts=True) for rows in bits]


def braket_run(batch: Batch, shots: int) -> list[Any]:
    device, out = LocalSimulator(), []
    targets = ", ".join(f"${q}" for q in range(N_QUBITS))
    for native in batch:
        text = render_braket(native.program, native.angles)[0]
        if not shots:
            text = text.partition("b[0] = measure")[0] + f"#pragma braket result probability {targets}\n"
        result = device.run(Program(source=text), shots=shots).result()
        out.append(result.measurement_counts if shots else result.values[0])
    return out


def braket_evolve(batch: Batch, shots: int, batch_size: int = 1) -> list[Any]:
    make = {name: getattr(gate_operations, key) for name, key in (("gpi", "GPi"), ("gpi2", "GPi2"), ("ms", "MS"))}
    make["zz"] = gate_operations.ZZ
    out: list[Any] = []
    for native in batch:
        simulation = StateVectorSimulation(N_QUBITS, shots, batch_size)
        simulation.evolve([make[name](qubits, *angles) for name, qubits, angles in native])
        shown = simulation.probabilities
        out.append(np.unique(simulation.retrieve_samples(), return_counts=True) if shots else shown)
    return out


Ways = dict[str, tuple[Peer, slice]]
PEERS: dict[str, Ways] = {
    "local": {"Aer, parameter table": (aer_binds, MOST)},
    "aer": {
        "native unitaries": (aer_unitaries, FEW),
        "parameter table": (aer_binds, MOST),
        "SamplerV2, broadcast": (aer_sampler, MOST),
    },
    "cirq": {
        "Simulator.simulate, run_batch (complex64)": (cirq_simulator, FEW),
        "simulate_sweep, run_sweep (complex64)": (cirq_sweep, FEW),
        "apply_unitaries (complex64)": (cirq_unitaries, FEW),
        "targeted_left_multiply": (cirq_matrices, MOST),
    },
    "braket": {
        "LocalSimulator.run": (braket_run, FEW),
        "StateVectorSimulation.evolve, batch_size 25": (partial(braket_evolve, batch_size=25), FEW),
        "StateVectorSimulation.evolve": (braket_evolve, MOST),
    },
}
SAMPLES_ONLY = (aer_sampler,)


def taken_ms(works: Sequence[Callable[[], Any]], repeats: int) -> list[list[float]]:
    """CPU times of each work, in milliseconds; they take turns."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, times in zip(works, taken, strict=True):
            start = time.process_time()
            work()
            times.append(1000 * (time.process_time() - start))
    return taken


def rows(n_circuits: int, repeats: int, only: Sequence[str]) -> list[dict[str, Any]]:
    table = []
    for entangler in ("ms", "zz"):
        for name, ways in ((name, PEERS[name]) for name in only):
            backend: Any = open_backend(name, entangler=entangler, **({"threads": 1} if name == "aer" else {}))
            template = transpile(ion_trap_ansatz(N_QUBITS), backend.target)
            theta = np.random.default_rng(1).uniform(-np.pi, np.pi, (n_circuits, template.n_params))
            shifts = np.pi / 2 * np.eye(template.n_params)
            kind = f"{template.program.n_two_qubit} {entangler}"
            random = template.bind(theta).circuits()
            table += compare(f"{name}: exact, {kind}", backend, random, 0, ways, repeats)
            table += compare(f"{name}: {SHOTS} shots, {kind}", backend, random, SHOTS, ways, repeats)
            shifted = template.bind(np.concatenate([theta[0] + shifts, theta[0] - shifts])).circuits()
            table += compare(f"{name}: exact, shifted, {kind}", backend, shifted, 0, ways, repeats)
    return table


def compare(work: str, backend: Any, batch: Batch, shots: int, ways: Ways, repeats: int) -> list[dict[str, Any]]:
    """One row a peer."""
    exact = np.array(backend.probabilities(batch))
    ours = partial(backend.sample, batch, shots, 1) if shots else partial(backend.probabilities, batch)
    peers = {
        peer: (partial(call, batch[part], shots), part)
        for peer, (call, part) in ways.items()
        if shots or call not in SAMPLES_ONLY
    }
    if backend.target.name == "aer" and not shots:
        peers["the driver's own run, ready made"] = (aer_replay(backend, batch), MOST)
    if not shots:
        for call, part in peers.values():
            np.testing.assert_allclose(call(), exact[part], atol=1e-5)
    mine, *theirs = taken_ms([ours, *(call for call, _ in peers.values())], repeats)
    ours_ms = _least(work, "ours", mine, len(batch))
    table = []
    for (peer, (_, part)), times in zip(peers.items(), theirs, strict=True):
        ms = _least(work, peer, times, len(batch[part]))
        table.append(
            {"work": work, "ours": ours_ms, "peer": peer, "theirs": ms, "unit": "ms a circuit", "ratio": ms / ours_ms}
        )
    return table


def _least(work: str, name: str, times: Sequence[float], n_circuits: int) -> float:
    """Of a circuit; median and range to stderr."""
    low, middle, high = (value / n_circuits for value in (min(times), statistics.median(times), max(times)))
    print(f"{work}: {name}: median {middle:.4g}, {low:.4g} to {high:.4g} ms", file=sys.stderr)
    return low


def main() -> None:
    parser = argparse.ArgumentParser(description="Each driver against every way of calling its SDK by hand.")
    parser.add_argument("--json", action="store_true", help="print JSON for machines")
    parser.add_argument("--circuits", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=PEERS, default=[*PEERS], metavar="NAME", help="drivers")
    options = parser.parse_args()
    print_versions()
    table = rows(options.circuits, options.repeats, options.only)
    if options.json:
        print(json.dumps(table, indent=1))
        return
    for row in table:
        times = f"{row['ours']:>8.4f} {row['theirs']:>8.4f} {row['unit']}"
        print(f"{row['work']:<36} {times}  x{row['ratio']:<8.2f} {row['peer']}")


if __name__ == "__main__":
    main()
