"""What keeps a store right, without asking a device: decode replies again, remove what costs nothing to make again."""

from sqlalchemy import delete, select

from qcaan.errors import IntegrityError
from qcaan.execution.backend import Backend, Target
from qcaan.execution.checks import checked
from qcaan.execution.counts import Failed, pack
from qcaan.execution.journal_log import log_step
from qcaan.execution.planner import price_usd
from qcaan.execution.policy import Patience
from qcaan.execution.records import FINISHED, Submission
from qcaan.execution.schema import blobs, calls, of_run, pool, reused, submissions
from qcaan.execution.store import Store

_READABLE = ("replied", *FINISHED)
"""States of a submission whose raw reply is there to be decoded."""


def redecode(
    store: Store, name: str, backend: Backend, *, run: str | None = None, device: str | None = None
) -> list[str]:
    """Decode every raw reply that the backend `name` recorded again; return the keys whose counts changed.

    `device` leaves out what other devices of this backend replied, which may need another decoder.
    Nothing but `backend.decode` is used, which is pure: no connection, no credentials, not the device's target.
    A cost that the provider's price list gave grows with the circuits that turn out to have run. None ever falls: one
    that equals the list's may be what the provider said.

    Raises:
        IntegrityError: a reply that used to be readable is not; nothing after it was touched.
    """
    query = (
        select(submissions.c.key)
        .join(calls, calls.c.id == submissions.c.call)
        .where(submissions.c.state.in_(_READABLE), submissions.c.backend == name)
        .order_by(submissions.c.id)
    )
    if device is not None:
        query = query.where(submissions.c.device == device)
    changed = []
    for (key,) in store.rows(of_run(query, run)):
        with store.held(key, Patience().lock_s) as (s, _):
            if s.state not in _READABLE:
                continue  # a person gave it up while the lock was waited for
            reply, batch = store.blob(s.id, "reply"), store.batch(s.id)
            assert reply is not None, "the state replied is written with its reply"
            try:
                items = checked(backend.decode(reply, batch), batch, s.shots)
            except IntegrityError as error:
                if s.state == "replied":
                    store.unreadable(s.id, f"unreadable: {error}")
                error.add_note(f"submission {key}, job {s.job_id}")
                raise
            if s.state == "replied" or items != store.counts(s.id):
                failures = {place: item.reason for place, item in enumerate(items) if isinstance(item, Failed)}
                usd = _repriced_usd(s, store.target(s.target), len(items) - len(failures))
                given_up = s.state == "done" and bool(s.failures)
                store.decoded(s.id, pack(items), failures, usd, again=True, settled=given_up)
                log_step("decoded again", *store.name_of(s.call), s)
                changed.append(key)
    return changed


def prune(store: Store, *, run: str) -> int:
    """Remove what simulators recorded for a run; return the number of calls removed.

    A call with anything on another device, or that cost money, stays, and so does one whose shots another run uses.

    Raises:
        StoreError: another process works on one of the calls; those before it are removed.
    """
    foreign = select(submissions.c.call).where((submissions.c.kind != "simulator") | (submissions.c.usd_high > 0))
    lent = select(submissions.c.call).join(reused, reused.c.submission == submissions.c.id)
    free = (calls.c.run == run) & calls.c.id.not_in(foreign) & calls.c.id.not_in(lent)
    removed = 0
    for number, tag in store.rows(select(calls.c.id, calls.c.tag).where(free).order_by(calls.c.id)):
        with store.lock(run, tag, Patience().lock_s), store.write() as connection:
            if connection.execute(select(calls.c.id).where(free, calls.c.id == number)).one_or_none() is None:
                continue  # another process used it, or went on with it elsewhere, before we had the lock
            rows = select(submissions.c.id).where(submissions.c.call == number)
            for table in (blobs, pool):
                connection.execute(delete(table).where(table.c.submission.in_(rows)))
            connection.execute(delete(reused).where(reused.c.call == number))
            connection.execute(delete(submissions).where(submissions.c.call == number))
            connection.execute(delete(calls).where(calls.c.id == number))
            removed += 1
    return removed


def _repriced_usd(s: Submission, target: Target, ran: int) -> float:
    """What a submission costs now that `ran` of its circuits are known to have run."""
    usd = price_usd(target, s.shots, ran)
    if s.usd is None:
        return usd
    listed = s.state in FINISHED and s.usd == price_usd(target, s.shots, s.n_circuits - len(s.failures))
    return max(s.usd, usd) if listed else s.usd
