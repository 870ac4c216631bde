"""How many steps a run has, and at which of them something happens."""

from dataclasses import dataclass
from typing import Self

from qcaan.config import Config
from qcaan.errors import ConfigError


@dataclass(frozen=True)
class Schedule:
    """Steps are counted from 0; an epoch has `per_epoch` of them, and drops the images that fill no batch."""

    per_epoch: int
    total: int
    refresh_every: int

    @classmethod
    def of(cls, config: Config, n_images: int) -> Self:
        """The schedule of a configuration on so many training images.

        Raises:
            ConfigError: a batch is larger than the data set.
        """
        size = config.train.batch_size
        if size > n_images:
            raise ConfigError(f"train.batch_size: {size} is more than the {n_images} training images")
        per_epoch = n_images // size
        whole = config.train.epochs * per_epoch
        return cls(per_epoch, min(whole, config.train.max_steps or whole), config.prior.refresh_every)

    @property
    def n_refits(self) -> int:
        """Refits of the prior in the whole run; the first is at step 0."""
        return -(-self.total // self.refresh_every)
