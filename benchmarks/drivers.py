"""Each driver against hand-written calls of its SDK: 200 native circuits of 8 qubits, one program, different angles.

    OMP_NUM_THREADS=1 python benchmarks/drivers.py [--json] [--circuits 200] [--repeats 5]

The circuits are the ion-trap ansatz of seven sublayers (148 parameters), compiled for an MS and for a ZZ device. A row
is one kind of work and one peer: medians of the same run, CPU time of one thread, milliseconds a circuit; ratio above
1: ours is faster. Every peer's result is checked against ours first. All but the fastest peer get a tenth of the
circuits, since their time grows with the number of circuits alone.

Why low-level peers are there: a user who knows Aer's parameter tables, Cirq's states or Braket's simulation object can
write what these drivers do; the row tells what the driver layer costs them.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import cirq
import cirq_ionq
import numpy as np
from braket.default_simulator import StateVectorSimulation, gate_operations
from braket.devices import LocalSimulator
from braket.ir.openqasm import Program
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import UnitaryGate
from qiskit_aer import AerSimulator

from qcaan.circuits.gates import GATES
from qcaan.circuits.native import NativeCircuit
from qcaan.circuits.render import render_braket
from qcaan.circuits.transpile import transpile
from qcaan.execution.registry import open_backend
from qcaan.learn.ansatz import ion_trap_ansatz

N_QUBITS, SHOTS, TURN = 8, 1000, 2 * math.pi
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


def aer_binds(batch: Batch, shots: int) -> list[Any]:
    """One circuit of R, RZ, RXX, RZZ; each MS between four RZ; the angles as Aer's run-time parameter table."""
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
    columns = np.array([native.angles for native in batch]).T.tolist()
    return _aer([circuit], [dict(zip(theta, columns, strict=True))], len(batch), shots)


def _aer(circuits: list[QuantumCircuit], binds: list[dict[Any, Any]] | None, size: int, shots: int) -> list[Any]:
    for circuit in circuits:
        circuit.measure_all() if shots else circuit.save_probabilities()
    simulator = AerSimulator(method="statevector", max_parallel_threads=1, runtime_parameter_bind_enable=bool(binds))
    result = simulator.run(circuits, parameter_binds=binds, shots=shots or 1, seed_simulator=1).result()
    return [result.get_counts(k) if shots else result.data(k)["probabilities"] for k in range(size)]


def _cirq_operations(native: NativeCircuit, qubits: list[cirq.LineQubit]) -> list[cirq.Operation]:
    make = {
        "gpi": lambda a: cirq_ionq.GPIGate(phi=a),
        "gpi2": lambda a: cirq_ionq.GPI2Gate(phi=a),
        "ms": lambda a, b, t: cirq_ionq.MSGate(phi0=a, phi1=b, theta=t),
        "zz": lambda t: cirq_ionq.ZZGate(theta=t),
    }
    return [make[name](*(a / TURN for a in angles)).on(*(qubits[q] for q in on)) for name, on, angles in native]


def cirq_simulator(batch: Batch, shots: int) -> list[Any]:
    qubits = cirq.LineQubit.range(N_QUBITS)
    simulator = cirq.Simulator(split_untangled_states=False, seed=1)
    circuits = [cirq.Circuit(_cirq_operations(native, qubits)) for native in batch]
    if shots:
        programs = [circuit + cirq.measure(*qubits, key="m") for circuit in circuits]
        return [r[0].histogram(key="m") for r in simulator.run_batch(programs, repetitions=shots)]
    states = [simulator.simulate(circuit, qubit_order=qubits).final_state_vector for circuit in circuits]
    return [np.abs(state) ** 2 for state in states]


def cirq_unitaries(batch: Batch, shots: int) -> list[Any]:
    qubits = cirq.LineQubit.range(N_QUBITS)
    out: list[Any] = []
    for native in batch:
        state = np.zeros([2] * N_QUBITS, dtype=np.complex64)
        state[(0,) * N_QUBITS] = 1
        args = cirq.ApplyUnitaryArgs(state, np.empty_like(state), range(N_QUBITS))
        final = cirq.apply_unitaries(_cirq_operations(native, qubits), qubits, args).reshape(-1)
        if shots:
            bits = cirq.sample_state_vector(final, range(N_QUBITS), repetitions=shots, seed=1)
            out.append(np.unique(bits @ (1 << np.arange(N_QUBITS)[::-1]), return_counts=True))
        else:
            out.append(np.abs(final) ** 2)
    return out


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


def braket_evolve(batch: Batch, shots: int) -> list[Any]:
    make = {name: getattr(gate_operations, key) for name, key in (("gpi", "GPi"), ("gpi2", "GPi2"), ("ms", "MS"))}
    make["zz"] = gate_operations.ZZ
    out: list[Any] = []
    for native in batch:
        simulation = StateVectorSimulation(N_QUBITS, shots, batch_size=1)
        simulation.evolve([make[name](qubits, *angles) for name, qubits, angles in native])
        shown = simulation.probabilities
        out.append(np.unique(simulation.retrieve_samples(), return_counts=True) if shots else shown)
    return out


PEERS: dict[str, dict[str, Peer]] = {
    "local": {"Aer, run-time parameter table": aer_binds},
    "aer": {"Aer, native unitaries": aer_unitaries, "Aer, run-time parameter table": aer_binds},
    "cirq": {"Cirq, Simulator (complex64)": cirq_simulator, "Cirq, apply_unitaries (complex64)": cirq_unitaries},
    "braket": {"Braket, LocalSimulator.run": braket_run, "Braket, StateVectorSimulation.evolve": braket_evolve},
}
FAST = (aer_binds,)


def median_ms(work: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * statistics.median(times)


def rows(n_circuits: int, repeats: int) -> list[dict[str, Any]]:
    table = []
    for entangler in ("ms", "zz"):
        for name, peers in PEERS.items():
            options = {"threads": 1} if name == "aer" else {}
            backend: Any = open_backend(name, entangler=entangler, **options)
            template = transpile(ion_trap_ansatz(N_QUBITS), backend.target)
            theta = np.random.default_rng(1).uniform(-np.pi, np.pi, (n_circuits, template.n_params))
            batch = template.bind(theta).circuits()
            size = len(batch) if name in ("local", "aer") else max(1, n_circuits // 10)
            few = batch[: max(1, n_circuits // 10)]
            exact = backend.probabilities(few)
            kinds = {
                0: lambda b=backend, c=batch[:size]: b.probabilities(c),
                SHOTS: lambda b=backend, c=batch[:size]: b.sample(c, SHOTS, 1),
            }
            for shots, work in kinds.items():
                work()
                ours = median_ms(work, repeats) / size
                for peer, call in peers.items():
                    if not shots:
                        np.testing.assert_allclose(call(few, 0), exact, atol=1e-5)
                    some = batch if call in FAST else few
                    theirs = median_ms(lambda call=call, some=some, shots=shots: call(some, shots), repeats) / len(some)
                    what = f"{shots} shots" if shots else "exact probabilities"
                    table.append(
                        {
                            "work": f"{name}: {what}, {N_QUBITS} qubits, {template.program.n_two_qubit} {entangler}",
                            "ours": round(ours, 4),
                            "peer": peer,
                            "theirs": round(theirs, 4),
                            "unit": "ms a circuit",
                            "ratio": round(theirs / ours, 2),
                        }
                    )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="Each driver against hand-written calls of its SDK.")
    parser.add_argument("--json", action="store_true", help="print JSON for machines")
    parser.add_argument("--circuits", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    table = rows(options.circuits, options.repeats)
    if options.json:
        print(json.dumps(table, indent=1))
        return
    for row in table:
        times = f"{row['ours']:>9.4f} {row['theirs']:>9.4f} {row['unit']}"
        print(f"{row['work']:<52} {times}  x{row['ratio']:<8} {row['peer']}")


if __name__ == "__main__":
    main()
