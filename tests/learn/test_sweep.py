"""Sweeps: points, resuming, growing, a worker that is killed, one store and one budget, results, the command."""

import json
import multiprocessing
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from qcaan.cli import app
from qcaan.errors import ConfigError
from qcaan.execution.jobs import list_jobs
from qcaan.execution.store import Store
from qcaan.learn import checkpoint
from qcaan.learn.priors import KINDS
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.sweep import Plan, Point, PointState, Processes, Sweep, compare, conduct, write_results
from qcaan.learn.sweep.engine import Ending, Order, run_point

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = {
    "prior": {"n_qubits": 3, "n_layers": 3, "gradient": "spsa", "shots": 50, "refresh_every": 4, "updates": 1}
    | {"target_images": 32},
    "gan": {"channels": 2},
    "train": {"max_steps": 8, "batch_size": 8, "log_every": 1, "checkpoint_every": 2, "scores": False},
}
VARIANTS = {"QC": {"prior.kind": "born_machine"}, "coins": {"prior.kind": "product_bernoulli"}}


def plan_file(folder: Path, **sections: object) -> Path:
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump({"config": SMALL, **sections}))
    return path


class Recorded:
    """Runs orders in this process, and remembers their names."""

    threads = 1

    def __init__(self, started: list[str]) -> None:
        self._started = started
        self._over: dict[Path, Ending] = {}

    def room(self) -> int:
        return 1

    def start(self, order: Order) -> None:
        self._started.append(order.path.name)
        run_point(order.config, order.path, order.budget)
        self._over[order.path] = Ending("done")

    def ended(self, wait_s: float) -> dict[Path, Ending]:
        over, self._over = self._over, {}
        return over

    def stop(self) -> None:
        pass


def tensors_of(point: Point) -> dict[str, object]:
    """Those of the run's last checkpoint."""
    return checkpoint.latest(point.path / "checkpoints")[0]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    folder = tmp_path_factory.mktemp("sweep")
    plan = Plan.load(plan_file(folder, variants=VARIANTS, baseline="coins", grid={"seed": [1, 2]}))
    sweep = Sweep.create(plan, folder / "out")
    for point in sweep.points:
        run_point(point.config, point.path, sweep.budget)
    return sweep


def test_a_run_says_which_commit_made_it_and_how_long_it_took(done: Sweep) -> None:
    for point in done.points:
        (segment,) = RunDirectory.open(point.path).provenance()["segments"]
        assert segment["wall_s"] > 0
        assert segment["cpu_s"] > 0
        if (EXAMPLES.parent / ".git").exists():
            commit = segment["commit"].removesuffix("-dirty")
            subprocess.run(["git", "-C", EXAMPLES, "cat-file", "-e", f"{commit}^{{commit}}"], check=True)
        else:
            assert segment["commit"] is None


def test_every_variant_runs_with_every_combination(tmp_path: Path) -> None:
    plan = Plan.load(plan_file(tmp_path, variants=VARIANTS, grid={"seed": [1, 2], "prior.bases": [["Z"], ["Z", "Y"]]}))
    points = Sweep(tmp_path / "s", plan).points
    assert len({point.path for point in points}) == 8
    assert {(p.config.prior.kind, p.seed, p.config.prior.bases) for p in points} == {
        (kind, seed, bases)
        for kind in ("born_machine", "product_bernoulli")
        for seed in (1, 2)
        for bases in (("Z",), ("Z", "Y"))
    }


def test_a_plain_configuration_is_a_plan(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    points = Sweep(tmp_path / "s", Plan.load(path, {"seed": [3, 4]}, ["prior.shots=7"])).points
    assert [(p.path.name, p.seed, p.config.prior.shots) for p in points] == [("seed=3", 3, 7), ("seed=4", 4, 7)]


def test_a_plan_may_name_the_file_of_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({"seed": 9}))
    (tmp_path / "plan.yaml").write_text("config: base.yaml\n")
    assert Sweep(tmp_path / "s", Plan.load(tmp_path / "plan.yaml")).points[0].seed == 9


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"grid": {"prior.kindd": ["bernoulli"]}}, ["prior.kindd", "did you mean 'kind'"]),
        ({"grid": {"seed": [1, 1]}}, ["seed=1", "twice"]),
        ({"grid": {"prior.shots": [0, -1]}}, ["shots=0", "shots=-1"]),
        ({"baseline": "QC"}, ["baseline", "QC"]),
        ({"variant": {}}, ["variant", "did you mean 'variants'"]),
    ],
)
def test_a_wrong_plan_is_refused_before_anything_runs(tmp_path: Path, sections: dict, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        Sweep.create(Plan.load(plan_file(tmp_path, **sections)), tmp_path / "out")
    assert all(word in str(error.value) for word in words)
    assert not (tmp_path / "out").exists()


def test_a_directory_with_another_sweep_or_anything_else_is_left_alone(done: Sweep, tmp_path: Path) -> None:
    other = Plan.load(plan_file(tmp_path, grid={"seed": [5]}))
    with pytest.raises(ConfigError, match="another sweep"):
        Sweep.create(other, done.path)
    with pytest.raises(ConfigError, match="no sweep"):
        Sweep.create(other, tmp_path)


def test_a_sweep_grows_by_variants_and_seeds_and_keeps_its_runs(done: Sweep, tmp_path: Path) -> None:
    shutil.copytree(done.path, tmp_path / "out")
    before = {point.path.name: tensors_of(point) for point in Sweep.open(tmp_path / "out").points}
    more = {"none": {"prior.kind": "unentangled"}, **VARIANTS}
    file = plan_file(tmp_path, variants=more, baseline=["none", "coins"], grid={"seed": [1, 3, 2]})
    sweep = Sweep.create(Plan.load(file), tmp_path / "out")
    assert Sweep.open(tmp_path / "out").plan == sweep.plan
    started = []
    states = conduct(sweep.points, budget=sweep.budget, engine=Recorded(started))
    assert set(started) == {"none-seed=1", "none-seed=3", "none-seed=2", "QC-seed=3", "coins-seed=3"}
    assert [state.state for state in states].count("done") == 9
    after = {point.path.name: tensors_of(point) for point in sweep.points if point.path.name in before}
    assert before.keys() == after.keys()
    assert all(np.array_equal(after[run][key], before[run][key]) for run in before for key in before[run])


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"grid": {"seed": [1]}}, "its run QC-seed=2 is none of the plan's"),
        ({"variants": {"coins": VARIANTS["coins"]}}, "its run QC-seed=1 is none of the plan's"),
        (
            {"variants": VARIANTS | {"coins": {"prior.kind": "bernoulli"}}},
            "in coins-seed=1, prior.kind is product_bernoulli there, not bernoulli",
        ),
        ({"config": SMALL | {"gan": {"channels": 4}}}, "in QC-seed=1, gan.channels is 2 there, not 4"),
    ],
)
def test_what_a_sweep_has_run_already_stays(done: Sweep, tmp_path: Path, sections: dict, words: str) -> None:
    before = (done.path / "sweep.yaml").read_bytes()
    changed = plan_file(tmp_path, **{"variants": VARIANTS, "grid": {"seed": [1, 2]}} | sections)
    with pytest.raises(ConfigError, match=f"another sweep: {words}; name another directory"):
        Sweep.create(Plan.load(changed), done.path)
    assert (done.path / "sweep.yaml").read_bytes() == before


def test_a_sweep_that_is_done_runs_nothing_again(done: Sweep) -> None:
    stamps = [(p.path / "metrics.jsonl").stat().st_mtime_ns for p in done.points]
    states = conduct(Sweep.open(done.path).points, budget=done.budget)
    assert [state.state for state in states] == ["done"] * 4
    assert [(p.path / "metrics.jsonl").stat().st_mtime_ns for p in done.points] == stamps


def test_all_points_share_one_store_and_one_budget(done: Sweep) -> None:
    with Store.open(f"sqlite:///{done.path / 'store.sqlite'}") as store:
        runs = {job.run for job in list_jobs(store)}
    circuits = [p for p in done.points if p.variant == "QC"]
    assert runs == {RunDirectory.open(p.path).id for p in circuits}
    assert {RunDirectory.open(p.path).budget for p in done.points} == {done.budget}


def test_a_worker_that_is_killed_loses_no_run(tmp_path: Path) -> None:
    changes = ["train.max_steps=600", "prior.refresh_every=300", "train.checkpoint_every=100", "train.log_every=50"]
    plan = Plan.load(plan_file(tmp_path, grid={"seed": [1]}), changes=changes)
    killed = []

    def kill_once(states: Sequence[PointState]) -> None:
        (state,) = states
        if not killed and state.step >= 50:
            killed.append(state.step)
            for child in multiprocessing.active_children():
                child.kill()

    (point,) = Sweep.create(plan, tmp_path / "out").points
    (state,) = conduct([point], budget="b", engine=Processes(threads=1), report=kill_once)
    assert (state.state, state.deaths) == ("done", 1)
    assert killed[0] < 600
    (alone,) = Sweep.create(plan, tmp_path / "alone").points
    run_point(alone.config, alone.path, "b")
    mine, undisturbed = tensors_of(point), tensors_of(alone)
    assert mine.keys() == undisturbed.keys()
    assert all(np.array_equal(mine[name], undisturbed[name]) for name in mine)


def test_a_process_that_died_before_its_run_began_is_started_anew(tmp_path: Path) -> None:
    plan = Plan.load(plan_file(tmp_path), changes=["train.max_steps=1"])
    (point,) = Sweep(tmp_path / "out", plan).points
    (point.path / "samples").mkdir(parents=True)
    (point.path / "config.yaml").write_text("")
    run_point(point.config, point.path, "b")
    assert RunDirectory.open(point.path).metrics()[-1]["step"] == 1


def test_a_point_that_fails_says_why_and_the_others_go_on(tmp_path: Path) -> None:
    grid = {"data.name": [str(tmp_path / "nothing"), "mnist"]}
    changes = ["train.max_steps=1"]
    sweep = Sweep.create(Plan.load(plan_file(tmp_path, grid=grid), changes=changes), tmp_path / "out")
    failed, fine = conduct(sweep.points, budget=sweep.budget, engine=Processes(jobs=2))
    assert (failed.state, fine.state) == ("failed", "done")
    assert "nothing" in failed.error
    assert failed.deaths == 0


FID = {("QC", 1): 10.0, ("QC", 2): 14.0, ("coins", 1): 11.0, ("coins", 2): 13.0}


@pytest.fixture
def scored(done: Sweep, tmp_path: Path) -> Sweep:
    """The sweep with evaluations: an early one that must not count, and a last one."""
    shutil.copytree(done.path, tmp_path / "out")
    sweep = Sweep.open(tmp_path / "out")
    for point in sweep.points:
        with RunDirectory.open(point.path) as run:
            run.log(4, 0, {"eval/fid": 99.0, "eval/inception_score": 1.0})
            run.log(8, 0, {"eval/fid": FID[point.variant, point.seed], "eval/inception_score": 2.0})
    return sweep


def test_the_comparison_is_of_the_last_evaluations_seed_by_seed(scored: Sweep) -> None:
    result = compare(scored)
    quantum, coins = result.groups
    assert (quantum.name, coins.name, result.missing) == ("QC", "coins", 0)
    assert quantum.figures["eval/fid"].mean == 12.0
    assert quantum.figures["eval/inception_score"].mean == 2.0
    # differences -1 and 1: mean 0, s = sqrt(2), t(0.975, 1) = 12.706
    paired = quantum.differences["coins"]["eval/fid"].paired
    assert paired.mean == 0.0
    assert paired.high == pytest.approx(12.706, abs=1e-3)
    assert not coins.differences


def test_the_results_are_tables_intervals_and_digits(scored: Sweep) -> None:
    files = write_results(scored, compare(scored))
    assert [file.name for file in files] == ["results.md", "differences.png", "digits.png"]
    lines = files[0].read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| QC ")]
    assert rows[0][:4] == ["QC", "2", "2.00 [2.00, 2.00]", "12.00 [-13.41, 37.41]"]
    assert rows[1][:4] == ["QC", "2", "0.00 [0.00, 0.00] ([0.00, 0.00])", "0.00 [-12.71, 12.71] ([-13.84, 13.84])"]
    assert not any(line.startswith("| coins ") for line in lines[lines.index("## Difference to coins") :])
    assert any(line.startswith("- A run took ") and "(medians of 4 runs)" in line for line in lines)
    for file in files[1:]:
        with Image.open(file) as picture:
            assert picture.convert("L").getextrema() != (255, 255)
    before = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in write_results(scored, compare(scored))] == before


def test_results_of_a_sweep_that_has_just_begun_or_has_one_variant(tmp_path: Path) -> None:
    plan = Plan.load(plan_file(tmp_path, grid={"seed": [1, 2]}), changes=["train.max_steps=1"])
    sweep = Sweep.create(plan, tmp_path / "out")
    assert write_results(sweep, compare(sweep)) == []
    point = sweep.points[0]
    run_point(point.config, point.path, "b")
    assert [file.name for file in write_results(sweep, compare(sweep))] == ["digits.png"]
    with RunDirectory.open(point.path) as run:
        run.log(1, 0, {"eval/fid": 9.0})
    names = [file.name for file in write_results(sweep, compare(sweep))]
    assert names == ["results.md", "differences.png", "digits.png"]
    assert "1 runs have no scores" in (sweep.path / "results.md").read_text()


def test_the_experiment_holds_every_prior_under_one_budget(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "s", Plan.load(EXAMPLES / "experiment.yaml"))
    assert {point.config.prior.kind for point in sweep.points} == set(KINDS)
    assert all(
        sorted(p.seed for p in sweep.points if p.variant == name) == [1, 2, 3, 4, 5] for name in sweep.plan.variants
    )
    assert (
        len({(p.config.train.epochs, p.config.gan, p.config.data, p.config.prior.n_qubits) for p in sweep.points}) == 1
    )
    bases = {p.variant: p.config.prior for p in sweep.points if p.variant in sweep.plan.baseline}
    assert {(prior.kind, prior.n_bits) for prior in bases.values()} == {("born_machine", 8), ("born_machine", 16)}
    widths = {(p.config.prior.kind, p.config.prior.n_bits) for p in sweep.points}
    assert widths >= {(kind, bits) for kind in KINDS if kind != "mixture" for bits in (8, 16)}


def test_the_command_goes_on_compares_and_says_json(scored: Sweep) -> None:
    result = CliRunner().invoke(app, ["sweep", str(scored.path), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [point["state"] for point in found["points"]] == ["done"] * 4
    assert found["baselines"] == ["coins"]
    assert found["groups"][0]["seeds"] == [1, 2]
    table = CliRunner().invoke(app, ["sweep", str(scored.path)])
    assert "difference to coins" in table.output
    assert "paired intervals are shown" in table.output
    assert "…" not in table.output  # no number is cut


def test_the_command_compares_with_others_and_runs_nothing(scored: Sweep) -> None:
    runs = {path: path.stat().st_mtime_ns for path in (scored.path / "runs").rglob("*")}
    result = CliRunner().invoke(app, ["sweep", str(scored.path), "--baseline", "QC", "--baseline", "coins"])
    assert result.exit_code == 0, result.output
    assert {path: path.stat().st_mtime_ns for path in (scored.path / "runs").rglob("*")} == runs
    for text in (result.output, (scored.path / "results.md").read_text(), (scored.path / "report.html").read_text()):
        assert text.lower().index("difference to qc") < text.lower().index("difference to coins")
    wrong = CliRunner().invoke(app, ["sweep", str(scored.path), "--baseline", "RBM"])
    assert (wrong.exit_code, "'RBM' is none of the variants QC, coins" in wrong.output) == (2, True)


def test_a_sweep_that_is_not_done_is_compared_as_it_is(scored: Sweep, tmp_path: Path) -> None:
    path = Path(shutil.copytree(scored.path, tmp_path / "copy"))
    gone = sorted((path / "runs").glob("coins*/"))[-1]
    shutil.rmtree(gone)
    plan = (path / "sweep.yaml").read_text()
    tried = CliRunner().invoke(app, ["sweep", str(path), "--baseline", "NOPE", "--dry-run"])
    assert tried.exit_code == 2
    assert (CliRunner().invoke(app, ["sweep", str(path), "--baseline", "QC", "--dry-run"])).stdout == ""
    assert (path / "sweep.yaml").read_text() == plan
    result = CliRunner().invoke(app, ["sweep", str(path), "--baseline", "QC"])
    assert result.exit_code == 0, result.output
    assert "difference to QC" in result.output
    assert f"go on with: qcaan sweep {path}" in result.output
    assert not gone.exists()


def test_the_command_says_what_it_would_run(tmp_path: Path) -> None:
    options = ["--grid", "seed=1,2", "--grid", "prior.bases=[Z],[Z,Y]", "--out", str(tmp_path / "out"), "--dry-run"]
    result = CliRunner().invoke(app, ["sweep", str(plan_file(tmp_path)), *options])
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 4
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("grid", ["seed", "seed=", "=1,2", "seed=[1"])
def test_a_grid_that_cannot_be_read_is_refused(tmp_path: Path, grid: str) -> None:
    result = CliRunner().invoke(app, ["sweep", str(plan_file(tmp_path)), "--grid", grid])
    assert result.exit_code == 2
