"""Where the points of a sweep run: an engine takes orders, and tells how each ended.

The conductor decides what is run, how often and what its end means; an engine only has places to run it in. There are
two: `processes` on this machine, `cluster` on Ray. Both run `work`.
"""

import logging
import shutil
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from qcaan.config import Config
from qcaan.errors import DetachedError, QcaanError
from qcaan.execution.store import Store
from qcaan.learn.run_directory import RunDirectory

WORK = "training"
"""The name of the lock that whoever works on a run holds in its store."""
_GIVE_UP_S = 120.0
"""Waiting for a process that works on the same run: one that was cut off may live on for a while."""


@dataclass(frozen=True)
class Order:
    """A run to be trained to its end: `path` is absolute, `budget` names what it spends from, `threads` are torch's.

    `start` is the run that it goes on from, if any.
    """

    config: Config
    path: Path
    budget: str
    threads: int = 1
    start: Path | None = None


@dataclass(frozen=True)
class Ending:
    """How an order ended. "died": its process is gone, and with it what it had to say; it may be started again."""

    how: Literal["done", "failed", "detached", "died"]
    error: str = ""


class Engine(Protocol):
    """Runs orders, each in a process of its own with so many `threads`."""

    threads: int

    def room(self) -> int:
        """How many more orders could run now.

        Raises:
            ConfigError: none ever can.
        """

    def start(self, order: Order) -> None:
        """Run an order.

        Raises:
            ConfigError: it cannot be run here.
        """

    def ended(self, wait_s: float) -> Mapping[Path, Ending]:
        """Those that ended since the last call, by their paths; waits up to `wait_s` for the first."""

    def stop(self) -> None:
        """End what runs, as a signal would: what is in the air is recorded before. Nothing runs afterwards."""


def work(order: Order) -> Ending:
    """Carry an order out, here; what it warned of, or why it failed, is kept in a log beside its run."""
    import torch

    torch.set_num_threads(order.threads)
    log = logging.getLogger("qcaan")
    file = logging.FileHandler(order.path.with_name(f"{order.path.name}.log"), encoding="utf-8", delay=True)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(file)
    try:
        run_point(order.config, order.path, order.budget, order.start)
    except QcaanError as error:
        text = "\n".join([str(error), *getattr(error, "__notes__", ())])
        log.error("%s: %s", type(error).__name__, text)
        return Ending("detached" if isinstance(error, DetachedError) else "failed", text)
    except Exception:  # whatever it is, the conductor is told
        log.exception("unexpected")
        return Ending("failed", traceback.format_exc())
    else:
        return Ending("done")
    finally:
        log.removeHandler(file)
        file.close()


def run_point(config: Config, path: Path, budget: str, start: Path | None = None) -> None:
    """Train one point from where it is to its end; a new one begins with the last checkpoint of the run `start`.

    One process at a time: the lock of the run is in its store, so it dies with its holder, on any machine.

    Raises:
        QcaanError: as training does; StoreError, if another process works on the run.
    """
    from qcaan.learn.report import write_report
    from qcaan.learn.train import prepare, steps

    if path.exists() and not (path / "provenance.json").is_file():
        shutil.rmtree(path)  # its process died before the run began
    if path.exists():
        opened = RunDirectory.open(path)
    else:
        opened = prepare(config, path, budget=budget, start=RunDirectory.open(start) if start else None)
    with (
        opened as run,
        Store.open(run.store_url) as store,
        store.lock(run.id, WORK, _GIVE_UP_S) as held,
    ):
        for progress in steps(run):
            if progress.phase == "refit":  # who lost the lock does not measure
                held()
        write_report(run)
