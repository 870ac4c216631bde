"""The wheel, built and installed into an environment of its own: complete, and useful without any extra."""

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
DATA = (
    "qcaan/py.typed",
    "qcaan/circuits/qasm/gates.inc",
    "qcaan/data/mnist/train-images-idx3-ubyte.gz",
    "qcaan/data/classifier/classifier.safetensors",
    *(f"qcaan/learn/report/{name}.html" for name in ("base", "parts", "run", "sweep")),
    "backends/braket/capabilities/ionq-forte-1.json",
    "backends/loopback/page.html",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist, built without an isolated environment: the build backend is a dev dependency."""
    out = tmp_path_factory.mktemp("dist")
    build = "import hatchling.build as b, sys; print(b.build_wheel(sys.argv[1])); print(b.build_sdist(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", build, out], cwd=ROOT, capture_output=True, text=True, check=True)
    wheel, sdist = done.stdout.split()[-2:]
    return out / wheel, out / sdist


@pytest.fixture(scope="module")
def python(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the wheel and what it requires without extras, nothing else."""
    place = tmp_path_factory.mktemp("venv")
    venv.create(place, with_pip=False)
    (site,) = place.glob("lib/python*/site-packages")
    for name in required("qcaan"):
        for entry in {file.parts[0] for file in metadata.distribution(name).files or () if file.parts[0] != ".."}:
            if entry != "__pycache__":
                (site / entry).symlink_to(Path(metadata.distribution(name).locate_file(entry)))
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(built[0])], check=True, capture_output=True)
    return place / "bin" / "python"


def required(name: str) -> set[str]:
    """The distributions that one needs, and those that these need, without extras; not itself."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for text in metadata.requires(waiting.pop()) or ():
            needed = Requirement(text)
            if canonicalize_name(needed.name) in found or (needed.marker and not needed.marker.evaluate({"extra": ""})):
                continue
            found.add(canonicalize_name(needed.name))
            waiting.append(needed.name)
    return found


def run(command: list[str | Path]) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", env=environment, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_every_module_and_all_data(built: tuple[Path, Path]) -> None:
    names = set(zipfile.ZipFile(built[0]).namelist())
    modules = {str(path.relative_to(ROOT)) for room in ("qcaan", "backends") for path in (ROOT / room).rglob("*.py")}
    assert modules <= names
    assert set(DATA) <= names
    assert {name.partition("/")[0] for name in names} == {"qcaan", "backends", "qcaan-0.1.0.dist-info"}


def test_the_sdist_holds_what_builds_and_tests_it(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "Makefile", "constraints.txt", "tests/conftest.py", *DATA} <= names


def test_the_installed_package_is_the_wheels(python: Path) -> None:
    home = run([python, "-c", "import qcaan; print(qcaan.__file__)"]).strip()
    assert Path(home).is_relative_to(python.parent.parent)


def test_without_extras_the_local_backend_works(python: Path) -> None:
    program = (
        "import qcaan\n"
        "circuit = qcaan.Circuit(2).h(0).cx(0, 1)\n"
        "result = qcaan.run([circuit], qcaan.open_backend('local'), shots=100, seed=1)[0]\n"
        "print(sorted(result.counts), sum(result.counts.values()))"
    )
    assert run([python, "-c", program]).strip() == "['00', '11'] 100"


def test_the_commands_entry_point_works_and_names_what_is_missing(python: Path) -> None:
    command = python.parent / "qcaan"
    found = {row["name"]: row for row in json.loads(run([command, "backends", "list", "--json"]))}
    assert not found["local"]["install"]
    assert all("pip install" in found[name]["install"] for name in ("aer", "cirq", "braket"))
    assert run([command, "--version"]).strip() == "qcaan 0.1.0"


def test_importing_the_package_imports_nothing_heavy(python: Path) -> None:
    heavy = ("numpy", "torch", "numba", "matplotlib", "sqlalchemy", "pydantic", "rich", "typer")
    program = f"import qcaan, sys; print([name for name in {heavy!r} if name in sys.modules])"
    assert run([python, "-c", program]).strip() == "[]"
