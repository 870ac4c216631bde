"""What a sweep runs: every variant with every combination of the grid, each a run directory of its own.

```
sweep.yaml        the plan, resolved
store.sqlite      the shots of all runs (unless store.url names another store)
runs/NAME/        a run directory a point; NAME.log: what it warned of; NAME.ended.json: how it ended, if it is not done
results.md, ...   see `results`
report.html       all of it as one page
```

A plan is a YAML file: `config` (sections of a configuration, or the path of a file that holds them), `grid` (key ->
values), `variants` (name -> settings that belong together) and `baseline` (what the others are compared with, one or a
list).
With `start` (a run, or a sweep with a run a seed) every point goes on from a trained run, in a directory of its own,
and `config` holds only what differs from that run: a section's keys, and `backend` as a whole.

A sweep may grow: with more variants or longer grids it goes on with what is missing, and its baselines may change at
any time. Every run that it had must still be in the plan as it was.

Why all points share one store and one budget: what is spent together is limited together, and one table holds every
shot. Names in the store derive from a point's configuration, so no two points share shots by accident.
"""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from qcaan.config import Config, Section, diff, explain, read_yaml
from qcaan.errors import ConfigError
from qcaan.learn.files import write_whole
from qcaan.learn.run_directory import RunDirectory

Settings = Mapping[str, Any]


def _listed(value: object) -> object:
    """One name as a list of one, null as none."""
    return [value] if isinstance(value, str) else value or ()


def _once(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


class Plan(Section):
    """A sweep as its file says it."""

    config: dict[str, Any] = Field(default_factory=dict, description="what all runs have in common")
    grid: dict[str, tuple[Any, ...]] = Field(default_factory=dict, description="key -> values, all combinations")
    variants: dict[str, dict[str, Any]] = Field(default_factory=dict, description="name -> keys and values together")
    baseline: Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_once)] = Field(
        (), description="the variant, or those, that the others are compared with, seed by seed"
    )
    start: Path | None = Field(None, description="a run to go on from, or a sweep: its run of the same seed")

    @classmethod
    def load(
        cls,
        path: Path,
        grid: Mapping[str, Sequence[Any]] | None = None,
        changes: Sequence[str] = (),
        baseline: Sequence[str] = (),
    ) -> Self:
        """Read a plan, or a plain configuration.

        `grid` is added to the file's, `changes` are KEY=VALUE for all runs, `baseline` replaces the file's.

        Raises:
            ConfigError: the file cannot be read, or holds what is neither.
        """
        tree = read_yaml(path)
        if not tree.keys() & cls.model_fields.keys():
            tree = {"config": tree}
        base = tree.get("config") or {}
        if isinstance(base, str):
            base = path.parent / base
        if tree.get("start") is not None:
            tree["start"] = (path.parent / str(tree["start"])).resolve()
            base = _on_top_of(tree["start"], read_yaml(base))
        tree["config"] = Config.load(base, changes).model_dump(mode="json")
        tree["grid"] = {**(tree.get("grid") or {}), **(grid or {})}
        if baseline:
            tree["baseline"] = list(baseline)
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise ConfigError(f"{path}:\n{explain(error, cls)}") from error


@dataclass(frozen=True)
class Point:
    """One run of a sweep: what sets it apart, its whole configuration and its directory."""

    variant: str
    chosen: Settings
    """Its values of the grid."""
    config: Config
    path: Path
    start: Path | None = None
    """The run that it goes on from."""

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.config.seed

    @property
    def others(self) -> tuple[tuple[str, str], ...]:
        """Its values of the grid that are not the seed, as text."""
        return tuple((key, str(value)) for key, value in self.chosen.items() if key != "seed")

    @property
    def group(self) -> str:
        """What its runs of all seeds are called together."""
        return _group(self.variant, self.others)


class Sweep:
    """A plan in a directory.

    Raises:
        ConfigError: a point's configuration is wrong, two points are the same, or a baseline is none of the variants.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path = path
        self.plan = plan
        self.points = _points(path, plan)
        names = dict.fromkeys([*plan.variants, *(point.group for point in self.points)])
        for name in plan.baseline:
            if name not in names:
                raise ConfigError(f"baseline: '{name}' is none of the variants {', '.join(names)}")

    @classmethod
    def create(cls, plan: Plan, path: Path) -> Self:
        """A new sweep, or the one that is there, which may grow; every configuration is checked first.

        Raises:
            ConfigError: as of a sweep; `path` holds something else, or another sweep, one with runs that the plan lacks
                or has otherwise; a run to go on from has no checkpoint yet.
            DataError: what to go on from is no run.
        """
        sweep = cls(path, plan)
        there = {point.path: point for point in cls.open(path).points} if _is_sweep(path) else {}
        if not there and path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ConfigError(f"--out {path}: this already exists and is no sweep; name another directory")
        if changes := _changes(there, {point.path: point for point in sweep.points}):
            raise ConfigError(
                f"--out {path}: this is another sweep: {changes}; name another directory, or go on with that. New "
                "variants, more values in a grid and other baselines are welcome there"
            )
        for start in {point.start for point in sweep.points if point.start and point.path not in there}:
            RunDirectory.open(start).checkpoint()
        path.mkdir(parents=True, exist_ok=True)
        sweep._record()
        return sweep

    def compared_with(self, baselines: Sequence[str], *, keep: bool = True) -> Self:
        """The same sweep with other baselines: from now on, unless they shall not be kept.

        Raises:
            ConfigError: one is none of the variants.
        """
        sweep = type(self)(self.path, self.plan.model_copy(update={"baseline": _once(baselines)}))
        if keep:
            sweep._record()
        return sweep

    def group_of(self, baseline: str, point: Point) -> str:
        """What `point` is compared with: the variant with the point's other settings, or the group of that name."""
        return _group(baseline, point.others) if baseline in self.plan.variants else baseline

    def _record(self) -> None:
        """Keep the plan; what it says already is not written again."""
        record = self.path / "sweep.yaml"
        text = yaml.safe_dump(self.plan.model_dump(mode="json"), sort_keys=False)
        if not record.is_file() or record.read_text(encoding="utf-8") != text:
            write_whole(record, text)

    @classmethod
    def open(cls, path: Path) -> Self:
        """A sweep that was created.

        Raises:
            ConfigError: the directory is not a sweep.
        """
        if not _is_sweep(path):
            raise ConfigError(f"{path} is not a sweep: it has no sweep.yaml")
        return cls(path, Plan.model_validate(read_yaml(path / "sweep.yaml")))

    @property
    def budget(self) -> str:
        """The name of the budget in the store that all runs spend from."""
        return f"sweep {self.path.resolve().name}"


def _points(path: Path, plan: Plan) -> list[Point]:
    variants = plan.variants or {"": {}}
    points, wrong = [], []
    combinations = [dict(zip(plan.grid, values, strict=True)) for values in itertools.product(*plan.grid.values())]
    for (variant, fixed), chosen in itertools.product(variants.items(), combinations):
        name = _name(variant, chosen)
        try:
            config = _config(plan.config, {**fixed, **chosen}, path)
            start = plan.start and _run_of_seed(plan.start, config.seed)
        except ConfigError as error:
            wrong.append(f"{name}: {error}")
            continue
        points.append(Point(variant, chosen, config, path / "runs" / name, start))
    if wrong:
        raise ConfigError("\n".join(wrong))
    names = [point.path.name for point in points]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"grid: two points are called '{twice}'; leave out the value that stands twice")
    return points


def _changes(there: Mapping[Path, Point], now: Mapping[Path, Point]) -> str:
    """What is not as it was of the first run that is not; new runs are no change."""
    for path, old in there.items():
        new = now.get(path)
        if new is None:
            return f"its run {path.name} is none of the plan's"
        if new.start != old.start:
            return f"{path.name} goes on from {old.start}, not from {new.start}"
        if changed := diff(old.config, new.config):
            key, (was, wanted) = next(iter(changed.items()))
            return f"in {path.name}, {key} is {flow(was)} there, not {flow(wanted)}"
    return ""


def _on_top_of(start: Path, changes: Settings) -> dict[str, Any]:
    """The configuration of what is gone on from, its store left out, with the plan's changes."""
    run = Sweep.open(start).points[0].config if _is_sweep(start) else RunDirectory.open(start).config
    tree = run.model_dump(mode="json", exclude={"store"})
    for key, value in changes.items():
        within = isinstance(value, Mapping) and key != "backend"  # another driver has other options
        tree[key] = {**(tree.get(key) or {}), **value} if within else value
    return tree


def _run_of_seed(start: Path, seed: int) -> Path:
    if not _is_sweep(start):
        return start
    found = [point.path for point in Sweep.open(start).points if point.seed == seed]
    if len(found) != 1:
        raise ConfigError(f"start: {start} has {len(found)} runs of seed {seed}; name a sweep that has one a seed")
    return found[0]


def _is_sweep(path: Path) -> bool:
    return (path / "sweep.yaml").is_file()


def _config(base: Mapping[str, Any], settings: Settings, path: Path) -> Config:
    config = Config.load(base, [f"{key}={flow(value)}" for key, value in settings.items()])
    if config.store.url is not None:
        return config
    store = config.store.model_copy(update={"url": f"sqlite:///{(path / 'store.sqlite').resolve()}"})
    return config.model_copy(update={"store": store})


def _group(variant: str, others: Sequence[tuple[str, str]]) -> str:
    return " ".join([*([variant] if variant else []), *(f"{key}={value}" for key, value in others)]) or "all"


def _name(variant: str, chosen: Settings) -> str:
    parts = [variant] if variant else []
    parts += [f"{key.rpartition('.')[2]}={flow(value)}" for key, value in chosen.items()]
    return re.sub(r"[^A-Za-z0-9=+._-]+", "-", " ".join(parts)).strip("-") or "run"


def flow(value: object) -> str:
    """A value of a configuration as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=math.inf).removesuffix("\n").removesuffix("\n...")
