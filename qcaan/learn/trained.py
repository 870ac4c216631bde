"""A trained generator with its prior, as a checkpoint holds them: draws images and is evaluated without any device."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from qcaan.circuits.gates import FloatArray
from qcaan.config import Config
from qcaan.errors import DataError
from qcaan.execution.progress import Work, parts
from qcaan.learn import checkpoint
from qcaan.learn.classifier import Classifier
from qcaan.learn.data import N_CLASSES, ImageArray, Images, LabelArray
from qcaan.learn.device import open_device
from qcaan.learn.distributions import in_random_order, to_bits
from qcaan.learn.gan import Game
from qcaan.learn.metrics import Evaluation, evaluate
from qcaan.learn.priors import CLASSICAL, Prior, open_prior
from qcaan.learn.run_directory import RunDirectory

N_DRAWN = 1024
"""Images between two words about the progress; whole batches of the generator, so that they are the same images."""


@dataclass(frozen=True)
class Trained:
    """`pool`: latent vectors that were measured or drawn, (n, n_bits); `distribution`: of all of them, where known.

    `prior`: what drew them, where it needs no device to draw more.
    """

    game: Game
    pool: NDArray[np.generic]
    distribution: FloatArray | None
    prior: Prior | None = None

    @classmethod
    def load(cls, run: RunDirectory) -> Self:
        """From the run's last checkpoint.

        Raises:
            DataError: there is no checkpoint yet, or it is damaged.
        """
        saved = checkpoint.latest(run.checkpoints)
        if saved is None or not len(saved[0]["pool"]):
            raise DataError(f"{run.path} has no trained checkpoint yet; 'qcaan resume {run.path}' goes on with it")
        tensors, state = saved
        device = open_device("cpu" if run.config.train.accelerator == "cpu" else "auto")
        game = Game(state["game"]["n_bits"], run.config.gan, seed=run.config.seed, total_steps=1, device=device)
        game.load_state(checkpoint.below(tensors, "game."), state["game"])
        distribution = tensors["distribution"].numpy() if "distribution" in tensors else None
        prior = None
        if run.config.prior.kind in CLASSICAL:
            prior = open_prior(**run.config.prior.model_dump(), seed=run.config.seed)
            prior.load_state(checkpoint.arrays_below(tensors, "prior."), state["prior"])
        return cls(game, tensors["pool"].numpy(), distribution, prior)

    def draw(self, n: int, seed: int, label: int | None = None) -> ImageArray:
        """Images uint8 (n, 28, 28) of latent vectors drawn afresh from the distribution, or from the prior itself.

        Where neither is at hand, as after shots of a device, they come from the pool, which is a sample: in random
        order, none twice before all have been used once. A conditional generator draws the classes 0 to 9 in turn, or
        `label` alone.

        Raises:
            ConfigError: a `label` is asked of a generator that is not conditional.
        """
        rng = np.random.default_rng(seed)
        chosen: NDArray[Any]
        if self.distribution is not None:
            chosen = to_bits(rng.choice(len(self.distribution), size=n, p=self.distribution), self.pool.shape[1])
        elif self.prior is not None:
            chosen = self.prior.sample(n, tag=f"images {seed}")
        else:
            chosen = self.pool[in_random_order(len(self.pool), n, rng)]
        if label is not None:
            labels: LabelArray | None = np.full(n, label)
        else:
            labels = np.arange(n) % N_CLASSES if self.game.settings.conditional else None
        return self.game.generate(chosen, labels, rng=rng)

    def evaluate(
        self, data: Images, classifier: Classifier, config: Config, report: Callable[[Work], None] | None = None
    ) -> Evaluation:
        """By exact enumeration where the distribution is known and nothing else is random; otherwise by sampling.

        The classes of a conditional generator are random, and each is as probable. `report` is told how far each part
        is.
        """
        n_bits = self.pool.shape[1]
        random = config.gan.n_noise or config.gan.conditional
        if self.distribution is None or random or n_bits > config.train.enumerated_bits:
            images = self.draw(config.train.evaluation_images, config.seed)
            from_bits = self.pool.dtype == np.uint8 and not random
            return evaluate(images, data, classifier, n_bits=n_bits if from_bits else None, report=report)
        support = np.flatnonzero(self.distribution)
        bits = to_bits(support, n_bits)
        drawn = [self.game.generate(bits[part]) for part in parts(len(bits), N_DRAWN, "draw images", report)]
        weights = self.distribution[support]
        return evaluate(np.concatenate(drawn), data, classifier, weights=weights, n_bits=n_bits, report=report)
