"""What follows a submission that the provider failed, whole or in part: another attempt, or the end of patience."""

from collections.abc import Iterable, Sequence

import numpy as np

from qcaan.circuits.native import NativeCircuit
from qcaan.errors import JobFailedError
from qcaan.execution.backend import Target
from qcaan.execution.planner import price_usd
from qcaan.execution.records import Draft, Submission
from qcaan.execution.terms import Terms


def next_attempt(
    s: Submission,
    siblings: Iterable[Submission],
    batch: Sequence[NativeCircuit],
    target: Target,
    terms: Terms,
    attempts: int,
) -> Draft:
    """The circuits of `s` that the provider failed, with a new key and new money.

    `siblings` are the submissions of the call, `batch` the circuits of `s`.

    Raises:
        JobFailedError: it was cancelled, was run `attempts` times, or failed twice for the same reason.
    """
    if s.state == "cancelled":
        raise JobFailedError(f"job {s.job_id or s.key} was cancelled; release the submission to run it again")
    places = np.array(sorted(s.failures) if s.state == "partial" else range(s.n_circuits), np.int64)
    reasons = [s.failures.get(int(p), s.reason) for p in places]
    items, flips = (column[places] for column in s.where)
    before = _failed_before(s, siblings)
    stuck = any((int(item), why) in before for item, why in zip(items, reasons, strict=True))
    if stuck or s.attempt + 1 >= attempts:
        why = "twice for the same reason" if stuck else f"{s.attempt + 1} times"
        raise JobFailedError(f"job {s.job_id or s.key} failed {why}: {'; '.join(sorted(set(reasons)))}")
    return Draft(
        position=s.position,
        attempt=s.attempt + 1,
        key=terms.key(s.position, s.attempt + 1),
        circuits=[batch[int(p)] for p in places],
        items=items,
        flips=flips,
        shots=s.shots,
        usd_high=price_usd(target, s.shots, len(places)),
    )


def _failed_before(s: Submission, siblings: Iterable[Submission]) -> set[tuple[int, str]]:
    """(item, reason) of what failed in the attempt before this one."""
    before = next((o for o in siblings if (o.position, o.attempt) == (s.position, s.attempt - 1)), None)
    if before is None:
        return set()
    items = before.where[0].tolist()
    failed = range(len(items)) if before.state == "failed" else before.failures
    return {(items[p], before.failures.get(p, before.reason)) for p in failed}
