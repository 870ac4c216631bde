"""The processes that train one run together: this one, and as many workers as `train.devices` asks for beside it.

A worker knows the networks and nothing else: it gets its rows of every batch through a pipe, and plays the step. So the
device, the store, the data and the run directory are this process's alone, whatever becomes of the others. What ends
the pipe ends the worker: a normal end, an error, Ctrl-C, a SIGKILL here. A worker that ends by itself is an error here,
and the run goes on from its checkpoint.

Why a step holds Ctrl-C back until its end: what is interrupted between two messages leaves one of them under way, and
gloo may wait minutes for the rest of it, in a destructor that nothing ends, although the other process is gone.

Why workers are started as programs of their own and not by `multiprocessing`: that imports the caller's script again,
and must not be used from one without a guard, or from a notebook's cell.
"""

import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from operator import itemgetter
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

from qcaan.config import Config, GanConfig
from qcaan.errors import ConfigError, WorkerError
from qcaan.execution.signals import landing
from qcaan.learn.data import ImageArray, LabelArray, to_tensor
from qcaan.learn.gan import Game
from qcaan.learn.share import Share

READY = b"ready\n"
"""What a worker says when it is about to join."""

_LEAVE_S = 10.0
"""A worker that ends needs far less, and one that does not is killed."""


@dataclass(frozen=True)
class Orders:
    """What a worker must know to join: the game to play, and where process 0 listens."""

    n_bits: int
    settings: GanConfig
    seed: int
    total_steps: int
    share: Share
    device: torch.device
    strategy: str
    port: int
    threads: int


@dataclass(frozen=True)
class Batch:
    """Of one step: real images uint8 (n, 28, 28), as many latent vectors (n, n_bits), the images' labels (n,)."""

    images: ImageArray
    latent: NDArray[Any]
    labels: LabelArray

    def play(self, game: Game) -> dict[str, float]:
        """The step of a game that has these rows."""
        return game.step(to_tensor(self.images), torch.from_numpy(self.latent), torch.from_numpy(self.labels))

    def rows(self, share: Share) -> "Batch":
        """The rows of one process."""
        return Batch(*(np.ascontiguousarray(share.rows(part)) for part in (self.images, self.latent, self.labels)))


class Team:
    """Plays `game`, process 0's, on all processes; without workers it is this process alone.

    Raises:
        ConfigError: Fabric is missing.
    """

    def __init__(self, game: Game, config: Config) -> None:
        n = config.train.devices
        if n > 1 and find_spec("lightning_fabric") is None:
            raise ConfigError(f"train.devices: {n} - several processes need Fabric: pip install 'qcaan[fabric]'")
        self._game, self._config = game, config
        self._workers: list[_Worker] = []
        self._threads = torch.get_num_threads()

    def start(self) -> None:
        """Start the workers and give them the game as it is now.

        Raises:
            ConfigError: this process belongs to a group of its own.
            WorkerError: one did not start.
        """
        game, config, n = self._game, self._config, self._config.train.devices
        if n == 1:
            return
        if distributed.is_initialized():
            remedy = "leave that group before, or train with 1"
            raise ConfigError(f"train.devices: {n} - this process is in a group of torch.distributed already; {remedy}")
        from qcaan.learn.group import free_port, join  # takes seconds

        on_gpus, port, strategy = game.device.type == "cuda", free_port(), config.train.strategy
        threads = self._threads if on_gpus else max(1, self._threads // n)
        torch.set_num_threads(threads)
        with self._explained():
            for rank in range(1, n):
                self._workers.append(worker := _Worker(Share(rank, n), threads))
                device = torch.device("cuda", rank) if on_gpus else game.device
                what = (game.n_bits, config.gan, config.seed, game.total_steps, worker.share, device)
                worker.send(Orders(*what, strategy, port, threads))
            for worker in self._workers:
                worker.wait_until_ready()
            with landing():
                join(game.share, game.device, strategy, port).broadcast(game.state())

    def step(self, batch: Batch) -> dict[str, float]:
        """One step of the game, on all processes: the losses of the whole batch.

        With workers, Ctrl-C takes effect after it; if one has died meanwhile, that is the interrupt's context.

        Raises:
            WorkerError: a worker has ended; the game may be in the middle of the step then, and is of no use.
        """
        with landing(only_if=bool(self._workers)), self._explained():
            for worker in self._workers:
                worker.send(batch.rows(worker.share))
            return batch.rows(self._game.share).play(self._game)

    def close(self) -> None:
        """Let the workers go, and wait until they have."""
        if not self._workers:
            return
        with landing():
            try:
                for worker in self._workers:
                    worker.dismiss()
                deadline = time.monotonic() + _LEAVE_S
                for worker in self._workers:
                    worker.ended(deadline)
            finally:
                for worker in self._workers:
                    worker.bury()
                self._workers.clear()
                torch.set_num_threads(self._threads)
                if distributed.is_initialized():
                    distributed.destroy_process_group()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """An error that came of a worker's end says so."""
        try:
            yield
        except (OSError, RuntimeError) as error:
            deadline = time.monotonic() + _LEAVE_S
            codes = [(code, worker) for worker in self._workers if (code := worker.ended(deadline)) is not None]
            if codes:  # of several, one that was killed comes first: the others may have ended because of it
                code, worker = min(codes, key=itemgetter(0))
                raise WorkerError(worker.story(code)) from error
            raise


class _Worker:
    """Another process, and the pipe to it. It is in a session of its own: Ctrl-C is for this process to answer."""

    def __init__(self, share: Share, threads: int) -> None:
        self.share = share
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `bury`
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "qcaan.learn.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": str(threads)},
        )

    def send(self, what: Orders | Batch) -> None:
        assert self._process.stdin is not None
        pickle.dump(what, self._process.stdin)
        self._process.stdin.flush()

    def wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != READY:
            raise RuntimeError("a worker is not ready")

    def ended(self, deadline: float) -> int | None:
        """Its exit code, if it ends before the deadline of the monotonic clock."""
        try:
            return self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None

    def story(self, code: int) -> str:
        self._said.seek(0)
        last = self._said.read().decode(errors="replace").strip().rpartition("\n")[2]
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        said = f": {last}" if last else ""
        remedy = "the run can be resumed, with as many processes as you like"
        return f"train.devices: process {self.share.rank + 1} of {self.share.of} {how}{said}; {remedy}"

    def dismiss(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def bury(self) -> None:
        """Kill it if it has not ended."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._said.close()
