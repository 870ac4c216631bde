"""What noise, shots and the optimizer do to a GAN that goes on on a device: the sweep of examples/hardware.yaml, read.

A row is a variant. `ours` and `theirs` are the FID of its runs and of those on the simulator, means over the seeds; a
ratio above 1 means that ours is better. `fid_difference` and `kl_difference` are those to the simulator, seed by
seed, with their 95 % intervals. `tasks` and `usd` are what a run's jobs are on the device itself, at shipped prices.

    python benchmarks/hardware.py SWEEP [--json] [--out FOLDER]          FOLDER: for hardware.png
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

from backends.braket.capabilities import SNAPSHOTS, read_snapshot
from backends.braket.properties import qpu_target
from qcaan.config import Config
from qcaan.execution.backend import Price
from qcaan.execution.jobs import list_jobs
from qcaan.execution.store import Store
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.sweep import Point, Sweep, compare
from qcaan.learn.sweep.comparison import Interval

mpl.use("Agg")
import matplotlib.pyplot as plt

Row = dict[str, Any]
COLORS = {"measured": "C7", "SPSA": "C0", "CMA-ES": "C1", "parameter shift": "C2"}
FIGURES = {"fid": "FID", "kl": "KL of the prior, bits"}


def method(config: Config) -> str:
    """What a refit does with theta, in the words of the tables."""
    prior = config.prior
    if not prior.updates:
        return "measured"
    if prior.optimizer == "cma_es":
        return "CMA-ES"
    return {"spsa": "SPSA", "parameter_shift": "parameter shift", "exact": "exact"}[prior.gradient]


def price_of(device: str) -> Price:
    return qpu_target(json.loads(read_snapshot(device)), SNAPSHOTS[device]).price


def cost(point: Point) -> tuple[int, int, float]:
    """Tasks, shots and US dollars of one run."""
    with RunDirectory.open(point.path) as run, Store.open(run.store_url) as store:
        jobs = list_jobs(store, run=run.id)
    price = price_of(point.config.backend.options["device"])
    shots = sum(job.shots * job.n_circuits for job in jobs)
    return len(jobs), shots, len(jobs) * price.per_task_usd + shots * price.per_shot_usd


def kl(points: list[Point]) -> list[float]:
    """KL(target || prior) of each run's last refit, each to its own target, in bits."""
    found = ([r["prior/kl"] for r in RunDirectory(p.path, p.config).metrics() if "prior/kl" in r] for p in points)
    return [values[-1] for values in found]


def rows(sweep: Sweep) -> list[Row]:
    """One a variant that is done for as many seeds as the baseline, which comes first."""
    found = {group.name: group for group in compare(sweep).groups if group.figures}
    baseline = sweep.plan.baseline[0]
    base = found[baseline]
    found = {name: group for name, group in found.items() if group.seeds == base.seeds}
    runs = {name: [p for p in sweep.points if p.group == name and p.seed in base.seeds] for name in found}
    out = []
    for name, group in found.items():
        points, mine = runs[name], kl(runs[name])
        row: Row = {"work": name, "ours": group.figures["eval/fid"].mean, "peer": "on the simulator"}
        row |= {"theirs": base.figures["eval/fid"].mean, "unit": "FID", "seeds": len(group.seeds)}
        row["ratio"] = row["theirs"] / row["ours"]
        row["inception_score"] = group.figures["eval/inception_score"].mean
        row["kl"] = sum(mine) / len(mine)
        if group is not base:
            config = points[0].config
            tasks, shots, usd = (sum(values) / len(points) for values in zip(*map(cost, points), strict=True))
            row |= {"method": method(config), "scale": config.backend.options["scale"], "shots": config.prior.shots}
            row |= {"tasks": tasks, "shots_in_all": shots, "usd": usd}
            differences = {
                "fid": group.differences[baseline]["eval/fid"].paired,
                "kl": Interval.of([ours - theirs for ours, theirs in zip(mine, kl(runs[baseline]), strict=True)]),
            }
            for key, one in differences.items():
                row[f"{key}_difference"] = [one.mean, one.low, one.high]
        out.append(row)
    return out


def table(found: list[Row]) -> str:
    """Markdown."""

    def difference(row: Row, key: str, digits: int) -> str:
        mean, low, high = row[f"{key}_difference"]
        bounds = "" if low is None else f" [{low:+.{digits}f}, {high:+.{digits}f}]"
        return f"{mean:+.{digits}f}{bounds}"

    base = found[0]
    lines = [
        "| refits | noise | shots | tasks | dollars | Inception Score | FID | difference | KL, bits | difference |",
        "|---|---|---|---|---|---|---|---|---|---|",
        f"| {base['work']} | none | | | | {base['inception_score']:.2f} | {base['ours']:.1f} | | {base['kl']:.3f} | |",
    ]
    lines += [
        f"| {row['method']} | x {row['scale']:g} | {row['shots']} | {row['tasks']:g} | {row['usd']:,.0f} "
        f"| {row['inception_score']:.2f} | {row['ours']:.1f} | {difference(row, 'fid', 1)} "
        f"| {row['kl']:.3f} | {difference(row, 'kl', 3)} |"
        for row in found[1:]
    ]
    return "\n".join(lines)


def draw(path: Path, found: list[Row]) -> None:
    """Differences to the simulator: against the noise at the shots that most variants have, and against the shots."""
    figure, axes = plt.subplots(2, 2, figsize=(9.5, 6.4), layout="constrained", sharey="row", sharex="col")
    measured = found[1:]
    usual = max({row["shots"] for row in measured}, key=[row["shots"] for row in measured].count)
    columns = (
        ("scale", "shots", usual, "error rates, in those of Forte 1"),
        ("shots", "scale", 1, "shots of a circuit"),
    )
    for column, (x, fixed, value, label) in enumerate(columns):
        chosen = [row for row in measured if row[fixed] == value]
        for panel, (key, name) in zip(axes[:, column], FIGURES.items(), strict=True):
            for place, (line, color) in enumerate(COLORS.items()):
                points = sorted((row[x], *row[f"{key}_difference"]) for row in chosen if row["method"] == line)
                if not points:
                    continue
                aside = [p[0] * (1 + 0.06 * place) if x == "shots" else p[0] + 0.04 * place for p in points]
                panel.plot(aside, [p[1] for p in points], "o-", color=color, label=line, ms=4)
                if all(p[2] is not None for p in points):
                    panel.vlines(aside, [p[2] for p in points], [p[3] for p in points], color=color, lw=1.5, alpha=0.5)
            panel.axhline(0, color="0.5", lw=1, ls="--")
            panel.spines[["top", "right"]].set_visible(False)
            panel.set_title(f"{name}, minus the simulator's", fontsize=10)
        axes[1, column].set(xlabel=label, xscale="log" if x == "shots" else "linear")
    axes[0, 1].legend(frameon=False, fontsize=8)
    figure.suptitle(
        f"{found[0]['seeds']} seeds, 95 % intervals; left: {usual} shots, right: the noise of Forte 1", fontsize=10
    )
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep", type=Path, help="the directory of a sweep of examples/hardware.yaml")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, help="a folder for hardware.png")
    given = parser.parse_args()
    found = rows(Sweep.open(given.sweep))
    print(json.dumps(found) if given.json else table(found))
    if given.out:
        draw(given.out / "hardware.png", found)


if __name__ == "__main__":
    main()
