"""`qcaan jobs`: readable at 80 columns, complete for machines, careful with what is paid for."""

import dataclasses
import json
import re
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from qcaan.circuits.circuit import Circuit
from qcaan.cli import app, console
from qcaan.errors import DetachedError
from qcaan.execution import Budget, Fault, Request, Runner, ScriptedBackend, Store, actions, registry
from qcaan.execution.backend import JobState, JobStatus
from qcaan.execution.policy import Clock, Patience

RUN = "a run with a rather long name, as a configuration makes it"
PATIENCE = Patience(wait_s=0, submits_per_s=1e9, requests_per_s=1e9, first_poll_s=0.01)


@pytest.fixture
def call(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("QCAAN_STORE", raising=False)

    def invoke(*arguments, code=0):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == code, result.output
        return result.output

    return invoke


@pytest.fixture
def device(tmp_path, monkeypatch):
    """A scripted device that the command line opens by its name; `.opened` says how often it was."""
    scripted = ScriptedBackend(path=tmp_path / "device.sqlite", queue_s=3600)
    scripted.opened = []

    def open_backend(name, **options):
        scripted.opened.append((name, options))
        return scripted

    monkeypatch.setattr(registry, "open_backend", open_backend)
    return scripted


@pytest.fixture
def run(tmp_path, device):
    """A run directory with two jobs that are queued."""
    folder = tmp_path / "my-run"
    folder.mkdir()
    config = {"seed": 1, "backend": {"name": "scripted", "device": "x"}, "budget": {"cap_usd": 100}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    wanted = [Request(Circuit(1).h(0), 20), Request(Circuit(1), 30)]
    with Store.open(folder / "store.sqlite") as store:
        runner = Runner(device, store=store, run=RUN, seed=1, budget=Budget(100), patience=PATIENCE)
        with pytest.raises(DetachedError):
            runner.run(wanted, tag="12/refit/3")
    return folder


def rows(output):
    return [line for line in output.splitlines() if line.strip()]


def test_the_list_is_readable_at_eighty_columns(call, run):
    told = call("jobs", "list", "--store", run)
    assert max(map(len, told.splitlines())) <= 80
    assert "…" not in told
    assert all(word in told for word in [*RUN.split(), "queued", "position", "12/refit/3"])
    assert "≤ 1.90" in told
    keys = re.findall(r"^[0-9a-f]{12}\b", told, re.MULTILINE)
    assert len(keys) == 2


def test_the_one_run_of_all_rows_stands_above_in_one_piece(call, run):
    for command in ("list", "costs"):
        told = call("jobs", command, "--store", run).splitlines()
        assert told[:2] == [f"run {RUN}", ""]
        assert "run" not in told[2].split()
    with Store.open(run / "store.sqlite") as store, store.write() as connection:
        connection.exec_driver_sql("UPDATE calls SET run = 'another' WHERE id IN (SELECT MAX(id) FROM calls)")
    assert "run another" in call("jobs", "list", "--store", run)


def test_wide_is_one_line_a_job_with_everything(call, run, device):
    told = rows(call("jobs", "list", "--store", run, "--wide"))
    assert len(told) == 3
    assert all(RUN in line and "scripted device" in line and "12/refit/3" in line for line in told[1:])
    assert [line.split()[-1] for line in told[1:]] == ["2", "1"]


def test_json_is_complete(call, run):
    jobs = json.loads(call("jobs", "list", "--store", run, "--json"))
    assert [(job["run"], job["tag"], job["job_id"], job["status"]) for job in jobs] == [
        (RUN, "12/refit/3", "2", "queued"),
        (RUN, "12/refit/3", "1", "queued"),
    ]
    assert [(job["shots"], job["usd_low"], job["submissions"], job["stalled"]) for job in jobs] == [
        (30, 0.0, 1, False),
        (20, 0.0, 1, False),
    ]
    assert all(len(job["key"]) == 64 for job in jobs)
    assert sum(job["usd_high"] for job in jobs) == pytest.approx(0.6 + 50 * 0.08)


def test_the_newest_come_first_and_a_limit_says_how_many_more(call, run, monkeypatch):
    def listed(*options):
        told = call("jobs", "list", "--store", run, "--wide", *options)
        return [line.split()[-1] for line in rows(told) if RUN in line], "1 older submission(s) are not shown" in told

    assert listed() == listed("--limit", 2) == (["2", "1"], False)
    assert listed("--limit", 1) == (["2"], True)
    monkeypatch.setattr("qcaan.cli.jobs._ROWS", 1)
    assert listed() == (["2"], True)
    assert listed("--all") == (["2", "1"], False)
    assert len(json.loads(call("jobs", "list", "--store", run, "--json"))) == 2
    assert "--limit or --all, not both" in call("jobs", "list", "--store", run, "--limit", 1, "--all", code=2)


def test_a_stalled_job_is_shown(call, run):
    with Store.open(run / "store.sqlite") as store, store.write() as connection:
        connection.exec_driver_sql(f"UPDATE submissions SET status_at = {time.time() - 200_000} WHERE job_id = '1'")
    assert call("jobs", "list", "--store", run, "--wide").count("STALLED") == 1
    assert [job["stalled"] for job in json.loads(call("jobs", "list", "--store", run, "--json"))] == [False, True]


def test_costs(call, run):
    told = call("jobs", "costs", "--store", run)
    assert max(map(len, told.splitlines())) <= 80
    assert "4.60" in told
    (cost,) = json.loads(call("jobs", "costs", "--store", run, "--json"))
    assert cost == {
        "run": RUN,
        "device": "scripted device",
        "submissions": 2,
        "shots": 0,
        "usd_low": 0.0,
        "usd_high": pytest.approx(4.6),
    }


class TestTheStore:
    def test_none_is_named(self, call):
        assert "name a run directory" in call("jobs", "list", code=2)

    def test_this_folder(self, call, run, monkeypatch):
        monkeypatch.chdir(run)
        assert len(json.loads(call("jobs", "list", "--json"))) == 2

    def test_the_environment(self, call, run, monkeypatch):
        monkeypatch.setenv("QCAAN_STORE", str(run))
        assert len(json.loads(call("jobs", "list", "--json"))) == 2
        monkeypatch.setenv("QCAAN_STORE", "env:MY_STORE")
        monkeypatch.setenv("MY_STORE", f"sqlite:///{run}/store.sqlite")
        assert len(json.loads(call("jobs", "list", "--json"))) == 2

    def test_one_that_is_not_there_is_not_made(self, call, tmp_path):
        for where in ("nowhere", f"sqlite:///{tmp_path}/nowhere.sqlite"):
            assert "there is no such run directory or file" in call("jobs", "list", "--store", where, code=2)
        assert not Path("nowhere.sqlite").exists()


class TestAttach:
    def test_what_is_queued_stays(self, call, run, device):
        told = call("jobs", "attach", "--store", run, "--wait", "0", code=75)
        assert "2 job(s) are still queued" in told
        assert device.opened == [("scripted", {"device": "x"})]

    def test_ctrl_c_detaches(self, call, run, device):
        def interrupted(job_id):
            raise KeyboardInterrupt

        device.poll = interrupted
        assert "detached: the jobs stay at the device" in call("jobs", "attach", "--store", run, code=75)
        assert {job["state"] for job in json.loads(call("jobs", "list", "--store", run, "--json"))} == {"sent"}

    def test_help_says_that_it_waits_and_how_to_leave(self, call):
        told = " ".join(call("jobs", "attach", "--help").split())
        assert all(words in told for words in ("up to a day", "--wait", "Ctrl-C", "75"))

    def test_credentials_that_expire_meanwhile_are_renewed(self, call, run, device, monkeypatch):
        device._times = (0, 0, 0)
        device._faults = {("poll", device.called("poll") + 1): Fault("poll", 1, "expired")}
        told = call("jobs", "attach", "--store", run)
        assert "1 call(s) complete" in told
        assert len(device.opened) == 2
        assert device.n_jobs == 2


def test_redecode_needs_no_connection(call, run, device, monkeypatch):
    device._times = (0, 0, 0)
    call("jobs", "attach", "--store", run)

    class Offline(ScriptedBackend):
        target = property(lambda self: pytest.fail("the device was asked for its target"))

        def __init__(self):
            """Opened, but connected to nothing."""

        submit = poll = fetch = find = cancel = lambda *_: pytest.fail("the device was called")

    monkeypatch.setattr(registry, "open_backend", lambda name, **options: Offline())
    assert "0 submission(s) changed" in call("jobs", "redecode", "--store", run)
    whole = ScriptedBackend.decode
    monkeypatch.setattr(Offline, "decode", lambda self, *args: [one + one for one in whole(self, *args)], raising=False)
    assert "40 shots, 20 were asked for" in call("jobs", "redecode", "--store", run, code=1)


def test_from_a_line_of_metrics_to_what_is_behind_it(call, run, device):
    device._times = (0, 0, 0)
    call("jobs", "attach", "--store", run)
    (shown,) = json.loads(call("jobs", "show", RUN, "--step", 13, "--store", run))  # 12 were done before
    assert [shown] == json.loads(call("jobs", "show", RUN, "--step", 20, "--store", run))
    assert shown == json.loads(call("jobs", "show", RUN, "12/refit/3", "--store", run))
    first = shown["submissions"][0]
    assert (shown["seed"], first["job_id"], json.loads(first["reply"])["job"]) == ("1", "1", 1)
    assert json.loads(first["versions"]).keys() >= {"qcaan", "python", "numpy"}
    assert json.loads(first["target"])["device"] == "scripted device"
    assert sum(first["counts"][0].values()) == 20
    assert "nothing up to step 12" in call("jobs", "show", RUN, "--step", 12, "--store", run, code=2)
    for wrong in ((), ("12/refit/3", "--step", 12)):
        assert "a TAG or a --step" in call("jobs", "show", RUN, *wrong, "--store", run, code=2)


def test_keys_from_the_list_are_enough(call, run, device):
    key = re.findall(r"^[0-9a-f]{12}\b", call("jobs", "list", "--store", run), re.MULTILINE)[0]
    told = call("jobs", "cancel", "--store", run, "--key", key).rstrip()
    assert told == f"{RUN} 12/refit/3 {key}: cancelled, 0.00 USD charged"
    assert call("jobs", "release", key, "--store", run) == "released\n"
    assert json.loads(call("jobs", "list", "--store", run, "--json"))[0]["state"] == "released"


class TestCancel:
    def test_it_needs_a_run_or_a_key(self, call, run):
        assert "cancel needs --run or --key" in call("jobs", "cancel", "--store", run, code=2)

    def test_help_has_the_exit_codes(self, call):
        told = " ".join(call("jobs", "cancel", "--help").split())
        assert all(
            words in told for words in ("up to two minutes", "Exit 3: too late", "Exit 75: some are asked", "Ctrl-C")
        )

    def test_it_is_too_late(self, call, run, device):
        device._times = (0, 0, 0)
        told = call("jobs", "cancel", "--store", run, "--run", RUN, code=3)
        assert "it had run, 1.90 USD charged; 'qcaan jobs attach' brings its shots home" in told
        assert "it had run, 2.70 USD charged" in told
        call("jobs", "attach", "--store", run)
        assert json.loads(call("jobs", "costs", "--store", run, "--json"))[0]["usd_low"] == pytest.approx(4.6)

    def test_it_had_failed(self, call, run, device):
        device.poll = lambda job_id: JobState(JobStatus.FAILED, reason="laser")
        assert "it had failed (laser), 0.00 USD charged" in call("jobs", "cancel", "--store", run, "--run", RUN, code=3)

    def test_it_takes_long_and_says_so(self, call, run, device, monkeypatch):
        device._cancel_s = 1e9
        waited, real = iter(range(0, 10**6, 20)), console.Meter
        monkeypatch.setattr(actions, "Clock", lambda: Clock(lambda: float(next(waited)), lambda seconds: None))
        monkeypatch.setattr("qcaan.cli.actions.Meter", lambda: real(clock=lambda: float(next(waited))))
        told = call("jobs", "cancel", "--store", run, "--run", RUN, code=75)
        assert re.search(r"job 1 is asked to end, running for \d+ of at most 120 s", told)
        assert "still running; up to 1.90 USD may be charged; 'qcaan jobs attach' tells" in told

    def test_ctrl_c_leaves_what_was_asked_for(self, call, run, device):
        device._cancel_s = 1e9
        whole = device.poll

        def poll(job_id):
            state = whole(job_id)
            if state.status is JobStatus.RUNNING:
                raise KeyboardInterrupt
            return state

        device.poll = poll
        assert "stays asked" in call("jobs", "cancel", "--store", run, "--run", RUN, code=75)
        assert [job["state"] for job in json.loads(call("jobs", "list", "--store", run, "--json"))] == ["sent"] * 2

    def test_what_was_interrupted_while_it_was_sent(self, call, run, device):
        device.target = dataclasses.replace(device.target, dedupe="none")
        with Store.open(run / "store.sqlite") as store, store.write() as connection:
            connection.exec_driver_sql("UPDATE submissions SET state = 'sending', job_id = NULL")
        told = call("jobs", "cancel", "--store", run, "--run", RUN, code=1)
        assert "1.90 USD may be charged: look for it in the provider's list of jobs" in told
