"""The engine of many machines: Ray. A point is a task of so many CPUs, on whichever node has them.

Why no retries of Ray's own: the conductor starts again what died, by one rule for both engines. Why one file system for
all nodes: a run goes on from its checkpoint, on another node than the one that wrote it. Why no SQLite then: its
write-ahead log is memory that the processes of one machine share, and on a network file system it breaks in silence.
"""

import logging
import os
import time
from pathlib import Path
from typing import Any

from qcaan.errors import ConfigError
from qcaan.execution.policy import Patience
from qcaan.execution.schema import store_url
from qcaan.learn.sweep.engine import Ending, Order, work

_GRACE_S = Patience().landing_s + 10.0
"""From the interruption of a task to its process being killed; more than calls to a device are waited for."""
_OWN_STORE_BYTES = 100 * 2**20
"""Of a cluster that is started here, for objects: there are none to speak of."""


class Cluster:
    """Tasks of `threads` CPUs, as many at once as the nodes hold, or `jobs`.

    `address`: of a running cluster, or "auto"; by default RAY_ADDRESS, and if that is not set, a cluster of this
    machine alone that ends with this object.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, address: str | None = None, jobs: int | None = None, threads: int | None = None) -> None:
        # Unless the user says otherwise, nothing is reported to anybody, and what a node has is seen by its tasks.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError as error:
            raise ConfigError("--engine ray needs the package 'ray': pip install 'qcaan[ray]'") from error
        self.threads = threads or 1
        self._ray: Any = ray
        self._jobs = jobs
        self._running: dict[Path, Any] = {}
        where = address or os.environ.get("RAY_ADDRESS") or "local"
        alone: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _OWN_STORE_BYTES}
        try:
            ray.init(
                address=where, log_to_driver=False, logging_level=logging.ERROR, **alone if where == "local" else {}
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(f"--address {where}: no Ray cluster answers there: {error}") from error
        self._task = ray.remote(num_cpus=self.threads, max_retries=0, scheduling_strategy="SPREAD")(_work)

    def room(self) -> int:
        """How many more tasks have CPUs, or may wait for theirs if `jobs` says so."""
        places = sum(int(node["Resources"].get("CPU", 0)) // self.threads for node in self._nodes())
        if not places and not self._running:
            raise ConfigError(f"no node of the Ray cluster has {self.threads} CPU(s); add one, then run this again")
        return (self._jobs or places) - len(self._running)

    def start(self, order: Order) -> None:
        """Run an order as a task.

        Raises:
            ConfigError: its store is a file, and the cluster has several nodes.
        """
        nodes = len(self._nodes())
        if nodes > 1 and store_url(order.config.store.url).get_backend_name() == "sqlite":
            raise ConfigError(
                f"store.url: the Ray cluster has {nodes} nodes, and SQLite's file is safe on one machine only: its log "
                "is memory that processes share. Name a PostgreSQL server: --set store.url=postgresql://HOST/DATABASE"
            )
        self._running[order.path] = self._task.options(name=order.path.name).remote(order, str(Path.cwd()))

    def ended(self, wait_s: float) -> dict[Path, Ending]:
        """Those that ended since the last call."""
        tasks = list(self._running.values())
        if not tasks:
            time.sleep(wait_s)
            return {}
        ready, _ = self._ray.wait(tasks, timeout=wait_s)
        if ready:
            ready, _ = self._ray.wait(tasks, num_returns=len(tasks), timeout=0)
        return {path: self._end(path) for path, task in list(self._running.items()) if task in ready}

    def stop(self) -> None:
        """Interrupt all, kill those that do not end, and leave the cluster."""
        tasks = list(self._running.values())
        for force in (False, True):
            for task in tasks:
                self._ray.cancel(task, force=force)
            if tasks:
                _, tasks = self._ray.wait(tasks, num_returns=len(tasks), timeout=_GRACE_S)
        self._running.clear()
        self._ray.shutdown()

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _end(self, path: Path) -> Ending:
        try:
            ending: Ending = self._ray.get(self._running.pop(path))
        except self._ray.exceptions.RayTaskError as error:  # the task could not even begin: qcaan is not there
            return Ending("failed", str(error))
        except self._ray.exceptions.RayError as error:
            return Ending("died", str(error).partition("\n")[0])
        return ending


def _work(order: Order, folder: str) -> Ending:
    """The body of a task; names of files mean here what they mean to the conductor."""
    if not Path(folder).is_dir() or not order.path.parent.is_dir():
        missing = order.path.parent if Path(folder).is_dir() else folder
        where = os.uname().nodename
        return Ending("failed", f"node {where} has no {missing}: all nodes need one file system; put --out on it")
    os.chdir(folder)
    return work(order)
