"""The exact engine against every peer that is installed: `python benchmarks/engine.py [--json] [--works 8x4 ...]`.

The circuit is the Born machine with RX, RZ, RX on every qubit and all-to-all XX, "n x L". Each peer's result is
compared with ours before anything is timed. A row holds medians of one run; ranges and versions go to stderr. Times
are CPU seconds of all threads or wall seconds, whichever is less, so that a busy machine disturbs least. Gradients are
those of the clipped negative log-likelihood of a fixed target by all parameters.
"""
# ruff: noqa: ANN401 - the peers' objects are not typed

import argparse
import itertools
import json
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qcaan.circuits.circuit import Circuit, Theta, theta
from qcaan.circuits.native import ARIA, FORTE
from qcaan.circuits.simulate import Engine, sample
from qcaan.circuits.transpile import transpile

Array = NDArray[np.float64]
Run = Callable[[], Array]


def born_machine(n: int, n_layers: int) -> Circuit:
    circuit, k = Circuit(n), itertools.count()
    for _ in range(n_layers):
        for q in range(n):
            circuit = circuit.rx(theta[next(k)], q).rz(theta[next(k)], q).rx(theta[next(k)], q)
        for a, b in itertools.combinations(range(n), 2):
            circuit = circuit.xx(theta[next(k)], a, b)
    return circuit


def rows(circuit: Circuit) -> list[tuple[str, int, tuple[int, ...]]]:
    """Gate name, parameter index, qubits."""
    out = []
    for gate in circuit.gates:
        (angle,) = gate.angles
        assert isinstance(angle, Theta)
        out.append((gate.name, angle.index, gate.qubits))
    return out


def reversed_bits(p: Array, n: int) -> Array:
    return p.reshape([2] * n).transpose(range(n - 1, -1, -1)).ravel()


# Each peer: a function from circuit and thetas (B, n_params) to the run that gives probabilities (B, 2**n).
def qulacs(circuit: Circuit, thetas: Array) -> Run:
    from qulacs import ParametricQuantumCircuit, QuantumState

    n = circuit.n_qubits
    built, state = ParametricQuantumCircuit(n), QuantumState(n)
    for name, _, qubits in rows(circuit):  # qulacs turns the other way, and counts qubits from the right
        add = {"rx": built.add_parametric_RX_gate, "rz": built.add_parametric_RZ_gate}.get(name)
        where = [n - 1 - q for q in qubits]
        if add is None:
            built.add_parametric_multi_Pauli_rotation_gate(where, [1, 1], 0.0)
        else:
            add(where[0], 0.0)

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
    from qulacs import ParametricQuantumCircuit, QuantumState

    n = circuit.n_qubits
    built, state, bra = ParametricQuantumCircuit(n), QuantumState(n), QuantumState(n)
    for name, _, qubits in rows(circuit):
        where = [n - 1 - q for q in qubits]
        if name == "xx":
            built.add_parametric_multi_Pauli_rotation_gate(where, [1, 1], 0.0)
        else:
            {"rx": built.add_parametric_RX_gate, "rz": built.add_parametric_RZ_gate}[name](where[0], 0.0)

    def run() -> Array:
        for k, value in enumerate(values):
            built.set_parameter(k, -value)
        state.set_zero_state()
        built.update_quantum_state(state)
        vector = state.get_vector()
        bra.load(-target / np.clip(np.abs(vector) ** 2, 1e-12, None) * vector)
        return -2 * np.array(built.backprop_inner_product(bra))

    return run


def lightning(circuit: Circuit, thetas: Array) -> Run:
    import pennylane as qml

    gates, n = rows(circuit), circuit.n_qubits

    @qml.qnode(qml.device("lightning.qubit", wires=n))
    def node(values: Array) -> Any:
        for name, k, qubits in gates:
            {"rx": qml.RX, "rz": qml.RZ, "xx": qml.IsingXX}[name](values[k], wires=qubits)
        return qml.probs(wires=range(n))

    return lambda: np.array([node(values) for values in thetas])


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
GRADIENTS: dict[str, Callable[[Circuit, Array, Array], Run]] = {"qulacs": qulacs_gradient, "qujax": qujax_gradient}
SINGLE_PRECISION = ("qsim", "cirq")


def seconds(run: Callable[[], object], budget_s: float = 1.0) -> tuple[float, float, float]:
    """Median, least and most of CPU or wall seconds, whichever is less, per call."""
    run()
    times: list[float] = []
    end = time.perf_counter() + budget_s
    repeats = 1
    while time.perf_counter() < end or len(times) < 3:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(repeats):
            run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        times.append(min(wall, cpu) / repeats)
        if wall < 2e-3:
            repeats *= 2
            times.clear()
    return statistics.median(times), min(times), max(times)


def compare(work: str, ours: Run, peers: dict[str, Callable[[], Run]]) -> Iterator[dict[str, Any]]:
    """A row for each peer that is installed and agrees."""
    expected, best = ours(), seconds(ours)
    for name, build in peers.items():
        try:
            run = build()
            found = run()
        except ImportError as error:
            print(f"{work}: {name} is left out: {error}", file=sys.stderr)
            continue
        loose = 2e-4 if name in SINGLE_PRECISION else 1e-6
        np.testing.assert_allclose(found, expected, rtol=0, atol=loose, err_msg=f"{work}: {name} disagrees")
        theirs = seconds(run)
        ranges = [
            f"{who} {low * 1e3:.4g}..{high * 1e3:.4g}" for who, (_, low, high) in (("ours", best), (name, theirs))
        ]
        print(f"{work}: ms {' '.join(ranges)}", file=sys.stderr)
        yield row(work, best[0], name, theirs[0])


def benchmark(works: list[str], skip: list[str]) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(1)
    for work in works:
        n, n_layers = map(int, work.split("x"))
        circuit = born_machine(n, n_layers)
        yield from forward(f"probabilities {work}", circuit, rng.uniform(-np.pi, np.pi, (1, circuit.n_params)), skip)
        yield from backward(f"gradient {work}", circuit, rng, skip)
        if n <= 12:
            batch = rng.uniform(-np.pi, np.pi, (100, circuit.n_params))
            yield from forward(f"100 thetas {work}", circuit, batch, [*skip, "lightning", "qsim", "cirq", "braket"])
            yield from native(f"100 native circuits {work}", circuit, batch)
    if "8x2" in works and "qulacs" not in skip:
        yield sampling(rng)


def forward(work: str, circuit: Circuit, thetas: Array, skip: list[str]) -> Iterator[dict[str, Any]]:
    builds = {name: partial(build, circuit, thetas) for name, build in PEERS.items() if name not in skip}
    yield from compare(work, partial(Engine(circuit).probabilities, thetas), builds)


def backward(work: str, circuit: Circuit, rng: np.random.Generator, skip: list[str]) -> Iterator[dict[str, Any]]:
    values, target = rng.uniform(-np.pi, np.pi, circuit.n_params), rng.dirichlet(np.ones(2**circuit.n_qubits))
    engine = Engine(circuit)

    def gradient() -> Array:
        p, vjp = engine.linearize(values)
        return vjp(-target / np.clip(p, 1e-12, None))[0]

    builds = {name: partial(build, circuit, values, target) for name, build in GRADIENTS.items() if name not in skip}
    yield from compare(work, gradient, builds)


def native(work: str, circuit: Circuit, batch: Array) -> Iterator[dict[str, Any]]:
    logical = seconds(partial(Engine(circuit).probabilities, batch))[0]
    for target in (ARIA, FORTE):
        template = transpile(circuit, target)
        ours = seconds(partial(Engine(template.program).probabilities, template.bind(batch).angles))[0]
        yield row(work, ours, f"logical form ({target.name})", logical)


def row(work: str, ours_s: float, peer: str, theirs_s: float) -> dict[str, Any]:
    times = {"ours": ours_s * 1e3, "peer": peer, "theirs": theirs_s * 1e3, "unit": "ms"}
    return {"work": work, **times, "ratio": theirs_s / ours_s}


def sampling(rng: np.random.Generator) -> dict[str, Any]:
    """A pair of bases, 10,000 shots each, theta new each time; peers draw from their own state."""
    from qulacs import QuantumState

    circuit = born_machine(8, 2)
    engines = [Engine(circuit.in_basis(basis)) for basis in ("Z", "X")]
    values = rng.normal(size=(1, circuit.n_params))
    runs = [qulacs(circuit, values), qulacs(circuit, values)]
    state = QuantumState(8)

    def theirs() -> None:
        for run in runs:
            state.load(np.sqrt(run()[0]))
            state.sampling(10_000, 1)

    ours_s = seconds(lambda: [sample(engine.probabilities(values), 10_000, 1) for engine in engines])[0]
    theirs_s = seconds(theirs)[0]
    return row("sampling 2 bases 8x2, 10,000 shots", ours_s, "qulacs", theirs_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="rows as JSON")
    parser.add_argument("--works", nargs="+", default=["8x2", "8x4", "12x2", "12x4", "16x2", "16x4"], metavar="NxL")
    parser.add_argument("--skip", nargs="*", default=[], help="peers to leave out")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(platform.platform(), platform.processor(), sys.version.split()[0], file=sys.stderr)
    for package in (
        "numpy",
        "numba",
        "qulacs",
        "scaluq",
        "qujax",
        "jax",
        "pennylane-lightning",
        "qiskit-aer",
        "qsimcirq",
        "cirq-core",
        "amazon-braket-sdk",
    ):
        try:
            print(package, version(package), file=sys.stderr)
        except PackageNotFoundError:
            print(package, "is not installed", file=sys.stderr)
    out = []
    for line in benchmark(arguments.works, arguments.skip):
        out.append(line)
        if not arguments.json:
            times = f"{line['ours']:10.4g} ms  {line['peer']:22} {line['theirs']:10.4g} ms  {line['ratio']:8.1f}x"
            print(f"{line['work']:36} {times}", flush=True)
    if arguments.json:
        print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
