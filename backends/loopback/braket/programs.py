"""What a device does with a program: read it, and compile it unless it is verbatim.

Verbatim programs are run gate by gate as they are. Others are compiled to the device's native gates by qcaan's own
compiler, as the provider would.

Why a reader of its own for plain verbatim boxes: the full OpenQASM parser takes hundreds of milliseconds for the box
of a Born machine, a line at a time takes one. Whatever is not such a plain line goes to the full parser.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from backends.braket.noise import read_noise
from backends.loopback.braket.devices import Device
from backends.loopback.physics import Machine, NoiseChoice, Readout, Row, marginal, read_out
from qcaan.circuits.circuit import Circuit
from qcaan.circuits.native import GateSet, NativeCircuit
from qcaan.circuits.qasm.reader import from_qasm
from qcaan.circuits.simulate import Engine, sample
from qcaan.circuits.transpile import transpile
from qcaan.errors import CircuitError

_BOX = re.compile(
    r"\s*OPENQASM 3(?:\.0)?;\s*(?:input float \w+;\s*)*bit\[\d+\] b;\s*#pragma braket verbatim\s*box\s*\{(.*)\}(.*)",
    re.DOTALL,
)
_GATE = re.compile(r"(\w+)\(([^()]*)\) (\$\d+(?:, \$\d+)*);")
_MEASURE = re.compile(r"b\[(\d+)\] = measure \$(\d+);")


def run(source: str, inputs: Mapping[str, float], device: Device, noise: NoiseChoice) -> Readout:
    """The distribution of a program's measured bits on a device; remembered for the next time.

    Raises:
        CircuitError: the program is not valid, or not for this device.
    """
    rates = None if noise == "none" else read_noise(device.capabilities)
    machine = Machine(device.short_name, device.native_gates, device.n_qubits, rates)
    return _read_out(source, tuple(sorted(inputs.items())), machine)


@lru_cache(maxsize=256)
def _read_out(source: str, inputs: tuple[tuple[str, float], ...], machine: Machine) -> Readout:
    rows, measured, flips = _plain_box(source, dict(inputs)) or _parsed(source, dict(inputs), machine)
    return read_out(rows, measured, flips, machine)


def measure(
    source: str, inputs: Mapping[str, float], device: Device, shots: int, seed: int
) -> tuple[list[list[int]], tuple[int, ...]]:
    """Single shots of a program on an ideal simulator, a row of bits each, and the measured qubits.

    Raises:
        CircuitError: the program is not valid, or has more qubits than the simulator.
    """
    circuit = _with_inputs(source, inputs)
    if circuit.n_qubits > device.n_qubits:
        raise CircuitError(f"the program has {circuit.n_qubits} qubits, {device.short_name} has {device.n_qubits}")
    full = Engine(circuit).probabilities(())[0].reshape([2] * circuit.n_qubits)
    readout = Readout(circuit.measured, marginal(full, circuit.measured))
    counts = sample(readout.probabilities, shots, seed)[0]
    outcomes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    width = len(readout.qubits)
    return [[int(bit) for bit in format(k, f"0{width}b")] for k in outcomes.tolist()], readout.qubits


def _plain_box(source: str, inputs: Mapping[str, float]) -> tuple[list[Row], tuple[int, ...], tuple[int, ...]] | None:
    """The gates, the measured qubits and no flips of a program that is one verbatim box; None if it is not plain."""
    match = _BOX.fullmatch(source)
    if not match:
        return None
    rows: list[Row] = []
    for line in match[1].strip().split("\n"):
        gate = _GATE.fullmatch(line.strip())
        if not gate:
            return None
        try:
            angles = tuple(float(inputs[a]) if a in inputs else float(a) for a in gate[2].split(", "))
        except ValueError:
            return None
        rows.append((gate[1], tuple(int(q[1:]) for q in gate[3].split(", ")), angles))
    bits: dict[int, int] = {}
    for line in match[2].strip().split("\n"):
        measure = _MEASURE.fullmatch(line.strip())
        if not measure:
            return None
        bits[int(measure[1])] = int(measure[2])
    return rows, tuple(bits[bit] for bit in sorted(bits)), ()


def _parsed(
    source: str, inputs: Mapping[str, float], machine: Machine
) -> tuple[list[Row], tuple[int, ...], tuple[int, ...]]:
    """Any other program: its native gates, the measured qubits, and those whose bits are read inverted."""
    circuit = _with_inputs(source, inputs)
    if "#pragma braket verbatim" in source:
        rows = [(g.name, g.qubits, tuple(a for a in g.angles if isinstance(a, float))) for g in circuit.gates]
        return rows, circuit.measured, ()
    gates = tuple(sorted(machine.gates))
    bound = transpile(circuit, GateSet(machine.name, gates, machine.n_qubits)).bind()
    compiled = list(NativeCircuit(bound.program, bound.angles[0]))
    return list(compiled), circuit.measured, tuple(np.flatnonzero(bound.flips[0]).tolist())


def _with_inputs(source: str, inputs: Mapping[str, float]) -> Circuit:
    for name, value in inputs.items():
        declaration = rf"input\s+float(\[\d+\])?\s+{re.escape(name)}\s*;"
        source = re.sub(declaration, f"const float {name} = {value!r};", source)
    circuit = from_qasm(source)
    if circuit.n_params:
        raise CircuitError(f"the program has {circuit.n_params} parameters without a value")
    return circuit
