"""The conductor's rules, on an engine that does what a script says; the lock of a run; what is read while it trains."""

import json
import multiprocessing
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from qcaan.errors import ConfigError, StoreError
from qcaan.execution.store import Store
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.sweep import Plan, Point, Processes, Sweep, conduct, engine
from qcaan.learn.sweep.conductor import DEATHS
from qcaan.learn.sweep.engine import Ending, Order, run_point, work
from qcaan.learn.sweep.watch import Watch

SMALL = {
    "prior": {"kind": "product_bernoulli", "n_qubits": 2, "shots": 20, "target_images": 16},
    "gan": {"channels": 2},
    "train": {"max_steps": 2, "batch_size": 8, "log_every": 1, "scores": False},
}


class ScriptedEngine:
    """Ends each order as its script says, one ending a start; `steps` are written as a run would."""

    threads = 1

    def __init__(self, *script: tuple[str, int], places: int = 9) -> None:
        self.script = iter(script)
        self.places = places
        self.started: list[str] = []
        self.most_at_once = 0
        self.stopped = False
        self._running: dict[Path, Ending] = {}

    def room(self) -> int:
        return self.places - len(self._running)

    def start(self, order: Order) -> None:
        how, steps = next(self.script)
        self.started.append(order.path.name)
        order.path.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"step": k + 1, "epoch": 0, "eval/fid": 9.0 - k}) for k in range(steps)]
        (order.path / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines) + '{"step": 99')
        self._running[order.path] = Ending(how, how)
        self.most_at_once = max(self.most_at_once, len(self._running))

    def ended(self, wait_s: float) -> Mapping[Path, Ending]:
        path = next(iter(self._running))
        return {path: self._running.pop(path)}

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def points(tmp_path: Path) -> list[Point]:
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({"config": SMALL, "grid": {"seed": [1, 2, 3]}}))
    return Sweep.create(Plan.load(tmp_path / "plan.yaml"), tmp_path / "out").points


def test_endings_are_told_and_nothing_is_tried_again_but_what_died(points: list[Point]) -> None:
    engine = ScriptedEngine(("failed", 1), ("detached", 1), ("died", 1), ("failed", 2))
    states = conduct(points, budget="b", engine=engine)
    assert [(s.state, s.error) for s in states] == [
        ("failed", "failed"),
        ("detached", "detached"),
        ("failed", "failed"),
    ]
    assert engine.started == ["seed=1", "seed=2", "seed=3", "seed=3"]
    assert states[2].deaths == 1
    assert engine.stopped


def test_no_more_run_at_once_than_have_room(points: list[Point]) -> None:
    engine = ScriptedEngine(*[("failed", 1)] * 3, places=2)
    conduct(points, budget="b", engine=engine)
    assert engine.most_at_once == 2


def test_a_point_that_dies_where_it_died_before_is_given_up(points: list[Point]) -> None:
    engine = ScriptedEngine(*[("died", 1)] * DEATHS)
    (state,) = conduct(points[:1], budget="b", engine=engine)
    assert (state.state, state.deaths) == ("failed", DEATHS)
    assert f"died {DEATHS} times" in state.error


def test_a_point_that_gets_further_each_time_is_not(points: list[Point]) -> None:
    engine = ScriptedEngine(*[("died", k) for k in range(1, 3 * DEATHS)], ("failed", 30))
    (state,) = conduct(points[:1], budget="b", engine=engine)
    assert (state.error, state.deaths, state.step) == ("failed", 1, 30)


def test_a_run_that_is_done_elsewhere_and_not_here_is_an_error(points: list[Point]) -> None:
    (state,) = conduct(points[:1], budget="b", engine=ScriptedEngine(("done", 2)))
    assert state.state == "failed"
    assert "one file system" in state.error


@pytest.mark.parametrize("error", [KeyboardInterrupt, ConfigError("no")])
def test_whatever_ends_the_conductor_stops_the_engine(points: list[Point], error: BaseException) -> None:
    engine = ScriptedEngine(*[("died", 1)] * 9)

    def report(_: object) -> None:
        raise error

    with pytest.raises((KeyboardInterrupt, ConfigError)):
        conduct(points, budget="b", engine=engine, report=report)
    assert engine.stopped


def test_what_is_read_is_the_last_whole_line_of_a_long_file(points: list[Point]) -> None:
    point = points[0]
    point.path.mkdir(parents=True)
    lines = [
        json.dumps({"step": k, "epoch": 0, "prior/losses": [0.5] * 50} | ({"eval/fid": 7.0} if k == 990 else {}))
        for k in range(1, 1001)
    ]
    (point.path / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines) + '{"step": 1001, "ep')
    with Watch() as watch:
        state = watch.first(point)
    assert (state.state, state.step, state.total, dict(state.figures)) == ("waiting", 1000, 2, {"eval/fid": 7.0})


@pytest.fixture
def held(points: list[Point]) -> Iterator[Point]:
    """A point whose run another process works on."""
    point = points[0]
    run_point(point.config, point.path, "b")
    with RunDirectory.open(point.path) as run, Store.open(run.store_url) as store, store.lock(run.id, "training", 0):
        yield point


def test_two_processes_do_not_work_on_one_run(held: Point, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_GIVE_UP_S", 0.1)
    with pytest.raises(StoreError, match="another process is working on 'training'"):
        run_point(held.config, held.path, "b")
    ending = work(Order(held.config, held.path, "b"))
    assert ending.how == "failed"
    assert "another process" in held.path.with_name("seed=1.log").read_text()


def test_processes_that_are_stopped_are_gone(points: list[Point]) -> None:
    running = Processes(jobs=2, threads=1)
    for point in points[:2]:
        point.path.parent.mkdir(parents=True, exist_ok=True)
        running.start(Order(point.config, point.path, "b"))
    assert running.room() == 0
    running.stop()
    assert multiprocessing.active_children() == []
    assert running.room() == 2
