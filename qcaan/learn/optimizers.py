"""How a refit minimises its objective: theta in, theta out, with a state for checkpoints.

| optimizer | one update is | circuits an update, 148 parameters, 2 bases | waits an update on a queued device |
|---|---|---|---|
| `adam` | a step against the estimated gradient | 594 (parameter shift), 4 (SPSA) | 1 |
| `cma_es` | a generation of 18 theta | 36 | 1 |
| `cobyla` | one theta | 2 | 1 |

Why Adam for sampled gradients too, SPSA included, rather than Spall's decaying gains: measured on 8 qubits, a
correlated target, 320 SPSA updates of 10,000 shots, the KL fell from 2 to 0.78 bits with Adam and to 1.19 with the
gains; and gains that decay stop following a target that moves.

Why noise-aware steps are off: on the same 8 qubits they cost more than they saved. KL in bits of two seeds after 60
updates of parameter shift with 1000 shots a circuit: 0.34 and 0.19 without, 0.66 and 0.51 with; after 300 updates 0.09
and 0.11 without, 0.10 and 0.10 with. At equal shots, 1.8 million in all, SPSA (1000 a circuit) ended at 1.04 and 0.62,
CMA-ES at 0.52 and 0.52, parameter shift (100 a circuit) at 0.86 and 3.30; a product of marginals is at 2.01.

Why CMA-ES adapts a diagonal covariance: of a full one, 148 parameters have 11,000 entries, which the few hundred
evaluations of a refit cannot teach it. Why its result is the mean, not the best theta that was read: with shot noise
the best is mostly the luckiest. COBYLA (Powell's linear approximations, scipy's) starts every refit with a simplex of
n_params + 1 evaluations, and keeps the best.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cma
import numpy as np
from scipy.optimize import minimize

from qcaan.circuits.circuit import Circuit
from qcaan.circuits.gates import FloatArray
from qcaan.config import PriorConfig
from qcaan.errors import ConfigError
from qcaan.execution.runner import Runner
from qcaan.learn.gradients import Estimator, open_estimator
from qcaan.learn.objective import Objective, ShotPlan, exact_losses, sampled_losses
from qcaan.learn.prior import stream

Losses = Callable[[Objective, FloatArray, str], tuple[FloatArray, int]]
"""(objective, rows of theta (k, n_params), tag) -> the losses (k,), and the shots that they took."""

LEARNING_RATES = {"exact": 0.05, "parameter_shift": 0.05, "spsa": 0.01}
"""What suits Adam with each gradient: every step of SPSA goes mostly astray, so it must be shorter."""
SPREAD = 0.1
"""What suits the others, in radians: the standard deviation of CMA-ES's first theta, the edge of COBYLA's simplex."""


@dataclass(frozen=True)
class Descent:
    """One refit's result: theta float64 (n_params,), the loss of every update, and all shots taken."""

    theta: FloatArray
    losses: tuple[float, ...]
    shots: int


class Optimizer(ABC):
    """Minimises objectives, one after the other. Random numbers and stored shots derive from (seed, tag)."""

    @abstractmethod
    def minimise(self, objective: Objective, theta: FloatArray, *, updates: int, tag: str) -> Descent:
        """From theta, float64 (n_params,), by so many updates."""

    @abstractmethod
    def reset(self) -> None:
        """Forget everything that earlier refits taught."""

    @abstractmethod
    def state(self) -> dict[str, FloatArray]:
        """What the next refit depends on, float64."""

    @abstractmethod
    def load_state(self, arrays: dict[str, FloatArray]) -> None:
        """Go on exactly where `state` was taken."""


class Adam:
    """Adam (Kingma and Ba, 2015), betas (0.9, 0.999), epsilon 1e-8: gradient estimates -> the next theta.

    With the variance of its estimates it is aware of noise: each step is shortened by the share of its squared length
    that is signal, 1 - N/S, at least 0. S is the squared length of the running mean in Adam's metric, N the variance
    that the estimates bring to that. Source of the idea: Balles and Hennig, "Dissecting Adam", ICML 2018; here the
    noise is known from the shots, and one factor serves all parameters.
    """

    def __init__(self, n_params: int, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self._mean, self._square, self._noise = np.zeros((3, n_params))
        self._count = 0

    def step(self, theta: FloatArray, gradient: FloatArray, variance: FloatArray | None = None) -> FloatArray:
        """The next theta, float64 (n_params,): one bias-corrected step against `gradient`, of variance (n_params,)."""
        self._count += 1
        unbias = 1 - 0.9**self._count
        self._mean = 0.9 * self._mean + 0.1 * gradient
        self._square = 0.999 * self._square + 0.001 * gradient * gradient
        mean, square = self._mean / unbias, self._square / (1 - 0.999**self._count)
        scale = np.sqrt(square) + 1e-8
        rate = self.learning_rate
        if variance is not None:
            self._noise = 0.81 * self._noise + 0.01 * variance
            noise, signal = ((x / scale**2).sum() for x in (self._noise / unbias**2, mean**2))
            rate *= max(0.0, 1 - float(noise / max(signal, 1e-300)))
        return np.asarray(theta - rate * mean / scale)

    def state(self) -> dict[str, FloatArray]:
        """Moments, noise and count, float64."""
        count = np.array([self._count], np.float64)
        return {"mean": self._mean, "square": self._square, "noise": self._noise, "count": count}

    def load_state(self, arrays: dict[str, FloatArray]) -> None:
        """Go on exactly where `state` was taken."""
        self._mean, self._square, self._noise = (arrays[name].copy() for name in ("mean", "square", "noise"))
        self._count = int(arrays["count"][0])


class GradientDescent(Optimizer):
    """Adam on estimated gradients, aware of their noise or not."""

    def __init__(
        self, n_params: int, learning_rate: float, estimator: Estimator, seed: int, *, noise_aware: bool = False
    ) -> None:
        self._n_params, self._learning_rate, self._estimator = n_params, learning_rate, estimator
        self._seed, self._noise_aware = seed, noise_aware
        self.reset()

    def reset(self) -> None:
        """No moments."""
        self._adam = Adam(self._n_params, self._learning_rate)

    def minimise(self, objective: Objective, theta: FloatArray, *, updates: int, tag: str) -> Descent:
        """One estimated gradient an update; its loss is at the theta before the update."""
        losses, shots = [], 0
        for update in range(updates):
            name = f"{tag}/{update}"
            estimate = self._estimator.estimate(objective, theta, tag=name, rng=stream(self._seed, name))
            theta = self._adam.step(theta, estimate.gradient, estimate.variance if self._noise_aware else None)
            losses.append(estimate.loss)
            shots += estimate.shots
        return Descent(theta, tuple(losses), shots)

    def state(self) -> dict[str, FloatArray]:
        """Adam's."""
        return self._adam.state()

    def load_state(self, arrays: dict[str, FloatArray]) -> None:
        """The inverse of `state`."""
        self._adam.load_state(arrays)


class CmaEs(Optimizer):
    """CMA-ES with a diagonal covariance, pycma's. A refit goes on with the spread that the last one ended with.

    Source: Hansen, "The CMA evolution strategy: a tutorial", arXiv:1604.00772; Ros and Hansen, PPSN 2008 (diagonal).
    """

    def __init__(self, n_params: int, spread: float, losses: Losses, seed: int) -> None:
        self._first, self._spread = np.full(n_params, spread), np.full(n_params, spread)
        self._losses, self._seed = losses, seed

    @staticmethod
    def population(n_params: int) -> int:
        """How many theta a generation has: pycma's default."""
        return 4 + int(3 * math.log(n_params))

    def reset(self) -> None:
        """The first spread."""
        self._spread = self._first.copy()

    def minimise(self, objective: Objective, theta: FloatArray, *, updates: int, tag: str) -> Descent:
        """One generation an update; its loss is the mean of the generation's. Theta is the last generation's mean."""
        rng = stream(self._seed, tag)
        options = {
            "CMA_diagonal": True,
            "CMA_stds": self._spread,
            "popsize": self.population(len(theta)),
            "randn": lambda *shape: rng.standard_normal(shape),
            "seed": math.nan,  # leave numpy's global generator alone
            "verbose": -9,
        }
        search = cma.CMAEvolutionStrategy(theta, 1.0, options)
        losses, shots = [], 0
        for update in range(updates):
            rows = np.array(search.ask())
            values, taken = self._losses(objective, rows, f"{tag}/{update}")
            search.tell(list(rows), values.tolist())
            losses.append(float(values.mean()))
            shots += taken
        self._spread = np.array(search.stds)
        return Descent(np.array(search.mean), tuple(losses), shots)

    def state(self) -> dict[str, FloatArray]:
        """The standard deviation of each parameter."""
        return {"spread": self._spread}

    def load_state(self, arrays: dict[str, FloatArray]) -> None:
        """The inverse of `state`."""
        self._spread = arrays["spread"].copy()


class Cobyla(Optimizer):
    """COBYLA, scipy's: a linear model on a simplex, one evaluation an update, no random numbers, no memory.

    Source: Powell, "A direct search optimization method that models the objective and constraint functions by linear
    interpolation", 1994.
    """

    def __init__(self, spread: float, losses: Losses) -> None:
        self._spread, self._losses = spread, losses

    def reset(self) -> None:
        """There is nothing to forget."""

    def minimise(self, objective: Objective, theta: FloatArray, *, updates: int, tag: str) -> Descent:
        """At most `updates` evaluations; theta is the one of the lowest loss read."""
        losses: list[float] = []
        shots = 0

        def loss(theta: FloatArray) -> float:
            nonlocal shots
            values, taken = self._losses(objective, theta[None], f"{tag}/{len(losses)}")
            losses.append(float(values[0]))
            shots += taken
            return losses[-1]

        if not updates:
            return Descent(theta, (), 0)
        options = {"rhobeg": self._spread, "maxiter": updates, "tol": self._spread / 100}
        found = minimize(loss, theta, method="COBYLA", options=options)
        return Descent(np.asarray(found.x, np.float64), tuple(losses), shots)

    def state(self) -> dict[str, FloatArray]:
        """Nothing: every refit starts from theta alone."""
        return {}

    def load_state(self, arrays: dict[str, FloatArray]) -> None:
        """There is nothing to load."""


def open_optimizer(options: PriorConfig, runner: Runner, circuits: Sequence[Circuit], seed: int) -> Optimizer:
    """The optimizer that a configuration names, for theta of the measured `circuits`.

    CMA-ES and COBYLA use the loss alone: exact where `gradient` is "exact", otherwise sampled.

    Raises:
        ConfigError: the backend, `update_shots`, `updates` or `noise_aware` does not go with it.
    """
    n_params = max(circuit.n_params for circuit in circuits)
    plan = ShotPlan(options.shots, options.update_shots)
    estimator = open_estimator(options.gradient, runner, plan)
    if options.noise_aware and (options.optimizer != "adam" or options.gradient == "spsa"):
        remedy = "use optimizer adam with gradient parameter_shift (or exact, which has no noise)"
        raise ConfigError(f"prior.noise_aware: only a gradient that tells its noise can use it; {remedy}")
    if options.optimizer == "adam":
        plan.each(estimator.n_circuits(circuits))
        rate = options.learning_rate or LEARNING_RATES[options.gradient]
        return GradientDescent(n_params, rate, estimator, seed, noise_aware=options.noise_aware)

    def losses(objective: Objective, rows: FloatArray, tag: str) -> tuple[FloatArray, int]:
        if options.gradient == "exact":
            return exact_losses(runner, objective, rows), 0
        return sampled_losses(runner, plan, objective, rows, tag=tag)

    spread = options.learning_rate or SPREAD
    if options.optimizer == "cma_es":
        plan.each(CmaEs.population(n_params) * len(circuits))
        return CmaEs(n_params, spread, losses, seed)
    plan.each(len(circuits))
    if 0 < options.updates < n_params + 2:
        problem = f"prior.updates: {options.updates} evaluations a refit are too few for COBYLA's first simplex"
        raise ConfigError(f"{problem} of {n_params} parameters; give at least {n_params + 2}, or use cma_es")
    return Cobyla(spread, losses)
