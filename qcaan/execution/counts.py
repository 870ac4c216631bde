"""Counts: what a device read, frozen, in the one bit convention, merged with `+`."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qcaan.circuits.gates import FloatArray
from qcaan.errors import IntegrityError

IntArray = NDArray[np.int64]
BitArray = NDArray[np.uint8]
_NONE = np.zeros(0, np.int64)
_ZERO = np.zeros(1, np.int64)
_WORDS = [np.dtype(name) for name in ("<u1", "<u2", "<u4", "<u8")]
_MORE = 255
"""A byte that stands for a count that needs more."""


@dataclass(frozen=True)
class Counts:
    """How often each outcome was read: the distinct outcomes in rising order, and their counts.

    `outcomes` int64 (k,): the bitstring as a binary number, qubit 0 the most significant bit; `counts` int64 (k,),
    positive. `reconstructed` marks counts that were made from a provider's probabilities. Counts of the same circuit
    are merged with `+`. At most 62 qubits.
    """

    n_qubits: int
    outcomes: IntArray
    counts: IntArray
    reconstructed: bool = False

    def __post_init__(self) -> None:
        outcomes = np.asarray(self.outcomes, dtype=np.int64)
        counts = np.asarray(self.counts, dtype=np.int64)
        if outcomes.shape != counts.shape or outcomes.ndim != 1:
            raise IntegrityError(f"{outcomes.shape} outcomes and {counts.shape} counts do not match")
        within = not outcomes.size or (outcomes[0] >= 0 and outcomes[-1] < 2**self.n_qubits)
        if not within or (np.diff(outcomes) <= 0).any():
            raise IntegrityError(f"outcomes must rise strictly within {self.n_qubits} bits")
        if (counts <= 0).any():
            raise IntegrityError("counts must be positive")
        object.__setattr__(self, "outcomes", outcomes)
        object.__setattr__(self, "counts", counts)

    @classmethod
    def from_outcomes(cls, n_qubits: int, outcomes: ArrayLike) -> Self:
        """From one integer a shot."""
        return cls(n_qubits, *np.unique(np.asarray(outcomes, dtype=np.int64), return_counts=True))

    @classmethod
    def from_bits(cls, bits: ArrayLike) -> Self:
        """From bits, 0 or 1, (shots, n_qubits); column q is qubit q."""
        rows = np.asarray(bits, dtype=np.int64)
        weights = 1 << np.arange(rows.shape[1] - 1, -1, -1, dtype=np.int64)
        return cls.from_outcomes(rows.shape[1], rows @ weights)

    @classmethod
    def from_dict(cls, n_qubits: int, counts: Mapping[str, int]) -> Self:
        """From bitstrings, qubit 0 leftmost."""
        if wrong := next((bits for bits in counts if len(bits) != n_qubits), None):
            raise IntegrityError(f"bitstring '{wrong}' does not have {n_qubits} bits")
        rows = sorted((int(bits, 2), count) for bits, count in counts.items() if count)
        return cls(n_qubits, np.array([k for k, _ in rows], np.int64), np.array([c for _, c in rows], np.int64))

    @classmethod
    def from_probabilities(cls, n_qubits: int, outcomes: ArrayLike, probabilities: ArrayLike, shots: int) -> Self:
        """The counts nearest to a provider's probabilities by largest remainder; they total `shots` exactly.

        Raises:
            IntegrityError: the probabilities are negative or do not sum to 1 within 1e-6 per outcome (at least 1e-6).
        """
        p = np.asarray(probabilities, dtype=np.float64)
        order = np.argsort(np.asarray(outcomes, dtype=np.int64), kind="stable")
        p, keys = p[order], np.asarray(outcomes, dtype=np.int64)[order]
        if not np.isfinite(p).all() or (p < 0).any() or abs(p.sum() - 1) > 1e-6 * max(1, p.size):
            smallest = p.min(initial=0)
            raise IntegrityError(f"not a distribution: the sum is {p.sum():.8f}, the smallest entry {smallest:.3g}")
        ideal = p / p.sum() * shots
        counts = np.floor(ideal).astype(np.int64)
        missing = shots - int(counts.sum())
        counts[np.argsort(-(ideal - counts), kind="stable")[:missing]] += 1
        kept = counts > 0
        return cls(n_qubits, keys[kept], counts[kept], reconstructed=True)

    @classmethod
    def trusted(cls, n_qubits: int, outcomes: IntArray, counts: IntArray, reconstructed: bool = False) -> Self:
        """Counts whose arrays are known to be valid: checking each of a batch costs more than making it."""
        made = object.__new__(cls)
        values = {"n_qubits": n_qubits, "outcomes": outcomes, "counts": counts, "reconstructed": reconstructed}
        made.__dict__.update(values)
        return made

    @cached_property
    def shots(self) -> int:
        """Total of the counts."""
        return int(self.counts.sum())

    def to_dict(self) -> dict[str, int]:
        """Bitstring (qubit 0 leftmost) -> count, in rising order of bitstrings."""
        width = self.n_qubits
        return {f"{k:0{width}b}": c for k, c in zip(self.outcomes.tolist(), self.counts.tolist(), strict=True)}

    def bits(self) -> BitArray:
        """Uint8 (shots, n_qubits), column q is qubit q, rows sorted by outcome: their order is not the shots' order."""
        rows = (self.outcomes[:, None] >> np.arange(self.n_qubits - 1, -1, -1)) & 1
        return np.repeat(rows.astype(np.uint8), self.counts, axis=0)

    def frequencies(self) -> FloatArray:
        """Float64 (2**n_qubits,): counts over shots."""
        out = np.zeros(2**self.n_qubits)
        out[self.outcomes] = self.counts / self.shots
        return out

    def __add__(self, other: "Counts") -> "Counts":
        if self.n_qubits != other.n_qubits:
            raise IntegrityError(f"counts of {self.n_qubits} and {other.n_qubits} qubits cannot be merged")
        outcomes, where = np.unique(np.concatenate([self.outcomes, other.outcomes]), return_inverse=True)
        counts = np.zeros(len(outcomes), np.int64)
        np.add.at(counts, where, np.concatenate([self.counts, other.counts]))
        return Counts(self.n_qubits, outcomes, counts, self.reconstructed or other.reconstructed)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Counts):
            return NotImplemented
        same = self.n_qubits == other.n_qubits and np.array_equal(self.outcomes, other.outcomes)
        return same and np.array_equal(self.counts, other.counts)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Failed:
    """One circuit of a batch that the provider did not run; its siblings are kept."""

    reason: str


def pack(items: Sequence[Counts | Failed]) -> bytes:
    """Bytes of counts, exact and small.

    Compressed: a JSON header line, then of all circuits together the numbers of outcomes, the outcomes' differences,
    and the counts from 255 on. All first bytes of numbers stand together, then all second bytes, and so on. Behind
    that, a byte a count: as it is where counts are many shots, for nothing makes random bytes smaller; else compressed.
    """
    good = [item for item in items if isinstance(item, Counts)]
    n_qubits = [item.n_qubits for item in good]
    sizes = np.array([item.outcomes.size for item in good], np.int64)
    # Differences within a register fit its type, and those from one circuit to the next are put right below.
    word = _smallest((1 << max(n_qubits, default=1)) - 1)
    outcomes = np.concatenate([np.zeros(1, word), *(item.outcomes for item in good)], dtype=word, casting="unsafe")
    rises = outcomes[1:] - outcomes[:-1]
    starts = (np.cumsum(sizes) - sizes)[sizes > 0]
    rises[starts] = outcomes[1:][starts]
    counts = np.concatenate([_NONE, *(item.counts for item in good)])
    many = counts >= _MORE
    lowest = counts.astype(np.uint8)
    lowest[many] = _MORE
    low = lowest.tobytes()
    plain = counts.size * 4 < counts.sum()
    arrays = [_narrow(values) for values in (sizes, rises, counts[many])]
    header = {
        "n_qubits": n_qubits,
        "reconstructed": [place for place, item in enumerate(good) if item.reconstructed],
        "failed": {place: item.reason for place, item in enumerate(items) if isinstance(item, Failed)},
        "arrays": [(array.dtype.str, array.size) for array in arrays],
        "plain": bool(plain),
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    # High bytes are mostly zero and rises mostly one: runs are all that there is to find, and to find them is fast.
    packer = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    body = b"\n".join([text, b"".join(_planes(array) for array in arrays) + (b"" if plain else low)])
    return packer.compress(body) + packer.flush() + (low if plain else b"")


def unpack(data: bytes) -> list[Counts | Failed]:
    """The inverse of `pack`.

    Raises:
        IntegrityError: the bytes are damaged.
    """
    try:
        packed = zlib.decompressobj()
        text, _, body = packed.decompress(data).partition(b"\n")
        if not packed.eof:
            raise ValueError("the end is missing")
        header = json.loads(text)
        n_qubits = header["n_qubits"]
        arrays: list[IntArray] = []
        start = 0
        for dtype, length in header["arrays"]:
            width = np.dtype(dtype).itemsize
            planes = np.frombuffer(body, np.uint8, length * width, start).reshape(width, length)
            arrays.append(np.ascontiguousarray(planes.T).view(dtype).reshape(length).astype(np.int64))
            start += planes.size
        sizes, rises, more = arrays
        counts = np.frombuffer(packed.unused_data if header["plain"] else body[start:], np.uint8).astype(np.int64)
        counts[counts == _MORE] = more
        ends = np.cumsum(sizes)
        starts = ends - sizes
        # One running sum over all circuits, less what each circuit found when its turn came.
        total = np.cumsum(np.concatenate([_ZERO, rises]))
        outcomes = total[1:] - np.repeat(total[starts], sizes)
        _check(outcomes, counts, starts, sizes, n_qubits)
        reconstructed = set(header["reconstructed"])
        bounds = zip(n_qubits, starts.tolist(), ends.tolist(), strict=True)
        good = [
            Counts.trusted(n, outcomes[a:b], counts[a:b], place in reconstructed)
            for place, (n, a, b) in enumerate(bounds)
        ]
        failed = {int(place): Failed(reason) for place, reason in header["failed"].items()}
    except (ValueError, KeyError, TypeError, IndexError, zlib.error) as error:
        raise IntegrityError(f"stored counts are damaged: {error}") from error
    rest = iter(good)
    return [failed[place] if place in failed else next(rest) for place in range(len(good) + len(failed))]


def _check(outcomes: IntArray, counts: IntArray, starts: IntArray, sizes: IntArray, n_qubits: Sequence[int]) -> None:
    """Raise unless the outcomes of each circuit rise strictly within its register, and all counts are positive."""
    bounds = np.repeat(1 << np.array(n_qubits, np.int64), sizes)
    falls = np.diff(outcomes, prepend=-1) <= 0
    falls[starts[sizes > 0]] = False
    if not int(sizes.sum()) == outcomes.size == counts.size:
        raise ValueError("numbers are missing")
    if falls.any() or (outcomes < 0).any() or (outcomes >= bounds).any():
        raise ValueError("outcomes do not rise within their registers")
    if (counts <= 0).any():
        raise ValueError("counts are not positive")


def _planes(values: NDArray[np.unsignedinteger]) -> bytes:
    """The first bytes of all values, then the second ones, and so on."""
    return values.view(np.uint8).reshape(values.size, values.itemsize).T.tobytes()


def _narrow(values: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
    """The values in the smallest little-endian unsigned type that holds them."""
    return values.astype(_smallest(int(values.max(initial=0))), copy=False)


def _smallest(largest: int) -> np.dtype[np.unsignedinteger]:
    """The smallest little-endian unsigned type that holds `largest`."""
    return next(dtype for dtype in _WORDS if largest <= np.iinfo(dtype).max)
