"""What may have been sent is never taken for unsent, and what hangs or errs hides nothing of its siblings."""

import math

import pytest

from qcaan.circuits.circuit import Circuit, theta
from qcaan.errors import (
    ConfigError,
    DetachedError,
    LateError,
    TransientError,
    UnknownFateError,
    UnknownJobError,
)
from qcaan.execution import Fault, Request, actions, jobs
from qcaan.execution.estimate import estimate

CIRCUIT = Circuit(2).ry(theta[0], 0).cx(0, 1)
WANTED = [Request(CIRCUIT, 50, [[0.3], [0.7], [1.1]])]
PRICE = 0.3 + 50 * 0.08
"""Of one of the submissions of `go`, in US dollars."""


@pytest.mark.parametrize("dedupe", ["key", "search", "none"])
def test_what_may_have_been_sent_is_never_called_unsent(go, scripted, memory, dedupe, killed_in_submit):
    device = scripted(dedupe=dedupe, queue_s=100)
    killed_in_submit(device, accepted=True)
    assert go.states() == ["sending", "planned", "planned"]
    rows = actions.cancel(memory, device, run="a")
    if dedupe == "search":
        assert [row.state for row in rows] == ["cancelled"] * 3
        assert device.bill_usd == 0
        return
    assert [row.state for row in rows] == ["sending", "cancelled", "cancelled"]
    actions.release(memory, rows[0].key)
    # A person looked, where only a person can look; otherwise the money may be gone.
    assert jobs.costs(memory)[0].usd == pytest.approx(0 if dedupe == "none" else PRICE)


@pytest.mark.parametrize("dedupe", ["key", "search", "none"])
def test_what_never_arrived_is_cancelled_where_that_can_be_known(
    go, scripted, memory, fake_time, dedupe, killed_in_submit
):
    device = scripted(dedupe=dedupe)
    killed_in_submit(device, accepted=False)
    first, *_ = actions.cancel(memory, device, run="a", patience=go.patience, clock=fake_time.clock())
    assert (first.outcome, first.state) == (("cancelled",) * 2 if dedupe == "search" else ("unknown", "sending"))
    assert jobs.costs(memory)[0].usd_reserved == pytest.approx(0 if dedupe == "search" else PRICE)
    assert device.n_jobs == 0


def test_a_refusal_after_a_crash_does_not_prove_that_nothing_was_sent(go, scripted, killed_in_submit):
    device = scripted(Fault("submit", 2, "rejected"))
    killed_in_submit(device, accepted=True)
    with pytest.raises(Exception, match="rejected"):
        go(device)
    assert go.states()[0] == "sending"
    go(device)
    assert device.n_jobs == 3


def test_a_job_serves_one_submission(go, scripted, memory):
    device = scripted(Fault("submit", 2, "lost"), dedupe="none")
    with pytest.raises(UnknownFateError):
        go(device)
    key = memory.call("a", "t").submissions[1].key
    with pytest.raises(ConfigError, match="cannot count twice"):
        actions.adopt(memory, key, "1")
    actions.adopt(memory, key, "2")
    go(device)
    assert device.n_jobs == 3


def test_a_reply_that_cannot_be_fetched_sinks_no_sibling(go, scripted, memory):
    device = scripted(dedupe="search")
    whole = device.fetch

    def fetch(job_id):
        if job_id == "1":
            raise TransientError("always 500")
        return whole(job_id)

    device.fetch = fetch
    with pytest.raises(DetachedError, match="kept failing to fetch") as caught:
        go(device)
    assert caught.value.job_ids == ("1",)
    assert go.states() == ["sent", "done", "done"]


def test_a_deadline_hides_no_failure(go, scripted):
    device = scripted(Fault("job", 1, "stuck"), Fault("job", 2, "cancelled", reason="operator"))
    with pytest.raises(Exception, match="was cancelled") as caught:
        go(device)
    assert any("DetachedError" in note for note in caught.value.__notes__)


def test_late_replies_name_their_submission(go, scripted):
    late = scripted(*(Fault("fetch", at, "late") for at in range(1, 60)))
    with pytest.raises(LateError) as caught:
        go(late)
    assert any("submission" in note for note in caught.value.__notes__)


def test_a_simulator_that_forgets_for_ever_is_given_up(go, sampler):
    amnesiac = sampler()
    amnesiac.poll = lambda job_id: (_ for _ in ()).throw(UnknownJobError("what job?"))
    with pytest.raises(UnknownJobError, match="again and again"):
        go(amnesiac)
    assert amnesiac.asked == 1 + go.patience.attempts


def test_clocks_that_are_set_back(go, scripted, memory, fake_time):
    device = scripted(queue_s=1)
    backwards = iter(range(10**6, 0, -1))
    memory.clock = lambda: float(next(backwards))
    assert [r.shots for r in go(device)[0]] == [50, 50, 50]
    assert estimate(WANTED, device.target, store=memory).expected_s == 0
    assert not math.isinf(jobs.list_jobs(memory)[0].created_at)
