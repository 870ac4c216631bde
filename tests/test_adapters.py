"""`qcaan.adapters`: names of classes in drivers that are not imported before they are asked for."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from qcaan import adapters


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_names_are_the_entry_points() -> None:
    assert set(dir(adapters)) == {entry.name for entry in entry_points(group=adapters.GROUP)} == set(adapters.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = adapters.Nothing


def test_nothing_is_imported_before_it_is_used() -> None:
    heavy = ["qiskit", "cirq", "pennylane", "numpy"]
    assert run(f"import sys, qcaan.adapters; print([m for m in {heavy} if m in sys.modules])") == "[]"


@pytest.mark.parametrize(
    ("name", "sdk", "extra"),
    [
        ("QiskitSampler", "qiskit", "qiskit"),
        ("CirqSampler", "cirq", "cirq-sampler"),
        ("QcaanDevice", "pennylane", "pennylane"),
    ],
)
def test_a_missing_sdk_gives_the_pip_command(name: str, sdk: str, extra: str) -> None:
    code = f"""
import sys
sys.modules["{sdk}"] = None
from qcaan import errors
try:
    from qcaan.adapters import {name}
except errors.MissingSDK as error:
    print(error)
"""
    assert run(code).endswith(f"pip install 'qcaan[{extra}]'")
