"""A run told to MLflow: a real tracking database, one that comes back, and one that never answers."""

import contextlib
import json
import logging
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qcaan.config import Config
from qcaan.errors import ConfigError, DetachedError
from qcaan.learn import tracking
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.sweep import Plan, Sweep, tracked
from qcaan.learn.tracking import how_ended
from qcaan.learn.train import prepare, steps

NOBODY = "http://me:secret@127.0.0.1:9"
"""The port "discard": nothing listens."""
CONFIG = {"seed": 3, "train": {"max_steps": 2}}

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:(mlflow|alembic|sqlalchemy|pydantic|google).*")


@pytest.fixture(scope="module", autouse=True)
def _patience() -> Iterator[None]:
    """MLflow's client takes long to import where many tests share a core."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking, "_GOODBYE_S", 250.0)
        patch.setattr(sys.modules[tracked.__module__], "_PATIENCE_S", 250.0)
        yield


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by MLflow itself: its tables take seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with contextlib.chdir(path.parent), run_at(path.with_name("first"), f"sqlite:///{path}") as run:
        run.track()
    return path


@pytest.fixture
def database(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copy(empty_database, tmp_path / "mlflow.db"))


def run_at(path: Path, uri: str) -> RunDirectory:
    if path.exists():
        return RunDirectory.open(path)
    return RunDirectory.create(Config.load(CONFIG, [f"train.mlflow={uri}"]), path)


def rows(database: Path, query: str, run: RunDirectory) -> list[tuple]:
    told = json.loads((run.path / "mlflow.json").read_text())
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query, (told["run_id"],)).fetchall()


METRICS = "SELECT key, step, value FROM metrics WHERE run_uuid = ? ORDER BY step, key"
PARAMS = "SELECT key, value FROM params WHERE run_uuid = ?"
STATUS = "SELECT status, name FROM runs WHERE run_uuid = ?"
TAGS = "SELECT key, value FROM tags WHERE run_uuid = ?"
FOLDER = "SELECT artifact_uri FROM runs WHERE run_uuid = ?"


def test_settings_numbers_and_files_are_told_and_a_resumed_run_goes_on_in_the_same(
    database: Path, tmp_path: Path
) -> None:
    uri = f"sqlite:///{database}"
    with run_at(tmp_path / "mine", uri) as run:
        run.log(1, 0, {"gan/loss_d": 0.5, "prior/losses": [1, 2]})
        run.picture(1).write_bytes(b"a picture")
    assert rows(database, STATUS, run) == [("FINISHED", "mine")]
    with run_at(tmp_path / "mine", uri) as again:
        again.log(2, 0, {"gan/loss_d": 0.25})
        (again.path / "report.html").write_text("a page")
    losses = [row for row in rows(database, METRICS, again) if row[0] == "gan/loss_d"]
    assert losses == [("gan/loss_d", 1, 0.5), ("gan/loss_d", 2, 0.25)]
    assert dict(rows(database, PARAMS, again))["seed"] == "3"
    ((folder,),) = rows(database, FOLDER, again)
    kept = Path(folder.removeprefix("file://"))
    assert (kept / "samples" / "step-000001.png").read_bytes() == b"a picture"
    assert (kept / "report.html").read_text() == "a page"
    assert (kept / "config.yaml").is_file()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM runs WHERE name = 'mine'").fetchone() == (1,)


def test_what_is_dropped_by_a_resume_is_told_anew(database: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{database}"
    with run_at(tmp_path / "mine", uri) as run:
        run.log(1, 0, {"a": 1.0})
        run.log(2, 0, {"a": 2.0})
    with run_at(tmp_path / "mine", uri) as again:
        again.truncate_metrics(1)
        again.log(2, 0, {"a": 3.0})
    assert [row[1:] for row in rows(database, METRICS, again) if row[0] == "a"] == [(1, 1.0), (2, 2.0), (2, 3.0)]


def test_a_server_that_is_down_is_one_warning_and_is_told_later(
    database: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_AGAIN_S", 0.01)
    monkeypatch.setenv("WHERE", NOBODY)
    with caplog.at_level(logging.WARNING, "qcaan"), run_at(tmp_path / "mine", "env:WHERE") as run:
        for step in range(3):
            run.log(step, 0, {"a": float(step)})
    told = [record.getMessage() for record in caplog.records if record.name == "qcaan.mlflow"]
    assert len(told) == 1
    assert "MLflow at env:WHERE was not told" in told[0]
    assert "secret" not in caplog.text
    assert len(run.metrics()) == 3
    monkeypatch.setenv("WHERE", f"sqlite:///{database}")
    with run_at(tmp_path / "mine", "env:WHERE") as again:
        again.track()
    assert [row[1:] for row in rows(database, METRICS, again) if row[0] == "a"] == [(0, 0.0), (1, 1.0), (2, 2.0)]


def test_a_sweep_holds_its_runs(database: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(json.dumps({"config": {"train": {"mlflow": f"sqlite:///{database}"}}, "grid": {"seed": [1, 2]}}))
    sweep = Sweep.create(Plan.load(plan), tmp_path / "many")
    with tracked(sweep):
        for point in sweep.points:
            with RunDirectory.create(point.config, point.path) as run:
                run.track()
    parent = json.loads((sweep.path / "mlflow.json").read_text())["run_id"]
    for point in sweep.points:
        assert dict(rows(database, TAGS, RunDirectory.open(point.path)))["mlflow.parentRunId"] == parent


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (None, "FINISHED"),
        (KeyboardInterrupt(), "KILLED"),
        (ValueError(), "FAILED"),
        (DetachedError("x", []), "SCHEDULED"),
    ],
)
def test_how_a_run_ended_is_told(error: BaseException | None, word: str) -> None:
    assert how_ended(error) == word


def test_a_password_is_refused_and_not_told() -> None:
    with pytest.raises(ConfigError, match="train.mlflow: it holds a password") as caught:
        Config.load({"train": {"mlflow": NOBODY}})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("missing", ["WHERE.*is not set", r"qcaan\[mlflow\]"])
def test_without_mlflow_or_the_variable_nothing_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if "mlflow" in missing:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    config = Config.load(CONFIG, ["train.mlflow=env:WHERE"])
    with pytest.raises(ConfigError, match=missing):
        prepare(config, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    run = RunDirectory.create(config, tmp_path / "old")
    with pytest.raises(ConfigError, match=missing):
        next(steps(run))
    assert not (run.path / "store.sqlite").exists()


def test_settings_that_a_server_missed_are_told_later(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    def go_away(*_: object, **__: object) -> None:
        raise OSError("the server went away")

    with monkeypatch.context() as broken, run_at(tmp_path / "mine", f"sqlite:///{database}") as run:
        broken.setattr(MlflowClient, "log_batch", go_away)
        run.track()
        run.close()
    assert rows(database, PARAMS, run) == []
    with RunDirectory.open(run.path) as again:
        again.track()
    assert dict(rows(database, PARAMS, again))["seed"] == "3"


def test_who_tells_mlflow_is_the_same_run_in_the_store(tmp_path: Path) -> None:
    plain = RunDirectory.create(Config.load(CONFIG), tmp_path / "plain").id
    assert run_at(tmp_path / "told", "http://127.0.0.1:9").id == plain
