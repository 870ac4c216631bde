import math

import numpy as np
import pytest

from qcaan.circuits.oracle import probabilities
from qcaan.errors import ConfigError, DataError
from qcaan.learn.born_machine import BornMachine
from qcaan.learn.distributions import histogram, kl_bits, marginals, to_bits, to_outcomes
from qcaan.learn.prior import PriorOptions
from qcaan.learn.priors import open_prior

SMALL = {"n_qubits": 3, "n_layers": 3, "shots": 500, "updates": 5}


def machine(runner, **options) -> BornMachine:
    prior = open_prior("born_machine", **(SMALL | options), runner=runner)
    assert isinstance(prior, BornMachine)
    return prior


def correlated(n: int, n_bits: int, seed: int = 0) -> np.ndarray:
    """Thresholded Gaussians with shared causes: uint8 (n, n_bits)."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(n, 2)) @ rng.normal(size=(2, n_bits))
    return (causes + 0.5 * rng.normal(size=(n, n_bits)) > rng.normal(0, 0.3, n_bits)).astype(np.uint8)


def test_with_148_parameters_it_learns_correlations_and_follows_a_moving_target(make_runner):
    prior = machine(make_runner(), n_qubits=8, n_layers=7, updates=30)
    assert prior.theta.shape == (148,)
    first = prior.refit(correlated(4096, 8), tag="a")
    assert first["prior/target_total_correlation_bits"] > 1
    assert first["prior/kl"] < 0.5 * first["prior/kl_product"]
    assert first["prior/loss"] == prior.losses[-1]
    assert len(prior.losses) == 30
    moved = correlated(4096, 8)
    moved[:, 3] ^= np.random.default_rng(1).random(4096) < 0.1
    second = prior.refit(moved, tag="b")
    assert second["prior/kl"] < 0.25 * second["prior/kl_product"]


@pytest.mark.parametrize(("bases", "n_params"), [(("Z", "Y"), 15), (("Z", "trained"), 18), (("Z", "Y", "trained"), 18)])
def test_each_basis_learns_its_part_of_the_target(make_runner, bases, n_params):
    bits = np.concatenate([correlated(3000, 3, seed) for seed in range(len(bases))], axis=1)
    prior = machine(make_runner(), bases=bases, updates=60)
    assert (prior.n_bits, len(prior.theta)) == (3 * len(bases), n_params)
    before = prior.distribution()
    metrics = prior.refit(bits, tag="a")
    after = prior.distribution()
    shape = [8] * len(bases)
    for part in range(len(bases)):
        others = tuple(axis for axis in range(len(bases)) if axis != part)
        target = histogram(bits[:, 3 * part : 3 * part + 3])
        start, end = (kl_bits(target, q.reshape(shape).sum(axis=others)) for q in (before, after))
        assert end < 0.7 * start
    assert metrics["prior/kl"] == pytest.approx(kl_bits(histogram(bits), after))
    assert prior.losses[-1] < prior.losses[0]


def test_the_loss_is_the_sum_of_the_bases_cross_entropies(make_runner):
    bits = correlated(400, 6)
    prior = machine(make_runner(), bases=("Z", "Y"))
    q = [probabilities(circuit, prior.theta[: circuit.n_params]) for circuit in prior.circuits]
    prior.refit(bits, tag="a")
    expected = sum(-histogram(half) @ np.log(part) for half, part in zip(np.split(bits, 2, axis=1), q, strict=True))
    assert prior.losses[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("gradient", "loss"), [("parameter_shift", "nll"), ("parameter_shift", "mmd"), ("spsa", "mmd")]
)
def test_a_backend_that_only_samples_can_train_it(make_runner, gradient, loss):
    runner = make_runner(exact=False, ideal=False)
    updates, circuits = {"parameter_shift": (40, 31), "spsa": (250, 2)}[gradient]
    prior = machine(runner, gradient=gradient, loss=loss, updates=updates, learning_rate=0.1, shots=1000)
    target = np.repeat([[0, 0, 0], [1, 1, 1]], 200, axis=0).astype(np.uint8)
    metrics = prior.refit(target, tag="a")
    assert "prior/kl" not in metrics
    assert prior.distribution() is None
    assert metrics["prior/shots"] == 1000 * updates * circuits
    q = probabilities(prior.circuits[0], prior.theta)
    assert q[0] + q[7] > 0.4  # 0.25 at the start


def test_samples_follow_the_distribution_with_qubit_0_in_column_0(make_runner):
    """Total variation of 20,000 draws of 6 bits: mean 0.022, beyond 0.04 less than once in a million (McDiarmid)."""
    prior = machine(make_runner(), bases=("Z", "Y"), shots=20_000)
    prior.theta = np.random.default_rng(2).uniform(-3, 3, len(prior.theta))
    bits = prior.sample(20_000, tag="a")
    assert bits.dtype == np.uint8
    assert bits.shape == (20_000, 6)
    assert 0.5 * np.abs(histogram(bits) - prior.distribution()).sum() < 0.05


def test_a_flipped_qubit_0_is_column_0(make_runner):
    prior = machine(make_runner())
    prior.theta = np.zeros(len(prior.theta))
    prior.theta[0] = math.pi
    assert (prior.sample(5, tag="a") == [1, 0, 0]).all()
    assert prior.distribution()[0b100] == pytest.approx(1)


def test_rows_come_in_random_order_and_bases_are_paired_at_random(make_runner):
    prior = machine(make_runner(), bases=("Z", "Y"), shots=4000)
    prior.theta = np.random.default_rng(2).uniform(-3, 3, len(prior.theta))
    z, y = np.split(prior.sample(4000, tag="a"), 2, axis=1)
    assert abs(np.corrcoef(np.arange(4000), to_outcomes(z))[0, 1]) < 0.1  # 6 standard errors; sorted rows give 0.9
    assert abs(np.corrcoef(to_outcomes(z), to_outcomes(y))[0, 1]) < 0.1


def test_a_small_draw_pays_for_no_more_shots_than_it_needs(make_runner, monkeypatch):
    runner = make_runner()
    asked = []
    real = runner.run
    monkeypatch.setattr(
        runner, "run", lambda requests, *, tag: (asked.append([r.shots for r in requests]), real(requests, tag=tag))[1]
    )
    prior = machine(runner, bases=("Z", "Y"))
    prior.sample(20, tag="a")
    prior.sample(1700, tag="b")
    assert asked == [[20, 20], [500, 500]]


def test_a_large_draw_uses_every_shot_equally_often(make_runner):
    prior = machine(make_runner(), shots=100)
    prior.theta = np.random.default_rng(2).uniform(-3, 3, len(prior.theta))
    bits = prior.sample(350, tag="a")
    once = np.bincount(to_outcomes(bits[:100]), minlength=8)
    assert np.array_equal(np.bincount(to_outcomes(bits[100:200]), minlength=8), once)
    assert (np.bincount(to_outcomes(bits[300:]), minlength=8) <= once).all()
    assert not np.array_equal(bits[:100], bits[100:200])


@pytest.mark.parametrize("gradient", ["exact", "parameter_shift", "spsa"])
def test_it_goes_on_bit_for_bit_from_its_state(make_runner, gradient):
    bits = correlated(200, 3)
    one = machine(make_runner(), gradient=gradient)
    one.refit(bits, tag="a")
    other = machine(make_runner(), gradient=gradient)
    other.load_state(*one.state())
    assert one.refit(bits, tag="b") == other.refit(bits, tag="b")
    assert np.array_equal(one.theta, other.theta)
    assert np.array_equal(one.sample(50, tag="c"), other.sample(50, tag="c"))


def test_a_run_may_go_on_with_another_estimator(make_runner):
    one = machine(make_runner())
    one.refit(correlated(200, 3), tag="a")
    other = machine(make_runner(exact=False, ideal=False), gradient="spsa")
    other.load_state(*one.state())
    assert np.array_equal(one.theta, other.theta)
    other.refit(correlated(200, 3), tag="b")


def test_a_checkpoint_of_another_size_or_without_its_optimiser_is_refused(make_runner):
    arrays, values = machine(make_runner(), n_qubits=2).state()
    with pytest.raises(DataError, match=r"has \(9,\) as 'theta', not \(15,\)"):
        machine(make_runner()).load_state(arrays, values)
    arrays, values = machine(make_runner()).state()
    del arrays["optimizer.mean"]
    with pytest.raises(DataError, match=r"nothing as 'optimizer.mean'"):
        machine(make_runner()).load_state(arrays, values)


def test_a_cold_start_forgets_the_last_refit(make_runner):
    bits = correlated(200, 3)
    cold = machine(make_runner(), warm_start=False)
    cold.refit(1 - bits, tag="a")
    fresh = machine(make_runner())
    assert cold.refit(bits, tag="b") == fresh.refit(bits, tag="b")
    warm = machine(make_runner())
    warm.refit(bits, tag="a")
    warm.refit(bits, tag="b")
    assert warm.losses[-1] < cold.losses[-1]


def test_the_seed_decides_where_it_starts(make_runner):
    thetas = [machine(make_runner(), seed=seed).theta for seed in (1, 1, 2)]
    assert np.array_equal(thetas[0], thetas[1])
    assert not np.array_equal(thetas[0], thetas[2])


def test_without_updates_a_refit_only_reports(make_runner):
    prior = machine(make_runner(), updates=0)
    before = prior.theta
    metrics = prior.refit(correlated(200, 3), tag="a")
    assert np.array_equal(prior.theta, before)
    assert "prior/loss" not in metrics
    assert metrics["prior/shots"] == 0


def test_without_entanglers_its_bits_stay_independent(make_runner):
    prior = BornMachine(PriorOptions(**SMALL, runner=make_runner()), entangle=False)
    metrics = prior.refit(np.repeat([[0, 0, 0], [1, 1, 1]], 50, axis=0).astype(np.uint8), tag="a")
    assert metrics["prior/kl"] >= metrics["prior/kl_product"]


def test_more_bits_than_can_be_enumerated_leave_out_the_divergence(make_runner):
    prior = machine(make_runner(), bases=("Z",) * 6, updates=1)
    metrics = prior.refit(correlated(50, 18), tag="a")
    assert prior.distribution() is None
    assert "prior/kl" not in metrics
    assert metrics["prior/target_entropy_bits"] > 0
    assert prior.sample(7, tag="b").shape == (7, 18)


@pytest.mark.parametrize("n_qubits", [12, 16])
def test_up_to_16_qubits_are_trained_and_enumerated(make_runner, n_qubits):
    prior = machine(make_runner(), n_qubits=n_qubits, n_layers=3, topology="line", updates=6)
    target = correlated(500, n_qubits)
    before = prior.refit(target, tag="a")
    assert prior.losses[-1] < prior.losses[0]
    assert prior.distribution().shape == (2**n_qubits,)
    assert prior.refit(target, tag="b")["prior/kl"] < before["prior/kl"]
    assert prior.sample(5, tag="c").shape == (5, n_qubits)


def test_it_reaches_a_target_of_two_entangled_outcomes(make_runner):
    prior = machine(make_runner(), n_qubits=2, updates=120)
    target = to_bits(np.array([0b01, 0b10]), 2)
    metrics = prior.refit(target, tag="a")
    assert metrics["prior/kl_product"] == pytest.approx(1)
    assert metrics["prior/kl"] < 0.05
    np.testing.assert_allclose(marginals(prior.distribution()), 0.5, atol=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shots": 0}, "prior.shots: 0 - input should be greater"),
        ({"updates": -1}, "prior.updates: -1 - input"),
        ({"learning_rate": 0.0}, "prior.learning_rate: 0.0 - input should be greater than 0"),
        ({"bases": ()}, "prior.bases: .* at least 1 item"),
        ({"bases": ("Q",)}, "basis 'Q' is unknown"),
        ({"gradient": "adjoint"}, "prior.gradient: 'adjoint' - input should be 'exact'"),
        ({"loss": "kl"}, "prior.loss: 'kl' - input should be 'nll'"),
    ],
)
def test_wrong_options_name_the_remedy(make_runner, options, message):
    with pytest.raises(ConfigError, match=message):
        machine(make_runner(), **options)


def test_a_runner_is_needed():
    with pytest.raises(ConfigError, match="give it a runner"):
        BornMachine(PriorOptions())


def test_a_target_of_the_wrong_width_is_refused(make_runner):
    with pytest.raises(DataError, match=r"shape \(4, 2\); this prior needs \(N, 3\)"):
        machine(make_runner()).refit(np.zeros((4, 2), np.uint8), tag="a")
