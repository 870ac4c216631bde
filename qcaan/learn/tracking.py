"""A run, or a sweep, told to MLflow: settings, numbers as they come, pictures, page.

Why from the files, by a thread of its own: training never waits for a server, and one that is down stops nothing.
`mlflow.json` keeps which MLflow run it is and how far it was told, so what a server missed, it is told when it answers
again, or when the run goes on. Why every error is caught: whatever a server or its client does, a run that is paid for
goes on; the first one is a warning.
"""

import importlib.util
import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from qcaan.errors import ConfigError, DetachedError
from qcaan.learn.files import write_whole

_AGAIN_S = 30.0
"""Between two attempts at a server that does not answer."""
_GOODBYE_S = 60.0
"""Given to the last words; what is left then is told when the run goes on."""
_FILES = ("*.yaml", "*.html", "*.md", "*.png", "provenance.json", "samples/*.png")
_AT_ONCE = 1000
"""Numbers in one request, at most, by MLflow's rules; values of settings are cut at `_LONGEST`."""
_LONGEST = 6000
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}
"""Of MLflow's settings, what holds unless the user says otherwise."""
_log = logging.getLogger("qcaan.mlflow")


def resolved(uri: str) -> str:
    """Where `uri` leads: itself, or what the environment variable NAME of env:NAME holds.

    Raises:
        ConfigError: MLflow is not installed, or the environment variable is not set.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise ConfigError("train.mlflow needs the package 'mlflow-skinny': pip install 'qcaan[mlflow]'")
    name = uri.removeprefix("env:")
    if name != uri and name not in os.environ:
        raise ConfigError(f"train.mlflow: {uri} - this environment variable is not set; set it to the server's URI")
    return uri if name == uri else os.environ[name]


class Tracking:
    """Tells one MLflow run what `folder` holds; a context manager, whose end is the run's end.

    `uri`: of a tracking server, or env:NAME; the experiment is MLFLOW_EXPERIMENT_NAME, by default "qcaan". `settings`
    become parameters when the MLflow run is made. With `within`, it is nested in the one that tells of that folder.

    Raises:
        ConfigError: as `resolved`.
    """

    def __init__(self, folder: Path, uri: str, settings: Mapping[str, object], *, within: Path | None = None) -> None:
        self._folder, self._shown, self._settings = folder, uri, settings
        self._uri = resolved(uri)
        parent = _read(within, uri) if within else {}
        self._parent: str | None = parent.get("run_id")
        fresh: dict[str, Any] = {"uri": uri, "settings": False, "told": 0, "files": {}}
        self._state = fresh | _read(folder, uri)
        self._state["told"] = min(self._state["told"], len(_records(folder)))  # a resumed run dropped what comes anew
        self._client: Any = None
        self._ending: str | None = None
        self._warned = False
        self._news, self._begun = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"MLflow {folder.name}", daemon=True)
        self._thread.start()
        self._news.set()

    def tell(self) -> None:
        """There is news in the folder."""
        self._news.set()

    def wait_begun(self, seconds: float) -> None:
        """Until the MLflow run is known, or so long."""
        self._begun.wait(seconds)

    def close(self, ending: str = "FINISHED") -> None:
        """Tell the rest, and MLflow's word for how it ended."""
        self._ending = ending
        self._news.set()
        self._thread.join(_GOODBYE_S)
        if self._thread.is_alive():
            self._warn("it takes too long")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close(how_ended(error))

    def _work(self) -> None:
        behind = False
        while True:
            self._news.wait(_AGAIN_S if behind else None)
            self._news.clear()
            ending = self._ending
            try:
                self._tell_all()
                if ending is not None:
                    self._client.set_terminated(self._state["run_id"], ending)
                behind = False
            except Exception as error:  # noqa: BLE001 - see above
                behind = True
                said = str(error).partition("\n")[0]
                self._warn(said.replace(self._uri.rstrip("/"), self._shown))  # it may hold a password
            if ending is not None:
                return

    def _tell_all(self) -> None:
        if self._client is None:
            self._begin()
        new = _records(self._folder)[self._state["told"] :]
        if not new and not any(True for _ in self._changed()):
            return
        for batch in self._batches(new):
            self._client.log_batch(self._state["run_id"], metrics=batch)
        self._keep(told=self._state["told"] + len(new))
        for path, stamp in self._changed():
            name = path.relative_to(self._folder)
            self._client.log_artifact(self._state["run_id"], str(path), str(name.parent) if name.parent.name else None)
            self._keep(files=self._state["files"] | {str(name): stamp})

    def _begin(self) -> None:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=self._uri)
        if "run_id" in self._state:
            client.update_run(self._state["run_id"], status="RUNNING")
        else:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "qcaan")
            experiment = client.get_experiment_by_name(name)
            number = experiment.experiment_id if experiment else client.create_experiment(name)
            tags = {"mlflow.parentRunId": self._parent} if self._parent else {}
            run = client.create_run(number, tags=tags, run_name=self._folder.resolve().name)
            self._keep(run_id=run.info.run_id)
        if not self._state["settings"]:
            params = [Param(key, str(value)[:_LONGEST]) for key, value in self._settings.items()]
            client.log_batch(self._state["run_id"], params=params)
            self._keep(settings=True)
        self._client = client
        self._begun.set()

    def _batches(self, records: Sequence[Mapping[str, Any]]) -> Iterator[list[Any]]:
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        numbers = [
            Metric(name, float(value), now_ms, record["step"])
            for record in records
            for name, value in record.items()
            if isinstance(value, int | float) and name != "step"
        ]
        for start in range(0, len(numbers), _AT_ONCE):
            yield numbers[start : start + _AT_ONCE]

    def _changed(self) -> Iterator[tuple[Path, int]]:
        """Files that MLflow lacks as they are now, and when they were written, in ns since 1970."""
        for path in (path for pattern in _FILES for path in sorted(self._folder.glob(pattern))):
            stamp = path.stat().st_mtime_ns
            if self._state["files"].get(str(path.relative_to(self._folder))) != stamp:
                yield path, stamp

    def _keep(self, **facts: object) -> None:
        self._state |= facts
        write_whole(self._folder / "mlflow.json", json.dumps(self._state))

    def _warn(self, problem: str) -> None:
        if not self._warned:
            self._warned = True
            _log.warning(
                "MLflow at %s was not told of %s: %s; the run goes on, and MLflow is told when it answers, or by "
                "resuming",
                self._shown,
                self._folder,
                problem,
            )


def how_ended(error: BaseException | None) -> str:
    """MLflow's word for a run that ended with this error, or with none."""
    if error is None:
        return "FINISHED"
    if isinstance(error, DetachedError):
        return "SCHEDULED"
    return "FAILED" if isinstance(error, Exception) else "KILLED"


def _read(folder: Path, uri: str) -> dict[str, Any]:
    """What was kept of this folder at this server; nothing where there is none, or another."""
    try:
        kept: dict[str, Any] = json.loads((folder / "mlflow.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return kept if kept.get("uri") == uri else {}


def _records(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics.jsonl that may be written at this moment."""
    path = folder / "metrics.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]
