"""What the README shows runs as it stands there."""

import re
import shutil
from pathlib import Path

import qcaan
from qcaan.cli import app
from qcaan.execution.backend import Backend

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_python_example(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    names: dict[str, object] = {}
    exec(BLOCKS[0], names)
    assert "'00'" in capsys.readouterr().out
    assert sum(names["z"].counts.values()) == 1000
    assert names["bound"].angles.shape[0] == 100
    assert list(Path(names["path"]).glob("samples/*.png"))


def test_the_example_driver() -> None:
    """As written it runs circuits: both bits of a Bell pair agree."""
    names: dict[str, object] = {"__name__": "lab_backend"}
    exec(BLOCKS[1], names)
    backend = names["LabBackend"](n_qubits=3)
    assert isinstance(backend, Backend)
    (result,) = qcaan.run([qcaan.Circuit(2).h(0).cx(0, 1)], backend, shots=200, seed=1)
    assert set(result.counts) == {"00", "11"}


def test_every_command_that_is_named_exists() -> None:
    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    named = set(re.findall(r"`(?:\.venv/bin/)?qcaan ([a-z]+)", TEXT)) | set(re.findall(r"bin/qcaan ([a-z]+)", TEXT))
    assert {"train", "resume", "sample", "evaluate", "backends"} <= named
    assert named <= known


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"\b(?:qcaan|examples|benchmarks|docs)/[\w/.]+\.(?:py|yaml|png|qasm)\b", TEXT))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
