"""Conditional digits from the command line: trained, drawn by class, scored; and what asks for a class in vain."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from qcaan.cli import app
from qcaan.config import Config
from qcaan.learn import data
from qcaan.learn.classifier import load_classifier
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.train import train
from qcaan.learn.trained import Trained

EXAMPLE = Path(__file__).parents[2] / "examples" / "conditional.yaml"
SMALL = [
    *("prior.n_qubits=3", "prior.n_layers=2", "prior.shots=200", "prior.updates=1", "prior.target_images=32"),
    *("gan.channels=2", "train.batch_size=16", "train.scores=false", "train.evaluation_images=300"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = Config.load(EXAMPLE, [*SMALL, "train.max_steps=6"])
    assert config.gan.conditional
    return train(config, tmp_path_factory.mktemp("conditional") / "run")


def call(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(map(str, words)))
    return result.exit_code, result.output


def test_a_class_can_be_drawn_alone(run: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{label}.npy" for label in (2, 7)]
    for label, file in zip((2, 7), files, strict=True):
        assert call("sample", run, "-n", 12, "--label", label, "--out", file)[0] == 0
    two, seven = map(np.load, files)
    assert two.shape == (12, 28, 28)
    assert not np.array_equal(two, seven)
    trained = Trained.load(RunDirectory.open(run))
    everything = trained.draw(40, 0)
    only = np.stack([trained.draw(40, 0, label)[label] for label in range(10)])
    assert np.array_equal(everything[:10], only)  # the classes in turn, on the same bits
    assert call("sample", run, "-n", 12, "--label", 2)[0] == 0
    with Image.open(run / "samples" / "sample-12-seed-0-label-2.png") as picture:
        assert picture.size[0] > 28


def test_its_images_are_scored_by_enumeration(run: Path) -> None:
    """Three bits and ten classes are 80 images, beside 64 real ones: the next lower power of two."""
    opened = RunDirectory.open(run)
    figures = Trained.load(opened).evaluate(data.load(), load_classifier(), opened.config)
    assert figures.exact
    assert figures.n_images == 80
    assert figures.real_same_support is not None
    assert figures.real_same_support["n_images"] == 64
    assert figures.label_accuracy is not None
    assert 0 <= figures.label_accuracy <= 1


def test_a_class_asked_of_a_generator_that_knows_none(tmp_path: Path) -> None:
    plain = train(Config.load(EXAMPLE, [*SMALL, "train.max_steps=1", "gan.conditional=false"]), tmp_path / "run")
    code, output = call("sample", plain, "--label", 3)
    assert code == 2
    assert "gan.conditional is false: no class can be asked for" in " ".join(output.split())
