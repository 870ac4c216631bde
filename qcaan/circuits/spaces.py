"""The arrays that the compiled passes work on.

Why they allocate none themselves: it would take a second longer to compile them.
"""

from typing import Any

import numpy as np

from qcaan.circuits.kernels import PAD, ROW_BITS, Floats
from qcaan.circuits.structure import Tables

Real = np.dtype[Any]
"""float64 or float32: the precision of a state."""
Bound = tuple[Floats, Floats, Floats, Floats]
"""Angles of B rows of values in the form that the passes need, in the precision of the state where they touch it.

- halves (B, 3, n_expressions), float64: cosine and sine of half of every expression, and that half;
- rotations (B, 2, n_layers + 1, n, 2): cos and sin, and the inverse rotations; at level 0 instead the amplitude of 0,
  and that of 1, of the one-bit start states;
- frames (B, n_layers + 1, n, 6), float64: the phase of a bit's 0 while all lower bits are 0; of words longer than one,
  the phases exp(i angle) of the Z before the Y, and of the one behind it;
- full (B, n_layers + 1, m, m, 2): full phases of pairs.
"""
Work = tuple[Floats, Floats, Floats, Floats, Floats]
"""Scratch: rows (5, 2**m), the starts (m + 1, 2), signed sums (m,) and (m, m) of a row, slopes (n,) of a bit."""
Kept = tuple[Bound, Floats]
"""What a gradient needs of the forward run: bound angles and final states of all rows."""


def states(n: int, rows: int, real: Real) -> Floats:
    """Space for `rows` states of n qubits."""
    n = max(n, 3)
    return np.empty((rows, 1 << max(0, n - ROW_BITS), (2 << min(n, ROW_BITS)) + PAD), real)


def bindings(tables: Tables, rows: int, real: Real) -> Bound:
    """Space for what `bind` writes, of `rows` rows of values, for states of the precision `real`."""
    levels, n = tables[6].shape
    m = min(n, ROW_BITS)
    return (
        np.empty((rows, 3, tables[3].size)),
        np.empty((rows, 2, levels, n, 2), real),
        np.empty((rows, levels, n, 6)),
        np.empty((rows, levels, m, m, 2), real),
    )


def workspace(n: int, real: Real) -> Work:
    """Scratch of one thread, for n qubits."""
    n = max(n, 3)
    m = min(n, ROW_BITS)
    small = np.empty((m + 1, 2), real), np.empty(m, real), np.empty((m, m), real), np.empty(n)
    return np.empty((5, 1 << m), real), *small
