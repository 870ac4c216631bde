"""What a sweep leaves behind for people: tables, a picture of the differences, and digits of every variant.

```
results.md         how the runs were made, every figure, and the differences to each baseline
differences.png    the same as intervals
digits.png         a row of digits a variant, of its first seed, all from the same random numbers
```
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from qcaan.errors import DataError
from qcaan.learn.data import ImageArray
from qcaan.learn.files import write_whole
from qcaan.learn.pictures import grid
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.sweep.comparison import COMPARED, Comparison, Difference, Interval
from qcaan.learn.sweep.plan import Sweep
from qcaan.learn.trained import Trained

DIGITS = 24
"""Of each variant, in the picture."""
EXPLAINED = (
    "Differences are of runs of equal seeds: mean, 95 % interval (paired t), and in parentheses the unpaired one "
    "(Welch), which takes runs of equal seeds for strangers. An interval that holds zero shows no difference. What is "
    "won over the marginals is compared only between priors of equally many bits."
)
"""What stands below tables of differences."""
Row = Mapping[str, Interval] | Mapping[str, Difference]
"""What is known of a group, by figure."""


def write_results(sweep: Sweep, found: Comparison) -> list[Path]:
    """Write what there is to show of a sweep that may be unfinished; return the files."""
    return [*_write_tables(sweep, found), *_draw_intervals(sweep, found), *_draw_digits(sweep)]


def _write_tables(sweep: Sweep, found: Comparison) -> Iterator[Path]:
    if not found.keys:
        return
    lines = [f"# {sweep.path.resolve().name}", "", *_circumstances(sweep), ""]
    lines += ["Mean and 95 % interval (Student's t) over the seeds.", "", *_markdown(found.score_table())]
    for baseline in found.baselines:
        if table := found.difference_table(baseline):
            lines += ["", f"## Difference to {baseline}", "", *_markdown(table)]
    if found.differences:
        lines += ["", EXPLAINED, "", found.chance]
    if found.missing:
        lines += ["", f"{found.missing} runs have no scores: not done yet, or train.scores is false."]
    path = sweep.path / "results.md"
    write_whole(path, "\n".join(lines).rstrip() + "\n")
    yield path


def _circumstances(sweep: Sweep) -> Iterator[str]:
    """How large the runs are, which there are, when and by what they were made, and how long they took."""
    first = sweep.points[0].config
    length = f"{first.train.max_steps:,} steps" if first.train.max_steps else f"{first.train.epochs} epochs"
    yield f"- Each run: {length} of {first.train.batch_size} images of {first.data.name}."
    seeds = sorted({point.seed for point in sweep.points})
    yield f"- Runs: {len(sweep.points)}; seeds: {', '.join(map(str, seeds))}."
    begun = [RunDirectory(p.path, p.config) for p in sweep.points if (p.path / "provenance.json").is_file()]
    histories = [run.provenance()["segments"] for run in begun]
    segments = [segment for history in histories for segment in history]
    if not segments:
        return
    times = [segment["time"] for segment in segments]
    yield f"- Started from {min(times)} to {max(times)}, by {', '.join(sorted(set(map(made_by, segments))))}."
    timed = [history for history in histories if history and all("cpu_s" in segment for segment in history)]
    if timed:
        wall, cpu = ([sum(segment[key] for segment in history) for history in timed] for key in ("wall_s", "cpu_s"))
        yield (
            f"- A run took {np.median(wall):,.0f} s, {np.median(cpu):,.0f} s of CPU time (medians of {len(timed)} "
            f"runs), all of them together {sum(cpu) / 3600:,.1f} CPU hours."
        )


def made_by(segment: Mapping[str, Any]) -> str:
    """The version of this package, and its commit if known, that a segment of a run was made by."""
    commit = segment.get("commit")
    return f"qcaan {segment['versions']['qcaan']}" + (f" at commit {commit}" if commit else "")


def _markdown(table: Sequence[Sequence[str]]) -> list[str]:
    heading, *rows = table
    return [f"| {' | '.join(cells)} |" for cells in (heading, ["---"] * len(heading), *rows)]


def _draw_intervals(sweep: Sweep, found: Comparison) -> Iterator[Path]:
    """One panel a figure: a row of panels for each baseline, or, without one, the figures themselves."""
    drawn: dict[str, Mapping[str, Row]] = {
        f"difference to {baseline}": {g.name: row for g in found.groups if (row := g.differences.get(baseline))}
        for baseline in found.baselines
    }
    drawn = {title: rows for title, rows in drawn.items() if rows}
    paired = bool(drawn)
    drawn = drawn or {"mean": {group.name: group.figures for group in found.groups if group.figures}}
    keys = [key for key in COMPARED if any(key in row for rows in drawn.values() for row in rows.values())]
    if not keys:
        return
    heights = [0.3 * len(rows) + 1.2 for rows in drawn.values()]
    figure = Figure(figsize=(2.6 * len(keys) + 1.5, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    parts = figure.subfigures(len(drawn), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (title, rows) in zip(parts, drawn.items(), strict=True):
        panels = part.subplots(1, len(keys), sharey=True, squeeze=False)[0]
        for panel, key in zip(panels, keys, strict=True):
            draw_intervals(panel, [row.get(key) for row in rows.values()])
            if paired:
                panel.axvline(0, color="0.5", lw=1, ls="--")
            panel.set_title(COMPARED[key].heading, fontsize=10)
            panel.spines[["top", "right"]].set_visible(False)
        name_rows(panels[0], list(rows))
        part.suptitle(f"{title}, 95 % interval over the seeds" + (", thin: unpaired" if paired else ""), fontsize=10)
    path = sweep.path / "differences.png"
    figure.savefig(path, dpi=110, metadata={"Software": None})
    yield path


def draw_intervals(panel: Axes, found: Sequence[Interval | Difference | None]) -> None:
    """A point and a line each, from top to bottom, unpaired intervals thin below; None leaves its row empty."""
    for row, one in enumerate(found):
        if one is None:
            continue
        interval, unpaired = (one.paired, one.unpaired) if isinstance(one, Difference) else (one, None)
        for bounds, width, below in ((interval, 2.5, 0.0), (unpaired, 0.8, 0.25)):
            if bounds is not None and bounds.low is not None and bounds.high is not None:
                panel.plot([bounds.low, bounds.high], [row + below] * 2, color="#2f7ed8", lw=width)
        panel.plot(interval.mean, row, "o", color="#2f7ed8", ms=5)


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
