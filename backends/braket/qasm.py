"""Native circuits as the OpenQASM 3 that Amazon Braket runs verbatim.

Why our own text and not the SDK's `Circuit.to_ir`: it measures the qubits in the order in which gates first touch them,
and leaves idle ones out. Here every qubit of the register is read, in order. Angles are radians, written so that they
are read back to the last bit.
"""

from qcaan.circuits.native import NativeCircuit


def verbatim(circuit: NativeCircuit) -> str:
    """The circuit as one verbatim box on physical qubits $0 .. $n-1, all of them measured in order."""
    n = circuit.n_qubits
    measured = [f"b[{q}] = measure ${q};" for q in range(n)]
    return "\n".join(["OPENQASM 3.0;", f"bit[{n}] b;", *_box(circuit), *measured, ""])


def verbatim_probabilities(circuit: NativeCircuit) -> str:
    """The circuit as one verbatim box, with the exact probabilities of all qubits as its result."""
    targets = ", ".join(f"${q}" for q in range(circuit.n_qubits))
    return "\n".join(["OPENQASM 3.0;", *_box(circuit), f"#pragma braket result probability {targets}", ""])


def _box(circuit: NativeCircuit) -> list[str]:
    gates = [
        f"{name}({', '.join(map(repr, angles))}) {', '.join(f'${q}' for q in qubits)};"
        for name, qubits, angles in circuit
    ]
    return ["#pragma braket verbatim", "box{", *gates, "}"]
