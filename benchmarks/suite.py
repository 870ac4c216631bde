"""The circuit families of the benchmarks: name -> function of the number of qubits. All start in |0...0>, read in Z."""

import math
from collections.abc import Callable, Iterable

import numpy as np

from qcaan.circuits.circuit import Circuit, Gate, theta

Pairs = Iterable[tuple[int, int]]


def all_to_all(n: int) -> Pairs:
    return [(a, b) for a in range(n) for b in range(a + 1, n)]


def line(n: int) -> Pairs:
    return [(a, a + 1) for a in range(n - 1)]


def qcbm(n: int, n_layers: int, pairs: Pairs) -> Circuit:
    """RX and RZ on every qubit, then XX on every pair, a layer; every angle is a parameter."""
    gates: list[Gate] = []
    k = 0
    for _ in range(n_layers):
        for q in range(n):
            gates += [Gate("rx", (q,), (theta[k],)), Gate("rz", (q,), (theta[k + 1],))]
            k += 2
        for pair in pairs:
            gates.append(Gate("xx", pair, (theta[k],)))
            k += 1
    return Circuit(n, tuple(gates))


def qft(n: int) -> Circuit:
    """Without the final swaps."""
    circuit = Circuit(n)
    for a in range(n):
        circuit = circuit.h(a)
        for b in range(a + 1, n):
            circuit = circuit.cp(math.pi / 2 ** (b - a), b, a)
    return circuit


def qft_of_product(n: int) -> Circuit:
    """The QFT of a product of different one-qubit states, where nothing about its input is known to be trivial."""
    rng = np.random.default_rng(5)
    start = [Gate("u", (q,), tuple(rng.uniform(-math.pi, math.pi, 3))) for q in range(n)]
    return Circuit(n, (*start, *qft(n).gates))


def quantum_volume(n: int, depth: int = 8) -> Circuit:
    """Generic SU(4) on random pairs, each as three cx and one-qubit gates; no pair comes twice in a row."""
    rng = np.random.default_rng(7)
    circuit = Circuit(n)

    def turn(q: int) -> Gate:
        return Gate("u", (q,), tuple(rng.uniform(-math.pi, math.pi, 3)))

    before: set[frozenset[int]] = set()
    for _ in range(depth):
        while True:
            order = rng.permutation(n).tolist()
            pairs = list(zip(order[: n // 2], order[n // 2 : 2 * (n // 2)], strict=True))
            if not before & {frozenset(pair) for pair in pairs}:
                break
        before = {frozenset(pair) for pair in pairs}
        for a, b in pairs:
            for control, target in ((a, b), (b, a), (a, b)):
                circuit = circuit.extend([turn(a), turn(b), Gate("cx", (control, target))])
            circuit = circuit.extend([turn(a), turn(b)])
    return circuit


def cx_ladder(n: int, n_layers: int = 4) -> Circuit:
    """RY and RZ on every qubit, then cx along a line, a layer; RY and RZ at the end."""
    gates: list[Gate] = []
    k = 0
    for layer in range(n_layers + 1):
        for q in range(n):
            gates += [Gate("ry", (q,), (theta[k],)), Gate("rz", (q,), (theta[k + 1],))]
            k += 2
        if layer < n_layers:
            gates += [Gate("cx", pair) for pair in line(n)]
    return Circuit(n, tuple(gates))


def ghz(n: int) -> Circuit:
    return Circuit(n, (Gate("h", (0,)), *(Gate("cx", pair) for pair in line(n))))


def qaoa(n: int, p: int = 3) -> Circuit:
    """MaxCut on a ring."""
    gates = [Gate("h", (q,)) for q in range(n)]
    for k in range(p):
        gates += [Gate("zz", (q, (q + 1) % n), (theta[2 * k],)) for q in range(n)]
        gates += [Gate("rx", (q,), (theta[2 * k + 1],)) for q in range(n)]
    return Circuit(n, tuple(gates))


FAMILIES: dict[str, Callable[[int], Circuit]] = {
    "qcbm all-to-all L4": lambda n: qcbm(n, 4, all_to_all(n)),
    "qcbm all-to-all L8": lambda n: qcbm(n, 8, all_to_all(n)),
    "qcbm line L4": lambda n: qcbm(n, 4, line(n)),
    "QFT": qft,
    "QFT of product": qft_of_product,
    "QV d8": quantum_volume,
    "CX-ladder L4": cx_ladder,
    "GHZ": ghz,
    "QAOA ring p3": qaoa,
}
