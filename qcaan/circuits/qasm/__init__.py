"""OpenQASM in and out: `from_qasm` reads versions 2 and 3, `to_qasm` writes version 3."""

from qcaan.circuits.qasm.reader import from_qasm
from qcaan.circuits.qasm.writer import to_qasm

__all__ = ["from_qasm", "to_qasm"]
