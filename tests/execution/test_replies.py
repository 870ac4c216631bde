"""Replies that contradict the request, are cut short, or are read by a decoder that is wrong, and is corrected."""

import dataclasses
from contextlib import contextmanager

import pytest

from qcaan.circuits.circuit import Circuit, theta
from qcaan.errors import ConfigError, DetachedError, IntegrityError, JobFailedError, StoreError
from qcaan.execution import Fault, Request, ScriptedBackend, Store, actions, jobs, upkeep
from qcaan.execution.backend import Counts, Failed
from qcaan.execution.counts import unpack
from qcaan.execution.records import KEPT

CIRCUIT = Circuit(2).ry(theta[0], 0).cx(0, 1)


def test_a_decoder_that_finds_more_than_before_does_not_count_it_twice(go, scripted, memory, monkeypatch):
    device = scripted(max_circuits=3)
    whole = ScriptedBackend.decode

    def pessimist(self, reply, batch):
        items = whole(self, reply, batch)
        return [items[0], Failed("odd"), items[2]] if len(batch) == 3 else items

    monkeypatch.setattr(ScriptedBackend, "decode", pessimist)
    go(device)
    monkeypatch.setattr(ScriptedBackend, "decode", whole)
    assert len(upkeep.redecode(memory, "scripted", device)) == 1
    assert jobs.costs(memory)[0].usd == pytest.approx(device.bill_usd)
    results = go(device)
    assert [r.shots for r in results[0]] == [50, 50, 50]
    assert [sum(r.counts.values()) for r in results[0]] == [50, 50, 50]
    assert device.n_jobs == 2


class TestGivenUp:
    """What a person gave up stays so, whatever a corrected decoder says of the same reply."""

    def test_failures(self, go, scripted, memory, fake_time, monkeypatch):
        once = dataclasses.replace(go.patience, attempts=1)
        device = scripted(Fault("job", 1, "partial"), Fault("job", 2, "stuck"), max_circuits=3)
        with pytest.raises(JobFailedError):
            go(device, patience=once)
        actions.release(memory, memory.call("a", "t").submissions[0].key)
        with pytest.raises(DetachedError):
            go(device)
        assert go.states() == ["done", "sent"]
        whole = ScriptedBackend.decode

        def corrected(self, reply, batch):
            failed, *_, last = whole(self, reply, batch)
            return [failed, Counts(2, [0], [50]), last]

        monkeypatch.setattr(ScriptedBackend, "decode", corrected)
        assert len(upkeep.redecode(memory, "scripted", device)) == 1
        (attached,) = actions.attach(memory, device, patience=go.patience, clock=fake_time.clock())
        assert isinstance(attached.error, DetachedError)
        assert go.states() == ["done", "sent"]
        assert device.n_jobs == 2

    def test_a_submission_while_its_lock_is_waited_for(self, go, scripted, memory, monkeypatch):
        device = scripted()
        with monkeypatch.context() as patch:
            patch.setattr(device, "decode", lambda *_: (_ for _ in ()).throw(IntegrityError("a mistake")))
            with pytest.raises(IntegrityError):
                go(device)
        whole = memory.held

        @contextmanager
        def waited_for(key, wait_s):
            with whole(key, wait_s) as (s, _):
                memory.over(s.id, "released", "given up", s.usd_high)
            with whole(key, wait_s) as found:
                yield found

        monkeypatch.setattr(memory, "held", waited_for)
        assert upkeep.redecode(memory, "scripted", device) == []
        assert go.states() == ["released"] * 3


class TestRelease:
    """Of a reply that is here: its shots are paid for, so that only one that cannot be read may be given up."""

    @pytest.fixture
    def replied(self, go, scripted, monkeypatch):
        """A process that dies when it has the reply, and before it decodes it."""

        class Killed(BaseException):
            pass

        def killed(*_):
            raise Killed

        device = scripted(max_circuits=3)
        with monkeypatch.context() as patch:
            patch.setattr(ScriptedBackend, "decode", killed)
            with pytest.raises(Killed):
                go(device)
        assert go.states() == ["replied"]
        return device

    @pytest.fixture
    def key(self, replied, memory):
        return memory.call("a", "t").submissions[0].key

    def test_one_that_nobody_tried_to_read_is_refused(self, go, replied, memory, key):
        with pytest.raises(ConfigError, match="the reply is in the store, and 'qcaan jobs redecode' reads it again"):
            actions.release(memory, key)
        assert upkeep.redecode(memory, "scripted", replied) == [key]
        assert [r.shots for r in go(replied)[0]] == [50, 50, 50]
        assert replied.n_jobs == 1

    @pytest.mark.parametrize("tried_by", ["resume", "redecode"])
    def test_one_that_cannot_be_read(self, go, replied, memory, key, monkeypatch, tried_by):
        whole = ScriptedBackend.decode
        monkeypatch.setattr(ScriptedBackend, "decode", lambda *_: (_ for _ in ()).throw(IntegrityError("odd")))
        with pytest.raises(IntegrityError) as caught:
            go(replied) if tried_by == "resume" else upkeep.redecode(memory, "scripted", replied)
        assert tried_by == "redecode" or KEPT in caught.value.__notes__
        assert (go.states(), jobs.list_jobs(memory)[0].reason) == (["replied"], "unreadable: odd")
        actions.release(memory, key)
        monkeypatch.setattr(ScriptedBackend, "decode", whole)
        assert upkeep.redecode(memory, "scripted", replied) == []  # what is given up stays so
        assert [r.shots for r in go(replied)[0]] == [50, 50, 50]
        assert (go.states(), replied.n_jobs) == (["released", "done"], 2)
        assert jobs.costs(memory)[0].usd >= replied.bill_usd

    def test_one_that_turns_out_to_be_good_is_like_any_other(self, go, replied, memory, key, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(ScriptedBackend, "decode", lambda *_: (_ for _ in ()).throw(IntegrityError("odd")))
            with pytest.raises(IntegrityError):
                go(replied)
        assert upkeep.redecode(memory, "scripted", replied) == [key]
        assert jobs.list_jobs(memory)[0].reason == ""
        with pytest.raises(ConfigError, match="nothing to release"):
            actions.release(memory, key)


@pytest.mark.parametrize("good", [1, 2])
def test_a_reply_is_replaced_by_one_that_can_be_read_only(go, scripted, memory, monkeypatch, good):
    """While the decoder fails, the second copy may be the one that was cut short."""
    device = scripted()
    whole, decode, n_fetched = device.fetch, ScriptedBackend.decode, 0

    def fetch(job_id):
        nonlocal n_fetched
        n_fetched += 1
        return whole(job_id)[: None if n_fetched == good else 10]

    def broken(self, reply, batch):
        raise IntegrityError("a mistake in the decoder")

    device.fetch = fetch
    if good == 1:
        monkeypatch.setattr(ScriptedBackend, "decode", broken)
        with pytest.raises(IntegrityError, match="a mistake in the decoder"):
            go(device, wanted=[Request(CIRCUIT, 50, [[0.3]])])
        assert go.states() == ["replied"]
        monkeypatch.setattr(ScriptedBackend, "decode", decode)
        assert len(upkeep.redecode(memory, "scripted", device)) == 1
    else:
        go(device, wanted=[Request(CIRCUIT, 50, [[0.3]])])
    assert go.states() == ["done"]
    assert n_fetched == 2
    (s,) = memory.call("a", "t").submissions
    assert memory.blob(s.id, "reply") == whole("1")


class TestSimulators:
    """Their replies are the counts themselves, so that both are one step."""

    def test_it_is_one_step(self, go, memory, sampler, monkeypatch):
        monkeypatch.setattr(Store, "replied", lambda *_: pytest.fail("a step of its own"))
        go(sampler())
        (s,) = memory.call("a", "t").submissions
        assert (s.state, s.job_id) == ("done", s.key)
        assert unpack(memory.blob(s.id, "reply")) == memory.counts(s.id)

    def test_a_reply_that_contradicts_the_request_is_kept(self, go, memory, sampler):
        wrong = sampler()
        whole = wrong.sample
        wrong.sample = lambda batch, shots, seed: whole(batch, shots + 1, seed)
        with pytest.raises(IntegrityError, match="51 shots, 50 were asked for"):
            go(wrong)
        (s,) = memory.call("a", "t").submissions
        assert s.state == "replied"
        assert [counts.shots for counts in unpack(memory.blob(s.id, "reply"))] == [51] * 3

    def test_a_process_that_lost_its_lock_does_not_write_over_another(self, go, memory, sampler):
        device = sampler()
        go(device)
        (s,) = memory.call("a", "t").submissions
        with pytest.raises(StoreError, match="another process went on with it"):
            memory.decoded(s.id, None, {}, 0.0, reply=(s.key, b""))
