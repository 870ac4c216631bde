"""Every durable step is a record that a machine can read, and no record or error holds a secret."""

import json
import logging

import pytest

from qcaan.circuits.circuit import Circuit
from qcaan.errors import ConfigError, StoreError, UnavailableError
from qcaan.execution import Budget, Fault, Request, Runner, ScriptedBackend, Store, actions
from qcaan.execution.journal_log import FIELDS
from qcaan.execution.schema import store_url

WANTED = [Request(Circuit(2).h(0), 50)]


@pytest.fixture
def records(caplog):
    caplog.set_level(logging.DEBUG, logger="qcaan.execution")

    def steps():
        return [{name: getattr(record, name) for name in FIELDS} for record in caplog.records]

    return steps


def go(device, store, fake_time, **options):
    runner = Runner(device, store=store, run="a", seed=1, budget=Budget(100), clock=fake_time.clock(), **options)
    return runner.run(WANTED, tag="t")


def test_each_step_is_a_record_with_fields(store, records, fake_time):
    device = ScriptedBackend(kind="emulator", clock=fake_time)
    go(device, store, fake_time)
    (row,) = store.call("a", "t").submissions
    told = records()
    assert [one["step"] for one in told] == ["planned", "sending", "sent", "replied", "done"]
    assert {(one["run"], one["tag"], one["key"], one["device"], one["shots"]) for one in told} == {
        ("a", "t", row.key, "scripted device", 50)
    }
    assert [one["job_id"] for one in told] == [None, None, "1", "1", "1"]
    assert [one["usd"] for one in told] == pytest.approx([4.3] * 5)
    assert json.loads(json.dumps(told)) == told


def test_failures_refusals_and_what_a_person_does(memory, records, fake_time):
    faults = [Fault("job", 1, "failed", reason="laser"), Fault("submit", 2, "offline")]
    device = ScriptedBackend(kind="emulator", clock=fake_time, faults=faults)
    with pytest.raises(UnavailableError):
        go(device, memory, fake_time)
    actions.cancel(memory, device, run="a")
    actions.release(memory, memory.call("a", "t").submissions[1].key)
    steps = " ".join(one["step"] for one in records())
    assert steps == "planned sending sent failed planned sending unsent error cancelled released"
    assert [one["usd"] for one in records() if one["step"] == "failed"] == [0.0]


def test_a_replay_tells_nothing(memory, records, fake_time):
    device = ScriptedBackend(kind="emulator", clock=fake_time)
    go(device, memory, fake_time)
    before = len(records())
    go(device, memory, fake_time)
    assert len(records()) == before > 0


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@127.0.0.1:1/db",
        "postgresql://me@127.0.0.1:1/db?password=hunter2",
        "postgresql://me:x@127.0.0.1:hunter2/db",
        "postgresql://me:pa@hunter2@127.0.0.1:1/db",
        "mysql://me:hunter2@127.0.0.1/db",
    ],
)
def test_a_password_is_in_no_error_and_in_no_cause(url, caplog):
    with pytest.raises((StoreError, ConfigError)) as caught:
        Store.open(url)
    error = caught.value
    while error is not None:
        assert "hunter2" not in f"{error!r} {error} {getattr(error, '__notes__', '')}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert "hunter2" not in caplog.text


def test_the_url_may_be_a_reference(monkeypatch, tmp_path):
    monkeypatch.setenv("QCAAN_TEST_STORE", f"sqlite:///{tmp_path}/s.sqlite")
    with Store.open("env:QCAAN_TEST_STORE"):
        assert (tmp_path / "s.sqlite").is_file()
    with pytest.raises(ConfigError, match="no variable QCAAN_NO_SUCH"):
        store_url("env:QCAAN_NO_SUCH")


def test_options_in_a_sqlite_url_are_refused():
    with pytest.raises(ConfigError, match="takes no options"):
        store_url("sqlite:///x.sqlite?mode=memory")


def test_values_are_kept_out_of_database_errors(disk):
    with pytest.raises(StoreError) as caught, disk.write() as connection:
        connection.exec_driver_sql("INSERT INTO facts VALUES (?, ?)", ("identity", "hunter2"))
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"
