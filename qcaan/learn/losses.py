"""Losses of a distribution q against a target p, both float64 (2**n,), and their derivatives with respect to q.

A loss is all that a gradient estimator needs to know: its value, and dL/dq at the measured q, which the chain rule
joins to dq/dtheta. Where both are measured with independent shots, the gradient is unbiased if the estimate of dL/dq
is.

Why a loss is told the shots behind q: the loss of the frequencies is not the loss of the distribution that they were
drawn from, it is biased, and so is what minimises it. Every estimate from shots here is the one without bias of least
variance, or that of the part of the loss that so few shots can tell.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import digamma

from qcaan.circuits.gates import FloatArray
from qcaan.errors import ConfigError
from qcaan.learn.distributions import EPSILON


class Loss(Protocol):
    """A differentiable distance of q from p."""

    def value(self, p: FloatArray, q: FloatArray, shots: int | None = None) -> float:
        """L(p, q). With `shots`, q is the frequencies of so many shots, and this is an estimate of L at the true q."""

    def derivative(self, p: FloatArray, q: FloatArray, shots: int | None = None) -> FloatArray:
        """dL/dq, float64 (2**n,), every entry of q taken as free.

        With `shots`, q is the frequencies of so many shots, and this is an estimate of dL/dq at the true q.
        """

    def curvature(self, p: FloatArray, q: FloatArray, directions: FloatArray, shots: int) -> FloatArray:
        """How the estimate from `shots` changes with q along each of directions (k, 2**n): float64 (k, 2**n)."""


@dataclass(frozen=True)
class ClippedNll:
    """Negative log-likelihood -sum_s p(s) log max(q(s), epsilon), in nats: the loss of Rudolph et al. (2022).

    The derivative is -p/q, and 0 where q(s) is at most epsilon.

    From N shots, an outcome read K times costs H(N) - H(K), with the harmonic numbers H(k) = 1 + 1/2 + ... + 1/k (a
    constant plus digamma(k + 1)): about log(N / (K + 1/2)), and finite at K = 0. Its mean is the sum of (1 - q)**m / m
    over m from 1 to N, the first N terms of the series of -log q, which is all that N shots can tell without bias: too
    low by a part that is exponentially small in N q. Likewise 1/q is estimated by (N + 1) / (K + 1), whose mean is (1 -
    (1 - q)**(N + 1)) / q.

    Why not -log of the clipped frequency K/N: an outcome that was not read would cost -log epsilon. The table is for
    q = 1/256, in nats: mean minus -log q and standard deviation, and the slope of the mean over that of -log q.

    | shots | clipped: bias, deviation, slope | -log((K + 1/2) / (N + 128)) | H(N) - H(K) |
    |---|---|---|---|
    | 100 | +8.36, 6.53, 3.74 | +0.19, 0.58, 0.35 | -0.71, 0.53, 0.32 |
    | 1000 | +0.37, 1.87, 1.97 | +0.12, 0.54, 1.00 | -0.00, 0.53, 0.98 |
    | 10,000 | +0.01, 0.16, 1.01 | +0.01, 0.16, 1.00 | -0.00, 0.16, 1.00 |

    Where N q is far below 1 no estimate has the whole slope: no shot tells 1/1000 from 1/2000 there.

    Source: Zhang, "Entropy estimation in Turing's perspective", Neural Comput. 24, 1368 (2012), for the series; it is
    the estimate of least variance with this mean, as K is a complete sufficient statistic of q (Lehmann and Scheffé).
    """

    epsilon: float = EPSILON

    def value(self, p: FloatArray, q: FloatArray, shots: int | None = None) -> float:
        """In nats; without `shots` at least the entropy of p, where q is a distribution above epsilon."""
        if shots is not None:
            return float((p * (digamma(shots + 1) - digamma(q * shots + 1))).sum())
        return float(-(p * np.log(np.maximum(q, self.epsilon))).sum())

    def derivative(self, p: FloatArray, q: FloatArray, shots: int | None = None) -> FloatArray:
        """-p/q, and 0 where q was clipped; from shots, -p (shots + 1) / (count + 1)."""
        if shots is not None:
            return np.asarray(-p * (shots + 1) / (q * shots + 1))
        return np.where(q > self.epsilon, -p / np.maximum(q, self.epsilon), 0.0)

    def curvature(self, p: FloatArray, q: FloatArray, directions: FloatArray, shots: int) -> FloatArray:
        """Diagonal: p shots (shots + 1) / (count + 1)**2."""
        return directions * (p * shots * (shots + 1) / (q * shots + 1) ** 2)


@dataclass(frozen=True)
class Mmd:
    """Squared maximum mean discrepancy (p - q)' K (p - q), K a mean of Gaussian kernels of the Hamming distance d.

    K = mean over the bandwidths of exp(-d / (2 bandwidth)). Source: Liu and Wang, Phys. Rev. A 98, 062324
    (2018).

    From shots, the term q' K q is the mean of K over pairs of different shots: without bias, so that a value near zero
    may come out negative. Source: Gretton et al., J. Mach. Learn. Res. 13, 723 (2012), lemma 6.
    """

    bandwidths: tuple[float, ...] = (0.25, 1.0, 4.0)

    def value(self, p: FloatArray, q: FloatArray, shots: int | None = None) -> float:
        """Without `shots` at least zero, and zero only for p = q. One shot says nothing of q' K q: it counts as 0."""
        difference = p - q
        distance = float(difference @ self._kernel(difference))
        if shots is not None:
            pairs = float(q @ self._kernel(q))  # of which one in `shots` pairs a shot with itself, where K is 1
            distance -= (1 - pairs) / (shots - 1) if shots > 1 else pairs
        return distance

    def derivative(self, p: FloatArray, q: FloatArray, shots: int | None = None) -> FloatArray:
        """-2 K (p - q), which frequencies estimate without bias."""
        return -2 * self._kernel(p - q)

    def curvature(self, p: FloatArray, q: FloatArray, directions: FloatArray, shots: int) -> FloatArray:
        """2 K, whatever q."""
        return 2 * self._kernel(directions)

    def _kernel(self, vectors: FloatArray) -> FloatArray:
        """K times vectors (..., 2**n): each Gaussian is a tensor product of one 2 x 2 matrix a bit."""
        n_bits = vectors.shape[-1].bit_length() - 1
        total = np.zeros_like(vectors)
        for bandwidth in self.bandwidths:
            off = np.exp(-0.5 / bandwidth)
            out = vectors
            for _ in range(n_bits):
                halves = out.reshape(*vectors.shape[:-1], 2, -1)
                low, high = halves[..., 0, :], halves[..., 1, :]
                out = np.stack([low + off * high, off * low + high], axis=-1).reshape(vectors.shape)
            total += out
        return total / len(self.bandwidths)


def open_loss(name: str) -> Loss:
    """The loss called `name`: "nll" or "mmd".

    Raises:
        ConfigError: an unknown name.
    """
    losses: dict[str, type[ClippedNll] | type[Mmd]] = {"nll": ClippedNll, "mmd": Mmd}
    if name not in losses:
        raise ConfigError(f"loss '{name}' is unknown; use one of {', '.join(losses)}")
    return losses[name]()
