import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qcaan.execution.counts import Counts
from qcaan.execution.result import logical, logical_probabilities, merged


@st.composite
def readings(draw):
    n = draw(st.integers(1, 5))
    rows = draw(st.dictionaries(st.integers(0, 2**n - 1), st.integers(1, 50), min_size=1))
    keys = sorted(rows)
    measured = draw(st.permutations(range(n)))[: draw(st.integers(1, n))]
    return Counts(n, keys, [rows[k] for k in keys]), draw(st.integers(0, 2**n - 1)), measured


@given(readings())
def test_counts_in_the_circuits_terms(reading):
    counts, flips, measured = reading
    expected = {}
    mask = f"{flips:0{counts.n_qubits}b}"
    for bits, count in counts.to_dict().items():
        true = "".join(str(int(b) ^ int(f)) for b, f in zip(bits, mask, strict=True))
        kept = "".join(true[q] for q in measured)
        expected[kept] = expected.get(kept, 0) + count
    assert logical(counts, flips, measured).to_dict() == dict(sorted(expected.items()))


@given(readings())
def test_probabilities_agree_with_counts(reading):
    counts, flips, measured = reading
    p = logical_probabilities(counts.frequencies(), flips, measured)
    assert np.allclose(p, logical(counts, flips, measured).frequencies())


def test_nothing_to_undo_is_free():
    counts = Counts(2, [0, 3], [1, 1])
    assert logical(counts, 0, (0, 1)) is counts


def test_merged():
    assert merged([Counts(1, [0], [2]), Counts(1, [0, 1], [1, 5])]).to_dict() == {"0": 3, "1": 5}
