"""Every error that a user can meet has its section in docs/errors.md, and the page has no others."""

import inspect
import re
from pathlib import Path

import pytest

from qcaan import errors

PAGE = (Path(__file__).parent.parent / "docs/errors.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^### (\w+)$", PAGE, re.MULTILINE)
CLASSES = [name for name, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("name", [name for name in CLASSES if name != "QcaanError"])
def test_each_error_has_a_section_and_a_place_in_the_tree(name: str) -> None:
    assert name in SECTIONS
    assert name in (errors.__doc__ or "")


def test_each_section_is_an_error() -> None:
    assert sorted(SECTIONS) == sorted(set(CLASSES) - {"QcaanError"})


def test_the_exit_codes_are_the_errors() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert {getattr(errors, name).exit_code for name in CLASSES} | {0, 130} == told
