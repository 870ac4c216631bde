"""Other compilers to IonQ's native gates, each as a function (bound circuit, "ms" | "zz") -> list of placed gates.

A peer that is not installed raises ImportError; `pip install -r benchmarks/requirements.txt` brings all of them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qcaan.circuits.circuit import Circuit

if TYPE_CHECKING:
    from pytket.circuit import Circuit as TketCircuit
    from qiskit import QuantumCircuit

TURN = 2 * math.pi
NO_PULSE = 1e-9


@dataclass(frozen=True)
class Placed:
    """A gate of a peer's output: its matrix on these qubits (first most significant), its cost.

    `turns` is the |angle| of an entangler in turns, None for one-qubit gates; `pulses` counts GPI and GPI2.
    """

    matrix: NDArray[np.complex128]
    qubits: tuple[int, ...]
    pulses: int = 0
    turns: float | None = None


def to_qiskit(circuit: Circuit) -> "QuantumCircuit":
    from qiskit import QuantumCircuit

    out = QuantumCircuit(circuit.n_qubits)
    names = {"xx": "rxx", "zz": "rzz"}
    for gate in circuit.gates:
        getattr(out, names.get(gate.name, gate.name))(*gate.angles, *gate.qubits)
    return out


def _from_qiskit(circuit: "QuantumCircuit") -> list[Placed]:
    out = []
    for instruction in circuit.data:
        gate = instruction.operation
        qubits = tuple(circuit.find_bit(q).index for q in instruction.qubits)
        turns = abs(float(gate.params[-1])) if gate.name in ("ms", "zz") else None
        # Qiskit's matrices have the last qubit first, except those that qiskit_ionq defines: they are symmetric.
        out.append(Placed(np.asarray(gate.to_matrix()), qubits[::-1], int(gate.name in ("gpi", "gpi2")), turns))
    return out


def qiskit_ionq(level: int, optimizer: bool = False) -> Callable[[Circuit, str], list[Placed]]:
    def run(circuit: Circuit, native: str) -> list[Placed]:
        from qiskit import transpile
        from qiskit.circuit import Parameter
        from qiskit.transpiler import PassManagerConfig, Target
        from qiskit_ionq import GPI2Gate, GPIGate, MSGate, ZZGate
        from qiskit_ionq.ionq_equivalence_library import add_equivalences
        from qiskit_ionq.ionq_optimizer_plugin import TrappedIonOptimizerPlugin

        # The target of IonQ's backends, built here because the backend object asks IonQ's service for its size.
        add_equivalences()
        a, b, t = (Parameter(name) for name in "abt")
        target = Target(num_qubits=circuit.n_qubits)
        for gate in (GPIGate(a), GPI2Gate(a), MSGate(a, b, t) if native == "ms" else ZZGate(t)):
            target.add_instruction(gate)
        if optimizer:
            config = PassManagerConfig(target=target, seed_transpiler=1)
            manager = TrappedIonOptimizerPlugin().pass_manager(config, optimization_level=level)
            return _from_qiskit(manager.run(to_qiskit(circuit)))
        layout = list(range(circuit.n_qubits))
        compiled = transpile(
            to_qiskit(circuit), target=target, optimization_level=level, initial_layout=layout, seed_transpiler=1
        )
        return _from_qiskit(compiled)

    return run


def cirq_ionq(circuit: Circuit, native: str) -> list[Placed]:
    import cirq
    import cirq_ionq as ionq

    qubits = cirq.LineQubit.range(circuit.n_qubits)
    fixed = {"h": cirq.H, "cx": cirq.CNOT}
    turned = {
        "rx": cirq.rx,
        "ry": cirq.ry,
        "rz": cirq.rz,
        "xx": lambda t: cirq.XXPowGate(exponent=t / math.pi, global_shift=-0.5),
        "zz": lambda t: cirq.ZZPowGate(exponent=t / math.pi, global_shift=-0.5),
        "cp": lambda t: cirq.CZPowGate(exponent=t / math.pi),
        "u": lambda t, phi, lam: cirq.MatrixGate(
            cirq.unitary(cirq.rz(phi)) @ cirq.unitary(cirq.ry(t)) @ cirq.unitary(cirq.rz(lam))
        ),
    }
    moments = cirq.Circuit(
        (fixed[g.name] if g.name in fixed else turned[g.name](*g.angles)).on(*(qubits[q] for q in g.qubits))
        for g in circuit.gates
    )
    gateset = ionq.AriaNativeGateset() if native == "ms" else ionq.ForteNativeGateset()
    out = []
    for op in cirq.optimize_for_target_gateset(moments, gateset=gateset).all_operations():
        if isinstance(op.gate, cirq.GlobalPhaseGate):
            continue
        turns = abs(float(op.gate.theta)) if len(op.qubits) == 2 else None
        out.append(Placed(cirq.unitary(op), tuple(q.x for q in op.qubits), int(len(op.qubits) == 1), turns))
    return out


def pytket(circuit: Circuit, native: str) -> list[Placed]:
    """The best of several lists of passes, by entanglers, then pulses."""
    from pytket import passes
    from pytket.circuit import Circuit as Tket
    from pytket.circuit import OpType

    start = Tket(circuit.n_qubits)
    half = {"xx": "XXPhase", "zz": "ZZPhase", "rx": "Rx", "ry": "Ry", "rz": "Rz", "cp": "CU1", "u": "U3"}
    for gate in circuit.gates:
        if gate.name in half:
            start.add_gate(getattr(OpType, half[gate.name]), [a / math.pi for a in gate.angles], list(gate.qubits))
        else:
            start.add_gate({"h": OpType.H, "cx": OpType.CX}[gate.name], list(gate.qubits))
    rebase = passes.AutoRebase({OpType.ZZPhase, OpType.PhasedX, OpType.Rz})
    rebase_xx = passes.AutoRebase({OpType.XXPhase, OpType.PhasedX, OpType.Rz})
    squash = [passes.SquashRzPhasedX(), passes.RemoveRedundancies()]
    decompose = [passes.NormaliseTK2(), passes.DecomposeTK2(False, ZZPhase_fidelity=1.0)]
    kak = [passes.KAKDecomposition(OpType.TK2, allow_swaps=False), *decompose]
    lists = [
        [rebase, *squash],
        [passes.RemoveRedundancies(), passes.CommuteThroughMultis(), rebase, *squash],
        [passes.SynthesiseTK(), *decompose, rebase, *squash],
        [*kak, rebase, *squash],
        [passes.FullPeepholeOptimise(allow_swaps=False, target_2qb_gate=OpType.TK2), *kak, rebase, *squash],
        [passes.SynthesiseTK(), *kak, rebase, *squash, passes.SimplifyInitial(False, False), rebase, *squash],
    ]
    found = []
    for steps in lists:
        copy = start.copy()
        passes.SequencePass(steps).apply(copy)
        if native == "ms":
            copy = _with_xx(copy)
            passes.SequencePass(squash).apply(copy)
        found.append(_from_tket(copy))
    if native == "ms":
        copy = start.copy()
        passes.SequencePass([passes.CommuteThroughMultis(), rebase_xx, *squash]).apply(copy)
        found.append(_from_tket(copy))
    return min(found, key=lambda gates: (sum(g.turns is not None for g in gates), sum(g.pulses for g in gates)))


def _with_xx(circuit: "TketCircuit") -> "TketCircuit":
    """Every ZZPhase as an XXPhase between Hadamards; pytket's own rebase would make it two."""
    from pytket.circuit import Circuit as Tket
    from pytket.circuit import OpType

    out = Tket(circuit.n_qubits)
    for command in circuit.get_commands():
        qubits = [q.index[0] for q in command.qubits]
        if command.op.type != OpType.ZZPhase:
            out.add_gate(command.op, qubits)
            continue
        for q in qubits:
            out.H(q)
        out.add_gate(OpType.XXPhase, command.op.params, qubits)
        for q in qubits:
            out.H(q)
    return out


def _from_tket(circuit: "TketCircuit") -> list[Placed]:
    out = []
    for command in circuit.get_commands():
        op = command.op
        pulses, turns = 0, None
        if len(command.qubits) == 2:
            turns = abs((float(op.params[0]) + 2) % 4 - 2) / 2
        elif op.type.name == "PhasedX":
            polar = abs((float(op.params[0]) + 1) % 2 - 1)
            pulses = 0 if polar < NO_PULSE else 1 if min(abs(polar - 0.5), abs(polar - 1)) < NO_PULSE else 2
        out.append(Placed(op.get_unitary(), tuple(q.index[0] for q in command.qubits), pulses, turns))
    return out


def qiskit_braket_provider(circuit: Circuit, native: str) -> list[Placed]:
    from qiskit_braket_provider import to_braket

    gates = {"gpi", "gpi2", "ms" if native == "ms" else "rzz"}
    compiled = to_braket(to_qiskit(circuit), basis_gates=gates, optimization_level=1, add_measurements=False)
    out = []
    for instruction in compiled.instructions:
        op = instruction.operator
        two = len(instruction.target) == 2
        turns = abs(float(op.angle_3 if native == "ms" else op.angle)) / TURN if two else None
        qubits = tuple(int(q) for q in instruction.target)
        pulses = int(op.name.lower() in ("gpi", "gpi2"))
        out.append(Placed(op.to_matrix(), qubits, pulses, turns))
    return out


PEERS: dict[str, Callable[[Circuit, str], list[Placed]]] = {
    "qiskit-ionq O1": qiskit_ionq(1),
    "qiskit-ionq O3": qiskit_ionq(3),
    "qiskit-ionq TrappedIonOptimizer": qiskit_ionq(1, optimizer=True),
    "cirq_ionq": cirq_ionq,
    "pytket best": pytket,
    "qiskit-braket-provider O1": qiskit_braket_provider,
}


def distribution(gates: list[Placed], n: int) -> NDArray[np.float64]:
    """Probabilities of all outcomes from |0...0>, qubit 0 leftmost."""
    state = np.zeros([2] * n, dtype=np.complex128)
    state.flat[0] = 1
    for gate in gates:
        k = len(gate.qubits)
        matrix = gate.matrix.reshape([2] * (2 * k))
        state = np.moveaxis(np.tensordot(matrix, state, axes=(range(k, 2 * k), gate.qubits)), range(k), gate.qubits)
    return np.asarray(np.abs(state.ravel()) ** 2)
