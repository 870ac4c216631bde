"""What is particular to Braket: two forms of a circuit, no run_batch, what a device at AWS needs, and which options.

Nothing is sent.
"""

import sys

import numpy as np
import pytest
from braket.devices import LocalSimulator
from braket.ir.openqasm import Program

from backends.braket import ARNS, open_braket
from backends.braket.aws import resolve
from backends.braket.credentials import found
from backends.braket.device import BraketDevice
from backends.braket.session import Session
from qcaan.circuits.native import NativeCircuit
from qcaan.circuits.render import render_braket
from qcaan.errors import CircuitError, ConfigError, CredentialsError, IntegrityError, MissingSDK

build = NativeCircuit.build
RESERVATION = "arn:aws:braket:us-east-1:123456789012:reservation/a1b2"
ELSEWHERE = RESERVATION.replace("us-east-1", "eu-west-2")


@pytest.fixture(autouse=True)
def _no_aws_configuration(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("BOTO_CONFIG", str(tmp_path / "boto"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def _credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")


def test_both_forms_give_the_same_bits_of_every_probability(random_native):
    batch = [random_native(seed, n) for seed, n in ((1, 2), (2, 3), (3, 3))] + [build(2), build(3, ("gpi", [1], [0.4]))]
    gates, text = open_braket().probabilities(batch), open_braket(form="openqasm").probabilities(batch)
    for a, b in zip(gates, text, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_text_that_a_device_gets_is_read_in_order_with_idle_qubits():
    # The SDK's own text would measure the qubits in the order of their first gate, and leave the idle ones out.
    circuit = build(4, ("gpi", [2], [0.4]), ("gpi", [0], [0.1]))
    task = LocalSimulator().run(Program(source=render_braket(circuit.program, circuit.angles)[0]), shots=10)
    assert task.result().measured_qubits == [0, 1, 2, 3]
    assert dict(task.result().measurement_counts) == {"1010": 10}


def test_the_rehearsal_refuses_what_a_device_would():
    too_much = build(2, ("ms", [0, 1], [0.0, 0.0, 2.0]))
    with pytest.raises(CircuitError, match="transpile"):
        open_braket(form="openqasm").probabilities([too_much])


@pytest.mark.parametrize("form", ["gates", "openqasm"])
def test_run_batch_is_never_used(monkeypatch, form):
    def refuse(*_, **__):
        raise AssertionError("run_batch was called")

    monkeypatch.setattr(LocalSimulator, "run_batch", refuse)
    backend = open_braket(form=form)
    assert backend.sample([build(1)] * 3, 5, seed=1)[2].to_dict() == {"0": 5}


def test_a_form_that_does_not_exist():
    with pytest.raises(ConfigError, match=r"option form='text': .*'gates' or 'openqasm'"):
        open_braket(form="text")


@pytest.mark.parametrize("device", ["ionq-forte-1", "ionq-forte-enterprise-1", ARNS["ionq-forte-1"]])
def test_a_qpu_without_credentials_says_all_that_it_needs(device):
    arn = ARNS.get(device, device)
    with pytest.raises(CredentialsError) as caught:
        _ = open_braket(device=device).target
    message = str(caught.value)
    for needed in (arn, "aws configure", "profile=NAME", "budget.cap_usd", "Nothing was sent"):
        assert needed in message
    assert "region" not in message


@pytest.mark.parametrize("device", ["sv1", "dm1"])
def test_a_simulator_at_aws_without_credentials_says_all_that_it_needs(device):
    with pytest.raises(CredentialsError) as caught:
        _ = open_braket(device=device).target
    message = str(caught.value)
    for needed in (ARNS[device], "aws configure", "region='us-east-1'"):
        assert needed in message
    assert "budget" not in message


@pytest.mark.usefixtures("_credentials")
def test_a_region_that_is_missing_is_a_config_error():
    with pytest.raises(ConfigError, match="needs a region: give the option region='us-east-1', or set AWS_REGION"):
        _ = open_braket(device="sv1").target


@pytest.mark.usefixtures("_credentials")
@pytest.mark.parametrize("options", [{"region": "mars-1"}, {}])
def test_a_region_that_braket_is_not_in(monkeypatch, options):
    monkeypatch.setenv("AWS_REGION", "mars-1")
    with pytest.raises(ConfigError, match="needs another region than 'mars-1': Braket is in .*us-east-1"):
        _ = open_braket(device="sv1", **options).target


def test_a_profile_that_does_not_exist():
    with pytest.raises(
        CredentialsError, match=r"profile='nobody': .*nobody.*; 'aws configure list-profiles'"
    ) as caught:
        _ = open_braket(device="sv1", profile="nobody").target
    assert "log in again" not in str(caught.value)


def test_a_profile_brings_credentials_and_region(tmp_path):
    text = "[profile lab]\naws_access_key_id = someone\naws_secret_access_key = something\nregion = eu-west-2\n"
    (tmp_path / "config").write_text(text)
    assert Session(resolve("dm1"), profile="lab").region == "eu-west-2"


@pytest.mark.usefixtures("_credentials")
def test_a_qpus_region_is_its_own_whatever_is_configured(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    session = Session(resolve("ionq-forte-1"))
    assert session.region == "us-east-1"
    assert "us-east-1" in session._tasks.braket_client.meta.endpoint_url


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"device": "ionq-forte"}, "did you mean 'ionq-forte-1'.*'sv1'"),
        ({"device": "arn:aws:s3:::device/qpu/ionq/Forte-1"}, "device='arn:aws:s3.*': use 'local'"),
        ({"device": "ionq-aria-1"}, "retired at Amazon Braket, .*emulate=true; otherwise use 'local', 'ionq-forte-1'"),
        ({"device": "ionq-forte-1", "region": "eu-west-2"}, "region='eu-west-2': .* is in us-east-1"),
        ({"device": "sv1", "mitigation": "debias"}, "mitigation='debias': sv1 is a simulator"),
        ({"device": "sv1", "reservation": RESERVATION}, "reservation=.* sv1 is a simulator"),
        ({"device": "dm1", "spending_limit_usd": 3.0}, "spending_limit_usd=3.0: dm1 is a simulator"),
        (
            {"device": "ionq-forte-1", "reservation": "mine"},
            "reservation='mine': give the ARN of a Braket Direct",
        ),
        (
            {"device": "ionq-forte-1", "reservation": RESERVATION.replace("us-east-1", "eu-west-2")},
            "reservation=.*us-east-1:ACCOUNT",
        ),
        ({"device": "ionq-forte-1", "spending_limit_usd": 0}, "spending_limit_usd=0: .*greater"),
        ({"device": "ionq-forte-1", "mitigation": "sharpen"}, "mitigation='sharpen': .*'none' or 'debias'"),
        ({"device": "ionq-forte-1", "program_sets": True}, "program_sets=True: .*'auto' or 'never'"),
        ({"device": "sv1", "task_minutes": -1}, "task_minutes=-1"),
        ({"device": "ionq-forte-1", "task_minutes": 2.0}, "task_minutes=2.0: ionq-forte-1 is a QPU without it"),
        ({"device": "ionq-forte-1", "s3": "s3://Bucket/x"}, "s3='s3://Bucket/x': give 's3://BUCKET/PREFIX'"),
        ({"device": "ionq-forte-1", "s3": "bucket"}, "s3='bucket': give 's3://BUCKET/PREFIX'"),
        ({"device": "ionq-forte-1", "entangler": "ms"}, "entangler='ms' does not apply to device='ionq-forte-1'"),
        ({"device": "ionq-forte-1", "scale": 0.5}, "scale=0.5 does not apply to .* without emulate=true"),
        ({"device": "ionq-forte-1", "emulate": "yes"}, "emulate='yes': use true or false"),
        ({"device": "ionq-forte-1", "emulate": True, "s3": "s3://b-b/x"}, "s3='s3://b-b/x' does not apply to the twin"),
        ({"mitigation": "debias", "scale": 0.5}, "mitigation='debias', scale=0.5 does not apply to device='local'"),
        ({"region": "us-east-1"}, "region='us-east-1' does not apply to device='local'"),
    ],
)
def test_a_wrong_option_names_its_value_and_the_remedy(options, expected):
    with pytest.raises(ConfigError, match=expected):
        open_braket(**options)


HERE = "http://127.0.0.1:4566"


@pytest.mark.usefixtures("_credentials")
@pytest.mark.parametrize(
    ("variables", "rehearsal"),
    [
        ({}, False),
        ({"AWS_ENDPOINT_URL": HERE}, True),
        ({"AWS_ENDPOINT_URL_BRAKET": HERE}, True),
        ({"BRAKET_ENDPOINT": HERE}, True),
        ({"AWS_ENDPOINT_URL": HERE, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, False),
    ],
)
def test_where_calls_go_is_where_a_session_sends_them(monkeypatch, variables, rehearsal):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BRAKET", "BRAKET_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (f"calls go to {HERE}, not to AWS" in found()) == rehearsal
    session = Session(resolve("ionq-forte-1"))
    assert (session._tasks.braket_client.meta.endpoint_url == HERE) == rehearsal


def test_opening_a_device_asks_for_nothing():
    device = open_braket(device="ionq-forte-1", mitigation="debias")
    assert isinstance(device, BraketDevice)
    with pytest.raises(IntegrityError):  # decoding needs no credentials
        device.decode(b"{}", [build(1)])
    with pytest.raises(CredentialsError, match="aws configure"):
        _ = device.target


def test_without_the_sdk_the_pip_command_is_said_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "braket.aws", None)
    with pytest.raises(MissingSDK, match=r"pip install 'qcaan\[braket\]'"):
        BraketDevice(device="ionq-forte-1")
