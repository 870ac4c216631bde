"""What runs did at their devices, from their stores: a table by device, and charts over time."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from statistics import median

from qcaan.errors import QcaanError
from qcaan.execution.jobs import Job, list_jobs
from qcaan.execution.records import FINISHED
from qcaan.execution.store import Store
from qcaan.learn.report.charts import Chart
from qcaan.learn.report.page import Column, Table, numbers
from qcaan.learn.run_directory import RunDirectory

_COLUMNS = [
    Column("device"),
    *numbers(["submissions", "circuits", "shots", "spent", "median turnaround"]),
    Column("states"),
]


def recorded(runs: Iterable[RunDirectory]) -> tuple[list[Job], str]:
    """The runs' submissions, oldest first, and what to say if a store could not be read."""
    names: dict[str, list[str]] = {}
    for run in runs:
        names.setdefault(run.store_url, []).append(run.id)
    jobs: list[Job] = []
    problems = []
    for url, here in names.items():
        try:
            with Store.open(url) as store:
                jobs += [job for name in dict.fromkeys(here) for job in list_jobs(store, run=name)]
        except QcaanError as error:
            problems.append(f"The store could not be read: {error}")
    return sorted(jobs, key=lambda job: job.created_at), " ".join(problems)


def ran_shots(jobs: Iterable[Job]) -> int:
    """Shots that were replied to."""
    return sum(job.shots * job.n_circuits for job in jobs if job.state in FINISHED)


def spent_usd(jobs: Iterable[Job]) -> float:
    """What is paid for sure, in US dollars."""
    return sum(job.usd or 0.0 for job in jobs)


def device_table(jobs: Iterable[Job]) -> Table:
    """A row for each device, in the order of their first submission."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(f"{job.backend}: {job.device}", []).append(job)
    return Table(_COLUMNS, [_row(device, group) for device, group in groups.items()])


def job_charts(jobs: Sequence[Job]) -> list[Chart]:
    """Shots, money and turnaround over hours since the first submission."""
    if not jobs:
        return []
    start = jobs[0].created_at
    over = sorted((job for job in jobs if job.done_at is not None), key=lambda job: job.done_at or 0.0)
    hours = [((job.done_at or 0.0) - start) / 3600 for job in over]
    finished = [ran_shots([job]) for job in over]
    spent = [spent_usd([job]) for job in over]
    waits = [(h, _turnaround_s(job) or 0.0) for h, job in zip(hours, over, strict=True) if job.sent_at is not None]
    charts = [_over_time("shots", list(zip(hours, accumulate(finished), strict=True)), "shots")]
    if any(spent):
        charts.append(_over_time("money spent", list(zip(hours, accumulate(spent), strict=True)), "US dollars"))
    if any(wait >= 1 for _, wait in waits):
        charts.append(_over_time("queue and run time of a job", waits, "seconds", steps=False))
    return [chart for chart in charts if not chart.empty]


def _row(device: str, jobs: Sequence[Job]) -> list[str]:
    waits = [wait for job in jobs if (wait := _turnaround_s(job)) is not None]
    return [
        device,
        f"{len(jobs):,}",
        f"{sum(job.n_circuits for job in jobs):,}",
        f"{ran_shots(jobs):,}",
        f"${spent_usd(jobs):,.2f}",
        f"{median(waits):,.1f} s" if waits else "-",
        ", ".join(f"{number} {state}" for state, number in Counter(job.state for job in jobs).most_common()),
    ]


def _turnaround_s(job: Job) -> float | None:
    return None if job.done_at is None or job.sent_at is None else job.done_at - job.sent_at


def _over_time(title: str, points: list[tuple[float, float]], unit: str, *, steps: bool = True) -> Chart:
    return Chart(title, {title: points}, {}, x_label="hours since the first submission", y_label=unit, steps=steps)
