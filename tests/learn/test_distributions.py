import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qcaan.errors import DataError
from qcaan.learn.distributions import (
    check_bits,
    entropy_bits,
    histogram,
    joint,
    kl_bits,
    marginals,
    product,
    target_metrics,
    to_bits,
    to_outcomes,
)

SAMPLES = st.tuples(st.integers(1, 40), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))
)


@given(SAMPLES)
def test_bits_and_outcomes_are_inverse(bits):
    assert np.array_equal(to_bits(to_outcomes(bits), bits.shape[1]), bits)


def test_column_0_is_the_most_significant_bit():
    assert to_outcomes(np.array([[1, 0, 0], [0, 0, 1]], np.uint8)).tolist() == [4, 1]
    assert histogram(np.array([[1, 0], [1, 0], [0, 1], [1, 1]], np.uint8)).tolist() == [0, 0.25, 0.5, 0.25]


def test_marginals_and_product_are_inverse():
    ones = np.array([0.1, 0.5, 0.9])
    p = product(ones)
    np.testing.assert_allclose(marginals(p), ones)
    assert p[0b001] == pytest.approx(0.9 * 0.5 * 0.9)


def test_the_first_part_of_a_joint_distribution_is_leftmost():
    assert joint([np.array([0.0, 1.0]), np.array([0.25, 0.75])]).tolist() == [0, 0, 0.25, 0.75]


def test_entropy_and_divergence_by_hand():
    assert entropy_bits(np.full(8, 1 / 8)) == pytest.approx(3)
    assert entropy_bits(np.array([1.0, 0.0])) == 0
    assert kl_bits(np.array([1.0, 0.0]), np.array([0.25, 0.75])) == pytest.approx(2)
    assert kl_bits(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(8 * np.log2(10))


def test_two_equal_bits_have_one_bit_of_total_correlation():
    bits = np.array([[0, 0], [1, 1]], np.uint8)
    metrics = target_metrics(bits.repeat(1000, axis=0), np.full(4, 0.25))
    assert metrics == {
        "prior/target_entropy_bits": pytest.approx(1),
        "prior/target_total_correlation_bits": pytest.approx(1),
        "prior/target_total_correlation_null_bits": pytest.approx(0, abs=0.02),
        "prior/target_total_correlation_in_bases_bits": pytest.approx(1),
        "prior/kl_product": pytest.approx(1),
        "prior/kl": pytest.approx(1),
    }


def test_the_bias_of_few_samples_is_told():
    """Fair bits have no correlation: all that 4096 samples of 14 bits show is bias, shuffled or not."""
    metrics = target_metrics(np.random.default_rng(1).integers(0, 2, (4096, 14)).astype(np.uint8), None)
    seen, null = (metrics[f"prior/target_total_correlation{name}_bits"] for name in ("", "_null"))
    assert seen > 1.5
    assert null == pytest.approx(seen, abs=0.05)


def test_the_shuffled_samples_have_more_bias_than_correlated_ones():
    """Six pairs of equal bits and two free ones: 6 bits of correlation, in 256 outcomes of 16384."""
    free = np.random.default_rng(4).integers(0, 2, (2048, 8))
    bits = np.concatenate([free, free[:, :6]], axis=1).astype(np.uint8)
    metrics = target_metrics(bits, None)
    seen, null = (metrics[f"prior/target_total_correlation{name}_bits"] for name in ("", "_null"))
    assert seen == pytest.approx(6, abs=0.15)
    assert null > 2


def test_correlation_inside_the_bases_is_told_from_that_between_them():
    one, other = np.random.default_rng(2).integers(0, 2, (2, 20_000, 1))
    noise = np.random.default_rng(3).integers(0, 2, (20_000, 2))
    bits = np.concatenate([one, one, other, noise[:, :1], other, noise[:, 1:]], axis=1).astype(np.uint8)
    metrics = target_metrics(bits, None, n_bases=2)
    assert metrics["prior/target_total_correlation_bits"] == pytest.approx(2, abs=0.02)
    assert metrics["prior/target_total_correlation_in_bases_bits"] == pytest.approx(1, abs=0.02)
    assert metrics["prior/target_total_correlation_null_bits"] == pytest.approx(0, abs=0.02)


def test_without_a_known_prior_there_is_no_divergence_to_it():
    assert "prior/kl" not in target_metrics(np.zeros((3, 2), np.uint8), None)


@settings(deadline=None)
@given(SAMPLES)
def test_total_correlation_is_the_divergence_from_the_product_of_the_marginals(bits):
    p = histogram(bits)
    metrics = target_metrics(bits, p)
    assert metrics["prior/kl_product"] == pytest.approx(kl_bits(p, product(marginals(p))), abs=1e-9)
    assert metrics["prior/target_entropy_bits"] == pytest.approx(entropy_bits(p), abs=1e-12)
    assert metrics["prior/kl"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        (np.zeros((3, 2)), r"shape \(3, 2\); this prior needs \(N, 4\)"),
        (np.zeros((0, 4)), r"shape \(0, 4\)"),
        (np.full((2, 4), 0.5), "neither 0 nor 1"),
        (np.full((2, 4), -1), "neither 0 nor 1"),
    ],
)
def test_what_is_not_bits_is_refused(bits, message):
    with pytest.raises(DataError, match=message):
        check_bits(bits, 4)
