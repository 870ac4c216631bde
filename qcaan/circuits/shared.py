"""One large state, its passes shared among threads; the same arithmetic as `run_forward` and `run_backward`.

Every pass of `qcaan.circuits.evolve` works on a range of rows or of columns, so threads take a part each, and meet
after each pass. What they add up for the gradient is kept apart and summed in the order of the parts.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np

from qcaan.circuits import evolve
from qcaan.circuits.binding import bind
from qcaan.circuits.gates import FloatArray
from qcaan.circuits.kernels import PAD, Floats, entry, product_state
from qcaan.circuits.structure import Structure

Pass = Callable[..., None]


def _callable(function: Callable[..., Any]) -> Callable[..., Any]:
    """The pass with a wrapper for Python; compiled only if it is used."""
    python: Callable[..., Any] = cast(Any, function).py_func
    return entry(python)


_bind, _product_state = _callable(bind), _callable(product_state)
_forward_rows, _forward_columns = _callable(evolve.forward_rows), _callable(evolve.forward_columns)
_densities, _bras = _callable(evolve.densities), _callable(evolve.bras)
_backward_columns, _backward_rows = _callable(evolve.backward_columns), _callable(evolve.backward_rows)
_backward_flips, _backward_diagonal = _callable(evolve.backward_flips), _callable(evolve.backward_diagonal)
_quiet_rows, _gather = _callable(evolve.quiet_rows), _callable(evolve.gather)


class Team:
    """Threads that work on one state. A pool lives as long as one call, so that a fork never meets it."""

    def __init__(self, n_threads: int, structure: Structure) -> None:
        self.n_threads = n_threads
        self.structure = structure

    def forward(self, values: FloatArray, v: Floats, out: FloatArray) -> None:
        """Final state into `v`, probabilities into `out` (2**n_qubits,)."""
        tables = self.structure.tables
        bound = _bind(tables, values, v)
        _product_state(bound[2], v)
        rows, columns = v.shape[0], v.shape[1] - PAD
        with ThreadPoolExecutor(self.n_threads) as pool:
            for level in range(1, len(tables[5]) + 1):
                self._share(pool, rows, _forward_rows, tables, bound, level, v)
                self._share(pool, columns, _forward_columns, tables, bound, level, v)
            self._share(pool, rows, _densities, v, out)

    def backward(self, values: FloatArray, v: Floats, u: Floats, cotangent: FloatArray, gradient: FloatArray) -> None:
        """Gradient (n_values,) of sum(cotangent * probabilities), from the final state `v`, which is undone in place.

        `u` is work space of the same shape.
        """
        tables, quiet = self.structure.tables, self.structure.quiet
        n_layers, n = tables[5].shape
        bound = _bind(tables, values, v)
        turns, flips, singles = np.zeros((3, self.n_threads, n_layers + 1, n))
        doubles, gradients = np.zeros((self.n_threads, n_layers + 1, n, n)), np.zeros((self.n_threads, gradient.size))
        rows, columns = v.shape[0], v.shape[1] - PAD
        with ThreadPoolExecutor(self.n_threads) as pool:
            self._share(pool, rows, _bras, v, cotangent, u)
            for level in range(n_layers, 0, -1):
                here = (tables, bound, level, v, u)
                self._share(pool, columns, _backward_columns, *here, sums=[turns[:, level]])
                self._share(pool, rows, _backward_rows, *here, sums=[turns[:, level]])
                self._share(pool, rows, _backward_flips, *here, sums=[flips[:, level]])
                self._share(pool, rows, _backward_diagonal, *here, sums=[singles[:, level], doubles[:, level]])
                if quiet is not None:
                    self._share(pool, rows, _quiet_rows, tables, bound, quiet, level, v, u, sums=[gradients])
        totals = (sums.sum(axis=0) for sums in (turns, flips, singles, doubles))
        gradient += gradients.sum(axis=0)
        _gather(tables, bound, v, u, *totals, gradient)

    def _share(
        self, pool: ThreadPoolExecutor, length: int, run: Pass, *arguments: object, sums: Sequence[FloatArray] = ()
    ) -> None:
        """Run `run` over the parts of range(length), each adding to its own entry of `sums`, and wait for all."""
        edges = np.linspace(0, length, self.n_threads + 1).astype(int).tolist()

        def work(thread: int) -> None:
            run(*arguments, edges[thread], edges[thread + 1], *(total[thread] for total in sums))

        list(pool.map(work, range(self.n_threads)))
