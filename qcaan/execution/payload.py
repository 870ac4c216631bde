"""What a submission carries, as bytes: its native circuits, exact, and the place of each in the call.

Why an encoding of our own: angles are most of what a run stores. Circuits of one program have a matrix of angles in
which most columns repeat each other or never change from row to row; only what changes is written, as the exact
float64, and the small rest is compressed. Random angles cost 8 bytes each, which no lossless form avoids.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import NativeCircuit, NativeGate, NativeProgram
from qcaan.errors import IntegrityError
from qcaan.execution.counts import IntArray

Words = NDArray[np.uint64]


def program_text(program: NativeProgram) -> str:
    """The program as JSON: [n_qubits, [[name, qubit, ...], ...]]."""
    return json.dumps([program.n_qubits, [[g.name, *g.qubits] for g in program.gates]], separators=(",", ":"))


def program_from_text(text: str) -> NativeProgram:
    """The inverse of `program_text`."""
    n_qubits, rows = json.loads(text)
    return NativeProgram(n_qubits, tuple(NativeGate(name, tuple(qubits)) for name, *qubits in rows))


def encode_places(items: IntArray, flips: IntArray) -> bytes:
    """For each circuit of a submission its number in the call, and its readout flips as a binary number; (k,) each."""
    return zlib.compress(np.asarray(items, "<i4").tobytes() + np.asarray(flips, "<i8").tobytes(), 1)


def decode_places(data: bytes) -> tuple[IntArray, IntArray]:
    """The inverse of `encode_places`."""
    raw = zlib.decompress(data)
    k = len(raw) // 12
    return np.frombuffer(raw, "<i4", k).astype(np.int64), np.frombuffer(raw, "<i8", k, 4 * k).astype(np.int64)


def encode(circuits: Sequence[NativeCircuit]) -> bytes:
    """Circuits, exact. Neighbours that share a program object are written together."""
    head: list[tuple[str, int]] = []
    parts: list[bytes] = []
    bodies: list[bytes] = []
    for _, group in groupby(circuits, key=lambda circuit: id(circuit.program)):
        same = list(group)
        head.append((same[0].program.digest, len(same)))
        small, body = _encode_angles(np.array([circuit.angles for circuit in same]))
        parts += small
        bodies.append(body)
    text = json.dumps(head, separators=(",", ":")).encode() + b"\n"
    packed = zlib.compress(text + b"".join(parts), 1)
    return len(packed).to_bytes(4, "big") + packed + b"".join(bodies)


def decode(data: bytes, programs: Mapping[str, NativeProgram]) -> list[NativeCircuit]:
    """The inverse of `encode`; `programs` by digest.

    Raises:
        IntegrityError: the bytes are damaged, or a program is missing.
    """
    try:
        size = int.from_bytes(data[:4], "big")
        text, _, small = zlib.decompress(data[4 : 4 + size]).partition(b"\n")
        head = json.loads(text)
        circuits: list[NativeCircuit] = []
        at, body_at = 0, 4 + size
        for digest, n in head:
            program = programs[digest]
            angles, at, body_at = _decode_angles(small, at, data, body_at, n, program.n_angles)
            circuits += NativeCircuit.batch(program, angles)
    except (KeyError, ValueError, TypeError, zlib.error) as error:
        raise IntegrityError(f"a stored submission is damaged: {error!r}") from error
    return circuits


def program_digests(data: bytes) -> list[str]:
    """The digests of the programs in an encoded submission."""
    size = int.from_bytes(data[:4], "big")
    return [digest for digest, _ in json.loads(zlib.decompress(data[4 : 4 + size]).partition(b"\n")[0])]


def _encode_angles(angles: FloatArray) -> tuple[list[bytes], bytes]:
    """Column map and mask of changes (to be compressed), and the distinct values (raw)."""
    words: Words = np.ascontiguousarray(angles).view(np.uint64)
    first = _first_equal_columns(words)
    kept = words.take(np.flatnonzero(first == np.arange(first.size)), axis=1)
    changed = np.ones(kept.shape, bool)
    np.not_equal(kept[1:], kept[:-1], out=changed[1:])
    return [first.astype("<u4").tobytes(), np.packbits(changed).tobytes()], kept[changed].astype("<u8").tobytes()


def _first_equal_columns(words: Words) -> IntArray:
    """For each column the first column with the same content, int64 (n_angles,)."""
    _, first, inverse = np.unique(_weights(len(words)) @ words, return_index=True, return_inverse=True)
    leader: IntArray = first[inverse]
    twins = np.flatnonzero(leader != np.arange(leader.size))
    # Columns whose hashes collide by chance stand for themselves.
    chance = twins[(words.take(leader[twins], axis=1) != words.take(twins, axis=1)).any(axis=0)]
    leader[chance] = chance
    return leader


@lru_cache(maxsize=8)
def _weights(n: int) -> Words:
    """Odd random numbers that make a hash of a column of `n` words."""
    numbers = np.random.default_rng(0).integers(1, 2**63, size=n, dtype=np.uint64)
    return numbers * np.uint64(2) + np.uint64(1)


def _decode_angles(
    small: bytes, at: int, data: bytes, body_at: int, n: int, n_angles: int
) -> tuple[FloatArray, int, int]:
    first = np.frombuffer(small, "<u4", n_angles, at)
    at += 4 * n_angles
    columns, where = np.unique(first, return_inverse=True)
    size = n * columns.size
    mask = np.frombuffer(small, np.uint8, (size + 7) // 8, at)
    at += mask.size
    changed = np.unpackbits(mask, count=size).astype(bool).reshape(n, columns.size)
    values = np.frombuffer(data, "<u8", int(changed.sum()), body_at)
    body_at += values.nbytes
    # Each entry holds the latest change above it in its column: row-major positions of changes, carried down.
    position = np.zeros(changed.shape, np.int64)
    position[changed] = np.arange(values.size)
    latest = np.maximum.accumulate(np.where(changed, position, 0), axis=0)
    return values[latest][:, where].view(np.float64), at, body_at
