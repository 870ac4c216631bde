"""Every durable step as a record of the logger `qcaan.execution`, for people and for machines.

The fields are attributes of the record (`step, run, tag, key, job_id, device, shots, usd`), so that a formatter may
print them as JSON. They are names, numbers and identifiers of our own and the provider's: no option, URL or reply.
"""

import logging
from typing import Any

from qcaan.execution.records import Submission

FIELDS = ("step", "run", "tag", "key", "job_id", "device", "shots", "usd")
"""What a record has beside its message. `shots`: of all circuits; `usd`: spent, or reserved while it is not over."""

log = logging.getLogger("qcaan.execution")


def log_step(
    step: str,
    run: str,
    tag: str,
    s: Submission,
    *,
    level: int = logging.INFO,
    job_id: str | None = None,
    more: str = "",
) -> None:
    """Tell that a submission took a step; what it says is on the disk already."""
    if not log.isEnabledFor(level):
        return
    job_id = job_id or s.job_id
    fields: dict[str, Any] = {
        "step": step,
        "run": run,
        "tag": tag,
        "key": s.key,
        "job_id": job_id,
        "device": s.device,
        "shots": s.shots * s.n_circuits,
        "usd": s.usd_high if s.usd is None else s.usd,
    }
    log.log(level, "%s: %s%s", about(run, tag, s, job_id), step, f": {more}" if more else "", extra=fields)


def about(run: str, tag: str, s: Submission, job_id: str | None = None) -> str:
    """Which submission, in words."""
    return f"run '{run}', '{tag}', submission {s.key}, job {job_id or s.job_id or 'unknown'}"
