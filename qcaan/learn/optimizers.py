"""Optimisers: a gradient estimate -> the next theta. Each holds its state as arrays and numbers, for checkpoints."""

from typing import Protocol

import numpy as np

from qcaan.circuits.gates import FloatArray

Arrays = dict[str, FloatArray]


class Optimizer(Protocol):
    """Steps theta against a gradient."""

    def step(self, theta: FloatArray, gradient: FloatArray, magnitude: float | None = None) -> FloatArray:
        """The next theta, float64 (n_params,).

        `magnitude` is the size of a single gradient estimate's components; by default it is taken from `gradient`.
        """

    @property
    def iteration(self) -> int:
        """Steps since the last cold start."""

    def begin(self) -> None:
        """A new target follows; the optimiser goes on from where it stands."""

    def state(self) -> Arrays:
        """All that `load_state` needs."""

    def load_state(self, arrays: Arrays) -> None:
        """Go on exactly where `state` was taken."""


class Adam:
    """Adam (Kingma and Ba, 2015), betas (0.9, 0.999), epsilon 1e-8.

    The moments outlive a target: the first steps of a fresh Adam have the full length in every direction, which would
    throw a warm-started theta away from where it was.
    """

    def __init__(self, n_params: int, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self._mean = np.zeros(n_params)
        self._square = np.zeros(n_params)
        self._count = 0

    @property
    def iteration(self) -> int:
        """Steps taken."""
        return self._count

    def begin(self) -> None:
        """Keeps everything."""

    def step(self, theta: FloatArray, gradient: FloatArray, magnitude: float | None = None) -> FloatArray:
        """One bias-corrected step."""
        self._count += 1
        self._mean = 0.9 * self._mean + 0.1 * gradient
        self._square = 0.999 * self._square + 0.001 * gradient * gradient
        mean, square = self._mean / (1 - 0.9**self._count), self._square / (1 - 0.999**self._count)
        return np.asarray(theta - self.learning_rate * mean / (np.sqrt(square) + 1e-8))

    def state(self) -> Arrays:
        """Moments and count."""
        return {"mean": self._mean, "square": self._square, "count": np.array([self._count], np.float64)}

    def load_state(self, arrays: Arrays) -> None:
        """The inverse of `state`."""
        self._mean, self._square = arrays["mean"].copy(), arrays["square"].copy()
        self._count = int(arrays["count"][0])


class SpallGains:
    """Steps of length a_k = a / (k + 1 + A)**0.602 along the gradient estimate (Spall 1998, see `gradients.Spsa`).

    a is such that the first steps move every angle by about `learning_rate` (Spall's rule for choosing a, from the
    first estimate's magnitude). A is the stability constant, a tenth of the updates a refit. k starts again with each
    target: gains that had decayed would no longer follow it.
    """

    def __init__(self, learning_rate: float, updates: int) -> None:
        self.learning_rate = learning_rate
        self._stability = 0.1 * updates
        self._gain = 0.0
        self._k = 0
        self._count = 0

    @property
    def iteration(self) -> int:
        """Steps since the gain was calibrated."""
        return self._count

    def begin(self) -> None:
        """Start the decay again."""
        self._k = 0

    def step(self, theta: FloatArray, gradient: FloatArray, magnitude: float | None = None) -> FloatArray:
        """One step; the first one sets the gain."""
        if not self._count:
            size = float(np.abs(gradient).mean()) if magnitude is None else magnitude
            self._gain = self.learning_rate * (1 + self._stability) ** 0.602 / max(size, 1e-12)
        gain = self._gain / (self._k + 1 + self._stability) ** 0.602
        self._k += 1
        self._count += 1
        return np.asarray(theta - gain * gradient)

    def state(self) -> Arrays:
        """Gain and counts."""
        return {"gains": np.array([self._gain, self._k, self._count], np.float64)}

    def load_state(self, arrays: Arrays) -> None:
        """The inverse of `state`."""
        gain, k, count = arrays["gains"].tolist()
        self._gain, self._k, self._count = gain, int(k), int(count)
