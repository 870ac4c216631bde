"""What a sweep says of its runs: intervals, differences to several baselines, what compares, and what is chance."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats

from qcaan.errors import ConfigError
from qcaan.learn.figures import FIGURES
from qcaan.learn.report import write_sweep_report
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.sweep import Comparison, Plan, Sweep, compare, write_results
from qcaan.learn.sweep.comparison import COMPARED, Difference, Interval, figures_of

VARIANTS = {
    "QC": {"prior.kind": "born_machine", "prior.bases": ["Z"]},
    "QC+o": {"prior.kind": "born_machine", "prior.bases": ["Z", "Y"]},
    "product": {"prior.kind": "product_bernoulli", "prior.bases": ["Z"]},
}
Figures = Mapping[tuple[str, int], Mapping[str, float]]
Scored = Callable[..., Sweep]


@pytest.fixture
def scored(tmp_path: Path) -> Scored:
    """`scored(figures)`: a sweep of `VARIANTS` whose runs, by variant and seed, logged these, and were not trained."""

    def make(figures: Figures, **sections: object) -> Sweep:
        seeds = sorted({seed for _, seed in figures})
        plan = {"variants": VARIANTS, "grid": {"seed": seeds}, "config": {"prior": {"n_qubits": 3}}} | sections
        (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
        sweep = Sweep.create(Plan.load(tmp_path / "plan.yaml"), tmp_path / "out")
        for point in sweep.points:
            if values := figures.get((point.variant, point.seed)):
                with RunDirectory.create(point.config, point.path) as run:
                    run.log(1, 0, {"eval/fid": 99.0, "eval/density": 0.5})
                    run.log(8, 0, values)
        return sweep

    return make


def fids(values: Mapping[str, list[float]]) -> Figures:
    return {(name, seed): {"eval/fid": x} for name, row in values.items() for seed, x in enumerate(row, 1)}


def difference(found: Comparison, group: str, baseline: str, key: str = "eval/fid") -> Difference:
    return next(g for g in found.groups if g.name == group).differences[baseline][key]


def test_an_interval_is_students() -> None:
    interval = Interval.of([1.0, 2.0, 3.0, 4.0, 5.0])
    # mean 3, s = 1.5811, t(0.975, 4) = 2.7764
    assert interval.low == pytest.approx(3 - 2.7764 * 1.5811 / 5**0.5, abs=1e-3)
    assert Interval.of([2.0]) == Interval(2.0, None, None, 1)


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    # 2000 intervals at 95 %: fewer than 1850 or more than 1950 has probability below 1e-5 (binomial, sd 9.7)
    rng = np.random.default_rng(7)
    found = [Interval.of(rng.normal(size=5)) for _ in range(2000)]
    assert 1850 <= sum(not interval.misses_zero for interval in found) <= 1950


def test_an_unpaired_interval_is_welchs() -> None:
    mine, base = np.random.default_rng(3).normal(size=(2, 5)) * [[1.0], [4.0]]
    expected = stats.ttest_ind(mine, base, equal_var=False).confidence_interval(0.95)
    interval = Interval.between(mine, base)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.mean == pytest.approx(mine.mean() - base.mean())
    assert Interval.between([1.0, 1.0], [3.0, 3.0]) == Interval(-2.0, -2.0, -2.0, 2)
    assert Interval.between([1.0], [3.0]) == Interval(-2.0, None, None, 1)


def test_differences_are_seed_by_seed_with_the_unpaired_interval_beside(scored: Scored) -> None:
    base, gains = np.array([10.0, 20.0, 40.0]), np.array([1.0, 2.0, 3.0])
    sweep = scored(fids({"product": list(base), "QC": list(base + gains)}), baseline="product")
    found = difference(compare(sweep), "QC", "product")
    assert found.p == pytest.approx(stats.ttest_rel(base + gains, base).pvalue)
    assert found.paired == Interval.of(list(gains))
    assert found.unpaired == Interval.between(list(base + gains), list(base))
    assert f"{found:.1f}" == "2.0 [-0.5, 4.5] ([-33.8, 37.8])"


def test_each_baseline_has_its_differences(scored: Scored) -> None:
    figures = fids({"QC": [1.0, 2.0], "QC+o": [3.0, 5.0], "product": [6.0, 6.0]})
    found = compare(scored(figures, baseline=["product", "QC"]))
    assert found.baselines == ("product", "QC")
    assert difference(found, "QC+o", "product").paired.mean == -2.0
    assert difference(found, "QC+o", "QC").paired.mean == 2.5
    assert [tuple(group.differences) for group in found.groups] == [("product",), ("product", "QC"), ("QC",)]
    assert [row[0] for row in found.difference_table("QC")[1:]] == ["QC+o", "product"]
    assert len(found.differences) == 8  # of two figures
    assert json.loads(json.dumps(found.to_dict()))["baselines"] == ["product", "QC"]


def test_other_settings_are_compared_with_the_baseline_of_the_same(scored: Scored, tmp_path: Path) -> None:
    grid = {"seed": [1, 2], "prior.n_layers": [3, 5]}
    sweep = scored({("none", 1): {}}, baseline="product", grid=grid)
    for point in sweep.points:
        fid = point.seed + 10.0 * point.config.prior.n_layers + (0.5 if point.variant == "QC" else 0.0)
        with RunDirectory.create(point.config, point.path) as run:
            run.log(8, 0, {"eval/fid": fid})
    found = compare(sweep)
    assert difference(found, "QC prior.n_layers=3", "product").paired == Interval(0.5, 0.5, 0.5, 2)
    assert difference(found, "QC prior.n_layers=5", "product").paired == Interval(0.5, 0.5, 0.5, 2)
    whole = compare(sweep.compared_with(["product prior.n_layers=3"]))
    assert difference(whole, "QC prior.n_layers=5", "product prior.n_layers=3").paired.mean == 20.5


def test_bits_won_over_the_marginals_are_compared_between_equally_many_bits(scored: Scored) -> None:
    won = {"QC": 0.3, "QC+o": 0.9, "product": 0.0}
    figures = {
        (name, seed): {"eval/fid": 5.0, "prior/kl_product": 2.0 + seed, "prior/kl": 2.0 + seed - bits}
        for name, bits in won.items()
        for seed in (1, 2)
    }
    found = compare(scored(figures, baseline="QC"))
    assert {g.name: round(g.figures["prior/bits_won"].mean, 9) for g in found.groups} == won
    assert difference(found, "product", "QC", "prior/bits_won").paired.mean == pytest.approx(-0.3)
    wide = next(group for group in found.groups if group.name == "QC+o")
    assert wide.differences["QC"].keys() == {"eval/fid", "eval/density"}
    assert "won over the marginals (bits)" in found.score_table()[0]


def test_a_prior_without_a_distribution_has_no_bits_won() -> None:
    assert figures_of({"prior/kl_product": 2.0, "eval/fid": None, "eval/coverage": 1}) == {"eval/coverage": 1.0}


def test_what_is_compared_is_what_runs_show() -> None:
    assert {key for key in COMPARED if key.startswith("eval/")} <= {f"eval/{name}" for name in FIGURES}


def test_runs_without_an_evaluation_are_left_out_and_counted(scored: Scored) -> None:
    figures = fids({"QC": [10.0, 14.0], "product": [11.0, 13.0]})
    figures = {where: values for where, values in figures.items() if where != ("QC", 1)}
    found = compare(scored(figures, baseline="product"))
    quantum = found.groups[0]
    assert (found.missing, quantum.seeds) == (3, (2,))
    assert quantum.figures["eval/fid"] == Interval(14.0, None, None, 1)
    single = quantum.differences["product"]["eval/fid"]
    assert single == Difference(Interval(1.0, None, None, 1), Interval(1.0, None, None, 1), None)
    assert (f"{single:.1f}", single.clear) == ("1.0", False)


def test_what_is_clear_is_adjusted_for_how_many_are_looked_at(scored: Scored) -> None:
    chance = np.random.default_rng(1)
    base = chance.normal(100, 1, size=5)
    figures = fids({"product": list(base), "QC": list(base - 50 + chance.normal(size=5) / 9)})
    figures |= fids({"QC+o": list(base + np.array([0.4, 0.1, 0.3, 0.2, -0.1]))})
    found = compare(scored(figures, baseline="product"))
    ps = [one.p for one in found.differences]
    assert [one.p_adjusted for one in found.differences] == pytest.approx(
        stats.false_discovery_control(ps, method="by")
    )
    sure, unsure = difference(found, "QC", "product"), difference(found, "QC+o", "product")
    assert (sure.clear, unsure.clear) == (True, False)
    assert f"{sure:.0f}".startswith("-50* [")
    # both have a density that never differs
    assert "4 paired intervals are shown" in found.chance
    assert "about 0 of them would miss zero by chance; 1 do. The 1 with a star" in found.chance


def test_the_results_tell_every_baseline_and_how_the_runs_were_made(scored: Scored) -> None:
    figures = fids({"QC": [1.0, 2.5], "QC+o": [3.0, 5.0], "product": [6.0, 6.0]})
    sweep = scored(figures, baseline=["product", "QC"])
    for number, point in enumerate(sweep.points):
        run = RunDirectory(point.path, point.config)
        segment = {"time": f"2026-11-2{number}T10:00:00+00:00", "versions": {"qcaan": "0.1.0"}, "seed": point.seed}
        segment |= {"machine": "PC", "python": "3.11", "target": None}
        made = {"commit": "abc123"} if number else {}  # older runs do not say
        took = {"wall_s": 20.0, "cpu_s": 30.0} if number < 2 else {}  # killed
        (run.path / "provenance.json").write_text(json.dumps(run.provenance() | {"segments": [segment | made | took]}))
    files = write_results(sweep, compare(sweep))
    text = files[0].read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# out",
        "## Difference to product",
        "## Difference to QC",
    ]
    assert "- Runs: 6; seeds: 1, 2.\n" in text
    assert (
        "- Started from 2026-11-20T10:00:00+00:00 to 2026-11-25T10:00:00+00:00, "
        "by qcaan 0.1.0, qcaan 0.1.0 at commit abc123.\n"
    ) in text
    assert "- A run took 20 s, 30 s of CPU time (medians of 2 runs), all of them together 0.0 CPU hours.\n" in text
    assert compare(sweep).chance in text
    page = write_sweep_report(sweep).read_text(encoding="utf-8")
    assert page.index("Difference to product</h3>") < page.index("Difference to QC</h3>")
    assert "at commit abc123" in page
    assert "QC (baseline)" in page


def test_baselines_change_at_any_time_and_are_kept(scored: Scored) -> None:
    sweep = scored(fids({"QC": [1.0, 2.0], "product": [6.0, 7.0]}), baseline="product")
    runs = {file: file.stat().st_mtime_ns for file in (sweep.path / "runs").rglob("*")}
    sweep.compared_with(["QC", "QC", "QC+o"])
    assert Sweep.open(sweep.path).plan.baseline == ("QC", "QC+o")
    with pytest.raises(ConfigError, match="baseline: 'RBM' is none of the variants QC, QC\\+o, product"):
        sweep.compared_with(["RBM"])
    assert Sweep.open(sweep.path).plan.baseline == ("QC", "QC+o")
    assert {file: file.stat().st_mtime_ns for file in (sweep.path / "runs").rglob("*")} == runs


def test_a_plan_of_before_several_baselines_is_read(scored: Scored) -> None:
    sweep = scored(fids({"QC": [1.0]}), baseline="product")
    record = sweep.path / "sweep.yaml"
    text = record.read_text(encoding="utf-8")
    record.write_text(text.replace("baseline:\n- product\n", "baseline: product\n"))
    assert record.read_text(encoding="utf-8") != text
    assert Sweep.open(sweep.path).plan == sweep.plan
    assert Sweep.create(sweep.plan, sweep.path).plan == sweep.plan
