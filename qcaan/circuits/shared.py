"""Work shared among threads: parts of a batch, or the stages of one large state; the same arithmetic as in one thread.

Every stage of `qcaan.circuits.evolve` works on a range of rows or of columns, so threads take a part each, and meet
after each stage. What they add up for the gradient is kept apart and summed in the order of the parts.

Why threads of our own: the compiled passes release Python's lock, and need no runtime library, unlike numba's parallel
mode. Why they live as long as the process: to start two takes half a millisecond, a state of 14 qubits less.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache

import numpy as np

from qcaan.circuits.evolve import run_backward, run_forward
from qcaan.circuits.gates import FloatArray
from qcaan.circuits.kernels import Floats
from qcaan.circuits.spaces import Bound, Work
from qcaan.circuits.structure import Structure


@cache
def _threads() -> ThreadPoolExecutor:
    """One for all: it starts a thread when none is idle."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="qcaan")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # a child has none of its parent's threads


def together(work: Callable[[int], None], parts: int) -> None:
    """work(0), ..., work(parts - 1) at the same time, the first of them in this thread; returns when all have ended."""
    others: list[Future[None]] = []
    alone = not threading.main_thread().is_alive()  # then no thread is started any more
    try:
        for part in range(parts - 1, 0, -1):
            if alone:
                work(part)
            else:
                others.append(_threads().submit(work, part))
        work(0)
    finally:
        wait(others)
    for other in others:
        other.result()


def forward(
    structure: Structure, bound: Bound, states: Floats, works: Sequence[Work], values: FloatArray, out: FloatArray
) -> None:
    """`run_forward` on one row of values, on a thread for every workspace."""
    given, parts = (structure.tables, bound, states, values, out), len(works)
    run_forward(*given, works[0], 0, 1, 0, 1)
    for stage in range(1, structure.n_forward):

        def work(part: int, stage: int = stage) -> None:
            run_forward(*given, works[part], stage, stage + 1, part, parts)

        together(work, parts)


def backward(
    structure: Structure, bound: Bound, states: Floats, u: Floats, works: Sequence[Work],
    cotangent: FloatArray, sums: FloatArray, slopes: FloatArray, gradient: FloatArray,
) -> None:  # fmt: skip
    """`run_backward` on one row, on a thread for every workspace."""
    given, parts = (structure.tables, structure.quiet, bound, states, u, cotangent), len(works)
    own_sums, own_gradients = np.zeros((parts, *sums.shape)), np.zeros((parts, *gradient.shape))
    for stage in range(structure.n_backward - 1):

        def work(part: int, stage: int = stage) -> None:
            own = own_sums[part], slopes, own_gradients[part], works[part]
            run_backward(*given, *own, stage, stage + 1, part, parts)

        together(work, parts)
    sums += own_sums.sum(axis=0)
    gradient += own_gradients.sum(axis=0)
    last = structure.n_backward - 1
    run_backward(*given, sums, slopes, gradient, works[0], last, last + 1, 0, 1)
