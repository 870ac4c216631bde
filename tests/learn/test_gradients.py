import math

import numpy as np
import pytest

from qcaan.circuits.circuit import Circuit, theta
from qcaan.circuits.oracle import probabilities
from qcaan.errors import CircuitError, ConfigError
from qcaan.execution.runner import Runner
from qcaan.learn.ansatz import initial_theta, ion_trap_ansatz, measured_circuits
from qcaan.learn.gradients import Estimator, Exact, ParameterShift, Spsa, open_estimator
from qcaan.learn.losses import ClippedNll, Loss, Mmd
from qcaan.learn.objective import Objective, ShotPlan, exact_losses, sampled_losses

N_QUBITS = 3
LOSSES = pytest.mark.parametrize("loss", [ClippedNll(), Mmd()], ids=["nll", "mmd"])


def make_objective(loss: Loss, bases=("Z", "trained"), n_layers: int = 3) -> Objective:
    circuits = measured_circuits(ion_trap_ansatz(N_QUBITS, n_layers), bases)
    rng = np.random.default_rng(2)
    return Objective(circuits, tuple(rng.dirichlet(np.ones(2**N_QUBITS)) for _ in circuits), loss)


def some_theta(objective: Objective) -> np.ndarray:
    return np.random.default_rng(3).uniform(-3, 3, objective.n_params)


def estimate(estimator: Estimator, objective: Objective, theta: np.ndarray, tag: str = "t"):
    return estimator.estimate(objective, theta, tag=tag, rng=np.random.default_rng(4))


def loss_by_oracle(objective: Objective, theta: np.ndarray) -> float:
    return objective.value([probabilities(c, theta[: c.n_params]) for c in objective.circuits])


class Calls:
    """Records what a runner is asked for."""

    def __init__(self, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tags: list[str] = []
        self.rows: list[list[int]] = []
        real = runner.run

        def run(requests, *, tag):
            self.tags.append(tag)
            self.rows.append([len(request.theta) for request in requests])
            return real(requests, tag=tag)

        monkeypatch.setattr(runner, "run", run)


@LOSSES
def test_exact_is_the_derivative_of_the_loss(make_runner, loss):
    objective = make_objective(loss, ("Z", "trained", "X", "trained"))
    angles = some_theta(objective)
    step = 1e-6 * np.eye(objective.n_params)
    numerical = [
        (loss_by_oracle(objective, angles + row) - loss_by_oracle(objective, angles - row)) / 2e-6 for row in step
    ]
    result = estimate(Exact(make_runner()), objective, angles)
    np.testing.assert_allclose(result.gradient, numerical, atol=1e-8)
    assert result.loss == pytest.approx(loss_by_oracle(objective, angles), abs=1e-12)
    assert result.shots == 0
    assert not result.variance.any()


@LOSSES
@pytest.mark.parametrize("entangler", ["ms", "zz"])
def test_exact_by_shifting_the_backends_own_probabilities_equals_the_adjoint_method(make_runner, loss, entangler):
    objective = make_objective(loss, ("Z", "trained", "Y"), n_layers=5)
    angles = some_theta(objective)
    adjoint = estimate(Exact(make_runner()), objective, angles)
    native = make_runner(ideal=False, native_gates=("gpi", "gpi2", entangler))
    shifted = estimate(Exact(native), objective, angles)
    np.testing.assert_allclose(shifted.gradient, adjoint.gradient, atol=1e-12)
    assert shifted.loss == pytest.approx(adjoint.loss, abs=1e-12)


def test_exact_is_refused_where_only_shots_come_back(make_runner):
    with pytest.raises(ConfigError, match="backend 'local' does not give; use parameter_shift or spsa"):
        Exact(make_runner(exact=False, ideal=False))


def test_parameter_shift_is_one_call_with_every_shift_of_every_basis(make_runner, monkeypatch):
    runner = make_runner()
    calls = Calls(runner, monkeypatch)
    objective = make_objective(ClippedNll(), ("Z", "trained", "trained"))
    n = objective.circuits[0].n_params
    result = estimate(ParameterShift(runner, ShotPlan(100)), objective, some_theta(objective), tag="here")
    assert calls.tags == ["here"]
    assert calls.rows == [[1 + 2 * n, 1 + 2 * (n + 3), 1 + 2 * (n + 3)]]
    assert result.shots == 100 * sum(calls.rows[0])


@LOSSES
def test_parameter_shift_is_unbiased(make_runner, loss):
    """Student's t of each component's mean over 50 estimates: beyond 6 in one of 15 about 3 times in a million."""
    objective = make_objective(loss, ("trained",), n_layers=2)
    angles = some_theta(objective)
    exact = estimate(Exact(make_runner()), objective, angles).gradient
    sampled = ParameterShift(make_runner(), ShotPlan(2000))
    estimates = np.stack([estimate(sampled, objective, angles, tag=str(k)).gradient for k in range(50)])
    errors = estimates.mean(axis=0) - exact
    spread = estimates.std(axis=0, ddof=1) / math.sqrt(50)
    seen = np.abs(exact) > 1e-9  # what no readout depends on is estimated as zero up to noise as well
    assert seen.sum() > 6
    assert np.abs(errors[seen] / spread[seen]).max() < 6


@LOSSES
def test_parameter_shift_tells_its_own_variance(make_runner, loss):
    """200 estimates: a sample variance is within 50 % of the true one but for 5 standard deviations (10 % each)."""
    objective = make_objective(loss, ("Z", "trained"), n_layers=2)
    angles = some_theta(objective)
    sampled = ParameterShift(make_runner(), ShotPlan(2000))
    estimates = [estimate(sampled, objective, angles, tag=str(k)) for k in range(200)]
    seen = np.var([e.gradient for e in estimates], axis=0, ddof=1)
    told = np.mean([e.variance for e in estimates], axis=0)
    real = told > 1e-12
    assert real.sum() >= 9
    np.testing.assert_allclose(seen[real] / told[real], 1, atol=0.5)


def test_the_noise_of_parameter_shift_falls_with_the_root_of_the_shots(make_runner):
    objective = make_objective(Mmd())
    angles = some_theta(objective)
    runner = make_runner()
    exact = estimate(Exact(runner), objective, angles).gradient

    def noise(shots: int) -> float:
        runs = [
            estimate(ParameterShift(runner, ShotPlan(shots)), objective, angles, tag=f"{shots}/{k}") for k in range(20)
        ]
        return float(np.sqrt(np.mean([(run.gradient - exact) ** 2 for run in runs])))

    assert noise(200) / noise(20_000) == pytest.approx(10, rel=0.25)  # 420 squares each: 7 % standard error


def test_an_outcome_that_was_never_read_still_pulls(make_runner):
    circuit = Circuit(1).rx(theta[0], 0)
    objective = Objective((circuit,), (np.array([0.0, 1.0]),), ClippedNll())
    result = estimate(ParameterShift(make_runner(), ShotPlan(1000)), objective, np.array([0.01]))
    assert result.loss == pytest.approx((1 / np.arange(1, 1001)).sum())
    assert abs(result.gradient[0]) > 1  # the shifts read it in half of their shots, the weight is 1001


@pytest.mark.parametrize(
    "circuit",
    [
        Circuit(1).rx(theta[0], 0).rz(theta[0], 0),
        Circuit(1).rx(theta[0] * 2, 0),
        Circuit(2).h(0).cp(theta[0], 0, 1),
        Circuit(1).gpi2(theta[0], 0),
    ],
    ids=["used twice", "scaled", "controlled", "not a rotation"],
)
def test_the_two_term_rule_is_refused_where_it_is_wrong(make_runner, circuit):
    uniform = np.full(2**circuit.n_qubits, 1 / 2**circuit.n_qubits)
    with pytest.raises(CircuitError, match="one Pauli rotation"):
        estimate(ParameterShift(make_runner(), ShotPlan(10)), Objective((circuit,), (uniform,), Mmd()), np.array([0.3]))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("gate", ["rx", "ry", "rz", "xx", "yy", "zz"])
def test_the_two_term_rule_holds_for_every_pauli_rotation(make_runner, gate, sign):
    circuit = Circuit(2).ry(0.7, 0).rx(0.4, 1).xx(0.9, 0, 1)
    circuit = circuit.append(gate, sign * theta[0] + 0.2, *((0, 1) if len(gate) == 2 and gate[0] == gate[1] else (0,)))
    circuit = circuit.ry(0.5, 0).rx(1.1, 1).rz(0.3, 0).ry(-0.8, 0)
    objective = Objective((circuit,), (np.array([0.4, 0.3, 0.2, 0.1]),), ClippedNll())
    shifted = estimate(Exact(make_runner(ideal=False)), objective, np.array([0.6])).gradient
    adjoint = estimate(Exact(make_runner()), objective, np.array([0.6])).gradient
    np.testing.assert_allclose(shifted, adjoint, atol=1e-12)
    assert abs(adjoint[0]) > 1e-3


def test_spsa_takes_two_evaluations_a_direction_in_one_call(make_runner, monkeypatch):
    runner = make_runner()
    calls = Calls(runner, monkeypatch)
    objective = make_objective(ClippedNll())
    one = estimate(Spsa(runner, ShotPlan(50)), objective, some_theta(objective), tag="a")
    many = estimate(Spsa(runner, ShotPlan(50), directions=7), objective, some_theta(objective), tag="b")
    assert calls.rows == [[2, 2], [14, 14]]
    assert (one.shots, many.shots) == (50 * 4, 50 * 28)
    assert np.ptp(np.abs(one.gradient)) < 1e-12  # one direction: every component has the same size


def test_spsa_has_the_gradient_as_mean_and_its_square_times_the_parameters_as_variance(make_runner):
    """1000 directions; 5.5 standard errors in one of 24 components about once in a million seeds."""
    objective = make_objective(Mmd())
    angles = some_theta(objective)
    exact = estimate(Exact(make_runner()), objective, angles).gradient
    directions = 1000
    result = estimate(Spsa(make_runner(), ShotPlan(200_000), directions=directions), objective, angles)
    spread = np.sqrt((np.sum(exact**2) - exact**2) / directions)
    z = (result.gradient - exact) / spread
    assert np.abs(z).max() < 5.5
    assert 0.6 < np.sqrt((z**2).mean()) < 1.6


@pytest.mark.parametrize(("shots", "share"), [(100, 0.08), (1000, 0.78)])
def test_few_shots_tell_which_way_the_likelihood_falls(make_runner, shots, share):
    """8 qubits, 256 outcomes, from the start of a training along the signs of the gradient, as SPSA might: the mean of
    500 measured slopes is that of the series up to so many terms, within 5 standard errors (beyond once in 1.7 million
    seeds), and this is `share` of the slope of the likelihood itself."""
    circuits = measured_circuits(ion_trap_ansatz(8, 3), ("Z",))
    objective = Objective(circuits, (np.random.default_rng(2).dirichlet(np.ones(256)),), ClippedNll())
    angles = initial_theta(circuits, 1)
    step = 0.05 * np.sign(estimate(Exact(make_runner()), objective, angles).gradient)
    rows = np.array([angles + step, angles - step])
    measured, _ = sampled_losses(make_runner(), ShotPlan(shots), objective, rows.repeat(500, axis=0), tag="a")
    slopes = measured[:500] - measured[500:]
    terms = np.arange(1, shots + 1)
    q = np.stack([probabilities(circuits[0], row) for row in rows])
    ends = ((1 - q[:, :, None]) ** terms / terms).sum(axis=2) @ objective.targets[0]
    exact = np.subtract(*exact_losses(make_runner(), objective, rows))
    assert abs(slopes.mean() - (ends[0] - ends[1])) < 5 * slopes.std(ddof=1) / math.sqrt(500)
    assert (ends[0] - ends[1]) / exact == pytest.approx(share, abs=0.02)


def test_the_same_tag_and_stream_give_the_same_estimate(make_runner):
    objective = make_objective(ClippedNll())
    angles = some_theta(objective)
    for kind in ("parameter_shift", "spsa"):
        a, b = (estimate(open_estimator(kind, make_runner(), ShotPlan(100)), objective, angles) for _ in range(2))
        assert np.array_equal(a.gradient, b.gradient)
        other = estimate(open_estimator(kind, make_runner(), ShotPlan(100)), objective, angles, tag="other")
        assert not np.array_equal(a.gradient, other.gradient)


def test_a_budget_is_shared_by_the_circuits_of_an_update(make_runner):
    objective = make_objective(ClippedNll())
    for kind in ("parameter_shift", "spsa"):
        estimator = open_estimator(kind, make_runner(), ShotPlan(7, update_shots=10_000))
        n_circuits = estimator.n_circuits(objective.circuits)
        result = estimate(estimator, objective, some_theta(objective))
        assert result.shots == 10_000 // n_circuits * n_circuits
    assert ShotPlan(7).each(1000) == 7
    assert ShotPlan(7, 20).each(20) == 1
    with pytest.raises(ConfigError, match="update_shots: 20 shots for an update of 21 circuits; give at least 21"):
        ShotPlan(7, 20).each(21)


def test_the_circuits_of_an_estimate_are_counted(make_runner, monkeypatch):
    runner = make_runner()
    calls = Calls(runner, monkeypatch)
    objective = make_objective(ClippedNll(), ("Z", "trained", "trained"))
    for estimator in (ParameterShift(runner, ShotPlan(5)), Spsa(runner, ShotPlan(5), directions=3)):
        estimate(estimator, objective, some_theta(objective), tag=type(estimator).__name__)
        assert estimator.n_circuits(objective.circuits) == sum(calls.rows[-1])
    assert Exact(runner).n_circuits(objective.circuits) == 0


@LOSSES
def test_losses_of_many_theta(make_runner, loss):
    """Exact ones are those of the oracle, which sampled ones approach. The mean of 400 coarser ones of one theta is
    nearer than 6 standard errors: one of 8 is farther once in 60 million seeds."""
    objective = make_objective(loss)
    rows = np.random.default_rng(3).uniform(-3, 3, (4, objective.n_params))
    exact = exact_losses(make_runner(), objective, rows)
    np.testing.assert_allclose(exact, [loss_by_oracle(objective, row) for row in rows])
    close, shots = sampled_losses(make_runner(), ShotPlan(1_000_000), objective, rows, tag="a")
    assert shots == 8_000_000
    np.testing.assert_allclose(close, exact, rtol=0.02, atol=1e-3)
    coarse, _ = sampled_losses(make_runner(), ShotPlan(5000), objective, rows.repeat(400, axis=0), tag="b")
    coarse = coarse.reshape(4, 400)
    assert (np.abs(coarse.mean(axis=1) - exact) < 6 * coarse.std(axis=1, ddof=1) / math.sqrt(400)).all()


def test_an_unknown_estimator_is_named(make_runner):
    with pytest.raises(ConfigError, match="gradient 'adjoint' is unknown; use one of exact, parameter_shift, spsa"):
        open_estimator("adjoint", make_runner(), ShotPlan(10))
