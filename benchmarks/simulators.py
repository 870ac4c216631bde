"""Other simulators of the Born machine's circuits, each as a function from circuit and thetas to a run.

A peer that is not installed raises ImportError. All are driven the fastest way that their documentation shows: compiled
once where they compile, parameters set and not rebuilt, probabilities read from the state.
"""
# ruff: noqa: ANN401 - the peers' objects are not typed

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qcaan.circuits.circuit import Circuit, Theta

Array = NDArray[np.float64]
Run = Callable[[], Array]
"""Probabilities float64 (B, 2**n_qubits), qubit 0 the most significant bit, or the gradient (n_params,) of the loss."""


def rows(circuit: Circuit) -> list[tuple[str, int, tuple[int, ...]]]:
    """Gate name, parameter index, qubits."""
    out = []
    for gate in circuit.gates:
        (angle,) = gate.angles
        assert isinstance(angle, Theta)
        out.append((gate.name, angle.index, gate.qubits))
    return out


def _qulacs(circuit: Circuit) -> Any:
    """Qulacs turns the other way, and counts qubits from the right."""
    from qulacs import ParametricQuantumCircuit

    built = ParametricQuantumCircuit(circuit.n_qubits)
    for name, _, qubits in rows(circuit):
        where = [circuit.n_qubits - 1 - q for q in qubits]
        if name == "xx":
            built.add_parametric_multi_Pauli_rotation_gate(where, [1, 1], 0.0)
        else:
            {"rx": built.add_parametric_RX_gate, "rz": built.add_parametric_RZ_gate}[name](where[0], 0.0)
    return built


def qulacs(circuit: Circuit, thetas: Array) -> Run:
    from qulacs import QuantumState

    built, state = _qulacs(circuit), QuantumState(circuit.n_qubits)

    def run() -> Array:
        out = []
        for values in thetas:
            for k, value in enumerate(values):
                built.set_parameter(k, -value)
            state.set_zero_state()
            built.update_quantum_state(state)
            out.append(np.abs(state.get_vector()) ** 2)
        return np.array(out)

    return run


def scaluq(circuit: Circuit, thetas: Array) -> Run:
    import scaluq as module

    n = circuit.n_qubits
    built, names = module.Circuit(), []
    for name, index, qubits in rows(circuit):
        where = [n - 1 - q for q in qubits]
        if name == "xx":
            gate = module.gate.ParamPauliRotation(module.PauliOperator(f"X {where[0]} X {where[1]}", 1.0))
        else:
            gate = {"rx": module.gate.ParamRX, "rz": module.gate.ParamRZ}[name](where[0])
        names.append(f"t{index}")
        built.add_param_gate(gate, names[-1])

    def run() -> Array:
        out = []
        for values in thetas:
            state = module.StateVector(n)
            built.update_quantum_state(state, dict(zip(names, values.tolist(), strict=True)))
            out.append(np.abs(np.array(state.get_amplitudes())) ** 2)
        return np.array(out)

    return run


def _qujax_probabilities(circuit: Circuit) -> Any:
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp
    import qujax

    def xx(angle: Any) -> Any:
        flip = jnp.array(np.fliplr(np.eye(4)))
        return (jnp.cos(jnp.pi * angle / 2) * jnp.eye(4) - 1j * jnp.sin(jnp.pi * angle / 2) * flip).reshape(2, 2, 2, 2)

    gates = [{"rx": "Rx", "rz": "Rz", "xx": xx}[name] for name, _, _ in rows(circuit)]
    qubits = [list(where) for _, _, where in rows(circuit)]
    state = qujax.get_params_to_statetensor_func(gates, qubits, [[k] for k in range(circuit.n_params)])
    return lambda values: jnp.abs(state(values / jnp.pi).ravel()) ** 2


def qujax(circuit: Circuit, thetas: Array) -> Run:
    import jax

    probabilities = _qujax_probabilities(circuit)
    compiled = jax.jit(jax.vmap(probabilities) if len(thetas) > 1 else lambda batch: probabilities(batch[0])[None])
    return lambda: np.asarray(compiled(thetas))


def qujax_gradient(circuit: Circuit, values: Array, target: Array) -> Run:
    import jax
    import jax.numpy as jnp

    probabilities = _qujax_probabilities(circuit)
    loss = jax.jit(jax.grad(lambda x: -jnp.sum(target * jnp.log(jnp.clip(probabilities(x), 1e-12)))))
    return lambda: np.asarray(loss(values))


def qulacs_gradient(circuit: Circuit, values: Array, target: Array) -> Run:
    from qulacs import QuantumState

    built, state, bra = _qulacs(circuit), QuantumState(circuit.n_qubits), QuantumState(circuit.n_qubits)

    def run() -> Array:
        for k, value in enumerate(values):
            built.set_parameter(k, -value)
        state.set_zero_state()
        built.update_quantum_state(state)
        vector = state.get_vector()
        bra.load(-target / np.clip(np.abs(vector) ** 2, 1e-12, None) * vector)
        return -2 * np.array(built.backprop_inner_product(bra))

    return run


def _lightning(circuit: Circuit, values: Array) -> list[Any]:
    import pennylane as qml

    make = {"rx": qml.RX, "rz": qml.RZ, "xx": qml.IsingXX}
    return [make[name](values[k], wires=list(qubits)) for name, k, qubits in rows(circuit)]


def lightning(circuit: Circuit, thetas: Array) -> Run:
    import pennylane as qml

    device, wires = qml.device("lightning.qubit", wires=circuit.n_qubits), range(circuit.n_qubits)

    def run() -> Array:
        programs = (qml.tape.QuantumScript(_lightning(circuit, values), [qml.probs(wires=wires)]) for values in thetas)
        return np.array([device.execute(program) for program in programs])

    return run


def lightning_gradient(circuit: Circuit, values: Array, target: Array) -> Run:
    """The adjoint method, of the expectation of the diagonal dL/dp."""
    import pennylane as qml
    from scipy.sparse import diags

    forward, device = lightning(circuit, values[None]), qml.device("lightning.qubit", wires=circuit.n_qubits)
    wires = range(circuit.n_qubits)

    def run() -> Array:
        slopes = diags(-target / np.clip(forward()[0], 1e-12, None), format="csr")
        loss = qml.expval(qml.SparseHamiltonian(slopes, wires=wires))
        program = qml.tape.QuantumScript(_lightning(circuit, values), [loss])
        program.trainable_params = range(len(values))
        return np.array(device.compute_derivatives(program))

    return run


def default_qubit_torch(circuit: Circuit, values: Array, target: Array) -> Run:
    """PennyLane's torch interface, by backpropagation."""
    import pennylane as qml

    node = qml.QNode(
        lambda x: (_lightning(circuit, x), qml.probs(wires=range(circuit.n_qubits)))[1],
        qml.device("default.qubit", wires=circuit.n_qubits),
        interface="torch",
        diff_method="backprop",
    )
    return torch_gradient(node, values, target)


def torch_gradient(probabilities: Callable[[Any], Any], values: Array, target: Array) -> Run:
    """The gradient of the loss by `values`, through torch; `probabilities` maps a tensor to a tensor."""
    import torch

    theta, goal = torch.tensor(values, requires_grad=True), torch.tensor(target)

    def run() -> Array:
        loss = -torch.dot(goal, torch.log(torch.clip(probabilities(theta), 1e-12)))
        (gradient,) = torch.autograd.grad(loss, theta)
        return np.asarray(gradient.numpy())

    return run


def _qiskit(circuit: Circuit) -> Any:
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector

    built, parameters = QuantumCircuit(circuit.n_qubits), ParameterVector("t", circuit.n_params)
    for name, k, qubits in rows(circuit):
        {"rx": built.rx, "rz": built.rz, "xx": built.rxx}[name](
            parameters[k], *(circuit.n_qubits - 1 - q for q in qubits)
        )
    return built, parameters


def aer(circuit: Circuit, thetas: Array) -> Run:
    from qiskit_aer import AerSimulator

    built, parameters = _qiskit(circuit)
    built.save_probabilities()
    device = AerSimulator(method="statevector")

    def run() -> Array:
        binds = [{parameter: thetas[:, k].tolist() for k, parameter in enumerate(parameters)}]
        result = device.run([built], parameter_binds=binds).result()
        return np.array([result.data(b)["probabilities"] for b in range(len(thetas))])

    return run


def _cirq(circuit: Circuit) -> Any:
    import cirq
    import sympy

    qubits = cirq.LineQubit.range(circuit.n_qubits)
    made = {"rx": cirq.rx, "rz": cirq.rz, "xx": lambda t: cirq.XXPowGate(exponent=t / np.pi, global_shift=-0.5)}
    gates = (made[name](sympy.Symbol(f"t{k}")).on(*(qubits[q] for q in where)) for name, k, where in rows(circuit))
    return cirq.Circuit(gates), cirq


def cirq_simulator(circuit: Circuit, thetas: Array, simulator: Any = None) -> Run:
    built, cirq = _cirq(circuit)
    device = simulator or cirq.Simulator(dtype=np.complex64)

    def run() -> Array:
        binds = [{f"t{k}": value for k, value in enumerate(values)} for values in thetas]
        return np.array([np.abs(r.final_state_vector) ** 2 for r in device.simulate_sweep(built, binds)])

    return run


def qsim(circuit: Circuit, thetas: Array) -> Run:
    import qsimcirq

    return cirq_simulator(circuit, thetas, qsimcirq.QSimSimulator())


def braket(circuit: Circuit, thetas: Array) -> Run:
    from braket.circuits import Circuit as BraketCircuit
    from braket.devices import LocalSimulator

    device, gates = LocalSimulator(), rows(circuit)

    def run() -> Array:
        out = []
        for values in thetas:
            built = BraketCircuit()
            for name, k, qubits in gates:
                getattr(built, name)(*qubits, float(values[k]))
            out.append(device.run(built.probability(), shots=0).result().values[0])
        return np.array(out)

    return run


PEERS: dict[str, Callable[[Circuit, Array], Run]] = {
    "qulacs": qulacs, "scaluq": scaluq, "qujax": qujax, "lightning": lightning, "aer": aer, "qsim": qsim,
    "cirq": cirq_simulator, "braket": braket,
}  # fmt: skip
GRADIENTS: dict[str, Callable[[Circuit, Array, Array], Run]] = {
    "qulacs": qulacs_gradient, "qujax": qujax_gradient, "lightning adjoint": lightning_gradient,
}  # fmt: skip
INTERFACES: dict[str, Callable[[Circuit, Array, Array], Run]] = {
    "qujax (jax)": qujax_gradient, "default.qubit (torch)": default_qubit_torch,
}  # fmt: skip
"""Gradients through an interface for machine learning."""
SINGLE_PRECISION = ("qsim", "cirq")
PACKAGES = (
    "numpy", "numba", "qulacs", "scaluq", "qujax", "jax", "pennylane-lightning", "qiskit-aer", "qsimcirq", "cirq-core",
    "amazon-braket-sdk",
)  # fmt: skip
