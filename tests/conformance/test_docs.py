"""`docs/drivers.md` runs as it stands: Python in one session, commands in one shell; what it shows is printed."""

import re
from pathlib import Path

from qcaan.conformance.mutants import MUTANTS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "drivers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)


def test_the_python_blocks(play) -> None:
    assert [kind for kind, _ in BLOCKS].count("python") >= 6
    play(TEXT)


def test_its_numbers_are_true() -> None:
    example = ROOT / "examples" / "third_party_driver"
    files = ("src/qcaan_qulacs/driver.py", "tests/test_conformance.py", "pyproject.toml")
    driver, test, project = (len((example / name).read_text().splitlines()) for name in files)
    assert f"{driver} lines of driver,\n{test} of test, {project} of `pyproject.toml`" in TEXT
    assert f"tested by {len(MUTANTS)} drivers" in TEXT
    assert f"All {len(MUTANTS)} drivers with a mistake" in TEXT


def test_the_commands(shell) -> None:
    out, before = "", None
    assert {kind for kind, _ in BLOCKS} == {"python", "sh", "text"}
    for kind, block in BLOCKS:
        if kind == "sh":
            out = shell(block).stdout
        elif kind == "text" and before == "sh":
            assert [line for line in block.strip().splitlines() if line not in out] == [], out
        before = kind
