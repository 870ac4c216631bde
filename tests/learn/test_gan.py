"""The game: one step, its switches, and resuming bit for bit."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from qcaan.config import Config, GanConfig
from qcaan.errors import ConfigError, DataError
from qcaan.learn.gan import Game, binarise, multiplies_bf16

TINY = GanConfig(channels=2, precision="float32")
N_BITS = 5


def batch(seed: int, n: int = 8) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(n, 1, 28, 28, generator=rng) * 2 - 1, torch.randint(0, 2, (n, N_BITS), generator=rng)


def play(game: Game, steps: range) -> list[dict[str, float]]:
    return [game.step(*batch(step), torch.arange(8) % 10) for step in steps]


def same(a: Game, b: Game) -> bool:
    left, right = a.state()[0], b.state()[0]
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def make(**changes) -> Game:
    return Game(N_BITS, TINY.model_copy(update=changes), seed=1, total_steps=20)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_noise": 3, "feeds_logit": True},
        {"batchnorm": False, "r1_gamma": 0.0, "precision": "bf16"},
        {"decorrelation": 0.0, "association": 0.0, "r1_every": 1},
        {"reconstruction": 5.0, "n_noise": 2, "binarise": "bernoulli"},
        {"reconstruction": 5.0, "batchnorm": False, "feeds_logit": True, "precision": "bf16"},
        {"conditional": True, "n_noise": 2, "reconstruction": 5.0, "r1_every": 1},
        {"classification": 0.5, "certainty": 0.5, "feeds_logit": True},
    ],
)
def test_resume_is_bit_exact(changes) -> None:
    whole, half = make(**changes), make(**changes)
    expected = play(whole, range(12))
    play(half, range(5))
    tensors, values = half.state()
    resumed = make(**changes)
    play(resumed, range(7, 10))  # nothing of what it was may remain
    resumed.load_state(load(save(tensors)), values)
    assert play(resumed, range(5, 12)) == expected[5:]
    assert same(whole, resumed)


def test_state_of_a_new_game_restores() -> None:
    fresh, other = make(), make()
    play(other, range(3))
    other.load_state(*fresh.state())
    assert same(fresh, other)
    assert play(fresh, range(3)) == play(other, range(3))


def test_state_is_a_copy() -> None:
    game = make()
    tensors, _ = game.state()
    before = {key: value.clone() for key, value in tensors.items()}
    play(game, range(2))
    assert all(torch.equal(tensors[key], before[key]) for key in before)


def test_seeds() -> None:
    def run(seed: int) -> Game:
        game = Game(N_BITS, TINY.model_copy(update={"n_noise": 2}), seed=seed, total_steps=20)
        play(game, range(3))
        return game

    assert same(run(1), run(1))
    assert not same(run(1), run(2))


def test_global_random_state_is_untouched() -> None:
    before = torch.get_rng_state()
    play(make(n_noise=2), range(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_foreign_checkpoints_are_refused() -> None:
    tensors, values = make().state()
    with pytest.raises(DataError, match="5 bits, this game of 6"):
        Game(6, TINY, seed=1, total_steps=20).load_state(tensors, values)
    with pytest.raises(DataError, match="does not fit these networks"):
        make(channels=3).load_state(tensors, values)
    del tensors["generator.encode.weight"]
    with pytest.raises(DataError, match="does not fit these networks"):
        make().load_state(tensors, values)


def test_learning_rate_schedule() -> None:
    game = make()
    rates = []
    for step in range(20):
        rates.append(game.learning_rate)
        game.step(*batch(step))
    assert rates[:11] == [TINY.learning_rate] * 11
    assert np.allclose(np.diff(rates[10:]), -TINY.learning_rate / 10)
    assert game.learning_rate == 0


def test_a_longer_run_goes_on_with_a_longer_schedule() -> None:
    short = make()
    play(short, range(20))
    longer = Game(N_BITS, TINY, seed=1, total_steps=80)
    longer.load_state(*short.state())
    assert (short.learning_rate, longer.learning_rate) == (0, TINY.learning_rate)


def test_the_optimisers_use_the_schedule() -> None:
    game = make()
    game.steps = 20
    before = game.state()[0]
    game.step(*batch(0))
    after = game.state()[0]
    assert all(torch.equal(before[key], after[key]) for key in before if key.startswith("generator.encode"))


def test_first_losses_of_untrained_networks() -> None:
    """Logits near zero: both losses start near those of a coin, 2 log 2 and log 2."""
    losses = make().step(*batch(0, 64))
    assert losses["loss_d"] == pytest.approx(2 * np.log(2), abs=0.2)
    assert losses["loss_g"] == pytest.approx(np.log(2), abs=0.2)


def test_losses_are_those_of_the_non_saturating_game() -> None:
    game = make(decorrelation=0.0, association=0.0, r1_gamma=0.0)
    real, bits = batch(0)
    with torch.no_grad():
        fake = game.generator(bits * 2.0 - 1.0)
        real_p = game.discriminator(real)[0].double().sigmoid()
        fake_p = game.discriminator(fake)[0].double().sigmoid()
    expected = -(real_p.log().mean() + (1 - fake_p).log().mean())
    assert game.step(real, bits)["loss_d"] == pytest.approx(float(expected), rel=1e-5)


def test_networks_learn_their_own_losses() -> None:
    """One step lowers the discriminator's loss on its batch, and the generator's against that discriminator."""
    game = Game(N_BITS, TINY.model_copy(update={"channels": 8, "learning_rate": 1e-4}), seed=0, total_steps=100)
    real, bits = batch(0, 32)
    first = game.step(real, bits)
    assert game.step(real, bits)["loss_d"] < first["loss_d"]


def test_average_follows_the_generator() -> None:
    game = make(ema=0.9)
    expected = game.generator.encode.weight.detach().double().clone()
    for step in range(15):
        game.step(*batch(step))
        decay = min(0.9, (step + 1) / (step + 11))
        expected = decay * expected + (1 - decay) * game.generator.encode.weight.detach().double()
    assert torch.allclose(game.average.encode.weight.double(), expected, atol=1e-6)


def test_generate_uses_the_average_and_is_deterministic() -> None:
    game = make()
    play(game, range(4))
    bits = np.random.default_rng(0).integers(0, 2, (7, N_BITS), dtype=np.uint8)
    images = game.generate(bits)
    assert (images.shape, images.dtype) == ((7, 28, 28), np.uint8)
    assert np.array_equal(images, game.generate(bits))
    with torch.no_grad():
        game.generator.encode.weight.zero_()
    assert np.array_equal(images, game.generate(bits))
    with torch.no_grad():
        game.average.encode.weight.zero_()
    assert not np.array_equal(images, game.generate(bits))
    assert game.generate(bits[:0]).shape == (0, 28, 28)


def test_batches_do_not_change_the_images() -> None:
    """Within one grey level: sums in another order may round a pixel the other way."""
    game = make()
    play(game, range(4))
    bits = np.random.default_rng(0).integers(0, 2, (7, N_BITS), dtype=np.uint8)
    whole, parts = game.generate(bits).astype(int), game.generate(bits, batch_size=2).astype(int)
    assert np.abs(whole - parts).max() <= 1
    images = batch(3, 9)[0]
    assert np.allclose(game.latents(images), game.latents(images, batch_size=2), atol=1e-5)


def test_every_bit_changes_the_image() -> None:
    game = make(channels=4)
    play(game, range(4))
    flips = np.vstack([np.zeros((1, N_BITS)), np.eye(N_BITS)]).astype(np.uint8)
    assert len(np.unique(game.generate(flips).reshape(N_BITS + 1, -1), axis=0)) == N_BITS + 1


def test_noise_inputs() -> None:
    game = make(n_noise=2)
    play(game, range(4))
    bits = np.zeros((3, N_BITS), np.uint8)
    assert len(np.unique(game.generate(bits), axis=0)) == 1
    drawn = game.generate(bits, rng=np.random.default_rng(0))
    assert len(np.unique(drawn, axis=0)) == 3
    assert np.array_equal(drawn, game.generate(bits, rng=np.random.default_rng(0)))


def test_continuous_values_enter_as_they_are() -> None:
    signs, bits = make(association=0.0), make(association=0.0)
    real, drawn = batch(0)
    assert "association" not in signs.step(real, drawn * 2.0 - 1.0)
    bits.step(real, drawn)
    assert same(signs, bits)


def test_reconstruction_lowers_the_difference_to_the_image_and_teaches_the_reading_units() -> None:
    """Eight images, again and again: with the term their bits come to name them, without it they do not."""
    real, bits = batch(0, 16)
    real[8:] = real[:8]
    ends = []
    for weight in (1e-6, 30.0):
        changes = {"decorrelation": 0.0, "association": 0.0, "r1_gamma": 0.0, "channels": 4, "reconstruction": weight}
        game = Game(N_BITS, TINY.model_copy(update=changes), seed=0, total_steps=1000)
        before = game.discriminator.read.weight.detach().clone()
        ends.append(np.mean([game.step(real, bits)["reconstruction"] for _ in range(80)][-5:]))
        assert not torch.equal(before, game.discriminator.read.weight)
    assert ends[1] < 0.7 * ends[0]


def test_reconstruction_leaves_the_trunk_to_the_game() -> None:
    """Its gradient stops at the features: the trunk's first update is the same with it and without."""
    real, bits = batch(0, 16)
    trunks = []
    for weight in (0.0, 50.0):
        game = make(reconstruction=weight, association=0.0)
        with torch.no_grad():
            read = game.discriminator.train()(real)[1][:8] > 0
        z = torch.cat([read.to(torch.int64), bits[8:]])  # the same for both
        losses = game.step(real, z)
        assert ("reconstruction" in losses) is bool(weight)
        trunks.append(game.state()[0]["discriminator.trunk.1.weight"])
    assert torch.equal(*trunks)


def test_reconstruction_fades_over_the_run_and_needs_bits() -> None:
    real, bits = batch(0)
    late = [make(association=0.0, reconstruction=weight) for weight in (1e-6, 50.0)]
    for game in late:
        game.steps = 20
        game.step(real, bits)
    assert same(*late)
    assert "reconstruction" not in make(association=0.0, reconstruction=5.0).step(real, bits * 2.0 - 1.0)


@pytest.mark.parametrize(("switch", "loss"), [("decorrelation", "decorrelation"), ("association", "association")])
def test_latent_terms_lower_what_they_weigh(switch: str, loss: str) -> None:
    """The same steps with the term alone at work and without: the weighed quantity must come out lower."""
    ends = []
    for weight in (0.0, 5.0):
        changes = {"decorrelation": 0.0, "association": 0.0, "r1_gamma": 0.0} | {switch: weight}
        game = Game(N_BITS, TINY.model_copy(update={"channels": 4, **changes}), seed=0, total_steps=100)
        ends.append(np.mean([game.step(*batch(step % 3, 16))[loss] for step in range(24)][-5:]))
    assert ends[1] < 0.7 * ends[0]


def test_gradient_penalty_acts_on_its_schedule() -> None:
    played = play(make(r1_every=4), range(9))
    assert [step for step, losses in enumerate(played) if "r1" in losses] == [0, 4, 8]
    assert all("r1" not in losses for losses in play(make(r1_gamma=0.0), range(5)))
    weak, strong = (make(r1_gamma=gamma, r1_every=1) for gamma in (1e-9, 1e3))
    assert play(strong, range(10))[-1]["r1"] < 0.5 * play(weak, range(10))[-1]["r1"]


def test_latent_bits() -> None:
    images = batch(0, 40)[0]
    game = make()
    play(game, range(3))
    latents = game.latents(images)
    assert np.array_equal(game.latent_bits(images), latents > 0)
    drawn = make(binarise="bernoulli")
    drawn.load_state(*game.state())
    first = drawn.latent_bits(images, np.random.default_rng(0))
    assert np.array_equal(first, drawn.latent_bits(images, np.random.default_rng(0)))
    with pytest.raises(ConfigError, match="random generator"):
        drawn.latent_bits(images)


def test_bernoulli_bits_have_the_latents_mean() -> None:
    latents = np.linspace(-0.9, 0.9, 5)
    n = 20_000
    bits = binarise(np.tile(latents, (n, 1)), "bernoulli", np.random.default_rng(3))
    # Five means within 5 standard errors: false alarms below 3e-6; the seed is fixed.
    assert np.abs(bits.mean(0) - (1 + latents) / 2).max() < 5 * 0.5 / np.sqrt(n)


def test_precision_choice() -> None:
    assert make(precision="bf16").bf16
    assert not make(precision="float32").bf16
    assert make(precision="auto").bf16 == multiplies_bf16(torch.device("cpu"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 0}, "gan.channels: 0 - input should be greater than or equal to 1"),
        ({"learning_rate": 0.0}, "gan.learning_rate"),
        ({"learning_rate": float("nan")}, "gan.learning_rate"),
        ({"betas": (0.5, 1.0)}, "gan.betas"),
        ({"r1_gamma": -1.0}, "gan.r1_gamma"),
        ({"r1_every": 0}, "gan.r1_every"),
        ({"ema": 1.0}, "gan.ema"),
        ({"precision": "half"}, "gan.precision: 'half' - input should be 'auto', 'bf16' or 'float32'"),
        ({"n_noise": -1}, "gan.n_noise"),
        ({"decorrelation": -0.1}, "gan.decorrelation"),
        ({"association": float("inf")}, "gan.association"),
        ({"reconstruction": -1.0}, "gan.reconstruction"),
        ({"binarise": "round"}, "gan.binarise"),
        ({"certainty": -0.5, "classification": 0.5}, "gan.certainty"),
        ({"certainty": 0.5}, "gan.certainty: 0.5 - .*set gan.classification too"),
    ],
)
def test_settings_are_checked(changes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.load({"gan": changes})


def test_settings_survive_json() -> None:
    assert GanConfig(**json.loads(TINY.model_dump_json())) == TINY


@pytest.mark.parametrize(("bits", "steps"), [(0, 5), (3, 0)])
def test_games_are_checked(bits: int, steps: int) -> None:
    with pytest.raises(ConfigError, match="at least 1 bit and 1 step"):
        Game(bits, TINY, seed=0, total_steps=steps)
