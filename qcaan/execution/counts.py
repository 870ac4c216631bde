"""Counts: what a device read, frozen, in the one bit convention, merged with `+`."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qcaan.circuits.gates import FloatArray
from qcaan.errors import IntegrityError

IntArray = NDArray[np.int64]
BitArray = NDArray[np.uint8]


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

    @property
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
    """Compressed bytes of counts, exact: a JSON header line, then the outcomes' differences and the counts."""
    header: list[dict[str, object]] = []
    body = b""
    for item in items:
        if isinstance(item, Failed):
            header.append({"failed": item.reason})
            continue
        arrays = [_narrow(np.diff(item.outcomes, prepend=0)), _narrow(item.counts)]
        body += b"".join(a.tobytes() for a in arrays)
        dtypes = [a.dtype.str for a in arrays]
        header.append(
            {"n": item.n_qubits, "k": item.counts.size, "dtypes": dtypes, "reconstructed": item.reconstructed}
        )
    return zlib.compress(json.dumps(header, separators=(",", ":")).encode() + b"\n" + body, 6)


def unpack(data: bytes) -> list[Counts | Failed]:
    """The inverse of `pack`.

    Raises:
        IntegrityError: the bytes are damaged.
    """
    try:
        line, _, body = zlib.decompress(data).partition(b"\n")
        items: list[Counts | Failed] = []
        start = 0
        for row in json.loads(line):
            if "failed" in row:
                items.append(Failed(row["failed"]))
                continue
            arrays = []
            for dtype in row["dtypes"]:
                arrays.append(np.frombuffer(body, dtype, row["k"], start).astype(np.int64))
                start += arrays[-1].size * np.dtype(dtype).itemsize
            items.append(Counts(row["n"], np.cumsum(arrays[0]), arrays[1], row["reconstructed"]))
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise IntegrityError(f"stored counts are damaged: {error}") from error
    return items


def _narrow(values: IntArray) -> NDArray[np.unsignedinteger]:
    """The values in the smallest little-endian unsigned type that holds them."""
    largest = int(values.max(initial=0))
    return values.astype(next(d for d in ("<u1", "<u2", "<u4", "<u8") if largest <= np.iinfo(d).max))
