"""`qcaan backends`: which devices there are, what they are, whether their drivers are right, and a new one."""

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from qcaan.cli.completion import backend_names
from qcaan.cli.console import Meter, doing, jobs_line
from qcaan.cli.options import AsJson, Options, parse_options, plain
from qcaan.errors import BudgetError, ConfigError

if TYPE_CHECKING:
    from qcaan.conformance import Candidate, Verdict

app = typer.Typer(help="The devices that circuits can run on.", no_args_is_help=True)
Kind = Literal["remote", "simulator"]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A backend of 'qcaan backends list'.", autocompletion=backend_names)
]


class TierName(StrEnum):
    """As `qcaan.conformance.Tier`, which is not imported before it is needed."""

    offline = "offline"
    fault = "fault"
    semantic = "semantic"
    paid = "paid"


@app.command("list")
def list_backends(as_json: AsJson = False) -> None:
    """Every backend that is installed or could be, and the command that installs what is missing.

    Example: qcaan backends list
    """
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
def show(name: Name, options: Options = None, as_json: AsJson = False) -> None:
    """The facts of a backend (its Target) and the options that apply to it. Nothing is run and nothing is spent.

    Example: qcaan backends show braket --set device=ionq-forte-1 --set emulate=true
    """
    from qcaan.execution.registry import available_backends, open_backend, spelled_out

    name, given = spelled_out(name, parse_options(options))
    with doing(f"opening {name}"):
        backend = open_backend(name, **given)
        facts = json.loads(backend.target.to_json())
    info = next(info for info in available_backends() if info.name == name)
    applying = _applying(backend, info.options, given)
    if as_json:
        typer.echo(json.dumps({"target": facts, "options": applying, "doc": info.doc}))
        return
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"[bold]{name}[/]: {info.doc}\n")
    for title, rows in (("target", facts), ("option", applying)):
        table = Table(title, "", box=None, header_style="bold")
        for key, value in rows.items():
            for place, text in _lines(key, value if rows is facts else _meant(value)):
                table.add_row(place, plain(text))
        console.print(table)


@app.command("check")
def check(
    name: Name,
    options: Options = None,
    tiers: Annotated[
        list[TierName] | None,
        typer.Option("--tier", help="Only this tier; repeatable. Default: all that cost nothing."),
    ] = None,
    max_cost: Annotated[float, typer.Option("--max-cost", metavar="USD", help="Cap of the tier paid.")] = 0.0,
    store: Annotated[
        str | None, typer.Option(help="Where the tier paid keeps its shots. Default: check-NAME.sqlite, here.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Pay without being asked.")] = False,
    seed: Annotated[int, typer.Option(help="Of the random circuits, and of a simulator's shots.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Check a driver: bits, order, units, conventions, faults, secrets. Exit 1 if anything is wrong.

    Tiers: offline (no device), fault (what its fake can break), semantic (a simulator, or its fake), paid (the real
    device: the fewest shots that decide; the price is printed and confirmed first).

    Example: qcaan backends check local --tier semantic
    """
    from qcaan.conformance import TIERS, Candidate, candidate_of
    from qcaan.conformance import check as check_driver

    chosen = parse_options(options)
    if "paid" in (tiers or ()):
        if tiers != ["paid"]:
            raise ConfigError("--tier paid: it is asked alone")
        device = Candidate.named(name, chosen)
        verdict = _paid(device, store or f"check-{name}.sqlite", max_cost, seed, yes)
    else:
        with doing(f"opening {name}") as meter, candidate_of(name, chosen) as candidate:
            asked = [tier for tier in TIERS if tier in tiers] if tiers else None
            verdict = check_driver(candidate, tiers=asked, seed=seed, report=meter.work)
    if as_json:
        typer.echo(json.dumps(verdict.to_dict()))
    else:
        _tell(verdict)
    if not verdict.passed:
        raise typer.Exit(1)


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="What the backend is called, such as lab-trap.")],
    kind: Annotated[Kind, typer.Option(help="remote: jobs are submitted and polled; simulator: runs here.")] = "remote",
    out: Annotated[Path | None, typer.Option(help="Folder to write. Default: qcaan-NAME, here.")] = None,
) -> None:
    """Write an installable driver package that passes the check at once; places to fill in say FILL IN.

    Example: qcaan backends new lab-trap --kind remote
    """
    from qcaan.conformance.scaffold import write

    folder = out or Path(f"qcaan-{name}")
    for path in write(name, kind, folder):
        typer.echo(path)
    typer.echo(f"\nnext: pip install -e '{folder}[test]' && pytest {folder}, then look for FILL IN")


def _applying(backend: object, defaults: Mapping[str, str], given: Mapping[str, object]) -> dict[str, str]:
    """Options as Python text, as they are in force.

    A driver of several devices leaves out (None) what does not apply to the one that was opened: what it knows nothing
    of, and nobody asked for, is not told.
    """
    known = {name: repr(getattr(backend, name)) for name in defaults if hasattr(backend, name)}
    chosen = {name: repr(value) for name, value in given.items()}
    return {
        name: text
        for name, default in defaults.items()
        if (text := chosen.get(name) or known.get(name) or default) != "None" or name in known
    }


def _meant(text: str) -> object:
    """The value that a Python text stands for, where it is a literal."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _lines(key: str, value: object) -> Iterator[tuple[str, str]]:
    """A fact of a JSON document for people: an object as a row for each of its keys, a list with commas."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _lines(f"{key}.{name}", inner)
    elif isinstance(value, list):
        yield key, ", ".join(map(_word, value)) or "-"
    else:
        yield key, _word(value)


def _word(value: object) -> str:
    if value is None or value == "":
        return "-"
    return value if isinstance(value, str) else json.dumps(value)


def _paid(candidate: "Candidate", where: str, max_cost: float, seed: int, yes: bool) -> "Verdict":
    from qcaan.conformance.paid import check_paid, plan_paid
    from qcaan.execution.store import Store

    plan = plan_paid(candidate.open().target, seed)
    typer.echo(
        f"{len(plan.circuits)} circuit(s), {plan.shots} shots of each: ${plan.usd:.2f}; decides {len(plan.decides)} "
        f"mistakes; shots are kept in {where}",
        err=True,
    )
    if plan.usd > max_cost:
        raise BudgetError(f"the check costs ${plan.usd:.2f}, --max-cost is ${max_cost:.2f}; nothing was sent")
    if not yes:
        typer.confirm("Send it?", abort=True, err=True)
    with Meter() as meter:
        return check_paid(
            candidate,
            plan,
            store=Store.open(where),
            cap_usd=max_cost,
            seed=seed,
            report=lambda jobs: meter.tell(jobs_line(jobs)),
        )


def _tell(verdict: "Verdict") -> None:
    console = Console(soft_wrap=True, highlight=False)
    for line in verdict.lines():
        mark = {"yes": "[green]yes[/]", "NO ": "[bold red]NO [/]"}.get(line[:3], line[:3])
        console.print(mark + plain(line[3:]))
    for line in verdict.small_print():
        console.print(f"[dim]{plain(line)}[/]")
