"""The tests behind the verdicts are exact: against enumeration, and against their own promises."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, multinomial

from qcaan.circuits.report import FORTE_FIGURES
from qcaan.conformance import probes
from qcaan.conformance.reference import ReferenceSimulator
from qcaan.conformance.statistics import (
    ROUNDING,
    binomial_p,
    effect_of,
    event_p_values,
    fidelity,
    holm,
    p_values,
    shots_for,
)

few = settings(max_examples=40)


@few
@given(st.integers(1, 60), st.floats(0.01, 0.99), st.floats(0.001, 0.5))
def test_a_binomial_fails_with_its_level_at_most(n, p, alpha):
    """Exact, by summing over every outcome: no approximation may push it over."""
    k = np.arange(n + 1)
    rejected = binomial_p(k, n, p, p) <= alpha
    assert binom.pmf(k, n, p)[rejected].sum() <= alpha + 1e-12


@few
@given(st.floats(0.05, 0.9), st.floats(0, 0.1), st.floats(0, 1))
def test_any_probability_within_the_interval_is_accepted_as_often(low, width, where):
    k = np.arange(81)
    rejected = binomial_p(k, 80, low, low + width) <= 0.02
    assert binom.pmf(k, 80, low + where * width)[rejected].sum() <= 0.02 + 1e-12


@pytest.mark.parametrize("faithful", [1 - ROUNDING, 0.9])
@pytest.mark.parametrize("p", [(0.4, 0.3, 0.2, 0.1), (0.5, 0.5, 0, 0), (1, 0, 0, 0), (0.01, 0.01, 0.01, 0.97)])
def test_a_multinomial_fails_with_its_level_at_most(p, faithful):
    """Over every table of 12 shots of 4 outcomes, with the worst noise: all of it on one outcome."""
    tables = np.array([t for t in product(range(13), repeat=4) if sum(t) == 12])
    rejected = np.array([holm(p_values(np.array(p), t, faithful)).min() <= 0.05 for t in tables])
    for noise in np.eye(4):
        q = faithful * np.array(p) + (1 - faithful) * noise
        assert multinomial.pmf(tables, 12, q / q.sum())[rejected].sum() <= 0.05 + 1e-9


def test_many_tables_at_once_are_the_tables_one_by_one():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(8))
    tables, others = rng.multinomial(500, p, size=5), [p[::-1], np.full(8, 1 / 8)]
    np.testing.assert_array_equal(p_values(p, tables, 0.9), [p_values(p, t, 0.9) for t in tables])
    np.testing.assert_array_equal(
        event_p_values(p, tables, 0.9, others), [event_p_values(p, t, 0.9, others) for t in tables]
    )


def test_an_event_sees_through_noise_what_the_bits_do_not():
    p, q = np.full(8, 0.125), np.array([0.2, 0.2, 0.05, 0.05, 0.05, 0.05, 0.2, 0.2])
    shots = np.round(2000 * (0.85 * q + 0.15 / 8)).astype(int)
    assert event_p_values(p, shots, 0.85, [q])[0] < 1e-10
    assert event_p_values(p, shots, 0.85, [q])[0] < p_values(p, shots, 0.85).min()
    assert event_p_values(q, shots, 0.85, [p])[0] > 0.01


@few
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_is_between_the_p_values_and_bonferroni(p):
    values = np.array(p)
    adjusted = holm(values)
    assert (adjusted >= values).all()
    assert (adjusted <= np.minimum(1, values * values.size) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(values, kind="stable")]) >= 0).all()


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    assert holm(np.zeros(0)).size == 0


@pytest.mark.parametrize(("effect", "power", "alpha"), [(0.05, 0.99, 1e-5), (0.1, 0.9, 0.01), (0.02, 0.5, 0.05)])
def test_shots_have_the_power_that_is_stated_and_no_more(effect, power, alpha):
    """Exact: summed over every outcome of a coin of 1/2 + effect."""

    def found(n: int) -> float:
        k = np.arange(n + 1)
        return float(binom.pmf(k, n, 0.5 + effect)[binomial_p(k, n, 0.5, 0.5) <= alpha].sum())

    n = shots_for(effect, power, alpha)
    assert found(n) >= power
    assert n == 100 or found(n - 100) < power + 0.01
    assert effect_of(n, power, alpha) == pytest.approx(effect, abs=0.003)


def test_few_shots_and_small_effects_are_told_as_they_are():
    assert effect_of(10, 0.99, 1e-6) == 0.5
    assert shots_for(1e-4, 0.99, 1e-6) == 1_000_000


def test_a_noise_free_circuit_is_faithful_but_for_rounding():
    circuit = probes.all_ones(3)
    assert fidelity(circuit, None) == 1 - ROUNDING
    f = FORTE_FIGURES
    expected = (1 - 1.5 * (1 - f.one_qubit_fidelity)) ** 3 * f.readout_fidelity**3
    assert fidelity(circuit, f) == pytest.approx(expected)


def test_fidelity_counts_every_gate():
    target = ReferenceSimulator().target
    one, two = (fidelity(probes.random(target, "ms", 0, n), FORTE_FIGURES) for n in (2, 3))
    assert 0.8 < two < one < 0.99
