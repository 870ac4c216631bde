"""The points of a sweep while they run: a table that lives on a terminal, elsewhere a line now and then."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from rich.live import Live
from rich.table import Table

from qcaan.cli.console import Meter, stderr
from qcaan.cli.options import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qcaan.learn.sweep.comparison import Figure
    from qcaan.learn.sweep.watch import PointState, State

_ORDER: tuple["State", ...] = ("running", "failed", "detached", "waiting", "done")
"""Which points are shown first, where not all have room."""
_COLOURS = {"running": "bold", "failed": "red", "detached": "yellow", "waiting": "dim", "done": "green"}
_FIRST = (
    "eval/fid",
    "eval/inception_score",
    "prior/bits_won",
    "eval/coverage",
    "eval/precision",
    "eval/density",
    "eval/effective_support",
)
"""Which figures are shown first, where not all have room."""
_BESIDE = 6
"""Lines of the terminal that are not the table's rows."""


class SweepTable:
    """A context manager; `show` is told the states of all points, again and again. `cap_usd`: of all together."""

    def __init__(self, cap_usd: float | None) -> None:
        self._cap_usd = cap_usd
        self._live = Live(console=stderr, auto_refresh=False) if stderr.is_terminal else None
        self._meter = None if self._live else Meter()

    def show(self, states: Sequence["PointState"]) -> None:
        """Show how the points stand."""
        numbers = Counter(state.state for state in states)
        usd = sum(state.usd for state in states)
        if self._live is not None:
            self._live.update(table(states, usd, self._cap_usd, stderr.height - _BESIDE, stderr.width), refresh=True)
        elif self._meter is not None:
            steps = {
                state.point.path.name: f"{state.step}/{state.total}" for state in states if state.state == "running"
            }
            money = {"usd": usd} if usd else {}
            self._meter.show("sweep", numbers["done"], len(states), dict(numbers) | money | steps, quiet=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()


def table(states: Sequence["PointState"], usd: float, cap_usd: float | None, n_rows: int, width: int = 80) -> Table:
    """At most so many rows, what needs looking at first, and as many figures as fit into so many characters.

    Its caption counts all points and all money.
    """
    chosen = sorted(states, key=lambda state: _ORDER.index(state.state))[: max(1, n_rows)]
    kept = {id(state) for state in chosen}
    shown = [state for state in states if id(state) in kept]
    paid = any(state.usd for state in states)
    columns = {
        "run": [state.point.path.name for state in shown],
        "state": [state.state + (f", died {state.deaths}x" if state.deaths else "") for state in shown],
        "step": [f"{state.step}/{state.total}" for state in shown],
        **_figures(shown),
        **({"$": [f"{state.usd:.2f}" for state in shown]} if paid else {}),
    }
    for key in reversed(_FIRST):
        if sum(map(_width, columns, columns.values())) > width:
            columns.pop(_compared()[key].heading, None)
    out = Table(box=None)
    for name, cells in columns.items():
        word = name in ("run", "state")
        wide = None if word else _width(name, cells) - 2
        out.add_column(name, justify="left" if word else "right", overflow="fold", width=wide)
    for state, (run, said, *numbers) in zip(shown, zip(*columns.values(), strict=True), strict=True):
        out.add_row(plain(run), f"[{_COLOURS[state.state]}]{said}[/]", *numbers)
    numbers_of = Counter(state.state for state in states)
    counted = ", ".join(f"{numbers_of[name]} {name}" for name in reversed(_ORDER) if numbers_of[name])
    cap = f" of ${cap_usd:.2f}" if cap_usd is not None else ""
    out.caption = f"{counted} of {len(states)}" + (f"; ${usd:.2f}{cap}" if paid or cap else "")
    out.caption_justify = "left"
    return out


def _figures(shown: Sequence["PointState"]) -> dict[str, list[str]]:
    return {
        figure.heading: [figure.text(state.figures[key]) if key in state.figures else "-" for state in shown]
        for key, figure in _compared().items()
        if any(key in state.figures for state in shown)
    }


def _compared() -> "Mapping[str, Figure]":
    from qcaan.learn.sweep.comparison import COMPARED

    return COMPARED


def _width(name: str, cells: Sequence[str]) -> int:
    """Characters of a column, its heading broken between words."""
    return 2 + max(map(len, [*name.split(), *cells]))
