"""Recorded submissions as a person sees them: the list, the money, and everything behind one of them.

Every function takes a store, and asks no device; what a person does with them is in `qcaan.execution.actions`.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Select, func, select

from qcaan.errors import ConfigError
from qcaan.execution import payload
from qcaan.execution.counts import Counts
from qcaan.execution.policy import Patience
from qcaan.execution.records import FINISHED, OPEN, Submission
from qcaan.execution.schema import calls, of_run, submissions
from qcaan.execution.standing import is_stalled
from qcaan.execution.store import Store

_NO_NEWS = {"status": "", "queue_position": None, "status_at": None}
"""Of a job that the provider is no longer asked about."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A submission as a person sees it. Times are seconds since 1970."""

    run: str
    tag: str
    key: str
    job_id: str | None
    state: str
    backend: str
    device: str
    attempt: int
    shots: int
    n_circuits: int
    usd_high: float
    usd: float | None
    status: str
    """What the provider said of the job when it last said something new: "queued", "running"; "" before that, and once
    the job is over: then `state` says how it ended."""
    queue_position: int | None
    status_at: float | None
    reason: str
    created_at: float
    sent_at: float | None
    done_at: float | None
    stalled: bool
    """The provider has said nothing new about a job that is not over for longer than patience allows."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a run spent on a device, and what is reserved for submissions that are not over."""

    run: str
    device: str
    n_submissions: int
    shots: int
    """Of submissions that were replied to, as many as were asked for."""
    usd: float
    usd_reserved: float


def list_jobs(
    store: Store,
    *,
    run: str | None = None,
    only_open: bool = False,
    latest: int | None = None,
    patience: Patience | None = None,
) -> list[Job]:
    """Submissions, oldest first; with `latest` only the last so many of them.

    `patience` says from when on a job counts as stalled.
    """
    patience, now = patience or Patience(), store.clock()
    columns = [calls.c.run, calls.c.tag, *(submissions.c[name] for name in list(Job.__dataclass_fields__)[2:-1])]
    query = _wanted(select(*columns), run, only_open).order_by(submissions.c.id.desc()).limit(latest)
    rows = (dict(row._mapping) for row in reversed(store.rows(query)))
    found = [Job(**(row if row["state"] == "sent" else row | _NO_NEWS), stalled=False) for row in rows]
    return [replace(job, stalled=is_stalled(job, now, patience)) for job in found]


def count_jobs(store: Store, *, run: str | None = None, only_open: bool = False) -> int:
    """How many submissions there are."""
    ((n,),) = store.rows(_wanted(select(func.count()), run, only_open))
    return int(n)


def costs(store: Store, *, run: str | None = None) -> list[Cost]:
    """Money by run and device."""
    ran = submissions.c.shots * submissions.c.n_circuits
    query = (
        select(
            calls.c.run,
            submissions.c.device,
            func.count().label("n_submissions"),
            func.sum(ran).filter(submissions.c.state.in_(FINISHED)).label("shots"),
            func.sum(submissions.c.usd).label("usd"),
            func.sum(submissions.c.usd_high).filter(submissions.c.usd.is_(None)).label("usd_reserved"),
        )
        .join(calls, calls.c.id == submissions.c.call)
        .group_by(calls.c.run, submissions.c.device)
        .order_by(calls.c.run, submissions.c.device)
    )
    return [
        Cost(
            run=row.run,
            device=row.device,
            n_submissions=row.n_submissions,
            shots=int(row.shots or 0),
            usd=float(row.usd or 0),
            usd_reserved=float(row.usd_reserved or 0),
        )
        for row in store.rows(of_run(query, run))
    ]


def show(store: Store, run: str, tag: str) -> dict[str, Any]:
    """Everything behind a tag: requests, submissions, native programs, raw replies, counts, target; JSON-ready.

    Raises:
        ConfigError: nothing was recorded under this run and tag.
    """
    call = store.call(run, tag)
    if call is None:
        raise ConfigError(f"nothing is recorded under run '{run}', tag '{tag}' in {store.name}")
    return {
        "run": run,
        "tag": tag,
        "seed": call.seed,
        "requests": call.requests,
        "submissions": [_shown(store, s) for s in call.submissions],
        "reused": [asdict(r) | {"key": store.submission(r.submission).key} for r in store.reuses(call.id)],
    }


def show_step(store: Store, run: str, step: int) -> list[dict[str, Any]]:
    """Everything behind a line of a run's metrics, call by call, oldest first; `step` as the line says.

    Tags of a training run begin with how many steps were done before, "12/refit/3". A step that did not measure anew
    drew on the shots of the latest one before it that did.

    Raises:
        ConfigError: nothing was recorded for this step or one before it.
    """
    tags = [tag for (tag,) in store.rows(select(calls.c.tag).where(calls.c.run == run).order_by(calls.c.id))]
    done = {tag: int(number) for tag in tags if (number := tag.partition("/")[0]).isdecimal()}
    latest = max((n for n in done.values() if n < step), default=None)
    if latest is None:
        raise ConfigError(f"run '{run}' recorded nothing up to step {step} in {store.name}")
    return [show(store, run, tag) for tag, n in done.items() if n == latest]


def _wanted(query: Select[Any], run: str | None, only_open: bool) -> Select[Any]:
    """The query over submissions and their calls, of one run only, or of what is not home yet."""
    query = of_run(query.select_from(submissions).join(calls, calls.c.id == submissions.c.call), run)
    return query.where(submissions.c.state.in_(OPEN)) if only_open else query


def _shown(store: Store, s: Submission) -> dict[str, Any]:
    batch = store.batch(s.id)
    reply = store.blob(s.id, "reply")
    counts = store.counts(s.id) if s.state in FINISHED else []
    items, flips = s.where
    circuits = [
        {
            "item": int(item),
            "flips": int(flip),
            "digest": circuit.digest,
            "program": payload.program_text(circuit.program),
            "angles": circuit.angles.tolist(),
        }
        for item, flip, circuit in zip(items, flips, batch, strict=True)
    ]
    facts = {name: getattr(s, name) for name in Submission.__dataclass_fields__ if name not in ("places", "target")}
    return (facts if s.state == "sent" else facts | _NO_NEWS) | {
        "target": store.target(s.target).to_json(),
        "circuits": circuits,
        "reply": None if reply is None else reply.decode("utf-8", "backslashreplace"),
        "counts": [c.to_dict() if isinstance(c, Counts) else {"failed": c.reason} for c in counts],
    }
