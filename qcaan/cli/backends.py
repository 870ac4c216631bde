"""`qcaan backends`: which devices there are, and what they are."""

import json
from dataclasses import asdict

import typer
from rich.console import Console
from rich.table import Table

from qcaan.cli.options import AsJson, Options, parse_options, plain

app = typer.Typer(help="The devices that circuits can run on.", no_args_is_help=True)


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
        ready = f"[yellow]no:[/] {plain(info.install)}" if info.install else "[green]yes[/]"
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
            table.add_row(key, plain(value))
        console.print(table)


@app.command("check")
def check(name: str, options: Options = None, as_json: AsJson = False) -> None:
    """Check a simulator's driver: bit order, gate conventions, units, batches, seeds. Exit 1 if anything is wrong."""
    from qcaan.conformance import check as check_driver
    from qcaan.execution.registry import open_backend

    verdict = check_driver(open_backend(name, **parse_options(options)))
    if as_json:
        typer.echo(json.dumps(verdict.to_dict()))
    else:
        console = Console(soft_wrap=True, highlight=False)
        for answer in verdict.checks:
            mark = "[green]yes[/]" if answer.passed else "[red]NO[/] "
            console.print(f"{mark} {answer.name}" + (f": {plain(answer.diagnosis)}" if answer.diagnosis else ""))
        console.print(f"[dim]a good driver fails with probability {verdict.false_alarm_rate:.1g} at most[/]")
    if not verdict.passed:
        raise typer.Exit(1)
