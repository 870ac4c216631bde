"""What the command line says while it works: on a terminal of 80 columns, and as lines in a file."""

import io
import logging
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from qcaan.cli import console
from qcaan.execution.progress import Work, parts

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """`screen()`: the lines that a terminal of 80 columns was sent, without colours."""
    out = io.StringIO()
    monkeypatch.setattr(console, "stderr", Console(file=out, force_terminal=True, width=80, soft_wrap=True))
    return lambda: ESCAPES.sub("", out.getvalue()).replace("\r", "\n").split("\n")


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """`lines()`: what a file got since the last call."""
    return lambda: capsys.readouterr().err.splitlines()


def test_the_bar_and_a_record_share_a_terminal(screen) -> None:
    """A record that comes while the bar is alive stands on a line of its own, above it."""
    with console.logs(as_json=False), console.Meter() as meter:
        meter.show("train", 3, 9, {"D": 0.5})
        logging.getLogger("qcaan.circuits").warning("compiling")
        meter.tell("jobs 1/2")
    assert "warning: compiling" in screen()
    assert any("3/9" in line for line in screen())
    assert "jobs 1/2" in screen()


def test_steps_times_and_numbers_fit_on_80_columns(screen) -> None:
    numbers = {"prior": 7.454, "KL": 4.725, "D": 1.209, "G": 0.715}
    with console.Meter() as meter:
        meter.show("evaluate", 20000, 20000, numbers)
        for name in ("compare with real images", "bit order: a batch of one program with different angles"):
            meter.work(Work(name, 65536, 65536))
            meter._bars._live.refresh()
    assert all(len(line) <= 80 for line in screen())
    for name, steps in (
        ("evaluate", 20000),
        ("compare with real images", 65536),
        ("bit order: a batch of one p…", 65536),
    ):
        line = next(line for line in screen() if line.startswith(name))
        assert re.search(rf"{steps}/{steps}  0:00:0\d", line)
    assert "prior 7.454  KL 4.725  D 1.209  G 0.715" in [line.strip() for line in screen()]


def test_what_was_done_on_the_way_is_not_left_behind(screen) -> None:
    with console.doing("loading") as meter:
        meter._bars._live.refresh()
        meter.work(Work("draw images", 1, 2, {"accuracy": 0.5}))
        meter._bars._live.refresh()
        assert any(line.startswith("draw images") for line in screen())
    with console.Meter() as meter:
        meter.work(Work("draw images", 1, 2))
        meter.show("train", 9, 9)
    assert screen()[-2].startswith("train")
    assert any(line.startswith("loading") for line in screen())


def test_work_is_told_of_in_a_file_when_it_lasts(lines, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Time()
    with console.logs(as_json=False):
        meter = console.Meter(clock)
        meter.work(Work("draw images", 0, 100))
        clock.now = 1.9
        meter.work(Work("draw images", 19, 100))
        assert lines() == []
        clock.now = 2.0
        meter.work(Work("draw images", 20, 100, {"accuracy": 0.5}))
        assert lines() == ["draw images 20/100, 2 s elapsed, 8 s left  accuracy 0.500"]
        clock.now = 11.9
        meter.work(Work("draw images", 99, 100))
        assert lines() == []
        meter.work(Work("look for copies", 0, 5))
        clock.now = 12.0
        meter.work(Work("look for copies", 1, 5))
        assert lines() == ["look for copies 1/5, 0 s elapsed, 0 s left"]


def test_many_short_works_are_told_of_too(lines) -> None:
    clock, told = Time(), 0
    with console.logs(as_json=False):
        meter = console.Meter(clock)
        for place in range(60):
            meter.work(Work(f"work {place}", 0, 1))
            clock.now += 1.0
        told = len(lines())
    assert told == 5


def test_what_lasts_is_told_of_once_and_what_does_not_is_not(lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "SOON_S", 0.01)
    with console.logs(as_json=False), console.doing("loading") as meter:
        word = meter._word
        assert word is not None
        word.join(60)
        meter.doing("opening")
        meter.show("train", 0, 9)
        assert meter._word is None
    assert lines()[0] == "loading"
    monkeypatch.setattr(console, "SOON_S", 1e6)
    with console.logs(as_json=False), console.doing("quick") as meter:
        word = meter._word
    assert word is not None
    assert word.finished.is_set()
    assert lines() == []


def test_parts_tell_before_each_and_at_the_end() -> None:
    told: list[Work] = []
    assert [(part.start, part.stop) for part in parts(5, 2, "count", told.append)] == [(0, 2), (2, 4), (4, 5)]
    assert [(work.done, work.total) for work in told] == [(0, 5), (2, 5), (4, 5), (5, 5)]
    assert list(parts(0, 2, "nothing", None)) == []


def test_a_real_terminal(tmp_path: Path) -> None:
    """The program in a pseudo-terminal: what it does is said, results stand alone, and the cursor comes back."""
    primary, secondary = pty.openpty()
    command = [sys.executable, "-c", "from qcaan.cli import main; main()", "backends", "check", "local"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--tier", "offline"], stdin=secondary, stdout=secondary, stderr=secondary, env=environment,
        cwd=tmp_path,
    )  # fmt: skip
    os.close(secondary)
    said, deadline = b"", time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([primary], [], [], 0.1)[0]:
            try:
                said += os.read(primary, 65536)
            except OSError:  # the other side is closed
                break
    os.close(primary)
    assert process.wait(60) == 0
    text = ESCAPES.sub("", said.decode())
    assert "opening local" in text or "━" in text  # which of both, the speed of the machine decides
    assert re.search(r"^yes  offline   decode is pure", text, re.MULTILINE)
    assert said.rindex(b"\x1b[?25h") > said.rindex(b"\x1b[?25l")
