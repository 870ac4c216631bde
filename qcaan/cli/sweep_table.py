"""The points of a sweep while they run: a table that lives on a terminal, elsewhere a line now and then."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from rich.live import Live
from rich.table import Table

from qcaan.cli.console import Meter, stderr
from qcaan.cli.options import plain

if TYPE_CHECKING:
    from qcaan.learn.sweep.watch import PointState, State

_ORDER: tuple["State", ...] = ("running", "failed", "detached", "waiting", "done")
"""Which points are shown first, where not all have room."""
_COLOURS = {"running": "bold", "failed": "red", "detached": "yellow", "waiting": "dim", "done": "green"}
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
            self._live.update(table(states, usd, self._cap_usd, stderr.height - _BESIDE), refresh=True)
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


def table(states: Sequence["PointState"], usd: float, cap_usd: float | None, n_rows: int) -> Table:
    """At most so many rows, what needs looking at first; its caption counts all points and all money."""
    from qcaan.learn.sweep.comparison import LABELS

    chosen = sorted(states, key=lambda state: _ORDER.index(state.state))[: max(1, n_rows)]
    kept = {id(state) for state in chosen}
    shown = [state for state in states if id(state) in kept]
    keys = [key for key in LABELS if any(key in state.figures for state in shown)]
    paid = any(state.usd for state in states)
    out = Table("run", "state", "step", *(LABELS[key] for key in keys), *(["$"] if paid else []), box=None)
    for column in out.columns[2:]:
        column.justify = "right"
    for state in shown:
        said = f"[{_COLOURS[state.state]}]{state.state}[/]" + (f", died {state.deaths}x" if state.deaths else "")
        figures = (f"{state.figures[key]:.3f}" if key in state.figures else "-" for key in keys)
        money = [f"{state.usd:.2f}"] if paid else []
        out.add_row(plain(state.point.path.name), said, f"{state.step}/{state.total}", *figures, *money)
    numbers = Counter(state.state for state in states)
    counted = ", ".join(f"{numbers[name]} {name}" for name in reversed(_ORDER) if numbers[name])
    cap = f" of ${cap_usd:.2f}" if cap_usd is not None else ""
    out.caption = f"{counted} of {len(states)}" + (f"; ${usd:.2f}{cap}" if paid or cap else "")
    out.caption_justify = "left"
    return out
