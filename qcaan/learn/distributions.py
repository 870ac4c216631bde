"""Distributions over bitstrings: histograms, entropies and divergences, in bits of information.

A distribution is float64 (2**n,), indexed by the bitstring as a binary number, bit 0 leftmost. Samples are uint8 (N,
n).

An empirical target has at most N outcomes. Where 2**n is not small against N its entropy is too low and its total
correlation too high: even N independent draws then look correlated. The difference KL(p || q) - KL(p || product) does
not suffer from this, as the entropy cancels in it.
"""

from collections.abc import Sequence

import numpy as np

from qcaan.circuits.gates import FloatArray
from qcaan.errors import DataError
from qcaan.execution.counts import BitArray, IntArray

EPSILON = 1e-8
"""Probabilities below this are raised to it before a logarithm, as in the loss."""
MAX_BITS = 16
"""Distributions over more bits are not enumerated."""


def check_bits(bits: BitArray, n_bits: int) -> BitArray:
    """`bits` as uint8 (N, n_bits), N at least 1.

    Raises:
        DataError: the shape is wrong, or a value is neither 0 nor 1.
    """
    array = np.asarray(bits)
    if array.ndim != 2 or array.shape[1] != n_bits or not len(array):
        raise DataError(f"bits have shape {array.shape}; this prior needs (N, {n_bits}) with N at least 1")
    if not np.isin(array, (0, 1)).all():
        raise DataError("bits hold a value that is neither 0 nor 1; binarise the activations first")
    return array.astype(np.uint8)


def to_outcomes(bits: BitArray) -> IntArray:
    """Int64 (N,): each row of bits (N, n) as a binary number, column 0 the most significant; n at most 62."""
    return bits.astype(np.int64) @ (1 << np.arange(bits.shape[1] - 1, -1, -1, dtype=np.int64))


def to_bits(outcomes: IntArray, n_bits: int) -> BitArray:
    """Uint8 (N, n_bits): the inverse of `to_outcomes`."""
    return ((np.asarray(outcomes, np.int64)[:, None] >> np.arange(n_bits - 1, -1, -1)) & 1).astype(np.uint8)


def in_random_order(size: int, n: int, rng: np.random.Generator) -> IntArray:
    """`n` indices below `size`: as many random permutations of all of them as it takes."""
    return np.concatenate([rng.permutation(size) for _ in range(-(-n // size))])[:n]


def histogram(bits: BitArray) -> FloatArray:
    """The empirical distribution of samples (N, n): float64 (2**n,)."""
    return np.bincount(to_outcomes(bits), minlength=2 ** bits.shape[1]) / len(bits)


def marginals(distribution: FloatArray) -> FloatArray:
    """Float64 (n,): the probability that each bit is 1."""
    n_bits = len(distribution).bit_length() - 1
    table = distribution.reshape([2] * n_bits)
    return np.array([np.take(table, 1, axis=bit).sum() for bit in range(n_bits)])


def product(ones: FloatArray) -> FloatArray:
    """The distribution of independent bits that are 1 with probabilities `ones` (n,): float64 (2**n,)."""
    return joint([np.array([1 - p, p]) for p in ones])


def joint(parts: Sequence[FloatArray]) -> FloatArray:
    """The distribution of independent parts, the first one leftmost: float64 (product of their sizes,)."""
    out: FloatArray = np.ones(1)
    for part in parts:
        out = np.outer(out, part).ravel()
    return out


def entropy_bits(distribution: FloatArray) -> float:
    """Shannon entropy, in bits."""
    p = distribution[distribution > 0]
    return float(-(p * np.log2(p)).sum()) + 0.0


def kl_bits(p: FloatArray, q: FloatArray) -> float:
    """KL(p || q) in bits; entries of q below `EPSILON` count as `EPSILON`, so that it is finite."""
    seen = p > 0
    return float((p[seen] * (np.log2(p[seen]) - np.log2(np.maximum(q[seen], EPSILON)))).sum())


def target_metrics(bits: BitArray, prior: FloatArray | None) -> dict[str, float]:
    """What a prior could win on this target, and how far it got. Samples (N, n), the prior's distribution if known.

    `prior/target_entropy_bits`; `prior/target_total_correlation_bits`: the sum of the bits' entropies minus the joint
    entropy; `prior/kl_product`: KL(target || product of its marginals), which is the same number (by definition) and is
    what any prior without correlations must pay at least; `prior/kl`: KL(target || prior), only where `prior` is given.
    """
    _, counts = np.unique(to_outcomes(bits), return_counts=True)
    ones = bits.mean(axis=0)
    joint_entropy = entropy_bits(counts / len(bits))
    correlation = sum(entropy_bits(np.array([1 - p, p])) for p in ones) - joint_entropy
    metrics = {
        "prior/target_entropy_bits": joint_entropy,
        "prior/target_total_correlation_bits": correlation,
        "prior/kl_product": correlation,
    }
    if prior is not None:
        metrics["prior/kl"] = kl_bits(histogram(bits), prior)
    return metrics
