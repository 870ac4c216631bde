"""The engine of one machine: a process a point.

Why a process: one that dies, whatever killed it, takes nothing with it. Why a pipe to each: what it says at its end is
either there completely, or the pipe is closed, which tells that it died, at once.
"""

import multiprocessing as mp
import os
import signal
import threading
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from qcaan.execution.policy import Patience
from qcaan.learn.sweep.engine import Ending, Order, work

_GRACE_S = Patience().landing_s + 10.0
"""From the signal that ends a process to the one that kills it; more than calls to a device are waited for."""


class Processes:
    """At most `jobs` processes at once, each with `threads` threads, by default all cores shared among the jobs."""

    def __init__(self, jobs: int = 1, threads: int | None = None) -> None:
        self.threads = threads or max(1, (os.cpu_count() or 1) // jobs)
        self._jobs = jobs
        self._context = mp.get_context("spawn")
        self._running: dict[Path, tuple[BaseProcess, Connection]] = {}

    def room(self) -> int:
        """How many more may run."""
        return self._jobs - len(self._running)

    def start(self, order: Order) -> None:
        """Run an order in a process."""
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_work, args=(order, theirs), name=f"qcaan {order.path.name}")
        process.start()
        theirs.close()  # so that ours ends when the process does
        self._running[order.path] = (process, ours)

    def ended(self, wait_s: float) -> dict[Path, Ending]:
        """Those that ended since the last call."""
        ready = wait([pipe for _, pipe in self._running.values()], wait_s)
        return {path: self._end(path) for path, (_, pipe) in list(self._running.items()) if pipe in ready}

    def stop(self) -> None:
        """SIGTERM to all; SIGKILL to those that do not end."""
        processes = [process for process, _ in self._running.values()]
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(_GRACE_S)
            process.kill()
        for path in list(self._running):
            self._end(path)

    def _end(self, path: Path) -> Ending:
        process, pipe = self._running.pop(path)
        with pipe:
            try:
                ending: Ending | None = pipe.recv()
            except EOFError:
                ending = None
        process.join()
        return ending or Ending("died", f"exit {process.exitcode}")


def _work(order: Order, told: Connection) -> None:
    """The body of a process. Ctrl-C on a terminal reaches all: it is for the conductor, which ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_conductor, daemon=True).start()
    told.send(work(order))


def _end_with_conductor() -> None:
    """A conductor that was killed can end nobody; a run without one would go on spending."""
    conductor = mp.parent_process()
    assert conductor is not None
    conductor.join()
    os.kill(os.getpid(), signal.SIGTERM)
