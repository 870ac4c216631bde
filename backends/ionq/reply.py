"""What IonQ answers: the job, its children and its results, checked against what was sent, as counts.

A reply is `{"job": TEXT, "children": [TEXT], "results": {ID: TEXT}, "aggregate": TEXT}`: the bodies of IonQ's replies,
verbatim. `job` is that of `GET /jobs/ID`. `children` are pages of `GET /jobs?parent_job_id=ID`, or single jobs.
`results` are those of `GET /jobs/ID/results/probabilities` for the job or a child, `aggregate` those of all children in
one text, by their ids; "" if there is none.

Results are probabilities by integer: bit k of the integer is qubit k. The register is turned around here, once, and
counts are made from the probabilities by largest remainder, as for every provider that does so.

Why a child is found by its name and only without one by its place in `child_job_ids`: a name is ours, an order is
theirs.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backends.ionq.encode import PROGRAM, SHOTS, digest
from qcaan.circuits.native import NativeCircuit
from qcaan.errors import IntegrityError
from qcaan.execution.backend import Counts, Failed

Json = dict[str, Any]
_LONGEST = 400


def decode_reply(reply: bytes, batch: Sequence[NativeCircuit], *, backend: str = "") -> list[Counts | Failed]:
    """One entry a circuit, in the batch's order; a child that failed is `Failed`.

    Args:
        reply: as described in this module's docstring.
        batch: the circuits that were sent.
        backend: IonQ's name of the device that must have run them; "" for any.

    Raises:
        IntegrityError: the reply is damaged, or contradicts the batch: another device, other circuits, shots or qubits,
            probabilities that do not sum to 1.
    """
    try:
        tree = parsed(reply.decode(), "the reply", "job", "children", "results", "aggregate")
        job = parsed(tree["job"], "the job", "id", "backend", "metadata")
        shots = _checked(job, batch, backend)
        results = dict(tree["results"])
        if len(batch) == 1:
            return [_counts(parsed(results[job["id"]], "the result"), batch[0], shots)]
        rows = parsed(tree["aggregate"], "the results") if tree["aggregate"] else {}
        rows |= {job_id: parsed(text, "a result") for job_id, text in results.items()}
        children = _in_order(job, list(children_of(tree["children"])), len(batch))
        return [
            _counts(rows[child["id"]], circuit, shots) if child["id"] in rows else _failed(child)
            for child, circuit in zip(children, batch, strict=True)
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"the reply cannot be read as a job of IonQ: {error!r}") from error


def parsed(text: str, what: str, *names: str) -> Json:
    """A JSON object that has these members.

    Raises:
        IntegrityError: it is something else, as after a change of the API; the message holds the reply's beginning.
    """
    try:
        tree = json.loads(text)
    except ValueError as error:
        raise IntegrityError(f"{what} is not JSON: {error}; the reply begins: {text[:_LONGEST]}") from error
    lacking = [name for name in names if not isinstance(tree, dict) or name not in tree]
    if not isinstance(tree, dict) or lacking:
        told = f"lacks {', '.join(lacking)}" if isinstance(tree, dict) else f"is a JSON {type(tree).__name__}"
        raise IntegrityError(f"{what} {told}: IonQ's API may have changed; the reply begins: {text[:_LONGEST]}")
    return tree


def children_of(texts: Sequence[str]) -> Iterator[Json]:
    """The jobs on pages of a listing, and those that stand alone."""
    for text in texts:
        tree = parsed(text, "the children")
        yield from tree.get("jobs", [tree])


def reason_of(job: Mapping[str, object]) -> str:
    """Why a job failed, as IonQ puts it: its code and its message."""
    failure = job.get("failure")
    if not isinstance(failure, dict):
        return ""
    told = failure.get("message") or failure.get("error") or ""
    return ": ".join(str(part) for part in (failure.get("code"), told) if part)


def _checked(job: Json, batch: Sequence[NativeCircuit], backend: str) -> int:
    """The shots of each circuit of a job that is about this batch."""
    if backend and job["backend"] != backend:
        raise IntegrityError(f"the reply is of the device {job['backend']}, not {backend}")
    metadata = job["metadata"] or {}
    if metadata.get(PROGRAM) != digest(batch):
        raise IntegrityError(f"the reply is of other circuits: its metadata {PROGRAM} is {metadata.get(PROGRAM)}")
    shots = int(metadata[SHOTS])
    if job.get("shots") not in (None, shots, str(shots)):
        raise IntegrityError(f"the reply is of {job['shots']} shots, {shots} were asked for")
    return shots


def _in_order(job: Json, children: list[Json], n: int) -> list[Json]:
    """The children by the circuits' numbers."""
    ids = job.get("child_job_ids") or job.get("children") or [child["id"] for child in children]
    known = {child["id"]: child for child in children}
    if len(ids) != n or len(set(ids)) != n or set(ids) - set(known):
        raise IntegrityError(f"the reply is of {len(known)} children of {len(ids)} that it names, {n} were sent")
    named = {str(known[one].get("name")): known[one] for one in ids}
    if set(named) == {str(place) for place in range(n)}:
        return [named[str(place)] for place in range(n)]
    if any(known[one].get("name") for one in ids):
        raise IntegrityError(f"the children are named {', '.join(sorted(named))}, sent were 0 to {n - 1}")
    return [known[one] for one in ids]


def _failed(child: Json) -> Failed:
    status = child.get("status")
    if status not in ("failed", "canceled"):
        raise IntegrityError(f"the child {child['id']} is '{status}' and has no result")
    return Failed(reason_of(child) or f"the circuit's job {child['id']} is {status}, no reason given")


def _counts(probabilities: Mapping[str, float], circuit: NativeCircuit, shots: int) -> Counts:
    n = circuit.n_qubits
    outcomes = []
    for text in probabilities:
        outcome = int(text) if text.isdecimal() else -1
        if not 0 <= outcome < 1 << n:
            raise IntegrityError(f"the outcome {text!r} is not one of {n} qubits")
        outcomes.append(int(f"{outcome:0{n}b}"[::-1], 2))
    return Counts.from_probabilities(n, outcomes, list(probabilities.values()), shots)
