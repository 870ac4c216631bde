"""The two networks: a generator that draws from bits, and a discriminator that judges images and reads them as bits.

Why no batch normalisation in the discriminator's trunk: it was measured to hurt on every prior tried.

Why both networks have 28 x 28 images as 14 x 14 of four channels, the pixels of each 2 x 2 block (`PixelShuffle`), and
a 3 x 3 convolution there: against strided 4 x 4 convolutions of the single channel, the game learned in 90 CPU-seconds
what it had not in 100 (FID 34 against 58), and a step costs no more (docs/experiment.md).

Why the generator's bits pass through two small layers first and then reach every layer of it, as scale and shift of its
features (self-modulation: Chen et al., ICLR 2019, arXiv:1810.01365): bits that only enter at the bottom, through one
linear layer, make images that differ little between neighbouring bitstrings, so many lie between two digits. In 100
CPU-seconds self-modulation raised the Inception Score from 8.4 to 8.7; on top of it, in 112, the two layers raised it
from 8.6 to 9.4 (docs/experiment.md). They stand beside the bits, which still enter as they are.

Why no batch normalisation in those layers: with one the game did not start.

Why the units that are normalised have no bias: its gradient would be rounding noise, which Adam turns into whole steps,
and the running statistics, and with them the bits that the prior learns, would follow.

Why a class enters the discriminator as a projection, one weight vector a class (Miyato and Koyama, ICLR 2018,
arXiv:1802.05637): the units that read the trunk stay blind to it, so the prior's target is the same with classes and
without.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from qcaan.learn.data import N_CLASSES
from qcaan.learn.share import ALONE, BatchNorm, Share

SLOPE = 0.2


class Generator(nn.Module):
    """Float (n, n_inputs): bits as -1 and +1, noise, a class as ten 0 and 1 -> images (n, 1, 28, 28) in (-1, 1)."""

    def __init__(self, n_inputs: int, *, channels: int = 32, share: Share = ALONE) -> None:
        super().__init__()
        thin, wide = channels, 2 * channels
        layers = nn.Linear(n_inputs, wide), nn.Linear(wide, wide)
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
        self.combine = nn.Sequential(layers[0], nn.LeakyReLU(SLOPE), layers[1], nn.LeakyReLU(SLOPE))
        self.encode = nn.Linear(n_inputs + wide, wide * 16)
        self.modulate = nn.ModuleList(Modulation(n_inputs + wide, width, share) for width in (wide, wide, thin))
        self.draw = nn.ModuleList(
            [
                nn.ConvTranspose2d(wide, wide, 3, stride=2, padding=1, bias=False),
                nn.ConvTranspose2d(wide, thin, 4, stride=2, padding=1, bias=False),
                nn.Conv2d(thin, 4, 3, padding=1),
            ]
        )

    def forward(self, z: Tensor) -> Tensor:
        """Images of latent vectors."""
        z = torch.cat([z, self.combine(z)], 1)
        features: Tensor = self.encode(z).unflatten(1, (-1, 4, 4))
        for modulate, draw in zip(self.modulate, self.draw, strict=True):
            features = draw(functional.relu(modulate(features, z)))
        return torch.tanh(functional.pixel_shuffle(features, 2))


class Modulation(nn.Module):
    """Features (n, width, side, side) normalised over the batch, then scaled and shifted as (n, n_inputs) says."""

    def __init__(self, n_inputs: int, width: int, share: Share) -> None:
        super().__init__()
        self.normalise = BatchNorm(width, share, affine=False)
        self.read = nn.Linear(n_inputs, 2 * width)

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        """Of the features' shape."""
        scale, shift = self.read(z)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(shift, self.normalise(features), 1 + scale)


class Discriminator(nn.Module):
    """Images (n, 1, 28, 28) in [-1, 1] -> logits (n,), positive for "real", and latents (n, n_latent) in (-1, 1).

    With `n_classes`, the logit is for "a real image of its class": labels, int64 (n,), are then needed. With
    `classifies`, `classify` reads the class from the trunk's features: logits (n, 10).
    """

    def __init__(
        self,
        n_latent: int,
        *,
        channels: int = 32,
        feeds_logit: bool = False,
        batchnorm: bool = True,
        n_classes: int = 0,
        classifies: bool = False,
        share: Share = ALONE,
    ) -> None:
        super().__init__()
        thin, wide = channels, 2 * channels
        self.trunk = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4, thin, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(thin, wide, 4, stride=2, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(wide, wide, 3, stride=2, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Flatten(),
        )
        self.read = nn.Linear(wide * 16, n_latent, bias=not batchnorm)
        self.balance = BatchNorm(n_latent, share, affine=False) if batchnorm else None
        self.feeds_logit = feeds_logit
        self.judge = nn.Linear(wide * 16 + (n_latent if feeds_logit else 0), 1)
        self.judge_class = nn.Linear(wide * 16, n_classes, bias=False) if n_classes else None
        self.classify = nn.Linear(wide * 16, N_CLASSES) if classifies else None

    def forward(self, images: Tensor, labels: Tensor | None = None, *, remember: bool = True) -> tuple[Tensor, Tensor]:
        """Logits and latents; `remember=False` keeps these images out of the running statistics of the latents."""
        features = self.trunk(images)
        latents = self.latents(features, remember=remember)
        return self.logits(features, latents, labels), latents

    def latents(self, features: Tensor, *, remember: bool = True) -> Tensor:
        """The units (n, n_latent) that read the trunk's features."""
        units = self.read(features).float()
        if self.balance is not None:
            units = self.balance(units, remember=remember)
        return torch.tanh(units)

    def logits(self, features: Tensor, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """The judgement (n,)."""
        judged = torch.cat([features, latents.to(features.dtype)], 1) if self.feeds_logit else features
        logits: Tensor = self.judge(judged).squeeze(1)
        if self.judge_class is not None and labels is not None:
            logits = logits + self.judge_class(features).gather(1, labels[:, None]).squeeze(1)
        return logits.float()


def mean_squared_correlation(latents: Tensor, share: Share = ALONE) -> Tensor:
    """Mean over pairs of units of their squared correlation over the whole batch; 0 for a single unit."""
    n, width = latents.shape
    if width == 1:
        return latents.new_zeros(())
    centred = latents - share.mean(latents.mean(0))
    covariance = share.mean(centred.T @ centred / n)
    variance = covariance.diagonal()
    squared = covariance.square() / (variance[:, None] * variance[None, :] + 1e-8)
    return (squared.sum() - squared.diagonal().sum()) / (width * (width - 1))


def class_information(logits: Tensor, share: Share = ALONE) -> Tensor:
    """Mutual information of image and class in nats, over the whole batch, of class logits (n, n_classes).

    The entropy of the mean distribution minus the mean entropy: at most log(n_classes), when every image is of one
    class and all classes are equally frequent.
    """
    log_p = functional.log_softmax(logits.float(), 1)
    p = log_p.exp()
    mean = share.mean(p.mean(0))
    return (p * log_p).sum(1).mean() - (mean * mean.clamp_min(torch.finfo(mean.dtype).tiny).log()).sum()


def squared_gradient(discriminator: Discriminator, images: Tensor, labels: Tensor | None = None) -> Tensor:
    """Mean over images of |d logit / d image|^2, in float32: the second derivative loses too much in bfloat16."""
    images = images.detach().requires_grad_(True)
    logits, _ = discriminator(images, labels, remember=False)
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()
