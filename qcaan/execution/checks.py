"""Whether a decoded reply is what was asked for."""

from collections.abc import Sequence

import numpy as np

from qcaan.circuits.native import NativeCircuit
from qcaan.errors import IntegrityError
from qcaan.execution.counts import Counts, Failed, IntArray


def checked(items: Sequence[Counts | Failed], batch: Sequence[NativeCircuit], shots: int) -> list[Counts | Failed]:
    """The decoded items, if they are what was asked for.

    Raises:
        IntegrityError: the number of results, of qubits or of shots is another.
    """
    if len(items) != len(batch):
        raise IntegrityError(f"the reply has {len(items)} results for {len(batch)} circuits")
    good = [(place, item) for place, item in enumerate(items) if isinstance(item, Counts)]
    for place, item in good:
        if item.n_qubits != batch[place].n_qubits:
            raise IntegrityError(f"result {place} has {item.n_qubits} qubits, its circuit {batch[place].n_qubits}")
    totals = _totals([item.counts for _, item in good])
    for wrong in np.flatnonzero(totals != shots)[:1].tolist():
        raise IntegrityError(f"result {good[wrong][0]} has {totals[wrong]} shots, {shots} were asked for")
    return list(items)


def _totals(many: Sequence[IntArray]) -> IntArray:
    """The sum of each array, int64 (k,), added up all at once."""
    sizes = np.array([counts.size for counts in many], np.int64)
    totals = np.zeros(sizes.size, np.int64)
    if sizes.any():
        filled = sizes > 0  # for an empty part, reduceat gives what comes next
        totals[filled] = np.add.reduceat(np.concatenate(many), (np.cumsum(sizes) - sizes)[filled])
    return totals
