"""`qcaan jobs` and `qcaan estimate`: what was sent to devices, what it cost, and what a run would cost."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from qcaan.cli.console import Meter, jobs_line
from qcaan.cli.options import AsJson, Options, parse_options, plain
from qcaan.config import Config
from qcaan.errors import ConfigError

if TYPE_CHECKING:
    from qcaan.execution.backend import Backend
    from qcaan.execution.store import Store

app = typer.Typer(help="What was sent to devices, and what it cost.", no_args_is_help=True)
Where = Annotated[str, typer.Option("--store", metavar="STORE", help="A run directory, a file, or a database URL.")]
RunName = Annotated[str | None, typer.Option("--run", help="Only this run's; names are in the list.")]
BackendName = Annotated[str | None, typer.Option("--backend", help="The backend [default: the run directory's].")]
Key = Annotated[str, typer.Argument(metavar="KEY", help="A submission's key, from the list.")]


def register(root: typer.Typer) -> None:
    """Add this module's commands."""
    root.add_typer(app, name="jobs")
    root.command()(estimate)


@app.command("list")
def list_jobs(where: Where, run: RunName = None, only_open: bool = False, as_json: AsJson = False) -> None:
    """Every submission: state, device, shots of all its circuits, money spent at least and at most, job id."""
    from qcaan.execution import jobs

    with _store(where) as store:
        found = jobs.list_jobs(store, run=run, only_open=only_open)
    rows = [
        asdict(job)
        | {
            "submissions": 1,
            "shots": job.shots * job.n_circuits,
            "usd_low": job.usd or 0.0,
            "usd_high": job.usd_high if job.usd is None else job.usd,
        }
        for job in found
    ]
    _table(rows, as_json, ("created_at", "run", "tag", "state", "device", "shots", "usd_low", "usd_high", "job_id"))


@app.command()
def costs(where: Where, run: RunName = None, as_json: AsJson = False) -> None:
    """Money by run and device: spent, and spent if everything that is reserved is charged."""
    from qcaan.execution import jobs

    with _store(where) as store:
        rows = [
            {
                "run": cost.run,
                "device": cost.device,
                "submissions": cost.n_submissions,
                "shots": cost.shots,
                "usd_low": cost.usd,
                "usd_high": cost.usd + cost.usd_reserved,
            }
            for cost in jobs.costs(store, run=run)
        ]
    _table(rows, as_json, ("run", "device", "submissions", "shots", "usd_low", "usd_high"))


@app.command()
def show(where: Where, run: Annotated[str, typer.Argument()], tag: Annotated[str, typer.Argument()]) -> None:
    """Everything behind one call of a run, as JSON: requests, keys, job ids, native programs, raw replies, target."""
    from qcaan.execution import jobs

    with _store(where) as store:
        typer.echo(json.dumps(jobs.show(store, run, tag), indent=1))


@app.command()
def attach(where: Where, run: RunName = None, backend: BackendName = None, options: Options = None) -> None:
    """Bring home what is still at the device, whichever process sent it. Exit 75 if something is still queued."""
    from qcaan.execution import jobs

    with _store(where) as store, Meter() as meter:
        device = _backend(where, backend, options)
        found = jobs.attach(store, device, run=run, report=lambda news: meter.tell(jobs_line(news)))
    for call in found:
        typer.echo(f"{call.run} {call.tag}: {call.error or 'complete'}")
    failures = [call.error for call in found if call.error is not None]
    if failures:
        raise typer.Exit(min(error.exit_code for error in failures))  # 75 only if nothing worse happened
    typer.echo(f"{len(found)} call(s) complete" if found else "nothing is open on this device")


@app.command()
def cancel(
    where: Where,
    run: RunName = None,
    key: Annotated[str | None, typer.Option(help="Only the submission with this key.")] = None,
    backend: BackendName = None,
    options: Options = None,
) -> None:
    """Cancel what is queued: all of a run, or one submission."""
    from qcaan.execution import jobs

    if run is None and key is None:
        raise ConfigError("cancel needs --run or --key; 'qcaan jobs list --only-open' shows both")
    with _store(where) as store:
        for job in jobs.cancel(store, _backend(where, backend, options), run=run, key=key):
            typer.echo(f"{job.run} {job.tag} {job.key[:12]}: {job.state}")


@app.command()
def adopt(where: Where, key: Key, job_id: Annotated[str, typer.Argument(metavar="JOB")]) -> None:
    """Tell an interrupted submission which job at the provider it is; then `attach`."""
    from qcaan.execution import jobs

    with _store(where) as store:
        jobs.adopt(store, key, job_id)
    typer.echo(f"adopted; 'qcaan jobs attach --store {where}' brings it home")


@app.command()
def release(where: Where, key: Key) -> None:
    """Give an interrupted submission up: its run plans it, and pays for it, again."""
    from qcaan.execution import jobs

    with _store(where) as store:
        jobs.release(store, key)
    typer.echo("released")


@app.command()
def redecode(where: Where, run: RunName = None, backend: BackendName = None, options: Options = None) -> None:
    """Decode all raw replies again, offline, after a driver was corrected."""
    from qcaan.execution import jobs

    with _store(where) as store:
        changed = jobs.redecode(store, _backend(where, backend, options), run=run)
    typer.echo(f"{len(changed)} submission(s) changed")


@app.command()
def prune(where: Where, run: Annotated[str, typer.Option("--run", help="The run.")]) -> None:
    """Remove what simulators recorded for a run. What a paid device returned is never removed."""
    from qcaan.execution import jobs

    with _store(where) as store:
        typer.echo(f"{jobs.prune(store, run=run)} call(s) removed")


def estimate(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.")],
    backend: Annotated[str | None, typer.Option("--backend", metavar="NAME", help="On this backend.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    as_json: AsJson = False,
) -> None:
    """What a training run would submit, and cost. Nothing is sent."""
    resolved = Config.load(config, [*([f"backend.name={backend}"] if backend else []), *(overrides or [])])
    from qcaan.learn.estimate import estimate_run

    found = estimate_run(resolved)
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    table = Table("", "", box=None, show_header=False)
    for name, value in asdict(found).items():
        table.add_row(name.replace("_", " "), f"{value:.2f}" if isinstance(value, float) else str(value))
    Console().print(table)


@contextmanager
def _store(where: str) -> Iterator["Store"]:
    from qcaan.execution.store import Store

    url = where
    if "://" not in where and not where.startswith("env:"):
        path = Path(where)
        if (path / "config.yaml").is_file():
            url = Config.load(path / "config.yaml").store.url or str(path / "store.sqlite")
        elif not path.is_file():
            raise ConfigError(f"--store {where}: there is no such run directory or file")
    with Store.open(url) as store:
        yield store


def _backend(where: str, name: str | None, options: list[str] | None) -> "Backend":
    from qcaan.execution.registry import open_backend

    path = Path(where) / "config.yaml"
    if name is None and path.is_file():
        recorded = Config.load(path).backend
        return open_backend(recorded.name, **{**recorded.options, **parse_options(options)})
    if name is None:
        raise ConfigError("name the device's backend with --backend, and its options with --set")
    return open_backend(name, **parse_options(options))


def _table(rows: Sequence[dict[str, Any]], as_json: bool, columns: Sequence[str]) -> None:
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table(*columns, box=None, header_style="bold")
    for row in rows:
        table.add_row(*(_cell(column, row[column]) for column in columns))
    Console(soft_wrap=True, highlight=False).print(table)


def _cell(column: str, value: object) -> str:
    if column.endswith("_at") and isinstance(value, float):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if column.startswith("usd"):
        return "-" if value is None else f"{value:.2f}"
    return "-" if value is None else plain(value)
