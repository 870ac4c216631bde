"""One large state, its stages shared among threads; the same arithmetic as in one thread.

Every stage of `qcaan.circuits.evolve` works on a range of rows or of columns, so threads take a part each, and meet
after each stage. What they add up for the gradient is kept apart and summed in the order of the parts. A pool lives as
long as one call, so that a fork never meets it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from qcaan.circuits.evolve import run_backward, run_forward
from qcaan.circuits.gates import FloatArray
from qcaan.circuits.kernels import Floats
from qcaan.circuits.spaces import Bound, Work
from qcaan.circuits.structure import Structure


def forward(
    structure: Structure, bound: Bound, states: Floats, works: Sequence[Work], values: FloatArray, out: FloatArray
) -> None:
    """`run_forward` on one row of values, on a thread for every workspace."""
    given, parts = (structure.tables, bound, states, values, out), len(works)
    run_forward(*given, works[0], 0, 1, 0, 1)
    with ThreadPoolExecutor(parts) as pool:
        for stage in range(1, structure.n_forward):

            def work(part: int, stage: int = stage) -> None:
                run_forward(*given, works[part], stage, stage + 1, part, parts)

            list(pool.map(work, range(parts)))


def backward(
    structure: Structure, bound: Bound, states: Floats, u: Floats, works: Sequence[Work],
    cotangent: FloatArray, sums: FloatArray, slopes: FloatArray, gradient: FloatArray,
) -> None:  # fmt: skip
    """`run_backward` on one row, on a thread for every workspace."""
    given, parts = (structure.tables, structure.quiet, bound, states, u, cotangent), len(works)
    own_sums, own_gradients = np.zeros((parts, *sums.shape)), np.zeros((parts, *gradient.shape))
    with ThreadPoolExecutor(parts) as pool:
        for stage in range(structure.n_backward - 1):

            def work(part: int, stage: int = stage) -> None:
                own = own_sums[part], slopes, own_gradients[part], works[part]
                run_backward(*given, *own, stage, stage + 1, part, parts)

            list(pool.map(work, range(parts)))
    sums += own_sums.sum(axis=0)
    gradient += own_gradients.sum(axis=0)
    last = structure.n_backward - 1
    run_backward(*given, sums, slopes, gradient, works[0], last, last + 1, 0, 1)
