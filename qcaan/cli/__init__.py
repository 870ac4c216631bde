"""The command line: argument parsing and progress only. Exit 0 done, 1 failed, 2 usage or config, 75 detached."""

import sys

import typer
from rich.console import Console

from qcaan.cli import backends, circuits, jobs, training
from qcaan.cli.options import plain
from qcaan.errors import QcaanError

app = typer.Typer(
    help="Train a GAN whose prior is learned by a quantum computer, on any quantum computer.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for room in (training, circuits, jobs):
    room.register(app)
app.add_typer(backends.app, name="backends")


def main() -> None:
    """Run a command; an error of ours is one message and its exit code, not a traceback."""
    try:
        app()
    except QcaanError as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold red]error:[/] {plain(error)}")
        sys.exit(error.exit_code)
