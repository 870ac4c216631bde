"""`qcaan classifier`, and `qcaan evaluate` of images of any origin: what is beside them, which classifier scores."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from qcaan.cli import app
from qcaan.learn import metrics
from qcaan.learn.classifier import load_classifier
from qcaan.learn.data import load
from qcaan.learn.pictures import save_grid


def call(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(map(str, words)))
    return result.exit_code, result.output


def scored(*words: object) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["evaluate", *map(str, words), "--json"])
    assert result.exit_code == 0
    figures: dict[str, Any] = json.loads(result.stdout)
    return figures


@pytest.fixture(scope="module", autouse=True)
def few_draws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "N_DRAWS", 200)
        yield


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of IDX files with the first digits of MNIST."""
    folder, digits = tmp_path_factory.mktemp("few"), load()
    for part, images, labels in (
        ("train", digits.train[:120], digits.train_labels[:120]),
        ("t10k", digits.test[:40], digits.test_labels[:40]),
    ):
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
            content = bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()
            (folder / f"{part}-{kind}-ubyte").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def mine(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of those, trained by the command."""
    folder = tmp_path_factory.mktemp("mine") / "classifier"
    code, output = call("classifier", "--out", folder, "--data", few, "--epochs", 1)
    assert code == 0
    assert f"hash {load_classifier(folder).hash}" in " ".join(output.split())
    return folder


@pytest.fixture(scope="module")
def array(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drawn") / "images.npy"
    np.save(path, load().test[:30])
    return path


def test_an_array_is_scored_by_a_classifier_of_mine(few: Path, mine: Path, array: Path) -> None:
    figures = scored(array, "--data", few, "--classifier", mine, "--bits", 5)
    card = json.loads((mine / "classifier.json").read_text())
    assert figures["classifier"]["hash"] == card["hash"] != load_classifier().hash
    assert figures["real"] == card["real"]["sampled"]
    assert figures["real_same_support"] == card["real_by_bits"]["5"]["sampled"]
    assert figures["real_same_support"]["distinct_images"] == 32


def test_a_folder_stands_beside_as_many_real_images_where_its_bits_are_told(array: Path, tmp_path: Path) -> None:
    for k, image in enumerate(np.load(array)[:4]):
        save_grid(tmp_path / f"{k}.png", image[None], scale=1, gap=0)
    shipped = load_classifier()
    for bits in (None, 8, 16):
        told = [] if bits is None else ["--bits", bits]
        figures = scored(tmp_path, *told)
        expected = None if bits is None else shipped.real_by_bits[str(bits)]["sampled"]
        assert figures["real_same_support"] == expected
        assert figures["n_images"] == 4


def test_the_terminal_shows_classes_recall_and_how_it_was_scored(array: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, output = call("evaluate", array, "--bits", 8)
    assert code == 0
    rows = {line.split("  ")[0].strip(): line for line in output.splitlines()}
    real = load_classifier().real["sampled"]
    assert f"{real['class_entropy_bits']:.3f}" in rows["class balance"]
    assert rows["recall"].split()[1:3] == ["-", f"{real['recall']:.3f}"]  # 30 images are too few for it
    assert "as many real images" in output
    text = " ".join(output.split())
    assert "a sample of 30, beside 10,000 real images: of fewer images FID is higher, and coverage lower" in text
    assert "Classes as it reads them: 0: " in text


def test_what_real_images_get_is_measured_anew_for_the_same_weights(few: Path, mine: Path, tmp_path: Path) -> None:
    card = json.loads((mine / "classifier.json").read_text())
    for name in ("real", "real_by_bits"):
        card[name] = {}
    for file in mine.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "classifier.json").write_text(json.dumps(card))
    assert call("classifier", "--weights", tmp_path, "--out", tmp_path, "--data", few)[0] == 0
    before, after = (json.loads((folder / "classifier.json").read_text()) for folder in (mine, tmp_path))
    assert after["hash"] == before["hash"]
    assert after["real"]["exact"]["fid"] == pytest.approx(before["real"]["exact"]["fid"], rel=1e-4)
    assert (tmp_path / "classifier.safetensors").read_bytes() == (mine / "classifier.safetensors").read_bytes()


def test_a_classifier_of_other_data_is_refused(mine: Path, array: Path) -> None:
    code, output = call("evaluate", array, "--classifier", mine)
    assert code == 1
    assert "the data are 'mnist': train a classifier on these data" in " ".join(output.split())


def test_bits_of_a_run_are_the_runs(tmp_path: Path, array: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    code, output = call("evaluate", tmp_path, "--bits", 8)
    assert code == 2
    assert "is a run, which knows its bits; leave the option out" in " ".join(output.split())
    assert call("evaluate", array, "--bits", 17)[0] == 2
