"""`qcaan backends`: which devices there are, and what they are."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

app = typer.Typer(help="The devices that circuits can run on.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Options = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option of the driver.")]


@app.command("list")
def list_backends(as_json: AsJson = False) -> None:
    """Every backend that is installed or could be, and the command that installs what is missing."""
    from qcaan.execution.registry import available_backends

    found = available_backends()
    if as_json:
        typer.echo(json.dumps([asdict(info) for info in found], default=dict))
        return
    table = Table("name", "what it is", "ready", "from", box=None, header_style="bold")
    for info in found:
        ready = f"[yellow]no:[/] {info.install}".replace("[braket", r"\[braket") if info.install else "[green]yes[/]"
        table.add_row(f"[bold]{info.name}[/]", info.doc, ready, info.distribution)
    Console(soft_wrap=True).print(table)


@app.command("show")
def show(name: str, options: Options = None, as_json: AsJson = False) -> None:
    """The facts of a backend (its Target) and the driver's options. Nothing is run and nothing is spent."""
    from qcaan.execution.registry import available_backends, open_backend

    backend = open_backend(name, **parse_options(options))
    info = next(info for info in available_backends() if info.name == name)
    facts = json.loads(backend.target.to_json())
    if as_json:
        typer.echo(json.dumps({"target": facts, "options": dict(info.options), "doc": info.doc}))
        return
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"[bold]{name}[/]: {info.doc}\n")
    for title, rows in (("target", facts), ("option (default)", info.options)):
        table = Table(title, "", box=None, header_style="bold")
        for key, value in rows.items():
            table.add_row(key, str(value).replace("[", r"\["))
        console.print(table)


def parse_options(items: list[str] | None) -> dict[str, Any]:
    """Driver options from KEY=VALUE texts, values in YAML; a leading `backend.` is allowed, as in a configuration."""
    options = {}
    for item in items or []:
        key, equals, value = item.removeprefix("backend.").partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"'{item}': write KEY=VALUE, for example entangler=zz", param_hint="--set")
        options[key] = yaml.safe_load(value)
    return options
