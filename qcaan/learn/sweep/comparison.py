"""What a sweep found: every figure by variant, with intervals, and the paired difference to the baseline.

Why differences are paired by seed: runs with the same seed share batches, initial weights and latent draws, so most of
what makes one run better than the next cancels in the difference.

Why Student's t on few seeds: it is what five numbers allow; an interval that holds zero shows no difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.sweep.plan import Point, Sweep

LABELS = {
    "eval/inception_score": "Inception Score",
    "eval/fid": "FID",
    "eval/coverage": "coverage",
    "prior/kl": "KL of the prior",
    "prior/kl_product": "KL of the marginals",
}
"""What is compared, as named in metrics.jsonl -> in a table."""
_LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over `n` seeds with its 95 % interval; without bounds where one seed tells no spread."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Interval":
        """Student's t interval of independent values, at least one."""
        mean, n = float(np.mean(values)), len(values)
        if n < 2:
            return cls(mean, None, None, n)
        half = float(stats.t.ppf((1 + _LEVEL) / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
        return cls(mean, mean - half, mean + half, n)

    def __str__(self) -> str:
        mean = f"{self.mean:z.3f}"
        return mean if self.low is None else f"{mean} [{self.low:z.3f}, {self.high:z.3f}]"


@dataclass(frozen=True)
class Group:
    """The runs that differ by their seed only."""

    name: str
    seeds: tuple[int, ...]
    figures: Mapping[str, Interval]
    differences: Mapping[str, Interval]
    """To the baseline's run of the same seed and the same other settings; empty for the baseline itself."""


@dataclass(frozen=True)
class Comparison:
    """Groups in the plan's order; `missing`: points without an evaluation yet."""

    groups: tuple[Group, ...]
    baseline: str | None
    missing: int

    @property
    def keys(self) -> list[str]:
        """The figures that some group has, in the order of a table."""
        return [key for key in LABELS if any(key in group.figures for group in self.groups)]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def compare(sweep: Sweep) -> Comparison:
    """From the last evaluation of every run; runs that have none are left out and counted."""
    results = {id(point): found for point in sweep.points if (found := _last_figures(point))}
    grouped: dict[str, list[Point]] = {}
    for point in sweep.points:
        grouped.setdefault(point.group, []).append(point)
    by_identity = {(p.variant, p.others, p.seed): results.get(id(p)) for p in sweep.points}
    groups = []
    for name, points in grouped.items():
        done = [point for point in points if id(point) in results]
        pairs = [
            (results[id(p)], base)
            for p in done
            if p.variant != sweep.plan.baseline
            and (base := by_identity.get((sweep.plan.baseline or "", p.others, p.seed)))
        ]
        figures = {
            key: Interval.of(values)
            for key in LABELS
            if (values := [results[id(p)][key] for p in done if key in results[id(p)]])
        }
        differences = {
            key: Interval.of(values)
            for key in LABELS
            if (values := [mine[key] - base[key] for mine, base in pairs if key in mine and key in base])
        }
        groups.append(Group(name, tuple(point.seed for point in done), figures, differences))
    return Comparison(tuple(groups), sweep.plan.baseline, len(sweep.points) - len(results))


def _last_figures(point: Point) -> dict[str, float]:
    """The newest value of each figure, once the run was evaluated."""
    if not (point.path / "config.yaml").is_file():
        return {}
    newest: dict[str, float] = {}
    for record in RunDirectory(point.path, point.config).metrics():
        newest |= {key: float(record[key]) for key in LABELS if record.get(key) is not None}
    return newest if "eval/fid" in newest else {}
