"""A restricted Boltzmann machine: the classical prior with correlations, as in the associative adversarial network.

p(v) is proportional to exp(a v) times the product over hidden units of (1 + exp(b + W' v)). It has two hidden units a
qubit: at 8 bits 152 parameters, against 148 of the 8-qubit ansatz. It is trained by persistent contrastive divergence
(Tieleman, 2008): the model's part of the gradient comes from chains that are carried from update to update.

Why draws of up to 16 bits come from the enumerated distribution: chains that mix badly would be a handicap of the
sampler, not of the model. Beyond that, draws are chains of their own.
"""

from typing import Any

import numpy as np

from qcaan.circuits.gates import FloatArray
from qcaan.execution.counts import BitArray
from qcaan.learn.distributions import MAX_BITS, check_bits, histogram, target_metrics, to_bits
from qcaan.learn.losses import ClippedNll
from qcaan.learn.optimizers import Adam
from qcaan.learn.prior import Arrays, Prior, PriorOptions, restored, stream

_CHAINS = 512
_GIBBS_STEPS = 10
_BURN_IN = 200


class Rbm(Prior):
    """A restricted Boltzmann machine over n_bits visible units; one update is one gradient of the whole target."""

    def __init__(self, options: PriorOptions) -> None:
        self.n_bits = options.n_bits
        self._n_hidden = 2 * options.n_qubits
        self._options = options
        self._theta, self._chains, self._optimizer = self._start()

    def refit(self, target_bits: BitArray, *, tag: str) -> dict[str, float]:
        """`updates` steps of Adam; `prior/loss` in nats, where the bits can be enumerated."""
        bits = check_bits(target_bits, self.n_bits)
        visible = bits.astype(np.float64)
        rng = stream(self._options.seed, tag)
        if not self._options.warm_start:
            self._theta, self._chains, self._optimizer = self._start()
        losses = []
        for _ in range(self._options.updates):
            if (q := self.distribution()) is not None:
                losses.append(ClippedNll().value(histogram(bits), q))
            self._chains = self._gibbs(self._chains, _GIBBS_STEPS, rng)
            gradient = self._statistics(self._chains) - self._statistics(visible)
            self._theta = self._optimizer.step(self._theta, gradient)
        self.losses = tuple(losses)
        latest = {"prior/loss": losses[-1]} if losses else {}
        return latest | {"prior/shots": 0.0} | target_metrics(bits, self.distribution())

    def sample(self, n: int, *, tag: str) -> BitArray:
        """Uint8 (n, n_bits)."""
        rng = stream(self._options.seed, tag)
        if (q := self.distribution()) is not None:
            return to_bits(rng.choice(len(q), n, p=q), self.n_bits)
        start = rng.integers(0, 2, (n, self.n_bits)).astype(np.float64)
        return self._gibbs(start, _BURN_IN, rng).astype(np.uint8)

    def distribution(self) -> FloatArray | None:
        """By enumeration."""
        if self.n_bits > MAX_BITS:
            return None
        visible = to_bits(np.arange(2**self.n_bits), self.n_bits).astype(np.float64)
        a, b, w = self._parts()
        log_weight = visible @ a + np.logaddexp(0, b + visible @ w).sum(axis=1)
        weight = np.exp(log_weight - log_weight.max())
        return np.asarray(weight / weight.sum())

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Parameters, chains, optimiser."""
        optimizer = {f"optimizer.{name}": array for name, array in self._optimizer.state().items()}
        return {"theta": self._theta, "chains": self._chains, **optimizer}, {}

    def load_state(self, arrays: Arrays, values: dict[str, Any]) -> None:
        """The inverse of `state`."""
        expected = self._optimizer.state()
        self._theta = restored(arrays, "theta", self._theta.shape)
        self._chains = restored(arrays, "chains", self._chains.shape)
        self._optimizer.load_state({k: restored(arrays, f"optimizer.{k}", v.shape) for k, v in expected.items()})

    def _start(self) -> tuple[FloatArray, FloatArray, Adam]:
        rng = stream(self._options.seed, "start")
        n_params = self.n_bits + self._n_hidden + self.n_bits * self._n_hidden
        theta = rng.normal(0, 0.1, n_params)
        chains = rng.integers(0, 2, (_CHAINS, self.n_bits)).astype(np.float64)
        return theta, chains, Adam(n_params, self._options.learning_rate or 0.02)

    def _parts(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Visible biases (n_bits,), hidden biases (n_hidden,), weights (n_bits, n_hidden)."""
        a, b, w = np.split(self._theta, [self.n_bits, self.n_bits + self._n_hidden])
        return a, b, w.reshape(self.n_bits, self._n_hidden)

    def _statistics(self, visible: FloatArray) -> FloatArray:
        """The mean of d log(weight) / d theta over rows of visible units."""
        _, b, w = self._parts()
        hidden = _sigmoid(b + visible @ w)
        return np.concatenate([visible.mean(axis=0), hidden.mean(axis=0), (visible.T @ hidden).ravel() / len(visible)])

    def _gibbs(self, visible: FloatArray, steps: int, rng: np.random.Generator) -> FloatArray:
        a, b, w = self._parts()
        for _ in range(steps):
            hidden = (rng.random((len(visible), self._n_hidden)) < _sigmoid(b + visible @ w)).astype(np.float64)
            visible = (rng.random(visible.shape) < _sigmoid(a + hidden @ w.T)).astype(np.float64)
        return visible


def _sigmoid(x: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))
