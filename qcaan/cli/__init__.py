"""The command line: argument parsing and progress only.

Exit 0 done, 1 failed, 2 usage or config, 75 detached, 130 stopped by Ctrl-C.
"""

import os
import signal
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from qcaan import __version__
from qcaan.cli import backends, circuits, doctor, drift, estimate, jobs, loopback, sweep, training
from qcaan.cli.console import logs, tell_error
from qcaan.errors import QcaanError


class _Commands(TyperGroup):
    """An error of ours, or of the file system, is one message and an exit code, not a traceback."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer does not export the type that it declares here
        """Run a command."""
        try:
            return super().invoke(ctx)
        except QcaanError as error:
            tell_error(error, error.exit_code)
            ctx.exit(error.exit_code)
        except BrokenPipeError:
            raise
        except OSError as error:
            tell_error(error, 1)
            ctx.exit(1)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # in the midst of Python's own end: no traceback
            ctx.exit(130)


app = typer.Typer(
    cls=_Commands,
    help="Train a GAN whose prior is learned by a quantum computer, on any quantum computer.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for room in (training, sweep, circuits, jobs, estimate, drift, loopback, doctor):
    room.register(app)
app.add_typer(backends.app, name="backends")


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"qcaan {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Log records and progress as JSON lines on standard error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.with_resource(logs(log_json))


def main() -> None:
    """Run a command of the command line."""
    app()
