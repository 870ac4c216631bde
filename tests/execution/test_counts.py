import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcaan.errors import IntegrityError
from qcaan.execution.counts import Counts, Failed, pack, unpack


@st.composite
def counts(draw, n_qubits=None):
    n = n_qubits or draw(st.integers(1, 62))
    rows = draw(st.dictionaries(st.integers(0, 2**n - 1), st.integers(1, 2**40), min_size=0, max_size=20))
    keys = sorted(rows)
    return Counts(n, np.array(keys, np.int64), np.array([rows[k] for k in keys], np.int64), draw(st.booleans()))


@given(st.lists(counts() | st.builds(Failed, st.text()), max_size=6))
def test_pack_round_trip(items):
    back = unpack(pack(items))
    assert back == items
    assert [getattr(i, "reconstructed", None) for i in back] == [getattr(i, "reconstructed", None) for i in items]


@given(st.lists(counts(n_qubits=5), min_size=1, max_size=50))
def test_pack_round_trip_of_a_uniform_batch(items):
    assert unpack(pack(items)) == items


def test_pack_is_small():
    rng = np.random.default_rng(0)
    shots = rng.multinomial(10_000, np.full(256, 1 / 256))
    assert len(pack([Counts(8, np.arange(256), shots)])) < 800


@pytest.mark.parametrize("damage", [b"", b"x", None])
def test_unpack_damaged(damage):
    data = pack([Counts(2, [0, 3], [1, 2])])
    with pytest.raises(IntegrityError, match="damaged"):
        unpack(data[:-5] if damage is None else damage)


@given(counts(n_qubits=6))
def test_dict_round_trip(c):
    assert Counts.from_dict(6, c.to_dict()) == c
    assert list(c.to_dict()) == sorted(c.to_dict())


@given(st.lists(st.lists(st.integers(0, 1), min_size=4, max_size=4), min_size=1, max_size=30))
def test_bits_round_trip(rows):
    c = Counts.from_bits(rows)
    assert c.shots == len(rows)
    bits = c.bits()
    assert bits.dtype == np.uint8
    assert sorted(map(tuple, rows)) == [tuple(row) for row in bits.tolist()]
    assert Counts.from_bits(bits) == c


def test_qubit_0_is_leftmost():
    c = Counts.from_bits([[1, 0, 0]])
    assert c.to_dict() == {"100": 1}
    assert c.frequencies().tolist() == [0, 0, 0, 0, 1, 0, 0, 0]


@given(counts(n_qubits=4), counts(n_qubits=4))
def test_merging_adds(a, b):
    both = a + b
    assert both.shots == a.shots + b.shots
    assert both == b + a
    assert both.reconstructed == (a.reconstructed or b.reconstructed)
    for bits, count in both.to_dict().items():
        assert count == a.to_dict().get(bits, 0) + b.to_dict().get(bits, 0)


@given(st.lists(st.floats(1e-9, 1), min_size=1, max_size=40), st.integers(1, 5000))
def test_largest_remainder(weights, shots):
    p = np.array(weights) / np.sum(weights)
    c = Counts.from_probabilities(10, np.arange(p.size), p, shots)
    assert c.shots == shots
    assert c.reconstructed
    full = np.zeros(p.size, np.int64)
    full[c.outcomes] = c.counts
    assert np.all(np.abs(full - p * shots) < 1)


def test_equal_outcomes_with_few_shots_are_not_lost():
    c = Counts.from_probabilities(8, np.arange(256), np.full(256, 1 / 256), 100)
    assert c.shots == 100
    assert set(c.counts) == {1}


def test_probabilities_come_in_any_order():
    assert Counts.from_probabilities(2, [3, 0], [0.25, 0.75], 4).to_dict() == {"00": 3, "11": 1}


@pytest.mark.parametrize("p", [[0.5, 0.4], [1.2, -0.2], [np.nan, 1.0], [np.inf, 0.0]])
def test_not_a_distribution(p):
    with pytest.raises(IntegrityError, match="not a distribution"):
        Counts.from_probabilities(1, [0, 1], p, 100)


@pytest.mark.parametrize(
    ("outcomes", "values", "message"),
    [
        ([0, 1], [1], "do not match"),
        ([[0]], [[1]], "do not match"),
        ([1, 0], [1, 1], "rise strictly"),
        ([1, 1], [1, 1], "rise strictly"),
        ([0, 4], [1, 1], "within 2 bits"),
        ([-1, 0], [1, 1], "within 2 bits"),
        ([0, 1], [1, 0], "positive"),
        ([0, 1], [1, -3], "positive"),
    ],
)
def test_invalid_counts(outcomes, values, message):
    with pytest.raises(IntegrityError, match=message):
        Counts(2, np.array(outcomes), np.array(values))


def test_a_bitstring_of_another_width():
    with pytest.raises(IntegrityError, match="'011' does not have 2 bits"):
        Counts.from_dict(2, {"01": 1, "011": 2})


def test_merging_different_registers():
    with pytest.raises(IntegrityError, match="2 and 3 qubits"):
        Counts(2, [0], [1]) + Counts(3, [0], [1])


def test_equality_and_hash():
    assert Counts(1, [0], [1]) != Counts(1, [0], [2])
    assert Counts(1, [0], [1]) != "counts"
    with pytest.raises(TypeError):
        hash(Counts(1, [0], [1]))
