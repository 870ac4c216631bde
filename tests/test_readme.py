"""What the README shows runs as it stands there. Its commands are checked with those of all pages in test_docs.py."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    blocks: Callable[[str], list[tuple[str, str]]],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    names: dict[str, object] = {}
    (python,) = [body for language, body in blocks(TEXT) if language == "python"]
    exec(python, names)
    assert "'00'" in capsys.readouterr().out
    assert sum(names["z"].counts.values()) == 1000
    assert names["bound"].angles.shape[0] == 100
    assert list(Path(names["path"]).glob("samples/*.png"))


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"\b(?:qcaan|examples|benchmarks|docs)/[\w/.]+\.(?:py|md|yaml|png|qasm|ipynb)\b", TEXT))
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []
