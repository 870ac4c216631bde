"""`qcaan sweep`: many runs, several at a time, and what they say together."""

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from qcaan.cli.options import AsJson, plain
from qcaan.cli.sweep_table import SweepTable
from qcaan.errors import ConfigError

if TYPE_CHECKING:
    from qcaan.learn.sweep import Comparison, Engine


class Where(StrEnum):
    """The engines, as the command line names them."""

    local = "local"
    ray = "ray"


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(sweep)


def sweep(
    plan: Annotated[
        Path,
        typer.Argument(metavar="PLAN", help="A configuration, a plan such as examples/experiment.yaml, or a sweep."),
    ],
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", metavar="KEY=A,B,...", help="Values of a key; repeatable, all combinations are run."),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A key of all runs; repeatable.")
    ] = None,
    engine: Annotated[Where, typer.Option(help="Where runs run: this machine, or a Ray cluster.")] = Where.local,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Of the Ray cluster, or auto.", show_default="one is started here"),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Runs at once, each in a process.", show_default="1, or as many as the cluster holds"),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="CPUs of each run; another number gives other rounding.",
            show_default="all cores shared among the jobs; on Ray 1",
        ),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Compare with this variant, not the plan's; repeatable. On a sweep's directory: runs nothing.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory of the sweep.", show_default="sweeps/ and the plan's name")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run every combination that is not done yet, then compare: tables, a picture of the differences, digits.

    The same command goes on with a sweep, on any engine, also where the plan got more variants or a longer grid since.
    Ctrl-C stops its runs; nothing is lost.

    Exit 0: all runs are done. 75: some are detached, their jobs are still at the device. 1: some failed.

    Example: qcaan sweep examples/digits.yaml --grid prior.kind=born_machine,bernoulli --grid seed=0,1,2 --jobs 2
    """
    from qcaan.learn.report import write_sweep_report
    from qcaan.learn.sweep import Plan, Sweep, as_found, compare, conduct, tracked, write_results

    if address is not None and engine is not Where.ray:
        raise ConfigError(f"--address {address}: only --engine ray has one")
    compares = (plan / "sweep.yaml").is_file() and bool(baseline)
    if (plan / "sweep.yaml").is_file():
        if grid or overrides or out:
            raise ConfigError(f"{plan} is a sweep with a plan of its own; leave out --grid, --set and --out")
        found = Sweep.open(plan)
        if baseline:
            found = found.compared_with(baseline, keep=not dry_run)
    else:
        loaded = Plan.load(plan, dict(map(_parse_grid, grid or [])), overrides or [], baseline or [])
        path = out or Path("sweeps") / plan.stem
        found = Sweep(path, loaded) if dry_run else Sweep.create(loaded, path)
    if dry_run:
        for point in () if compares else found.points:
            typer.echo(point.path)
        return
    budget = found.points[0].config.budget
    try:
        with tracked(found):
            if compares:
                states = as_found(found.points)
            else:
                with SweepTable(budget.cap_usd if budget else None) as table:
                    engine_here = _open(engine, address, jobs, threads)
                    states = conduct(found.points, budget=found.budget, engine=engine_here, report=table.show)
            result = compare(found)
            written = [*write_results(found, result), write_sweep_report(found)]
    except KeyboardInterrupt:
        typer.echo(f"stopped, nothing is lost; go on with: qcaan sweep {found.path}", err=True)
        raise
    if as_json:
        points = [
            {"run": str(s.point.path)}
            | {name: getattr(s, name) for name in ("state", "step", "total", "usd", "deaths", "error")}
            for s in states
        ]
        typer.echo(json.dumps({"sweep": str(found.path), "points": points, **result.to_dict()}))
    else:
        _print(result)
        typer.echo(f"sweep {found.path}")
        for file in written:
            typer.echo(f"      {file}")
    for state in states:
        if state.error:
            typer.echo(f"{state.state}: {state.point.path.name}: {state.error}", err=True)
    ended = {state.state for state in states}
    if ended != {"done"}:
        typer.echo(f"go on with: qcaan sweep {found.path}", err=True)
    if ended != {"done"} and not compares:
        raise typer.Exit(1 if "failed" in ended else 75)


def _open(engine: Where, address: str | None, jobs: int | None, threads: int | None) -> "Engine":
    from qcaan.learn.sweep import Cluster, Processes

    return Processes(jobs or 1, threads) if engine is Where.local else Cluster(address, jobs, threads)


def _parse_grid(item: str) -> tuple[str, list[Any]]:
    key, equals, text = item.partition("=")
    try:
        values = yaml.safe_load(f"[{text}]") if equals and key and text else None
    except yaml.YAMLError as error:
        raise ConfigError(f"--grid {item}: the values are not YAML: {error}") from error
    if not values:
        raise ConfigError(f"--grid {item}: write KEY=A,B,... , for example seed=0,1,2")
    return key.strip(), values


def _print(result: "Comparison") -> None:
    console = Console(soft_wrap=True, highlight=False)
    _print_table(console, result.score_table())
    for baseline in result.baselines:
        if rows := result.difference_table(baseline):
            console.print(f"\ndifference to {plain(baseline)}, seed by seed, with 95 % intervals")
            _print_table(console, [[cell.partition(" ([")[0] for cell in row] for row in rows])
    if result.chance:
        console.print(f"\n{result.chance}")
    if result.missing:
        console.print(f"{result.missing} runs have no scores: not done yet, or train.scores is false")


def _print_table(console: Console, rows: Sequence[Sequence[str]]) -> None:
    """An interval may stand below its mean, but no number is cut, however narrow the terminal."""
    if rows:
        table = Table(box=None, header_style="bold")
        for column in zip(*rows, strict=True):
            table.add_column(plain(column[0]), min_width=max(len(word) for cell in column for word in cell.split(" ")))
        for cells in rows[1:]:
            table.add_row(*map(plain, cells))
        console.print(table)
