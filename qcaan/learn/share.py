"""The part of every batch that one of several processes has, and what makes their updates those of a single one.

Each process takes the rows `rank`, `rank + of`, ... of a batch, computes the means over its rows, and the gradients are
averaged. That equals one process as long as every other quantity of a batch is computed over all processes: the
statistics of a batch normalisation, the correlations of the latents, random numbers. `Share` has what that takes.

Why gradients are averaged here, and the networks are not wrapped (DistributedDataParallel, `Fabric.setup`): a wrapper
wants one call of `forward` and one backward pass a step, and this game has calls of parts of a network, several of the
discriminator and the gradient of a gradient. An average of all gradients at once is one short message.

Why a batch normalisation of our own: torch's SyncBatchNorm needs GPUs, and has no second derivative.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.nn import functional

Batch = TypeVar("Batch", Tensor, NDArray[Any])


@dataclass(frozen=True)
class Share:
    """Which of `of` processes this is: `rank` 0 owns the run. With more than one, all of them must make every call.

    They talk through torch's default process group, which `team.Team` makes.
    """

    rank: int = 0
    of: int = 1

    def rows(self, batch: Batch) -> Batch:
        """The rows of a batch that are this process's; half of them are of the batch's first half."""
        return batch[self.rank :: self.of]

    def mean(self, value: Tensor) -> Tensor:
        """The mean of all processes' values, of one shape; it can be differentiated, as often as one likes."""
        return value if self.of == 1 else _Mean.apply(value)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace every gradient by the mean of all processes' ones."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.of == 1 or not gradients:
            return
        means = self.mean(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        parts = means.tensor_split(np.cumsum([gradient.numel() for gradient in gradients])[:-1].tolist())
        for gradient, mean in zip(gradients, parts, strict=True):
            gradient.copy_(mean.view(gradient.shape))

    def random(self, rng: np.random.Generator) -> "Rows":
        """Draws from `rng` the numbers of the whole batch, and keeps those of this process."""
        return Rows(self, rng)


@dataclass(frozen=True)
class Rows:
    """Random numbers of a process's rows: those that a single process would draw for them. `shape` is of its part."""

    share: Share
    rng: np.random.Generator

    def random(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Float64, uniform in [0, 1)."""
        return self.share.rows(self.rng.random(self._whole(shape)))

    def standard_normal(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Float32."""
        return self.share.rows(self.rng.standard_normal(self._whole(shape), dtype=np.float32))

    def _whole(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0] * self.share.of, *shape[1:])


ALONE = Share()


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation of (n, n_features, ...) over the batch of all processes.

    With `remember=False` a batch stays out of the running statistics, which are used when not in training.
    """

    def __init__(self, n_features: int, share: Share = ALONE, *, affine: bool = True) -> None:
        super().__init__(n_features, affine=affine)
        self.share = share

    def forward(self, x: Tensor, *, remember: bool = True) -> Tensor:
        """In the type of `x`, computed in float32."""
        out: Tensor
        if not self.training or (self.share.of == 1 and remember):
            out = super().forward(x)
        elif self.share.of == 1:
            out = functional.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
        else:
            out = self._of_all(x, remember=remember)
        return out

    def _of_all(self, x: Tensor, *, remember: bool) -> Tensor:
        values = x.float()
        variance, mean = torch.var_mean(values, [0, *range(2, x.dim())], correction=0)
        mean, square = self.share.mean(torch.stack([mean, variance + mean.square()]))
        variance = square - mean.square()
        if remember:
            self._remember(mean.detach(), variance.detach(), self.share.of * x.numel() // x.shape[1])
        scale = torch.rsqrt(variance + self.eps)
        if self.affine:
            scale = scale * self.weight
        shift = (self.bias if self.affine else 0.0) - mean * scale
        columns = (1, -1, *[1] * (x.dim() - 2))
        return torch.addcmul(shift.view(columns), values, scale.view(columns)).to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, n: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        self.num_batches_tracked += 1

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - the name of torch's hook
        """Any number of axes after the features."""


class _Mean(torch.autograd.Function):
    """The mean over processes. It is its own adjoint, so its backward pass is itself, and so on."""

    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:  # noqa: ANN401 - torch's
        """The mean."""
        total = value.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total.div_(distributed.get_world_size())

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401 - torch's
        """The mean of the gradients."""
        return _Mean.apply(gradient)  # type: ignore[no-untyped-call,no-any-return]
