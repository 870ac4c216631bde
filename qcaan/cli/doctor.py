"""`qcaan doctor`: what this machine has of what a run needs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from qcaan.cli.options import AsJson, plain

_COLOURS = {"good": "green", "note": "yellow", "bad": "bold red"}


def register(root: typer.Typer) -> None:
    """Add this module's command."""
    root.command()(doctor)


def doctor(
    store: Annotated[
        str | None,
        typer.Option(
            metavar="STORE", envvar="QCAAN_STORE", show_default=False, help="Look at this store too: a file or a URL."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Python, disk, store, SDKs and credentials: what is there, what is missing, and the remedy.

    Nothing is sent to a device or its provider. Exit 1 if something is bad; what is a note only some runs need.

    Example: qcaan doctor --store runs/my-run/store.sqlite
    """
    from qcaan.execution.doctor import State, examine

    found = list(examine(Path(), store))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in found]))
    else:
        table = Table("", "", "", box=None, show_header=False, pad_edge=False)
        for finding in found:
            remedy = f"\n[bold]{plain(finding.remedy)}[/]" if finding.remedy else ""
            mark = f"[{_COLOURS[finding.state]}]{finding.state}[/]"
            table.add_row(mark, finding.subject, plain(finding.detail) + remedy)
        Console(highlight=False).print(table)
    if any(finding.state is State.bad for finding in found):
        raise typer.Exit(1)
