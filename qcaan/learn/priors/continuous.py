"""Continuous noise, as in a plain GAN: nothing is learned, the generator takes it as it is."""

import numpy as np
from numpy.typing import NDArray

from qcaan.execution.counts import BitArray
from qcaan.learn.distributions import check_bits, target_metrics
from qcaan.learn.prior import Prior, PriorOptions, stream


class Gaussian(Prior):
    """Independent standard normal entries."""

    discrete = False

    def __init__(self, options: PriorOptions) -> None:
        self.n_bits = options.n_bits
        self._n_bases = len(options.bases)
        self._seed = options.seed

    def refit(self, target_bits: BitArray, *, tag: str) -> dict[str, float]:
        """Fits nothing; reports the target."""
        return {"prior/shots": 0.0} | target_metrics(check_bits(target_bits, self.n_bits), None, self._n_bases)

    def sample(self, n: int, *, tag: str) -> NDArray[np.float32]:
        """Float32 (n, n_bits)."""
        return stream(self._seed, tag).standard_normal((n, self.n_bits), dtype=np.float32)


class Uniform(Prior):
    """Independent entries, uniform in [-1, 1)."""

    discrete = False

    def __init__(self, options: PriorOptions) -> None:
        self.n_bits = options.n_bits
        self._n_bases = len(options.bases)
        self._seed = options.seed

    def refit(self, target_bits: BitArray, *, tag: str) -> dict[str, float]:
        """Fits nothing; reports the target."""
        return {"prior/shots": 0.0} | target_metrics(check_bits(target_bits, self.n_bits), None, self._n_bases)

    def sample(self, n: int, *, tag: str) -> NDArray[np.float32]:
        """Float32 (n, n_bits)."""
        return 2 * stream(self._seed, tag).random((n, self.n_bits), dtype=np.float32) - 1
