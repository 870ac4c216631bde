"""Options that several commands share."""

from typing import Annotated, Any

import typer

from qcaan.config import parse_setting

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Options = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the driver; repeatable.")
]


def parse_options(items: list[str] | None) -> dict[str, Any]:
    """Driver options from KEY=VALUE texts, values in YAML; a leading `backend.` is allowed, as in a configuration.

    Raises:
        ConfigError: a text is not of that form.
    """
    return dict(parse_setting(item.removeprefix("backend."), "entangler=zz") for item in items or [])


def plain(value: object) -> str:
    """The value as text that rich does not read as markup."""
    return str(value).replace("[", r"\[")
