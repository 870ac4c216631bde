"""Any backend as a PennyLane device: measurements, gradients and vectors of shots are PennyLane's, the shots ours."""

import numpy as np
import pennylane as qml
import pytest
from pennylane import numpy as pnp
from pennylane.exceptions import DeviceError

from qcaan.execution import ScriptedBackend, Store, request

SHOTS = 20_000
NEAR = 0.04
"""More than five standard deviations of an expectation value of `SHOTS` shots."""


@pytest.fixture
def device():
    return qml.device("qcaan.device", wires=["a", 3, "z"], backend="local", seed=3)


def exact(function):
    return qml.QNode(function, qml.device("default.qubit", wires=["a", 3, "z"]))


def gates(x):
    """One of everything that has a gate of ours, and some that have not."""
    qml.Rot(0.3, x, 0.2, wires="a")
    qml.U3(0.4, x, 0.1, wires=3)
    qml.CNOT(["a", "z"])
    qml.CRX(0.7, ["z", 3])
    qml.CRot(0.1, 0.5, 0.2, ["a", 3])
    qml.Toffoli(["a", 3, "z"])
    for gate in (qml.S, qml.T, qml.SX):
        gate("z")
        qml.RX(0.2, "z")
        qml.adjoint(gate)("z")
    qml.IsingXX(0.8, ["a", "z"])
    qml.IsingYY(0.3, ["a", 3])
    qml.IsingZZ(0.5, [3, "z"])
    qml.ISWAP(["a", 3])
    qml.ControlledPhaseShift(0.9, ["a", "z"])
    qml.QubitUnitary(qml.matrix(qml.RY(0.4, 0)), "z")
    qml.GlobalPhase(0.3)
    qml.Barrier(["a", 3])


def test_measurements_of_every_kind_agree_with_the_exact_ones(device):
    def function(x):
        gates(x)
        return (
            qml.expval(qml.Z("a") @ qml.X("z")),
            qml.expval(0.5 * qml.Y(3) + 0.2 * qml.X(3) @ qml.Z("a")),
            qml.var(qml.Hadamard("z")),
            qml.expval(qml.Hermitian(np.array([[1, 0.5j], [-0.5j, 2]]), 3)),
            qml.expval(qml.Projector([1, 0], ["a", "z"])),
            qml.probs(wires=["z", "a"]),
            qml.probs(op=qml.Y("a") @ qml.X(3)),
        )

    found, expected = qml.set_shots(qml.QNode(function, device), SHOTS)(0.4), exact(function)(0.4)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=NEAR)


@pytest.mark.parametrize("wire", ["a", 3, "z"])
def test_the_first_wire_is_the_leftmost_bit(device, wire):
    @qml.set_shots(7)
    @qml.qnode(device)
    def circuit():
        qml.X(wire)
        return qml.counts(), qml.sample(wires=["z", "a"]), qml.probs()

    counts, bits, probs = circuit()
    text = "".join("1" if w == wire else "0" for w in ["a", 3, "z"])
    assert counts == {text: 7}
    assert bits.tolist() == [[int(wire == "z"), int(wire == "a")]] * 7
    assert probs[int(text, 2)] == 1


def test_gradients_are_shifted_circuits_compiled_once(device, monkeypatch):
    compiled = []
    own = request.transpile
    monkeypatch.setattr(request, "transpile", lambda *args: compiled.append(args) or own(*args))

    def function(x):
        qml.RY(x[0], wires="a")
        qml.CRX(x[1], wires=["a", 3])
        qml.RZ(x[0], wires=3)
        return qml.expval(qml.X(3) @ qml.Z("a"))

    x = pnp.array([0.4, 0.9], requires_grad=True)
    node = qml.set_shots(qml.QNode(function, device, diff_method="parameter-shift"), SHOTS)
    np.testing.assert_allclose(qml.grad(node)(x), qml.grad(exact(function))(x), atol=NEAR)
    assert len(compiled) == 1


def test_batches_of_parameters_and_vectors_of_shots(device):
    @qml.qnode(device)
    def circuit(x):
        qml.RX(x, wires="a")
        return qml.expval(qml.Z("a")), qml.sample(wires=["a", 3])

    values, bits = qml.set_shots(circuit, 5)(np.array([0, np.pi]))
    assert values.tolist() == [1, -1]
    assert bits.tolist() == [[[0, 0]] * 5, [[1, 0]] * 5]
    few, many = qml.set_shots(circuit, [2, 3])(np.pi)
    assert (few[1].shape, many[1].shape) == ((2, 2), (3, 2))


def test_the_parts_of_a_vector_of_shots_are_alike(device):
    @qml.set_shots([4000, 4000])
    @qml.qnode(device)
    def circuit():
        qml.Hadamard("a")
        return qml.expval(qml.Z("a"))

    # 0.1 is more than six standard deviations of 4000 shots; rows in rising order would give 1 and -1.
    assert all(abs(float(value)) < 0.1 for value in circuit())


def test_an_optimizer_finds_the_minimum(device):
    @qml.set_shots(500)
    @qml.qnode(device)
    def cost(x):
        qml.RX(x[0], wires="a")
        qml.RY(x[1], wires="z")
        return qml.expval(qml.Z("a") @ qml.Z("z"))

    x = pnp.array([0.6, 0.2], requires_grad=True)
    optimizer = qml.GradientDescentOptimizer(0.5)
    for _ in range(12):
        x = optimizer.step(cost, x)
    assert cost(x) < -0.9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: qml.cond(qml.measure("a"), qml.X)(3), "MidMeasure"),
        (lambda: qml.measure("a", reset=True), "MidMeasure"),
        (lambda: qml.QutritUnitary(np.eye(3), wires=3), "QutritUnitary"),
    ],
)
def test_what_is_no_circuit_of_gates_is_refused_by_name(device, make, message):
    @qml.set_shots(5)
    @qml.qnode(device)
    def circuit():
        qml.Hadamard("a")
        make()
        return qml.sample(wires=[3])

    with pytest.raises(DeviceError, match=message):
        circuit()


def test_without_shots_it_says_how_to_set_them(device):
    with pytest.raises(DeviceError, match="qml.set_shots"):
        qml.QNode(lambda: qml.expval(qml.Z("a")), device)()


@pytest.mark.parametrize("measure", [qml.state, lambda: qml.vn_entropy("a")])
def test_what_is_not_made_of_shots_is_refused(device, measure):
    with pytest.raises(DeviceError, match="not accepted with finite shots"):
        qml.set_shots(qml.QNode(measure, device), 5)()


def test_deferred_measurements_run(device):
    @qml.set_shots(50)
    @qml.defer_measurements
    @qml.qnode(device)
    def circuit():
        qml.X("a")
        qml.cond(qml.measure("a"), qml.X)(3)
        return qml.counts(wires=[3])

    assert circuit() == {"1": 50}


def test_a_program_that_starts_again_gets_its_shots_and_then_new_ones(tmp_path):
    store = Store.open(tmp_path / "shots.sqlite")
    scripted = ScriptedBackend(per_task_usd=0, per_shot_usd=0, kind="emulator")

    def program(times):
        device = qml.device("qcaan.device", wires=6, backend=scripted, store=store, run="mine")

        @qml.set_shots(50)
        @qml.qnode(device)
        def coins():
            for wire in range(6):
                qml.Hadamard(wire)
            return qml.sample()

        return [coins().tolist() for _ in range(times)]

    first = program(2)
    assert first[0] != first[1]
    jobs = scripted.n_jobs
    again = program(3)
    assert again[:2] == first
    assert again[2] not in first
    assert scripted.n_jobs == jobs + 1
