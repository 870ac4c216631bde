"""The game of the two networks: one step of it, what it learned, and its state.

The generator draws from bits; the discriminator judges images and also reads them as bits, its latents, whose
distribution on real images is what the prior learns.

Why this latent head. A narrow layer as the only path to the logit collapses the game, and so does one that feeds it
beside the other features once the prior follows the latents: its units saturate to "real or fake" and every real image
gets the same bits. So by default the units only read the trunk; a batch normalisation without scale or shift, with
statistics of its own for real and for generated images, keeps every bit balanced on each; a weak decorrelation keeps
the bits from being copies of each other; and the association term asks that the bits read from G(z) are z, which ties
the two ends of the prior together. `GanConfig` holds a switch for each.

Why there is a reconstruction term, and why it is off. The association term ties bits -> image -> bits; this one ties
image -> bits -> image: half of a batch is drawn from the bits of real images, and shall be those images again. With a
histogram of those bits for a prior, 16 bits reached in 110 CPU-seconds an FID of 17, against 42 without. But such bits
hold several bits of correlation: independent coins are worse off with the term (66), and a Born machine fitted to them
on 16 qubits ended a whole run at 25, behind the default's 17 (docs/experiment.md). Its weight falls linearly to zero
over the run.

Why the discriminator may learn to tell the classes of real images (`classification`): its features then hold what
makes a digit that digit, which the generator, which is told no class, has to answer. In 90 CPU-seconds the FID was 29,
against 34 without. It uses the labels of the training data, so it is off by default.

Why the generator may be asked for images of one digit each (`certainty`): a discrete prior has bitstrings between those
of two digits, and nothing else in the game forbids an image between them. The term is the mutual information of image
and class, as the discriminator's own class head reads generated images (Springenberg, ICLR 2016, arXiv:1511.06390); the
head learns from real images alone, and no evaluation classifier takes part. The Inception Score is the exponential of
the same quantity, read by another classifier, so with this term it says less by itself: FID, precision and coverage,
which the term knows nothing of, are to be read beside it. In 97 CPU-seconds a weight of 0.6 took the Inception Score
from 8.1 to 8.9 and the FID from 26 to 22; fading it out took away most of the former (docs/experiment.md).

Why a gradient penalty on real images (R1): it was measured to help on every prior tried.

Why precision "auto": bfloat16 is faster only where the processor multiplies in it, and slower everywhere else.
"""

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from qcaan.config import Binarise, GanConfig
from qcaan.errors import ConfigError, DataError
from qcaan.learn.data import N_CLASSES, ImageArray, LabelArray, to_images
from qcaan.learn.networks import (
    Discriminator,
    Generator,
    class_information,
    mean_squared_correlation,
    squared_gradient,
)
from qcaan.learn.share import ALONE, Rows, Share

BitArray = NDArray[np.uint8]


class Game:
    """Both networks, their optimisers, the average of the generator and the schedule. Same seed, same run.

    The noise inputs of a step derive from the seed and the step, so no random generator is part of the state.
    Bits are uint8 or int64 (n, n_bits), 0 or 1, and enter as -1 or +1; floating values enter as they are, for a
    continuous prior, and then nothing is associated. Labels are int64 (n,), 0 to 9: where the settings are
    `conditional`, both networks are told the class of every image, and the prior is independent of it.

    On several processes every one plays the game with its `share` of each batch, and all have the same networks; what
    is computed over a batch and is no mean over its rows must go through `share`. The networks live on `device`;
    tensors may come from any, arrays are in main memory.
    """

    def __init__(
        self,
        n_bits: int,
        settings: GanConfig,
        *,
        seed: int,
        total_steps: int,
        share: Share = ALONE,
        device: torch.device | str = "cpu",
    ) -> None:
        if n_bits < 1 or total_steps < 1:
            raise ConfigError(f"a game needs at least 1 bit and 1 step, not {n_bits} bits and {total_steps} steps")
        self.share, self.device = share, torch.device(device)
        self.bf16 = settings.precision == "bf16" or (settings.precision == "auto" and multiplies_bf16(self.device))
        self.n_bits, self.settings, self.total_steps, self.steps = n_bits, settings, total_steps, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            n_classes = N_CLASSES if settings.conditional else 0
            self.generator = Generator(n_bits + settings.n_noise + n_classes, channels=settings.channels, share=share)
            self.discriminator = Discriminator(
                n_bits,
                channels=settings.channels,
                feeds_logit=settings.feeds_logit,
                batchnorm=settings.batchnorm,
                n_classes=n_classes,
                classifies=settings.classification > 0,
                share=share,
            )
        for network in (self.generator, self.discriminator):
            network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).requires_grad_(False).eval()
        self._seed = seed
        self.optimisers = {
            name: torch.optim.Adam(network.parameters(), lr=settings.learning_rate, betas=settings.betas, fused=True)
            for name, network in (("generator", self.generator), ("discriminator", self.discriminator))
        }

    def step(self, real: Tensor, bits: Tensor, labels: Tensor | None = None) -> dict[str, float]:
        """One update of both networks on real images (n, 1, 28, 28) in [-1, 1] and bits (n, n_bits) from the prior.

        `labels`: of the real images, needed for `classification` and if `conditional`; then the generated ones are to
        show the same classes. With `reconstruction`, the first half of the bits gives way to those read from the first
        half of the images.
        """
        settings = self.settings
        if labels is None and (settings.conditional or settings.classification):
            raise ConfigError("gan.conditional and gan.classification need the class of every image: give labels")
        for optimiser in self.optimisers.values():
            optimiser.param_groups[0]["lr"] = self.learning_rate
        real = self._laid_out(real)
        labels = None if labels is None else labels.to(self.device)
        rng = self.share.random(np.random.default_rng([self._seed, self.steps, *b"noise"]))
        z = self._encode(bits, labels, rng)
        discrete = not bits.is_floating_point()
        again = len(real) // 2 if discrete and settings.reconstruction else 0
        self.generator.train()
        self.discriminator.train()
        with self._autocast():
            features = self.discriminator.trunk(real)
            latents = self.discriminator.latents(features)
            real_logits = self.discriminator.logits(features, latents, labels)
            if again:
                z = torch.cat([self._codes(features, again, labels, rng), z[again:]])
            fake = self.generator(z)
        target = z.detach()[:, : self.n_bits] if discrete else None

        losses: dict[str, Tensor] = {}
        with self._autocast():
            fake_logits, read = self.discriminator(fake.detach(), labels, remember=False)
        losses["loss_d"] = functional.softplus(-real_logits).mean() + functional.softplus(fake_logits).mean()
        losses["decorrelation"] = mean_squared_correlation(latents, self.share)
        loss = losses["loss_d"] + settings.decorrelation * losses["decorrelation"]
        if target is not None:
            losses["association"] = functional.mse_loss(read, target)
            loss = loss + settings.association * losses["association"]
        if self.discriminator.classify is not None and labels is not None:
            with self._autocast():
                classes = self.discriminator.classify(features)
            losses["classification"] = functional.cross_entropy(classes.float(), labels)
            loss = loss + settings.classification * losses["classification"]
        if settings.r1_gamma and self.steps % settings.r1_every == 0:
            losses["r1"] = squared_gradient(self.discriminator, real, labels)
            loss = loss + settings.r1_gamma / 2 * settings.r1_every * losses["r1"]
        self._update("discriminator", loss)

        self.discriminator.requires_grad_(False)
        with self._autocast():
            features = self.discriminator.trunk(fake)
            read = self.discriminator.latents(features, remember=False)
            fake_logits = self.discriminator.logits(features, read, labels)
            classes = self.discriminator.classify(features) if self.discriminator.classify is not None else None
        self.discriminator.requires_grad_(True)
        losses["loss_g"] = functional.softplus(-fake_logits).mean()
        loss = losses["loss_g"]
        if classes is not None:
            losses["information"] = class_information(classes, self.share)
            loss = loss - settings.certainty * losses["information"]
        if target is not None:
            loss = loss + settings.association * functional.mse_loss(read, target)
        if again:
            losses["reconstruction"] = functional.mse_loss(fake[:again].float(), real[:again])
            left = max(0.0, 1.0 - self.steps / self.total_steps)
            loss = loss + settings.reconstruction * left * losses["reconstruction"]
        self.optimisers["discriminator"].zero_grad()
        self._update("generator", loss)
        if again:  # of the discriminator, only the units that read have a gradient now
            self._descend("discriminator")

        self.steps += 1
        self._average()
        means = self.share.mean(torch.stack([value.detach() for value in losses.values()])).tolist()
        return dict(zip(losses, means, strict=True))

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return self.settings.learning_rate * max(0.0, min(1.0, 2.0 * (1.0 - self.steps / self.total_steps)))

    @torch.inference_mode()
    def latents(self, images: Tensor, *, batch_size: int = 1000) -> NDArray[np.float32]:
        """Float32 (n, n_latent) in (-1, 1): the units that the discriminator reads from images (n, 1, 28, 28)."""
        self.discriminator.eval()
        rows = []
        for batch in torch.split(images, batch_size):
            with self._autocast():
                rows.append(self.discriminator(self._laid_out(batch))[1].cpu())
        out: NDArray[np.float32] = torch.cat(rows).numpy()
        return out

    def latent_bits(self, images: Tensor, rng: np.random.Generator | None = None) -> BitArray:
        """Uint8 (n, n_latent): the latents of images as bits, by `settings.binarise`; a Bernoulli draw needs `rng`."""
        return binarise(self.latents(images), self.settings.binarise, rng)

    @torch.inference_mode()
    def generate(
        self,
        bits: NDArray[Any],
        labels: LabelArray | None = None,
        *,
        rng: np.random.Generator | None = None,
        batch_size: int = 256,
    ) -> ImageArray:
        """Uint8 images (n, 28, 28) that the averaged generator draws from bits (n, n_bits), of `labels` if conditional.

        `rng` draws the noise inputs where the settings have some; by default they are zero.

        Raises:
            ConfigError: labels are missing, or given to a generator that is not conditional.
        """
        if (labels is not None) != self.settings.conditional:
            remedy = "give the class of every image" if self.settings.conditional else "no class can be asked for"
            raise ConfigError(f"gan.conditional is {str(self.settings.conditional).lower()}: {remedy}")
        rows = []
        for start in range(0, len(bits), batch_size):
            part = slice(start, start + batch_size)
            of_class = None if labels is None else torch.tensor(labels[part])
            with self._autocast():
                z = self._encode(torch.tensor(bits[part]), of_class, None if rng is None else ALONE.random(rng))
                rows.append(to_images(self.average(z)))
        return np.concatenate(rows) if rows else np.empty((0, 28, 28), np.uint8)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that `load_state` needs: tensors (for safetensors) and plain values (for JSON)."""
        tensors: dict[str, Tensor] = {}
        for name, network in self._networks().items():
            tensors |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
        for name, optimiser in self.optimisers.items():
            for index, moments in optimiser.state_dict()["state"].items():
                tensors |= {f"adam.{name}.{index}.{key}": value for key, value in moments.items()}
        copies = {key: value.detach().to("cpu", copy=True).contiguous() for key, value in tensors.items()}
        return copies, {"n_bits": self.n_bits, "steps": self.steps}

    def load_state(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Go on exactly where `state` was taken, on the same machine bit for bit; `total_steps` stays this game's.

        Raises:
            DataError: the state belongs to networks of another shape, or is incomplete.
        """
        if values.get("n_bits") != self.n_bits:
            found = f"the checkpoint is of {values.get('n_bits')} bits, this game of {self.n_bits}"
            raise DataError(f"{found}: were prior.n_qubits or prior.bases changed?")
        try:
            for name, network in self._networks().items():
                network.load_state_dict(_below(tensors, f"{name}."))
            for name, optimiser in self.optimisers.items():
                self._load_moments(optimiser, _below(tensors, f"adam.{name}."))
            self.steps = int(values["steps"])
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise DataError(f"the checkpoint does not fit these networks; was 'gan' changed? {error}") from error

    def _networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "average": self.average, "discriminator": self.discriminator}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def _laid_out(self, images: Tensor) -> Tensor:
        return images.to(self.device).contiguous(memory_format=torch.channels_last)

    def _encode(self, bits: Tensor, labels: Tensor | None, rng: Rows | None) -> Tensor:
        bits = bits.to(self.device)
        parts = [bits.float() if bits.is_floating_point() else bits.float() * 2.0 - 1.0]
        if self.settings.n_noise:
            shape = (len(bits), self.settings.n_noise)
            drawn = torch.zeros(shape) if rng is None else torch.tensor(rng.standard_normal(shape))
            parts.append(drawn.to(self.device))
        if self.settings.conditional:
            assert labels is not None
            parts.append(functional.one_hot(labels.to(self.device), N_CLASSES).float())
        return torch.cat(parts, 1)

    def _update(self, name: str, loss: Tensor) -> None:
        self.optimisers[name].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._descend(name)

    def _descend(self, name: str) -> None:
        self.share.average_gradients(self.optimisers[name].param_groups[0]["params"])
        self.optimisers[name].step()

    def _codes(self, features: Tensor, n: int, labels: Tensor | None, rng: Rows) -> Tensor:
        """The generator's input for the bits of the first `n` images, whose gradient is that of the latents.

        It reaches the units that read the features, not the trunk: features are for telling real from generated.
        """
        latents = self.discriminator.latents(features.detach(), remember=False)[:n]
        bits = torch.from_numpy(binarise(latents.detach().cpu().numpy(), self.settings.binarise, rng))
        z = self._encode(bits, None if labels is None else labels[:n], rng)
        return z + functional.pad(latents - latents.detach(), (0, z.shape[1] - self.n_bits))

    @torch.no_grad()
    def _average(self) -> None:
        # A young average would remember the untrained generator for 1/(1 - ema) steps.
        weight = 1.0 - min(self.settings.ema, self.steps / (self.steps + 10.0))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), weight)
        for mean, value in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, weight)
            else:
                mean.copy_(value)

    @staticmethod
    def _load_moments(optimiser: torch.optim.Adam, tensors: dict[str, Tensor]) -> None:
        for index, parameter in enumerate(optimiser.param_groups[0]["params"]):
            moments = _below(tensors, f"{index}.")
            if not moments:
                optimiser.state.pop(parameter, None)
                continue
            # The memory format of the parameter, for the same kernels and so the same bits after a resume.
            optimiser.state[parameter] = {
                key: value.to(parameter.device, copy=True)
                if key == "step"
                else torch.empty_like(parameter).copy_(value).detach()
                for key, value in moments.items()
            }


def multiplies_bf16(device: torch.device) -> bool:
    """Whether a processor, or a GPU, has bfloat16 arithmetic."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    facts = torch.cpu.get_capabilities()
    return any(facts.get(name, False) for name in ("amx_bf16", "avx512_bf16", "sve_bf16"))


def binarise(latents: NDArray[np.floating], how: Binarise, rng: np.random.Generator | Rows | None = None) -> BitArray:
    """Uint8 bits of latents in (-1, 1): 1 above zero ("threshold"), or 1 with probability (1 + u) / 2 ("bernoulli")."""
    if how == "threshold":
        return (latents > 0).astype(np.uint8)
    if rng is None:
        raise ConfigError("gan.binarise 'bernoulli' draws at random: pass a random generator")
    return (rng.random(latents.shape) < (1 + latents) / 2).astype(np.uint8)


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
