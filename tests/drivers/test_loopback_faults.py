"""Every fault of the loopback service, as Amazon's clients meet it; faults that are wrong are refused by name."""

import json
import time
from pathlib import Path
from typing import get_args

import boto3
import pytest
import yaml
from botocore import exceptions
from botocore.config import Config
from braket.aws import AwsQuantumTask, AwsSession
from braket.circuits import Circuit
from braket.program_sets import ProgramSet

from backends.loopback.braket.service import VOCABULARY
from backends.loopback.faults import Injector, Kind, load_faults, read_faults
from qcaan.errors import ConfigError

FORTE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"
ENTERPRISE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-Enterprise-1"
BUCKET = "amazon-braket-us-east-1-123456789012"
SOURCE = "OPENQASM 3.0;\nbit[1] b;\n#pragma braket verbatim\nbox{\ngpi2(0.5) $0;\n}\nb[0] = measure $0;\n"
ACTION = json.dumps({"braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"}, "source": SOURCE})
ONCE = Config(retries={"total_max_attempts": 1})


@pytest.fixture
def client(aws):
    return boto3.client("braket", config=ONCE)


@pytest.fixture
def s3(aws):
    return boto3.client("s3", config=ONCE)


@pytest.fixture
def create(client, request):
    """Create a task of this test; the same `n` is the same token."""

    def make(n=0, device=FORTE, client=client, **other):
        fields = {"shots": 100, "action": ACTION, "outputS3Bucket": BUCKET, "outputS3KeyPrefix": "p"}
        token = f"{abs(hash(request.node.nodeid)):x} {n}"
        return client.create_quantum_task(deviceArn=device, clientToken=token, **fields | other)["quantumTaskArn"]

    return make


@pytest.fixture
def finish(client):
    def wait(arn):
        while (answer := client.get_quantum_task(quantumTaskArn=arn))["status"] in ("QUEUED", "RUNNING"):
            time.sleep(0.01)
        return answer

    return wait


@pytest.fixture
def result(s3, finish):
    def read(arn):
        answer = finish(arn)
        key = f"{answer['outputS3Directory']}/results.json"
        return s3.get_object(Bucket=answer["outputS3Bucket"], Key=key)["Body"].read()

    return read


def refused(call, *arguments, **options):
    with pytest.raises(exceptions.ClientError) as caught:
        call(*arguments, **options)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]


class TestCalls:
    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            ({"kind": "throttle"}, ("ThrottlingException", 429)),
            ({"kind": "error"}, ("InternalServiceException", 500)),
            ({"kind": "error", "status": 502}, ("BadGatewayException", 502)),
            ({"kind": "error", "status": 503}, ("ServiceUnavailableException", 503)),
            ({"kind": "error", "status": 504}, ("GatewayTimeoutException", 504)),
            ({"kind": "quota"}, ("ServiceQuotaExceededException", 402)),
            ({"kind": "expired_credentials"}, ("ExpiredTokenException", 403)),
            ({"kind": "offline", "seconds": 0.1}, ("DeviceOfflineException", 424)),
        ],
    )
    def test_a_refused_create_makes_no_task(self, aws, create, fault, code):
        before = len(aws.jobs())
        aws.set_faults([fault | {"times": 1}])
        assert refused(create) == code
        assert len(aws.jobs()) == before
        time.sleep(fault.get("seconds", 0))
        create()
        assert len(aws.jobs()) == before + 1

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            ({"kind": "throttle"}, ("SlowDown", 503)),
            ({"kind": "error"}, ("InternalError", 500)),
            ({"kind": "expired_credentials"}, ("ExpiredToken", 400)),
        ],
    )
    def test_s3_has_its_own_codes(self, aws, s3, fault, code):
        aws.set_faults([fault | {"operation": "PutObject"}])
        assert refused(s3.put_object, Bucket=BUCKET, Key="k", Body=b"") == code
        s3.head_bucket(Bucket=BUCKET)

    def test_a_reset_happens_before_the_call(self, aws, create):
        before = len(aws.jobs())
        aws.set_faults([{"kind": "reset", "operation": "CreateQuantumTask", "times": 1}])
        with pytest.raises(exceptions.HTTPClientError):
            create()
        assert len(aws.jobs()) == before

    def test_a_lost_reply_happens_after_the_call(self, aws, create):
        before = len(aws.jobs())
        aws.set_faults([{"kind": "lost_reply", "operation": "CreateQuantumTask", "times": 1}])
        with pytest.raises(exceptions.ConnectionClosedError):
            create()
        assert len(aws.jobs()) == before + 1
        assert create() == aws.jobs()[-1]["id"]
        assert len(aws.jobs()) == before + 1

    def test_a_long_delay_is_a_lost_reply(self, aws, create):
        before = len(aws.jobs())
        impatient = boto3.client("braket", config=ONCE.merge(Config(read_timeout=0.2)))
        aws.set_faults([{"kind": "delay", "seconds": 1.2, "times": 1}])
        with pytest.raises(exceptions.ReadTimeoutError):
            create(client=impatient)
        deadline = time.monotonic() + 20
        while len(aws.jobs()) == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert create() == aws.jobs()[-1]["id"]

    def test_only_the_calls_of_one_key_expire(self, aws, client):
        aws.set_faults([{"kind": "expired_credentials", "access_key": "OLD"}])
        client.search_devices(filters=[])
        old = boto3.client("braket", config=ONCE, aws_access_key_id="OLD", aws_secret_access_key="x")
        assert refused(old.search_devices, filters=[]) == ("ExpiredTokenException", 403)

    def test_a_fault_of_one_device_leaves_the_others(self, aws, create, client):
        aws.set_faults([{"kind": "throttle", "device": "ionq-forte-1"}])
        create(1, ENTERPRISE)
        assert refused(create, 2)[1] == 429
        assert refused(client.get_device, deviceArn=FORTE)[1] == 429
        client.get_device(deviceArn=ENTERPRISE)

    def test_the_calls_of_a_task_are_its_device_s(self, aws, create, client):
        arn = create()
        aws.set_faults([{"kind": "throttle", "device": FORTE, "operation": "GetQuantumTask", "times": 1}])
        assert refused(client.get_quantum_task, quantumTaskArn=arn)[1] == 429
        client.get_quantum_task(quantumTaskArn=arn)


class TestOffline:
    def test_the_device_says_so_and_its_queue_stands_still(self, aws, create, client, finish):
        aws.set_faults([{"kind": "offline", "times": 1, "after": 1}, {"kind": "slow_queue", "seconds": 0.8}])
        arn = create(1)
        assert refused(create, 2) == ("DeviceOfflineException", 424)
        assert client.get_device(deviceArn=FORTE)["deviceStatus"] == "OFFLINE"
        time.sleep(1.0)
        assert client.get_quantum_task(quantumTaskArn=arn)["status"] == "QUEUED"
        aws.set_faults([])
        assert finish(arn)["status"] == "COMPLETED"
        assert client.get_device(deviceArn=FORTE)["deviceStatus"] == "ONLINE"

    def test_for_good_means_until_the_faults_change(self, aws, create, client):
        aws.set_faults([{"kind": "offline", "device": "ionq-forte-1", "times": 1}])
        assert client.get_device(deviceArn=FORTE)["deviceStatus"] == "OFFLINE"
        assert refused(create)[1] == 424
        assert client.get_device(deviceArn=ENTERPRISE)["deviceStatus"] == "ONLINE"
        aws.set_faults([])
        create()


class TestTasks:
    def test_failed(self, aws, create, finish):
        before = aws.bill_usd()
        aws.set_faults([{"kind": "failed", "times": 1, "reason": "no ions"}])
        answer = finish(create())
        assert (answer["status"], answer["failureReason"]) == ("FAILED", "no ions")
        assert aws.bill_usd() == before

    def test_cancelled_by_the_provider(self, aws, create, finish):
        before = aws.bill_usd()
        aws.set_faults([{"kind": "cancelled", "times": 1}])
        assert finish(create())["status"] == "CANCELLED"
        assert aws.bill_usd() == before

    def test_a_slow_queue(self, aws, create, finish):
        aws.set_faults([{"kind": "slow_queue", "times": 1, "seconds": 0.4}])
        slow, fast = create(1), create(2)
        assert [finish(arn)["status"] for arn in (slow, fast)] == ["COMPLETED"] * 2
        tasks = {task["id"]: task for task in aws.jobs()}
        assert tasks[slow]["started"] - tasks[slow]["created"] >= 0.4
        assert not tasks[fast]["fate"]

    def test_probabilities_that_do_not_sum_to_one(self, aws, create, result):
        aws.set_faults([{"kind": "wrong_sum", "times": 1, "factor": 0.25}])
        wrong, right = (json.loads(result(create(n)))["measurementProbabilities"] for n in range(2))
        assert sum(right.values()) == pytest.approx(1)
        assert sum(wrong.values()) < 0.75  # the likeliest of two outcomes has at least a half

    def test_some_executables_of_a_set_fail(self, aws):
        from braket.aws import AwsDevice

        aws.set_faults([{"kind": "partial", "share": 0.5, "times": 1}])
        bell = Circuit().h(0).cnot(0, 1)
        before = aws.bill_usd()
        task = AwsDevice(FORTE).run(ProgramSet([bell] * 4), shots=400, poll_interval_seconds=0.02)
        found = task.result()
        failed = [hasattr(entry[0], "failureMetadata") for entry in found.entries]
        assert failed == [True, True, False, False]
        assert found.task_metadata.totalFailedExecutables == 2
        assert task.metadata()["numSuccessfulShots"] == 200
        assert found[0][0].failureMetadata.retryable
        assert aws.bill_usd() - before == pytest.approx(0.30 + 200 * 0.08)

    def test_all_executables_of_a_set_fail(self, aws):
        from braket.aws import AwsDevice

        aws.set_faults([{"kind": "partial", "share": 1, "times": 1}])
        before = aws.bill_usd()
        task = AwsDevice(FORTE).run(ProgramSet([Circuit().h(0)] * 2), shots=200, poll_interval_seconds=0.02)
        assert task.result().task_metadata.totalFailedExecutables == 2
        assert task.state() == "FAILED"
        assert aws.bill_usd() == before


class TestObjects:
    def test_a_late_result(self, aws, create, result):
        aws.set_faults([{"kind": "missing_object", "seconds": 1000}])
        arn = create()
        assert refused(result, arn) == ("NoSuchKey", 404)
        aws.set_faults([{"kind": "missing_object", "seconds": 0.5}])
        time.sleep(0.5)
        assert json.loads(result(arn))["taskMetadata"]["id"] == arn

    def test_a_result_that_never_comes(self, aws, create, result):
        aws.set_faults([{"kind": "missing_object", "object": "*/results.json"}])
        arn = create()
        for _ in range(3):
            assert refused(result, arn) == ("NoSuchKey", 404)

    def test_a_truncated_result(self, aws, create, result):
        aws.set_faults([{"kind": "truncated_object", "times": 1}])
        arn = create()
        with pytest.raises((exceptions.IncompleteReadError, exceptions.ResponseStreamingError)):
            result(arn)
        assert json.loads(result(arn))

    def test_a_corrupt_result(self, aws, create, result):
        aws.set_faults([{"kind": "corrupt_object", "times": 1}])
        arn = create()
        broken, whole = result(arn), result(arn)
        assert len(broken) == len(whole)
        with pytest.raises(ValueError, match="control character|delimiter|Expecting|Unterminated"):
            json.loads(broken)
        assert json.loads(whole)


class TestRules:
    def test_without_idempotency_a_token_makes_a_second_task(self, aws, create, result):
        aws.set_faults([{"kind": "no_idempotency"}])
        first, second = create(1), create(1)
        assert first != second
        histograms = [json.loads(result(arn))["measurementProbabilities"] for arn in (first, second)]
        assert histograms[0] == histograms[1]
        aws.set_faults([])
        assert create(1) in (first, second)

    def test_a_search_may_be_behind(self, aws, create, client):
        aws.set_faults([{"kind": "slow_search", "seconds": 1000}])
        arn = create()
        search = [{"name": "quantumTaskArn", "operator": "EQUAL", "values": [arn]}]
        assert client.search_quantum_tasks(filters=search)["quantumTasks"] == []
        aws.set_faults([{"kind": "slow_search", "seconds": 0.6}])
        time.sleep(0.6)
        assert len(client.search_quantum_tasks(filters=search)["quantumTasks"]) == 1


def test_the_sdk_sees_expired_credentials_while_a_task_is_queued(aws, create):
    """What a driver must do better: the SDK's task raises."""
    aws.set_faults(
        [{"kind": "slow_queue", "seconds": 0.3}, {"kind": "expired_credentials", "operation": "GetQuantumTask"}]
    )
    task = AwsQuantumTask(create(), AwsSession())
    with pytest.raises(exceptions.ClientError, match="expired"):
        task.state()


class TestHowOften:
    def hits(self, n=30, **fault):
        injector = Injector(read_faults([{"kind": "throttle"} | fault], "test", VOCABULARY))
        call = {"device": FORTE, "key": "", "age_s": float("nan"), "access_key": "k"}
        return [bool(injector.call("GetDevice", **call)) for _ in range(n)]

    def test_every_after_and_times(self):
        found = self.hits(after=3, every=4, times=2)
        assert [k for k, hit in enumerate(found) if hit] == [6, 10]

    def test_probability_is_the_same_in_every_run(self):
        found = self.hits(400, probability=0.25, seed=5)
        assert found == self.hits(400, probability=0.25, seed=5)
        assert found != self.hits(400, probability=0.25, seed=6)
        # Binomial(400, 1/4) is 100 +- 8.7; six standard deviations.
        assert abs(sum(found) - 100) < 52

    def test_counts_are_told(self, aws, client):
        aws.set_faults([{"kind": "throttle", "operation": "SearchDevices", "every": 2}])
        client.search_devices(filters=[])
        refused(client.search_devices, filters=[])
        (told,) = aws.state()["faults"]
        assert (told["matched"], told["hits"]) == (2, 1)


class TestWrongFaults:
    @pytest.mark.parametrize(
        ("entry", "told"),
        [
            ({"kind": "gremlin"}, r"fault 1, kind: 'gremlin' does not exist; known: throttle, error"),
            ({"kind": "throtle"}, r"fault 1, kind: 'throtle' does not exist; did you mean 'throttle'"),
            ({}, "fault 1, kind: missing; add it"),
            ({"kind": "throttle", "evry": 2}, "fault 1, evry: there is no such field; known: kind, operation"),
            ({"kind": "throttle", "every": 0}, "fault 1, every: 0 - input should be greater than or equal to 1"),
            ({"kind": "error", "status": 404}, "fault 1, status: 404 - input should be 500, 502, 503 or 504"),
            ({"kind": "throttle", "seconds": 2}, "fault 1: kind 'throttle' does not use seconds; leave it out"),
            ({"kind": "throttle", "reason": "x"}, "fault 1: kind 'throttle' does not use reason; leave it out"),
            ({"kind": "delay", "operation": "CreateTask"}, "operation 'CreateTask' .* did you mean"),
            ({"kind": "failed", "device": "ionq-forte"}, "device 'ionq-forte' .* did you mean 'ionq-forte-1'"),
            ({"kind": "failed", "operation": "GetObject"}, "kind 'failed' does not use operation; leave it out"),
            ({"kind": "no_idempotency", "every": 2}, "kind 'no_idempotency' does not use every; leave it out"),
            ({"kind": "delay", "operation": 3}, r"fault 1, operation: needs an operation, .*, not 3"),
            ("throttle", r"fault 1: needs fields such as \{kind: throttle, every: 5\}, not 'throttle'"),
        ],
    )
    def test_the_field_the_value_and_the_remedy_are_told(self, entry, told):
        with pytest.raises(ConfigError, match=told):
            read_faults([entry], "faults.yaml", VOCABULARY)

    def test_all_are_told_at_once(self):
        with pytest.raises(ConfigError, match=r"(?s)f.yaml:.*fault 1.*fault 2"):
            read_faults([{"kind": "x"}, {"kind": "y"}], "f.yaml", VOCABULARY)

    def test_a_running_service_refuses_them_too(self, aws):
        with pytest.raises(ConfigError, match="fault 1, kind"):
            aws.set_faults([{"kind": "gremlin"}])

    @pytest.mark.parametrize(
        ("text", "told"),
        [("{", "is not YAML"), ("kind: throttle", r"the list: needs entries such as '- \{kind: .*, not \{'kind'")],
    )
    def test_files(self, tmp_path, text, told):
        path = tmp_path / "faults.yaml"
        path.write_text(text)
        with pytest.raises(ConfigError, match=told):
            load_faults(path, VOCABULARY)
        with pytest.raises(ConfigError, match="cannot read the faults"):
            load_faults(tmp_path / "none.yaml", VOCABULARY)


def test_the_example_has_every_kind():
    path = Path(__file__).parents[2] / "examples" / "faults.yaml"
    in_force = {fault.kind for fault in load_faults(path, VOCABULARY)}
    commented = [line.removeprefix("# ") for line in path.read_text().splitlines() if line.startswith("# - {")]
    rest = {
        fault.kind
        for fault in read_faults([entry for line in commented for entry in yaml.safe_load(line)], "", VOCABULARY)
    }
    assert in_force | rest == set(get_args(Kind))
    assert in_force & rest <= {"missing_object"}


def test_faults_and_their_counts_round_trip():
    injector = Injector(
        read_faults([{"kind": "failed", "times": 2, "reason": "x"}, {"kind": "offline"}], "test", VOCABULARY)
    )
    injector.job(FORTE, is_set=False)
    again = Injector.from_json(injector.to_json(), VOCABULARY)
    assert again.view() == injector.view()
    assert again.hits == [1, 0]
