"""Where the points of a sweep stand, read from their run directories and their store.

How a point ended that is not done is kept beside its run, `NAME.ended.json`, until it is started again: a page that is
made later, by another process, tells it.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from qcaan.errors import ConfigError, DataError, StoreError
from qcaan.execution.jobs import costs
from qcaan.execution.store import Store
from qcaan.learn import data
from qcaan.learn.files import write_whole
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.schedule import Schedule
from qcaan.learn.sweep.comparison import figures_of
from qcaan.learn.sweep.engine import WORK
from qcaan.learn.sweep.plan import Point

State = Literal["waiting", "running", "done", "failed", "detached"]
_TAIL_BYTES = 64 * 1024
"""Of metrics.jsonl, read again and again while a run writes it."""


@dataclass(frozen=True)
class PointState:
    """Where a point stands: `step` of `total`, its newest `figures`, keyed as in `COMPARED`, and what it has spent.

    `deaths`: times that its process died without getting past step `died_at`.
    """

    point: Point
    state: State
    step: int = 0
    total: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)
    usd: float = 0.0
    deaths: int = 0
    died_at: int = 0
    error: str = ""


class Watch:
    """Looks at points; keeps the stores open. A context manager."""

    def __init__(self) -> None:
        self._stores: dict[str, Store] = {}

    def first(self, point: Point) -> PointState:
        """A point as it was left."""
        state: State = "done" if finished(point) else "waiting"
        return self.look(PointState(point, state, total=_total(point)))

    def found(self, point: Point) -> PointState:
        """A point as somebody finds it who does not conduct it: running, or as it ended or was left."""
        state = self.first(point)
        if state.state == "done":
            return state
        if self._is_worked_on(point):
            return replace(state, state="running")
        try:
            ended = json.loads(_ending(point).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return state
        return replace(state, **ended)

    def look(self, state: PointState) -> PointState:
        """The point as it is now; what cannot be read at the moment stays as it was."""
        newest = dict(state.figures)
        step = state.step
        for record in _last_records(state.point.path / "metrics.jsonl"):
            step = int(record["step"])
            newest |= figures_of(record)
        return replace(state, step=step, figures=newest, usd=self._usd(state))

    def _usd(self, state: PointState) -> float:
        try:
            store, name = self._store(state.point)
            return sum(cost.usd for cost in costs(store, run=name)) if store else state.usd
        except (DataError, StoreError):
            return state.usd

    def _is_worked_on(self, point: Point) -> bool:
        try:
            store, name = self._store(point)
        except DataError:  # it has not begun
            return False
        if store is None:
            return False
        try:
            with store.lock(name, WORK, 0.0):
                return False
        except StoreError:
            return True

    def _store(self, point: Point) -> tuple[Store | None, str]:
        """The point's store, if it is there, and the run's name in it."""
        run = RunDirectory(point.path, point.config)
        name, where = run.id, run.store_url
        if where not in self._stores and not Store.is_there(where):
            return None, name
        return self._stores.get(where) or self._stores.setdefault(where, Store.open(where)), name

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *exception: object) -> None:
        for store in self._stores.values():
            store.close()


def finished(point: Point) -> bool:
    """Whether the point's run is complete: its picture is the last thing that training writes."""
    return (total := _total(point)) > 0 and RunDirectory(point.path, point.config).picture(total).exists()


def as_found(points: Iterable[Point]) -> list[PointState]:
    """Where points stand, for who does not conduct them."""
    with Watch() as watch:
        return [watch.found(point) for point in points]


def record_ending(state: PointState) -> None:
    """Keep how a point ended, or forget it if the point goes on."""
    if state.state in ("failed", "detached"):
        write_whole(_ending(state.point), json.dumps({"state": state.state, "error": state.error}))
    else:
        _ending(state.point).unlink(missing_ok=True)


def _ending(point: Point) -> Path:
    return point.path.with_name(f"{point.path.name}.ended.json")


def _total(point: Point) -> int:
    """Steps of the whole run; 0 where its data cannot be read: the run itself will say why."""
    try:
        return Schedule.of(point.config, len(data.load(point.config.data.name).train)).total
    except (ConfigError, DataError):
        return 0


def _last_records(path: Path) -> list[dict[str, Any]]:
    """The last whole lines of a file that may be written at this moment."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES - 1))
            begins_whole = file.tell() == 0
            lines = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in (lines if begins_whole else lines[1:])]
