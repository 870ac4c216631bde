"""The tables of the pages that say what the code says: keys of a configuration, options of a driver, the kit's mutants.

`python docs/tables.py` writes them into the pages, between `<!-- table: NAME -->` and `<!-- end of table -->`; a test
fails where a page says something else. NAME is `run`, a section of the configuration, `backend NAME`, or `mutants`.

Why they are kept in the pages and not made with the site: pages are read where the site is not built, too.
"""

import inspect
import json
import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import griffe
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from qcaan.config import Config
from qcaan.conformance.mutants import MUTANTS
from qcaan.execution.registry import GROUP

HERE = Path(__file__).parent
TABLE = re.compile(r"<!-- table: ([\w -]+?) -->\n.*?<!-- end of table -->", re.DOTALL)
_NAMES = {int: "integer", float: "number", bool: "true or false", str: "text", type(None): "null"}


class Row(NamedTuple):
    """One key or option; `default` is PydanticUndefined where a value must be given."""

    name: str
    kind: str
    default: object
    meaning: str


def render(page: str) -> str:
    """The text of a page with its tables as the code has them now."""

    def table(found: re.Match[str]) -> str:
        written = mutants() if found[1] == "mutants" else _markdown(rows(found[1]))
        return f"<!-- table: {found[1]} -->\n{written}<!-- end of table -->"

    return TABLE.sub(table, page)


@cache
def rows(name: str) -> list[Row]:
    """The rows of the table `name`."""
    if name.startswith("backend "):
        return _options(drivers()[name.removeprefix("backend ")])
    if name == "run":
        return _keys(Config, "", lambda model: model is None)
    return _keys(sections()[name], f"{name}.", lambda model: True)


def mutants() -> str:
    """The drivers with one mistake each, by the question of the kit that must find them."""
    found: dict[tuple[str, str], list[str]] = {}
    for mutant in MUTANTS:
        found.setdefault((mutant.tier, mutant.check), []).append(mutant.name)
    lines = [f"| {tier} | {asked} | {'; '.join(names)} |\n" for (tier, asked), names in sorted(found.items())]
    return "| tier | what is asked | mistakes that it finds |\n|---|---|---|\n" + "".join(lines)


def sections() -> dict[str, type[BaseModel]]:
    """The sections of a configuration."""
    return {name: model for name, field in Config.model_fields.items() if (model := _section(field)) is not None}


def drivers() -> dict[str, EntryPoint]:
    """The drivers of this distribution."""
    found = entry_points(group=GROUP)
    return {entry.name: entry for entry in found if entry.dist is not None and entry.dist.name == "qcaan"}


def _section(field: FieldInfo) -> type[BaseModel] | None:
    options = get_args(field.annotation) or (field.annotation,)
    return next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)


def _keys(model: type[BaseModel], prefix: str, wanted: Any) -> list[Row]:  # noqa: ANN401 - a predicate
    return [
        Row(prefix + name, _kind(field.annotation, field.metadata), field.default, field.description or "")
        for name, field in model.model_fields.items()
        if wanted(_section(field))
    ]


def _options(entry: EntryPoint) -> list[Row]:
    driver = entry.load()
    hints = get_type_hints(driver, include_extras=True)
    source = griffe.load(entry.module)[entry.attr]
    defaults: Mapping[str, object]
    if is_dataclass(driver):
        defaults = {field.name: _default(field) for field in fields(driver)}
        meanings = {name: source.members[name].docstring.value for name in defaults}
    else:
        parameters = inspect.signature(driver).parameters
        defaults = {n: PydanticUndefined if p.default is p.empty else p.default for n, p in parameters.items()}
        (told,) = [s for s in source.docstring.parse("google") if s.kind is griffe.DocstringSectionKind.parameters]
        meanings = {parameter.name: parameter.description for parameter in told.value}
    return [Row(name, _kind(hints[name], ()), default, meanings[name]) for name, default in defaults.items()]


def _default(field: Field[Any]) -> object:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return PydanticUndefined if field.default is MISSING else field.default


def _kind(annotation: Any, metadata: Iterable[Any]) -> str:  # noqa: ANN401 - any type
    """A type in words, with its limits."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner, *more = args
        return _kind(inner, [limit for item in more for limit in getattr(item, "metadata", [item])])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(arg, metadata if arg is not type(None) else ()) for arg in args)
    if origin is tuple:
        first = _kind(args[0], ())
        return f"list of ({first})" if Ellipsis in args else f"list of {len(args)}: {first}"
    if (origin or annotation) in (dict, Mapping) or is_dataclass(annotation):
        return "mapping"
    return _NAMES[annotation] + _limits(metadata)


def _limits(metadata: Iterable[Any]) -> str:
    limits = list(metadata)
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [f"{sign} {getattr(x, name)}" for name, sign in signs.items() for x in limits if hasattr(x, name)]
    return f" {', '.join(found)}" if found else ""


def _markdown(table: list[Row]) -> str:
    lines = [f"| `{row.name}` | {row.kind} | {_shown(row.default)} | {_one_line(row.meaning)} |\n" for row in table]
    return "| key | type | default | meaning |\n|---|---|---|---|\n" + "".join(lines)


def _shown(value: object) -> str:
    return "must be given" if value is PydanticUndefined else f"`{json.dumps(value)}`"


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").removesuffix(".")


if __name__ == "__main__":
    for path in sorted(HERE.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if (rendered := render(text)) != text:
            path.write_text(rendered, encoding="utf-8")
            print(f"{path.name} rewritten")  # noqa: T201 - a script
