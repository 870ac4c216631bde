"""Processor time until digits are good: ours, a plain DCGAN of our widths, and a GAN in the shape of Paddle's QC-AAN.

All train on one thread and are stopped at fixed numbers of steps to score 5000 images by the packaged classifier, which
is not counted. Figures are those of the first score that reaches IS 8.5, or FID 60. Rows have `work`, `ours`, `peer`,
`theirs`, `unit`, `ratio`; times that were not reached are null, and then `limit` says within how many CPU-seconds.

DCGAN: 4 x 4 strided convolutions of our widths, batch normalisation in both networks, 16 Gaussian inputs, Adam 2e-4
(0.5, 0.999), batches of 64, no gradient penalty, no average. "Paddle": the networks, sizes and rates of
`paddle_quantum.qml.qcaan` in PyTorch: layer normalisation, one 16-unit tanh layer as the only path to the logit, Adam
2e-4 (0.5, 0.9), batches of 128, and a prior of 16 independent bits whose means take one step of Adam (5e-3) towards the
mean of the tanh units every 75 steps. There these means are expectation values of a circuit; here they are free, which
costs nothing. Ours is `examples/digits.yaml`, planned for `--steps`.

    python benchmarks/time_to_quality.py [--json] [--only WORD] [--limit SECONDS] [--steps N] [--seed N]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from qcaan.config import Config
from qcaan.learn.classifier import load_classifier
from qcaan.learn.data import ImageArray, load, to_images, to_tensor
from qcaan.learn.scores import frechet_distance, moments, split_inception_scores
from qcaan.learn.train import prepare, steps
from qcaan.learn.trained import Trained

DIGITS = Path(__file__).parents[1] / "examples" / "digits.yaml"
N_SCORED = 5000
EVERY = 200
GOALS = {"inception_score": (8.5, True), "fid": (60.0, False)}

Draw = Callable[[], ImageArray]


def ours(n_steps: int, seed: int) -> Iterator[Draw]:
    changes = [f"train.max_steps={n_steps}", f"seed={seed}", "train.scores=false", f"train.checkpoint_every={EVERY}"]
    config = Config.load(DIGITS, changes)
    with tempfile.TemporaryDirectory() as folder, prepare(config, Path(folder) / "run") as run:
        for progress in steps(run):
            if progress.phase == "train":
                yield lambda: Trained.load(run).draw(N_SCORED, seed)


def dcgan(_n_steps: int, seed: int, thin: int = 32) -> Iterator[Draw]:
    torch.manual_seed(seed)
    wide = 2 * thin
    generator = nn.Sequential(
        nn.Linear(16, wide * 16),
        nn.Unflatten(1, (wide, 4, 4)),
        *(nn.BatchNorm2d(wide), nn.ReLU(), nn.ConvTranspose2d(wide, wide, 3, 2, 1, bias=False)),
        *(nn.BatchNorm2d(wide), nn.ReLU(), nn.ConvTranspose2d(wide, thin, 4, 2, 1, bias=False)),
        *(nn.BatchNorm2d(thin), nn.ReLU(), nn.ConvTranspose2d(thin, 1, 4, 2, 1), nn.Tanh()),
    )
    discriminator = nn.Sequential(
        *(nn.Conv2d(1, thin, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(thin, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(wide, wide, 3, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)),
        *(nn.Flatten(), nn.Linear(wide * 16, 1)),
    )
    yield from play(generator, discriminator, lambda n: torch.randn(n, 16), 64, (0.5, 0.999), seed)


class Block(nn.Module):
    """A layer normalisation, a 3 x 3 convolution, an activation."""

    def __init__(self, side: int, n_in: int, n_out: int, *, last: bool = False, first: bool = False) -> None:
        super().__init__()
        self.normalise = nn.Identity() if first or last else nn.LayerNorm([n_in, side, side])
        self.draw = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.bend = nn.Tanh() if last else nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        out: Tensor = self.bend(self.draw(self.normalise(x)))
        return out


def paddle(_n_steps: int, seed: int, width: int = 128) -> Iterator[Draw]:
    torch.manual_seed(seed)
    flat, (a, b, c) = width * 9, (width // 2, width // 4, width // 8)
    generator = nn.Sequential(
        *(nn.Linear(16, flat), nn.SiLU(), nn.Linear(flat, flat), nn.Unflatten(1, (width, 3, 3))),
        *(Block(3, width, a), nn.ConvTranspose2d(a, a, 3, 2)),
        *(Block(7, a, b), nn.ConvTranspose2d(b, b, 4, 2, 1)),
        *(Block(14, b, c), nn.ConvTranspose2d(c, c, 4, 2, 1), Block(28, c, 1, last=True)),
    )
    read = nn.Sequential(
        *(Block(28, 1, c, first=True), nn.Conv2d(c, c, 4, 2, 1), Block(14, c, b), nn.Conv2d(b, b, 4, 2, 1)),
        *(Block(7, b, a), nn.Conv2d(a, a, 3, 2), Block(3, a, width), nn.Flatten()),
        *(nn.Linear(flat, flat), nn.SiLU(), nn.Linear(flat, 16), nn.Tanh()),
    )
    discriminator = nn.Sequential(read, nn.Linear(16, width), nn.SiLU(), nn.Linear(width, 1))
    angles = nn.Parameter(0.1 * torch.randn(16))
    optimiser = torch.optim.Adam([angles], lr=5e-3)

    def refit(real: Tensor) -> None:
        with torch.no_grad():
            target = read(real).mean(0)
        optimiser.zero_grad()
        functional.mse_loss(angles.sin(), target).backward()
        optimiser.step()

    def draw(n: int) -> Tensor:
        return torch.bernoulli((1 + angles.detach().sin()).expand(n, 16) / 2) * 2 - 1

    yield from play(generator, discriminator, draw, 128, (0.5, 0.9), seed, refit)


def play(
    generator: nn.Module,
    discriminator: nn.Module,
    latent: Callable[[int], Tensor],
    size: int,
    betas: tuple[float, float],
    seed: int,
    refit: Callable[[Tensor], None] = lambda real: None,
) -> Iterator[Draw]:
    """The textbook game, without end."""
    adam = [torch.optim.Adam(network.parameters(), lr=2e-4, betas=betas) for network in (generator, discriminator)]
    images, rng = load().train, np.random.default_rng(seed)

    @torch.no_grad()
    def draw() -> ImageArray:
        generator.eval()
        drawn = np.concatenate([to_images(generator(latent(250))) for _ in range(N_SCORED // 250)])
        generator.train()
        return drawn

    for step in count():
        real = to_tensor(images[rng.integers(len(images), size=size)])
        if step % 75 == 0:
            refit(real)
        fake = generator(latent(size))
        loss = (
            functional.softplus(-discriminator(real)).mean() + functional.softplus(discriminator(fake.detach())).mean()
        )
        descend(adam[1], loss)
        descend(adam[0], functional.softplus(-discriminator(fake)).mean())
        yield draw


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


@cache
def judge() -> Callable[[ImageArray], dict[str, float]]:
    classifier, images = load_classifier(), load()
    features, _ = classifier.read(images.train[:10_000])
    reference = moments(features, np.full(len(features), 1 / len(features)))

    def scores(drawn: ImageArray) -> dict[str, float]:
        features, classes = classifier.read(drawn)
        found = moments(features, np.full(len(features), 1 / len(features)))
        return {"inception_score": split_inception_scores(classes)[0], "fid": frechet_distance(*found, *reference)}

    return scores


def measure(name: str, limit: float, n_steps: int, seed: int, tell: Callable[[str], None]) -> dict[str, float | None]:
    """CPU-seconds to each goal, None where it was not reached; they include the start."""
    reached: dict[str, float | None] = dict.fromkeys(GOALS)
    judge()
    spent, start = 0.0, time.process_time()
    for step, draw in enumerate(PLAYERS[name](n_steps, seed), 1):
        if step % EVERY != 1 or step == 1:
            continue  # one step behind: ours has written its checkpoint of the step before
        spent += time.process_time() - start
        found = judge()(draw())
        tell(f"{name:8s} {step - 1:5d} steps {spent:6.1f} CPU-s  {json.dumps(found)}")
        for goal, (value, more) in GOALS.items():
            if reached[goal] is None and (found[goal] >= value if more else found[goal] <= value):
                reached[goal] = spent
        if spent > limit or None not in reached.values():
            break
        start = time.process_time()
    return reached


PLAYERS = {"ours": ours, "dcgan": dcgan, "paddle": paddle}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default="", help="players whose name holds this word")
    parser.add_argument("--limit", type=float, default=600.0, help="CPU-seconds of training after which to stop")
    parser.add_argument("--steps", type=int, default=2811, help="for which our run is planned")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    names = [name for name in PLAYERS if given.only in name]
    tell = (lambda line: None) if given.json else (lambda line: print(line, flush=True))
    found = {name: measure(name, given.limit, given.steps, given.seed, tell) for name in names}
    rows = []
    for goal, (value, _) in GOALS.items():
        mine = found.get("ours", {}).get(goal)
        for name in names:
            theirs = found[name][goal]
            row = {"work": f"{goal} {value:g}", "ours": mine, "peer": name, "theirs": theirs, "unit": "CPU-s"}
            ratio = theirs / mine if mine and theirs else None
            rows.append(row | {"ratio": ratio, "limit": given.limit})
    print(json.dumps(rows) if given.json else "\n".join(str(row) for row in rows))


if __name__ == "__main__":
    main()
