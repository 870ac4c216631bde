"""Sweeps and copies that go on from a trained run: which run, with which settings, and what stays as it was."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from qcaan.cli import app
from qcaan.config import StoreConfig
from qcaan.errors import ConfigError, DataError
from qcaan.learn import checkpoint
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.sweep import Plan, Processes, Sweep, compare, conduct
from qcaan.learn.sweep.engine import run_point
from qcaan.learn.train import prepare, steps

SMALL = {
    "prior": {"n_qubits": 2, "n_layers": 3, "shots": 50, "refresh_every": 2, "updates": 3, "target_images": 32},
    "gan": {"channels": 2},
    "train": {"max_steps": 2, "batch_size": 8, "log_every": 1, "checkpoint_every": 2, "scores": False},
}
TWIN = {"name": "braket", "device": "ionq-forte-1", "emulate": True}
SHOTS = {"prior": {"gradient": "spsa", "updates": 1, "shots": 100}, "backend": TWIN, "train": {"max_steps": 4}}


def create(folder: Path, **sections: object) -> Sweep:
    (folder / "plan.yaml").write_text(yaml.safe_dump(sections))
    return Sweep.create(Plan.load(folder / "plan.yaml"), folder / "out")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Two seeds trained on `local`."""
    folder = tmp_path_factory.mktemp("start")
    sweep = create(folder, config=SMALL, grid={"seed": [1, 2]})
    for point in sweep.points:
        run_point(point.config, point.path, sweep.budget)
    return sweep


def files(path: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


def theta(path: Path, step: int) -> np.ndarray:
    saved = checkpoint.latest(path / "checkpoints")
    assert saved is not None
    assert saved[1]["step"] == step
    return saved[0]["prior.theta"].numpy()


def test_every_point_goes_on_from_the_run_of_its_seed(simulated: Sweep, tmp_path: Path) -> None:
    before = files(simulated.path)
    variants = {"simulator": {"backend.name": "local"}, "twin x 2": {"backend.scale": 2}}
    sweep = create(tmp_path, start=str(simulated.path), config=SHOTS, variants=variants, grid={"seed": [1, 2]})
    for point in sweep.points:
        run_point(point.config, point.path, sweep.budget, point.start)
    assert files(simulated.path) == before
    for point, source in zip(sweep.points, [*simulated.points] * 2, strict=True):
        with RunDirectory.open(source.path) as run:
            origin = {"path": str(source.path.resolve()), "run": run.id, "checkpoint": "step-00000002"}
        record = json.loads((point.path / "provenance.json").read_text())
        assert record["start"] == origin
        assert record["budget"] == sweep.budget
        (segment,) = record["segments"]
        assert (segment["from_step"], segment["seed"]) == (2, source.seed)
        assert [entry["step"] for entry in RunDirectory.open(point.path).metrics()] == [3, 4]
        moved = np.abs(theta(point.path, 4) - theta(source.path, 2)).max()
        assert 0 < moved < 0.1  # one short step away: neither stuck nor started anew
    simulator, twin = sweep.points[0].config, sweep.points[2].config
    assert (simulator.backend.model_dump(), twin.backend.options["scale"]) == ({"name": "local"}, 2)
    assert (twin.gan, twin.prior.n_layers, twin.prior.updates) == (simulated.points[0].config.gan, 3, 1)
    assert {point.config.store.url for point in sweep.points} == {f"sqlite:///{sweep.path.resolve()}/store.sqlite"}


def test_a_copy_whose_process_died_begins_with_the_checkpoint_again(simulated: Sweep, tmp_path: Path) -> None:
    sweep = create(tmp_path, start=str(simulated.points[0].path), config=SHOTS, grid={"seed": [7]})
    (point,) = sweep.points
    (point.path / "samples").mkdir(parents=True)
    (state,) = conduct(sweep.points, budget=sweep.budget, engine=Processes(threads=1))
    assert (state.state, state.step) == ("done", 4)
    assert json.loads((point.path / "provenance.json").read_text())["segments"][0]["from_step"] == 2


def test_scores_of_the_start_are_none_of_the_points(simulated: Sweep, tmp_path: Path) -> None:
    shutil.copytree(simulated.points[0].path, tmp_path / "start")
    with RunDirectory.open(tmp_path / "start") as run:
        run.log(2, 0, {"eval/fid": 9.0})
    sweep = create(tmp_path, start="start", config={"train": {"max_steps": 4}})
    (point,) = sweep.points
    run_point(point.config, point.path, sweep.budget, point.start)
    assert compare(sweep).missing == 1


def test_runs_that_go_on_from_different_ones_do_not_share_a_name(simulated: Sweep, tmp_path: Path) -> None:
    names = set()
    for source in simulated.points:
        folder = tmp_path / source.path.name
        folder.mkdir()
        sweep = create(folder, start=str(source.path), config={**SHOTS, "seed": 5})
        with RunDirectory.open(source.path) as run:
            names.add(RunDirectory.create(sweep.points[0].config, folder / "run", start=run).id)
    names.add(RunDirectory.create(sweep.points[0].config, tmp_path / "run").id)
    assert len(names) == 3


def test_a_start_that_is_none_is_refused_before_anything_runs(simulated: Sweep, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has 0 runs of seed 3"):
        create(tmp_path, start=str(simulated.path), grid={"seed": [1, 3]})
    with pytest.raises(DataError, match="nowhere is not a run"):
        create(tmp_path, start="nowhere")
    shutil.copytree(simulated.points[0].path, tmp_path / "empty")
    shutil.rmtree(tmp_path / "empty" / "checkpoints")
    with pytest.raises(ConfigError, match=r"empty has no checkpoint.*qcaan resume"):
        create(tmp_path, start="empty")
    assert not (tmp_path / "out").exists()


def test_resume_in_another_directory_leaves_the_run_alone(simulated: Sweep, tmp_path: Path) -> None:
    source = simulated.points[0].path
    before = files(source)
    words = ["resume", str(source), "--out", str(tmp_path / "more"), "--set", "train.max_steps=4"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert files(source) == before
    assert theta(tmp_path / "more", 4).shape == theta(source, 2).shape
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 2
    assert "already exists" in again.output


def test_a_copy_does_not_take_the_shots_of_its_start_for_its_own(simulated: Sweep, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/store.sqlite"
    config = simulated.points[0].config.model_copy(update={"store": StoreConfig(url=store, run="mine")})
    with prepare(config, tmp_path / "run") as run:
        for _ in steps(run):
            pass
    with pytest.raises(ConfigError, match=r"store.run: 'mine' is the name in .*give another name, or null"):
        RunDirectory.create(config, tmp_path / "copy", start=run)
    assert not (tmp_path / "copy").exists()
    other = config.model_copy(update={"store": StoreConfig(url=store)})
    copy = RunDirectory.create(other, tmp_path / "copy", start=run)
    assert copy.id != run.id
    assert copy.budget != run.budget


def test_a_checkpoint_that_cannot_be_copied_leaves_nothing(
    simulated: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(shutil, "copytree", fail)
    config = simulated.points[0].config
    with (
        RunDirectory.open(simulated.points[0].path) as start,
        pytest.raises(DataError, match=r"cannot copy the checkpoint .*no space left; try again"),
    ):
        RunDirectory.create(config, tmp_path / "copy", start=start)
    assert not (tmp_path / "copy").exists()
