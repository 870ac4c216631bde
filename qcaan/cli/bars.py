"""Progress on a terminal: a bar for the whole, one for what is being done now, and the newest numbers below them."""

from datetime import timedelta
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text


class Bars:
    """A context manager. What is being done now goes when it is done; the bar of the whole stays as it ended.

    Why numbers have a line of their own: behind a bar they do not fit on 80 columns, and rich cuts the times instead.
    """

    def __init__(self, console: Console) -> None:
        name = TextColumn("{task.description}", table_column=Column(max_width=28, no_wrap=True, overflow="ellipsis"))
        self._progress = Progress(name, BarColumn(16), _Standing(), console=console)
        self._whole: TaskID | None = None
        self._now: TaskID | None = None
        self._numbers = ""
        self._live = Live(get_renderable=self._render, console=console, redirect_stdout=False)

    def whole(self, name: str, done: int, total: int, numbers: str) -> None:
        """How far all of it is."""
        self.end()
        if self._whole is None:
            self._whole = self._progress.add_task(name, total=total)
        self._progress.update(self._whole, description=name, completed=done, total=total)
        self._numbers = numbers

    def now(self, name: str, done: int = 0, total: int | None = None, numbers: str = "") -> None:
        """What is being done; without a `total` nobody knows how long it takes."""
        task = next((task for task in self._progress.tasks if task.id == self._now), None)
        if task is None or task.description != name:
            self.end()
            self._now = self._progress.add_task(name, total=total)
        if self._now is not None:
            self._progress.update(self._now, completed=done, total=total)
        self._numbers = numbers or self._numbers

    def tell(self, numbers: str) -> None:
        """A text in place of the numbers."""
        self._numbers = numbers

    def end(self) -> None:
        """What was being done is done."""
        if self._now is not None:
            self._progress.remove_task(self._now)
            self._now = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()
        if self._whole is None:
            self._numbers = ""
        self._live.stop()

    def _render(self) -> RenderableType:
        return Group(self._progress, Text(self._numbers)) if self._numbers else self._progress


class _Standing(ProgressColumn):
    """Steps done of all, the time that passed and the time that is left."""

    def render(self, task: Task) -> Text:
        passed = str(timedelta(seconds=int(task.elapsed or 0)))
        if task.total is None:
            return Text(passed)
        left = task.time_remaining
        more = "" if left is None or task.finished else f", {timedelta(seconds=int(left))} left"
        return Text(f"{task.completed:.0f}/{task.total:.0f}  {passed}{more}")
