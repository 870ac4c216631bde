import json

import numpy as np
import pytest

from qcaan.errors import ConfigError, DataError
from qcaan.learn.distributions import histogram, kl_bits, marginals, product
from qcaan.learn.priors import KINDS, Prior, open_prior

DISCRETE = sorted(set(KINDS) - {"gaussian", "uniform"})
LEARNED = sorted(set(DISCRETE) - {"bernoulli"})


def opened(kind: str, make_runner, **options) -> Prior:
    small = {"n_qubits": 3, "n_layers": 3, "bases": ("Z", "Y"), "shots": 300, "updates": 5}
    return open_prior(kind, **(small | options), runner=make_runner())


def target(n: int = 500, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    first = (rng.random((n, 1)) < 0.7) ^ (rng.random((n, 3)) < 0.1)
    return np.concatenate([first, rng.random((n, 3)) < (0.2, 0.5, 0.8)], axis=1).astype(np.uint8)


@pytest.mark.parametrize("kind", sorted(KINDS))
class TestEveryKind:
    """What training relies on."""

    def test_draws_have_its_width_and_type(self, kind, make_runner):
        prior = opened(kind, make_runner)
        draws = prior.sample(40, tag="a")
        assert prior.n_bits == 6
        assert draws.shape == (40, 6)
        assert draws.dtype == (np.uint8 if prior.discrete else np.float32)
        assert not prior.discrete or draws.max() <= 1

    def test_a_draw_depends_on_seed_and_tag_alone(self, kind, make_runner):
        prior = opened(kind, make_runner)
        a = prior.sample(40, tag="a")
        assert not np.array_equal(a, prior.sample(40, tag="b"))
        assert np.array_equal(a, opened(kind, make_runner).sample(40, tag="a"))

    def test_a_refit_reports_the_target(self, kind, make_runner):
        metrics = opened(kind, make_runner).refit(target(), tag="a")
        inside = metrics["prior/target_total_correlation_in_bases_bits"]
        assert 0.5 < inside < metrics["prior/target_total_correlation_bits"]
        assert {"prior/shots", "prior/target_entropy_bits"} <= set(metrics)
        assert all(isinstance(value, float) for value in metrics.values())
        assert metrics["prior/kl_product"] > 0.5
        json.dumps(metrics, allow_nan=False)

    def test_it_goes_on_bit_for_bit_from_a_saved_state(self, kind, make_runner, tmp_path):
        one, other = opened(kind, make_runner), opened(kind, make_runner)
        one.refit(target(), tag="a")
        arrays, values = one.state()
        np.savez(tmp_path / "state.npz", **arrays)
        with np.load(tmp_path / "state.npz") as saved:
            other.load_state(dict(saved), json.loads(json.dumps(values)))
        assert one.refit(target(seed=1), tag="b") == other.refit(target(seed=1), tag="b")
        assert np.array_equal(one.sample(64, tag="c"), other.sample(64, tag="c"))

    def test_bits_of_another_width_are_refused(self, kind, make_runner):
        with pytest.raises(DataError, match="this prior needs"):
            opened(kind, make_runner).refit(target()[:, :4], tag="a")


@pytest.mark.parametrize("kind", DISCRETE)
def test_draws_follow_the_distribution(kind, make_runner):
    """Total variation of 20,000 draws of 6 bits is 0.022 in the mean; beyond 0.05 less than once in a million."""
    prior = opened(kind, make_runner, shots=20_000)
    prior.refit(target(), tag="a")
    q = prior.distribution()
    assert q.sum() == pytest.approx(1)
    assert 0.5 * np.abs(histogram(prior.sample(20_000, tag="b")) - q).sum() < 0.05


@pytest.mark.parametrize("kind", LEARNED)
def test_a_learned_prior_comes_nearer_to_its_target(kind, make_runner):
    prior = opened(kind, make_runner, updates=80)
    p = histogram(target())
    before = kl_bits(p, prior.distribution())
    metrics = prior.refit(target(), tag="a")
    assert metrics["prior/kl"] == pytest.approx(kl_bits(p, prior.distribution()))
    assert metrics["prior/kl"] < 0.9 * before


@pytest.mark.parametrize("kind", ["born_machine", "rbm"])
def test_a_prior_with_correlations_beats_the_product_of_the_marginals(kind, make_runner):
    metrics = opened(kind, make_runner, updates=150, bases=("Z",)).refit(target()[:, :3], tag="a")
    assert metrics["prior/kl"] < 0.5 * metrics["prior/kl_product"]


def two_sided(n: int = 2000) -> np.ndarray:
    """Both halves show the same one of two patterns, but for a flip of every tenth bit: about a bit between them."""
    rng = np.random.default_rng(5)
    side = rng.random((n, 1)) < 0.4
    patterns = np.where(side, [1, 1, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0])
    return (patterns ^ (rng.random((n, 6)) < 0.1)).astype(np.uint8)


def test_a_mixture_holds_what_two_independent_bases_cannot(make_runner):
    bits = two_sided()
    between = kl_bits(histogram(bits), np.outer(histogram(bits[:, :3]), histogram(bits[:, 3:])).ravel())
    assert between > 0.7
    found = {}
    for kind in ("born_machine", "mixture"):
        prior = opened(kind, make_runner, updates=60, n_layers=5)
        found[kind] = prior.refit(bits, tag="a")["prior/kl"]
    assert found["born_machine"] > between - 0.05  # no product of halves is nearer
    assert found["mixture"] < 0.4 * between


def test_no_two_machines_of_mixtures_start_alike(make_runner):
    arrays = [opened("mixture", make_runner, seed=seed).state()[0] for seed in range(4)]
    starts = {tuple(one[f"{c}.theta"]) for one in arrays for c in (0, 1)}
    starts |= {tuple(opened("born_machine", make_runner, seed=seed).state()[0]["theta"]) for seed in range(5)}
    assert len(starts) == 13


def test_a_mixture_keeps_its_parts_from_refit_to_refit(make_runner):
    prior = opened("mixture", make_runner)
    prior.refit(two_sided(), tag="a")
    assert prior.weight in (pytest.approx(0.4, abs=0.05), pytest.approx(0.6, abs=0.05))
    before = prior.weight
    for k in range(4):
        prior.refit(two_sided()[k * 400 :][:400], tag=str(k))
        assert prior.weight == pytest.approx(before, abs=0.1)  # not 1 - before
    constant = np.ones((50, 6), np.uint8)
    assert prior.refit(constant, tag="b")["prior/shots"] == 0  # one part is empty
    assert prior.sample(30, tag="c").shape == (30, 6)


def test_fair_coins_are_fair_and_stay_so(make_runner):
    prior = opened("bernoulli", make_runner)
    metrics = prior.refit(target(), tag="a")
    np.testing.assert_allclose(prior.distribution(), 1 / 64)
    assert metrics["prior/loss"] == pytest.approx(6 * np.log(2))


def test_learned_coins_have_the_targets_marginals_and_never_freeze(make_runner):
    bits = target()
    bits[:, 0] = 1
    prior = opened("product_bernoulli", make_runner)
    metrics = prior.refit(bits, tag="a")
    np.testing.assert_allclose(marginals(prior.distribution()), (bits.sum(axis=0) + 1) / 502)
    assert metrics["prior/kl"] == pytest.approx(metrics["prior/kl_product"], abs=0.01)
    assert metrics["prior/kl"] >= metrics["prior/kl_product"]


def test_shuffling_keeps_the_marginals_and_drops_the_correlations(make_runner):
    machine, shuffled = (opened(kind, make_runner, updates=60) for kind in ("born_machine", "shuffled"))
    for prior in (machine, shuffled):
        prior.refit(target(), tag="a")
    assert machine.losses == shuffled.losses
    q = machine.distribution()
    np.testing.assert_allclose(shuffled.distribution(), product(marginals(q)))
    a, b = machine.sample(300, tag="b"), shuffled.sample(300, tag="b")
    assert np.array_equal(a.sum(axis=0), b.sum(axis=0))
    assert abs(np.corrcoef(a[:, 0], a[:, 1])[0, 1]) > 0.4
    assert abs(np.corrcoef(b[:, 0], b[:, 1])[0, 1]) < 0.3  # 5 standard errors


def test_the_control_without_entanglers_holds_no_correlation(make_runner):
    prior = opened("unentangled", make_runner)
    prior.refit(target(), tag="a")
    q = prior.distribution()
    np.testing.assert_allclose(q, product(marginals(q)), atol=1e-12)


def test_a_boltzmann_machine_recovers_from_a_target_that_was_nearly_constant(make_runner):
    """As that of an untrained discriminator is. 8 bits of shared causes, whose marginals are 0.26 bits away."""
    rng = np.random.default_rng(1)
    constant = rng.random((8192, 8)) < np.where(rng.random(8) < 0.5, 0.001, 0.999)
    causes = 0.45 * rng.normal(size=(8192, 4)) @ rng.normal(size=(4, 8))
    bits = causes + rng.normal(size=(8192, 8)) > rng.normal(0, 0.3, 8)
    prior = opened("rbm", make_runner, n_qubits=8, bases=("Z",))
    prior.refit(constant.astype(np.uint8), tag="a")
    metrics = prior.refit(bits.astype(np.uint8), tag="b")
    assert metrics["prior/kl_product"] > 0.2
    assert metrics["prior/kl"] < 0.2 * metrics["prior/kl_product"]
    assert prior.losses[-1] < prior.losses[0]


def test_the_gradient_of_a_boltzmann_machine_is_that_of_its_loss(make_runner, monkeypatch):
    """A first step of Adam has the sign of the gradient in every parameter; here it is taken from differences."""
    monkeypatch.setattr("qcaan.learn.priors.rbm.UPDATES", 1)
    prior = opened("rbm", make_runner, warm_start=False)
    metrics = prior.refit(target(), tag="a")
    after, _ = prior.state()
    start, _ = opened("rbm", make_runner).state()
    ones = target().sum(axis=0)
    start["theta"][:6] = np.log((ones + 1) / (501 - ones))
    p = histogram(target())

    def loss(theta: np.ndarray) -> float:
        prior.load_state({"theta": theta}, {})
        return float(-(p * np.log(prior.distribution())).sum())

    step = 1e-6 * np.eye(len(start["theta"]))
    slopes = np.array([loss(start["theta"] + row) - loss(start["theta"] - row) for row in step]) / 2e-6
    assert metrics["prior/loss"] == pytest.approx(loss(start["theta"]))
    clear = np.abs(slopes) > 1e-6
    assert clear.sum() > 40
    np.testing.assert_allclose((after["theta"] - start["theta"])[clear], -0.05 * np.sign(slopes[clear]), rtol=1e-2)


def test_the_boltzmann_machine_draws_by_chains_where_it_cannot_enumerate(make_runner, monkeypatch):
    """Two blocks of equal bits; the frequency of agreement is 1/2 without learning, 11 standard errors from 0.6."""
    rng = np.random.default_rng(0)
    bits = np.repeat(rng.integers(0, 2, (300, 2)), 9, axis=1).astype(np.uint8)
    monkeypatch.setattr("qcaan.learn.priors.rbm.UPDATES", 20)
    prior = opened("rbm", make_runner, n_qubits=18, bases=("Z",))
    metrics = prior.refit(bits, tag="a")
    assert prior.distribution() is None
    assert "prior/kl" not in metrics
    draws = prior.sample(3000, tag="b")
    assert (draws[:, 0] == draws[:, 8]).mean() > 0.6


def test_continuous_priors_have_their_moments(make_runner):
    """20,000 x 6 numbers: 6 standard errors each."""
    normal, uniform = (opened(kind, make_runner).sample(20_000, tag="a") for kind in ("gaussian", "uniform"))
    assert abs(normal.mean()) < 6 / np.sqrt(120_000)
    assert abs(normal.var() - 1) < 6 * np.sqrt(2 / 120_000)
    assert abs(uniform.mean()) < 6 / np.sqrt(360_000)
    assert -1 <= uniform.min() < -0.99
    assert 0.99 < uniform.max() < 1


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("born_machin", {}, "prior.kind 'born_machin' is unknown; did you mean 'born_machine'"),
        ("xyz", {}, "use one of born_machine, mixture, unentangled"),
        ("bernoulli", {"n_qubit": 4}, "prior.n_qubit: unknown key; did you mean 'n_qubits'"),
        ("bernoulli", {"n_qubits": 0}, "prior.n_qubits: 0 - input should be greater than or equal to 1"),
        ("shuffled", {}, "give it a runner"),
    ],
)
def test_wrong_choices_name_the_remedy(kind, options, message):
    with pytest.raises(ConfigError, match=message):
        open_prior(kind, **options)


def test_a_checkpoint_of_another_kind_is_refused(make_runner):
    arrays, values = opened("product_bernoulli", make_runner).state()
    with pytest.raises(DataError, match=r"was prior\.kind changed"):
        opened("bernoulli", make_runner).load_state(arrays, values)
    with pytest.raises(DataError, match="nothing as 'theta'"):
        opened("born_machine", make_runner).load_state(arrays, values)


def test_every_kind_has_the_same_width_for_the_same_options(make_runner):
    assert {opened(kind, make_runner).n_bits for kind in KINDS} == {6}
