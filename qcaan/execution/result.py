"""What a caller gets back: counts in the circuit's own terms, and where they come from."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from operator import add
from typing import Any

import numpy as np

from qcaan.circuits.gates import FloatArray
from qcaan.execution.counts import BitArray, Counts, IntArray
from qcaan.execution.records import Call, Submission
from qcaan.execution.store import Store

Part = tuple[Submission, int, int, Counts]
"""Counts as a device read them, and where they are: the submission, the place in its batch, the readout flips as a
binary number (qubit 0 the most significant bit), and the counts. A plain tuple: a batch makes one a circuit."""


@dataclass(frozen=True, eq=False)
class Result:
    """The shots of one circuit with one theta. Bits are those of the circuit's `measured` qubits, in that order."""

    measured: tuple[int, ...]
    item: int
    parts: Sequence[Part] = field(repr=False)
    origin: "Origin" = field(repr=False)

    @cached_property
    def data(self) -> Counts:
        """What the measured qubits truly read, all parts together; made when it is first asked for."""
        return merged([logical(read, flips, self.measured) for _, _, flips, read in self.parts])

    @cached_property
    def counts(self) -> dict[str, int]:
        """Bitstring -> count, the first measured qubit leftmost, in rising order."""
        return self.data.to_dict()

    @property
    def shots(self) -> int:
        """Number of shots."""
        return sum(submission.shots for submission, *_ in self.parts)

    @cached_property
    def probabilities(self) -> FloatArray:
        """Frequencies, float64 (2**m,), indexed by the bitstring as a binary number."""
        return self.data.frequencies()

    def bits(self) -> BitArray:
        """Uint8 (shots, m), a column a measured qubit; rows are sorted, their order is not the order of the shots."""
        return self.data.bits()

    @property
    def provenance(self) -> dict[str, Any]:
        """Run, tag, item, and for each part: device, target digest, native circuit digest, key, job id, versions.

        "backend", "device" and "target" beside "submissions" are those of the first part only: a call that outlasted a
        calibration, or moved, has parts with others, each in its own entry of "submissions".
        """
        return self.origin.describe(self.item, self.parts)


@dataclass(frozen=True, eq=False)
class Origin:
    """The call that shots come from; described only when somebody asks."""

    store: Store
    call: Call
    replayed: bool

    def describe(self, item: int, parts: Sequence[Part]) -> dict[str, Any]:
        """Where the shots of a circuit of the call are, as JSON-ready values."""
        submissions = [
            {
                "key": s.key,
                "job_id": s.job_id,
                "attempt": s.attempt,
                "shots": s.shots,
                "place": place,
                "backend": s.backend,
                "device": s.device,
                "target": s.target,
                "circuit": self.store.batch(s.id)[place].digest,
                "usd": s.usd,
                "versions": json.loads(s.versions or "{}"),
            }
            for s, place, _, _ in parts
        ]
        return {
            "run": self.call.run,
            "tag": self.call.tag,
            "item": item,
            "backend": submissions[0]["backend"],
            "device": submissions[0]["device"],
            "target": submissions[0]["target"],
            "seed": self.call.seed,
            "shots": sum(s.shots for s, *_ in parts),
            "replayed": self.replayed,
            "reconstructed": any(read.reconstructed for *_, read in parts),
            "submissions": submissions,
        }


def logical(counts: Counts, flips: int, measured: Sequence[int]) -> Counts:
    """Counts of all qubits as a device read them -> the true outcomes of the measured qubits, in that order.

    `flips`: the readout flips as a binary number, qubit 0 the most significant bit.
    """
    everything = len(measured) == counts.n_qubits and tuple(measured) == tuple(range(counts.n_qubits))
    if everything and not flips:
        return counts
    true = counts.outcomes ^ flips
    if everything:
        order = np.argsort(true)
        return Counts.trusted(counts.n_qubits, true[order], counts.counts[order], counts.reconstructed)
    chosen = _select(true, measured, counts.n_qubits)
    outcomes, where = np.unique(chosen, return_inverse=True)
    merged = np.zeros(len(outcomes), np.int64)
    np.add.at(merged, where, counts.counts)
    return Counts.trusted(len(measured), outcomes, merged, counts.reconstructed)


def logical_probabilities(probabilities: FloatArray, flips: int, measured: Sequence[int]) -> FloatArray:
    """Probabilities of all qubits as a device reads them -> of the true outcomes of the measured qubits, (2**m,)."""
    n_qubits = probabilities.size.bit_length() - 1
    true = probabilities[np.arange(probabilities.size) ^ flips] if flips else probabilities
    if tuple(measured) == tuple(range(n_qubits)):
        return true
    tensor = true.reshape([2] * n_qubits)
    rest = tuple(q for q in range(n_qubits) if q not in measured)
    left = [q for q in range(n_qubits) if q in measured]
    tensor = tensor.sum(axis=rest).transpose([left.index(q) for q in measured])
    return np.ascontiguousarray(tensor).reshape(-1)


def merged(parts: Sequence[Counts]) -> Counts:
    """The sum of counts of one circuit."""
    return reduce(add, parts)


def _select(outcomes: IntArray, measured: Sequence[int], n_qubits: int) -> IntArray:
    chosen = np.zeros_like(outcomes)
    for qubit in measured:
        chosen = (chosen << 1) | ((outcomes >> (n_qubits - 1 - qubit)) & 1)
    return chosen
