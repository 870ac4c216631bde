"""How the exact engine's cost grows: `python benchmarks/charts.py [--json FILE] [--out docs/engine-cost.png]`.

Four charts: the time of one forward run and of one gradient against the number of qubits, of layers, of thetas in a
batch, and the time of sampling against the number of shots. Times are the least of several runs, CPU or wall seconds,
whichever is less. The dashed line is the floor that memory sets: every layer reads and writes the state once (the
gradient: state and bra), at the bandwidth measured for copying an array of the same size in the same run.
"""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from engine import born_machine, print_versions, samples
from simulators import Array

from qcaan.circuits.simulate import Engine, sample

mpl.use("Agg")
import matplotlib.pyplot as plt

BUDGET_S = 0.5
Series = dict[str, list[float]]
"""Milliseconds, by the name of the line."""


def least_ms(*runs: Callable[[], object]) -> list[float]:
    return [1e3 * min(times) for times in samples(list(runs), BUDGET_S)]


def floor_ms(n: int, passes: int, states: int = 1) -> float:
    """Milliseconds that `passes` reads and writes of as many states of n qubits (complex128) take."""
    source = np.ones((states, 2**n), dtype=np.complex128)
    target = source.copy()
    return passes * least_ms(partial(np.copyto, target, source))[0]


def costs(n: int, n_layers: int, size: int = 1) -> Series:
    """Forward run and gradient, with their floors."""
    circuit = born_machine(n, n_layers)
    rng = np.random.default_rng(1)
    values = rng.uniform(-np.pi, np.pi, (size, circuit.n_params))
    cotangent: Array = rng.normal(size=(size, 2**n))
    engine = Engine(circuit)
    forward, gradient = least_ms(partial(engine.probabilities, values), lambda: engine.linearize(values)[1](cotangent))
    copies = [size * floor_ms(n, passes, states) for passes, states in ((n_layers, 1), (n_layers, 2))]
    return {
        "probabilities": [forward],
        "gradient": [gradient],
        "floor of probabilities": [copies[0]],
        "floor of gradient": [copies[0] + copies[1]],
    }


def sampling(shots: int) -> Series:
    p = np.random.default_rng(1).dirichlet(np.ones(2**8), size=1)
    return {"one circuit of 8 qubits": least_ms(partial(sample, p, shots, 1))}


def measured(points: Sequence[int], cost: Callable[[int], Series]) -> Series:
    """The lines of one chart."""
    lines: Series = {}
    for point in points:
        for name, values in cost(point).items():
            lines.setdefault(name, []).extend(values)
    return lines


CHARTS: dict[str, tuple[list[int], Callable[[int], Series]]] = {
    "qubits (4 layers)": ([4, 6, 8, 10, 12, 14, 16, 18, 20], lambda n: costs(n, 4)),
    "layers (12 qubits)": ([1, 2, 4, 8, 16], lambda n_layers: costs(12, n_layers)),
    "thetas in a batch (8 qubits, 4 layers)": ([1, 4, 16, 64, 256], lambda size: costs(8, 4, size)),
    "shots (8 qubits)": ([10, 100, 1000, 10_000, 100_000, 1_000_000], sampling),
}


def draw(data: dict[str, tuple[list[int], Series]], out: Path) -> None:
    figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    for axis, (title, (points, lines)) in zip(axes.flat, data.items(), strict=True):
        for k, (name, values) in enumerate(lines.items()):
            is_floor = name.startswith("floor")
            axis.plot(
                points, values, "--" if is_floor else "o-", color=f"C{k % 2}", label=name, lw=1 if is_floor else 2
            )
        axis.set(xlabel=title, ylabel="ms", yscale="log", xscale="linear" if "qubits (4" in title else "log")
        low, high = axis.get_ylim()
        if high < 10 * low:  # noise must not fill a chart
            axis.set_ylim(math.sqrt(low * high) / 10, math.sqrt(low * high) * 10)
        axis.grid(visible=True, which="both", alpha=0.2)
        axis.legend(fontsize=8)
    figure.savefig(out, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description="How the exact engine's cost grows.")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--out", type=Path, default=Path("docs/engine-cost.png"), help="the picture")
    arguments = parser.parse_args()
    print_versions()
    data = {title: (points, measured(points, cost)) for title, (points, cost) in CHARTS.items()}
    if arguments.json:
        arguments.json.write_text(json.dumps(data, indent=1))
    draw(data, arguments.out)


if __name__ == "__main__":
    main()
