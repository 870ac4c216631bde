"""The device's side of a job: run its circuits, and write what is read of them. Called from worker threads.

The outcome of a circuit depends on the service's seed, the job's key, the circuit and its shots only: the same job
gives the same outcome after a restart, and in any order of arrival. Where a service is `repeatable` the key does not
count either, so that a second attempt gives what the first one would have given. As a key counts all metadata.
"""

import json
from collections.abc import Sequence
from functools import lru_cache

from backends.loopback.ionq.body import Body, Program
from backends.loopback.jobs import Outcome, Spoiled
from backends.loopback.physics import Machine, Physics, Readout, read_out
from qcaan.circuits.noise import MAX_QUBITS
from qcaan.errors import QcaanError


def execute(body: Body, names: Sequence[str], physics: Physics, spoiled: Spoiled) -> Outcome:
    """Run a job.

    Args:
        body: what it runs.
        names: under which name the result of each circuit is kept.
        physics: how outcomes come about.
        spoiled: what goes wrong on purpose.
    """
    if spoiled.failure:
        return Outcome({}, 0, spoiled.failure)
    share = spoiled.failed_circuits
    n_failed = min(len(names), max(1, round(share * len(names)))) if share else 0
    documents = {}
    try:
        machine = body.device.machine(physics.noise if body.device.is_qpu else body.noise)
        for place, (program, name) in enumerate(zip(body.programs, names, strict=True)):
            if place >= n_failed:
                histogram = _probabilities(body, program, place, machine, physics)
                likeliest = max(histogram, key=lambda outcome: histogram[outcome])
                histogram[likeliest] *= spoiled.weight
                documents[name] = json.dumps(histogram).encode()
    except QcaanError as error:
        return Outcome({}, 0, str(error))
    if not documents:
        return Outcome({}, 0, "every circuit failed")
    return Outcome(documents, body.shots * len(documents))


def _probabilities(body: Body, program: Program, place: int, machine: Machine, physics: Physics) -> dict[str, float]:
    """By integer, bit k of which is qubit k."""
    readout = _readout(program, machine)
    if body.noise == "ideal":  # exact, whatever the shots are
        width = len(readout.qubits)
        likely = {f"{k:0{width}b}": p for k, p in enumerate(readout.probabilities.tolist()) if p > 1e-12}
    else:
        key = sorted((body.metadata or {}).items())
        identity = (key, place) if body.noise_seed is None else (body.noise_seed, place)
        likely = readout.histogram(body.shots, physics.seed_of(identity, program.rows, body.shots))
    return {
        str(sum(int(bit) << qubit for bit, qubit in zip(bits, readout.qubits, strict=True))): probability
        for bits, probability in likely.items()
    }


@lru_cache(maxsize=256)
def _readout(program: Program, machine: Machine) -> Readout:
    """What is read of a circuit; of a register that this machine cannot hold, the qubits that a gate touches alone."""
    measured: Sequence[int] = range(program.n_qubits)
    if program.n_qubits > MAX_QUBITS:
        measured = sorted({*program.flips, *(q for _, qubits, _ in program.rows for q in qubits)})
    return read_out(program.rows, measured, program.flips, machine)
