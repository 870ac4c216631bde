"""`qcaan jobs`: what was sent to devices, and what it cost."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from qcaan.cli import actions
from qcaan.cli.options import AsJson, plain
from qcaan.cli.store import HERE, RunName, Where, open_store
from qcaan.errors import ConfigError

if TYPE_CHECKING:
    from qcaan.execution.jobs import Job

OnlyOpen = Annotated[bool, typer.Option("--only-open", help="Only what is not home yet.")]
Wide = Annotated[bool, typer.Option("--wide", help="All columns, one line each, however long.")]

Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the newest N; without it a table has 100.")]
Whole = Annotated[bool, typer.Option("--all", help="All of them, however many.")]

_ROWS = 100
"""Of a table, unless more are asked for."""
_NARROW = ("key", "run", "tag", "state", "shots", "usd")
_WIDE = ("created_at", "key", "run", "tag", "state", "backend", "device", "shots", "usd_low", "usd_high", "job_id")


def register(root: typer.Typer) -> None:
    """Add `qcaan jobs` with all its commands."""
    app = typer.Typer(help="What was sent to devices, and what it cost.", no_args_is_help=True)
    app.command("list")(list_jobs)
    app.command()(costs)
    app.command()(show)
    actions.register(app)
    root.add_typer(app, name="jobs")


def list_jobs(
    where: Where = HERE,
    run: RunName = None,
    only_open: OnlyOpen = False,
    limit: Limit = None,
    whole: Whole = False,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """Every submission: key, run, tag, state, shots of all its circuits, money. --wide adds device, job id and time.

    The newest come first. A table ends after 100 and says how many more
    there are; JSON has all, unless --limit is given.

    Example: qcaan jobs list --store runs/my-run --only-open
    """
    from qcaan.execution import jobs

    if whole and limit is not None:
        raise ConfigError("list takes --limit or --all, not both")
    if not (whole or as_json):
        limit = limit or _ROWS
    with open_store(where) as store:
        found = jobs.list_jobs(store, run=run, only_open=only_open, latest=limit)[::-1]
        more = jobs.count_jobs(store, run=run, only_open=only_open) - len(found) if len(found) == limit else 0
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
    if not as_json:
        for row, job in zip(rows, found, strict=True):
            row |= {
                "key": job.key[:12],
                "state": _state(job),
                "usd": f"{job.usd:.2f}" if job.usd is not None else f"≤ {job.usd_high:.2f}",
            }
    _print(rows, as_json, _WIDE if wide else _NARROW, wide=wide)
    if more > 0:
        typer.echo(f"{more} older submission(s) are not shown; --all shows them", err=True)


def costs(where: Where = HERE, run: RunName = None, wide: Wide = False, as_json: AsJson = False) -> None:
    """Money by run and device: spent, and spent if everything that is reserved is charged.

    Example: qcaan jobs costs --store runs/my-run
    """
    from qcaan.execution import jobs

    with open_store(where) as store:
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
    _print(rows, as_json, ("run", "device", "submissions", "shots", "usd_low", "usd_high"), wide=wide)


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, from the list.")],
    tag: Annotated[str | None, typer.Argument(metavar="TAG", help="A call of the run, from the list.")] = None,
    step: Annotated[
        int | None, typer.Option(min=1, help="All calls that this step of metrics.jsonl draws on, as a list.")
    ] = None,
    where: Where = HERE,
) -> None:
    """Everything behind one call of a run, as JSON; with --step, from a line of metrics.jsonl to what it comes from.

    What was asked, the seed, keys, job ids, native programs, raw replies, counts, the device's facts, versions.

    Example: qcaan jobs show RUN --step 400 --store runs/my-run
    """
    from qcaan.execution import jobs

    if (tag is None) == (step is None):
        raise ConfigError("show needs a TAG or a --step, not both; 'qcaan jobs list' has the tags")
    with open_store(where) as store:
        found = jobs.show(store, run, tag) if tag is not None else jobs.show_step(store, run, step or 1)
        typer.echo(json.dumps(found, indent=1))


def _state(job: "Job") -> str:
    """The state in the journal, and where the job stands at the provider."""
    from qcaan.execution.standing import standing

    heard = standing(job, time.time()) if job.state == "sent" else ""
    return job.state + (f": {heard}" if heard else "") + (", STALLED" if job.stalled else "")


def _print(rows: Sequence[Mapping[str, Any]], as_json: bool, columns: Sequence[str], *, wide: bool) -> None:
    """Rows as JSON, or as a table; what is too long for the terminal is folded, unless it may be as wide as it is.

    A run that all rows are of stands above them, in one piece to be copied.
    """
    if as_json:
        typer.echo(json.dumps(rows))
        return
    runs = {row["run"] for row in rows}
    if len(runs) == 1 and not wide:
        typer.echo(f"run {runs.pop()}\n")
        columns = [column for column in columns if column != "run"]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        number = column in ("shots", "submissions") or column.startswith("usd")
        whole = number or column == "key"
        table.add_column(column, overflow="fold", justify="right" if number else "left", no_wrap=whole)
    for row in rows:
        table.add_row(*(_cell(column, row[column]) for column in columns))
    Console(highlight=False, width=10_000 if wide else None, soft_wrap=wide).print(table)


def _cell(column: str, value: object) -> str:
    if column.endswith("_at") and isinstance(value, float):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if column.startswith("usd") and isinstance(value, float):
        return f"{value:.2f}"
    return "-" if value is None else plain(value)
