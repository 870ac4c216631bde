"""What the command line says about itself: help with examples that could be run, and what TAB offers."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from backends.loopback.faults import Kind
from qcaan import cli
from qcaan.cli import completion, loopback


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with the words that call it."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from leaves(inner, (*words, name))
    if not hasattr(command, "commands"):
        yield words, command


COMMANDS = dict(leaves(get_command(cli.app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_help_has_an_example_that_is_a_command(words: tuple[str, ...]) -> None:
    text = " ".join((COMMANDS[words].help or "").split())
    assert text.count("Example: qcaan ") == 1, words
    example = shlex.split(text.partition("Example: qcaan ")[2])
    assert tuple(example[: len(words)]) == words
    COMMANDS[words].make_context("qcaan", example[len(words) :])


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_argument_and_option_is_explained(words: tuple[str, ...]) -> None:
    assert [parameter.name for parameter in COMMANDS[words].params if not parameter.help] == []


def test_the_kinds_of_faults_are_told_where_they_are_asked_for() -> None:
    page = (Path(__file__).parents[2] / "docs/faults.md").read_text(encoding="utf-8")
    kinds = {kind for group in Kind.__args__ for kind in getattr(group, "__args__", (group,))}
    assert len(kinds) == 18
    assert {kind for kind in kinds if kind not in (loopback.loopback.__doc__ or "")} == set()
    assert {kind for kind in kinds if f"| `{kind}` |" not in page} == set()


def test_backends_and_runs_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/first", "runs/second", "else/where", "runs/none"):
        Path(folder).mkdir(parents=True)
        if folder != "runs/none":
            Path(folder, "config.yaml").write_text("")
    assert completion.run_directories("") == ["runs/first", "runs/second"]
    assert completion.run_directories("runs/s") == ["runs/second"]
    assert completion.run_directories("else/") == ["else/where"]
    assert completion.run_directories(f"{tmp_path}/runs/f") == [f"{tmp_path}/runs/first"]
    assert completion.backend_names("b") == ["braket"]
    assert completion.target_names("a") == ["aer", "aria"]


@pytest.mark.parametrize(
    ("shell", "typed"),
    [
        ("bash", {"COMP_WORDS": "qcaan backends show b", "COMP_CWORD": "3"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "qcaan train x.yaml --backend b"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "qcaan jobs attach --backend b", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_the_shells(shell: str, typed: dict[str, str]) -> None:
    program = Path(sys.executable).with_name("qcaan")
    environment = os.environ | typed | {"_QCAAN_COMPLETE": f"complete_{shell}"}
    done = subprocess.run([program], env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert "braket" in done.stdout
    assert "aer" not in done.stdout


def test_the_command_line_starts_without_what_is_heavy() -> None:
    program = "import qcaan.cli, sys; print([name for name in ('numpy', 'torch', 'sqlalchemy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
