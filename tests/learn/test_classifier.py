"""The evaluation classifier: what ships, training, and damaged files."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qcaan.errors import DataError
from qcaan.execution.progress import Work
from qcaan.learn import classifier as module
from qcaan.learn.classifier import Classifier, load_classifier, shift, train_classifier
from qcaan.learn.data import Images, load

SHIPPED = Path(module.__file__).parents[1] / "data" / "classifier"


@pytest.fixture(scope="module")
def mnist() -> Images:
    return load()


@pytest.fixture(scope="module")
def shipped() -> Classifier:
    return load_classifier()


def part(mnist: Images, n: int) -> Images:
    return dataclasses.replace(
        mnist,
        train=mnist.train[:n],
        train_labels=mnist.train_labels[:n],
        test=mnist.test[:500],
        test_labels=mnist.test_labels[:500],
    )


def test_shipped_accuracy_is_true(mnist: Images, shipped: Classifier) -> None:
    _, classes = shipped.read(mnist.test)
    assert (classes.argmax(1) == mnist.test_labels).mean() == pytest.approx(shipped.test_accuracy, abs=2e-4)
    assert shipped.test_accuracy > 0.99


def test_shipped_card(mnist: Images, shipped: Classifier) -> None:
    card = json.loads((SHIPPED / "classifier.json").read_text())
    assert card["hash"] == shipped.hash
    assert shipped.data_checksum == mnist.checksum
    assert (shipped.data_name, shipped.real["sampled"]["n_images"]) == ("mnist", 10_000)
    assert 9.7 < shipped.real["sampled"]["inception_score"] < 10
    assert 1 < shipped.real["sampled"]["fid"] < 6


def test_read_shapes(mnist: Images, shipped: Classifier) -> None:
    features, classes = shipped.read(mnist.test[:7], batch_size=3)
    assert (features.shape, features.dtype) == ((7, 500), np.float32)
    assert (classes.shape, classes.dtype) == ((7, 10), np.float64)
    assert np.allclose(classes.sum(1), 1)
    assert (features >= 0).all()
    assert np.allclose(features, shipped.read(mnist.test[:7])[0], atol=1e-4)


def test_hash_is_of_the_weights(shipped: Classifier) -> None:
    digest = hashlib.sha256()
    for name, value in sorted(shipped.network.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)}\n".encode() + value.numpy().tobytes())
    assert shipped.hash == digest.hexdigest()


def test_training_learns_and_repeats(mnist: Images, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    seen: list[Work] = []
    trained = train_classifier(part(mnist, 1000), seed=3, epochs=2, report=seen.append)
    assert torch.equal(torch.get_rng_state(), before)
    assert [(news.done, news.total) for news in seen] == [(step, 14) for step in range(15)]
    assert seen[-1].values == {"accuracy": trained.test_accuracy}
    assert trained.test_accuracy > 0.6
    assert trained.settings == {
        "seed": 3,
        "epochs": 2,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    trained.save(tmp_path / "new")
    loaded = load_classifier(tmp_path / "new", measured=False)
    assert loaded.hash == trained.hash
    assert (loaded.test_accuracy, loaded.data_checksum) == (trained.test_accuracy, mnist.checksum)
    assert np.array_equal(loaded.read(mnist.test[:5])[1], trained.read(mnist.test[:5])[1])


def test_seed_decides(mnist: Images) -> None:
    hashes = [train_classifier(part(mnist, 300), seed=seed, epochs=1).hash for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_fewer_images_than_a_batch(mnist: Images) -> None:
    assert train_classifier(part(mnist, 20), epochs=1).test_accuracy > 0


@given(st.integers(0, 2**32 - 1))
def test_shift_moves_by_at_most_two(seed: int) -> None:
    dot = np.zeros((8, 28, 28), np.uint8)
    dot[:, 10, 20] = 9
    moved = shift(dot, np.random.default_rng(seed))
    assert moved.sum() == dot.sum()
    places = np.argwhere(moved)[:, 1:] - (10, 20)
    assert np.abs(places).max() <= 2


def test_shift_reaches_every_offset_and_drops_what_leaves() -> None:
    dot = np.zeros((3000, 28, 28), np.uint8)
    dot[:, 10, 20] = 1
    places = np.argwhere(shift(dot, np.random.default_rng(0)))[:, 1:] - (10, 20)
    assert len(np.unique(places, axis=0)) == 25
    corner = np.zeros((50, 28, 28), np.uint8)
    corner[:, 0, 0] = 1
    assert 0 < shift(corner, np.random.default_rng(0)).sum() < 50


def test_missing_classifier(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no classifier can be read from {tmp_path}.*train one"):
        load_classifier(tmp_path)


@pytest.mark.parametrize("name", ["classifier.safetensors", "classifier.json"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    for file in SHIPPED.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-40])
    with pytest.raises(DataError, match="no classifier can be read"):
        load_classifier(tmp_path)


def test_a_card_without_real_figures_names_the_command(tmp_path: Path) -> None:
    """One that was trained and not measured, and one whose figures are in a single form."""
    shutil.copy(SHIPPED / "classifier.safetensors", tmp_path)
    card = json.loads((SHIPPED / "classifier.json").read_text())
    for left in ({}, {"real": card["real"]["sampled"]}, {"real": {"sampled": {}}, "real_by_bits": {}}):
        lacking = {name: value for name, value in card.items() if not name.startswith("real")} | left
        (tmp_path / "classifier.json").write_text(json.dumps(lacking))
        command = f"qcaan classifier --weights {tmp_path} --out {tmp_path} --data mnist"
        with pytest.raises(DataError, match=f"lacks what real images get: measure it with '{command}'"):
            load_classifier(tmp_path)
        assert load_classifier(tmp_path, measured=False).hash == card["hash"]


def test_changed_weights_are_found(tmp_path: Path) -> None:
    for file in SHIPPED.iterdir():
        shutil.copy(file, tmp_path)
    weights = bytearray((tmp_path / "classifier.safetensors").read_bytes())
    weights[-3] ^= 1
    (tmp_path / "classifier.safetensors").write_bytes(weights)
    with pytest.raises(DataError, match=r"classifier.safetensors is damaged"):
        load_classifier(tmp_path)
