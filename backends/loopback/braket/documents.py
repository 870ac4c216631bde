"""The result documents that a device writes to S3, in the SDK's schemas.

As IonQ does, a document holds frequencies of the outcomes, not single shots.
"""

import json
from collections.abc import Sequence
from typing import Any

_ADDITIONAL = {"ionqMetadata": {"braketSchemaHeader": {"name": "braket.task_result.ionq_metadata", "version": "1"}}}
Document = dict[str, Any]


def header(name: str) -> Document:
    """The member `braketSchemaHeader` of a schema's first version."""
    return {"braketSchemaHeader": {"name": f"braket.{name}", "version": "1"}}


def program_result(
    arn: str, device: str, shots: int, parameters: str, created: str, ended: str, source: str, measured: Document
) -> Document:
    """The document of a task with one program; `measured` has measurementProbabilities and measuredQubits."""
    return {
        **header("task_result.gate_model_task_result"),
        **measured,
        "resultTypes": [],
        "taskMetadata": {
            **header("task_result.task_metadata"),
            "id": arn,
            "shots": shots,
            "deviceId": device,
            "deviceParameters": json.loads(parameters) or None,
            "createdAt": created,
            "endedAt": ended,
            "status": "COMPLETED",
        },
        "additionalMetadata": {"action": {**header("ir.openqasm.program"), "source": source}, **_ADDITIONAL},
    }


def failure(reason: str) -> Document:
    """The metadata of an executable that failed."""
    return {"failureReason": reason, "retryable": True, "category": "DEVICE"}


def program_set_results(
    task: Document, location: tuple[str, str], programs: Sequence[Document], executables: Sequence[Sequence[Document]]
) -> dict[str, Document]:
    """All documents of a program set by their keys below the task's folder.

    Args:
        task: id, deviceId, requestedShots, successfulShots, createdAt, endedAt, status.
        location: bucket and prefix of the task's folder.
        programs: the programs as they were sent.
        executables: of each program, one entry for each of its inputs: `measured` as for `program_result`, or
            `{"failureMetadata": failure(...)}`.
    """
    documents: dict[str, Document] = {}
    for k, (program, entries) in enumerate(zip(programs, executables, strict=True)):
        names = []
        for index, entry in enumerate(entries):
            kind = "failure" if "failureMetadata" in entry else "result"
            names.append(f"executables/{index}.json")
            executable = {**header(f"task_result.program_set_executable_{kind}"), "inputsIndex": index, **entry}
            documents[f"programs/{k}/{names[-1]}"] = executable
        documents[f"programs/{k}/program.json"] = program
        documents[f"programs/{k}/results.json"] = {
            **header("task_result.program_result"),
            "executableResults": names,
            "source": "program.json",
            "additionalMetadata": _ADDITIONAL,
        }
    outcomes = [[entry.get("failureMetadata", {}) for entry in entries] for entries in executables]
    documents["metadata.json"] = {
        **header("task_result.program_set_task_metadata"),
        **task,
        "programMetadata": [{"executables": row} for row in outcomes],
        "totalFailedExecutables": sum(bool(one) for row in outcomes for one in row),
    }
    documents["results.json"] = {
        **header("task_result.program_set_task_result"),
        "programResults": [f"programs/{k}/results.json" for k in range(len(programs))],
        "taskMetadata": "metadata.json",
        "s3Location": location,
    }
    return documents
