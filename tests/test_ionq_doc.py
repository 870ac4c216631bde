"""What docs/ionq.md shows is true: its commands run, in their order, against the loopback service."""

import re
import shutil
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from backends.ionq.device import IonqDevice
from backends.ionq.facts import NOISE_MODELS
from backends.loopback.ionq import Loopback
from qcaan.config import Config

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "ionq.md").read_text(encoding="utf-8")
BLOCKS = [
    (language, textwrap.dedent(body)) for language, body in re.findall(r"^ *```(\w*)\n(.*?)^ *```", TEXT, re.M | re.S)
]
COMMANDS = [line for language, body in BLOCKS if language == "sh" for line in body.splitlines()]
Call = Callable[[str], str]


def block(language: str) -> str:
    (body,) = [body for found, body in BLOCKS if found == language]
    return body


@pytest.fixture(scope="module")
def service() -> Iterator[Loopback]:
    with Loopback() as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader is: the examples, and ionq.yaml with fewer steps between its two refits."""
    made = tmp_path_factory.mktemp("ionq")
    shutil.copytree(ROOT / "examples", made / "examples")
    short = block("yaml").replace("max_steps: 800", "max_steps: 4").replace("refresh_every: 400", "refresh_every: 2")
    (made / "ionq.yaml").write_text(f"{short}gan: {{channels: 2}}\n", encoding="utf-8")
    return made


@pytest.fixture
def call(service: Loopback, folder: Path, reader: Callable[..., Call]) -> Call:
    """Run a command line of the page in its folder, with IonQ at the loopback service; what it prints."""
    return reader(folder, service.environment)


@pytest.mark.slow
def test_the_commands_run_one_after_the_other(call: Call, service: Loopback) -> None:
    """Word for word, but that the example's networks are narrow and its steps few."""
    printed = {}
    for line in COMMANDS:
        if line.startswith("qcaan loopback"):
            continue
        short = "train.max_steps=2 --set train.scores=false --set gan.channels=2 --set prior.refresh_every=2"
        printed[line] = call(line.replace("train.max_steps=400", short))
    assert "qpu.forte-1" in printed["qcaan backends show ionq --set device=forte-1"]
    (drift,) = [out for line, out in printed.items() if line.startswith("qcaan drift")]
    assert "0 of 8 calls" in drift
    simulated = [job for job in service.jobs() if job["device"] == "simulator"]
    assert simulated
    assert {job["charge"] for job in simulated} == {0.0}
    assert {job["circuits"] for job in simulated} == {1}
    paid = [job for job in service.jobs() if job["device"] == "qpu.forte-1"]
    assert {job["status"] for job in paid} == {"COMPLETED"}
    assert f"{service.bill_usd():.2f}" in printed["qcaan jobs costs --store runs/forte-ionq"]
    submissions = re.search(r"submissions +(\d+)", printed["qcaan estimate ionq.yaml"])
    assert submissions
    assert int(submissions[1]) >= len(paid)
    (high,) = re.findall(r"usd high +([\d.]+)", printed["qcaan estimate ionq.yaml"])
    assert service.bill_usd() <= float(high)


def test_the_first_paid_job(call: Call, service: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    """It is paid once, and the same call again costs nothing."""
    assert call
    before = service.bill_usd()
    told = []
    for _ in range(2):
        exec(block("python"), {})
        told.append(capsys.readouterr().out)
        assert service.bill_usd() == before + 1.0
    assert told[0] == told[1]
    assert service.jobs()[-1]["id"] in told[0]


def test_the_configuration_is_the_examples_circuit() -> None:
    ours, example = Config.load(yaml.safe_load(block("yaml"))), Config.load(ROOT / "examples" / "digits.yaml")
    names = ("kind", "n_qubits", "n_layers", "topology")
    assert [getattr(ours.prior, name) for name in names] == [getattr(example.prior, name) for name in names]


def test_every_option_is_told() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", TEXT.split("## Options")[1], re.M)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert told == {field.name for field in fields(IonqDevice)}
    assert all(f"`{model}`" in TEXT for model in NOISE_MODELS)
