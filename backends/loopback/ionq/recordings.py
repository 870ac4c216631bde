"""Replies in the forms that IonQ's documentation shows, with what they say: for `decode`, without a device.

The ids and the members are those of the examples in the OpenAPI description of the API v0.4; only the metadata is ours.
"""

import json
import math
from collections.abc import Mapping

from backends.ionq.encode import PROGRAM, SHOTS, digest
from qcaan.circuits.native import NativeCircuit
from qcaan.execution.backend import Counts

_BELL = NativeCircuit.build(
    2,
    ("gpi2", [0], [math.pi / 2]),
    ("gpi2", [1], [0.0]),
    ("zz", [0, 1], [math.pi / 2]),
    ("gpi2", [1], [math.pi]),
)
_FLIP = NativeCircuit.build(3, ("gpi", [1], [0.0]))
_PARENT = "06a2099c-f700-7000-8000-1111aaaabbbb"
_CHILDREN = ["06a2099c-f845-7208-8000-8111ee2dccbc", "06a2099c-f846-7d32-8000-5726853513db"]


def recordings(backend: str) -> list[tuple[bytes, list[NativeCircuit], list[Counts]]]:
    """Replies of the device that IonQ calls `backend`, the circuits that were sent, and what they counted."""
    single, several = [_BELL], [_FLIP, _BELL]
    bell = {"0": 0.4875, "1": 0.01, "2": 0.0125, "3": 0.49}
    one = _reply(backend, single, {"results": {_PARENT: json.dumps(bell)}})
    page = [
        {"id": child, "name": str(1 - place), "status": "completed", "parent_job_id": _PARENT}
        for place, child in enumerate(_CHILDREN)
    ]
    aggregate = {_CHILDREN[0]: bell, _CHILDREN[1]: {"2": 1}}
    parts = {"children": [json.dumps({"jobs": page, "next": None})], "aggregate": json.dumps(aggregate)}
    other = _reply(backend, several, parts, child_job_ids=_CHILDREN, type="ionq.multi-circuit.v1")
    counts = Counts.from_dict(2, {"00": 195, "10": 4, "01": 5, "11": 196})
    return [
        (one, single, [counts]),
        (other, several, [Counts.from_dict(3, {"010": 400}), counts]),
    ]


def _reply(backend: str, batch: list[NativeCircuit], parts: Mapping[str, object], **members: object) -> bytes:
    job = {
        "id": _PARENT,
        "status": "completed",
        "type": "ionq.circuit.v1",
        "backend": backend,
        "child_job_ids": None,
        "metadata": {PROGRAM: digest(batch), SHOTS: "400"},
        "shots": 400,
        "failure": None,
    }
    whole: dict[str, object] = {"job": json.dumps(job | members), "children": [], "results": {}, "aggregate": ""}
    return json.dumps(whole | dict(parts)).encode()
