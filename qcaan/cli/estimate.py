"""`qcaan estimate`: what a training run would cost, before anything is sent."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from qcaan.cli.completion import backend_names
from qcaan.cli.console import doing
from qcaan.cli.options import AsJson, plain
from qcaan.config import Config


def register(root: typer.Typer) -> None:
    """Add this module's command."""
    root.command()(estimate)


def estimate(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.")],
    backend: Annotated[
        str | None, typer.Option("--backend", metavar="NAME", help="On this backend.", autocompletion=backend_names)
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What a training run would submit, what it would cost, and how long it would take. Nothing is sent.

    Example: qcaan estimate examples/digits.yaml --backend braket --set prior.gradient=spsa
    """
    resolved = Config.load(config, [*([f"backend.name={backend}"] if backend else []), *(overrides or [])])
    with doing("loading PyTorch and counting"):
        from qcaan.execution.standing import duration
        from qcaan.learn.estimate import estimate_run

        estimated = estimate_run(resolved)
    found = asdict(estimated)
    if as_json:
        typer.echo(json.dumps(found))
        return
    seconds, source = found.pop("expected_s"), found.pop("expected_from")
    cap, fits, fits_failures = (found.pop(name) for name in ("cap_usd", "fits", "fits_failures"))
    table = Table("", "", box=None, show_header=False)
    for name, value in found.items():
        table.add_row(name.replace("_", " "), f"{value:.2f}" if isinstance(value, float) else plain(value))
    if cap is not None:
        within = "all of it fits" if fits_failures else "it fits if not too much fails" if fits else "it does NOT fit"
        table.add_row("budget.cap_usd", f"{cap:.2f}: {within}")
    elif found["usd_high"]:
        table.add_row("budget.cap_usd", "none: a device that costs money needs one")
    table.add_row("expected time", plain(source if seconds is None else f"{duration(seconds)}: {source}"))
    Console(highlight=False).print(table)
