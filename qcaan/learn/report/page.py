"""What the pages of runs and of sweeps share: one template around their own, tables, pictures as data.

Why Jinja's autoescaping and pictures as data: what a configuration or a provider's message holds is text and nothing
else, and the file can be mailed, printed and kept.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from qcaan.learn.files import write_whole


@dataclass(frozen=True)
class Column:
    """A column of a table; numbers stand right, notes are quiet."""

    label: str
    kind: Literal["word", "number", "note", "error"] = "word"


@dataclass(frozen=True)
class Table:
    """Rows of cells, one a column; shown if there is a row."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


def numbers(labels: Sequence[str]) -> list[Column]:
    """Columns of numbers."""
    return [Column(label, "number") for label in labels]


def base64_of(picture: bytes) -> str:
    """A picture as text for a `data:` address."""
    return base64.b64encode(picture).decode()


def write_page(path: Path, template: str, content: Mapping[str, Any]) -> Path:
    """Fill one of this folder's templates; the same content gives the same page."""
    templates = Environment(
        loader=PackageLoader("qcaan.learn", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, templates.get_template(template).render(content))
    return path
