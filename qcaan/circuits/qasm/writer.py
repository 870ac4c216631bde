"""Writing a circuit as OpenQASM 3: the gates of stdgates.inc, and definitions of the others that it uses.

theta becomes `input float[64] theta_0`, `theta_1`, ...: one scalar each, because Qiskit's and Braket's readers take no
input arrays. Numbers are written with Python's shortest digits that read back as the same float64.
"""

from qcaan.circuits.circuit import Angle, Circuit, Theta

# In an order in which a definition uses only earlier ones.
_DEFINITIONS = {
    "sxdg": "gate sxdg a { h a; sdg a; h a; }",
    "gpi": "gate gpi(phi) a { p(-phi) a; x a; p(phi) a; }",
    "gpi2": "gate gpi2(phi) a { p(-phi) a; rx(pi/2) a; p(phi) a; }",
    "iswap": "gate iswap a, b { s a; s b; h a; cx a, b; cx b, a; h b; }",
    "zz": "gate zz(t) a, b { cx a, b; rz(t) b; cx a, b; }",
    "xx": "gate xx(t) a, b { h a; h b; cx a, b; rz(t) b; cx a, b; h a; h b; }",
    "yy": "gate yy(t) a, b { rx(pi/2) a; rx(pi/2) b; cx a, b; rz(t) b; cx a, b; rx(-pi/2) a; rx(-pi/2) b; }",
    "ms": (
        "gate ms(phi0, phi1, t) a, b {\n  p(-phi0) a; p(-phi1) b; h a; h b;\n  cx a, b; rz(t) b; cx a, b;\n"
        "  h a; h b; p(phi0) a; p(phi1) b;\n}"
    ),
}
_NAMES = {"u": "U"}


def to_qasm(circuit: Circuit) -> str:
    """The circuit as an OpenQASM 3 program that `from_qasm` reads back as an equal circuit.

    Bit k of the register `c` is the k-th of `circuit.measured`.
    """
    used = {gate.name for gate in circuit.gates}
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";']
    lines += [text for name, text in _DEFINITIONS.items() if name in used]
    lines += [f"input float[64] theta_{k};" for k in range(circuit.n_params)]
    lines += [f"qubit[{circuit.n_qubits}] q;", f"bit[{len(circuit.measured)}] c;"]
    for gate in circuit.gates:
        angles = f"({', '.join(_number(angle) for angle in gate.angles)})" if gate.angles else ""
        qubits = ", ".join(f"q[{q}]" for q in gate.qubits)
        lines.append(f"{_NAMES.get(gate.name, gate.name)}{angles} {qubits};")
    lines += [f"c[{bit}] = measure q[{qubit}];" for bit, qubit in enumerate(circuit.measured)]
    return "\n".join(lines) + "\n"


def _number(angle: Angle) -> str:
    if not isinstance(angle, Theta):
        return repr(angle)
    text = f"theta_{angle.index}" if angle.scale == 1 else f"{angle.scale!r}*theta_{angle.index}"
    return text if angle.offset == 0 else f"{text} + {angle.offset!r}"
