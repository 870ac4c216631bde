"""Controls: a Born machine with one ingredient taken away, to tell whether that ingredient matters."""

from typing import Any

from qcaan.circuits.gates import FloatArray
from qcaan.execution.counts import BitArray
from qcaan.learn.born_machine import BornMachine
from qcaan.learn.distributions import marginals, product, target_metrics
from qcaan.learn.prior import Arrays, Prior, PriorOptions, stream


def unentangled(options: PriorOptions) -> BornMachine:
    """A Born machine without entanglers: the same rotations, trained and measured in the same way, independent bits."""
    return BornMachine(options, entangle=False)


class Shuffled(Prior):
    """A Born machine whose drawn bits are permuted within each column: its marginals, none of its correlations."""

    def __init__(self, options: PriorOptions) -> None:
        self.n_bits = options.n_bits
        self._seed = options.seed
        self._n_bases = len(options.bases)
        self._inner = BornMachine(options)

    def refit(self, target_bits: BitArray, *, tag: str) -> dict[str, float]:
        """Refits the Born machine; `prior/kl` is that of the shuffled distribution."""
        metrics = self._inner.refit(target_bits, tag=tag)
        self.losses = self._inner.losses
        return metrics | target_metrics(target_bits, self.distribution(), self._n_bases)

    def sample(self, n: int, *, tag: str) -> BitArray:
        """Uint8 (n, n_bits): the Born machine's draw, every column in a random order of its own."""
        rng = stream(self._seed, f"{tag}/shuffle")
        return rng.permuted(self._inner.sample(n, tag=tag), axis=0)

    def distribution(self) -> FloatArray | None:
        """The product of the Born machine's marginals, which independent columns approach as draws grow."""
        inner = self._inner.distribution()
        return None if inner is None else product(marginals(inner))

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """That of the Born machine."""
        return self._inner.state()

    def load_state(self, arrays: Arrays, values: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self._inner.load_state(arrays, values)
