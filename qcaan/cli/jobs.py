"""`qcaan jobs` and `qcaan estimate`: what was sent to devices, what it cost, and what a run would cost."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from qcaan.cli.completion import backend_names
from qcaan.cli.console import Meter, doing, jobs_line
from qcaan.cli.options import AsJson, Options, parse_options, plain
from qcaan.config import Config
from qcaan.errors import ConfigError, DetachedError

if TYPE_CHECKING:
    from qcaan.execution.backend import Backend
    from qcaan.execution.jobs import Job
    from qcaan.execution.store import Store

app = typer.Typer(help="What was sent to devices, and what it cost.", no_args_is_help=True)
HERE = "."
Where = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="STORE",
        envvar="QCAAN_STORE",
        help="A run directory, a file, a database URL, or env:NAME; without it this folder, if it is a run.",
        show_default=False,
    ),
]
RunName = Annotated[str | None, typer.Option("--run", help="Only this run's; names are in the list.")]
BackendName = Annotated[
    str | None,
    typer.Option(
        "--backend",
        metavar="NAME",
        help="The backend; without it the run directory's.",
        autocompletion=backend_names,
    ),
]
Key = Annotated[str, typer.Argument(metavar="KEY", help="A submission's key from the list, or how it begins.")]
OnlyOpen = Annotated[bool, typer.Option("--only-open", help="Only what is not home yet.")]
Wide = Annotated[bool, typer.Option("--wide", help="All columns, one line each, however long.")]

_NOT_CANCELLED = {"unknown": 1, "too late": 3, "asked": DetachedError.exit_code}
"""What `cancel` exits with, the worst first."""
_NARROW = ("key", "run", "tag", "state", "shots", "usd")
_WIDE = ("created_at", "key", "run", "tag", "state", "backend", "device", "shots", "usd_low", "usd_high", "job_id")


def register(root: typer.Typer) -> None:
    """Add this module's commands."""
    root.add_typer(app, name="jobs")
    root.command()(estimate)


@app.command("list")
def list_jobs(
    where: Where = HERE, run: RunName = None, only_open: OnlyOpen = False, wide: Wide = False, as_json: AsJson = False
) -> None:
    """Every submission: key, run, tag, state, shots of all its circuits, money. --wide adds device, job id and time.

    Example: qcaan jobs list --store runs/my-run --only-open
    """
    from qcaan.execution import jobs

    with open_store(where) as store:
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
    if not as_json:
        for row, job in zip(rows, found, strict=True):
            row |= {
                "key": job.key[:12],
                "state": _state(job),
                "usd": f"{job.usd:.2f}" if job.usd is not None else f"≤ {job.usd_high:.2f}",
            }
    _print(rows, as_json, _WIDE if wide else _NARROW, wide=wide)


@app.command()
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


@app.command()
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


@app.command()
def attach(
    where: Where = HERE,
    run: RunName = None,
    backend: BackendName = None,
    options: Options = None,
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for each call of a run.")] = 86_400.0,
) -> None:
    """Bring home what is still at the device, whichever process sent it.

    What its run had planned is sent too, and what failed is tried again,
    within the budget that it was planned under.

    Waits until every job has ended: up to a day for each call of a run,
    or for --wait SECONDS; with 0 it looks once.
    Ctrl-C detaches, exit 75: the jobs stay at the device, what has arrived
    is kept, and the same command goes on.

    Exit 0: all is home.
    Exit 75: detached, something is still at the device.
    Exit 1: something failed.

    Example: qcaan jobs attach --store runs/my-run --wait 0
    """
    from qcaan.execution import jobs
    from qcaan.execution.policy import Patience

    again = "the jobs stay at the device, nothing is lost; the same command goes on"
    try:
        with open_store(where) as store, Meter() as meter:
            found = jobs.attach(
                store,
                _backend(where, backend, options),
                run=run,
                patience=Patience(wait_s=wait),
                refresh=lambda: _backend(where, backend, options),
                report=lambda news: meter.tell(jobs_line(news)),
            )
    except KeyboardInterrupt:
        typer.echo(f"detached: {again}", err=True)
        raise typer.Exit(DetachedError.exit_code) from None
    for call in found:
        typer.echo(f"{call.run} {call.tag}: {call.error or 'complete'}")
    failures = [call.error for call in found if call.error is not None]
    if failures:
        code = min(error.exit_code for error in failures)  # 75 only if nothing worse happened
        if code == DetachedError.exit_code:
            typer.echo(again, err=True)
        raise typer.Exit(code)
    typer.echo(f"{len(found)} call(s) complete" if found else "nothing is open on this device")


@app.command()
def cancel(
    where: Where = HERE,
    run: RunName = None,
    key: Annotated[
        str | None, typer.Option(help="Only the submission with this key, or whose key begins like this.")
    ] = None,
    backend: BackendName = None,
    options: Options = None,
) -> None:
    """Cancel what is queued: all of a run, or one submission; says what each costs.

    Each job is waited for until the provider has ended it, up to two minutes.
    Ctrl-C ends the waiting: what was asked to end stays asked, exit 75.

    Exit 0: all are cancelled.
    Exit 3: too late, some had ended; 'qcaan jobs attach' brings their shots.
    Exit 75: some are asked to end and have not ended yet.
    Exit 1: an error, or nobody knows whether one was sent.

    Example: qcaan jobs cancel --store runs/my-run --run RUN
    """
    from qcaan.execution import jobs

    if run is None and key is None:
        raise ConfigError("cancel needs --run or --key; 'qcaan jobs list --only-open' shows both")
    try:
        with open_store(where) as store, Meter() as meter:
            device = _backend(where, backend, options)
            found = jobs.cancel(store, device, run=run, key=key, report=meter.tell)
    except KeyboardInterrupt:
        typer.echo("stopped waiting: what was asked to end stays asked; 'qcaan jobs attach' tells the rest", err=True)
        raise typer.Exit(DetachedError.exit_code) from None
    for job in found:
        typer.echo(f"{job.run} {job.tag} {job.key[:12]}: {job.told}")
    if not found:
        typer.echo("nothing is open on this device")
    for outcome, code in _NOT_CANCELLED.items():
        if any(job.outcome == outcome for job in found):
            raise typer.Exit(code)


@app.command()
def adopt(
    key: Key,
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The provider's id of the job.")],
    where: Where = HERE,
) -> None:
    """Tell an interrupted submission which job at the provider it is; then `attach`.

    Example: qcaan jobs adopt 0ddaf625ba70 JOB --store runs/my-run
    """
    from qcaan.execution import jobs

    with open_store(where) as store:
        jobs.adopt(store, key, job_id)
    typer.echo(f"adopted; 'qcaan jobs attach --store {where}' brings it home")


@app.command()
def release(key: Key, where: Where = HERE) -> None:
    """Give an interrupted submission up: its run plans it, and pays for it, again.

    Example: qcaan jobs release 0ddaf625ba70 --store runs/my-run
    """
    from qcaan.execution import jobs

    with open_store(where) as store:
        jobs.release(store, key)
    typer.echo("released")


@app.command()
def redecode(
    where: Where = HERE,
    run: RunName = None,
    backend: BackendName = None,
    device: Annotated[str | None, typer.Option("--device", help="Only what this device replied.")] = None,
    options: Options = None,
) -> None:
    """Decode all raw replies again after a driver was corrected: no connection and no credentials are needed.

    Example: qcaan jobs redecode --store runs/my-run
    """
    from qcaan.execution import jobs, upkeep

    with open_store(where) as store:
        places: dict[str, set[str]] = {}
        for job in jobs.list_jobs(store, run=run):
            if backend in (None, job.backend) and device in (None, job.device):
                places.setdefault(job.backend, set()).add(job.device)
        for name, devices in places.items():
            if len(devices) > 1:
                names = ", ".join(sorted(devices))
                raise ConfigError(f"backend '{name}' recorded replies of {names}: name one with --device")
        changed = [
            key
            for name, (only,) in sorted(places.items())
            for key in upkeep.redecode(store, name, _backend(where, name, options), run=run, device=only)
        ]
    typer.echo(f"{len(changed)} submission(s) changed")


@app.command()
def prune(run: Annotated[str, typer.Option("--run", help="The run.")], where: Where = HERE) -> None:
    """Remove what simulators recorded for a run. What a paid device returned is never removed.

    Example: qcaan jobs prune --run RUN --store runs/my-run
    """
    from qcaan.execution import upkeep

    with open_store(where) as store:
        typer.echo(f"{upkeep.prune(store, run=run)} call(s) removed")


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


@contextmanager
def open_store(where: str) -> Iterator["Store"]:
    """The store that `--store` names.

    Raises:
        ConfigError: there is none.
    """
    from qcaan.execution.store import Store

    url = where
    if "://" not in where and not where.startswith("env:"):
        path = Path(where)
        if (path / "config.yaml").is_file():
            url = Config.load(path / "config.yaml").store.url or str(path / "store.sqlite")
        elif where == HERE:
            raise ConfigError(
                "this folder is no run: name a run directory, a store's file or a database URL with --store, or in the "
                "environment variable QCAAN_STORE"
            )
    if not Store.is_there(url):
        raise ConfigError(f"--store {where}: there is no such run directory or file")
    with Store.open(url) as store:
        yield store


def _backend(where: str, name: str | None, options: list[str] | None) -> "Backend":
    """The named backend, or the run directory's; the options of a run directory count for its own backend."""
    from qcaan.execution.registry import open_backend

    path = Path(where) / "config.yaml"
    recorded = Config.load(path).backend if path.is_file() else None
    if recorded is not None and name in (None, recorded.name):
        return open_backend(recorded.name, **{**recorded.options, **parse_options(options)})
    if name is None:
        raise ConfigError("name the device's backend with --backend, and its options with --set")
    return open_backend(name, **parse_options(options))


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
