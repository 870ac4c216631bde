"""The Braket driver end to end, through the core, against the loopback service: a QPU that costs nothing.

Every AWS client of these tests is checked before every call: it points at this machine.
"""

import json
from urllib.parse import urlsplit

import boto3
import numpy as np
import pytest
from braket.tracking import Tracker
from typer.testing import CliRunner

import qcaan
from backends.braket import ARNS
from backends.braket.session import Session
from backends.loopback.braket import Loopback
from qcaan.circuits.native import NativeCircuit
from qcaan.cli import app
from qcaan.errors import (
    BudgetError,
    ConfigError,
    CredentialsError,
    DetachedError,
    IntegrityError,
    JobFailedError,
    LateError,
    RejectedError,
    TargetError,
    UnavailableError,
)
from qcaan.execution import actions, jobs
from qcaan.execution.backend import JobStatus
from qcaan.execution.budget import Budget
from qcaan.execution.policy import Patience
from qcaan.execution.runner import Request, Runner
from qcaan.execution.store import Store

GHZ = qcaan.Circuit(3).h(0).cx(0, 1).cx(1, 2)
NATIVE = NativeCircuit.build(1, ("gpi", [0], [0.0]))
FAST = Patience(
    first_poll_s=0.02, max_poll_s=0.1, first_backoff_s=0.02, max_backoff_s=0.1, settle_s=0.3, late_s=3.0, wait_s=60.0
)
FORTE = ARNS["ionq-forte-1"]


@pytest.fixture(scope="module")
def loopback():
    """A service of these tests' own: they leave spending limits behind."""
    with Loopback(noise="none", program_sets=True) as made:
        yield made


@pytest.fixture(autouse=True)
def service(aws):
    return aws


@pytest.fixture
def store(tmp_path):
    with Store.open(str(tmp_path / "store.sqlite")) as opened:
        yield opened


@pytest.fixture
def new(service):
    """`new()`: the tasks that this test created, as the service knows them."""
    before = len(service.jobs())
    return lambda: service.jobs()[before:]


@pytest.fixture(scope="module")
def sessions(loopback):
    """AWS's clients of a device, which know this service's port."""
    return {}


@pytest.fixture
def forte(sessions):
    """`forte(**options)` opens the device; its AWS clients are made once for all tests, unless `session=True`."""

    def opened(*, session=False, device="ionq-forte-1", **options):
        made = qcaan.open_backend("braket", device=device, **options)
        if not session:
            made._session = sessions.setdefault(device, made._session)
        return made

    return opened


@pytest.fixture
def run(store, request):
    """`run(device, requests, cap=..., patience=..., refresh=...)` through the core, under this test's name."""

    def ran(device, requests, *, cap=10_000.0, patience=FAST, refresh=None):
        runner = Runner(
            device,
            store=store,
            run=request.node.name,
            seed=1,
            budget=Budget(cap),
            patience=patience,
            refresh=refresh,
        )
        return runner.run(requests, tag="one")

    return ran


def ledger(store):
    (cost,) = jobs.costs(store)
    return cost.usd


def in_bases(shots=100):
    return [Request(GHZ, shots, basis=basis) for basis in ("Z", "X", "Z", "X")]


def check_ghz(results, shots=100):
    """GHZ read in Z and X, by turns: only these outcomes have a probability, so no chance is involved."""
    for k, (result,) in enumerate(results):
        allowed = ({"000", "111"}, {"000", "011", "101", "110"})[k % 2]
        assert set(result.counts) <= allowed
        assert sum(result.counts.values()) == shots == result.shots


def test_every_client_points_at_this_machine_before_its_first_call(forte, monkeypatch):
    made, make = [], boto3.Session.client

    def recorded(*arguments, **options):
        made.append(make(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(boto3.Session, "client", recorded)
    forte(session=True).submit([NATIVE], 100, "f" * 64)
    assert {client.meta.service_model.service_name for client in made} == {"braket", "s3", "sts"}
    assert {urlsplit(client.meta.endpoint_url).hostname for client in made} == {"127.0.0.1"}


def test_circuits_run_through_the_public_door(forte, store, new):
    results = qcaan.run([GHZ, GHZ], forte(), shots=100, basis=["Z", "X"], store=store, budget=Budget(20.0))
    check_ghz([[result] for result in results])
    (task,) = new()
    assert task["shots"] == 200
    assert task["tags"] == {"qcaan-key": task["token"]}
    assert ledger(store) == task["charge"] == pytest.approx(0.30 + 200 * 0.08)


def test_single_tasks_where_program_sets_are_not_wanted(forte, run, store, new):
    check_ghz(run(forte(program_sets="never"), in_bases()))
    tasks = new()
    assert [task["shots"] for task in tasks] == [100] * 4
    assert all(json.loads(task["parameters"])["paradigmParameters"]["disableQubitRewiring"] for task in tasks)
    assert all(json.loads(task["parameters"])["errorMitigation"] == [] for task in tasks)
    assert ledger(store) == pytest.approx(sum(task["charge"] for task in tasks)) == pytest.approx(4 * 8.30)


def test_more_shots_than_a_task_takes_are_split_and_merged(forte, run, new):
    ((result,),) = run(forte(program_sets="never"), [Request(GHZ, 12_000)])
    assert sum(result.counts.values()) == 12_000
    assert sorted(task["shots"] for task in new()) == [4000] * 3


def test_the_parts_of_many_shots_are_one_program_set(forte, run, new):
    ((result,),) = run(forte(), [Request(GHZ, 12_000)])
    assert sum(result.counts.values()) == 12_000
    (task,) = new()
    assert (task["shots"], task["executables"]) == (12_000, [1, 1, 1])


def test_what_failed_inside_a_program_set_is_run_again_alone(forte, run, store, service, new):
    service.set_faults([{"kind": "partial", "share": 0.5, "times": 1}])
    check_ghz(run(forte(), in_bases()))
    first, second = new()
    assert first["shots"] == 400
    assert first["successful_shots"] == 400 - second["shots"] == 200
    assert ledger(store) == pytest.approx(first["charge"] + second["charge"])


def test_a_task_that_fails_is_tried_again_with_a_new_key(forte, run, store, service, new):
    service.set_faults([{"kind": "failed", "times": 1, "reason": "ions lost"}])
    run(forte(), [Request(GHZ, 100)])
    first, second = new()
    assert (first["status"], first["charge"], second["status"]) == ("FAILED", 0.0, "COMPLETED")
    assert first["token"] != second["token"]
    assert ledger(store) == pytest.approx(second["charge"])


def test_twice_the_same_failure_is_the_end(forte, run, store, service, new):
    service.set_faults([{"kind": "failed", "reason": "ions lost"}])
    with pytest.raises(JobFailedError, match="twice for the same reason: ions lost"):
        run(forte(), [Request(GHZ, 100)])
    assert len(new()) == 2
    assert ledger(store) == 0


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_lost_reply_makes_no_second_task(forte, run, service, new, idempotent):
    faults = [{"kind": "lost_reply", "operation": "CreateQuantumTask", "times": 2}]
    faults += [] if idempotent else [{"kind": "no_idempotency"}, {"kind": "slow_search", "seconds": 0.1}]
    service.set_faults(faults)
    check_ghz(run(forte(program_sets="never"), in_bases()))
    assert len(new()) == 4
    assert len({task["token"] for task in new()}) == 4


def test_what_an_earlier_process_sent_is_adopted_by_its_tag(forte, run, store, service, new):
    service.set_faults([{"kind": "no_idempotency"}, {"kind": "lost_reply", "operation": "CreateQuantumTask"}])
    impatient = Patience(create_s=0.0, settle_s=0.0)
    with pytest.raises(DetachedError, match="kept failing to submit"):
        run(forte(), in_bases(), patience=impatient)
    assert len(new()) == 1
    service.set_faults([{"kind": "no_idempotency"}])
    check_ghz(run(forte(), in_bases()))
    assert len(new()) == 1


def test_storms_are_ridden_out(forte, run, service, new):
    calls = ["CreateQuantumTask", "GetQuantumTask", "SearchQuantumTasks", "GetObject"]
    storm = [
        {"kind": "throttle", "probability": 0.4, "times": 20},
        {"kind": "error", "status": 503, "probability": 0.3, "times": 10, "seed": 1},
        {"kind": "reset", "probability": 0.3, "times": 5, "seed": 2},
    ]
    service.set_faults([fault | {"operation": calls} for fault in storm])
    check_ghz(run(forte(program_sets="never"), in_bases()))
    assert len(new()) == 4


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "missing_object", "seconds": 0.5},
        {"kind": "truncated_object", "times": 3},
        {"kind": "corrupt_object", "times": 2},
    ],
    ids=lambda fault: fault["kind"],
)
def test_a_result_that_is_late_or_damaged_is_read_again(forte, run, service, new, fault):
    service.set_faults([fault])
    check_ghz(run(forte(), in_bases()))
    assert len(new()) == 1


def test_a_result_that_never_comes_ends_the_wait_and_loses_nothing(forte, run, service, new):
    service.set_faults([{"kind": "missing_object", "seconds": None}])
    with pytest.raises(LateError, match="NoSuchKey"):
        run(forte(), in_bases(), patience=Patience(**FAST.__dict__ | {"late_s": 0.2}))
    service.set_faults([])
    check_ghz(run(forte(), in_bases()))
    assert len(new()) == 1


def test_amazons_own_cost_tracker_sees_the_tasks(forte, run, new):
    with Tracker() as tracker:
        run(forte(program_sets="never"), in_bases())
    assert float(tracker.qpu_tasks_cost()) == pytest.approx(sum(task["charge"] for task in new()))
    assert tracker.quantum_tasks_statistics()[FORTE] == {"shots": 400, "tasks": {"COMPLETED": 4}}


def test_probabilities_that_do_not_sum_to_1_are_refused_and_kept(forte, run, store, service, new):
    service.set_faults([{"kind": "wrong_sum", "times": 1}])
    with pytest.raises(IntegrityError, match="not a distribution"):
        run(forte(program_sets="never"), [Request(GHZ, 100)])
    (kept,) = jobs.show(store, *store.name_of(1))["submissions"]
    assert kept["state"] == "replied"
    assert "measurementProbabilities" in kept["reply"]
    with pytest.raises(IntegrityError):
        run(forte(program_sets="never"), [Request(GHZ, 100)])
    assert len(new()) == 1


def test_a_device_that_is_offline_takes_nothing_until_it_returns(forte, run, service, new, caplog):
    service.set_faults([{"kind": "offline", "operation": "CreateQuantumTask", "seconds": 0.2, "times": 1}])
    with pytest.raises(UnavailableError, match="offline"):
        run(forte(), in_bases())
    assert new() == []
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []  # it is raised, and told once
    patient = Patience(**FAST.__dict__ | {"unavailable_s": 10.0})
    check_ghz(run(forte(), in_bases(), patience=patient))
    assert len(new()) == 1


def test_credentials_that_expire_while_a_task_waits_are_renewed(forte, run, service, new, monkeypatch):
    service.set_faults([{"kind": "expired_credentials", "operation": "GetQuantumTask", "access_key": "LOOPBACK"}])

    def refresh():
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "RENEWED")
        return forte(session=True)

    check_ghz(run(forte(session=True), in_bases(), refresh=refresh))
    assert len(new()) == 1


def test_credentials_that_stay_expired_stop_the_run_and_lose_nothing(forte, run, service, new):
    service.set_faults([{"kind": "expired_credentials", "operation": "GetQuantumTask"}])
    with pytest.raises(CredentialsError, match="aws sso login"):
        run(forte(), in_bases(), refresh=forte)
    service.set_faults([])
    check_ghz(run(forte(), in_bases()))
    assert len(new()) == 1


def test_a_throttled_look_at_the_device_is_repeated(forte, service):
    service.set_faults([{"kind": "throttle", "operation": "GetDevice", "times": 1}])
    assert forte().target.n_qubits == 36


def test_what_is_queued_can_be_cancelled_at_no_cost(forte, run, store, service, new):
    service.set_faults([{"kind": "slow_queue", "seconds": 60}])
    with pytest.raises(DetachedError, match="still queued"):
        run(forte(), in_bases(), patience=Patience(**FAST.__dict__ | {"wait_s": 0.2}))
    (task,) = new()
    assert forte().poll(task["id"]).status is JobStatus.QUEUED
    (job,) = actions.cancel(store, forte(), run=store.name_of(1)[0])
    assert job.state == "cancelled"
    assert new()[0]["status"] in ("CANCELLING", "CANCELLED")
    assert ledger(store) == new()[0]["charge"] == 0


def test_a_place_in_the_queue_is_told(forte, run, service, new):
    service.set_faults([{"kind": "slow_queue", "seconds": 60}])
    with pytest.raises(DetachedError):
        run(forte(program_sets="never"), in_bases(), patience=Patience(**FAST.__dict__ | {"wait_s": 0.2}))
    device = forte()
    places = [device.poll(task["id"]).queue_position for task in new()]
    assert all(isinstance(place, int) for place in places)
    for task in new():
        device.cancel(task["id"])


def test_debias_is_asked_for_and_refused_below_its_minimum(forte, run, service, new):
    with pytest.raises(TargetError, match="2500 to 5000"):
        run(forte(mitigation="debias"), [Request(GHZ, 2499)])
    assert new() == []
    run(forte(mitigation="debias"), [Request(GHZ, 2500)])
    (task,) = new()
    (scheme,) = json.loads(task["parameters"])["errorMitigation"]
    assert scheme["type"].endswith("Debias")


def test_without_a_budget_nothing_is_sent(forte, store, new):
    with pytest.raises(ConfigError, match="set budget.cap_usd"):
        qcaan.run([GHZ], forte(), shots=100, store=store)
    with pytest.raises(BudgetError):
        qcaan.run([GHZ], forte(), shots=100, store=store, budget=Budget(8.29))
    assert new() == []


def test_aws_refuses_what_its_spending_limit_does_not_cover(forte, run, new):
    with pytest.raises(RejectedError, match="(?i)spending limit"):
        run(forte(device="ionq-forte-enterprise-1", spending_limit_usd=5.0), [Request(GHZ, 100)])
    assert new() == []
    with pytest.raises(ConfigError, match=r"spending_limit_usd=3: .*5\.00 USD"):
        forte(device="ionq-forte-enterprise-1", spending_limit_usd=3.0).submit([NATIVE], 100, "0" * 64)


def test_show_never_spends(new):
    shown = CliRunner().invoke(app, ["backends", "show", "braket", "--set", "device=ionq-forte-1", "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.output)["target"]["price"] == {"per_shot_usd": 0.08, "per_task_usd": 0.3}
    assert new() == []


def test_old_replies_are_decoded_without_network_and_credentials(forte, run, store, monkeypatch):
    results = run(forte(), in_bases())
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(Session, "__init__", lambda *_, **__: pytest.fail("a session was opened"))
    device = forte(session=True)
    (s,) = [store.submission(1)]
    items = device.decode(store.blob(s.id, "reply"), store.batch(s.id))
    assert [item.shots for item in items] == [100] * 4
    check_ghz(results)


@pytest.mark.parametrize("name", ["sv1", "dm1"])
def test_a_simulator_runs_the_native_gates_and_reserves_by_the_minute(forte, run, store, new, name):
    device = forte(device=name, task_minutes=2.0)
    assert device.target.price.per_task_usd == pytest.approx(0.15)
    ((result,),) = run(device, [Request(GHZ, 1000)])
    assert set(result.counts) == {"000", "111"}
    (task,) = new()
    assert task["device"] == ARNS[name]
    assert task["charge"] >= 0.075 * 3 / 60  # three seconds at least
    assert ledger(store) >= task["charge"] - 0.075 / 60 * 2e-3  # times are told to the millisecond


def test_what_the_device_samples_is_what_the_circuit_says(forte, run):
    # A rotation by 2 asin(sqrt 0.3): 3000 of 10,000 ones expected, standard deviation 46; six of them: 2e-9.
    circuit = qcaan.Circuit(2).ry(2 * np.arcsin(np.sqrt(0.3)), 0)
    ((result,),) = run(forte(), [Request(circuit, 10_000)])
    assert abs(result.counts["10"] - 3000) < 6 * 46
    assert set(result.counts) == {"00", "10"}
