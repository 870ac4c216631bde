"""What IonQ is sent: the body of `POST /jobs`, exactly.

One circuit is a job of the type "ionq.circuit.v1". Several are one job of "ionq.multi-circuit.v1": one parent, and a
child for each circuit, which carries the circuit's number as its name.

Why debiasing is always said: IonQ debiases jobs of 500 shots and more unless it is told not to.

Why the number of shots and a digest of the circuits are in the metadata: a reply may lack the one, and never tells what
was run; with both, a reply can be checked and decoded without asking anybody.

Why the simulator's noise is seeded with the key: whether it draws a seed of its own is not documented, and the same
shots twice would be taken for two samples.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Literal

from qcaan.circuits.native import NativeCircuit
from qcaan.circuits.render import render_ionq

Mitigation = Literal["none", "debias"]
KEY = "qcaan-key"
"""Metadata: the submission's key."""
SHOTS = "qcaan-shots"
"""Metadata: shots of each circuit."""
PROGRAM = "qcaan-program"
"""Metadata: digest of the circuits."""


def job(
    batch: Sequence[NativeCircuit],
    shots: int,
    key: str,
    *,
    backend: str,
    mitigation: Mitigation = "none",
    noise_model: str | None = None,
) -> str:
    """The body of the request, JSON.

    Args:
        batch: the circuits.
        shots: of each.
        key: the submission's key, hex.
        backend: IonQ's name of the device.
        mitigation: error mitigation; a simulator has none.
        noise_model: of the simulator; None for a computer.

    Raises:
        CircuitError: an entangling angle is out of the device's range.
    """
    inputs = [json.loads(render_ionq(circuit.program, circuit.angles)[0]) for circuit in batch]
    body = {
        "type": "ionq.circuit.v1" if len(batch) == 1 else "ionq.multi-circuit.v1",
        "name": f"qcaan {key}",
        "backend": backend,
        "shots": shots,
        "metadata": {KEY: key, SHOTS: str(shots), PROGRAM: digest(batch)},
        "input": inputs[0] if len(batch) == 1 else _several(inputs),
    }
    if noise_model is None:
        body["settings"] = {"error_mitigation": {"debiasing": mitigation == "debias"}}
    else:
        body["noise"] = {"model": noise_model, "seed": int(hashlib.sha256(key.encode()).hexdigest()[:7], 16)}
    return json.dumps(body, separators=(",", ":"))


def digest(batch: Sequence[NativeCircuit]) -> str:
    """SHA-256 (hex) of the circuits, gate by gate, whatever form they are sent in."""
    text = json.dumps([[c.n_qubits, [(name, list(qubits), list(angles)) for name, qubits, angles in c]] for c in batch])
    return hashlib.sha256(text.encode()).hexdigest()


def _several(inputs: list[dict[str, object]]) -> dict[str, object]:
    circuits = [{"name": str(place), **_without(one, "gateset")} for place, one in enumerate(inputs)]
    return {"gateset": "native", "qubits": max(int(str(one["qubits"])) for one in inputs), "circuits": circuits}


def _without(tree: dict[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in tree.items() if key != name}
