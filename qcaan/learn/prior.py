"""What a prior is: a distribution over latent vectors that can be fitted to bits and sampled."""

import hashlib
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from qcaan.circuits.gates import FloatArray
from qcaan.config import PriorConfig
from qcaan.errors import DataError
from qcaan.execution.counts import BitArray
from qcaan.execution.runner import Runner

Arrays = dict[str, NDArray[Any]]


class PriorOptions(PriorConfig):
    """What a prior is made from: the section `prior` of a configuration, the run's seed, and its runner.

    A kind uses what applies to it, so that changing `kind` changes nothing else. A prior has n_qubits bits a basis: a
    kind without a circuit is as wide as the Born machine that it is compared with.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    seed: int = Field(0, ge=0)
    runner: Runner | None = Field(None, repr=False, description="needed by the kinds that run circuits")


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
