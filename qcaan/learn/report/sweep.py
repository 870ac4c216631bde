"""The page of a sweep: what was compared, what came out, digits of every variant, where every run stands, its costs."""

import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from qcaan.execution.jobs import Job
from qcaan.learn.data import ImageArray
from qcaan.learn.pictures import grid
from qcaan.learn.report.charts import INK, as_svg, style
from qcaan.learn.report.jobs import device_table, job_charts, ran_shots, recorded, spent_usd
from qcaan.learn.report.page import Column, Table, base64_of, numbers, write_page
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.sweep.comparison import COMPARED, compare
from qcaan.learn.sweep.plan import Point, Settings, Sweep, flow
from qcaan.learn.sweep.results import EXPLAINED, Row, digits, draw_intervals, made_by, name_rows
from qcaan.learn.sweep.watch import PointState, State, as_found

_SHOWN: Mapping[State, str] = {
    "done": "done",
    "running": "running",
    "failed": "failed",
    "detached": "detached",
    "waiting": "left",
}
"""State of a point -> what a reader calls it."""
_COLUMNS = 12
"""Digits beside each other in a picture."""


def write_sweep_report(sweep: Sweep, out: Path | None = None) -> Path:
    """Write the page of `sweep` to `out`, by default `report.html` in its directory; return where it is.

    Works on a sweep in any state, also while it runs. The same sweep gives the same page.

    Raises:
        DataError: a run's records are damaged.
    """
    path = out or sweep.path / "report.html"
    return write_page(path, "sweep.html", _content(sweep, path.parent))


def _content(sweep: Sweep, folder: Path) -> dict[str, Any]:
    states = as_found(sweep.points)
    begun = {p.path: RunDirectory(p.path, p.config) for p in sweep.points if (p.path / "provenance.json").is_file()}
    jobs, note = recorded(begun.values())
    found = compare(sweep)
    figures = {group.name: group.figures for group in found.groups}
    ended = Counter(state.state for state in states)
    told = ", ".join(f"{ended[state]} {name}" for state, name in _SHOWN.items() if ended[state])
    return {
        "title": sweep.path.resolve().name,
        "path": sweep.path,
        "lead": f"{len(states)} runs of {len(figures)} settings: {told}",
        "tiles": list(_tiles(sweep, ended["done"], jobs)),
        "variants": _variants(sweep),
        "common": _common(sweep),
        "missing": found.missing,
        "scores": _table(found.score_table()),
        "score_charts": list(_charts("", figures, _real(begun.values()))),
        "differences": [
            {
                "baseline": baseline,
                "table": _table(table),
                "charts": list(
                    _charts(
                        f", difference to {baseline}",
                        {group.name: group.differences.get(baseline, {}) for group in found.groups},
                        dict.fromkeys(COMPARED, 0.0),
                    )
                ),
            }
            for baseline in found.baselines
            if (table := found.difference_table(baseline))
        ],
        "explained": EXPLAINED,
        "chance": found.chance,
        "pictures": [{"name": name, "base64": _png(images)} for name, images in digits(sweep).items()],
        "runs": _runs(states, begun, jobs, folder),
        "failures": [state for state in states if state.error],
        "jobs_note": note or ("" if jobs else "No submissions."),
        "devices": device_table(jobs),
        "job_charts": [chart.svg() for chart in job_charts(jobs)],
        "segments": _segments(begun.values()),
        "budget": sweep.budget,
        "config": (sweep.path / "sweep.yaml").read_text(encoding="utf-8"),
        "config_is": "The plan",
    }


def _tiles(sweep: Sweep, done: int, jobs: Sequence[Job]) -> Iterator[dict[str, str]]:
    yield {"value": f"{done} of {len(sweep.points)}", "label": "runs done", "note": ""}
    yield {"value": f"{ran_shots(jobs):,}", "label": "shots", "note": f"in {len(jobs):,} submissions"}
    budget = sweep.points[0].config.budget
    if budget or spent_usd(jobs):
        cap = f"of at most ${budget.cap_usd:,.2f}" if budget else ""
        yield {"value": f"${spent_usd(jobs):,.2f}", "label": "spent", "note": cap}


def _variants(sweep: Sweep) -> Table:
    """Every variant's settings; nothing where the grid alone makes the difference."""
    rows = [
        [name + (" (baseline)" if name in sweep.plan.baseline else ""), _settings(settings)]
        for name, settings in sweep.plan.variants.items()
    ]
    return Table([Column("variant"), Column("settings")], rows)


def _common(sweep: Sweep) -> Table:
    """The grid, and what says how large the runs are and where they ran."""
    first = sweep.points[0].config
    facts = {
        "data": first.data.name,
        "length": f"{first.train.max_steps:,} steps" if first.train.max_steps else f"{first.train.epochs} epochs",
        "batch": f"{first.train.batch_size} images",
        "backend": _settings({"name": first.backend.name, **first.backend.options}),
        "budget": f"${first.budget.cap_usd:,.2f} for all together" if first.budget else "none",
    }
    grid_rows = [[key, ", ".join(map(flow, values))] for key, values in sweep.plan.grid.items()]
    return Table([Column("setting"), Column("value")], [*grid_rows, *([key, value] for key, value in facts.items())])


def _settings(settings: Settings) -> str:
    return ", ".join(f"{key}={flow(value)}" for key, value in settings.items())


def _table(rows: Sequence[Sequence[str]]) -> Table:
    """Rows whose first is the headings; of numbers, but for the first column."""
    if not rows:
        return Table([], [])
    (name, *figures), *cells = rows
    return Table([Column(name), *numbers(figures)], cells)


def _charts(what: str, groups: Mapping[str, Row], references: Mapping[str, float]) -> Iterator[str]:
    """A picture of each figure: a row a group, and a dashed line at the reference."""
    rows = {name: figures for name, figures in groups.items() if figures}
    for key in (key for key in COMPARED if any(key in figures for figures in rows.values())):
        title = COMPARED[key].heading + what
        with style(title):
            figure = Figure(figsize=(4.6, 0.28 * len(rows) + 0.9), layout="constrained")
            panel = figure.add_subplot()
            draw_intervals(panel, [figures.get(key) for figures in rows.values()])
            name_rows(panel, list(rows))
            panel.locator_params(axis="x", nbins=5)
            if key in references:
                panel.axvline(references[key], color=INK, lw=1, ls="--", alpha=0.7)
            panel.set_title(title + (", dashed: real test data" if references.get(key) else ""))
            yield as_svg(figure)


def _real(runs: Iterable[RunDirectory]) -> dict[str, float]:
    """What real test data scores, by the key of the figure."""
    for run in runs:
        for record in run.metrics():
            if real := record.get("eval/real"):
                return {f"eval/{name}": value for name, value in real.items() if f"eval/{name}" in COMPARED}
    return {}


def _png(images: ImageArray) -> str:
    file = io.BytesIO()
    Image.fromarray(grid(images, columns=_COLUMNS)).save(file, format="PNG")
    return base64_of(file.getvalue())


def _runs(states: Sequence[PointState], begun: Mapping[Path, RunDirectory], jobs: Sequence[Job], folder: Path) -> Table:
    by_run: dict[str, list[Job]] = {}
    for job in jobs:
        by_run.setdefault(job.run, []).append(job)
    keys = [key for key in COMPARED if any(key in state.figures for state in states)]
    rows = []
    for state in states:
        run = begun.get(state.point.path)
        mine = by_run.get(run.id, []) if run else []
        rows.append(
            [
                _name(state.point, folder),
                _SHOWN[state.state],
                f"{state.step:,}/{state.total:,}",
                *(COMPARED[key].text(state.figures[key]) if key in state.figures else "-" for key in keys),
                f"{ran_shots(mine):,}",
                f"${spent_usd(mine):,.2f}",
            ]
        )
    labels = ["step", *(COMPARED[key].heading for key in keys), "shots", "spent"]
    return Table([Column("run"), Column("state"), *numbers(labels)], rows)


def _name(point: Point, folder: Path) -> str:
    """The run's name, a link to its page if it has one."""
    page = point.path / "report.html"
    if not page.is_file():
        return point.path.name
    where = quote(os.path.relpath(page, folder).replace(os.sep, "/"))
    return Markup('<a href="{}">{}</a>').format(where, point.path.name)


def _segments(runs: Iterable[RunDirectory]) -> Table:
    """What the runs were made with: a row for each set of versions and machine."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    seeds: dict[tuple[str, str, str], set[int]] = {}
    for run in runs:
        for segment in run.provenance()["segments"]:
            others = (f"{name} {version}" for name, version in segment["versions"].items() if name != "qcaan")
            versions = ", ".join([made_by(segment), *others])
            device = (segment["target"] or {}).get("device", "none")
            made_with = (versions, f"{segment['machine']}, Python {segment['python']}", device)
            alike.setdefault(made_with, []).append(segment["time"])
            seeds.setdefault(made_with, set()).add(segment["seed"])
    labels = ("first start", "last start", "starts", "seeds", "device", "versions", "machine")
    rows = [
        [min(times), max(times), str(len(times)), ", ".join(map(str, sorted(seeds[key]))), key[2], key[0], key[1]]
        for key, times in alike.items()
    ]
    return Table([Column(label) for label in labels], rows)
