"""The quantum-circuit Born machine: a prior whose bits are measured from one circuit, in one basis or several.

Each basis is a separate preparation of the same state and gives n_qubits bits. The prior over all bits is therefore the
product of one distribution a basis: its loss is the sum of one term a basis, and it holds no correlation between them.

Why the optimizer's memory outlives a target under warm start: the first steps of a fresh Adam have their full length in
every direction, which would throw theta away from where the last refit had brought it.

Why a draw measures at most `shots` shots a basis: a device charges for each. A larger draw uses every shot again, in
a new random order, and pairs the bases' shots anew; within each round of `shots` rows no shot is repeated.
"""

from typing import Any

import numpy as np

from qcaan.circuits.gates import FloatArray
from qcaan.errors import ConfigError
from qcaan.execution.counts import BitArray
from qcaan.execution.runner import Request
from qcaan.learn.ansatz import initial_theta, ion_trap_ansatz, measured_circuits
from qcaan.learn.distributions import MAX_BITS, check_bits, histogram, in_random_order, joint, target_metrics
from qcaan.learn.losses import open_loss
from qcaan.learn.objective import Objective
from qcaan.learn.optimizers import open_optimizer
from qcaan.learn.prior import Arrays, Prior, PriorOptions, restored, stream


class BornMachine(Prior):
    """q(s_1 s_2 ...) = product over the bases of |<s_i| R_i |psi(theta)>|^2, measured through a runner.

    `theta` is float64 (n_params,), radians: the ansatz's angles, then those of the trained bases. `circuits` are one a
    basis. `entangle=False` leaves out the entangling gates.

    Raises:
        ConfigError: an option that the ansatz, the optimizer or the backend cannot use; no runner.
    """

    def __init__(self, options: PriorOptions, *, entangle: bool = True) -> None:
        if options.runner is None:
            raise ConfigError("a Born machine runs circuits: give it a runner")
        ansatz = ion_trap_ansatz(options.n_qubits, options.n_layers, options.topology, entangle)
        self.circuits = measured_circuits(ansatz, options.bases)
        self.n_bits = options.n_bits
        self._options = options
        self._runner = options.runner
        self._loss = open_loss(options.loss)
        self._optimizer = open_optimizer(options, options.runner, self.circuits, options.seed)
        self.theta = initial_theta(self.circuits, options.seed)

    def refit(self, target_bits: BitArray, *, tag: str) -> dict[str, float]:
        """`updates` updates towards the target. `prior/loss` is the sum over the bases, in nats for the likelihood."""
        bits = check_bits(target_bits, self.n_bits)
        targets = tuple(histogram(part) for part in np.split(bits, len(self.circuits), axis=1))
        objective = Objective(self.circuits, targets, self._loss)
        if not self._options.warm_start:
            self.theta = initial_theta(self.circuits, self._options.seed)
            self._optimizer.reset()
        found = self._optimizer.minimise(objective, self.theta, updates=self._options.updates, tag=tag)
        self.theta, self.losses = found.theta, found.losses
        latest = {"prior/loss": found.losses[-1]} if found.losses else {}
        return (
            latest | {"prior/shots": float(found.shots)} | target_metrics(bits, self.distribution(), len(self.circuits))
        )

    def sample(self, n: int, *, tag: str) -> BitArray:
        """Measured bits, uint8 (n, n_bits): n_qubits columns a basis, in the order of the bases."""
        rng = stream(self._options.seed, tag)
        replies = self._runner.run(self._requests(min(n, self._options.shots)), tag=tag)
        parts = [results[0].bits() for results in replies]
        return np.concatenate([part[in_random_order(len(part), n, rng)] for part in parts], axis=1)

    def distribution(self) -> FloatArray | None:
        """What the backend's exact probabilities say, joined over the bases; None on a backend without them."""
        backend = self._runner.backend
        if self.n_bits > MAX_BITS or backend is None or not backend.target.exact:
            return None
        return joint([rows[0] for rows in self._runner.probabilities(self._requests(1))])

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Theta and the optimizer's memory."""
        memory = {f"optimizer.{name}": array for name, array in self._optimizer.state().items()}
        return {"theta": self.theta, **memory}, {
            "optimizer": self._options.optimizer,
            "gradient": self._options.gradient,
        }

    def load_state(self, arrays: Arrays, values: dict[str, Any]) -> None:
        """The inverse of `state`.

        A checkpoint made with another optimizer or gradient is accepted, so that a run can go on on another backend;
        the optimizer, whose memory is of the other's estimates, then starts afresh.
        """
        self.theta = restored(arrays, "theta", self.theta.shape)
        self._optimizer.reset()
        if values == self.state()[1]:
            expected = self._optimizer.state()
            self._optimizer.load_state({k: restored(arrays, f"optimizer.{k}", v.shape) for k, v in expected.items()})

    def _requests(self, shots: int) -> list[Request]:
        return [Request(c, shots=shots, theta=self.theta[None, : c.n_params]) for c in self.circuits]
