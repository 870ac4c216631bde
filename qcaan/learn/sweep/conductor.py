"""Runs the points of a sweep that are not done, on an engine.

A point whose process dies, whatever killed it, is started again; its run goes on from its checkpoint, with the shots
that it had paid for. A point that fails by itself is not tried again: the same error would come.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from qcaan.learn.sweep.engine import Ending, Engine, Order
from qcaan.learn.sweep.plan import Point
from qcaan.learn.sweep.processes import Processes
from qcaan.learn.sweep.watch import PointState, Watch, finished, record_ending

_POLL_S = 1.0
DEATHS = 3
"""Times that a point's process may die without getting further, before the point is given up."""

Report = Callable[[Sequence[PointState]], None]


def conduct(
    points: Sequence[Point], *, budget: str, engine: Engine | None = None, report: Report | None = None
) -> list[PointState]:
    """Run every point that is not done; return how each ended.

    `budget` names the budget that all spend from. `engine`: by default one process at a time on this machine; it is
    stopped at the end. `report` is told about every change, and once a second.

    Raises:
        ConfigError: the engine cannot run the points.
        KeyboardInterrupt: what ran is stopped; nothing is lost.
    """
    engine = engine or Processes()
    try:
        with Watch() as watch:
            states = {point.path.resolve(): watch.first(point) for point in points}
            while any(state.state in ("waiting", "running") for state in states.values()):
                room = engine.room()
                for path in [path for path, state in states.items() if state.state == "waiting"][: max(0, room)]:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    point = states[path].point
                    engine.start(Order(point.config, path, budget, engine.threads, point.start))
                    states[path] = replace(states[path], state="running")
                    record_ending(states[path])
                endings = engine.ended(_POLL_S)
                for path, state in states.items():
                    if state.state == "running":
                        seen = watch.look(state)
                        states[path] = _after(seen, endings[path]) if path in endings else seen
                        if path in endings:
                            record_ending(states[path])
                if report is not None:
                    report(list(states.values()))
            return list(states.values())
    finally:
        engine.stop()


def _after(state: PointState, ending: Ending) -> PointState:
    """The state of a point whose process ended."""
    if ending.how == "done" and not finished(state.point):
        error = f"it was run to its end, but {state.point.path} does not show it: all nodes need one file system"
        return replace(state, state="failed", error=error)
    if ending.how != "died":
        return replace(state, state=ending.how, error=ending.error)
    deaths = 1 if state.step > state.died_at else state.deaths + 1
    if deaths < DEATHS:
        return replace(state, state="waiting", deaths=deaths, died_at=state.step)
    return replace(state, state="failed", deaths=deaths, error=f"its process died {deaths} times ({ending.error})")
