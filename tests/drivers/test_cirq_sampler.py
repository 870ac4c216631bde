"""Any backend as a cirq.Sampler: what Cirq documents of a sampler, and what a run through the core adds."""

import cirq
import numpy as np
import pytest
import sympy

from qcaan.adapters import CirqSampler
from qcaan.errors import CircuitError
from qcaan.execution import ScriptedBackend, Store, request

q = cirq.LineQubit.range(5)
s, t = sympy.symbols("s t")


@pytest.fixture
def sampler():
    return CirqSampler("local", seed=3)


def everything():
    """A key of two qubits out of order, one of them inverted, a key that is used twice, symbols, qubits in between."""
    return cirq.Circuit(
        cirq.X(q[4]),
        cirq.rx(2 * s)(q[0]),
        cirq.X(q[2]) ** t,
        cirq.measure(q[4], q[0], key="pair", invert_mask=(True,)),
        cirq.measure(q[2], key="twice"),
        cirq.measure(q[1], key="twice"),
    )


def same(ours, theirs):
    assert ours.params == theirs.params
    assert list(ours.records) == list(theirs.records)
    for key, bits in theirs.records.items():
        assert ours.records[key].shape == bits.shape
        assert ours.records[key].dtype == np.int8  # signed: 1 - 2 * bits must not wrap
        np.testing.assert_array_equal(ours.records[key], bits)


def test_a_sweep_is_as_cirqs_own(sampler):
    sweep = [{"s": 0, "t": 1}, {"s": np.pi / 2, "t": 0}, cirq.ParamResolver({"s": np.pi / 2, "t": 1})]
    ours, theirs = (one.run_sweep(everything(), sweep, repetitions=5) for one in (sampler, cirq.Simulator()))
    for found, expected in zip(ours, theirs, strict=True):
        same(found, expected)


def test_a_product_of_sweeps_is_in_cirqs_order(sampler):
    sweep = cirq.Points("s", [0, np.pi / 2]) * cirq.Points("t", [1, 0])
    ours, theirs = (one.run_sweep(everything(), sweep, repetitions=2) for one in (sampler, cirq.Simulator()))
    for found, expected in zip(ours, theirs, strict=True):
        same(found, expected)


def test_a_batch_is_as_cirqs_own_and_one_call(tmp_path):
    plain = cirq.Circuit(cirq.X(q[0]), cirq.measure(q[1], q[0], key="z"))
    store = Store.open(tmp_path / "shots.sqlite")
    sampler = CirqSampler("local", store=store)
    asked = ([everything(), plain], [[{"s": 0, "t": 1}, {"s": 0, "t": 0}], None], [3, 4])
    for found, expected in zip(sampler.run_batch(*asked), cirq.Simulator().run_batch(*asked), strict=True):
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    assert sampler.session.run_name.startswith("cirq on local")
    assert len(sampler.session._asked) == 1


def test_a_sweep_is_compiled_once(sampler, monkeypatch):
    compiled = []
    own = request.transpile
    monkeypatch.setattr(request, "transpile", lambda *args: compiled.append(args) or own(*args))
    sampler.run_sweep(everything(), cirq.Linspace("s", 0, 1, 20) * cirq.Points("t", [0]), repetitions=3)
    assert len(compiled) == 1


def test_angles_that_are_not_linear_are_resolved_one_by_one(sampler):
    circuit = cirq.Circuit(cirq.X(q[0]) ** (s * t), cirq.measure(q[0], key="z"))
    found = sampler.run_sweep(circuit, [{"s": 0.5, "t": 2}, {"s": 1, "t": 2}], repetitions=3)
    assert [one.measurements["z"].ravel().tolist() for one in found] == [[1, 1, 1], [0, 0, 0]]


def test_values_may_be_expressions_of_others(sampler):
    circuit = cirq.Circuit(cirq.X(q[0]) ** s, cirq.measure(q[0], key="z"))
    found = sampler.run(circuit, {"s": t / 2, "t": 2}, repetitions=3)
    assert found.measurements["z"].ravel().tolist() == [1, 1, 1]


@pytest.mark.parametrize("qubits", [[cirq.GridQubit(1, 0), cirq.GridQubit(0, 7)], cirq.NamedQubit.range(2, prefix="n")])
def test_any_qubits_serve(sampler, qubits):
    circuit = cirq.Circuit(cirq.X(qubits[0]), cirq.measure(*qubits, key="z"))
    assert sampler.run(circuit, repetitions=2).measurements["z"].tolist() == [[1, 0]] * 2


def test_subcircuits_use_their_keys_repeatedly(sampler):
    body = cirq.FrozenCircuit(cirq.X(q[0]), cirq.measure(q[0], key="k"))
    first = cirq.CircuitOperation(body)
    second = cirq.CircuitOperation(body).with_qubits(q[3])
    ours, theirs = (one.run(cirq.Circuit(first, second), repetitions=3) for one in (sampler, cirq.Simulator()))
    same(ours, theirs)
    assert ours.records["k"].shape == (3, 2, 1)


def test_frames_and_expectation_values_are_cirqs(sampler):
    bell = cirq.Circuit(cirq.H(q[0]), cirq.CNOT(q[0], q[1]))
    frame = sampler.sample(bell + cirq.measure(q[0], q[1], key="z"), repetitions=1000)
    assert set(frame["z"]) == {0, 3}
    ((zz, x),) = sampler.sample_expectation_values(bell, [cirq.Z(q[0]) * cirq.Z(q[1]), cirq.X(q[0])], num_samples=2000)
    assert zz == 1
    assert abs(x) < 0.12  # 2000 shots: more than five standard deviations


def test_asynchronous_calls_work(sampler):
    import duet

    circuit = cirq.Circuit(cirq.X(q[0]), cirq.measure(q[0], key="z"))
    assert duet.run(sampler.run_async, circuit, repetitions=2).measurements["z"].tolist() == [[1], [1]]
    ((result,),) = duet.run(sampler.run_batch_async, [circuit], repetitions=2)
    assert result.measurements["z"].tolist() == [[1], [1]]


def test_no_repetitions_are_empty_results(sampler):
    (result,) = sampler.run_sweep(everything(), [{"s": 0, "t": 0}], repetitions=0)
    assert {key: bits.shape for key, bits in result.records.items()} == {"pair": (0, 1, 2), "twice": (0, 2, 1)}


def test_wrong_lengths_are_refused_as_by_cirq(sampler):
    with pytest.raises(ValueError, match="must match"):
        sampler.run_batch([everything()], [None, None])


@pytest.mark.parametrize(
    ("circuit", "message"),
    [
        (cirq.Circuit(cirq.H(q[0])), "no measurement to sample"),
        (cirq.Circuit(cirq.measure(q[0], key="a"), cirq.H(q[0])), r"H\(q\(0\)\) acts on q\(0\) after"),
        (cirq.Circuit(cirq.measure(q[0], key="a"), cirq.measure(q[0], key="b")), "after its measurement"),
        (
            cirq.Circuit(cirq.measure(q[0], key="a"), cirq.X(q[1]).with_classical_controls("a"), cirq.measure(q[1])),
            "with_classical_controls",
        ),
        (cirq.Circuit(cirq.depolarize(0.1)(q[0]), cirq.measure(q[0])), "depolarize"),
        (cirq.Circuit(cirq.reset(q[0]), cirq.measure(q[0])), "reset"),
        (cirq.Circuit(cirq.PauliMeasurementGate([cirq.X])(q[0])), "PauliMeasurementGate"),
        (cirq.Circuit(cirq.measure(q[0], confusion_map={(0,): np.eye(2)})), "confusion map"),
        (cirq.Circuit(cirq.measure(q[0], key="a"), cirq.measure(q[1], q[2], key="a")), "another number of qubits"),
        (cirq.Circuit(cirq.X(q[0]) ** s, cirq.measure(q[0])), "the symbol 's' has no value"),
        (
            cirq.Circuit(
                cirq.CircuitOperation(
                    cirq.FrozenCircuit(cirq.X(q[0]), cirq.measure(q[0], key="a")),
                    use_repetition_ids=False,
                    repeat_until=cirq.KeyCondition(cirq.MeasurementKey("a")),
                )
            ),
            "repeat_until",
        ),
        (cirq.Circuit(cirq.measure(cirq.LineQid(0, 3), key="a")), "3 levels"),
    ],
)
def test_what_is_no_circuit_of_gates_is_refused_by_name(sampler, circuit, message):
    with pytest.raises(CircuitError, match=message):
        sampler.run(circuit, repetitions=2)


def test_a_program_that_starts_again_gets_its_shots_and_then_new_ones(tmp_path):
    store = Store.open(tmp_path / "shots.sqlite")
    device = ScriptedBackend(per_task_usd=0, per_shot_usd=0, kind="emulator")
    coins = cirq.Circuit(cirq.H.on_each(*q), cirq.measure(*q, key="z"))

    def program(times):
        sampler = CirqSampler(device, store=store, run="mine")
        return [sampler.run(coins, repetitions=50).measurements["z"].tolist() for _ in range(times)]

    first = program(2)
    assert first[0] != first[1]
    jobs = device.n_jobs
    again = program(3)
    assert again[:2] == first
    assert again[2] not in first
    assert device.n_jobs == jobs + 1
