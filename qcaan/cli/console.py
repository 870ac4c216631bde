"""What the command line says while it works: log records, progress and errors, all on standard error.

Why standard error: results on standard output stay clean, for a file or the next program. Why one console for bars and
records: it prints a record above a bar that is alive. Without a terminal, progress is log records too, a line now and
then: a log file of CI shows that something moves, and `--log-json` is JSON throughout.
"""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console

from qcaan.cli.bars import Bars
from qcaan.cli.options import plain
from qcaan.errors import QcaanError

if TYPE_CHECKING:
    from qcaan.execution.progress import Progress as JobProgress
    from qcaan.execution.progress import Work

EVERY_S = 10.0
"""Without a terminal, seconds between two lines of progress."""
SOON_S = 2.0
"""Without a terminal, seconds that something lasts before it is told of."""

stderr = Console(stderr=True, soft_wrap=True, highlight=False)
_log = logging.getLogger("qcaan.cli")
_progress = logging.getLogger("qcaan.progress")
_progress.setLevel(logging.INFO)
_STANDARD = logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime", "taskName"}


class _Lines(logging.Handler):
    """One line a record, for people."""

    def emit(self, record: logging.LogRecord) -> None:
        colour = "bold red" if record.levelno >= logging.ERROR else "yellow"
        label = f"[{colour}]{record.levelname.lower()}:[/] " if record.levelno >= logging.WARNING else ""
        stderr.print(label + plain(record.getMessage()))


class _JsonLines(logging.Handler):
    """One JSON object a record: `time`, `level`, `logger`, `message`, and what the record brings."""

    def emit(self, record: logging.LogRecord) -> None:
        facts = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        extra = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        sys.stderr.write(json.dumps(facts | extra, default=str) + "\n")


@contextmanager
def logs(as_json: bool) -> Iterator[None]:
    """Show the records of qcaan: warnings as lines for people, or all from INFO on as JSON."""
    logger = logging.getLogger("qcaan")
    handler, level = (_JsonLines(), logging.INFO) if as_json else (_Lines(), logging.WARNING)
    before = logger.level
    logger.setLevel(level)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def tell_error(error: QcaanError | OSError, exit_code: int) -> None:
    """An error and its notes, without a traceback; one that is not about the command, and where to read about it."""
    name = type(error).__name__
    more = [f"more: docs/errors.md#{name.lower()}"] if isinstance(error, QcaanError) and exit_code != 2 else []
    text = "\n  ".join([str(error), *getattr(error, "__notes__", ()), *more])
    _log.error("%s", text, extra={"error": name, "exit_code": exit_code})


class Meter:
    """Shows how far long work is: bars on a terminal; elsewhere a line for every new phase, and every ten seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        lines = any(isinstance(handler, _JsonLines) for handler in logging.getLogger("qcaan").handlers)
        self._bars = None if lines or not stderr.is_terminal else Bars(stderr)
        self._phase: str | None = None
        self._total = -1
        self._began = (clock(), 0)
        self._told_at = clock()
        self._work = ""
        self._work_began = self._began
        self._due = 0.0
        self._word: threading.Timer | None = None

    def show(
        self, phase: str, done: int, total: int, values: Mapping[str, Any] | None = None, *, quiet: bool = False
    ) -> None:
        """`done` of `total` steps of the whole; `values` are shown with them. A `quiet` phase is no news by itself."""
        self._hush()
        if self._bars is not None:
            self._bars.whole(phase, done, total, _numbers(values))
            return
        now = self._clock()
        news = self._phase is None or (phase != self._phase and not quiet)
        if total != self._total:
            self._began, self._total = (now, done), total
        if not quiet or self._phase is None:
            self._phase = phase
        if news or now - self._told_at >= EVERY_S:
            self._say(phase, done, total, values, self._began)

    def work(self, work: "Work") -> None:
        """Something that is a part of the whole; without a terminal it is told of when it lasts."""
        self._hush()
        if self._bars is not None:
            self._bars.now(work.name, work.done, work.total, _numbers(work.values))
            return
        now = self._clock()
        if work.name != self._work:
            self._work, self._work_began = work.name, (now, work.done)
            self._due = now + SOON_S
        if now >= self._due or now - self._told_at >= EVERY_S:
            self._say(work.name, work.done, work.total, work.values, self._work_began)
            self._due = now + EVERY_S

    def doing(self, text: str) -> None:
        """Something of which nobody knows how far it is; it lasts until the next word."""
        self._hush()
        if self._bars is not None:
            self._bars.now(text)
            return
        self._word = threading.Timer(SOON_S, _progress.info, ["%s", text])
        self._word.daemon = True
        self._word.start()

    def tell(self, text: str) -> None:
        """A text in place of the numbers."""
        self._hush()
        if self._bars is not None:
            self._bars.tell(text)
        elif self._clock() - self._told_at >= EVERY_S:
            self._told_at = self._clock()
            _progress.info("%s", text)

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._hush()
        if self._bars is not None:
            self._bars.__exit__()

    def _hush(self) -> None:
        """What was said to be done is done."""
        if self._word is not None:
            self._word.cancel()
            self._word = None

    def _say(
        self, phase: str, done: int, total: int, values: Mapping[str, Any] | None, began: tuple[float, int]
    ) -> None:
        """One line, or one record; the work `began` at a time, with so many steps done."""
        self._told_at = self._clock()
        elapsed_s, fresh = self._told_at - began[0], done - began[1]
        left = f", {elapsed_s / fresh * (total - done):.0f} s left" if fresh > 0 else ""
        _progress.info(
            "%s",
            f"{phase} {done}/{total}, {elapsed_s:.0f} s elapsed{left}  {_numbers(values)}".rstrip(),
            extra={"phase": phase, "done": done, "total": total, "elapsed_s": round(elapsed_s, 3)} | dict(values or {}),
        )


@contextmanager
def doing(text: str) -> Iterator[Meter]:
    """A meter that begins with something of which nobody knows how far it is."""
    with Meter() as meter:
        meter.doing(text)
        yield meter


def jobs_line(jobs: "JobProgress") -> str:
    """How the device's jobs stand, and what they cost so far."""
    from qcaan.execution.standing import duration

    queue = f", position {jobs.queue_position}" if jobs.queue_position is not None else ""
    stalled = f", {jobs.stalled} STALLED" if jobs.stalled else ""
    cap = f" of ${jobs.cap_usd:.2f}" if jobs.cap_usd is not None else ""
    money = f", ${jobs.usd:.2f}{cap}" if jobs.usd or jobs.cap_usd else ""
    stages = f"{jobs.done}/{jobs.n_submissions} done, {jobs.running} running, {jobs.queued} queued{queue}{stalled}"
    left = f", about {duration(jobs.left_s)} left" if jobs.left_s else ""
    return f"jobs {stages}, {jobs.shots} shots{money}{left}"


def _numbers(values: Mapping[str, Any] | None) -> str:
    return "  ".join(f"{name} {_short(value)}" for name, value in (values or {}).items())


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
