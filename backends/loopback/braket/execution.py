"""The device's side of a task: run its programs, and write its result documents. Called from worker threads.

The outcome of an executable depends on the service's seed, the task's token, its program and its shots only: the same
task gives the same outcome after a restart, in any order of arrival, and when it was created twice. Where a service is
`repeatable` the token does not count either, so that a second attempt gives what the first one would have given.
"""

import json
import re
import time
from collections.abc import Mapping
from typing import Any

from backends.loopback.braket import documents
from backends.loopback.braket.devices import Device
from backends.loopback.braket.programs import measure, run
from backends.loopback.braket.protocol import iso
from backends.loopback.braket.task import Task
from backends.loopback.jobs import Outcome, Spoiled
from backends.loopback.physics import NoiseChoice, Physics
from qcaan.errors import QcaanError

_PRAGMA = re.compile(r"#pragma braket (?!verbatim)")


def execute(task: Task, action: str, device: Device, physics: Physics, spoiled: Spoiled) -> Outcome:
    """Run a task."""
    ended = time.time()
    if spoiled.failure:
        return Outcome({}, 0, spoiled.failure)
    tree = json.loads(action)
    programs = tree["programs"] if task.is_set else [tree]
    shots = task.shots // sum(task.executables)
    try:
        if device.kind == "SIMULATOR":
            document = _simulated(task, tree, device, physics, ended)
            seconds = document["additionalMetadata"]["simulatorMetadata"]["executionDuration"] / 1000
            return _encoded({"results.json": document}, task.shots, seconds)
        entries = [
            [
                _measured(
                    program,
                    index,
                    device,
                    physics.noise,
                    shots,
                    _seed(physics, task, program, (k, index)),
                    spoiled.weight,
                )
                for index in range(count)
            ]
            for k, (program, count) in enumerate(zip(programs, task.executables, strict=True))
        ]
    except QcaanError as error:
        return Outcome({}, 0, str(error))
    if not task.is_set:
        document = documents.program_result(
            task.id,
            task.device,
            task.shots,
            task.parameters,
            iso(task.created),
            iso(ended),
            tree["source"],
            entries[0][0],
        )
        return _encoded({"results.json": document}, task.shots)
    return _set(task, programs, entries, spoiled.failed_circuits, shots, ended)


def _seed(physics: Physics, task: Task, program: Mapping[str, Any], place: tuple[int, int] = (0, 0)) -> int:
    """The seed of one executable: `place` is its program's number and its own in the program."""
    return physics.seed_of((task.token, place), program["source"], program.get("inputs"), place[1])


def _measured(
    program: Mapping[str, Any], index: int, device: Device, noise: NoiseChoice, shots: int, seed: int, weight: float
) -> documents.Document:
    inputs = {k: v[index] if isinstance(v, list) else v for k, v in (program.get("inputs") or {}).items()}
    readout = run(program["source"], inputs, device, noise)
    frequencies = readout.histogram(shots, seed)
    likeliest = max(frequencies, key=lambda bits: frequencies[bits])
    frequencies[likeliest] *= weight
    return {"measurementProbabilities": frequencies, "measuredQubits": readout.qubits}


def _set(
    task: Task,
    programs: list[documents.Document],
    entries: list[list[documents.Document]],
    share: float,
    shots: int,
    ended: float,
) -> Outcome:
    total = sum(task.executables)
    n_failed = min(total, max(1, round(share * total))) if share else 0
    for k, index in [(k, i) for k, row in enumerate(entries) for i in range(len(row))][:n_failed]:
        entries[k][index] = {"failureMetadata": documents.failure("the ions were lost (injected fault)")}
    successful = shots * (total - n_failed)
    facts = {
        "id": task.id,
        "deviceId": task.device,
        "requestedShots": task.shots,
        "successfulShots": successful,
        "createdAt": iso(task.created),
        "endedAt": iso(ended),
        "status": "COMPLETED" if successful else "FAILED",
    }
    location = (task.bucket, task.folder)
    outcome = _encoded(documents.program_set_results(facts, location, programs, entries), successful)
    return outcome if successful else Outcome(outcome.documents, 0, "every executable failed")


def _simulated(
    task: Task, program: documents.Document, device: Device, physics: Physics, ended: float
) -> documents.Document:
    """A simulator's result; what a program asks for or does by a pragma (noise) comes from Braket's local simulator."""
    from braket.default_simulator import DensityMatrixSimulator, StateVectorSimulator
    from braket.ir.openqasm import Program

    if task.shots and not _PRAGMA.search(program["source"]):
        rows, qubits = measure(
            program["source"], program.get("inputs") or {}, device, task.shots, _seed(physics, task, program)
        )
        document = {"measurements": rows, "measuredQubits": qubits}
    else:
        simulator = DensityMatrixSimulator() if device.short_name == "dm1" else StateVectorSimulator()
        ran = simulator.run_openqasm(Program.parse_obj(program), shots=task.shots)
        document = json.loads(json.dumps(ran.dict(exclude_none=True), default=_plain))
    base = documents.program_result(
        task.id, task.device, task.shots, "{}", iso(task.created), iso(ended), program["source"], {}
    )
    base["additionalMetadata"] = {
        "action": program,
        "simulatorMetadata": documents.header("task_result.simulator_metadata")
        | {"executionDuration": max(1, round(1000 * (ended - (task.started or ended))))},  # Amazon's tracker skips a 0
    }
    kept = ("measurements", "measuredQubits", "measurementProbabilities", "resultTypes")
    return base | {key: document[key] for key in kept if document.get(key)}


def _plain(value: Any) -> Any:  # noqa: ANN401
    """What JSON lacks: arrays as lists, complex numbers as pairs."""
    return [value.real, value.imag] if isinstance(value, complex) else value.tolist()


def _encoded(results: Mapping[str, documents.Document], successful: int, seconds: float = 0.0) -> Outcome:
    encoded = {key: json.dumps(tree).encode() for key, tree in results.items()}
    return Outcome(encoded, successful, seconds=seconds)
