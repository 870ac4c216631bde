"""examples/hardware.yaml and its reader: every point goes on from a simulated run, and costs what its circuits cost."""

import importlib.util
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.sweep import Plan, Sweep
from qcaan.learn.sweep.engine import run_point

ROOT = Path(__file__).parents[2]
SMALL = ["prior.n_qubits=2", "prior.n_layers=3", "prior.target_images=32", "prior.shots=50", "gan.channels=2"]
SHORT = ["prior.refresh_every=2", "train.batch_size=8", "train.scores=false"]
_spec = importlib.util.spec_from_file_location("hardware", ROOT / "benchmarks" / "hardware.py")
assert _spec is not None
assert _spec.loader is not None
hardware = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hardware)


def run(sweep: Sweep, names: set[str]) -> None:
    for point in sweep.points:
        if point.variant in names:
            run_point(point.config, point.path, sweep.budget, point.start)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """One seed of some variants, with scores as if an evaluation had found them."""
    folder = tmp_path_factory.mktemp("hardware")
    shutil.copytree(ROOT / "examples", folder / "examples")
    plan = Plan.load(folder / "examples" / "digits.yaml", {"seed": [1]}, [*SMALL, *SHORT, "train.max_steps=2"])
    run(Sweep.create(plan, folder / "sweeps" / "simulated"), {""})
    plan = Plan.load(folder / "examples" / "hardware.yaml", {"seed": [1]}, [*SHORT, "train.max_steps=6"])
    sweep = Sweep.create(plan, folder / "sweeps" / "hardware")
    names = ("simulator", "measured", "SPSA, noise x 4", "parameter shift, 100 shots")
    run(sweep, set(names))
    for point in sweep.points:
        if point.variant in names:
            with RunDirectory.open(point.path) as done:
                figures = {"eval/fid": 50.0 + names.index(point.variant), "eval/inception_score": 5.0}
                done.log(6, 0, figures | {"eval/coverage": 0.5})
    return sweep


def test_the_variants_cover_noise_shots_and_optimizers() -> None:
    plan = yaml.safe_load((ROOT / "examples" / "hardware.yaml").read_text(encoding="utf-8"))
    points = Sweep(Path("s"), Plan.model_validate({key: plan[key] for key in plan if key != "start"})).points
    priors = {(hardware.method(p.config), p.config.prior.shots) for p in points if p.config.backend.name == "braket"}
    methods = ("measured", "SPSA", "CMA-ES")
    assert priors == {(m, n) for m in methods for n in (100, 1000, 5000)} | {
        ("parameter shift", n) for n in (100, 1000)
    }
    scales = {p.config.backend.options.get("scale") for p in points if hardware.method(p.config) == "measured"}
    assert scales == {0, 1, 2, 4}
    assert {p.seed for p in points} == {1, 2, 3}


def test_a_row_is_a_variant_with_its_difference_and_its_price(sweep: Sweep) -> None:
    base, *rows = hardware.rows(sweep)
    assert (base["work"], base["ours"], base["ratio"]) == ("simulator", 50.0, 1.0)
    assert [row["work"] for row in rows] == ["measured", "SPSA, noise x 4", "parameter shift, 100 shots"]
    assert [row["fid_difference"] for row in rows] == [[k, None, None] for k in (1.0, 2.0, 3.0)]
    # two refits; two bases are measured after each; an update is 4 circuits of SPSA, 38 of the other
    tasks = [2 * 2, 2 * (2 + 10 * 4), 2 * (2 + 10 * 38)]
    assert [row["tasks"] for row in rows] == tasks
    usd = [n * (0.30 + 0.08 * shots) for n, shots in zip(tasks, (1000, 1000, 100), strict=True)]
    assert [row["usd"] for row in rows] == pytest.approx(usd)


def test_the_table_and_the_picture(sweep: Sweep, tmp_path: Path) -> None:
    found = hardware.rows(sweep)
    lines = hardware.table(found).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[3].startswith("| measured | x 1 | 1000 | 4 | 321 | 5.00 | 51.0 | +1.0 |")
    hardware.draw(tmp_path / "hardware.png", found)
    with Image.open(tmp_path / "hardware.png") as picture:
        assert picture.convert("L").getextrema()[0] < 50
