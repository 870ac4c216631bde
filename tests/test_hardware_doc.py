"""What docs/hardware.md shows is true: its commands run, in their order, against the loopback service."""

import re
import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from backends.loopback.braket import Loopback
from qcaan.config import Config

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "hardware.md").read_text(encoding="utf-8")
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
    """Where the reader is: the examples, and forte.yaml with fewer steps between its two refits."""
    made = tmp_path_factory.mktemp("hardware")
    shutil.copytree(ROOT / "examples", made / "examples")
    short = block("yaml").replace("max_steps: 800", "max_steps: 4").replace("refresh_every: 400", "refresh_every: 2")
    (made / "forte.yaml").write_text(f"{short}gan: {{channels: 2}}\n", encoding="utf-8")
    return made


@pytest.fixture
def call(service: Loopback, folder: Path, reader: Callable[..., Call]) -> Call:
    """Run a command line of the page in its folder, with AWS at the loopback service; what it prints."""
    return reader(folder, service.environment)


def test_the_configuration_is_the_examples_circuit() -> None:
    ours, example = Config.load(yaml.safe_load(block("yaml"))), Config.load(ROOT / "examples" / "digits.yaml")
    names = ("kind", "n_qubits", "n_layers", "topology")
    assert [getattr(ours.prior, name) for name in names] == [getattr(example.prior, name) for name in names]
    assert ours.budget is not None
    assert ours.budget.cap_usd > 116.20


def test_the_commands_run_one_after_the_other(call: Call, service: Loopback, folder: Path) -> None:
    """A run pays at the service what was estimated, one on the twin nothing; step 10 is step 8 by another name."""
    printed = {}
    for line in COMMANDS:
        if line == "qcaan train forte.yaml --out runs/forte":
            assert "qcaan train forte.yaml --out runs/loopback" in printed
            shutil.copytree(folder / "runs" / "loopback", folder / "runs" / "forte")
        elif not line.startswith("qcaan loopback"):
            printed[line] = call(line)
    figures = re.findall(r"^ *([a-z ]+?)  +([\d.]+)$", block(""), re.M)
    assert [name for name, _ in figures] == ["submissions", "shots", "usd low", "usd high"]
    told = printed["qcaan estimate forte.yaml"]
    for name, value in figures:
        assert re.search(rf"^ *{name} +{re.escape(value)}\b", told, re.M), told
    assert "native_gates" in printed["qcaan backends show braket --set device=ionq-forte-1"]
    assert "budget.cap_usd" in printed["qcaan diff examples/digits.yaml forte.yaml"]
    assert "116.20" in printed["qcaan jobs costs --store runs/loopback"]
    assert " 0.00 " in call("qcaan jobs costs --store runs/twin")
    assert len(service.jobs()) == 14
    assert service.bill_usd() == pytest.approx(116.20)
    for run in ("twin", "loopback", "forte"):
        assert "0 of 8 calls" in printed[f"qcaan drift --store runs/{run}"]
    (name,) = set(re.findall(r"born_machine-seed-\S+", call("qcaan jobs list --store runs/forte --wide")))
    assert '"circuits"' in call(f"qcaan jobs show --store runs/forte {name} 0/refit/0")
    assert "nothing is open" in call("qcaan jobs attach --store runs/forte")
    assert "nothing is open" in call(f"qcaan jobs cancel --store runs/forte --run {name}")


def test_the_first_paid_task(call: Call, service: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    """It costs what the page says, and the same call again nothing."""
    before = service.bill_usd()
    for _ in range(2):
        exec(block("python"), {})
        assert "arn:aws:braket:us-east-1:" in capsys.readouterr().out
        assert service.bill_usd() - before == pytest.approx(8.30)


def test_what_a_circuit_costs() -> None:
    assert "100 shots of one circuit are $8.30" in TEXT
    assert pytest.approx(8.30) == 0.30 + 100 * 0.08
    assert "2500 shots a circuit: $200.30" in TEXT
    assert pytest.approx(200.30) == 0.30 + 2500 * 0.08
    assert pytest.approx(525_193.60) == 1312 * (0.30 + 5000 * 0.08)
    assert "1312 tasks of 5000 shots, and $525,194" in TEXT


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"\bexamples/[\w/.]+\.\w+", TEXT))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
