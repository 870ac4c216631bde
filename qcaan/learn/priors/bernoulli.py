"""Independent bits: fair coins, and coins whose odds are fitted to the target."""

from typing import Any

import numpy as np

from qcaan.circuits.gates import FloatArray
from qcaan.execution.counts import BitArray
from qcaan.learn.distributions import MAX_BITS, check_bits, product, target_metrics
from qcaan.learn.prior import Arrays, Prior, PriorOptions, restored, stream


class Coins:
    """Independent bits that are 1 with probabilities `ones`, float64 (n_bits,), strictly between 0 and 1."""

    def __init__(self, ones: FloatArray, n_bases: int) -> None:
        self.ones = ones
        self.n_bases = n_bases

    def sample(self, n: int, rng: np.random.Generator) -> BitArray:
        """Uint8 (n, n_bits)."""
        return (rng.random((n, len(self.ones))) < self.ones).astype(np.uint8)

    def distribution(self) -> FloatArray | None:
        """Float64 (2**n_bits,), or None for more than `MAX_BITS` bits."""
        return product(self.ones) if len(self.ones) <= MAX_BITS else None

    def metrics(self, bits: BitArray) -> dict[str, float]:
        """A refit's metrics; the loss is the cross-entropy of the target, in nats."""
        mean = bits.mean(axis=0)
        loss = float(-(mean * np.log(self.ones) + (1 - mean) * np.log1p(-self.ones)).sum())
        return {"prior/loss": loss, "prior/shots": 0.0} | target_metrics(bits, self.distribution(), self.n_bases)


class Bernoulli(Prior):
    """Fair coins. `refit` fits nothing and reports the target."""

    def __init__(self, options: PriorOptions) -> None:
        self.n_bits = options.n_bits
        self._seed = options.seed
        self._coins = Coins(np.full(self.n_bits, 0.5), len(options.bases))

    def refit(self, target_bits: BitArray, *, tag: str) -> dict[str, float]:
        """Metrics only."""
        return self._coins.metrics(check_bits(target_bits, self.n_bits))

    def sample(self, n: int, *, tag: str) -> BitArray:
        """Uint8 (n, n_bits)."""
        return self._coins.sample(n, stream(self._seed, tag))

    def distribution(self) -> FloatArray | None:
        """Uniform."""
        return self._coins.distribution()


class ProductBernoulli(Prior):
    """Coins with the target's marginals: the best that any prior without correlations can be.

    The odds are those of the target with one pseudo-observation of each value (Laplace's rule), so that no bit freezes.
    The fit is closed-form: it has no updates, learning rate or warm start. Before the first refit the coins are fair.
    """

    def __init__(self, options: PriorOptions) -> None:
        self.n_bits = options.n_bits
        self._seed = options.seed
        self._coins = Coins(np.full(self.n_bits, 0.5), len(options.bases))

    def refit(self, target_bits: BitArray, *, tag: str) -> dict[str, float]:
        """The loss is that after the fit."""
        bits = check_bits(target_bits, self.n_bits)
        self._coins.ones = (bits.sum(axis=0) + 1.0) / (len(bits) + 2.0)
        return self._coins.metrics(bits)

    def sample(self, n: int, *, tag: str) -> BitArray:
        """Uint8 (n, n_bits)."""
        return self._coins.sample(n, stream(self._seed, tag))

    def distribution(self) -> FloatArray | None:
        """The product of the fitted odds."""
        return self._coins.distribution()

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """The probability of a 1, a bit."""
        return {"ones": self._coins.ones}, {}

    def load_state(self, arrays: Arrays, values: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self._coins.ones = restored(arrays, "ones", (self.n_bits,))
