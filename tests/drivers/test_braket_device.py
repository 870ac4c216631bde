"""The driver's calls to AWS one by one, against botocore's own model of the service; nothing leaves this process."""

import json
from datetime import UTC, datetime, timedelta
from io import BytesIO
from types import SimpleNamespace

import pytest
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

from backends.braket import ARNS
from backends.braket.aws import resolve
from backends.braket.capabilities import read_snapshot
from backends.braket.device import BraketDevice
from backends.braket.encode import payload
from backends.braket.properties import qpu_target, simulator_target
from backends.braket.search import TaskSearch
from backends.braket.session import Session, _time
from qcaan.circuits.native import NativeCircuit
from qcaan.errors import (
    ConfigError,
    IntegrityError,
    LateError,
    RejectedError,
    TransientError,
    UnknownJobError,
)
from qcaan.execution.backend import JobState, JobStatus

FORTE = ARNS["ionq-forte-1"]
ACCOUNT = "123456789012"
TASK = f"arn:aws:braket:us-east-1:{ACCOUNT}:quantum-task/8ea30a10-0000-4000-8000-000000000001"
KEY = "0123456789abcdef" * 4
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CIRCUIT = NativeCircuit.build(2, ("gpi2", [0], [0.5]), ("zz", [0, 1], [0.25]))
SV1 = {
    "service": {"shotsRange": [0, 100000], "deviceCost": {"price": 0.075, "unit": "minute"}},
    "action": {"braket.ir.openqasm.program": {"supportedOperations": ["gpi", "gpi2", "ms", "zz"]}},
    "paradigm": {"qubitCount": 34},
}
RESERVATION = f"arn:aws:braket:us-east-1:{ACCOUNT}:reservation/a1b2"


@pytest.fixture(scope="module", autouse=True)
def session(tmp_path_factory):
    """One session for all tests: making AWS clients takes longer than all else here."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        nowhere = tmp_path_factory.mktemp("aws")
        patch.setenv("AWS_CONFIG_FILE", str(nowhere / "config"))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere / "credentials"))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_ACCESS_KEY_ID", "someone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "not to be told")
        yield Session(resolve("ionq-forte-1"))


@pytest.fixture
def aws(session, monkeypatch):
    """`aws(**options)` opens a device whose clients answer what the test tells them to, in order.

    It knows its target; with `facts=False` it has to ask for it.
    """
    monkeypatch.setattr(session._facts, "_account_id", None)
    monkeypatch.setattr(session._facts, "_default_bucket", None)
    monkeypatch.setattr(session, "_search", TaskSearch(FORTE, session._tasks_of))
    stubs = []

    def stub(client):
        made = Stubber(client)
        made.activate()
        stubs.append(made)
        return made

    def opened(*, facts=True, **options):
        device = BraketDevice(**{"device": "ionq-forte-1", "s3": "s3://bucket/tasks"} | options)
        device._session = session
        if facts:
            arn = resolve(device.device).arn
            device.target = (
                simulator_target(SV1, arn, task_minutes=device._minutes)
                if "simulator" in arn
                else qpu_target(json.loads(read_snapshot("ionq-forte-1")), arn, reserved=bool(device.reservation))
            )
        return SimpleNamespace(
            device=device,
            braket=stub(session._tasks.braket_client),
            facts=stub(session._facts.braket_client),
            sts=stub(session._facts.sts_client),
            s3=stub(session._s3),
        )

    yield opened
    for one in stubs:
        one.deactivate()
        one.assert_no_pending_responses()


def described(status, **more):
    facts = {
        "quantumTaskArn": TASK,
        "status": status,
        "deviceArn": FORTE,
        "deviceParameters": "{}",
        "shots": 100,
        "outputS3Bucket": "bucket",
        "outputS3Directory": "tasks/8ea30a10",
        "createdAt": NOW,
    }
    return facts | more


def body(text):
    return {"Body": StreamingBody(BytesIO(text.encode()), len(text.encode()))}


def summary(key, arn=TASK):
    facts = {key: value for key, value in described("QUEUED").items() if key != "deviceParameters"}
    return facts | {"quantumTaskArn": arn, "tags": {"qcaan-key": key}}


def test_the_target_is_read_from_the_device_once(aws):
    a = aws(facts=False, mitigation="debias")
    answer = {
        "deviceArn": FORTE,
        "deviceName": "Forte 1",
        "providerName": "IonQ",
        "deviceType": "QPU",
        "deviceStatus": "ONLINE",
        "deviceCapabilities": read_snapshot("ionq-forte-1"),
    }
    a.facts.add_response("get_device", answer, {"deviceArn": FORTE})
    a.sts.add_response("get_caller_identity", {"Account": ACCOUNT})
    target = a.device.target
    assert (target.device, target.min_shots, target.mitigation) == (FORTE, 2500, "debias")
    assert target.account == f"{ACCOUNT} us-east-1"
    assert a.device.target is target


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        ("RETIRED", ConfigError, "is retired; use ionq-forte-1, ionq-forte-enterprise-1"),
        ("ONLINE", IntegrityError, "not JSON"),
    ],
)
def test_a_device_that_is_gone_or_not_understood_is_refused(aws, status, error, told):
    a = aws(facts=False)
    names = {"deviceName": "F", "providerName": "I", "deviceType": "QPU", "deviceStatus": status}
    a.facts.add_response("get_device", {"deviceArn": FORTE, "deviceCapabilities": "{", **names})
    with pytest.raises(error, match=told):
        _ = a.device.target


def test_a_task_is_created_with_its_key_as_token_and_tag(aws):
    a = aws()
    expected = {
        "clientToken": KEY,
        "tags": {"qcaan-key": KEY},
        "deviceArn": FORTE,
        "outputS3Bucket": "bucket",
        "outputS3KeyPrefix": "tasks",
        **payload([CIRCUIT], 100),
    }
    a.braket.add_response("create_quantum_task", {"quantumTaskArn": TASK}, expected)
    assert a.device.submit([CIRCUIT], 100, KEY) == TASK


def test_a_batch_is_one_program_set_in_a_reservation(aws):
    a = aws(reservation=RESERVATION)
    expected = {
        "clientToken": KEY,
        "tags": ANY,
        "deviceArn": FORTE,
        "outputS3Bucket": "bucket",
        "outputS3KeyPrefix": "tasks",
        "associations": [{"arn": RESERVATION, "type": "RESERVATION_TIME_WINDOW_ARN"}],
        **payload([CIRCUIT, CIRCUIT], 100),
    }
    assert expected["shots"] == 200
    a.braket.add_response("create_quantum_task", {"quantumTaskArn": TASK}, expected)
    assert a.device.submit([CIRCUIT, CIRCUIT], 100, KEY) == TASK


def test_a_refused_create_is_asked_once(aws):
    a = aws()
    a.braket.add_client_error("create_quantum_task", "InternalServiceException", "oops", 500)
    with pytest.raises(TransientError):
        a.device.submit([CIRCUIT], 100, KEY)


def test_times_of_any_form_have_a_time_zone():
    for text in ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000+00:00", "Thu, 01 Jan 2026 00:00:00 GMT", 1767225600):
        assert _time(text) == NOW


def test_botocore_itself_never_repeats_a_question_about_a_task(session):
    assert session._tasks.braket_client.meta.config.retries["total_max_attempts"] == 1
    assert session._facts.braket_client.meta.config.retries["total_max_attempts"] == 6
    assert session._s3.meta.config.retries["total_max_attempts"] == 2


def test_without_a_location_results_go_where_amazons_sdk_puts_them(aws):
    a = aws(s3=None)
    # The SDK's own S3 client makes the bucket.
    s3 = Stubber(a.device._session._facts.s3_client)
    s3.add_response("create_bucket", {}, {"Bucket": f"amazon-braket-us-east-1-{ACCOUNT}"})
    a.sts.add_response("get_caller_identity", {"Account": ACCOUNT})
    made = {"outputS3Bucket": f"amazon-braket-us-east-1-{ACCOUNT}", "outputS3KeyPrefix": "qcaan"}
    request = {"clientToken": ANY, "tags": ANY, "deviceArn": FORTE, **made, **payload([CIRCUIT], 100)}
    for _ in range(2):
        a.braket.add_response("create_quantum_task", {"quantumTaskArn": TASK}, request)
    with s3:
        a.device.submit([CIRCUIT], 100, KEY)
        a.device.submit([CIRCUIT], 100, KEY)
    s3.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (described("CREATED"), JobState(JobStatus.QUEUED)),
        (
            described("QUEUED", queueInfo={"queue": "QUANTUM_TASKS_QUEUE", "position": "7"}),
            JobState(JobStatus.QUEUED, queue_position=7),
        ),
        (
            described("QUEUED", queueInfo={"queue": "QUANTUM_TASKS_QUEUE", "position": ">2000"}),
            JobState(JobStatus.QUEUED, queue_position=2000),
        ),
        (
            described("RUNNING", queueInfo={"queue": "QUANTUM_TASKS_QUEUE", "position": "None"}),
            JobState(JobStatus.RUNNING),
        ),
        (described("CANCELLING"), JobState(JobStatus.RUNNING)),
        (described("PAUSED"), JobState(JobStatus.RUNNING)),
        (described("COMPLETED"), JobState(JobStatus.DONE)),
        (described("CANCELLED"), JobState(JobStatus.CANCELLED)),
        (described("FAILED", failureReason="ions lost"), JobState(JobStatus.FAILED, "ions lost")),
        (described("FAILED", numSuccessfulShots=0), JobState(JobStatus.FAILED)),
        (described("FAILED", numSuccessfulShots=40), JobState(JobStatus.DONE)),
    ],
)
def test_the_state_of_a_task(aws, task, expected):
    a = aws()
    asked = {"quantumTaskArn": TASK, "additionalAttributeNames": ["QueueInfo"]}
    a.braket.add_response("get_quantum_task", task, asked)
    assert a.device.poll(TASK) == expected


@pytest.mark.parametrize(("seconds", "usd"), [(0.5, 0.00375), (120, 0.15)])
def test_a_simulator_charges_for_its_time_and_at_least_three_seconds(aws, seconds, usd):
    a = aws(device="sv1", task_minutes=7.0)
    ended = NOW + timedelta(seconds=seconds)
    a.braket.add_response("get_quantum_task", described("COMPLETED", deviceArn=ARNS["sv1"], endedAt=ended))
    assert a.device.poll(TASK).usd == pytest.approx(usd)


def test_a_task_that_is_not_known_is_asked_for_once(aws):
    a = aws()
    a.braket.add_client_error("get_quantum_task", "ResourceNotFoundException", "no such task", 404)
    with pytest.raises(UnknownJobError, match=TASK):
        a.device.poll(TASK)


def test_a_task_of_another_device_is_noticed(aws):
    a = aws()
    a.braket.add_response("get_quantum_task", described("COMPLETED", deviceArn=ARNS["sv1"]))
    with pytest.raises(IntegrityError, match="sv1"):
        a.device.poll(TASK)


def test_a_reply_is_the_result_file_verbatim(aws):
    a = aws()
    a.braket.add_response("get_quantum_task", described("COMPLETED"))
    asked = {"Bucket": "bucket", "Key": "tasks/8ea30a10/results.json"}
    a.s3.add_response("get_object", body('{"as":   "it is"}'), asked)
    a.device.poll(TASK)
    assert a.device.fetch(TASK) == b'{"as":   "it is"}'


def test_a_reply_is_found_without_a_poll_before(aws):
    a = aws()
    a.braket.add_response("get_quantum_task", described("COMPLETED"))
    a.s3.add_response("get_object", body("{}"))
    assert a.device.fetch(TASK) == b"{}"


def test_a_reply_that_is_not_there_or_not_whole_is_late_until_it_is(aws):
    a = aws()
    a.braket.add_response("get_quantum_task", described("COMPLETED"))
    a.device.poll(TASK)
    a.s3.add_client_error("get_object", "NoSuchKey", "none", 404)
    for text in ('{"cut": ', "[]"):
        a.s3.add_response("get_object", body(text))
    a.s3.add_response("get_object", body("{}"))
    for _ in range(3):
        with pytest.raises(LateError, match="tasks/8ea30a10"):
            a.device.fetch(TASK)
    assert a.device.fetch(TASK) == b"{}"


def test_a_program_set_in_parts_is_fetched_whole(aws, monkeypatch):
    a = aws()
    program = {"executableResults": ["executables/0.json"], "source": "program.json"}
    files = {
        "results.json": {
            "s3Location": ["bucket", "x"],
            "taskMetadata": "metadata.json",
            "programResults": ["programs/0/results.json"],
        },
        "programs/0/results.json": program,
        "programs/0/executables/0.json": {"measuredQubits": [0]},
        "programs/0/program.json": {"source": "OPENQASM 3.0;"},
        "metadata.json": {"deviceId": FORTE},
    }
    a.braket.add_response("get_quantum_task", described("COMPLETED"))
    # Objects of one level are read at once, in any order: no stub, which has one.
    monkeypatch.setattr(a.device._session, "read", lambda _, place: json.dumps(files[place[15:]]).encode())
    objects = json.loads(a.device.fetch(TASK))["objects"]
    assert {name: json.loads(text) for name, text in objects.items()} == files


def test_a_task_is_found_by_its_tag_on_any_page(aws):
    a = aws()
    filters = [{"name": "deviceArn", "operator": "EQUAL", "values": [FORTE]}]
    untagged = {name: value for name, value in summary("x").items() if name != "tags"}
    first = {"quantumTasks": [untagged, summary("another" * 9, TASK[:-1] + "2")], "nextToken": "more"}
    a.braket.add_response("search_quantum_tasks", first, {"filters": filters, "maxResults": 100})
    second = {"filters": filters, "maxResults": 100, "nextToken": "more"}
    a.facts.add_response("search_quantum_tasks", {"quantumTasks": [summary(KEY)]}, second)
    assert a.device.find(KEY) == TASK


def test_cancelling_what_has_ended_is_not_an_error(aws):
    a = aws()
    asked = {"quantumTaskArn": TASK}
    answer = {"quantumTaskArn": TASK, "cancellationStatus": "CANCELLING"}
    a.braket.add_response("cancel_quantum_task", answer, asked)
    a.braket.add_client_error("cancel_quantum_task", "ConflictException", "it has ended", 409)
    a.device.cancel(TASK)
    a.device.cancel(TASK)
    a.braket.add_client_error("cancel_quantum_task", "AccessDeniedException", "no", 403)
    with pytest.raises(RejectedError):
        a.device.cancel(TASK)


def limit(usd, days=1):
    now = datetime.now(UTC)
    return {
        "spendingLimitArn": f"arn:aws:braket:us-east-1:{ACCOUNT}:spending-limit/1",
        "deviceArn": FORTE,
        "timePeriod": {"startAt": now - timedelta(days=2), "endAt": now + timedelta(days=days)},
        "spendingLimit": usd,
        **dict.fromkeys(("queuedSpend", "totalSpend"), "0"),
        **dict.fromkeys(("createdAt", "updatedAt"), NOW),
    }


def test_a_spending_limit_is_made_before_the_first_task(aws):
    a = aws(spending_limit_usd=400)
    asked = {"filters": [{"name": "deviceArn", "operator": "EQUAL", "values": [FORTE]}], "maxResults": 100}
    a.facts.add_response("search_spending_limits", {"spendingLimits": []}, asked)
    made = {"deviceArn": FORTE, "spendingLimit": "400.00"}
    a.facts.add_response("create_spending_limit", {"spendingLimitArn": limit("1")["spendingLimitArn"]}, made)
    for _ in range(2):
        a.braket.add_response("create_quantum_task", {"quantumTaskArn": TASK})
        a.device.submit([CIRCUIT], 100, KEY)


def test_a_spending_limit_that_is_not_higher_is_kept(aws):
    a = aws(spending_limit_usd=400)
    a.facts.add_response("search_spending_limits", {"spendingLimits": [limit("900"), limit("399.99")]})
    a.braket.add_response("create_quantum_task", {"quantumTaskArn": TASK})
    assert a.device.submit([CIRCUIT], 100, KEY) == TASK


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ([limit("900")], r"spending_limit_usd=400: .*900 USD; lower it with .*limit 400"),
        ([limit("9"), limit("5", days=-1)], r"period .* is not now, .*delete-spending-limit .*spending-limit/1"),
    ],
)
def test_a_spending_limit_that_does_not_fit_is_not_changed_and_nothing_is_sent(aws, there, told):
    a = aws(spending_limit_usd=400)
    for _ in range(2):
        a.facts.add_response("search_spending_limits", {"spendingLimits": there})
        with pytest.raises(ConfigError, match=told):
            a.device.submit([CIRCUIT], 100, KEY)


def test_no_secret_is_in_what_a_person_sees(aws):
    a = aws()
    a.braket.add_client_error("get_quantum_task", "AccessDeniedException", "User: arn is not authorized", 403)
    with pytest.raises(RejectedError) as caught:
        a.device.poll(TASK)
    assert "not to be told" not in str(caught.value) + repr(a.device) + repr(caught.value.__cause__)
