"""Credentials that expire, and the accounts that they lead to: who cannot see a job must not send it again."""

import dataclasses
import os
import signal

import pytest

from qcaan.circuits.circuit import Circuit, theta
from qcaan.errors import (
    ConfigError,
    CredentialsError,
    DetachedError,
    StoreError,
    TransientError,
    UnavailableError,
)
from qcaan.execution import Fault, Request, Store, actions, jobs
from qcaan.execution.rates import SharedRate

CIRCUIT = Circuit(2).ry(theta[0], 0).cx(0, 1)
PRICE = 0.3 + 50 * 0.08
"""Of one of the submissions of `go`, in US dollars."""


def change(scripted, **facts):
    scripted.target = dataclasses.replace(scripted.target, **facts)


def test_renewed_credentials_of_another_device_are_refused(go, scripted):
    other = scripted()
    change(other, device="another")
    with pytest.raises(CredentialsError, match="lead to another"):
        go(scripted(Fault("submit", 1, "expired")), refresh=lambda: other)
    assert other.n_jobs == 0


class TestARefusalWhoseSequelFails:
    """Expired credentials prove that nothing was accepted, whatever happens while they are renewed."""

    @pytest.mark.parametrize("dedupe", ["key", "search", "none"])
    @pytest.mark.parametrize("error", [TransientError("STS is down"), ConfigError("no such profile"), OSError("gone")])
    def test_renewing(self, go, scripted, memory, dedupe, error):
        def refresh():
            raise error

        device = scripted(*(Fault("submit", at, "expired") for at in range(1, 1000)), dedupe=dedupe)
        with pytest.raises(DetachedError if isinstance(error, TransientError) else type(error)):
            go(device, refresh=refresh)
        assert set(go.states()) == {"planned"}
        device._faults.clear()
        go(device)
        assert device.n_jobs == 3

    @pytest.mark.parametrize("dedupe", ["key", "search", "none"])
    def test_stopping(self, go, scripted, memory, dedupe):
        device = scripted(Fault("submit", 1, "expired"), dedupe=dedupe)
        whole = device.submit

        def submit(*args):
            os.kill(os.getpid(), signal.SIGINT)
            return whole(*args)

        device.submit = submit
        with pytest.raises(KeyboardInterrupt):
            go(device, refresh=lambda: device)
        assert go.states() == ["planned"] * 3

    @pytest.mark.parametrize("dedupe", ["key", "search", "none"])
    def test_pacing(self, go, scripted, memory, dedupe, monkeypatch):
        device = scripted(dedupe=dedupe)

        def fail(*_):
            raise StoreError("locked")

        with monkeypatch.context() as patch:
            patch.setattr(SharedRate, "take", fail)
            with pytest.raises(StoreError, match="locked"):
                go(device)
        assert go.states() == ["planned"] * 3
        go(device)
        assert device.n_jobs == 3


class TestAnotherAccount:
    """The same device, seen by somebody who cannot see the jobs that were sent: to search there is to pay twice."""

    @pytest.mark.parametrize("dedupe", ["key", "search"])
    @pytest.mark.parametrize("accepted", [True, False])
    def test_renewed_credentials(self, go, scripted, memory, dedupe, accepted):
        here = scripted(Fault("submit", 1, "lost" if accepted else "reset"), dedupe=dedupe, account="here")
        expired = Fault("find" if dedupe == "search" else "submit", 1 if dedupe == "search" else 2, "expired")
        here._faults[expired.verb, expired.at] = expired
        there = scripted(dedupe=dedupe, account="there")
        with pytest.raises(CredentialsError, match="of account 'there', not 'here'"):
            go(here, refresh=lambda: there, wanted=[Request(CIRCUIT, 50, [[0.3]])])
        assert there.n_jobs == 0
        assert here.n_jobs == accepted
        assert go.states() == ["sending"]

    @pytest.mark.parametrize("dedupe", ["key", "search", "none"])
    @pytest.mark.parametrize("state", ["sending", "sent"])
    def test_a_run_that_is_resumed(self, go, scripted, memory, fake_time, dedupe, state, monkeypatch):
        class Crash(BaseException):
            pass

        def crash(*_):
            raise Crash

        here = scripted(dedupe=dedupe, account="here", queue_s=100)
        there = scripted(dedupe=dedupe, account="there")
        with monkeypatch.context() as patch:
            patch.setattr(*((Store, "sent") if state == "sending" else (here, "poll")), crash)
            with pytest.raises(Crash):
                go(here)
        before = go.states()
        assert before[0] == state
        with pytest.raises(StoreError, match="sent from account 'here', not 'there'; resume from that account"):
            go(there)
        (attached,) = actions.attach(memory, there, patience=go.patience, clock=fake_time.clock())
        assert "not 'there'" in str(attached.error)
        with pytest.raises(StoreError, match="from account 'here', not 'there'; cancel it from there"):
            actions.cancel(memory, there, key=memory.call("a", "t").submissions[0].key)
        assert go.states() == before
        assert there.n_jobs == 0
        if (dedupe, state) == ("none", "sending"):
            actions.adopt(memory, memory.call("a", "t").submissions[0].key, "1")
        go(here)
        assert jobs.costs(memory)[0].usd == pytest.approx(here.bill_usd) == pytest.approx(3 * PRICE)

    def test_what_was_never_sent_may_go_there(self, go, scripted, memory):
        here = scripted(Fault("submit", 2, "offline"), account="here")
        with pytest.raises(UnavailableError):
            go(here)
        there = scripted(account="there")
        go(there)
        assert (here.n_jobs, there.n_jobs) == (1, 2)
