"""The loopback service as a process: what survives a kill, what it refuses to start with, its page."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import boto3
import pytest
from botocore import exceptions
from botocore.config import Config
from typer.testing import CliRunner

from backends.loopback import braket, ionq
from backends.loopback.braket import Loopback
from qcaan.cli import app
from qcaan.errors import ConfigError, StoreError

FORTE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"
BUCKET = "amazon-braket-us-east-1-123456789012"
SOURCE = "OPENQASM 3.0;\nbit[1] b;\n#pragma braket verbatim\nbox{\ngpi2(0.5) $0;\n}\nb[0] = measure $0;\n"
ACTION = json.dumps({"braketSchemaHeader": {"name": "braket.ir.openqasm.program", "version": "1"}, "source": SOURCE})
MAIN = [sys.executable, "-c", "from qcaan.cli import main; main()", "loopback", "braket"]
ONCE = Config(retries={"total_max_attempts": 1}, read_timeout=5)


def clients(service):
    options = {"region_name": "us-east-1", "aws_access_key_id": "k", "aws_secret_access_key": "s", "config": ONCE}
    return [boto3.client(name, endpoint_url=service.url, **options) for name in ("braket", "s3")]


def create(client, token, **tags):
    fields = {"deviceArn": FORTE, "shots": 100, "action": ACTION, "outputS3Bucket": BUCKET, "outputS3KeyPrefix": "p"}
    return client.create_quantum_task(clientToken=str(token), tags=tags, **fields)["quantumTaskArn"]


def finished(client, arns):
    """The tasks' states when all have ended."""
    deadline = time.monotonic() + 30
    while True:
        states = [client.get_quantum_task(quantumTaskArn=arn)["status"] for arn in arns]
        if not {"QUEUED", "RUNNING", "CANCELLING"} & set(states):
            return states
        assert time.monotonic() < deadline, states
        time.sleep(0.02)


def results(client, s3, arns):
    answers = [client.get_quantum_task(quantumTaskArn=arn) for arn in arns]
    keys = [f"{answer['outputS3Directory']}/results.json" for answer in answers]
    bodies = [json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()) for key in keys]
    return [body["measurementProbabilities"] for body in bodies]


def test_every_vendor_has_its_own_port_and_the_help_names_it():
    told = " ".join(CliRunner(env={"COLUMNS": "300"}).invoke(app, ["loopback", "--help"]).output.split())
    assert f"braket's is {braket.serve.port}, ionq's {ionq.serve.port}" in told
    assert braket.serve.port != ionq.serve.port


@pytest.mark.usefixtures("only_loopback")
class TestSurvival:
    def test_everything_survives_a_kill(self, tmp_path):
        with Loopback(tmp_path / "state", noise="none", faults=[{"kind": "failed", "after": 1, "times": 1}]) as service:
            braket, s3 = clients(service)
            arns = [create(braket, k, k=str(k)) for k in range(3)]
            assert finished(braket, arns) == ["COMPLETED", "FAILED", "COMPLETED"]
            s3.create_bucket(Bucket="kept")
            s3.put_object(Bucket="kept", Key="k", Body=b"body")
            limit = braket.create_spending_limit(deviceArn=FORTE, spendingLimit="100", clientToken="l")
            before, shots = service.state(), results(braket, s3, [arns[0], arns[2]])
            service.restart()
            assert service.state() | {"calls": 0} == before | {"calls": 0}
            assert results(braket, s3, [arns[0], arns[2]]) == shots
            assert s3.get_object(Bucket="kept", Key="k")["Body"].read() == b"body"
            (told,) = braket.search_spending_limits()["spendingLimits"]
            assert told["spendingLimitArn"] == limit["spendingLimitArn"]
            assert create(braket, 0, k="0") == arns[0]

    def test_open_tasks_go_on_with_the_same_outcomes(self, tmp_path):
        with Loopback(tmp_path / "calm", noise="none", seed=3) as service:
            braket, s3 = clients(service)
            arns = [create(braket, k) for k in range(4)]
            finished(braket, arns)
            expected = results(braket, s3, arns)
        with Loopback(tmp_path / "rough", noise="none", seed=3, latency_s=0.3, run_s=0.3) as service:
            braket, s3 = clients(service)
            arns = [create(braket, k) for k in range(4)]
            for _ in range(2):
                time.sleep(0.4)
                service.restart()
            assert finished(braket, arns) == ["COMPLETED"] * 4
            assert results(braket, s3, arns) == expected
            assert service.bill_usd() == pytest.approx(4 * 8.3)

    def test_what_a_client_was_told_is_never_lost(self, tmp_path):
        """Clients create as fast as they can while the service is killed: every ARN that came back is known after."""
        tokens = count()
        with Loopback(tmp_path / "state", noise="none") as service, ThreadPoolExecutor(4) as pool:
            told = []

            def client_of_its_own():
                braket = clients(service)[0]
                while True:
                    try:
                        told.append(create(braket, next(tokens)))
                    except (exceptions.HTTPClientError, exceptions.EndpointConnectionError):
                        return

            for _ in range(2):
                before = len(told)
                running = [pool.submit(client_of_its_own) for _ in range(4)]
                while len(told) <= before + 10:
                    time.sleep(0.01)
                time.sleep(0.2)
                service.kill()
                [one.result() for one in running]
                service.restart()
            known = [task["id"] for task in service.jobs()]
            assert len(told) > 20
            assert set(told) <= set(known)
            assert len(known) == len(set(known)) <= len(told) + 8  # at most one reply a client was lost at a kill
            finished(clients(service)[0], known)
            assert service.bill_usd() == pytest.approx(8.3 * len(known))

    def test_a_cancelled_running_task_ends_after_a_kill(self, tmp_path):
        with Loopback(tmp_path / "state", noise="none", run_s=1000) as service:
            (braket, _) = clients(service)
            arn = create(braket, 1)
            while (status := braket.get_quantum_task(quantumTaskArn=arn)["status"]) == "QUEUED":
                time.sleep(0.01)
            assert status == "RUNNING"
            braket.cancel_quantum_task(quantumTaskArn=arn)
            service.restart()
            assert finished(braket, [arn]) == ["CANCELLED"]
            assert service.bill_usd() == pytest.approx(8.3)

    @pytest.mark.parametrize("seconds", [None, 60])
    def test_a_device_that_is_offline_stays_so(self, tmp_path, seconds):
        fault = {"kind": "offline", "device": "ionq-forte-1", "operation": "GetDevice", "times": 1, "seconds": seconds}
        with Loopback(tmp_path / "state", faults=[fault]) as service:
            (braket, _) = clients(service)
            for _ in range(2):
                assert braket.get_device(deviceArn=FORTE)["deviceStatus"] == "OFFLINE"
                service.restart()
            with pytest.raises(exceptions.ClientError, match="DeviceOffline"):
                create(braket, 1)
            service.set_faults([])
            service.restart()
            status = "ONLINE" if seconds is None else "OFFLINE"
            assert braket.get_device(deviceArn=FORTE)["deviceStatus"] == status

    def test_a_token_names_its_first_task(self, tmp_path):
        with Loopback(tmp_path / "state", faults=[{"kind": "no_idempotency"}]) as service:
            (braket, _) = clients(service)
            first, second = create(braket, 1), create(braket, 1)
            assert first != second
            service.set_faults([])
            assert create(braket, 1) == first
            service.restart()
            assert create(braket, 1) == first

    def test_its_temporary_state_goes_with_it(self):
        with Loopback(noise="none") as service:
            state = service._state
            assert (state / "braket.sqlite").exists()
        assert not state.exists()
        with pytest.raises(StoreError, match="does not answer"):
            service.jobs()


class TestStart:
    def refused(self, tmp_path, *options):
        done = CliRunner().invoke(app, ["loopback", "braket", "--state", str(tmp_path / "state"), *map(str, options)])
        return done.exit_code, " ".join(done.output.split())

    @pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "localhost"])
    def test_only_loopback_addresses(self, tmp_path, host):
        code, told = self.refused(tmp_path, "--host", host)
        assert code == 2
        assert "127.0.0.1" in told

    def test_a_port_that_is_taken(self, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            code, told = self.refused(tmp_path, "--port", str(taken.getsockname()[1]))
        assert code == 2
        assert "use another, or 0 for a free one" in told

    def test_wrong_faults(self, tmp_path):
        (tmp_path / "faults.yaml").write_text("[{kind: gremlin}]")
        code, told = self.refused(tmp_path, "--faults", tmp_path / "faults.yaml")
        assert code == 2
        assert "fault 1, kind: 'gremlin'" in told

    def test_one_service_a_state(self, tmp_path):
        with (
            Loopback(tmp_path / "state", noise="none"),
            pytest.raises(ConfigError, match="another service has it open: stop that one"),
            Loopback(tmp_path / "state", noise="none"),
        ):
            pass

    @pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
    def test_it_ends_cleanly_and_says_how_to_use_it(self, tmp_path, name):
        command = [*MAIN, "--port", "0", "--state", tmp_path / "state"]
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        head = []
        while not head or not head[-1].startswith("export no_proxy="):
            head.append(process.stdout.readline())
            assert head[-1], process.stderr.read()
        process.send_signal(name)
        rest, errors = process.communicate(timeout=30)
        assert (process.returncode, rest, errors) == (0, "", "")
        script = "".join(head) + 'echo "$AWS_ENDPOINT_URL $AWS_ACCESS_KEY_ID $AWS_REGION"'
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == head[0].split(" at ")[1].split(";")[0] + " LOOPBACK us-east-1"
        assert "Ctrl-C ends it" in head[0]


class TestPage:
    def test_it_shows_tasks_bill_and_faults(self, loopback, only_loopback, browse):
        loopback.set_faults([{"kind": "failed", "times": 1, "reason": "no <b>ions</b>"}])
        braket, _ = clients(loopback)
        finished(braket, [create(braket, f"shown {k}") for k in range(2)])
        dom, console = browse(loopback.url)
        assert console == []
        assert f"<b>${loopback.bill_usd():,.2f}</b>Bill" in dom
        assert "no &lt;b&gt;ions&lt;/b&gt;" in dom
        for word in ("Forte Enterprise 1", "COMPLETED", "FAILED", "at most 1", "As of "):
            assert word in dom
        loopback.set_faults([])

    def test_without_faults_in_the_dark(self, loopback, only_loopback, browse):
        loopback.set_faults([])
        dom, console = browse(loopback.url, "--blink-settings=preferredColorScheme=0")
        assert console == []
        assert "None: the service behaves." in dom

    def test_it_asks_nobody_else(self, loopback, only_loopback):
        with urllib.request.urlopen(loopback.url, timeout=10) as reply:
            policy, page = reply.headers["Content-Security-Policy"], reply.read().decode()
        assert "default-src 'none'" in policy
        assert "connect-src 'self'" in policy
        assert "http" not in page
