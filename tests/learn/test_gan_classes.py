"""The game with labels: classes that the discriminator reads, that the generator shows, and that are asked for."""

import numpy as np
import pytest
import torch
from torch import Tensor

from qcaan.config import GanConfig
from qcaan.errors import ConfigError
from qcaan.learn.gan import Game

N_BITS = 5
LABELS = torch.arange(16) % 2


def make(**changes) -> Game:
    settings = GanConfig(channels=4, precision="float32", learning_rate=5e-3)
    return Game(N_BITS, settings.model_copy(update=changes), seed=1, total_steps=100)


def two_kinds(seed: int) -> tuple[Tensor, Tensor]:
    """Sixteen images, dark (`LABELS` 0) and bright (1) in turn, and bits."""
    rng = torch.Generator().manual_seed(seed)
    noise = torch.rand(16, 1, 28, 28, generator=rng) * 2 - 1
    return 0.2 * noise + LABELS[:, None, None, None] - 0.5, torch.randint(0, 2, (16, N_BITS), generator=rng)


def play(game: Game, steps: int) -> list[dict[str, float]]:
    return [game.step(*two_kinds(step), LABELS) for step in range(steps)]


def test_a_class_can_be_asked_for_and_changes_the_image_and_the_judgement() -> None:
    game = make(conditional=True)
    play(game, 4)
    bits = np.zeros((10, N_BITS), np.uint8)
    drawn = game.generate(bits, np.arange(10))
    assert len(np.unique(drawn, axis=0)) == 10
    assert np.array_equal(drawn[3:4], game.generate(bits[:1], np.array([3])))
    real = two_kinds(0)[0][:10]
    with torch.no_grad():
        (logits, latents), (others, same_latents) = (
            game.discriminator(real, (torch.arange(10) + k) % 10) for k in (0, 1)
        )
    assert (logits != others).all()
    assert torch.equal(latents, same_latents)


def test_the_discriminator_learns_the_classes_of_real_images_alone() -> None:
    """The two kinds are told apart by the weighed loss, and the generator is asked for no class."""
    game = make(classification=1.0)
    losses = [played["classification"] for played in play(game, 20)]
    assert losses[0] == pytest.approx(np.log(10), abs=0.3)
    assert losses[-1] < 0.6 * losses[0]
    assert game.generate(np.zeros((1, N_BITS), np.uint8)).shape == (1, 28, 28)
    with pytest.raises(ConfigError, match="need the class of every image: give labels"):
        game.step(*two_kinds(0))
    assert "classification" not in play(make(), 1)[0]


def test_certainty_makes_generated_images_of_one_class_each_and_of_all_classes() -> None:
    """From the same networks, which tell the two kinds apart, a few steps with the term leave more information."""
    before = make(classification=1.0, association=0.0)
    assert play(before, 8)[0]["information"] == pytest.approx(0, abs=0.05)
    ends = []
    for weight in (0.0, 10.0):
        game = make(classification=1.0, association=0.0, certainty=weight)
        game.load_state(*before.state())
        ends.append(play(game, 5)[-1]["information"])
    assert ends[1] > ends[0] + 0.02
    assert ends[1] < np.log(10)
    assert "information" not in play(make(), 1)[0]


def test_labels_are_only_for_conditional_games_and_needed_there() -> None:
    told, plain, other = make(conditional=True), make(), make()
    with pytest.raises(ConfigError, match="need the class of every image: give labels"):
        told.step(*two_kinds(0))
    with pytest.raises(ConfigError, match="conditional is true: give the class of every image"):
        told.generate(np.zeros((2, N_BITS), np.uint8))
    with pytest.raises(ConfigError, match="conditional is false: no class can be asked for"):
        plain.generate(np.zeros((2, N_BITS), np.uint8), np.zeros(2, np.int64))
    play(plain, 2)
    for step in range(2):
        other.step(*two_kinds(step))
    left, right = plain.state()[0], other.state()[0]
    assert all(torch.equal(left[key], right[key]) for key in left)


def test_a_conditional_discriminator_learns_which_class_an_image_has() -> None:
    """After some steps the right label is the more real one."""
    game = make(conditional=True)
    play(game, 20)
    with torch.no_grad():
        right, wrong = (game.discriminator(two_kinds(99)[0], which)[0] for which in (LABELS, 1 - LABELS))
    assert (right > wrong).float().mean() > 0.9
