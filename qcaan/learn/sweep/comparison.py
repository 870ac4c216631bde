"""What a sweep found: every figure by variant, with intervals, and the differences to its baselines.

Why differences are paired by seed: runs of one seed see the same real images in the same order, and begin with the same
networks where their priors have equally many bits. That may make them alike, and pairs are right either way; but after
some hundred steps of a GAN little of it need be left. So the unpaired interval (Welch's) stands beside the paired one:
where it is no wider, pairing won nothing.

Why bits won and not divergences: every run has a target of its own, so KL(target || prior) of two runs do not compare.
What a prior wins over the product of its own target's marginals does, between priors of equally many bits.

Why Student's t on few seeds: it is what five numbers allow; an interval that holds zero shows no difference. Of many
intervals some miss zero by chance: p values are adjusted for how many are looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.sweep.plan import Point, Sweep


class Figure(NamedTuple):
    """How a figure is called and shown, and whether it compares only between priors of equally many bits."""

    label: str
    unit: str = ""
    decimals: int = 3
    equal_bits: bool = False

    @property
    def heading(self) -> str:
        """The label with its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def text(self, value: "float | Interval | Difference") -> str:
        """A value in so many decimals."""
        return format(value, f"z,.{self.decimals}f")


COMPARED: Mapping[str, Figure] = {
    "eval/inception_score": Figure("Inception Score", decimals=2),
    "eval/fid": Figure("FID", decimals=2),
    "eval/precision": Figure("precision"),
    "eval/density": Figure("density"),
    "eval/coverage": Figure("coverage"),
    "eval/effective_support": Figure("effective support", "images", 0),
    "prior/bits_won": Figure("won over the marginals", "bits", equal_bits=True),
}
"""What is compared, in the order of a table: as named in metrics.jsonl, but for `prior/bits_won`, which is
`prior/kl_product` minus `prior/kl`: by how much the prior is nearer to its target than independent bits can be."""
LEVEL = 0.95
_Where = tuple[str, str, str]
"""A group, a baseline, a figure."""


def figures_of(record: Mapping[str, Any]) -> dict[str, float]:
    """What a line of metrics.jsonl holds of `COMPARED`."""
    found = {key: float(record[key]) for key in COMPARED if record.get(key) is not None}
    if record.get("prior/kl") is not None:
        found["prior/bits_won"] = record["prior/kl_product"] - record["prior/kl"]
    return found


@dataclass(frozen=True)
class Interval:
    """A mean of `n` seeds, or a difference of two, with its 95 % interval; no bounds where one seed tells no spread."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Interval":
        """Student's t interval of independent values, at least one."""
        return cls._around(float(np.mean(values)), _error(values), len(values) - 1, len(values))

    @classmethod
    def between(cls, mine: Sequence[float], base: Sequence[float]) -> "Interval":
        """Welch's interval of the difference of two means of equally many independent values."""
        a, b, n = _error(mine), _error(base), len(mine)
        freedom = (n - 1) * (a**2 + b**2) ** 2 / (a**4 + b**4) if a or b else n - 1
        return cls._around(float(np.mean(mine) - np.mean(base)), float(np.hypot(a, b)), freedom, n)

    @classmethod
    def _around(cls, mean: float, error: float, freedom: float, n: int) -> "Interval":
        if n < 2:
            return cls(mean, None, None, n)
        half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
        return cls(mean, mean - half, mean + half, n)

    @property
    def misses_zero(self) -> bool:
        """Whether the interval has bounds, and zero is not between them."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    def bounds(self, spec: str) -> str:
        """The bounds as text; nothing where there are none."""
        return "" if self.low is None else f"[{self.low:{spec}}, {self.high:{spec}}]"

    def __format__(self, spec: str) -> str:
        return f"{self.mean:{spec}} {self.bounds(spec)}".rstrip()


@dataclass(frozen=True)
class Difference:
    """Of runs to those of the same seeds: the paired interval, Welch's, and the p value of the paired t test.

    `p_adjusted` is Benjamini's and Yekutieli's, over all differences of the comparison: where it is below 0.05 is
    called clear, at most 5 % of all that are called so are none, on average, however they depend on each other. Both
    are None where one pair tells no spread.
    """

    paired: Interval
    unpaired: Interval
    p: float | None
    p_adjusted: float | None = None

    @property
    def clear(self) -> bool:
        """Whether it is one after all that was looked at."""
        return self.p_adjusted is not None and self.p_adjusted < 1 - LEVEL

    def __format__(self, spec: str) -> str:
        if not self.paired.bounds(spec):
            return format(self.paired, spec)
        star = "*" if self.clear else ""
        return f"{self.paired.mean:{spec}}{star} {self.paired.bounds(spec)} ({self.unpaired.bounds(spec)})"


@dataclass(frozen=True)
class Group:
    """The runs that differ by their seed only. `differences`: baseline -> figure -> to its runs of the same seeds."""

    name: str
    seeds: tuple[int, ...]
    figures: Mapping[str, Interval]
    differences: Mapping[str, Mapping[str, Difference]]


@dataclass(frozen=True)
class Comparison:
    """Groups in the plan's order; `missing`: points without an evaluation yet."""

    groups: tuple[Group, ...]
    baselines: tuple[str, ...]
    missing: int

    @property
    def keys(self) -> list[str]:
        """The figures that some group has, in the order of a table."""
        return [key for key in COMPARED if any(key in group.figures for group in self.groups)]

    @property
    def differences(self) -> list[Difference]:
        """All of them."""
        return [found for group in self.groups for row in group.differences.values() for found in row.values()]

    @property
    def chance(self) -> str:
        """A sentence on how many intervals there are, and how many miss zero; nothing without intervals."""
        known = [found for found in self.differences if found.p is not None]
        if not known:
            return ""
        missed, clear = sum(found.paired.misses_zero for found in known), sum(found.clear for found in known)
        return (
            f"{len(known)} paired intervals are shown. If there were no difference anywhere, about "
            f"{(1 - LEVEL) * len(known):.0f} of them would miss zero by chance; {missed} do. The {clear} with a star "
            "are clear after all that was looked at: at most 5 % of such stars are wrong, on average (Benjamini and "
            "Yekutieli's adjustment, for figures that depend on each other)."
        )

    def score_table(self) -> list[list[str]]:
        """Headings and rows, a group each."""
        rows = [
            [group.name, str(len(group.seeds)), *_cells(self.keys, group.figures)]
            for group in self.groups
            if group.figures
        ]
        return [["", "seeds", *(COMPARED[key].heading for key in self.keys)], *rows] if rows else []

    def difference_table(self, baseline: str) -> list[list[str]]:
        """Headings and rows, a group each; empty where there is nothing to compare."""
        rows = [
            [group.name, str(max(found.paired.n for found in row.values())), *_cells(self.keys, row)]
            for group in self.groups
            if (row := group.differences.get(baseline))
        ]
        return [["", "pairs", *(COMPARED[key].heading for key in self.keys)], *rows] if rows else []

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def compare(sweep: Sweep) -> Comparison:
    """From the last evaluation and refit of every run; runs that have none are left out and counted."""
    done = {(point.group, point.seed): (point, found) for point in sweep.points if (found := _last_figures(point))}
    pairs: dict[_Where, list[tuple[float, float]]] = {}
    for baseline in sweep.plan.baseline:
        for (group, seed), (point, mine) in done.items():
            other = sweep.group_of(baseline, point)
            if other == group or (other, seed) not in done:
                continue
            base, theirs = done[other, seed]
            alike = point.config.prior.n_bits == base.config.prior.n_bits
            for key in COMPARED:
                if key in mine and key in theirs and (alike or not COMPARED[key].equal_bits):
                    pairs.setdefault((group, baseline, key), []).append((mine[key], theirs[key]))
    differences = _adjusted({where: _difference(*zip(*values, strict=True)) for where, values in pairs.items()})
    groups = []
    for name in dict.fromkeys(point.group for point in sweep.points):
        figures = {seed: found for (group, seed), (_, found) in done.items() if group == name}
        by_key = {key: [found[key] for found in figures.values() if key in found] for key in COMPARED}
        rows = {
            baseline: {key: one for key in COMPARED if (one := differences.get((name, baseline, key)))}
            for baseline in sweep.plan.baseline
        }
        intervals = {key: Interval.of(values) for key, values in by_key.items() if values}
        groups.append(Group(name, tuple(figures), intervals, {to: row for to, row in rows.items() if row}))
    return Comparison(tuple(groups), sweep.plan.baseline, len(sweep.points) - len(done))


def _cells(keys: Sequence[str], found: Mapping[str, Interval] | Mapping[str, Difference]) -> list[str]:
    return [COMPARED[key].text(found[key]) if key in found else "-" for key in keys]


def _difference(mine: Sequence[float], base: Sequence[float]) -> Difference:
    paired = [a - b for a, b in zip(mine, base, strict=True)]
    mean, error, n = float(np.mean(paired)), _error(paired), len(paired)
    if n < 2:
        p = None
    elif error == 0:
        p = 1.0 if mean == 0 else 0.0
    else:
        p = float(2 * stats.t.sf(abs(mean) / error, n - 1))
    return Difference(Interval.of(paired), Interval.between(mine, base), p)


def _adjusted(found: Mapping[_Where, Difference]) -> dict[_Where, Difference]:
    known = [where for where, one in found.items() if one.p is not None]
    adjusted = stats.false_discovery_control([found[where].p for where in known], method="by") if known else ()
    p_adjusted = dict(zip(known, map(float, adjusted), strict=True))
    return {where: replace(one, p_adjusted=p_adjusted.get(where)) for where, one in found.items()}


def _error(values: Sequence[float]) -> float:
    """The standard error of the mean; 0 for one value."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _last_figures(point: Point) -> dict[str, float]:
    """The newest value of each figure, once the run was evaluated."""
    if not (point.path / "config.yaml").is_file():
        return {}
    newest: dict[str, float] = {}
    for record in RunDirectory(point.path, point.config).metrics():
        newest |= figures_of(record)
    return newest if "eval/fid" in newest else {}
