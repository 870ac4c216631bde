"""`qcaan sweep`: how it ends, what a signal leaves behind, and the table that lives on a terminal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from qcaan.cli import sweep
from qcaan.cli.sweep_table import table
from qcaan.learn.sweep import Plan, PointState, Sweep
from qcaan.learn.sweep.comparison import COMPARED
from qcaan.learn.sweep.engine import Ending, Order

SMALL = {
    "prior": {"kind": "product_bernoulli", "n_qubits": 2, "shots": 20, "target_images": 16},
    "gan": {"channels": 2},
    "train": {"max_steps": 100_000, "batch_size": 8, "log_every": 1, "scores": False},
}


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump({"config": SMALL, "grid": {"seed": [1, 2]}}))
    return path


class EndingEngine:
    """Ends every order at once."""

    threads = 1

    def __init__(self, *endings: Ending) -> None:
        self.endings = iter(endings)
        self.over: dict[Path, Ending] = {}

    def room(self) -> int:
        return 1

    def start(self, order: Order) -> None:
        self.over[order.path] = next(self.endings)

    def ended(self, wait_s: float) -> dict[Path, Ending]:
        over, self.over = self.over, {}
        return over

    def stop(self) -> None:
        pass


@pytest.mark.parametrize(
    ("endings", "code"),
    [(("detached", "detached"), 75), (("detached", "failed"), 1), (("failed", "failed"), 1)],
)
def test_the_exit_code_says_how_it_ended(
    call: Callable, plan: Path, monkeypatch: pytest.MonkeyPatch, endings: tuple[str, str], code: int
) -> None:
    engine = EndingEngine(*(Ending(how, f"because {how}") for how in endings))
    monkeypatch.setattr(sweep, "_open", lambda *_: engine)
    found, _, err = call("sweep", plan, "--out", "out")
    assert found == code
    assert f"{endings[0]}: seed=1: because {endings[0]}" in err
    assert "go on with: qcaan sweep out" in err


def test_an_address_is_of_a_cluster(call: Callable, plan: Path) -> None:
    code, _, err = call("sweep", plan, "--address", "auto")
    assert (code, "--engine ray" in err) == (2, True)


def test_without_ray_the_command_to_install_it_is_told(
    call: Callable, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = call("sweep", plan, "--engine", "ray")
    assert code == 2
    assert "pip install 'qcaan[ray]'" in err


@pytest.mark.parametrize(
    ("engine", "number"), [("local", signal.SIGINT), ("local", signal.SIGKILL), ("ray", signal.SIGINT)]
)
def test_a_signal_leaves_nobody_behind(plan: Path, engine: str, number: signal.Signals) -> None:
    """Ctrl-C reaches every process of the terminal; a conductor that is killed can end nobody, and nobody works on."""
    options = ["--engine", engine, "--jobs", "2", "--threads", "1", "--out", "out"]
    command = [Path(sys.executable).parent / "qcaan", "sweep", plan, *options]
    process = subprocess.Popen(
        command, cwd=plan.parent, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    runs = plan.parent / "out" / "runs"
    wait_for(
        lambda: all((runs / f"seed={k}" / "metrics.jsonl").is_file() for k in (1, 2)) or process.poll() is not None
    )
    assert process.poll() is None, process.communicate()[0]
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.kill()
    said, _ = process.communicate(timeout=200)
    assert process.returncode == (130 if number == signal.SIGINT else -number), said
    assert ("stopped, nothing is lost; go on with: qcaan sweep out" in said) == (number == signal.SIGINT)
    assert "Traceback" not in said
    wait_for(lambda: not alive(process.pid))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 400
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_table_shows_first_what_needs_looking_at(plan: Path, tmp_path: Path) -> None:
    first, second = Sweep(tmp_path / "s", Plan.load(plan)).points
    states = [
        PointState(first, "done", 8, 8, {"eval/fid": 3.25}, usd=1.5),
        PointState(second, "running", 5, 8, usd=0.25, deaths=1),
    ]
    console = Console(width=100, record=True, file=None, force_terminal=False)
    with console.capture() as whole:
        console.print(table(states, 1.75, 20.0, 10))
    rows = [line.split() for line in whole.get().splitlines()]
    assert rows[0] == ["run", "state", "step", "FID", "$"]
    assert rows[1] == ["seed=1", "done", "8/8", "3.25", "1.50"]
    assert rows[2] == ["seed=2", "running,", "died", "1x", "5/8", "-", "0.25"]
    assert "1 done, 1 running of 2; $1.75 of $20.00" in whole.get()
    with console.capture() as one:
        console.print(table(states, 1.75, None, 1))
    assert "seed=2" in one.get()
    assert "seed=1" not in one.get()


@pytest.mark.parametrize(
    ("width", "columns"), [(80, {"FID", "Inception", "marginals", "$"}), (55, {"FID", "$"}), (45, {"$"})]
)
def test_the_table_has_as_many_figures_as_the_terminal_has_room_for(
    plan: Path, tmp_path: Path, width: int, columns: set[str]
) -> None:
    first, second = Sweep(tmp_path / "s", Plan.load(plan)).points
    figures = dict.fromkeys(COMPARED, 123.4567)
    states = [PointState(point, "running", 1200, 9380, figures, usd=12.5, deaths=1) for point in (first, second)]
    console = Console(width=width, force_terminal=False)
    with console.capture() as shown:
        console.print(table(states, 25.0, None, 10, width))
    lines = shown.get().splitlines()
    assert max(map(len, lines)) <= width
    heading = lines[: next(n for n, line in enumerate(lines) if "seed=1" in line)]
    known = {"FID", "Inception", "marginals", "coverage", "precision", "density", "support", "$"}
    assert known & set(" ".join(heading).split()) == columns
    assert [line.split()[0] for line in lines if "1200/9380" in line] == ["seed=1", "seed=2"]
