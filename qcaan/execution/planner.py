"""Circuits and shots -> submissions within a target's limits, checked completely before anything is sent.

Shots above a limit are split evenly, so that no part falls under the device's minimum. Circuits of one program stay
together in a submission: a driver translates a program once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from qcaan.circuits.native import NativeProgram
from qcaan.errors import TargetError
from qcaan.execution.backend import Target
from qcaan.execution.counts import IntArray


@dataclass(frozen=True)
class Parcel:
    """One submission: the places of its circuits in the call, int64 (k,), and the shots of each."""

    items: IntArray
    shots: int


def plan(programs: Sequence[NativeProgram], shots: Sequence[int], target: Target) -> list[Parcel]:
    """Submissions that together run `shots[i]` shots of the circuit with `programs[i]`; the same input, the same plan.

    Raises:
        TargetError: the target cannot run this; lists every violation.
    """
    wrong: list[str] = []
    limits: dict[int, int] = {}
    for program in {id(program): program for program in programs}.values():
        wrong += _check(program, target)
        limits[id(program)] = _shot_limit(program, target)
    alike: dict[tuple[int, int], list[int]] = {}
    for item, kind in enumerate(zip(map(id, programs), shots, strict=True)):
        alike.setdefault(kind, []).append(item)
    by_shots: dict[int, dict[int, list[int]]] = {}
    for (program_id, wanted), members in alike.items():
        for part in _split(wanted, limits[program_id], target, wrong):
            by_shots.setdefault(part, {program: [] for program in limits})[program_id] += members
    if wrong:
        raise TargetError(target.name, list(dict.fromkeys(wrong)))
    parcels = []
    for part, by_program in by_shots.items():
        items = np.array([item for members in by_program.values() for item in sorted(members)], np.int64)
        step = _circuits_limit(part, target)
        parcels += [Parcel(items[start : start + step], part) for start in range(0, len(items), step)]
    return parcels


def violations(programs: Sequence[NativeProgram], shots: int, target: Target) -> list[str]:
    """Why a submission of these circuits, planned for a target that has changed since, cannot be run on it as it is."""
    distinct = {id(program): program for program in programs}.values()
    wrong = [violation for program in distinct for violation in _check(program, target)]
    most = min((_shot_limit(program, target) for program in distinct), default=target.max_shots)
    if not target.min_shots <= shots <= most:
        wrong.append(f"shots={shots} is not within {target.min_shots} to {most}")
    elif len(programs) > (n := _circuits_limit(shots, target)):
        wrong.append(f"{len(programs)} circuits of {shots} shots in one submission, the device takes {n}")
    return wrong


def price_usd(target: Target, shots: int, n_circuits: int) -> float:
    """What a submission costs when `n_circuits` of its circuits run; nothing if none does."""
    if not n_circuits:
        return 0.0
    return target.price.per_task_usd + target.price.per_shot_usd * shots * n_circuits


def run_s(target: Target, programs: Iterable[NativeProgram], shots: int) -> float | None:
    """Seconds that the device is busy with `shots` shots of each program, by the durations that it states, if it does.

    Gates come one after the other, as in a chain of ions.
    """
    figures = target.figures
    if figures is None:
        return None
    shot_s = [p.n_pulses * figures.one_qubit_s + p.n_two_qubit * figures.two_qubit_s for p in programs]
    return shots * (sum(shot_s) + len(shot_s) * figures.readout_s)


def _check(program: NativeProgram, target: Target) -> Iterable[str]:
    if program.n_qubits > target.n_qubits:
        yield f"the circuit has {program.n_qubits} qubits, the device {target.n_qubits}"
    if foreign := sorted(set(program.gate_counts) - set(target.native_gates)):
        yield f"the program uses {', '.join(foreign)}, the device's native gates are {', '.join(target.native_gates)}"
    if target.connectivity is not None:
        pairs = {frozenset(pair) for pair in target.connectivity}
        used = {gate.qubits for gate in program.gates if len(gate.qubits) == 2}
        for pair in sorted(pair for pair in used if frozenset(pair) not in pairs):
            yield f"qubits {pair[0]} and {pair[1]} are not connected"
    if _shot_limit(program, target) < target.min_shots:
        yield (
            f"{len(program.gates)} gates allow {_shot_limit(program, target)} shots within {target.max_gate_shots} "
            f"gate-shots, the least number of shots is {target.min_shots}"
        )


def _shot_limit(program: NativeProgram, target: Target) -> int:
    limits = [target.max_shots]
    if target.max_total_shots is not None:
        limits.append(target.max_total_shots)
    if target.max_gate_shots is not None:
        limits.append(target.max_gate_shots // max(1, len(program.gates)))
    return min(limits)


def _circuits_limit(shots: int, target: Target) -> int:
    """Circuits of so many shots that one submission takes, at least 1."""
    if target.max_total_shots is None:
        return target.max_circuits
    return min(target.max_circuits, target.max_total_shots // shots)


def _split(shots: int, limit: int, target: Target, wrong: list[str]) -> list[int]:
    """`shots` in as few and as equal parts as the limit allows."""
    if shots < 1 or limit < 1:
        if shots < 0:
            wrong.append(f"shots={shots} is negative")
        return []
    n_parts = -(-shots // limit)
    least, more = divmod(shots, n_parts)
    if least < target.min_shots:
        wrong.append(f"shots={shots} cannot be run in parts of {target.min_shots} to {limit} shots")
    return [least + 1] * more + [least] * (n_parts - more)
