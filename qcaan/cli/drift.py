"""`qcaan drift`: how far the shots that a device gave are from what its noisy twin would have read."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from qcaan.cli.completion import backend_names
from qcaan.cli.console import doing
from qcaan.cli.options import AsJson, Options, parse_options, plain
from qcaan.cli.store import HERE, RunName, Where, open_store
from qcaan.config import Config
from qcaan.errors import ConfigError

if TYPE_CHECKING:
    from qcaan.execution.backend import Backend
    from qcaan.execution.drift import Comparison

DeviceName = Annotated[str | None, typer.Option("--device", help="Only shots of this device, as 'jobs list' names it.")]
Twin = Annotated[
    str | None,
    typer.Option(
        "--backend",
        metavar="NAME",
        help="The twin's backend; by default the run directory's.",
        autocompletion=backend_names,
    ),
]
Rate = Annotated[float, typer.Option("--false-alarm-rate", help="Chance that shots of the twin itself are called far.")]


def register(root: typer.Typer) -> None:
    """Add this module's command."""
    root.command()(drift)


def drift(
    where: Where = HERE,
    run: RunName = None,
    device: DeviceName = None,
    backend: Twin = None,
    options: Options = None,
    rate: Rate = 0.01,
    as_json: AsJson = False,
) -> None:
    """Compare a device's recorded shots with its noisy twin, call by call. Nothing is sent.

    tvd: mean total variation distance of the circuits' shots from the twin.
    floor: what it would be if the twin had been measured.
    p: chance that shots of the twin are this far from it, at most.
    ideal: distance from the circuits without noise.
    noise: what of it the twin's noise makes.

    The twin of a run directory's device is opened with emulate=true;
    for any other store, name it with --backend and --set.

    Example: qcaan drift --store runs/my-run
    """
    from qcaan.execution import drift as report

    if not 0 < rate < 1:
        raise ConfigError(f"--false-alarm-rate {rate:g}: give a probability between 0 and 1, such as 0.01")
    with open_store(where) as store, doing("opening the twin") as meter:
        twin = _twin(where, backend, options)
        rows = report.drift(store, twin, run=run, device=device, report=partial(meter.show, "calls"))
    far = set(report.drifted(rows, rate))
    periods = report.by_time(rows)
    total = reduce(add, (r.found for r in rows))
    if as_json:
        facts = {
            "twin": json.loads(twin.target.to_json()),
            "false_alarm_rate": rate,
            "rows": [
                {"run": r.run, "tag": r.tag, "device": r.device, "at": r.at, **_figures(r.found), "far": r in far}
                for r in rows
            ],
            "by_time": [{"start": p.start, "calls": p.calls, **_figures(p.found)} for p in periods],
            "total": _figures(total),
        }
        typer.echo(json.dumps(facts))
        return
    times = (datetime.fromtimestamp(r.at, UTC).strftime("%Y-%m-%d %H:%M:%S") for r in rows)
    _print("tag", ((time, r.tag, r.found, r in far) for time, r in zip(times, rows, strict=True)))
    summary = [(p.start, str(p.calls), p.found, False) for p in periods]
    _print("calls", [*(summary if len(summary) > 1 else []), ("all", str(len(rows)), total, False)])
    typer.echo(
        f"{len(far)} of {len(rows)} calls (*) are further from the {twin.target.device} than its own shots would be; "
        f"the chance of any false alarm is at most {rate:g}"
    )


def _twin(where: str, name: str | None, options: list[str] | None) -> "Backend":
    from qcaan.execution.registry import open_backend

    given = parse_options(options)
    path = Path(where) / "config.yaml"
    if name is None and path.is_file():
        recorded = Config.load(path).backend
        kept = recorded.options if recorded.options.get("emulate") else {"device": recorded.options.get("device")}
        return open_backend(recorded.name, **{**kept, "emulate": True, **given})
    if name is None:
        raise ConfigError("name the twin, for example --backend braket --set device=ionq-forte-1 --set emulate=true")
    return open_backend(name, **given)


def _figures(found: "Comparison") -> dict[str, Any]:
    return {
        "circuits": found.twin.circuits,
        "shots": found.shots,
        "tvd": found.twin.tvd,
        "floor": found.twin.floor,
        "p_value": found.twin.p_value,
        "ideal_tvd": found.ideal.tvd,
        "ideal_floor": found.ideal.floor,
        "noise_tvd": found.noise,
    }


def _print(label: str, rows: Iterable[tuple[str, str, "Comparison", bool]]) -> None:
    table = Table(box=None, header_style="bold")
    for name in ("UTC", label, "circuits", "shots", "tvd", "floor", "p", "ideal", "noise"):
        table.add_column(name, justify="left" if name in ("UTC", label) else "right", no_wrap=True)
    for time, name, found, far in rows:
        facts = _figures(found)
        distances = [f"{facts[key]:.4f}" for key in ("tvd", "floor")]
        chance = f"{facts['p_value']:.2g}{'*' if far else ' '}"
        rest = [f"{facts[key]:.4f}" for key in ("ideal_tvd", "noise_tvd")]
        table.add_row(time, plain(name), str(facts["circuits"]), str(facts["shots"]), *distances, chance, *rest)
    console = Console(soft_wrap=True, highlight=False)
    console.width = max(console.width, 100)  # a row that is folded, or cut, is worse than one that the terminal wraps
    console.print(table)
