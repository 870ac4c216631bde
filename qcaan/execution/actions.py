"""What a person does with recorded submissions: bring home, cancel, adopt, release.

Nothing here sends a new submission, except `attach`, which goes on with what a run had planned. What keeps the store
itself right, without a device, is in `qcaan.execution.upkeep`; what there is to act on, in `qcaan.execution.jobs`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sqlalchemy import select

from qcaan.errors import ConfigError, DetachedError, QcaanError, StoreError
from qcaan.execution.access import Access
from qcaan.execution.backend import Backend, JobState, JobStatus
from qcaan.execution.courier import Courier, Progress
from qcaan.execution.exchange import Exchange
from qcaan.execution.jobs import Job, list_jobs
from qcaan.execution.journal_log import log_step
from qcaan.execution.planner import price_usd
from qcaan.execution.policy import Clock, Patience
from qcaan.execution.records import KEPT, OPEN, Call, Submission
from qcaan.execution.schema import calls, of_run, submissions
from qcaan.execution.standing import charged_usd, foreign_account
from qcaan.execution.store import Store
from qcaan.execution.terms import Terms

Outcome = Literal["cancelled", "too late", "asked", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Cancelled(Job):
    """A submission after `cancel`."""

    outcome: Outcome
    """"cancelled"; "too late", it had ended; "asked", it has not ended yet; "unknown", nobody knows if it was sent."""
    told: str
    """The same for people, with what it costs."""


@dataclass(frozen=True)
class Attached:
    """How `attach` left a call: complete if `error` is None."""

    run: str
    tag: str
    error: QcaanError | None


def attach(
    store: Store,
    backend: Backend,
    *,
    run: str | None = None,
    patience: Patience | None = None,
    clock: Clock | None = None,
    refresh: Callable[[], Backend] | None = None,
    report: Callable[[Progress], None] | None = None,
) -> list[Attached]:
    """Go on with every submission on this backend's device that is not over, whoever planned it.

    The run that planned them finds their counts when it is resumed. A call that another process works on is left to it.
    Each submission is paid from the budget that it was planned under, within the cap that the store holds for it when
    money is reserved; those of another budget wait for the first's.
    """
    patience, clock = patience or Patience(), clock or Clock()
    access = Access(backend, store, patience.facts_s, refresh)
    query = (
        select(calls.c.run, calls.c.tag)
        .join(submissions, calls.c.id == submissions.c.call)
        .where(submissions.c.state.in_(OPEN), submissions.c.device == backend.target.device)
        .where(submissions.c.backend == backend.target.name)
        .group_by(calls.c.id, calls.c.run, calls.c.tag)
        .order_by(calls.c.id)
    )
    out = []
    for name, tag in store.rows(of_run(query, run)):
        error = None
        try:
            with store.lock(name, tag, patience.lock_s) as held:
                call = store.call(name, tag)
                if call is None:
                    continue  # pruned meanwhile
                errors: list[QcaanError] = []
                for fund, part in _by_budget(call):
                    target = access.backend.target
                    terms = Terms.of(store, target, name, tag, call.seed, budget=fund, cap_usd=None)
                    try:
                        Courier(access, store, terms, patience, clock, held, report).deliver(part, {})
                    except QcaanError as caught:
                        errors.append(caught)
                error = _first(errors)
        except QcaanError as caught:
            error = caught
        out.append(Attached(name, tag, error))
    return out


def cancel(
    store: Store,
    backend: Backend,
    *,
    run: str | None = None,
    key: str | None = None,
    patience: Patience | None = None,
    clock: Clock | None = None,
    report: Callable[[str], None] | None = None,
) -> list[Cancelled]:
    """Cancel open submissions of a run, or the one whose key begins with `key`; return what came of each.

    What was not sent yet is cancelled at once. A job is waited for until the provider has ended it, up to
    `patience.download_s` each; `report` is told meanwhile. To interrupt the waiting takes nothing back. A job that ends
    before the provider cancels it keeps its shots, and `attach` brings them home. What was interrupted while it was
    sent is cancelled if the device can be searched for it; otherwise it stays "sending", for `attach`, `adopt` or
    `release`.

    Raises:
        ConfigError: no submission, or more than one, has such a key, or it is not open on this device.
        QcaanError: what the first submission that could not be cancelled met; what came of the others is in its notes.
    """
    patience, clock = patience or Patience(), clock or Clock()
    chosen = [job for job in list_jobs(store, run=run, only_open=True) if job.key.startswith(key or "")]
    chosen = [job for job in chosen if (job.backend, job.device) == (backend.target.name, backend.target.device)]
    if key is not None:
        store.by_key(key)  # there is one, and only one
    if key is not None and not chosen:
        raise ConfigError(f"there is no open submission with the key {key} on {backend.target.device}")
    access = Access(backend, store, patience.facts_s)
    errors = []
    came: dict[str, tuple[Outcome, str]] = {}
    for job in chosen:
        try:
            came[job.key] = _cancel(store, access, job, patience, clock, report or (lambda _: None))
        except QcaanError as error:
            error.add_note(f"submission {job.key}, job {job.job_id or 'unknown'}: not known to be cancelled")
            errors.append(error)
    if first := _first(errors):
        for name, (_, told) in came.items():
            first.add_note(f"submission {name}: {told}")
        raise first
    now = [job for job in list_jobs(store, run=run) if job.key in came]
    return [Cancelled(**vars(job), outcome=came[job.key][0], told=came[job.key][1]) for job in now]


def adopt(store: Store, key: str, job_id: str) -> None:
    """A person found the job of an interrupted submission at the provider: `attach` brings it home.

    Raises:
        ConfigError: no submission with this key waits for its job, or the job is another submission's.
    """
    with store.held(key, Patience().lock_s) as (s, _):
        others = store.rows(
            select(submissions.c.key).where(submissions.c.job_id == job_id, submissions.c.device == s.device)
        )
        if others:
            raise ConfigError(f"job {job_id} is the one of submission {others[0].key}; its shots cannot count twice")
        if s.state not in ("planned", "sending"):
            raise ConfigError(f"submission {key} is '{s.state}'; only one without a job can adopt job {job_id}")
        store.sent(s.id, job_id)
        log_step("adopted", *store.name_of(s.call), s, job_id=job_id)


def release(store: Store, key: str) -> None:
    """A person gives a submission up: when its run is resumed, what it held is planned and paid for again.

    What it may have cost stays on the books: all of a job that has an id, or that the device could have been asked
    about; nothing of one that only a person could look for. A reply stays in the store, for `show` alone.

    Raises:
        ConfigError: the submission is done, or its reply is here and may be good: its shots are paid for.
    """
    with store.held(key, Patience().lock_s) as (s, _):
        if s.state == "done":
            raise ConfigError(f"submission {key} is done; its shots are recorded, there is nothing to release")
        if s.state == "replied" and not s.reason:  # a reply that could not be read has one
            raise ConfigError(f"submission {key} has shots that are paid for: {KEPT}; so does 'qcaan jobs attach'")
        unseen = s.state == "planned" or (s.job_id is None and store.target(s.target).dedupe == "none")
        spent = s.usd if s.usd is not None else (0.0 if unseen else s.usd_high)
        store.given_up(s, s.reason or "released by hand", spent)
        more = "its reply stays in the store, and is decoded no more" if s.state == "replied" else ""
        log_step("released", *store.name_of(s.call), s, more=more)


def _by_budget(call: Call) -> list[tuple[str, Call]]:
    """The call in parts that are paid from one budget each; all attempts at a position stay together."""
    funds = {s.position: s.budget for s in call.submissions}  # of the last attempt, which is what may be open
    parts = {fund: [s for s in call.submissions if funds[s.position] == fund] for fund in funds.values()}
    return [(fund, replace(call, submissions=part)) for fund, part in parts.items()]


def _first(errors: Sequence[QcaanError]) -> QcaanError | None:
    """The first error that is more than a time-out, or the first, if any, with the others as notes."""
    ranked = sorted(errors, key=lambda error: isinstance(error, DetachedError))
    for other in ranked[1:]:
        ranked[0].add_note("\n  ".join([f"also: {type(other).__name__}: {other}", *getattr(other, "__notes__", ())]))
    return ranked[0] if ranked else None


def _cancel(
    store: Store, access: Access, job: Job, patience: Patience, clock: Clock, report: Callable[[str], None]
) -> tuple[Outcome, str]:
    with store.held(job.key, patience.lock_s) as (s, held):
        if s.state == "planned":
            return _cancelled_unsent(store, job, s)
        if s.state not in ("sending", "sent"):
            return "too late", "its reply is here; 'qcaan jobs attach' decodes it"
        target = access.backend.target
        if account := foreign_account(s, target, store):
            raise StoreError(
                f"submission {s.key} was sent from account '{account}', not '{target.account}'; cancel it from there"
            )
        device = Exchange(access, store, patience, clock, held)
        job_id = s.job_id
        if s.state == "sending" and device.dedupe == "search":
            job_id = device.loop.do(device.find(s))
            if job_id is None:
                held()  # else another process may have sent it meanwhile
                return _cancelled_unsent(store, job, s)
            store.sent(s.id, job_id)
        if job_id is None:
            remedy = "look for it in the provider's list of jobs, then adopt or release it"
            if device.dedupe == "key":
                remedy = "'qcaan jobs attach' sends it again under the same key, which is not paid twice"
            return "unknown", f"it was interrupted while it was sent, {s.usd_high:.2f} USD may be charged: {remedy}"

        def waiting(state: JobState, waited_s: float) -> None:
            limit_s = patience.download_s
            report(f"job {job_id} is asked to end, {state.status.value} for {waited_s:.0f} of at most {limit_s:.0f} s")

        before, after = device.loop.do(device.cancel(s, job_id, waiting))
        if after.status is JobStatus.CANCELLED:
            usd = charged_usd(s, after, before)
            store.over(s.id, "cancelled", after.reason or "cancelled by hand", usd)
            log_step("cancelled", job.run, job.tag, s, job_id=job_id)
            return "cancelled", f"cancelled, {usd:.2f} USD charged"
        return _not_cancelled(store, s, after)


def _cancelled_unsent(store: Store, job: Job, s: Submission) -> tuple[Outcome, str]:
    store.over(s.id, "cancelled", "cancelled before it was sent", 0.0)
    log_step("cancelled", job.run, job.tag, s)
    return "cancelled", "cancelled before it was sent, at no cost"


def _not_cancelled(store: Store, s: Submission, state: JobState) -> tuple[Outcome, str]:
    """What became of a job that the provider did not cancel."""
    if state.status is JobStatus.FAILED:
        return "too late", f"it had failed ({state.reason}), {charged_usd(s, state):.2f} USD charged"
    if state.status is JobStatus.DONE:
        usd = price_usd(store.target(s.target), s.shots, s.n_circuits) if state.usd is None else state.usd
        return "too late", f"it had run, {usd:.2f} USD charged; 'qcaan jobs attach' brings its shots home"
    more = f"up to {s.usd_high:.2f} USD may be charged; 'qcaan jobs attach' tells what became of it"
    return "asked", f"it is asked to end and still {state.status.value}; {more}"
