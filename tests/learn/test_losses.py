import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from qcaan.errors import ConfigError
from qcaan.learn.losses import ClippedNll, Loss, Mmd, open_loss

LOSSES = [ClippedNll(), Mmd()]


def distributions(seed: int, n_bits: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(2**n_bits)), rng.dirichlet(np.ones(2**n_bits))


def test_likelihood_by_hand():
    p, q = np.array([0.5, 0.5, 0, 0]), np.array([0.25, 0.5, 0.25, 0])
    assert ClippedNll().value(p, q) == pytest.approx(1.5 * math.log(2))
    np.testing.assert_allclose(ClippedNll().derivative(p, q), [-2, -1, 0, 0])


def test_an_outcome_that_q_lacks_costs_the_clipped_logarithm_and_has_no_derivative():
    p, q = np.array([0.5, 0.5]), np.array([1.0, 0.0])
    assert ClippedNll().value(p, q) == pytest.approx(-0.5 * math.log(1e-8))
    np.testing.assert_allclose(ClippedNll().derivative(p, q), [-0.5, 0])


@pytest.mark.parametrize("loss", LOSSES, ids=["nll", "mmd"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), n_bits=st.integers(1, 4))
def test_the_derivative_is_that_of_the_value(loss: Loss, seed: int, n_bits: int):
    p, q = distributions(seed, n_bits)
    q = q + 1e-3
    step = 1e-6 * np.eye(2**n_bits)
    numerical = [(loss.value(p, q + row) - loss.value(p, q - row)) / 2e-6 for row in step]
    np.testing.assert_allclose(loss.derivative(p, q), numerical, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES, ids=["nll", "mmd"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), n_bits=st.integers(1, 5))
def test_no_distribution_is_nearer_than_the_target_itself(loss: Loss, seed: int, n_bits: int):
    p, q = distributions(seed, n_bits)
    assert loss.value(p, q) > loss.value(p, p)


def test_mmd_is_the_quadratic_form_of_a_kernel_of_the_hamming_distance():
    p, q = distributions(7, 3)
    distance = np.array([[(a ^ b).bit_count() for b in range(8)] for a in range(8)])
    kernel = np.mean([np.exp(-distance / (2 * w)) for w in (0.25, 1.0, 4.0)], axis=0)
    assert Mmd().value(p, q) == pytest.approx((p - q) @ kernel @ (p - q), rel=1e-12)


@given(count=st.integers(0, 60), unread=st.integers(0, 60))
def test_from_shots_an_outcome_costs_the_harmonic_numbers_between_its_count_and_all_shots(count: int, unread: int):
    shots = count + unread + 1
    costs = float(sum(Fraction(1, k) for k in range(count + 1, shots + 1)))
    p, q = np.array([1.0, 0.0]), np.array([count, shots - count]) / shots
    assert ClippedNll().value(p, q, shots) == pytest.approx(costs, rel=1e-12)


@pytest.mark.parametrize("shots", [1, 100, 1000])
@pytest.mark.parametrize("q", [1 / 4, 1 / 256, 1 / 1024])
def test_the_mean_of_a_sampled_likelihood_is_the_series_of_the_logarithm_up_to_the_shots(shots: int, q: float):
    counts = np.arange(shots + 1)
    costs = [ClippedNll().value(np.array([1.0, 0.0]), np.array([k, shots - k]) / shots, shots) for k in counts]
    terms = np.arange(1, shots + 1)
    assert binom.pmf(counts, shots, q) @ costs == pytest.approx(((1 - q) ** terms / terms).sum(), rel=1e-9)


def test_where_outcomes_are_read_a_sampled_likelihood_is_unbiased():
    """At 10,000 shots and q = 1/256, so 39 reads, the tail of the series is below 1e-17."""
    counts, p = np.arange(10_001), np.array([1.0, 0.0])
    costs = [ClippedNll().value(p, np.array([k, 10_000 - k]) / 10_000, 10_000) for k in counts]
    assert binom.pmf(counts, 10_000, 1 / 256) @ costs == pytest.approx(math.log(256), abs=1e-9)


@pytest.mark.parametrize("shots", [2, 5])
def test_a_sampled_mmd_is_unbiased(shots: int):
    """Over all sequences of so many shots of two bits."""
    p, q = distributions(3, 2)
    sequences = np.stack(np.meshgrid(*[np.arange(4)] * shots), axis=-1).reshape(-1, shots)
    values = [Mmd().value(p, np.bincount(row, minlength=4) / shots, shots) for row in sequences]
    assert q[sequences].prod(axis=1) @ values == pytest.approx(Mmd().value(p, q), rel=1e-10)


def test_one_shot_still_gives_an_mmd():
    p, q = distributions(3, 2)
    values = [Mmd().value(p, row, 1) for row in np.eye(4)]
    without_pairs = Mmd().value(p, q) - Mmd().value(np.zeros(4), q)
    assert q @ values == pytest.approx(without_pairs, rel=1e-10)


def test_losses_by_name():
    assert open_loss("nll") == ClippedNll()
    assert open_loss("mmd") == Mmd()
    with pytest.raises(ConfigError, match="loss 'kl' is unknown; use one of nll, mmd"):
        open_loss("kl")


@pytest.mark.parametrize("loss", [ClippedNll(), Mmd()], ids=["nll", "mmd"])
def test_curvature_is_the_slope_of_the_estimated_derivative(loss):
    rng = np.random.default_rng(1)
    p, q = rng.dirichlet(np.ones(8), 2)
    directions = rng.normal(size=(3, 8))
    step = 1e-6 * directions
    slopes = [(loss.derivative(p, q + d, 500) - loss.derivative(p, q - d, 500)) / 2e-6 for d in step]
    np.testing.assert_allclose(loss.curvature(p, q, directions, 500), slopes, rtol=1e-5, atol=1e-7)
