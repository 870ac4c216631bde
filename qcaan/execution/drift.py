"""The drift report: how far the shots that a device gave are from what its noisy twin would have read.

The distance is the total variation distance (TVD) between a circuit's frequencies and an exact distribution. Even the
twin's own shots are not at distance 0 from it, so every distance stands beside its floor: what it would be on average
if the shots were the twin's own. Distance and floor are means over circuits; shots of one circuit in one call are one
sample. What is compared is what the device read, before readout flips are undone: distances are the same.

The floor is exact. The mean absolute deviation of a binomial count is 2 v (1 - p) P(v), v = floor(N p) + 1 (de Moivre;
Diaconis and Zabell, Statist. Sci. 6, 284 (1991)); half the sum over all outcomes, over N, is the mean TVD.

Why p-values are bounds: one shot of N changes a circuit's TVD by at most 1 / N, so the chance that shots of the twin
are further than floor + t is at most exp(-2 t^2 n^2 / sum(1 / N)) over n circuits (McDiarmid's inequality). That holds
for any distribution and any number of shots, without simulation, which an approximate z-score does not: with few
outcomes the distance is far from normal. It is somewhat blunt, and never a false promise. It takes shots as
independent: those of a device that mitigates errors are not, and neither are those that a provider smoothed.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import reduce
from itertools import groupby
from operator import add
from typing import Self, TypeVar

import numpy as np
from sqlalchemy import select

from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import NativeCircuit
from qcaan.circuits.simulate import Engine
from qcaan.errors import ConfigError, TargetError
from qcaan.execution.backend import Backend, Simulator, Target
from qcaan.execution.counts import Counts
from qcaan.execution.records import FINISHED
from qcaan.execution.schema import calls, submissions
from qcaan.execution.store import Store

T = TypeVar("T", "Distance", "Comparison")
FALSE_ALARM_RATE = 0.01
"""Chance that a report on shots of the twin itself calls anything drifted, at most."""


@dataclass(frozen=True, kw_only=True)
class Distance:
    """How far shots of circuits are from the distributions expected of them: sums over circuits, merged with `+`."""

    circuits: int
    tvd_sum: float
    floor_sum: float
    inverse_shots: float
    """Sum of 1 / shots."""

    @classmethod
    def of(cls, counts: Counts, expected: FloatArray) -> Self:
        """Of one circuit: its counts against a distribution, float64 (2**n,)."""
        return cls(
            circuits=1,
            tvd_sum=total_variation(counts.frequencies(), expected),
            floor_sum=expected_tvd(expected, counts.shots),
            inverse_shots=1 / counts.shots,
        )

    @property
    def tvd(self) -> float:
        """Mean distance, 0 to 1."""
        return self.tvd_sum / self.circuits

    @property
    def floor(self) -> float:
        """What `tvd` would be on average if the shots were of the expected distributions."""
        return self.floor_sum / self.circuits

    @property
    def p_value(self) -> float:
        """No less than the chance that shots of the expected distributions are this far from them, or further."""
        above = max(0.0, self.tvd_sum - self.floor_sum)
        return math.exp(-2 * above**2 / self.inverse_shots)

    def __add__(self, other: "Distance") -> "Distance":
        return _merged(self, other)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Shots of circuits against the noisy twin, and against the circuits without noise; merged with `+`."""

    shots: int
    twin: Distance
    ideal: Distance
    noise_sum: float

    @property
    def noise(self) -> float:
        """Mean distance of the twin from the circuits without noise, both exact: what noise is expected to do."""
        return self.noise_sum / self.twin.circuits

    def __add__(self, other: "Comparison") -> "Comparison":
        return _merged(self, other)


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What a device gave for one call, compared."""

    run: str
    tag: str
    device: str
    at: float
    """When the last of it was recorded, seconds since 1970."""
    found: Comparison


@dataclass(frozen=True, kw_only=True)
class Period:
    """All calls of an hour or a day, compared as one."""

    start: str
    """UTC, "2026-05-03 14:00" or "2026-05-03"."""
    calls: int
    found: Comparison


def drift(
    store: Store,
    twin: Backend,
    *,
    run: str | None = None,
    device: str | None = None,
    report: Callable[[int, int], None] | None = None,
) -> list[Drift]:
    """Compare what was recorded, of this run and device or of all, with the twin; oldest first, one row a call.

    Shots of simulators are left out: they have no noise to compare.

    Args:
        store: where the shots are.
        twin: a simulator that gives exact probabilities, such as the emulator of the device.
        run: only this run's.
        device: only this device's, as the store names it.
        report: told how many calls are done, and how many there are.

    Raises:
        ConfigError: the twin gives no exact probabilities, or nothing is recorded.
        TargetError: the twin cannot run a circuit that was recorded.
    """
    if not isinstance(twin, Simulator) or not twin.target.exact:
        raise ConfigError(
            f"a {type(twin).__name__} gives no exact probabilities to compare with; name the device's emulator, for "
            "example --backend braket --set device=ionq-forte-1 --set emulate=true"
        )
    query = (
        select(calls.c.run, calls.c.tag, submissions.c.device, submissions.c.id, submissions.c.done_at)
        .join(calls, calls.c.id == submissions.c.call)
        .where(submissions.c.state.in_(FINISHED), submissions.c.kind != "simulator")
        .order_by(submissions.c.call, submissions.c.device, submissions.c.id)
    )
    if run is not None:
        query = query.where(calls.c.run == run)
    if device is not None:
        query = query.where(submissions.c.device == device)
    groups = [(tuple(name), list(rows)) for name, rows in groupby(store.rows(query), key=lambda row: row[:3])]
    if not groups:
        wanted = "".join([f" of run '{run}'" if run else "", f" on '{device}'" if device else ""])
        raise ConfigError(
            f"{store.name} holds no shots{wanted} that a device gave; 'qcaan jobs list' shows what it has"
        )
    engines: dict[str, Engine] = {}
    found = []
    for place, ((run_name, tag, where), rows) in enumerate(groups):
        read = _read(store, [row.id for row in rows])
        _check([circuit for circuit, _ in read], twin.target, f"run '{run_name}', '{tag}'")
        if read:  # else every circuit failed
            noisy = twin.probabilities([circuit for circuit, _ in read])
            compared = [
                _compared(counts, p, _ideal(circuit, engines)) for (circuit, counts), p in zip(read, noisy, strict=True)
            ]
            at = max(float(row.done_at) for row in rows)
            found.append(Drift(run=run_name, tag=tag, device=where, at=at, found=reduce(add, compared)))
        if report is not None:
            report(place + 1, len(groups))
    return sorted(found, key=lambda row: row.at)


def drifted(rows: Sequence[Drift], rate: float = FALSE_ALARM_RATE) -> list[Drift]:
    """The rows that are further from the twin than its own shots would be.

    If all shots were the twin's, any row at all would be here with a chance of at most `rate` (Bonferroni).
    """
    return [row for row in rows if row.found.twin.p_value <= rate / len(rows)]


def by_time(rows: Sequence[Drift]) -> list[Period]:
    """The rows, oldest first, by UTC hour if they span two days or less, otherwise by day."""
    span = rows[-1].at - rows[0].at if rows else 0.0
    form = "%Y-%m-%d %H:00" if span <= 2 * 86_400 else "%Y-%m-%d"
    groups = groupby(rows, key=lambda row: datetime.fromtimestamp(row.at, UTC).strftime(form))
    parts = [(start, [row.found for row in group]) for start, group in groups]
    return [Period(start=start, calls=len(part), found=reduce(add, part)) for start, part in parts]


def total_variation(p: FloatArray, q: FloatArray) -> float:
    """Half the sum of |p - q|."""
    return float(np.abs(p - q).sum() / 2)


def expected_tvd(p: FloatArray, shots: int) -> float:
    """Mean TVD between a distribution, float64 (k,), and the frequencies of `shots` shots of it; exact."""
    from scipy.special import gammaln, xlog1py, xlogy

    p = p[(p > 0) & (p < 1)]
    v = np.floor(shots * p) + 1
    binomial = gammaln(shots + 1) - gammaln(v + 1) - gammaln(shots - v + 1) + xlogy(v, p) + xlog1py(shots - v, -p)
    return float((v * (1 - p) * np.exp(binomial)).sum() / shots)


def _merged(one: T, other: T) -> T:
    """Every field of one added to the other's."""
    return replace(one, **{f.name: getattr(one, f.name) + getattr(other, f.name) for f in fields(one)})


def _read(store: Store, numbers: Iterable[int]) -> list[tuple[NativeCircuit, Counts]]:
    """The distinct circuits of some submissions, and all that was read of each."""
    read: dict[str, tuple[NativeCircuit, Counts]] = {}
    for number in numbers:
        for circuit, counts in zip(store.batch(number), store.counts(number), strict=True):
            if isinstance(counts, Counts):
                before = read.get(circuit.digest)
                read[circuit.digest] = (circuit, before[1] + counts if before else counts)
    return list(read.values())


def _check(circuits: Sequence[NativeCircuit], target: Target, where: str) -> None:
    wrong = []
    for circuit in circuits:
        if circuit.n_qubits > target.n_qubits:
            wrong.append(f"a circuit of {where} has {circuit.n_qubits} qubits, it has {target.n_qubits}")
        if foreign := sorted(set(circuit.program.gate_counts) - set(target.native_gates)):
            gates = ", ".join(target.native_gates)
            wrong.append(f"a circuit of {where} uses {', '.join(foreign)}, its native gates are {gates}")
    if wrong:
        raise TargetError(target.device, list(dict.fromkeys(wrong)))


def _compared(counts: Counts, noisy: FloatArray, ideal: FloatArray) -> Comparison:
    return Comparison(
        shots=counts.shots,
        twin=Distance.of(counts, noisy),
        ideal=Distance.of(counts, ideal),
        noise_sum=total_variation(noisy, ideal),
    )


def _ideal(circuit: NativeCircuit, engines: dict[str, Engine]) -> FloatArray:
    digest = circuit.program.digest
    if digest not in engines:
        engines[digest] = Engine(circuit.program)
    return np.asarray(engines[digest].probabilities(circuit.angles)[0])
