"""A sweep's page: the comparison, every point's state, its costs and its provenance, in a real browser."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from qcaan.cli import app
from qcaan.execution.jobs import costs
from qcaan.execution.store import Store
from qcaan.learn.report import write_sweep_report
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.sweep import Plan, PointState, Sweep, compare
from qcaan.learn.sweep.comparison import COMPARED
from qcaan.learn.sweep.engine import WORK, run_point
from qcaan.learn.sweep.watch import Watch, record_ending

SECTIONS = ("scores", "plan", "comparison", "digits", "runs", "device", "provenance")
PLAN = {
    "config": {
        "prior": {"n_qubits": 2, "n_layers": 2, "gradient": "spsa", "shots": 50, "updates": 1, "target_images": 32},
        "gan": {"channels": 2},
        "train": {"max_steps": 2, "batch_size": 8, "scores": False},
        "budget": {"cap_usd": 7.5},
    },
    "variants": {"QC <b>": {"prior.kind": "born_machine"}, "coins": {"prior.kind": "product_bernoulli"}},
    "baseline": "coins",
    "grid": {"seed": [1, 2, 3]},
}
FID = {("QC <b>", 1): 10.0, ("QC <b>", 2): 14.0, ("coins", 1): 11.0, ("coins", 2): 13.0}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Four runs are done and scored, one failed, one is left."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "plan.yaml").write_text(yaml.safe_dump(PLAN))
    sweep = Sweep.create(Plan.load(folder / "plan.yaml"), folder / "compared")
    for point in sweep.points:
        if point.seed < 3:
            run_point(point.config, point.path, sweep.budget)
            with RunDirectory.open(point.path) as run:
                scores = {"eval/fid": FID[point.variant, point.seed], "eval/inception_score": 2.0}
                run.log(2, 0, scores | {"eval/real": {"fid": 3.375, "inception_score": 9.761}})
    failed = PointState(sweep.points[2], "failed", error="BudgetError: <no money>")
    record_ending(failed)
    return sweep


@pytest.fixture
def page(sweep: Sweep, tmp_path: Path) -> Path:
    return write_sweep_report(sweep, tmp_path / "page.html")


def test_the_page_tells_the_comparison(sweep: Sweep, page: Path, parse) -> None:
    seen = parse(page.read_text(encoding="utf-8"))
    assert set(SECTIONS) <= seen.ids
    quantum = compare(sweep).groups[0]
    for figures in (quantum.figures, quantum.differences["coins"]):
        for key, value in figures.items():
            assert COMPARED[key].text(value) in seen.text
    assert "Difference to coins" in seen.text
    assert len(seen.images) == 2
    # intervals and differences of both figures and the bits won that runs tell, and shots over time
    assert seen.tags.count("svg") == 2 * len(compare(sweep).keys) + 1


def test_the_page_tells_where_every_run_stands_and_what_it_cost(sweep: Sweep, page: Path, parse) -> None:
    seen = parse(page.read_text(encoding="utf-8"))
    assert "6 runs of 2 settings: 4 done, 1 failed, 1 left" in seen.text
    assert "BudgetError: <no money>" in seen.text
    assert "of at most $7.50" in seen.text
    with Store.open(f"sqlite:///{sweep.path / 'store.sqlite'}") as store:
        assert f"{sum(cost.shots for cost in costs(store)):,}" in seen.text
    links = [link for link in seen.links if link.endswith("report.html")]
    assert len(links) == 4
    assert all((page.parent / link.replace("%3D", "=")).is_file() for link in links)
    assert all(link.startswith(("data:", "#", "../")) for link in seen.links)
    assert "script" not in seen.tags


def test_a_browser_shows_it_without_a_word(page: Path, check_page) -> None:
    check_page(page, SECTIONS, 2)


def test_a_run_that_somebody_works_on_is_running(sweep: Sweep) -> None:
    point = sweep.points[0]
    (point.path / "samples").rename(point.path / "elsewhere")
    run = RunDirectory.open(point.path)
    try:
        with Watch() as watch, Store.open(run.store_url) as store:
            assert watch.found(point).state == "waiting"
            with store.lock(run.id, WORK, 1.0):
                assert watch.found(point).state == "running"
            record_ending(PointState(point, "detached", error="still queued"))
            assert (watch.found(point).state, watch.found(point).error) == ("detached", "still queued")
            record_ending(replace(watch.found(point), state="running"))
            assert watch.found(point).state == "waiting"
    finally:
        (point.path / "elsewhere").rename(point.path / "samples")


def test_the_command_recognises_a_sweep(sweep: Sweep, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["report", str(sweep.path)])
    assert result.exit_code == 0, result.output
    assert Path(result.stdout.strip()) == sweep.path / "report.html"
    first = (sweep.path / "report.html").read_bytes()
    assert write_sweep_report(sweep).read_bytes() == first


def test_a_sweep_that_has_not_begun_has_a_page(tmp_path: Path, parse) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(json.dumps({"config": PLAN["config"], "grid": {"seed": [1]}}))
    sweep = Sweep.create(Plan.load(plan), tmp_path / "out")
    seen = parse(write_sweep_report(sweep).read_text(encoding="utf-8"))
    assert "1 runs of 1 settings: 1 left" in seen.text
    assert "No run has scores yet" in seen.text
