"""The loopback service through boto3: codes, limits, pages, tokens, spending limits, S3 and STS."""

import json
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from itertools import chain

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from backends.loopback.braket import protocol
from backends.loopback.braket.errors import STATUS, ServiceError
from backends.loopback.braket.protocol import Protocol

FORTE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"
ENTERPRISE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-Enterprise-1"
SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
BUCKET = "amazon-braket-us-east-1-123456789012"
SOURCE = "OPENQASM 3.0;\nbit[1] b;\n#pragma braket verbatim\nbox{\ngpi(0.5) $0;\n}\nb[0] = measure $0;\n"
ACTION = json.dumps({"braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"}, "source": SOURCE})


@pytest.fixture
def client(aws):
    return boto3.client("braket", config=Config(retries={"total_max_attempts": 1}))


@pytest.fixture
def s3(aws):
    return boto3.client("s3", config=Config(retries={"total_max_attempts": 1}))


def task(token, **other):
    fields = {"deviceArn": FORTE, "shots": 100, "action": ACTION, "outputS3Bucket": BUCKET, "outputS3KeyPrefix": "p"}
    return fields | {"clientToken": token} | other


def code_of(caught):
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]


def finish(client, arn):
    while (answer := client.get_quantum_task(quantumTaskArn=arn))["status"] not in ("COMPLETED", "FAILED"):
        time.sleep(0.01)
    return answer


def test_the_same_token_is_the_same_task(client, aws):
    before = len(aws.jobs())
    arns = {client.create_quantum_task(**task("same"))["quantumTaskArn"] for _ in range(3)}
    assert len(arns) == 1
    assert len(aws.jobs()) == before + 1


@pytest.mark.parametrize(
    "changes",
    [{"shots": 101}, {"action": ACTION.replace("0.5", "0.25")}, {"outputS3KeyPrefix": "q"}, {"tags": {"k": "v"}}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_token_is_good_for_one_request(client, aws, changes):
    """Whoever takes another's token must not be handed another's task."""
    client.create_quantum_task(**task("mine"))
    before = len(aws.jobs())
    with pytest.raises(ClientError, match="the client token mine was used for another request") as caught:
        client.create_quantum_task(**task("mine", **changes))
    assert code_of(caught) == ("ValidationException", 400)
    assert len(aws.jobs()) == before


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"shots": 1}, "ValidationException", "range"),
        ({"deviceArn": FORTE + "x"}, "ResourceNotFoundException", "there is no device"),
        ({"outputS3Bucket": "not-there"}, "ValidationException", "bucket"),
        ({"action": "no"}, "ValidationException", "not JSON"),
        ({"action": "[]"}, "ValidationException", "not an object"),
        ({"action": "{}"}, "ValidationException", "is not supported"),
        ({"action": ACTION.replace("source", "sauce")}, "ValidationException", "needs a source"),
        ({"deviceParameters": "no"}, "ValidationException", "device parameters"),
        (
            {"deviceParameters": '{"errorMitigation": [{"type": "magic"}]}'},
            "ValidationException",
            "does not offer the error mitigation magic",
        ),
    ],
)
def test_what_a_task_must_be(client, aws, changes, code, told):
    before = len(aws.jobs())
    with pytest.raises(ClientError, match=told) as caught:
        client.create_quantum_task(**task("wrong" + told, **changes))
    assert code_of(caught) == (code, STATUS[code])
    assert len(aws.jobs()) == before


def test_a_simulator_offers_no_program_sets(client):
    action = ACTION.replace("openqasm.program", "openqasm.program_set")
    with pytest.raises(ClientError, match="is not supported by"):
        client.create_quantum_task(**task("set at sv1", deviceArn=SV1, action=action))


def test_unknown_tasks_and_devices(client):
    for call in (client.get_quantum_task, client.cancel_quantum_task):
        with pytest.raises(ClientError) as caught:
            call(quantumTaskArn="arn:aws:braket:us-east-1:123456789012:quantum-task/none")
        assert code_of(caught) == ("ResourceNotFoundException", 404)
    with pytest.raises(ClientError) as caught:
        client.get_device(deviceArn="arn:aws:braket:us-east-1::device/qpu/ionq/None")
    assert code_of(caught) == ("ResourceNotFoundException", 404)


def test_a_device_is_in_its_region_only(aws):
    elsewhere = boto3.client("braket", region_name="eu-west-2")
    with pytest.raises(ClientError, match="in eu-west-2"):
        elsewhere.get_device(deviceArn=FORTE)
    assert elsewhere.get_device(deviceArn=SV1)["deviceName"] == "SV1"
    assert [d["deviceName"] for d in elsewhere.search_devices(filters=[])["devices"]] == ["SV1", "DM1"]


def test_what_the_service_does_not_do_is_refused(client):
    with pytest.raises(ClientError, match="SearchJobs is not a part of this service"):
        client.search_jobs(filters=[])
    with pytest.raises(ClientError, match="the service iam is not a part"):
        boto3.client("iam", config=Config(retries={"total_max_attempts": 1})).list_users()


class TestSearch:
    @pytest.fixture(scope="class")
    @classmethod
    def arns(cls, loopback):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in loopback.environment.items():
                patch.setenv(name, value)
            client = boto3.client("braket")
            made = [
                client.create_quantum_task(**task(f"s{k}", deviceArn=ENTERPRISE, tags={"k": str(k)})) for k in range(7)
            ]
        return [answer["quantumTaskArn"] for answer in made]

    @staticmethod
    def where(name, *values, operator="EQUAL"):
        return {"name": name, "operator": operator, "values": list(values)}

    @pytest.fixture
    def here(self, client, arns):
        """The filters that the tasks of these tests pass, and no others; times are told to the millisecond."""
        first, last = (client.get_quantum_task(quantumTaskArn=arns[k])["createdAt"] for k in (0, -1))
        span = first.isoformat(), (last + timedelta(milliseconds=1)).isoformat()
        return [self.where("deviceArn", ENTERPRISE), self.where("createdAt", *span, operator="BETWEEN")]

    def test_pages_hold_every_task_once_newest_first(self, client, arns, here):
        pages = client.get_paginator("search_quantum_tasks").paginate(filters=here, PaginationConfig={"PageSize": 3})
        found = [[one["quantumTaskArn"] for one in page["quantumTasks"]] for page in pages]
        assert [len(page) for page in found] == [3, 3, 1]
        assert list(chain(*found)) == arns[::-1]

    def test_tags_are_told(self, client, arns):
        found = client.search_quantum_tasks(filters=[self.where("quantumTaskArn", arns[3])])["quantumTasks"]
        assert [one["tags"] for one in found] == [{"k": "3"}]

    def test_times(self, client, arns, here):
        at = client.get_quantum_task(quantumTaskArn=arns[3])["createdAt"]

        def found(*values, operator):
            texts = [value.isoformat() for value in values]
            filters = [*here, self.where("createdAt", *texts, operator=operator)]
            return len(client.search_quantum_tasks(filters=filters)["quantumTasks"])

        moment, day = timedelta(milliseconds=2), timedelta(days=1)
        assert found(at - day, operator="GT") == 7
        assert found(at - day, operator="LT") == 0
        assert found(at - day, at + day, operator="BETWEEN") == 7
        assert found(at - moment, operator="GTE") + found(at - moment, operator="LT") == 7

    @pytest.mark.parametrize(
        ("entry", "told"),
        [
            ({"name": "tags:k", "operator": "EQUAL", "values": ["3"]}, "'tags:k' is not a filter"),
            ({"name": "status", "operator": "LT", "values": ["QUEUED"]}, "takes the operator EQUAL"),
            ({"name": "createdAt", "operator": "GT", "values": ["noon"]}, "ISO 8601"),
            ({"name": "createdAt", "operator": "BETWEEN", "values": ["2026-01-01"]}, "does not take 1 values"),
            ({"name": "status", "operator": "NEAR", "values": ["QUEUED"]}, "'NEAR' is not one of LT, LTE, EQUAL"),
        ],
    )
    def test_wrong_filters(self, client, arns, entry, told):
        with pytest.raises(ClientError, match=told):
            client.search_quantum_tasks(filters=[entry])

    def test_a_foreign_page_token(self, client):
        with pytest.raises(ClientError, match="nextToken: 'x' is not a token"):
            client.search_quantum_tasks(filters=[], nextToken="x")

    def test_devices_take_one_filter(self, client):
        with pytest.raises(ClientError, match="use deviceArn"):
            client.search_devices(filters=[{"name": "deviceName", "values": ["Forte 1"]}])


class TestSpendingLimits:
    @pytest.fixture
    def limit(self, client):
        answer = client.create_spending_limit(deviceArn=FORTE, spendingLimit="20.00", clientToken=str(time.time_ns()))
        yield answer["spendingLimitArn"]
        client.delete_spending_limit(spendingLimitArn=answer["spendingLimitArn"])

    def test_a_limit_stops_the_task_that_would_exceed_it(self, client, limit, aws):
        before = aws.bill_usd()
        for k in range(2):  # 8.30 each
            finish(client, client.create_quantum_task(**task(f"{limit} {k}"[-64:]))["quantumTaskArn"])
        (told,) = client.search_spending_limits()["spendingLimits"]
        assert (told["totalSpend"], told["queuedSpend"], told["spendingLimit"]) == ("16.60", "0.00", "20.00")
        with pytest.raises(ClientError, match=r"exceeds the spending limit .*: \$16.60 of \$20.00 are spent") as caught:
            client.create_quantum_task(**task(f"{limit} 2"[-64:]))
        assert code_of(caught) == ("ValidationException", 400)
        assert aws.bill_usd() - before == pytest.approx(16.60)
        client.create_quantum_task(**task(f"{limit} 3"[-64:], deviceArn=ENTERPRISE))  # another device
        client.update_spending_limit(spendingLimitArn=limit, spendingLimit="24.90", clientToken="u")
        client.create_quantum_task(**task(f"{limit} 4"[-64:]))

    def test_a_period_admits_no_task_outside_of_it(self, client, limit):
        now = datetime.now(UTC)
        later = {"startAt": now + timedelta(hours=1), "endAt": now + timedelta(hours=2)}
        client.update_spending_limit(spendingLimitArn=limit, timePeriod=later, clientToken="u")
        with pytest.raises(ClientError, match="the period of the spending limit .* is not now"):
            client.create_quantum_task(**task(f"{limit} p"[-64:]))
        told = client.search_spending_limits(filters=[{"name": "deviceArn", "operator": "EQUAL", "values": [FORTE]}])
        shift = told["spendingLimits"][0]["timePeriod"]["startAt"] - later["startAt"]
        assert abs(shift) < timedelta(seconds=1)

    def test_wrong_limits(self, client):
        with pytest.raises(ClientError, match="simulators do not support"):
            client.create_spending_limit(deviceArn=SV1, spendingLimit="1", clientToken="sim")
        with pytest.raises(ClientError, match="does not match"):
            client.create_spending_limit(deviceArn=FORTE, spendingLimit="much", clientToken="much")
        now = datetime.now(UTC)
        period = {"startAt": now, "endAt": now - timedelta(1)}
        with pytest.raises(ClientError, match="before it starts"):
            client.create_spending_limit(deviceArn=FORTE, spendingLimit="1", timePeriod=period, clientToken="per")
        with pytest.raises(ClientError) as caught:
            client.delete_spending_limit(spendingLimitArn="arn:aws:braket:us-east-1:123456789012:spending-limit/none")
        assert code_of(caught) == ("ResourceNotFoundException", 404)

    def test_the_token_and_tags(self, client, limit):
        again = [
            client.create_spending_limit(deviceArn=ENTERPRISE, spendingLimit="5", clientToken="twice") for _ in range(2)
        ]
        assert again[0]["spendingLimitArn"] == again[1]["spendingLimitArn"]
        client.tag_resource(resourceArn=limit, tags={"who": "me"})
        assert client.list_tags_for_resource(resourceArn=limit)["tags"] == {"who": "me"}
        client.delete_spending_limit(spendingLimitArn=again[0]["spendingLimitArn"])


class TestS3:
    def test_an_object_comes_back(self, s3):
        s3.create_bucket(Bucket="one")
        s3.put_object(Bucket="one", Key="a b/c+d/é.json", Body=b"hello")
        found = s3.get_object(Bucket="one", Key="a b/c+d/é.json")
        assert found["Body"].read() == b"hello"
        assert s3.head_object(Bucket="one", Key="a b/c+d/é.json")["ContentLength"] == 5
        s3.delete_object(Bucket="one", Key="a b/c+d/é.json")
        with pytest.raises(ClientError) as caught:
            s3.get_object(Bucket="one", Key="a b/c+d/é.json")
        assert code_of(caught) == ("NoSuchKey", 404)

    def test_files_go_up_and_down(self, s3, tmp_path):
        (tmp_path / "up").write_bytes(b"x" * 1000)
        s3.upload_file(str(tmp_path / "up"), BUCKET, "file")
        s3.download_file(BUCKET, "file", str(tmp_path / "down"))
        assert (tmp_path / "down").read_bytes() == b"x" * 1000

    def test_listings_have_pages(self, s3):
        s3.create_bucket(Bucket="many")
        for k in range(5):
            s3.put_object(Bucket="many", Key=f"x/{k}", Body=b"1" * k)
        s3.put_object(Bucket="many", Key="y", Body=b"")
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket="many", Prefix="x/", PaginationConfig={"PageSize": 2}
        )
        rows = [[(row["Key"], row["Size"]) for row in page["Contents"]] for page in pages]
        assert [len(page) for page in rows] == [2, 2, 1]
        assert list(chain(*rows)) == [(f"x/{k}", k) for k in range(5)]

    def test_buckets(self, s3):
        s3.create_bucket(Bucket="mine")
        s3.head_bucket(Bucket="mine")
        assert {"mine", BUCKET} <= {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
        with pytest.raises(ClientError) as caught:
            s3.create_bucket(Bucket="mine")
        assert code_of(caught) == ("BucketAlreadyOwnedByYou", 409)
        for call in (lambda: s3.head_bucket(Bucket="none"), lambda: s3.list_objects_v2(Bucket="none")):
            with pytest.raises(ClientError) as caught:
                call()
            assert code_of(caught)[1] == 404

    def test_what_is_missing_says_so(self, s3):
        with pytest.raises(ClientError, match="not a part of this service"):
            s3.delete_bucket(Bucket=BUCKET)
        with pytest.raises(ClientError, match="neither chunks nor copies"):
            s3.copy_object(Bucket=BUCKET, Key="to", CopySource={"Bucket": BUCKET, "Key": "from"})


def test_sts_knows_the_caller(aws):
    sts = boto3.client("sts", config=Config(retries={"total_max_attempts": 1}))
    assert sts.get_caller_identity()["Account"] == "123456789012"
    with pytest.raises(ClientError, match="AssumeRole is not a part") as caught:
        sts.assume_role(RoleArn="arn:aws:iam::123456789012:role/x", RoleSessionName="me")
    assert code_of(caught) == ("InvalidAction", 400)


def ask(aws, path, *, method="GET", body=None, **headers):
    request = urllib.request.Request(aws.url + path, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class TestUnsigned:
    def test_calls_to_aws_must_be_signed(self, aws):
        status, told = ask(aws, "/quantum-tasks", method="POST", body=b"{}")
        assert (status, "must be signed" in told) == (404, True)

    def test_a_name_that_another_site_controls_is_refused(self, aws):
        assert ask(aws, "/loopback/state.json", Host="rebound.example:80")[0] == 403
        assert ask(aws, "/loopback/state.json", Host="localhost:80")[0] == 200

    def test_a_form_cannot_set_faults(self, aws):
        kind = {"Content-Type": "text/plain"}
        assert ask(aws, "/loopback/faults", method="PUT", body=b"[]", **kind)[0] == 415

    def test_the_price_list(self, aws):
        status, text = ask(aws, "/loopback/prices.csv")
        assert status == 200
        assert text.splitlines()[5].startswith('"SKU","PricePerUnit"')


class TestProtocol:
    """What no client sends."""

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            (b"{", "the body is not JSON"),
            (b"[]", "the body is a JSON list"),
            (b"{}", "Missing required parameter"),
            (b'{"clientToken": "%s"}' % (b"x" * 65), "clientToken: 65 is over the limit of 64"),
            (b'{"shots": "many"}', "Invalid type for parameter shots"),
        ],
    )
    def test_wrong_bodies(self, body, told):
        rest = {"deviceArn": "d", "shots": 1, "outputS3Bucket": "bucket", "outputS3KeyPrefix": "p", "action": "{}"}
        if b"clientToken" in body:
            body = json.dumps(rest | json.loads(body)).encode()
        with pytest.raises(ServiceError, match=told):
            Protocol().parse("POST", "/quantum-task", "", body)

    def test_no_such_operation(self):
        with pytest.raises(ServiceError, match="there is no operation POST /nothing"):
            Protocol().parse("POST", "/nothing", "", b"")

    def test_labels_are_decoded_and_queries_are_lists(self):
        operation, params = Protocol().parse(
            "GET", "/quantum-task/a%2Fb%3Ac", "additionalAttributeNames=QueueInfo", b""
        )
        assert operation == "GetQuantumTask"
        assert params == {"quantumTaskArn": "a/b:c", "additionalAttributeNames": ["QueueInfo"]}

    def test_a_reply_without_a_required_member_is_our_mistake(self):
        with pytest.raises(KeyError, match="quantumTaskArn"):
            Protocol().reply("CreateQuantumTask", {})

    def test_times_are_written_to_the_millisecond(self):
        assert protocol.iso(0.5) == "1970-01-01T00:00:00.500Z"
