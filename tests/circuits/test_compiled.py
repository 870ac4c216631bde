"""Machine code on the disk is as young as all the source that it was compiled from."""

import hashlib
import re
from pathlib import Path

import pytest

CIRCUITS = Path(__file__).parents[2] / "qcaan/circuits"
ENTRIES = {
    path.relative_to(CIRCUITS).as_posix(): text
    for path in sorted(CIRCUITS.rglob("*.py"))
    if re.search(r"^@_?entry$", text := path.read_text(encoding="utf-8"), re.MULTILINE)
}
COMPILED = {"binding", "kernels", "slopes", "spaces", "structure"}
"""Modules with compiled functions, constants or tables that entry functions of other modules take in."""


def test_all_entry_functions_are_known() -> None:
    assert set(ENTRIES) == {"bloch.py", "compiler/machine.py", "evolve.py"}


@pytest.mark.parametrize("name", ENTRIES)
def test_a_file_changes_with_what_is_compiled_into_it(name: str) -> None:
    taken = COMPILED & set(re.findall(r"^from qcaan\.circuits\.(\w+) import", ENTRIES[name], re.MULTILINE))
    told = re.search(r'^INLINED = "(\w+)"  # (.*): see', ENTRIES[name], re.MULTILINE)
    assert told is not None
    assert told[2].split(", ") == sorted(taken)
    digest = hashlib.sha256(b"".join((CIRCUITS / f"{module}.py").read_bytes() for module in sorted(taken))).hexdigest()
    assert told[1] == digest[:12], f"{name}: write INLINED = {digest[:12]!r}"


@pytest.mark.parametrize("module", sorted(COMPILED - {"structure"}))
def test_what_is_compiled_in_takes_in_nothing_else(module: str) -> None:
    text = (CIRCUITS / f"{module}.py").read_text(encoding="utf-8")
    assert set(re.findall(r"^from qcaan\.circuits\.(\w+) import", text, re.MULTILINE)) < COMPILED
