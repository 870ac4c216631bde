"""Native programs and circuits: identity, angle layout, and what is refused."""

from typing import Any

import numpy as np
import pytest

from qcaan.circuits.native import ARIA, FORTE, NativeCircuit, NativeGate, NativeProgram
from qcaan.errors import CircuitError

PROGRAM = NativeProgram(2, (NativeGate("gpi2", (0,)), NativeGate("ms", (0, 1)), NativeGate("gpi", (1,))))


def test_angles_are_laid_out_in_the_order_of_the_gates() -> None:
    assert PROGRAM.offsets == (0, 1, 4, 5)
    assert PROGRAM.n_angles == 5
    circuit = NativeCircuit(PROGRAM, np.arange(5.0))
    assert list(circuit) == [("gpi2", (0,), (0.0,)), ("ms", (0, 1), (1.0, 2.0, 3.0)), ("gpi", (1,), (4.0,))]
    assert circuit.n_qubits == 2


def test_gate_counts() -> None:
    assert PROGRAM.n_two_qubit == 1
    assert PROGRAM.n_pulses == 2
    assert PROGRAM.gate_counts == {"gpi2": 1, "ms": 1, "gpi": 1}


def test_build_and_batch() -> None:
    built = NativeCircuit.build(2, ("gpi2", [0], [0.0]), ("ms", [0, 1], [1.0, 2.0, 3.0]), ("gpi", [1], [4.0]))
    assert built == NativeCircuit(PROGRAM, np.arange(5.0))
    batch = NativeCircuit.batch(PROGRAM, np.arange(10.0).reshape(2, 5))
    assert batch[0] == built
    assert batch[1].program is batch[0].program
    assert batch[0] != batch[1]
    assert len({*batch, built}) == 2
    assert built != "something else"


def test_angles_are_private_and_read_only() -> None:
    angles = np.zeros(5)
    circuit = NativeCircuit(PROGRAM, angles)
    angles[0] = 1
    assert circuit.angles[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        circuit.angles[0] = 1


def test_digests_name_what_is_executed() -> None:
    same = NativeProgram(2, tuple(NativeGate(g.name, g.qubits) for g in PROGRAM.gates))
    assert same.digest == PROGRAM.digest
    assert len(same.digest) == 64
    changed = [
        NativeProgram(3, PROGRAM.gates),
        NativeProgram(2, PROGRAM.gates[:2]),
        NativeProgram(2, (NativeGate("gpi2", (1,)), *PROGRAM.gates[1:])),
        NativeProgram(2, (NativeGate("gpi", (0,)), *PROGRAM.gates[1:])),
        NativeProgram(2, (PROGRAM.gates[0], NativeGate("ms", (1, 0)), PROGRAM.gates[2])),
    ]
    assert len({PROGRAM.digest, *(p.digest for p in changed)}) == 6
    assert NativeCircuit(PROGRAM, np.zeros(5)).digest != NativeCircuit(PROGRAM, np.full(5, 1e-300)).digest


def test_the_digest_is_stable_across_versions() -> None:
    """Stored results are found by it."""
    assert PROGRAM.digest == "fc7ef1487fcc2d468ed6775373bb01d2e5dbba4a0d08b9c67c0630b0f8161607"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: NativeProgram(1, (NativeGate("rz", (0,)),)), "native gate 0: 'rz' is not one of gpi, gpi2, ms, zz"),  # type: ignore[arg-type]
        (lambda: NativeProgram(2, (NativeGate("ms", (0,)),)), "native gate 0, ms.*wrong qubits"),
        (lambda: NativeProgram(2, (NativeGate("zz", (1, 1)),)), "wrong qubits"),
        (lambda: NativeProgram(2, (NativeGate("gpi", (0,)), NativeGate("gpi", (2,)))), "native gate 1, gpi"),
        (lambda: NativeCircuit(PROGRAM, np.zeros(4)), r"angles have shape \(4,\); this program needs \(5,\)"),
        (lambda: NativeCircuit(PROGRAM, np.array([0, 0, np.nan, 0, 0])), "angle 2 is not finite"),
    ],
)
def test_what_is_wrong_is_named(build: Any, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        build()


def test_gate_sets() -> None:
    assert ARIA.native_gates == ("gpi", "gpi2", "ms")
    assert FORTE.native_gates == ("gpi", "gpi2", "zz")
    assert ARIA.connectivity is None
