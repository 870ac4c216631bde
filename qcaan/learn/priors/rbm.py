"""A restricted Boltzmann machine: the classical prior with correlations, as in the associative adversarial network.

p(v) is proportional to exp(a v) times the product over hidden units of (1 + exp(b + W' v)). It has two hidden units a
qubit: at 8 bits 152 parameters, against 148 of the 8-qubit ansatz. It is trained by maximum likelihood, with Adam: up
to 16 bits its distribution is enumerated, and its gradient and its draws are exact, as are those of a simulated Born
machine. Beyond that the model's part of the gradient comes from chains that start at rows of the target and are carried
from update to update (persistent contrastive divergence, Tieleman, ICML 2008), and draws are chains of their own.

Why it has a number of updates and a rate of its own, whatever those of the Born machine: they cost no shots. Why every
refit starts the visible biases at the log-odds of the target, and Adam without memory: the first target, that of an
untrained discriminator, may be nearly constant, and the biases and step lengths that it leaves hold the machine there
for hundreds of updates. KL in bits on 8192 samples of 8 bits whose marginals are at 0.26, after such a target:

| | 100 updates | 300 updates |
|---|---|---|
| as the last refit left it | 0.27 | 0.26 |
| biases at the log-odds, Adam without memory | 0.021 | 0.016 |
"""

from typing import Any

import numpy as np
from scipy.special import expit

from qcaan.circuits.gates import FloatArray
from qcaan.execution.counts import BitArray
from qcaan.learn.distributions import MAX_BITS, check_bits, histogram, target_metrics, to_bits
from qcaan.learn.losses import ClippedNll
from qcaan.learn.optimizers import Adam
from qcaan.learn.prior import Arrays, Prior, PriorOptions, restored, stream

LEARNING_RATE = 0.05
UPDATES = 200
_CHAINS = 512
_GIBBS_STEPS = 10
_BURN_IN = 200


class Rbm(Prior):
    """A restricted Boltzmann machine over n_bits visible units; one update is one gradient of the whole target."""

    def __init__(self, options: PriorOptions) -> None:
        self.n_bits = options.n_bits
        self._n_hidden = 2 * options.n_qubits
        self._options = options
        self._theta = self._start()

    def refit(self, target_bits: BitArray, *, tag: str) -> dict[str, float]:
        """`UPDATES` steps of Adam at `LEARNING_RATE`, whatever `updates` and `learning_rate` of the options are.

        It tells `prior/loss`, in nats, where the bits can be enumerated.
        """
        bits = check_bits(target_bits, self.n_bits)
        visible = bits.astype(np.float64)
        rng = stream(self._options.seed, tag)
        if not self._options.warm_start:
            self._theta = self._start()
        ones = bits.sum(axis=0)
        self._theta[: self.n_bits] = np.log((ones + 1) / (len(bits) - ones + 1))
        optimizer = Adam(len(self._theta), LEARNING_RATE)
        chains = visible[rng.integers(len(visible), size=_CHAINS)]
        target, every, losses = None, None, []
        if self.n_bits <= MAX_BITS:
            target, every = histogram(bits), self._every()
        for _ in range(UPDATES):
            if target is not None and every is not None:
                q = self._probabilities(every)
                losses.append(ClippedNll().value(target, q))
                gradient = self._statistics(every, q - target)
            else:
                chains = self._gibbs(chains, _GIBBS_STEPS, rng)
                gradient = self._statistics(chains) - self._statistics(visible)
            self._theta = optimizer.step(self._theta, gradient)
        self.losses = tuple(losses)
        latest = {"prior/loss": losses[-1]} if losses else {}
        return latest | {"prior/shots": 0.0} | target_metrics(bits, self.distribution(), len(self._options.bases))

    def sample(self, n: int, *, tag: str) -> BitArray:
        """Uint8 (n, n_bits)."""
        rng = stream(self._options.seed, tag)
        if (q := self.distribution()) is not None:
            return to_bits(rng.choice(len(q), n, p=q), self.n_bits)
        start = rng.integers(0, 2, (n, self.n_bits)).astype(np.float64)
        return self._gibbs(start, _BURN_IN, rng).astype(np.uint8)

    def distribution(self) -> FloatArray | None:
        """By enumeration."""
        return self._probabilities(self._every()) if self.n_bits <= MAX_BITS else None

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """The parameters."""
        return {"theta": self._theta}, {}

    def load_state(self, arrays: Arrays, values: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self._theta = restored(arrays, "theta", self._theta.shape)

    def _start(self) -> FloatArray:
        n_params = self.n_bits + self._n_hidden + self.n_bits * self._n_hidden
        return stream(self._options.seed, "start").normal(0, 0.1, n_params)

    def _every(self) -> FloatArray:
        """Every row of visible units, in the order of a distribution: (2**n_bits, n_bits)."""
        return to_bits(np.arange(2**self.n_bits), self.n_bits).astype(np.float64)

    def _probabilities(self, every: FloatArray) -> FloatArray:
        a, b, w = self._parts()
        log_weight = every @ a + np.logaddexp(0, b + every @ w).sum(axis=1)
        weight = np.exp(log_weight - log_weight.max())
        return np.asarray(weight / weight.sum())

    def _parts(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Visible biases (n_bits,), hidden biases (n_hidden,), weights (n_bits, n_hidden)."""
        a, b, w = np.split(self._theta, [self.n_bits, self.n_bits + self._n_hidden])
        return a, b, w.reshape(self.n_bits, self._n_hidden)

    def _statistics(self, visible: FloatArray, weights: FloatArray | None = None) -> FloatArray:
        """The sum of d log(weight) / d theta over rows of visible units with `weights`, by default their mean."""
        _, b, w = self._parts()
        hidden = expit(b + visible @ w)
        share = np.full(len(visible), 1 / len(visible)) if weights is None else weights
        return np.concatenate([share @ visible, share @ hidden, ((visible * share[:, None]).T @ hidden).ravel()])

    def _gibbs(self, visible: FloatArray, steps: int, rng: np.random.Generator) -> FloatArray:
        a, b, w = self._parts()
        for _ in range(steps):
            hidden = (rng.random((len(visible), self._n_hidden)) < expit(b + visible @ w)).astype(np.float64)
            visible = (rng.random(visible.shape) < expit(a + hidden @ w.T)).astype(np.float64)
        return visible
