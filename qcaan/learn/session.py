"""The parts of one run, put together: device, store, prior, networks, and the pool of measured bits between them.

A checkpoint holds the states of prior and networks, the pool, and the prior's distribution where it is known, so that a
run goes on, draws and is evaluated without its device, and may go on on another one.

Why a budget has the name that the run was made with: a run that is resumed with other settings gets a new name in the
store, but no new money.
"""

import json
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from qcaan.circuits.gates import FloatArray
from qcaan.config import Config
from qcaan.errors import BackendError, DataError
from qcaan.execution.backend import Backend
from qcaan.execution.budget import Budget
from qcaan.execution.courier import Progress as JobProgress
from qcaan.execution.progress import Work
from qcaan.execution.registry import open_backend
from qcaan.execution.runner import Runner
from qcaan.execution.store import Store
from qcaan.learn import checkpoint
from qcaan.learn.device import open_device
from qcaan.learn.gan import Game
from qcaan.learn.priors import CLASSICAL, Prior, open_prior
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.share import Share
from qcaan.learn.team import Team
from qcaan.learn.tracking import resolved
from qcaan.learn.trained import Trained

Report = Callable[[JobProgress | Work], None]
"""Told how things stand that take long: the device's jobs, an evaluation, the training of its classifier."""


class Session:
    """What a run needs while it trains; a context manager.

    `step` is where it begins: 0, or the step of the last checkpoint. `pool` holds what the prior drew after the last
    refit, (shots, n_bits): measured bits, uint8, or float32 values of a continuous prior. `distribution` is that which
    it was drawn from, where it is known.
    """

    def __init__(
        self, run: RunDirectory, store: Store, backend: Backend | None, total_steps: int, report: Report | None = None
    ) -> None:
        config = run.config
        self._run = run
        self._store = store
        self._backend = backend
        budget = Budget(config.budget.cap_usd, run.budget) if config.budget else None
        self.runner = Runner(
            backend,
            store=store,
            run=run.id,
            seed=config.seed,
            policy=config.store.policy,
            budget=budget,
            refresh=lambda: open_backend(config.backend.name, **config.backend.options),
            report=report,
        )
        self.prior: Prior = open_prior(**config.prior.model_dump(), seed=config.seed, runner=self.runner)
        self.game = Game(
            self.prior.n_bits,
            config.gan,
            seed=config.seed,
            total_steps=total_steps,
            share=Share(of=config.train.devices),
            device=open_device(config.train.accelerator, config.train.devices),
        )
        self.team = Team(self.game, config)
        self.pool: NDArray[Any] = np.zeros((0, self.prior.n_bits), np.uint8)
        self.distribution: FloatArray | None = None
        self.step = 0

    @classmethod
    def open(cls, run: RunDirectory, total_steps: int, report: Report | None = None) -> Self:
        """Open the device and the store, and restore the last checkpoint if there is one.

        Raises:
            ConfigError: the backend or its options are wrong, or MLflow cannot be told as `train.mlflow` says.
            BackendError: the device cannot be opened; under the policy "replay", only if exact gradients need it.
            DataError: the checkpoint is damaged, or does not fit the configuration.
            StoreError: the store cannot be opened.
        """
        if run.config.train.mlflow:
            resolved(run.config.train.mlflow)  # before there is anything to pay
        backend = _open_backend(run.config)
        store = Store.open(run.store_url)
        try:
            session = cls(run, store, backend, total_steps, report)
            saved = checkpoint.latest(run.checkpoints)
            if saved is not None:
                session._restore(*saved)
        except KeyError as error:
            store.close()
            raise DataError(f"the last checkpoint in {run.checkpoints} lacks {error}: remove it") from error
        except BaseException:  # Ctrl-C too must not leave the store open
            store.close()
            raise
        return session

    def begin(self) -> None:
        """Start the other processes, record that the run goes on here, and drop the numbers of what is done again.

        Raises:
            ConfigError, WorkerError: the processes cannot work together.
        """
        self.team.start()
        facts = {
            "backend": self._run.config.backend.model_dump(),
            "target": json.loads(self._backend.target.to_json()) if self._backend else None,
            "bf16": self.game.bf16,
            "device": str(self.game.device),
            "processes": self._run.config.train.devices,
            "threads": torch.get_num_threads(),
        }
        self._run.truncate_metrics(self.step)
        self._run.track()
        self._run.add_segment(self.step, facts)

    def draw(self, tag: str) -> None:
        """Fill the pool from the prior as it is now."""
        self.pool = self.prior.sample(self._run.config.prior.shots, tag=tag)
        self.distribution = self.prior.distribution()

    def save(self, step: int) -> None:
        """Write the checkpoint of `step`."""
        networks, values = self.game.state()
        arrays, prior_values = self.prior.state()
        tensors = {f"game.{name}": tensor for name, tensor in networks.items()}
        tensors |= {f"prior.{name}": torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        tensors["pool"] = torch.from_numpy(self.pool)
        if self.distribution is not None:
            tensors["distribution"] = torch.from_numpy(self.distribution)
        checkpoint.save(self._run.checkpoints, step, tensors, {"game": values, "prior": prior_values})

    def trained(self) -> Trained:
        """What can be drawn and evaluated now."""
        prior = self.prior if self._run.config.prior.kind in CLASSICAL else None
        return Trained(self.game, self.pool, self.distribution, prior)

    def _restore(self, tensors: checkpoint.Tensors, state: dict[str, Any]) -> None:
        self.game.load_state(checkpoint.below(tensors, "game."), state["game"])
        self.prior.load_state(checkpoint.arrays_below(tensors, "prior."), state["prior"])
        self.pool = tensors["pool"].numpy()
        self.distribution = tensors["distribution"].numpy() if "distribution" in tensors else None
        self.step = state["step"]

    def close(self) -> None:
        """Let the other processes go, and close the store."""
        try:
            self.team.close()
        finally:
            self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _open_backend(config: Config) -> Backend | None:
    """The device; None where recorded shots are all that is asked for and it cannot be opened."""
    try:
        backend = open_backend(config.backend.name, **config.backend.options)
        _ = backend.target  # a remote device is asked for its facts when they are first needed
    except BackendError:
        if config.store.policy != "replay" or config.prior.gradient == "exact":
            raise
        return None
    return backend
