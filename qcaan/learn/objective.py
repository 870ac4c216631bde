"""What a Born machine's training minimises, and what it is at given theta: the loss of measured distributions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qcaan.circuits.circuit import Circuit
from qcaan.circuits.gates import FloatArray
from qcaan.errors import ConfigError
from qcaan.execution.runner import Request, Runner
from qcaan.learn.losses import Loss


@dataclass(frozen=True)
class Objective:
    """The loss of one theta over several measured circuits: the sum of one term a circuit.

    `circuits` share theta: circuit i uses its first `circuits[i].n_params` entries. `targets` are one distribution a
    circuit, float64 (2**n,).
    """

    circuits: tuple[Circuit, ...]
    targets: tuple[FloatArray, ...]
    loss: Loss

    @property
    def n_params(self) -> int:
        """Length of theta."""
        return max(circuit.n_params for circuit in self.circuits)

    def value(self, measured: Sequence[FloatArray], shots: int | None = None) -> float:
        """The loss of one measured distribution a circuit: exact ones, or the frequencies of `shots` shots."""
        return sum(self.loss.value(p, q, shots) for p, q in zip(self.targets, measured, strict=True))


@dataclass(frozen=True)
class ShotPlan:
    """Shots of each circuit: `shots`, or, if an update has a budget, that budget shared evenly, rounded down."""

    shots: int
    update_shots: int | None = None

    def each(self, n_circuits: int) -> int:
        """Shots of each of the circuits of one update.

        Raises:
            ConfigError: the budget gives no circuit a whole shot.
        """
        if self.update_shots is None:
            return self.shots
        if self.update_shots < n_circuits:
            problem = f"prior.update_shots: {self.update_shots} shots for an update of {n_circuits} circuits"
            raise ConfigError(f"{problem}; give at least {n_circuits}, or use spsa, which needs few circuits")
        return self.update_shots // n_circuits


def sampled_losses(
    runner: Runner, plan: ShotPlan, objective: Objective, rows: FloatArray, *, tag: str
) -> tuple[FloatArray, int]:
    """The losses (k,) at rows (k, n_params) as shots tell them, in one call of the runner, and the shots taken.

    `losses` says what their bias is.
    """
    shots = plan.each(len(rows) * len(objective.circuits))
    requests = [Request(c, shots=shots, theta=rows[:, : c.n_params]) for c in objective.circuits]
    replies = runner.run(requests, tag=tag)
    losses = [objective.value([result.probabilities for result in row], shots) for row in zip(*replies, strict=True)]
    return np.array(losses), sum(result.shots for results in replies for result in results)


def exact_losses(runner: Runner, objective: Objective, rows: FloatArray) -> FloatArray:
    """The losses (k,) of exact probabilities at rows (k, n_params); no shots are taken."""
    requests = [Request(c, shots=1, theta=rows[:, : c.n_params]) for c in objective.circuits]
    replies = runner.probabilities(requests)
    return np.array([objective.value(row) for row in zip(*replies, strict=True)])
