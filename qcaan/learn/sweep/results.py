"""What a sweep leaves behind for people: tables, a picture of the differences, and digits of every variant.

```
results.md         both tables: every figure, and the paired differences to the baseline
differences.png    the same as intervals
digits.png         a row of digits a variant, of its first seed, all from the same random numbers
```
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from qcaan.errors import DataError
from qcaan.learn.data import ImageArray
from qcaan.learn.files import write_whole
from qcaan.learn.pictures import grid
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.sweep.comparison import LABELS, Comparison, Interval
from qcaan.learn.sweep.plan import Sweep
from qcaan.learn.trained import Trained

DIGITS = 24
"""Of each variant, in the picture."""


def write_results(sweep: Sweep, found: Comparison) -> list[Path]:
    """Write what there is to show of a sweep that may be unfinished; return the files."""
    return [*_write_tables(sweep, found), *_draw_intervals(sweep, found), *_draw_digits(sweep)]


def _write_tables(sweep: Sweep, found: Comparison) -> Iterator[Path]:
    keys = found.keys
    if not keys:
        return
    settings = sweep.points[0].config
    length = settings.train.max_steps or f"{settings.train.epochs} epochs"
    lines = [f"# {sweep.path.resolve().name}", ""]
    lines += [f"Steps: {length}; batch: {settings.train.batch_size}; data: {settings.data.name}.", ""]
    lines += ["Mean and 95 % interval over the seeds.", "", *_table([LABELS[key] for key in keys], "seeds")]
    for group in found.groups:
        cells = [str(group.figures.get(key, "-")) for key in keys]
        lines.append(_row([group.name, str(len(group.seeds)), *cells]))
    if found.baseline is not None:
        lines += ["", f"Difference to {found.baseline}, seed by seed, with its 95 % interval.", ""]
        lines += _table([LABELS[key] for key in keys], "pairs")
        for group in found.groups:
            if group.differences:
                pairs = max(interval.n for interval in group.differences.values())
                cells = [str(group.differences.get(key, "-")) for key in keys]
                lines.append(_row([group.name, str(pairs), *cells]))
    if found.missing:
        lines += ["", f"{found.missing} runs have no scores: not done yet, or train.scores is false."]
    path = sweep.path / "results.md"
    write_whole(path, "\n".join(lines) + "\n")
    yield path


def _table(labels: list[str], counted: str) -> list[str]:
    return [_row(["", counted, *labels]), _row(["---"] * (len(labels) + 2))]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _draw_intervals(sweep: Sweep, found: Comparison) -> Iterator[Path]:
    """One panel a figure: differences where there is a baseline, else the figures themselves."""
    paired = any(group.differences for group in found.groups)
    rows = {group.name: group.differences if paired else group.figures for group in found.groups}
    rows = {name: figures for name, figures in rows.items() if figures}
    keys = [key for key in found.keys if any(key in figures for figures in rows.values())]
    if not keys:
        return
    figure = Figure(figsize=(2.6 * len(keys) + 1.5, 0.3 * len(rows) + 1.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(keys), sharey=True, squeeze=False)[0]
    for panel, key in zip(panels, keys, strict=True):
        draw_intervals(panel, [figures.get(key) for figures in rows.values()])
        if paired:
            panel.axvline(0, color="0.5", lw=1, ls="--")
        panel.set_title(LABELS[key], fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    name_rows(panels[0], list(rows))
    what = f"difference to {found.baseline}" if paired else "mean"
    figure.suptitle(f"{what}, 95 % interval over the seeds", fontsize=10)
    path = sweep.path / "differences.png"
    figure.savefig(path, dpi=110, metadata={"Software": None})
    yield path


def draw_intervals(panel: Axes, intervals: Sequence[Interval | None]) -> None:
    """A point and a line each, from top to bottom; None leaves its row empty."""
    for row, interval in enumerate(intervals):
        if interval is None:
            continue
        if interval.low is not None and interval.high is not None:
            panel.plot([interval.low, interval.high], [row, row], color="#2f7ed8", lw=2)
        panel.plot(interval.mean, row, "o", color="#2f7ed8")


def name_rows(panel: Axes, names: Sequence[str]) -> None:
    """Labels of the rows of `draw_intervals`, the first one on top."""
    panel.set_yticks(range(len(names)), list(names))
    panel.set_ylim(len(names) - 0.5, -0.5)


def digits(sweep: Sweep) -> dict[str, ImageArray]:
    """Group -> images of its first run that has a checkpoint, from the same random numbers, uint8 (DIGITS, 28, 28)."""
    drawn: dict[str, ImageArray] = {}
    for point in sweep.points:
        if point.group in drawn or not (point.path / "config.yaml").is_file():
            continue
        try:
            with RunDirectory.open(point.path) as run:
                drawn[point.group] = Trained.load(run).draw(DIGITS, 0)
        except DataError:  # no checkpoint yet
            continue
    return drawn


def _draw_digits(sweep: Sweep) -> Iterator[Path]:
    rows = {name: grid(images, columns=DIGITS) for name, images in digits(sweep).items()}
    if not rows:
        return
    figure = Figure(figsize=(0.4 * DIGITS + 1.5, 0.45 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = np.ravel(figure.subplots(len(rows), 1, squeeze=False))
    for panel, (name, picture) in zip(panels, rows.items(), strict=True):
        panel.imshow(picture, cmap="gray", vmin=0, vmax=255)
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_visible(False)
        panel.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    path = sweep.path / "digits.png"
    figure.savefig(path, dpi=110, metadata={"Software": None})
    yield path
