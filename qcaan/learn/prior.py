"""What a prior is: a distribution over latent vectors that can be fitted to bits and sampled."""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qcaan.circuits.gates import FloatArray
from qcaan.errors import ConfigError, DataError
from qcaan.execution.counts import BitArray
from qcaan.execution.runner import Runner
from qcaan.learn.ansatz import MeasuredBasis, Topology

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class PriorOptions:
    """The options of every kind of prior. A kind uses what applies to it, so that changing `kind` changes nothing else.

    A prior has n_qubits bits a basis: a kind without a circuit is as wide as the Born machine that it is compared with.

    Raises:
        ConfigError: a number is out of range.
    """

    n_qubits: int = 8
    n_layers: int = 7
    topology: Topology = "all"
    bases: tuple[MeasuredBasis, ...] = ("Z",)
    gradient: Literal["exact", "parameter_shift", "spsa"] = "exact"
    loss: Literal["nll", "mmd"] = "nll"
    shots: int = 10_000
    """Shots of one circuit: in gradients, and at most in one draw of samples."""
    updates: int = 30
    """Updates a refit."""
    learning_rate: float | None = None
    """Of Adam; None for what suits the gradient estimator."""
    warm_start: bool = True
    """A refit starts from the last one's result, not from the initial state."""
    seed: int = 0
    runner: Runner | None = field(default=None, repr=False)
    """Needed by the kinds that run circuits."""

    def __post_init__(self) -> None:
        lowest = {"n_qubits": 1, "n_layers": 1, "shots": 1, "updates": 0, "seed": 0}
        for name, least in lowest.items():
            if not getattr(self, name) >= least:
                raise ConfigError(f"prior.{name} is {getattr(self, name)}; it must be at least {least}")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise ConfigError(f"prior.learning_rate is {self.learning_rate}; it must be positive")
        if not self.bases:
            raise ConfigError("prior.bases is empty; name at least one basis, such as Z")

    @property
    def n_bits(self) -> int:
        """Bits of the prior."""
        return self.n_qubits * len(self.bases)


class Prior(ABC):
    """A distribution over latent vectors of `n_bits` entries; bits unless `discrete` is False.

    Every call names itself with a tag, unique within a run and the same when the call is repeated after a resume:
    random numbers derive from (seed, tag), and shots are stored under it. So a run that resumes draws what it would
    have drawn.
    """

    n_bits: int
    discrete: bool = True
    losses: tuple[float, ...] = ()
    """The latest refit's training losses, one an update, each at the state before that update."""

    @abstractmethod
    def refit(self, target_bits: BitArray, *, tag: str) -> dict[str, float]:
        """Fit to samples of the target, uint8 (N, n_bits).

        Returns the metrics `prior/loss` (of the last update), `prior/shots` (taken by this refit) and those of
        `distributions.target_metrics`; a kind leaves out what it cannot compute.

        Raises:
            DataError: the bits have the wrong shape or other values than 0 and 1.
        """

    @abstractmethod
    def sample(self, n: int, *, tag: str) -> NDArray[Any]:
        """`n` draws in random order: uint8 bits (n, n_bits), or float32 (n, n_bits) where not `discrete`."""

    def distribution(self) -> FloatArray | None:
        """Float64 (2**n_bits,) where it is known exactly and n_bits is at most `distributions.MAX_BITS`, else None."""
        return None

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Arrays (for safetensors) and plain JSON values from which `load_state` goes on bit for bit."""
        return {}, {}

    def load_state(self, arrays: Arrays, values: dict[str, Any]) -> None:
        """The inverse of `state`.

        Raises:
            DataError: the state is that of another kind or size of prior.
        """
        if arrays or values:
            raise DataError(f"{type(self).__name__} keeps no state, the checkpoint holds one: was prior.kind changed?")


def stream(seed: int, tag: str) -> np.random.Generator:
    """The random stream of one call: independent for different seeds and tags, the same for the same ones."""
    return np.random.default_rng([seed, *hashlib.sha256(tag.encode()).digest()])


def restored(arrays: Arrays, name: str, shape: tuple[int, ...]) -> FloatArray:
    """A copy of the array `name` of a checkpoint as float64.

    Raises:
        DataError: it is missing or has another shape.
    """
    found = arrays[name].shape if name in arrays else "nothing"
    if found != shape:
        raise DataError(f"the checkpoint's prior has {found} as '{name}', not {shape}: were its options changed?")
    return np.array(arrays[name], dtype=np.float64)
