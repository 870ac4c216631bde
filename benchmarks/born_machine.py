"""How near a Born machine comes to its target: against noise, shots, optimizers, and the bases that it is measured in.

The target is a fixed distribution with correlations (thresholded Gaussians with shared causes); the figure is the
divergence of what the backend's exact probabilities say from it, KL(target || prior) in bits. The peer is the product
of the target's marginals, the best that a prior without correlations can be; a ratio above 1 means that ours is nearer.
`shots` is all that was measured.

Noise: the twin of IonQ Forte 1, its error rates scaled. "from the simulator": trained without noise, then only measured
there; "and 20 updates": gone on there, with the twin's own exact gradient. Shots: on the simulator without noise.
Bases: a target of twice as many bits, learned without noise by one machine of as many qubits, by one of half as many in
two bases, whose halves are independent, and by a mixture of two of those.

    python benchmarks/born_machine.py [--json] [--out FOLDER] [--qubits N] [--seeds N] [--updates N] [--budget SHOTS]
"""

import argparse
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from qcaan.execution.backend import Backend
from qcaan.execution.registry import open_backend
from qcaan.execution.runner import Runner
from qcaan.execution.store import Store
from qcaan.learn.priors import Prior, open_prior

mpl.use("Agg")
import matplotlib.pyplot as plt

SCALES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
SHOTS = (100, 1000, 5000)
METHODS: dict[str, dict[str, object]] = {
    "parameter shift": {"gradient": "parameter_shift"},
    "SPSA": {"gradient": "spsa"},
    "CMA-ES": {"gradient": "spsa", "optimizer": "cma_es"},
}
Row = dict[str, Any]


def correlated(n_bits: int) -> np.ndarray:
    """Uint8 (8192, n_bits)."""
    rng = np.random.default_rng(0)
    causes = rng.normal(size=(8192, 2)) @ rng.normal(size=(2, n_bits))
    return (causes + 0.5 * rng.normal(size=causes.shape) > rng.normal(0, 0.3, n_bits)).astype(np.uint8)


def machine(n_qubits: int, seed: int, backend: Backend, kind: str = "born_machine", **options: object) -> Prior:
    runner = Runner(backend, store=Store.open(None), run=f"seed {seed}", seed=seed)
    return open_prior(kind, n_qubits=n_qubits, n_layers=5, seed=seed, runner=runner, **options)


def row(work: str, found: dict[str, float], shots: float, seed: int, **facts: object) -> Row:
    ours, theirs = found["prior/kl"], found["prior/kl_product"]
    common = {"work": work, "ours": ours, "peer": "product of marginals", "theirs": theirs, "unit": "bits"}
    return common | {"ratio": theirs / ours, "shots": int(shots), "seed": seed, **facts}


def noise(n_qubits: int, updates: int, seed: int) -> Iterator[Row]:
    bits = correlated(n_qubits)
    trained = machine(n_qubits, seed, open_backend("local"), updates=updates)
    trained.refit(bits, tag="train")
    for scale in SCALES:
        for work, more in (("from the simulator", 0), ("and 20 updates", 20)):
            device = open_backend("braket", device="ionq-forte-1", emulate=True, scale=scale)
            twin = machine(n_qubits, seed, device, updates=more)
            twin.load_state(*trained.state())
            yield row(f"noise x {scale:g}, {work}", twin.refit(bits, tag="twin"), 0, seed, scale=scale, line=work)


def shots(n_qubits: int, budget: int, seed: int) -> Iterator[Row]:
    """Each method with each number of shots a circuit, in one refit each of rising totals up to `budget` shots."""
    bits = correlated(n_qubits)
    for (method, options), each, share in product(METHODS.items(), SHOTS, (27, 9, 3, 1)):
        one = machine(n_qubits, seed, open_backend("local"), shots=each, updates=1, **options)
        updates = int(budget / share / one.refit(bits, tag="one")["prior/shots"])
        if updates < 5:
            continue
        prior = machine(n_qubits, seed, open_backend("local"), shots=each, updates=updates, **options)
        found = prior.refit(bits, tag="all")
        line = f"{method}, {each} shots"
        total = found["prior/shots"]
        yield row(f"{line}, {updates} updates", found, total, seed, line=line, updates=updates)


def bases(n_qubits: int, updates: int, seed: int) -> Iterator[Row]:
    bits = correlated(2 * n_qubits)
    for line, kind, qubits, measured in (
        (f"one basis of {2 * n_qubits} qubits", "born_machine", 2 * n_qubits, ("Z",)),
        (f"two bases of {n_qubits} qubits", "born_machine", n_qubits, ("Z", "Y")),
        (f"mixture, two bases of {n_qubits} qubits", "mixture", n_qubits, ("Z", "Y")),
    ):
        prior = machine(qubits, seed, open_backend("local"), kind, bases=measured, updates=updates)
        yield row(f"{line}, {updates} updates", prior.refit(bits, tag="all"), 0, seed, line=line, updates=updates)


def draw(path: Path, rows: list[Row], x: str, label: str, *, log: bool) -> None:
    """KL against `x`: the mean of the seeds, and each seed as a dot."""
    figure, panel = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for line in dict.fromkeys(r["line"] for r in rows):
        chosen = [r for r in rows if r["line"] == line]
        seeds = sorted({r["seed"] for r in chosen})
        by_seed = np.array([[(r[x], r["ours"]) for r in chosen if r["seed"] == seed] for seed in seeds])
        mean = by_seed.mean(axis=0)
        (drawn,) = panel.plot(mean[:, 0], mean[:, 1], "-", label=line)
        panel.plot(by_seed[:, :, 0].ravel(), by_seed[:, :, 1].ravel(), ".", color=drawn.get_color())
    panel.axhline(rows[0]["theirs"], color="0.5", ls="--", lw=1, label="product of marginals")
    panel.set(xlabel=label, ylabel="KL(target || prior), bits", yscale="log", xscale="log" if log else "linear")
    panel.legend(frameon=False, fontsize=8, ncols=2)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, help="a folder for born-noise.png and born-shots.png")
    parser.add_argument("--qubits", type=int, default=5, help="half of those of one basis, where bases are compared")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--updates", type=int, default=60, help="before the noise")
    parser.add_argument("--budget", type=int, default=300_000, help="shots in all, of each method")
    given = parser.parse_args()
    found: dict[str, list[Row]] = {"noise": [], "shots": [], "bases": []}
    for seed in range(1, given.seeds + 1):
        for name, rows in (
            ("noise", noise(given.qubits, given.updates, seed)),
            ("shots", shots(given.qubits, given.budget, seed)),
            ("bases", bases(given.qubits, given.updates, seed)),
        ):
            for one in rows:
                found[name].append(one)
                if not given.json:
                    print(f"{one['work']:48s} {one['ours']:7.3f} product {one['theirs']:7.3f} seed {seed}", flush=True)
    if given.json:
        print(json.dumps([one for rows in found.values() for one in rows]))
    if given.out:
        draw(given.out / "born-noise.png", found["noise"], "scale", "error rates, in those of Forte 1", log=False)
        draw(given.out / "born-shots.png", found["shots"], "shots", "shots in all", log=True)


if __name__ == "__main__":
    main()
