"""Options that several commands share."""

from typing import Annotated, Any

import typer
import yaml

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Options = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the driver; repeatable.")
]


def parse_options(items: list[str] | None) -> dict[str, Any]:
    """Driver options from KEY=VALUE texts, values in YAML; a leading `backend.` is allowed, as in a configuration."""
    options = {}
    for item in items or []:
        key, equals, value = item.removeprefix("backend.").partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"'{item}': write KEY=VALUE, for example entangler=zz", param_hint="--set")
        options[key] = yaml.safe_load(value)
    return options


def plain(value: object) -> str:
    """The value as text that rich does not read as markup."""
    return str(value).replace("[", r"\[")
