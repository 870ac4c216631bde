"""Two Born machines and one classical bit that says which of them is measured: correlated bases.

The bases of one Born machine are separate preparations, so its halves are independent whatever it learns. Here both
halves depend on one bit c: q(s, s') = sum over c of w(c) q_c(s) q_c(s'), which holds up to one bit of mutual
information between them. It costs twice the circuits.

Why c is read from the target by a plane and not fitted as a hidden variable: a hidden one needs the probability of
every target row under either machine, which a device that only samples does not give. The plane is orthogonal to the
target's first principal component, so the two parts are what a single product would confuse most.

Why the machines' seeds are drawn and not counted: the second machine of one run must not start where the first of
another does.
"""

from typing import Any

import numpy as np

from qcaan.circuits.gates import FloatArray
from qcaan.execution.counts import BitArray
from qcaan.learn.born_machine import BornMachine
from qcaan.learn.distributions import check_bits, target_metrics
from qcaan.learn.prior import Arrays, Prior, PriorOptions, restored, stream


class Mixture(Prior):
    """A Born machine a value of the classical bit; `weight` is the probability that the bit is 1."""

    def __init__(self, options: PriorOptions) -> None:
        self.n_bits = options.n_bits
        self.weight = 0.5
        self._options = options
        seeds = [int(stream(options.seed, f"machine {c}").integers(2**63)) for c in (0, 1)]
        self._machines = [BornMachine(options.model_copy(update={"seed": seed})) for seed in seeds]
        self._direction = np.zeros(self.n_bits)

    def refit(self, target_bits: BitArray, *, tag: str) -> dict[str, float]:
        """Each machine to its part of the target; the loss is the mean of theirs, weighted with the parts' shares."""
        bits = check_bits(target_bits, self.n_bits)
        which = self._split(bits)
        self.weight = float(which.mean())
        loss, shots, histories = 0.0, 0.0, []
        for c, machine in enumerate(self._machines):
            share = self.weight if c else 1.0 - self.weight
            if share == 0.0:
                continue
            found = machine.refit(bits[which == c], tag=f"{tag}/{c}")
            loss += share * found.get("prior/loss", 0.0)
            shots += found["prior/shots"]
            histories.append([share * value for value in machine.losses])
        self.losses = tuple(sum(values) for values in zip(*histories, strict=True))
        latest = {"prior/loss": loss} if self.losses else {}
        return latest | {"prior/shots": shots} | target_metrics(bits, self.distribution(), len(self._options.bases))

    def sample(self, n: int, *, tag: str) -> BitArray:
        """Uint8 (n, n_bits): the bit is drawn for every row, then that machine is measured."""
        which = stream(self._options.seed, tag).random(n) < self.weight
        rows = np.empty((n, self.n_bits), np.uint8)
        for c, machine in enumerate(self._machines):
            if size := int((which == c).sum()):
                rows[which == c] = machine.sample(size, tag=f"{tag}/{c}")
        return rows

    def distribution(self) -> FloatArray | None:
        """The weighted sum of the machines' distributions."""
        zero, one = (machine.distribution() for machine in self._machines)
        return None if zero is None or one is None else (1.0 - self.weight) * zero + self.weight * one

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Both machines', the weight and the plane."""
        arrays: Arrays = {"weight": np.array([self.weight]), "direction": self._direction}
        values: dict[str, Any] = {}
        for c, machine in enumerate(self._machines):
            inner, values[str(c)] = machine.state()
            arrays |= {f"{c}.{name}": array for name, array in inner.items()}
        return arrays, values

    def load_state(self, arrays: Arrays, values: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.weight = float(restored(arrays, "weight", (1,))[0])
        self._direction = restored(arrays, "direction", (self.n_bits,))
        for c, machine in enumerate(self._machines):
            inner = {name.removeprefix(f"{c}."): array for name, array in arrays.items() if name.startswith(f"{c}.")}
            machine.load_state(inner, values.get(str(c), {}))

    def _split(self, bits: BitArray) -> BitArray:
        """Uint8 (N,): the side of the plane through the mean on which each row of the target lies.

        The plane's sign follows that of the last refit, so that a machine under warm start keeps its part.
        """
        centred = bits - bits.mean(axis=0)
        direction = np.linalg.eigh(centred.T @ centred)[1][:, -1]
        self._direction = direction if direction @ self._direction >= 0 else -direction
        side: BitArray = (centred @ self._direction > 0).astype(np.uint8)
        return side
