"""A run directory: everything that a run leaves behind, and all that is needed to go on with it.

```
config.yaml       the resolved configuration
provenance.json   the run's name in the store, its budget's; the run that it goes on from, if any; one segment for
                  every start or resume: versions and commit, machine, backend, target snapshot, seed, and, unless it
                  was killed, the wall time and the CPU time of its process, in seconds
metrics.jsonl     one object a line, each with step and epoch
store.sqlite      shots, journal, ledger (unless store.url names another store)
tensorboard/      the same numbers for TensorBoard
mlflow.json       which MLflow run this is, and how far it was told, if train.mlflow names a server
checkpoints/      safetensors + JSON
samples/*.png     generated digits
```

Why a run's name in the store derives from its configuration: names make a simulator's random numbers, so the same
configuration gives the same run anywhere; and where two runs share a store, a repetition of one gets the shots back
that were paid for, while any difference, the seed or the backend included, makes another run; but where and by how many
processes the networks are trained is no part of it: that changes the last digits and no more. A run that is resumed
with other settings of what is measured gets a new name; otherwise it keeps its own, and with it what was measured after
its last checkpoint. `store.run` overrides all of this. A run that goes on from another's checkpoint in a directory of
its own is measured at other theta, so its name derives from that too.
"""

import hashlib
import json
import platform
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch.utils.tensorboard import SummaryWriter

from qcaan.config import Config
from qcaan.errors import ConfigError, DataError
from qcaan.learn.checkpoint import latest_path
from qcaan.learn.files import write_whole
from qcaan.learn.tracking import Tracking, how_ended

_PACKAGES = ("qcaan", "numpy", "torch", "numba", "amazon-braket-sdk", "qiskit", "qiskit-aer", "cirq-core", "cirq-ionq")

_MEASURED = ("seed", "data", "prior", "gan", "backend")
"""The sections that decide what the next refit asks of the device."""


class RunDirectory:
    """The files of one run. `create` makes a new one, `open` finds an old one; both are context managers."""

    def __init__(self, path: Path, config: Config) -> None:
        self.path = path
        self.config = config
        self.checkpoints = path / "checkpoints"
        self.samples = path / "samples"
        self._board: SummaryWriter | None = None
        self._tracking: Tracking | None = None
        self._clocks: tuple[float, float] | None = None
        """Where wall time and CPU time stood when this process began a segment."""

    @classmethod
    def create(
        cls, config: Config, out: str | Path | None, budget: str | None = None, start: "RunDirectory | None" = None
    ) -> Self:
        """A new directory: `out`, or a fresh name under runs/. `budget` names one that runs share; None for its own.

        It begins with the last checkpoint of `start`, if given, whose pictures, numbers and shots stay where they are.

        Raises:
            ConfigError: the directory exists and holds something, or cannot be made; `start` has no checkpoint;
                `store.run` gives the new run the name, and so the shots, of `start`.
            DataError: the checkpoint cannot be copied; nothing is left behind.
        """
        path = Path(out) if out is not None else _fresh(config)
        checkpoint = start and start.checkpoint()
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            remedy = f"'qcaan resume {path}' goes on, or name another directory"
            raise ConfigError(f"--out {path}: this already exists; {remedy}")
        run = cls(path, config)
        same_name = start and (run.store_url, config.store.run) == (start.store_url, start.id)
        if same_name and config.store.policy != "replay":
            what = f"the name in {run.store_url} of the run that is gone on from, whose shots would be this one's too"
            raise ConfigError(f"store.run: {config.store.run!r} is {what}; give another name, or null")
        try:
            (path / "samples").mkdir(parents=True)
        except OSError as error:
            raise ConfigError(f"--out {path}: {error.strerror}; name a directory that can be written") from error
        run.write_config(config)
        origin = None
        if start and checkpoint:
            try:
                shutil.copytree(checkpoint, run.checkpoints / checkpoint.name)
            except OSError as error:
                shutil.rmtree(path)
                raise DataError(f"cannot copy the checkpoint {checkpoint} to {path}: {error}; try again") from error
            origin = {"path": str(start.path.resolve()), "run": start.id, "checkpoint": checkpoint.name}
        name = _name(config, origin)
        run._write_provenance({"run": name, "budget": budget or f"run {name}", "start": origin, "segments": []})
        return run

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """An existing run.

        Raises:
            DataError: the directory is not a run.
        """
        path = Path(path)
        if not (path / "config.yaml").is_file():
            raise DataError(f"{path} is not a run directory: it has no config.yaml")
        return cls(path, Config.load(path / "config.yaml"))

    @property
    def store_url(self) -> str:
        """The configured store, or the run's own."""
        return self.config.store.url or f"sqlite:///{(self.path / 'store.sqlite').resolve()}"

    def checkpoint(self) -> Path:
        """The folder of its last checkpoint.

        Raises:
            ConfigError: there is none yet.
        """
        path = latest_path(self.checkpoints)
        if path is None:
            raise ConfigError(f"{self.path} has no checkpoint to go on from; 'qcaan resume {self.path}' trains it")
        return path

    def write_config(self, config: Config) -> None:
        """Replace the resolved configuration; the run gets a new name in the store if it now asks for other shots."""
        if any(getattr(config, part) != getattr(self.config, part) for part in _MEASURED):
            record = self.provenance()
            self._write_provenance(record | {"run": _name(config, record.get("start"))})
        self.config = config
        write_whole(self.path / "config.yaml", config.to_yaml())

    def add_segment(self, step: int, facts: Mapping[str, Any]) -> None:
        """Record in provenance.json that the run starts or goes on at `step`."""
        segment = {
            "from_step": step,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "machine": platform.platform(),
            "versions": {name: version for name in _PACKAGES if (version := _version(name))},
            "commit": _commit(),
            "seed": self.config.seed,
            **facts,
        }
        record = self.provenance()
        self._write_provenance(record | {"segments": [*record["segments"], segment]})
        self._clocks = (time.monotonic(), time.process_time())

    def _end_segment(self, wall: float, cpu: float) -> None:
        record = self.provenance()
        took = {"wall_s": round(time.monotonic() - wall, 1), "cpu_s": round(time.process_time() - cpu, 1)}
        *earlier, last = record["segments"]
        self._write_provenance(record | {"segments": [*earlier, last | took]})

    def provenance(self) -> dict[str, Any]:
        """`run` and `budget`, their names in the store, `start`: path, run and checkpoint of another, and `segments`.

        Raises:
            DataError: the file is missing or damaged.
        """
        path = self.path / "provenance.json"
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path} is missing or damaged, so this run's shots cannot be found: {error}") from error
        return record

    @property
    def id(self) -> str:
        """The run's name in the store: `store.run`, or the name that it got from its configuration when it was made."""
        return self.config.store.run or str(self.provenance()["run"])

    @property
    def budget(self) -> str:
        """The name of the run's budget in the store: with `store.run` that name's, else the one that it began with."""
        return f"run {self.config.store.run}" if self.config.store.run else str(self.provenance()["budget"])

    def picture(self, step: int) -> Path:
        """Where the digits of the evaluation after `step` steps are; it is written last."""
        return self.samples / f"step-{step:06d}.png"

    def _write_provenance(self, record: Mapping[str, Any]) -> None:
        write_whole(self.path / "provenance.json", json.dumps(record, indent=1))

    def truncate_metrics(self, step: int) -> None:
        """Drop the records after `step`: a resumed run writes them again."""
        path = self.path / "metrics.jsonl"
        if path.exists():
            kept = [record for record in self.metrics() if record["step"] <= step]
            write_whole(path, "".join(json.dumps(record) + "\n" for record in kept))

    def metrics(self) -> list[dict[str, Any]]:
        """All records; a last line that a crash left unfinished is passed over."""
        path = self.path / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        records = []
        for number, line in enumerate(lines, 1):
            try:
                records.append(json.loads(line))
            except ValueError as error:
                if number < len(lines):
                    raise DataError(f"{path}, line {number} is damaged") from error
        return records

    def log(self, step: int, epoch: int, values: Mapping[str, Any]) -> None:
        """Append one record to metrics.jsonl, and tell its numbers to TensorBoard and MLflow."""
        self.track()
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "epoch": epoch, **values}) + "\n")
        if self._board is None:
            self._board = SummaryWriter(str(self.path / "tensorboard"), purge_step=step)
        for name, value in values.items():
            if isinstance(value, int | float):
                self._board.add_scalar(name, value, step)
        if self._tracking is not None:
            self._tracking.tell()

    def track(self) -> None:
        """Begin to tell MLflow, if `train.mlflow` says so and nothing is told yet."""
        if self.config.train.mlflow and self._tracking is None:
            sweep = self.path.resolve().parent.parent  # where a sweep has its runs, if this is one of a sweep
            self._tracking = Tracking(self.path, self.config.train.mlflow, self.config.flat(), within=sweep)

    def close(self, error: BaseException | None = None) -> None:
        """Flush TensorBoard, tell MLflow the rest, record what the segment took; `error` is what ended the run."""
        if self._board is not None:
            self._board.close()
            self._board = None
        if self._tracking is not None:
            self._tracking.close(how_ended(error))
            self._tracking = None
        if self._clocks is not None:
            with suppress(OSError, DataError):  # on a full disk, say, what ended the run is told, not this
                self._end_segment(*self._clocks)
            self._clocks = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close(error)


def _fresh(config: Config) -> Path:
    backend = config.backend.name.partition(":")[0]
    stem = f"{Path(config.data.name).name}-{config.prior.kind}-{backend}".replace("_", "-")
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    names = (f"{stem}-{stamp}{suffix}" for suffix in ("", *(f"-{k}" for k in range(2, 1000))))
    return next(path for name in names if not (path := Path("runs") / name).exists())


def _name(config: Config, start: Mapping[str, str] | None) -> str:
    beside = {"accelerator", "devices", "strategy", "mlflow"}
    settings = config.model_dump(mode="json", exclude={"store": True, "budget": True, "train": beside})
    origin = {"start": [start["run"], start["checkpoint"]]} if start else {}
    what = json.dumps(settings | origin, sort_keys=True)
    return f"{config.prior.kind}-seed-{config.seed}-{hashlib.sha256(what.encode()).hexdigest()[:16]}"


@cache
def _commit() -> str | None:
    """The commit of the checkout that this code is run from, with "-dirty" if files differ; None where it is none."""
    told = ""
    for words in (("ls-files", "--error-unmatch", __file__), ("describe", "--always", "--dirty", "--exclude=*")):
        command = ("git", "-C", str(Path(__file__).parent), *words)
        try:
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - no input
        except (OSError, subprocess.CalledProcessError):  # no git, or files that it does not keep
            return None
    return told.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
