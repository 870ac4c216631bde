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
        labels = self._classes(n) if label is None else np.full(n, label)
        return self.game.generate(chosen, labels, rng=rng)

    def evaluate(
        self, data: Images, classifier: Classifier, config: Config, report: Callable[[Work], None] | None = None
    ) -> Evaluation:
        """By exact enumeration where the distribution is known and there is no noise; otherwise by sampling.

        The bits are enumerated with the classes of a conditional generator, which are equally probable. The images
        stand beside as many real ones as there are bitstrings, or bitstrings and classes, down to a power of two.
        `report` is told how far each part is.
        """
        n_bits, conditional = self.pool.shape[1], self.game.settings.conditional
        n_classes = N_CLASSES if conditional else 1
        n_images = n_classes * 2**n_bits
        finite = self.pool.dtype == np.uint8 and not self.game.settings.n_noise
        alike = n_images.bit_length() - 1 if finite else None
        if self.distribution is None or not finite or n_images > 2**config.train.enumerated_bits:
            size = config.train.evaluation_images
            images = self.draw(size, config.seed)
            return evaluate(images, data, classifier, n_bits=alike, labels=self._classes(size), report=report)
        support = np.flatnonzero(self.distribution)
        bits = to_bits(support, n_bits).repeat(n_classes, axis=0)
        labels = self._classes(len(bits))
        drawn = [
            self.game.generate(bits[part], None if labels is None else labels[part])
            for part in parts(len(bits), N_DRAWN, "draw images", report)
        ]
        weights = (self.distribution[support] / n_classes).repeat(n_classes)
        return evaluate(
            np.concatenate(drawn), data, classifier, weights=weights, n_bits=alike, labels=labels, report=report
        )

    def _classes(self, n: int) -> LabelArray | None:
        """Of `n` images of a conditional generator: 0 to 9 in turn."""
        return np.arange(n) % N_CLASSES if self.game.settings.conditional else None
