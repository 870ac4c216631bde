"""The parts of one run, put together: device, store, prior, networks, and the pool of measured bits between them.

A checkpoint holds the states of prior and networks, the pool, and the prior's distribution where it is known, so that a
run goes on, draws and is evaluated without its device, and may go on on another one.
"""

import json
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from qcaan.execution.backend import Backend
from qcaan.execution.budget import Budget
from qcaan.execution.courier import Progress as JobProgress
from qcaan.execution.registry import open_backend
from qcaan.execution.runner import Runner
from qcaan.execution.store import Store
from qcaan.learn import checkpoint
from qcaan.learn.gan import Game
from qcaan.learn.priors import Prior, open_prior
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.trained import Trained

Report = Callable[[JobProgress], None]


class Session:
    """What a run needs while it trains; a context manager.

    `step` is where it begins: 0, or the step of the last checkpoint. `pool` holds what the prior drew after the last
    refit, (shots, n_bits): measured bits, uint8, or float32 values of a continuous prior. The generator's batches are
    drawn from it.
    """

    def __init__(
        self, run: RunDirectory, store: Store, backend: Backend, total_steps: int, report: Report | None = None
    ) -> None:
        config = run.config
        self._run = run
        self._store = store
        self._backend = backend
        budget = Budget(config.budget.cap_usd) if config.budget else None
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
        self.game = Game(self.prior.n_bits, config.gan, seed=config.seed, total_steps=total_steps)
        self.pool: NDArray[Any] = np.zeros((0, self.prior.n_bits), np.uint8)
        self.step = 0

    @classmethod
    def open(cls, run: RunDirectory, total_steps: int, report: Report | None = None) -> Self:
        """Open the device and the store, and restore the last checkpoint if there is one.

        `report` is told how the device's jobs stand.

        Raises:
            ConfigError: the backend or its options are wrong.
            StoreError: the store cannot be opened.
        """
        config = run.config
        backend = open_backend(config.backend.name, **config.backend.options)
        session = cls(run, Store.open(run.store_url), backend, total_steps, report)
        saved = checkpoint.latest(run.checkpoints)
        if saved is not None:
            session._restore(*saved)
        return session

    def begin(self) -> None:
        """Record in the run that it goes on here, and drop the numbers of steps that will be taken again."""
        target = json.loads(self._backend.target.to_json())
        self._run.truncate_metrics(self.step)
        self._run.add_segment(self.step, {"backend": self._run.config.backend.model_dump(), "target": target})

    def save(self, step: int) -> None:
        """Write the checkpoint of `step`."""
        networks, values = self.game.state()
        arrays, prior_values = self.prior.state()
        tensors = {f"game.{name}": tensor for name, tensor in networks.items()}
        tensors |= {f"prior.{name}": torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        tensors["pool"] = torch.from_numpy(self.pool)
        distribution = self.prior.distribution() if step else None
        if distribution is not None:
            tensors["distribution"] = torch.from_numpy(distribution)
        checkpoint.save(self._run.checkpoints, step, tensors, {"game": values, "prior": prior_values})

    def trained(self) -> Trained:
        """What can be drawn and evaluated now."""
        return Trained(self.game, self.pool, self.prior.distribution())

    def _restore(self, tensors: checkpoint.Tensors, state: dict[str, Any]) -> None:
        self.game.load_state(checkpoint.below(tensors, "game."), state["game"])
        arrays = {name: tensor.numpy() for name, tensor in checkpoint.below(tensors, "prior.").items()}
        self.prior.load_state(arrays, state["prior"])
        self.pool = tensors["pool"].numpy()
        self.step = state["step"]

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
