"""What a checkpoint draws from: the distribution, the prior itself, or the shots that were measured."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qcaan.config import Config
from qcaan.learn import checkpoint
from qcaan.learn.classifier import Classifier
from qcaan.learn.data import Images
from qcaan.learn.gan import Game
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.team import Batch, Team
from qcaan.learn.train import train
from qcaan.learn.trained import Trained

SMALL: dict[str, dict[str, Any]] = {
    "prior": {"n_qubits": 4, "n_layers": 3, "shots": 20, "refresh_every": 6, "updates": 3, "target_images": 64},
    "gan": {"channels": 2},
    "train": {"max_steps": 8, "batch_size": 8, "scores": False},
}


def run_of(path: Path, **prior: object) -> Trained:
    train({**SMALL, "prior": {**SMALL["prior"], **prior}}, path)
    return Trained.load(RunDirectory.open(path))


def drawn(trained: Trained, n: int, monkeypatch: pytest.MonkeyPatch, seed: int = 1) -> np.ndarray:
    """The latent vectors of `n` images."""
    seen: list[np.ndarray] = []

    def generate(_: Game, bits: np.ndarray, *__: object, **___: object) -> np.ndarray:
        seen.append(bits)
        return np.zeros((len(bits), 28, 28), np.uint8)

    with monkeypatch.context() as patched:
        patched.setattr(Game, "generate", generate)
        trained.draw(n, seed)
    return seen[0]


@pytest.mark.parametrize("kind", ["gaussian", "uniform"])
def test_images_of_continuous_noise_are_of_fresh_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str):
    trained = run_of(tmp_path / "run", kind=kind)
    latents = drawn(trained, 500, monkeypatch)
    assert latents.dtype == np.float32
    assert len(np.unique(latents, axis=0)) == 500
    assert not np.isin(latents, trained.pool).any()
    assert np.array_equal(latents, drawn(trained, 500, monkeypatch))
    assert not np.array_equal(latents, drawn(trained, 500, monkeypatch, seed=2))


def test_a_classical_prior_that_is_too_wide_to_enumerate_is_drawn_from_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """20 bits: 300 of 20 measured rows would hold at most 20 different ones."""
    trained = run_of(tmp_path / "run", kind="product_bernoulli", n_qubits=20)
    assert trained.distribution is None
    assert len(np.unique(drawn(trained, 300, monkeypatch), axis=0)) > 20
    tensors, _ = checkpoint.latest(tmp_path / "run" / "checkpoints") or pytest.fail("no checkpoint")
    ones = drawn(trained, 20_000, monkeypatch).mean(axis=0)
    np.testing.assert_allclose(ones, tensors["prior.ones"].numpy(), atol=0.03)  # 8 standard errors


def test_what_a_device_measured_is_all_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trained = run_of(tmp_path / "run", kind="born_machine", gradient="spsa")
    assert trained.prior is None
    assert len(drawn(trained, 50, monkeypatch)) == 50
    pool_alone = Trained(trained.game, trained.pool, None)
    latents = drawn(pool_alone, 40, monkeypatch)
    assert sorted(map(tuple, latents[:20])) == sorted(map(tuple, trained.pool))


@pytest.mark.parametrize(("kind", "fresh"), [("gaussian", True), ("bernoulli", False)])
def test_noise_is_new_in_every_step_and_bits_are_those_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, *, fresh: bool
):
    seen = []
    real = Team.step

    def step(team: Team, batch: Batch) -> dict[str, float]:
        seen.append(batch.latent)
        return real(team, batch)

    monkeypatch.setattr(Team, "step", step)
    trained = run_of(tmp_path / "run", kind=kind, n_qubits=12, refresh_every=100)
    rows = np.concatenate(seen)
    assert len(rows) == 64
    assert len(np.unique(rows, axis=0)) == 64 if fresh else len(np.unique(rows, axis=0)) <= 20
    assert (rows[:, None] == trained.pool).all(axis=2).any(axis=1).all() != fresh


def test_conditional_digits_are_enumerated_with_their_classes(tmp_path: Path, mnist: Images, classifier: Classifier):
    """4 bits and 10 classes: 160 images, beside the 128 real ones of 7 bits; and whether they show what was asked."""
    config = Config.load({**SMALL, "gan": {"channels": 2, "conditional": True}})
    trained = Trained.load(RunDirectory.open(train(config, tmp_path / "run")))
    found = trained.evaluate(mnist, classifier, config)
    assert (found.exact, found.n_images) == (True, 160)
    assert found.real_same_support == classifier.real_by_bits["7"]["exact"]
    q = trained.distribution
    right = 0.0
    for label in range(10):
        bits = (np.arange(16)[:, None] >> np.arange(3, -1, -1)) & 1
        _, classes = classifier.read(trained.game.generate(bits, np.full(16, label)))
        right += q @ (classes.argmax(1) == label) / 10
    assert found.label_accuracy == pytest.approx(right)

    smaller = Config.load(config.model_dump(), ["train.enumerated_bits=7", "train.evaluation_images=1000"])
    sampled = trained.evaluate(mnist, classifier, smaller)
    assert (sampled.exact, sampled.n_images) == (False, 1000)
    assert sampled.real_same_support == classifier.real_by_bits["7"]["sampled"]
    assert sampled.label_accuracy == pytest.approx(right, abs=0.1)  # 6 standard errors


def test_digits_of_no_class_have_no_label_accuracy(tmp_path: Path, mnist: Images, classifier: Classifier):
    config = Config.load(SMALL)
    found = Trained.load(RunDirectory.open(train(config, tmp_path / "run"))).evaluate(mnist, classifier, config)
    assert (found.exact, found.n_images, found.label_accuracy) == (True, 16, None)
    assert found.real_same_support == classifier.real_by_bits["4"]["exact"]
