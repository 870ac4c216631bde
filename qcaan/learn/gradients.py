"""Gradient estimators: how d loss / d theta is obtained on a given backend.

| estimator | needs | evaluations an update | bias | variance |
|---|---|---|---|---|
| `exact` | `Target.exact` | the adjoint method, or 2 a parameter | none | none |
| `parameter_shift` | any backend | 1 + 2 a parameter | see below | of order 1/shots, and estimated |
| `spsa` | any backend | 2 | order c^2, and see below | n_params times gradient^2, and noise |

The loss is a function of measured probabilities q(theta), one distribution a basis, so its gradient is the sum over
bases and outcomes of dL/dq(s) dq(s)/dtheta. Every angle of the ansatz, XX and trained bases included, is that of one
Pauli rotation exp(-i theta/2 P), for which dq/dtheta = (q(theta + pi/2) - q(theta - pi/2)) / 2 exactly (Mitarai et
al., Phys. Rev. A 98, 032309 (2018); Schuld et al., Phys. Rev. A 99, 032331 (2019)).

Bias of shots: both estimates that use them follow the MMD without bias, and the likelihood but for outcomes with
shots * q of about one or less, whose pull is too weak (see `losses.ClippedNll`). For `parameter_shift` that is because
the shots for dL/dq and for dq/dtheta are independent, for `spsa` because the sampled losses are. Near the optimum
noise, not bias, is what limits parameter shift: on 8 qubits with 10,000 shots the noise is a quarter of the gradient at
the start and seven times it after 60 updates.

Why every evaluation of an update is one call of the runner: on a queued device an update costs one wait, not 297.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from qcaan.circuits.circuit import Circuit, Theta
from qcaan.circuits.gates import FloatArray
from qcaan.errors import CircuitError, ConfigError
from qcaan.execution.runner import Request, Runner
from qcaan.learn.differentiable import engine
from qcaan.learn.objective import Objective, ShotPlan, sampled_losses

_PAULI_ROTATIONS = ("rx", "ry", "rz", "xx", "yy", "zz")


@dataclass(frozen=True)
class Estimate:
    """One update's result: the loss at theta, its gradient float64 (n_params,), and the shots it took.

    `variance`, float64 (n_params,): of the gradient, from the shots behind it; None where that cannot be told.
    """

    loss: float
    gradient: FloatArray
    shots: int
    variance: FloatArray | None


class Estimator(Protocol):
    """Estimates an objective's loss and gradient."""

    def n_circuits(self, circuits: Sequence[Circuit]) -> int:
        """How many circuits one estimate measures, of an objective over `circuits`."""

    def estimate(self, objective: Objective, theta: FloatArray, *, tag: str, rng: np.random.Generator) -> Estimate:
        """At theta, float64 (n_params,).

        `tag` names this step to the runner (unique in a run, the same when the step is repeated after a resume);
        `rng` is for the estimator's own choices.
        """


@dataclass(frozen=True)
class Exact:
    """The exact gradient: by the adjoint method on an ideal simulator, else by parameter shift of exact probabilities.

    The second way differentiates what the backend itself computes, its compilation and noise included.
    """

    runner: Runner

    def __post_init__(self) -> None:
        backend = self.runner.backend
        if backend is None or not backend.target.exact:
            name = backend.target.name if backend else "none"
            problem = f"gradient 'exact' needs exact probabilities, which backend '{name}' does not give"
            raise ConfigError(f"{problem}; use parameter_shift or spsa")

    def n_circuits(self, circuits: Sequence[Circuit]) -> int:
        """None is measured."""
        return 0

    def estimate(self, objective: Objective, theta: FloatArray, *, tag: str, rng: np.random.Generator) -> Estimate:
        """No shots, no random numbers."""
        measured = []
        gradient = np.zeros(objective.n_params)
        ideal = self.runner.backend is not None and self.runner.backend.target.ideal
        jacobians = None if ideal else self._shifted(objective, theta)
        for i, (circuit, target) in enumerate(zip(objective.circuits, objective.targets, strict=True)):
            if jacobians is None:
                q, pullback = engine(circuit).linearize(theta[None, : circuit.n_params])
                measured.append(q[0])
                cotangent = objective.loss.derivative(target, q[0])
                gradient[: circuit.n_params] += pullback(cotangent[None])[0]
            else:
                q0, jacobian = jacobians[i]
                measured.append(q0)
                gradient += jacobian @ objective.loss.derivative(target, q0)
        return Estimate(objective.value(measured), gradient, 0, np.zeros(objective.n_params))

    def _shifted(self, objective: Objective, theta: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
        requests = [Request(c, shots=1, theta=_shifts(c, theta)) for c in objective.circuits]
        replies = self.runner.probabilities(requests)
        return [_jacobian(c, q, objective.n_params) for c, q in zip(objective.circuits, replies, strict=True)]


@dataclass(frozen=True)
class ParameterShift:
    """The parameter-shift rule from shots: 1 + 2 a parameter circuits a basis, in one call."""

    runner: Runner
    plan: ShotPlan

    def n_circuits(self, circuits: Sequence[Circuit]) -> int:
        """1 + 2 k for a circuit of k used parameters."""
        return sum(1 + 2 * len(_parameters(circuit)) for circuit in circuits)

    def estimate(self, objective: Objective, theta: FloatArray, *, tag: str, rng: np.random.Generator) -> Estimate:
        """The loss is that of the unshifted circuits' frequencies.

        The variance, to first order in 1/shots: a sum over outcomes, sum_s w(s) f(s), of frequencies f of N shots has
        the variance (sum_s w(s)^2 q(s) - (sum_s w(s) q(s))^2) / N. There is one such term from each shifted
        distribution, with w half of dL/dq, and one from the unshifted one, through dL/dq.
        """
        shots = self.plan.each(self.n_circuits(objective.circuits))
        requests = [Request(c, shots=shots, theta=_shifts(c, theta)) for c in objective.circuits]
        measured = []
        gradient, variance = np.zeros(objective.n_params), np.zeros(objective.n_params)
        total = 0
        replies = self.runner.run(requests, tag=tag)
        for circuit, target, results in zip(objective.circuits, objective.targets, replies, strict=True):
            frequencies = np.stack([result.probabilities for result in results])
            total += sum(result.shots for result in results)
            q, jacobian = _jacobian(circuit, frequencies, objective.n_params)
            measured.append(q)
            weights = objective.loss.derivative(target, q, shots)
            gradient += jacobian @ weights
            used = list(_parameters(circuit))
            shifted = _spread(frequencies[1:], weights[None] / 2)
            through = _spread(q[None], objective.loss.curvature(target, q, jacobian[used], shots))
            variance[used] += (shifted[: len(used)] + shifted[len(used) :] + through) / shots
        return Estimate(objective.value(measured, shots), gradient, total, variance)


@dataclass(frozen=True)
class Spsa:
    """Simultaneous perturbation: the loss at theta +- c delta, delta_j = +-1 at random, whatever n_params.

    The gradient estimate is (L+ - L-) / (2 c delta), the mean over `directions` random delta, all in one call. The
    loss is the mean of the evaluations, not that at theta itself.

    Source: Spall, "Implementation of the simultaneous perturbation algorithm for stochastic optimization", IEEE
    Trans. Aerosp. Electron. Syst. 34, 817 (1998). Differences: c does not decay, as the target moves; 0.05,
    0.1 and 0.2 rad differed by less than two seeds on 8 qubits with 1000 shots. The step is Adam's (see `optimizers`).
    """

    runner: Runner
    plan: ShotPlan
    c: float = 0.05
    directions: int = 1

    def n_circuits(self, circuits: Sequence[Circuit]) -> int:
        """Two a circuit and direction."""
        return 2 * self.directions * len(circuits)

    def estimate(self, objective: Objective, theta: FloatArray, *, tag: str, rng: np.random.Generator) -> Estimate:
        """2 circuits a basis and direction."""
        delta = rng.choice([-1.0, 1.0], (self.directions, objective.n_params))
        rows = np.concatenate([theta + self.c * delta, theta - self.c * delta])
        losses, shots = sampled_losses(self.runner, self.plan, objective, rows, tag=tag)
        slopes = (losses[: self.directions] - losses[self.directions :]) / (2 * self.c)
        return Estimate(float(losses.mean()), (slopes[:, None] * delta).mean(axis=0), shots, None)


def open_estimator(name: str, runner: Runner, plan: ShotPlan) -> Estimator:
    """The estimator called `name`: "exact", "parameter_shift" or "spsa".

    Raises:
        ConfigError: an unknown name, or "exact" on a backend without exact probabilities.
    """
    if name == "exact":
        return Exact(runner)
    sampled: dict[str, type[ParameterShift] | type[Spsa]] = {"parameter_shift": ParameterShift, "spsa": Spsa}
    if name not in sampled:
        raise ConfigError(f"gradient '{name}' is unknown; use one of exact, {', '.join(sampled)}")
    return sampled[name](runner, plan)


@lru_cache(maxsize=8)
def _parameters(circuit: Circuit) -> tuple[int, ...]:
    """The entries of theta that the circuit uses, rising.

    Raises:
        CircuitError: an angle to which the two-term rule does not apply.
    """
    used = []
    for gate in circuit.gates:
        for angle in gate.angles:
            if isinstance(angle, Theta):
                if gate.name not in _PAULI_ROTATIONS or abs(angle.scale) != 1 or angle.index in used:
                    rule = "the parameter-shift rule needs each parameter in one Pauli rotation, with scale 1"
                    raise CircuitError(f"{gate.name}{gate.qubits}, theta[{angle.index}]: {rule}")
                used.append(angle.index)
    return tuple(sorted(used))


def _shifts(circuit: Circuit, theta: FloatArray) -> FloatArray:
    """Float64 (1 + 2 k, n_params): theta, then each of the k used parameters raised by pi/2, then each lowered."""
    used = _parameters(circuit)
    steps = math.pi / 2 * np.eye(circuit.n_params)[list(used)]
    return np.asarray(theta[: circuit.n_params] + np.concatenate([np.zeros((1, circuit.n_params)), steps, -steps]))


def _spread(q: FloatArray, weights: FloatArray) -> FloatArray:
    """The variance (k,) of the weights of one outcome, drawn from distributions q (k or 1, m), weights alike."""
    return np.asarray((weights**2 * q).sum(axis=1) - (weights * q).sum(axis=1) ** 2)


def _jacobian(circuit: Circuit, rows: FloatArray, n_params: int) -> tuple[FloatArray, FloatArray]:
    """From the distributions at `_shifts`, (1 + 2 k, 2**n): q (2**n,) and dq/dtheta (n_params, 2**n)."""
    used = _parameters(circuit)
    jacobian = np.zeros((n_params, rows.shape[1]))
    jacobian[list(used)] = (rows[1 : 1 + len(used)] - rows[1 + len(used) :]) / 2
    return rows[0], jacobian
