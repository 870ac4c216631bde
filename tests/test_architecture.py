"""The public names and the walls between the rooms."""

import ast
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import qcaan

ROOT = Path(__file__).parents[1]
MODULES = sorted([*(ROOT / "qcaan").rglob("*.py"), *(ROOT / "backends").rglob("*.py")])


def test_the_front_door() -> None:
    assert sorted(qcaan.__all__) == [
        "ARIA",
        "Circuit",
        "Config",
        "FORTE",
        "available_backends",
        "open_backend",
        "run",
        "theta",
        "transpile",
    ]
    for name in qcaan.__all__:
        assert getattr(qcaan, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = qcaan.nothing


def test_import_is_light() -> None:
    """`import qcaan` loads no array library, no SDK, no torch: they come when they are used."""
    heavy = ["numpy", "torch", "numba", "sqlalchemy", "matplotlib", "qiskit", "cirq", "braket"]
    code = f"import sys, qcaan; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_command_line_starts_without_torch_and_sdks() -> None:
    heavy = ["torch", "numba", "sqlalchemy", "matplotlib", "qiskit", "cirq", "braket"]
    code = f"import sys, qcaan.cli; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_walls() -> None:
    """import-linter's contracts (pyproject.toml) hold."""
    done = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_built_in_drivers_come_through_entry_points() -> None:
    names = {entry.name for entry in entry_points(group="qcaan.backends")}
    assert {"local", "aer", "cirq", "braket"} <= names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400, "split it: a module of more than 400 lines is two ideas"
    assert ast.get_docstring(ast.parse(text)), "a module says in its docstring what it is"
