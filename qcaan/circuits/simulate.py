"""The exact engine: probabilities of all outcomes, their exact gradients, and seeded sampling.

Qubit 0 is the most significant bit of an outcome's index. All qubits are read, whatever `Circuit.measured` says.

Why compiled: an all-to-all layer of commuting gates is one pass over the state (`qcaan.circuits.structure`), so that
for a Born machine of 8 qubits a few microseconds of arithmetic remain, less than a handful of numpy calls would cost.
Compiling takes ten to thirty seconds, once on a machine (numba keeps the result on disk).

Why threads of our own: the compiled passes release Python's lock, and a pool that lives as long as one call survives
forks and needs no runtime library, unlike numba's parallel mode.
"""

import logging
import math
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from qcaan.circuits.alignment import Alignment, parametric_gates
from qcaan.circuits.circuit import Circuit, check_theta
from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import NativeProgram
from qcaan.circuits.structure import Structure, find_structure
from qcaan.errors import CircuitError

if TYPE_CHECKING:
    from types import ModuleType

BATCH_THREADS_FROM = 14
STATE_THREADS_FROM = 17
"""Numbers of qubits from which rows of a batch, and passes over one state, are shared among threads. Estimates:
a pass must outlast the tens of microseconds that handing it to a thread costs."""

_log = logging.getLogger(__name__)
Way = Literal["forward", "backward"]


class Engine:
    """Simulates one circuit structure for many parameter vectors.

    `n_values` is the length of a parameter vector: `n_params` of a `Circuit` (theta), `n_angles` of a `NativeProgram`.
    `dtype` is the precision of the state, complex128 or complex64; results are float64. An engine has no state of its
    own: threads may share it.

    Raises:
        CircuitError: a `dtype` that is not complex128 or complex64.
    """

    def __init__(self, circuit: Circuit | NativeProgram, *, dtype: DTypeLike = np.complex128) -> None:
        if np.dtype(dtype) not in (np.complex128, np.complex64):
            raise CircuitError(f"dtype={np.dtype(dtype)}: use complex128 or complex64")
        self.n_qubits = circuit.n_qubits
        self.n_values = circuit.n_angles if isinstance(circuit, NativeProgram) else circuit.n_params
        self._real = np.dtype(np.float64 if np.dtype(dtype) == np.complex128 else np.float32)
        self._passes = _compiled_passes()
        self._shape = self._passes.state_shape(self.n_qubits)
        self._high: Literal[1] | None = 1 if self._shape[0] > 1 else None
        self._threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._gates = parametric_gates(circuit) if isinstance(circuit, NativeProgram) else circuit.gates
        self._alignment = Alignment.of(circuit) if isinstance(circuit, NativeProgram) and circuit.n_two_qubit else None

    @cached_property
    def _structure(self) -> Structure:
        """The structure as it is, for any values."""
        return find_structure(self.n_qubits, self._gates)

    @cached_property
    def _aligned_structure(self) -> Structure:
        """The structure for aligned values."""
        assert self._alignment is not None
        return find_structure(self.n_qubits, self._gates, self._alignment.aliases)

    def _fitting(self, batch: FloatArray) -> tuple[Structure, FloatArray, FloatArray | None]:
        """A structure, its values, and their derivatives by those of the batch; None if they are the same values."""
        aligned = None if self._alignment is None else self._alignment.apply(batch)
        return (self._structure, batch, None) if aligned is None else (self._aligned_structure, *aligned)

    def probabilities(self, values: ArrayLike) -> FloatArray:
        """Probabilities of all outcomes, float64 (B, 2**n), of `values` (B, n_values), or of one vector (B = 1).

        Raises:
            CircuitError: the shape is wrong, or a value is not finite.
        """
        structure, batch, _ = self._fitting(self._checked(values))
        return self._forward(structure, batch, None)

    def linearize(self, values: ArrayLike) -> tuple[FloatArray, Callable[[FloatArray], FloatArray]]:
        """Probabilities (B, 2**n), and the function that maps a cotangent (B, 2**n) to its gradient (B, n_values).

        The adjoint method: exact, and at the cost of a few forward runs, whatever the number of values. It undoes the
        final states in place, so a second call of the function runs forwards again: two states are all that there is.

        Raises:
            CircuitError: the shape is wrong, or a value is not finite.
        """
        structure, batch, signs = self._fitting(self._checked(values))
        states = np.empty((len(batch), *self._shape), dtype=self._real)
        out = self._forward(structure, batch, states)
        undone = False

        def vjp(cotangent: FloatArray) -> FloatArray:
            nonlocal undone
            weights = np.ascontiguousarray(cotangent, dtype=np.float64)
            if weights.size != out.size:
                raise CircuitError(f"the cotangent has shape {weights.shape}; these probabilities have {out.shape}")
            gradient = np.zeros((len(batch), self.n_values))
            if undone:
                self._forward(structure, batch, states)
            undone = True
            self._run("backward", structure, batch, states, weights.reshape(out.shape), gradient)
            return gradient if signs is None else gradient * signs

        return out, vjp

    def _checked(self, values: ArrayLike) -> FloatArray:
        """A private float64 (B, n_values): the caller may go on and change its own array before the gradient."""
        try:
            batch = np.array(values, dtype=np.float64, order="C", ndmin=2)
        except (TypeError, ValueError):
            return check_theta(values, self.n_values)
        if batch.ndim == 2 and batch.shape[1] == self.n_values and math.isfinite(np.vdot(batch, batch)):
            return batch
        return check_theta(batch, self.n_values)

    def _forward(self, structure: Structure, batch: FloatArray, states: NDArray[Any] | None) -> FloatArray:
        out = np.empty((len(batch), 2**self.n_qubits))
        self._run("forward", structure, batch, states, out)
        return out

    def _run(
        self, way: Way, structure: Structure, batch: FloatArray, states: NDArray[Any] | None, *arrays: FloatArray
    ) -> None:
        """`run_forward` or `run_backward` on all rows of the arrays, on as many threads as pay."""
        if (kind := (way, self._real, self._high, structure.quiet is None)) not in _warm:
            with _announced():
                _warm.add(kind)
                self._run(way, structure, batch, states, *arrays)
        elif self.n_qubits < BATCH_THREADS_FROM or self._threads == 1:
            self._run_rows(way, structure, batch, states, *arrays)
        elif self.n_qubits >= STATE_THREADS_FROM and len(batch) < self._threads:
            self._run_shared(way, structure, batch, states, *arrays)
        else:
            edges = np.linspace(0, len(batch), self._threads + 1).astype(int).tolist()

            def run(part: slice) -> None:
                rows = (array[part] for array in arrays)
                self._run_rows(way, structure, batch[part], None if states is None else states[part], *rows)

            with ThreadPoolExecutor(self._threads) as pool:
                list(pool.map(run, [slice(a, b) for a, b in pairwise(edges)]))

    def _run_rows(
        self, way: Way, structure: Structure, batch: FloatArray, states: NDArray[Any] | None, *arrays: FloatArray
    ) -> None:
        if way == "forward":
            if states is None:
                states = self._work()[None]
            self._passes.run_forward(structure.tables, batch, states, *arrays, self._high)
        else:
            work = self._work()
            self._passes.run_backward(structure.tables, batch, states, work, *arrays, self._high, structure.quiet)

    def _run_shared(
        self, way: Way, structure: Structure, batch: FloatArray, states: NDArray[Any] | None, *arrays: FloatArray
    ) -> None:
        from qcaan.circuits.shared import Team

        team = Team(self._threads, structure)
        work = self._work() if states is None or way == "backward" else states[0]
        for b, values in enumerate(batch):
            state = work if states is None else states[b]
            rows = [array[b] for array in arrays]
            if way == "forward":
                team.forward(values, state, *rows)
            else:
                team.backward(values, state, work, *rows)

    def _work(self) -> NDArray[Any]:
        """Space for one state."""
        return np.empty(self._shape, dtype=self._real)


def sample(probabilities: FloatArray, shots: int, seed: int) -> NDArray[np.int64]:
    """Multinomial counts, int64 (B, 2**n). Row r depends on its probabilities, `shots`, `seed` and r only."""
    rows = np.clip(np.atleast_2d(probabilities), 0, None)
    streams = (np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, r)))) for r in range(len(rows)))
    return np.stack([rng.multinomial(shots, row / row.sum()) for rng, row in zip(streams, rows, strict=True)])


def _compiled_passes() -> "ModuleType":
    """The compiled passes. Imported late: numba takes a third of a second, and `import qcaan` must not."""
    from qcaan.circuits import evolve

    return evolve


@cache
def _say_why() -> None:
    """Once a process: several passes may have to be compiled."""
    _log.warning("compiling the exact engine for this machine, once: up to half a minute")


@contextmanager
def _announced() -> Iterator[None]:
    """Say why a first call takes long, if it does: machine code that is not on disk yet is being compiled."""
    word = threading.Timer(1.5, _say_why)
    word.daemon = True
    word.start()
    try:
        yield
    finally:
        word.cancel()


_warm: set[tuple[Way, np.dtype[Any], int | None, bool]] = set()
