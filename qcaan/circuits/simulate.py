"""The exact engine: probabilities of all outcomes, their exact gradients, and seeded sampling.

Qubit 0 is the most significant bit of an outcome's index. All qubits are read, whatever `Circuit.measured` says.

Why compiled: an all-to-all layer of commuting gates is one pass over the state (`qcaan.circuits.structure`), so that
for a Born machine of 8 qubits a few microseconds of arithmetic remain, less than a handful of numpy calls would cost.
Compiling takes some twenty seconds, once on a machine (numba keeps the result on disk).
"""

import gc
import logging
import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
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
    from qcaan.circuits.spaces import Bound, Kept, Work

BATCH_THREADS_FROM = 2**17
"""Amplitudes of a batch from which its rows are shared among threads: on two cores, two rows of 16 qubits took two
thirds of the time, a hundred of 12 too; batches of 2**15 took as long as before."""
STATE_THREADS_FROM = 18
"""Qubits from which the passes over one state are: it took four fifths of the time, at 17 as long as before."""
SMALL = 4096
"""Values that one scalar product checks fastest; for more than twice as many, BLAS would start threads."""

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
        self._passes, self._spaces, self._shared = _compiled_passes()
        self._threads = _usable_threads()
        self._gates = parametric_gates(circuit) if isinstance(circuit, NativeProgram) else circuit.gates
        alignment = Alignment.of(circuit) if isinstance(circuit, NativeProgram) else None
        self._alignment = alignment if alignment is not None and alignment.followers.size else None

    @cached_property
    def _structure(self) -> Structure:
        """The structure as it is, for any values."""
        return find_structure(self.n_qubits, self._gates)

    @cached_property
    def _aligned_structure(self) -> Structure:
        """The structure for aligned values."""
        assert self._alignment is not None
        return find_structure(self.n_qubits, self._gates, self._alignment.aliases)

    def _fitting(self, batch: FloatArray, rows: int = 1) -> tuple[Structure, FloatArray | None]:
        """A structure for the batch, which is aligned if it can be.

        Then also the derivatives of its values by those before, if `rows` is their number of rows.
        """
        if self._alignment is None:
            return self._structure, None
        signs = np.empty((rows, self.n_values))
        return (self._aligned_structure, signs) if self._alignment.apply(batch, signs) else (self._structure, None)

    def probabilities(self, values: ArrayLike) -> FloatArray:
        """Probabilities of all outcomes, float64 (B, 2**n), of `values` (B, n_values), or of one vector (B = 1).

        Raises:
            CircuitError: the shape is wrong, or a value is not finite.
        """
        structure, _ = self._fitting(batch := self._checked(values))
        return self._forward(structure, None, batch)

    def linearize(self, values: ArrayLike) -> tuple[FloatArray, Callable[[FloatArray], FloatArray]]:
        """Probabilities (B, 2**n), and the function that maps a cotangent (B, 2**n) to its gradient (B, n_values).

        The adjoint method: exact, and at the cost of a few forward runs, whatever the number of values. It undoes the
        final states in place, so a second call of the function runs forwards again: two states are all that there is.

        Raises:
            CircuitError: the shape is wrong, or a value is not finite.
        """
        batch = self._checked(values)
        structure, signs = self._fitting(batch, len(batch))
        states = self._spaces.states(self.n_qubits, len(batch), self._real)
        kept = self._spaces.bindings(structure.tables, len(batch), self._real), states
        out = self._forward(structure, kept, batch)
        undone = False

        def vjp(cotangent: FloatArray) -> FloatArray:
            nonlocal undone
            weights = np.ascontiguousarray(cotangent, dtype=np.float64)
            if weights.size != out.size:
                raise CircuitError(f"the cotangent has shape {weights.shape}; these probabilities have {out.shape}")
            if undone:
                self._forward(structure, kept, batch)
            undone = True
            gradient = self._backward(structure, kept, weights.reshape(out.shape))
            return gradient if signs is None else gradient * signs

        return out, vjp

    def _checked(self, values: ArrayLike) -> FloatArray:
        """A private float64 (B, n_values): the caller may go on and change its own array before the gradient."""
        try:
            batch = np.array(values, dtype=np.float64, order="C", ndmin=2)
        except (TypeError, ValueError):
            return check_theta(values, self.n_values)
        small = batch.size < SMALL and batch.ndim == 2 and batch.shape[1] == self.n_values
        if small and math.isfinite(np.vdot(batch, batch)):
            return batch
        return check_theta(batch, self.n_values)

    def _forward(self, structure: Structure, kept: "Kept | None", batch: FloatArray) -> FloatArray:
        """Probabilities; all rows' bound angles and final states stay in `kept`."""
        out = np.empty((len(batch), 2**self.n_qubits))
        self._run("forward", structure, kept, batch, out)
        return out

    def _backward(self, structure: Structure, kept: "Kept", cotangent: FloatArray) -> FloatArray:
        gradient, (levels, n) = np.zeros((len(cotangent), self.n_values)), structure.words.shape
        sums = np.zeros((len(cotangent), levels, n, n + 3))
        slopes = np.zeros((len(cotangent), structure.offsets.size))
        self._run("backward", structure, kept, cotangent, sums, slopes, gradient)
        return gradient

    def _run(self, way: Way, structure: Structure, kept: "Kept | None", *arrays: FloatArray) -> None:
        """`run_forward` or `run_backward` on all rows of the arrays, on as many threads as pay."""
        rows = len(arrays[0])
        machine_code = way, self._real, structure.quiet is None
        if machine_code not in _warm:
            with _announced():
                self._run_rows(way, structure, kept, *arrays)
            _warm.add(machine_code)
        elif self.n_qubits >= STATE_THREADS_FROM and rows < self._threads:
            for row in range(rows):
                self._run_shared(
                    way, structure, _cut(kept, slice(row, row + 1)), *(array[row : row + 1] for array in arrays)
                )
        elif rows == 1 or self._threads == 1 or rows << self.n_qubits < BATCH_THREADS_FROM:
            self._run_rows(way, structure, kept, *arrays)
        else:
            parts = min(rows, self._threads)
            edges = np.linspace(0, rows, parts + 1).astype(int).tolist()

            def run(part: int) -> None:
                own = slice(edges[part], edges[part + 1])
                self._run_rows(way, structure, _cut(kept, own), *(array[own] for array in arrays))

            self._shared.together(run, parts)

    def _run_rows(self, way: Way, structure: Structure, kept: "Kept | None", *arrays: FloatArray) -> None:
        try:
            bound, work = space = structure.spaces.pop()
        except IndexError:  # all are in use, by other threads
            bound, work = space = self._bound(structure), self._work()
        if way == "forward":
            given = *(kept or (bound, self._state())), *arrays, work
            self._passes.run_forward(structure.tables, *given, 0, structure.n_forward, 0, 1)
        else:
            assert kept is not None
            given = *kept, self._state()[0], *arrays, work
            self._passes.run_backward(structure.tables, structure.quiet, *given, 0, structure.n_backward, 0, 1)
        structure.spaces.append(space)

    def _run_shared(self, way: Way, structure: Structure, kept: "Kept | None", *arrays: FloatArray) -> None:
        bound, states = kept or (self._bound(structure), self._state())
        works = [self._work() for _ in range(self._threads)]
        if way == "forward":
            self._shared.forward(structure, bound, states, works, *arrays)
        else:
            self._shared.backward(structure, bound, states, self._state()[0], works, *arrays)

    def _state(self) -> NDArray[Any]:
        state: NDArray[Any] = self._spaces.states(self.n_qubits, 1, self._real)
        return state

    def _bound(self, structure: Structure) -> "Bound":
        bound: Bound = self._spaces.bindings(structure.tables, 1, self._real)
        return bound

    def _work(self) -> "Work":
        work: Work = self._spaces.workspace(self.n_qubits, self._real)
        return work


def _usable_threads() -> int:
    """One a core that this process may use, at most OMP_NUM_THREADS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(cores, int(limit)) if limit.isdecimal() and int(limit) else cores


def _cut(kept: "Kept | None", part: slice) -> "Kept | None":
    """Some of the rows."""
    if kept is None:
        return None
    (halves, rotations, frames, full), states = kept
    return (halves[part], rotations[part], frames[part], full[part]), states[part]


def sample(probabilities: FloatArray, shots: int, seed: int) -> NDArray[np.int64]:
    """Multinomial counts, int64 (B, 2**n). Row r depends on its probabilities, `shots`, `seed` and r only."""
    rows = np.clip(np.atleast_2d(probabilities), 0, None)
    streams = (np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, r)))) for r in range(len(rows)))
    return np.stack([rng.multinomial(shots, row / row.sum()) for rng, row in zip(streams, rows, strict=True)])


def _compiled_passes() -> tuple[Any, Any, Any]:
    """The compiled passes. Imported late: numba takes a third of a second, and `import qcaan` must not."""
    from qcaan.circuits import evolve, shared, spaces

    return evolve, spaces, shared


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
    collecting = gc.isenabled()
    gc.disable()  # a compiler keeps what it allocates: searching it for garbage takes a tenth of its time
    try:
        yield
    finally:
        word.cancel()
        if collecting:
            gc.enable()


_warm: set[tuple[Way, np.dtype[Any], bool]] = set()
