"""What the loopback service's devices compute, against Braket's own simulators and the oracle."""

import math
from collections import Counter

import numpy as np
import pytest
from braket.devices import LocalSimulator
from braket.ir.openqasm import Program
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.braket.noise import noisy_probabilities
from backends.loopback.braket import programs
from backends.loopback.braket.devices import Devices
from backends.loopback.braket.execution import execute
from backends.loopback.braket.programs import run
from backends.loopback.braket.task import Task
from backends.loopback.jobs import Spoiled
from backends.loopback.physics import Physics, seed_of
from qcaan.circuits.render import render_braket
from qcaan.errors import CircuitError

DEVICES = {device.short_name: device for device in Devices(program_sets=True)}
FORTE = DEVICES["ionq-forte-1"]
ARIA = DEVICES["ionq-aria-1"]
HEADS = ("OPENQASM 3.0;\nqubit[3] q;\n", "")


def box(lines, measures, head="", n_bits=None):
    """A verbatim program."""
    bits = len(measures) if n_bits is None else n_bits
    body = "\n".join(lines)
    tail = "\n".join(f"b[{k}] = measure ${q};" for k, q in enumerate(measures))
    return f"OPENQASM 3.0;\n{head}bit[{bits}] b;\n#pragma braket verbatim\nbox{{\n{body}\n}}\n{tail}\n"


@pytest.mark.parametrize(("device", "entangler"), [(FORTE, "zz"), (ARIA, "ms")])
@pytest.mark.parametrize("n_qubits", [2, 4])
def test_verbatim_programs_agree_with_braket(random_native, device, entangler, n_qubits):
    circuit = random_native(n_qubits, n_qubits, 20, (entangler,))
    (source,) = render_braket(circuit.program, circuit.angles)
    readout = run(source, {}, device, "none")
    exact = source.partition("b[0] = measure")[0] + "#pragma braket result probability "
    exact += ", ".join(f"${q}" for q in range(n_qubits)) + "\n"
    expected = LocalSimulator().run(Program(source=exact), shots=0).result().values[0]
    np.testing.assert_allclose(readout.probabilities, expected, atol=1e-12)
    assert readout.qubits == tuple(range(n_qubits))


def test_the_noise_is_the_emulator_s(random_native):
    circuit = random_native(1, 3, 20, ("zz",))
    (source,) = render_braket(circuit.program, circuit.angles)
    noisy, ideal = (run(source, {}, FORTE, noise).probabilities for noise in ("device", "none"))
    np.testing.assert_allclose(noisy, noisy_probabilities(circuit, FORTE.capabilities), atol=1e-12)
    assert abs(noisy - ideal).sum() > 0.01


@pytest.mark.parametrize("measured", [(0, 1, 2), (2, 0), (1,), (5, 0)])
def test_measured_qubits_in_any_order(measured):
    """Qubits 0 and 5 are flipped; the others stay."""
    lines = [f"gpi(0.0) ${q};" for q in (0, 5)] + ["gpi2(0.3) $1;", "gpi2(3.441592653589793) $1;"]
    readout = run(box(lines, measured), {}, FORTE, "none")
    bits = "".join("1" if q in (0, 5) else "0" for q in measured)
    assert readout.qubits == measured
    assert readout.probabilities[int(bits, 2)] == pytest.approx(1)
    assert readout.histogram(100, 1) == {bits: 1.0}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("xyh"), st.integers(0, 2)), max_size=6), st.booleans())
def test_other_programs_are_compiled(gates, entangle):
    """The compiled program, with its readout flips, has the distribution of the program."""
    lines = [f"{name} q[{qubit}];" for name, qubit in gates] + ["cnot q[0], q[1];"] * entangle + ["rx(0.4) q[2];"]
    source = "OPENQASM 3.0;\nbit[3] b;\nqubit[3] q;\n" + "\n".join([*lines, "i q[0];", "i q[1];"])
    exact = source + "\n#pragma braket result probability all\n"
    expected = LocalSimulator().run(Program(source=exact.replace("bit[3] b;\n", "")), shots=0).result().values[0]
    measures = "\n".join(f"b[{k}] = measure q[{k}];" for k in range(3))
    np.testing.assert_allclose(run(f"{source}\n{measures}\n", {}, FORTE, "none").probabilities, expected, atol=1e-9)


@pytest.mark.parametrize("plain", [True, False])
def test_inputs(plain, monkeypatch):
    if not plain:
        monkeypatch.setattr(programs, "_plain_box", lambda *_: None)
    programs._read_out.cache_clear()
    source = box(["gpi2(angle_0) $0;", "gpi2(angle_1) $0;"], [0], "input float angle_0;\ninput float angle_1;\n")
    there = run(source, {"angle_0": 0.3, "angle_1": 0.3}, FORTE, "none")
    back = run(source, {"angle_0": 0.3, "angle_1": 0.3 + math.pi}, FORTE, "none")
    assert (there.probabilities[1], back.probabilities[0]) == (pytest.approx(1), pytest.approx(1))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (box(["ms(0.0, 0.0, 0.5) $0, $1;"], [0, 1]), "'ms' is not a native gate of ionq-forte-1, whose gates are gpi,"),
        (box(["gpi(0.0) $36;"], [36]), "there is no qubit 36: ionq-forte-1 has 36"),
        (box(["gpi(phi) $0;"], [0], "input float phi;\n"), "1 parameters without a value"),
        (box(["h $0;"], [0]), "'h' is not a native gate"),
        (box([f"gpi(0.0) ${q};" for q in range(27)], range(27)), "27 qubits are more than the 26"),
    ],
)
def test_what_a_device_refuses(source, told):
    with pytest.raises(CircuitError, match=told):
        run(source, {}, FORTE, "none")


def outcome(token="t", seed=0, repeatable=False, source=None, shots=1000):
    source = source or box(["gpi2(0.5) $0;", "gpi2(0.1) $1;"], [0, 1])
    task = Task(
        id="arn",
        number=1,
        token=token,
        request="r",
        device=FORTE.arn,
        shots=shots,
        bucket="b",
        folder="f",
        parameters="{}",
        kind="braket.ir.openqasm.program",
        executables=[1],
        price="0",
    )
    action = f'{{"source": {source!r}}}'.replace("'", '"')
    return execute(task, action, FORTE, Physics("device", seed, repeatable=repeatable), Spoiled())


def frequencies(**options):
    import json

    return json.loads(outcome(**options).documents["results.json"])["measurementProbabilities"]


class TestOutcomes:
    def test_depend_on_the_token_and_the_seed_alone(self):
        assert frequencies() == frequencies()
        assert len({tuple(sorted(frequencies(token=t, seed=s).items())) for t in "ab" for s in (0, 1)}) == 4

    def test_repeatable_ones_do_not_depend_on_the_token(self):
        other = box(["gpi2(0.5) $0;", "gpi2(0.2) $1;"], [0, 1])
        assert frequencies(repeatable=True) == frequencies(repeatable=True, token="u")
        assert frequencies(repeatable=True) != frequencies(repeatable=True, source=other)

    def test_sum_to_one_and_count_shots(self):
        found = frequencies(shots=700)
        assert sum(found.values()) == pytest.approx(1, abs=1e-12)
        assert all(float(p * 700).is_integer() or abs(p * 700 - round(p * 700)) < 1e-9 for p in found.values())

    def test_follow_the_distribution(self):
        """Chi-squared with 3 degrees of freedom; false alarm once in 1e9."""
        found = Counter()
        for token in range(40):
            found.update({bits: round(1000 * p) for bits, p in frequencies(token=str(token)).items()})
        expected = 40_000 * run(box(["gpi2(0.5) $0;", "gpi2(0.1) $1;"], [0, 1]), {}, FORTE, "device").probabilities
        counts = np.array([found[format(k, "02b")] for k in range(4)])
        assert ((counts - expected) ** 2 / expected).sum() < 46


def test_seeds_have_63_bits():
    seeds = [seed_of("x", k) for k in range(200)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert len(set(seeds)) == 200
