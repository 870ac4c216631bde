"""Run directories: made once, found again, metrics that survive a crash."""

import json
from pathlib import Path

import pytest

from qcaan.config import Config
from qcaan.errors import ConfigError, DataError
from qcaan.learn.run_directory import RunDirectory


def test_create_then_open(tmp_path: Path) -> None:
    config = Config.load({"seed": 5, "prior": {"bases": ["Z", "Y"]}})
    with RunDirectory.create(config, tmp_path / "run") as run:
        name = run.id
    with RunDirectory.open(tmp_path / "run") as again:
        assert again.config == config
        assert again.id == name
        assert again.store_url.endswith("/run/store.sqlite")


@pytest.mark.parametrize("change", ["seed=2", "backend.name=aer", "prior.updates=3", "train.max_steps=5"])
def test_different_runs_have_different_names_in_the_store(tmp_path: Path, change: str) -> None:
    first = RunDirectory.create(Config(), tmp_path / "a").id
    assert RunDirectory.create(Config.load({}, ["store.url=sqlite:///x"]), tmp_path / "same").id == first
    assert RunDirectory.create(Config.load({}, [change]), tmp_path / "b").id != first
    assert RunDirectory.create(Config.load({}, ["store.run=mine"]), tmp_path / "c").id == "mine"


def test_a_directory_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"already exists; 'qcaan resume"):
        RunDirectory.create(Config(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_the_default_name_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = (RunDirectory.create(Config(), None) for _ in range(2))
    assert first.path != second.path
    assert first.path.parts[0] == "runs"
    assert first.path.name.startswith("mnist-born-machine-local-")


def test_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no config.yaml"):
        RunDirectory.open(tmp_path)


def test_metrics_are_lines_and_tensorboard(tmp_path: Path) -> None:
    with RunDirectory.create(Config(), tmp_path / "run") as run:
        run.log(3, 0, {"gan/loss_d": 1.5, "prior/losses": [1.0, 2.0]})
        run.log(6, 1, {"gan/loss_d": 1.25})
    assert run.metrics() == [
        {"step": 3, "epoch": 0, "gan/loss_d": 1.5, "prior/losses": [1.0, 2.0]},
        {"step": 6, "epoch": 1, "gan/loss_d": 1.25},
    ]
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))


def test_records_after_the_checkpoint_are_dropped_and_a_torn_line_too(tmp_path: Path) -> None:
    with RunDirectory.create(Config(), tmp_path / "run") as run:
        for step in (1, 2, 3):
            run.log(step, 0, {"x": step})
        with (run.path / "metrics.jsonl").open("a") as file:
            file.write('{"step": 4, "ep')
        run.truncate_metrics(2)
        assert [record["step"] for record in run.metrics()] == [1, 2]


def test_damage_in_the_middle_is_an_error(tmp_path: Path) -> None:
    with RunDirectory.create(Config(), tmp_path / "run") as run:
        (run.path / "metrics.jsonl").write_text('{"step": 1}\nxxx\n{"step": 2}\n')
        with pytest.raises(DataError, match="line 2 is damaged"):
            run.metrics()


def test_provenance_gains_a_segment_a_start(tmp_path: Path) -> None:
    with RunDirectory.create(Config(), tmp_path / "run") as run:
        run.add_segment(0, {"backend": {"name": "local"}})
        run.add_segment(40, {"backend": {"name": "aer"}})
        name = run.id
    record = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert record["run"] == name
    assert [(s["from_step"], s["backend"]["name"], s["seed"]) for s in record["segments"]] == [
        (0, "local", 1),
        (40, "aer", 1),
    ]
    assert record["segments"][0]["versions"]["torch"]


def test_provenance_that_is_lost(tmp_path: Path) -> None:
    with RunDirectory.create(Config(), tmp_path / "run") as run:
        (run.path / "provenance.json").unlink()
        with pytest.raises(DataError, match="provenance.json is missing"):
            _ = run.id
