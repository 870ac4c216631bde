"""Data sets: the package's MNIST, folders of IDX files, and every way in which one can be damaged."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qcaan.errors import DataError
from qcaan.learn import data

SIZES = {
    "train-images-idx3-ubyte": 7,
    "train-labels-idx1-ubyte": 7,
    "t10k-images-idx3-ubyte": 5,
    "t10k-labels-idx1-ubyte": 5,
}


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def contents(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        part: rng.integers(0, 256, (n, 28, 28)) if "images" in part else rng.integers(0, 10, n)
        for part, n in SIZES.items()
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part, array in contents().items():
        (tmp_path / part).write_bytes(idx(array))
    return tmp_path


@pytest.fixture(scope="module")
def mnist() -> data.Images:
    return data.load()


def test_mnist_is_whole(mnist: data.Images) -> None:
    assert (mnist.train.shape, mnist.test.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    assert (mnist.train.dtype, mnist.train_labels.dtype) == (np.uint8, np.int64)
    # The published class sizes of MNIST.
    assert np.bincount(mnist.train_labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(mnist.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert mnist.name == "mnist"


def test_labels_belong_to_their_images(mnist: data.Images) -> None:
    """The class means of the training images classify most test images: shuffled labels would give a tenth."""
    means = np.stack([mnist.train[mnist.train_labels == k][:500].mean(0).ravel() for k in range(10)])
    flat = mnist.test[:1000].reshape(1000, -1).astype(np.float64)
    nearest = ((flat[:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == mnist.test_labels[:1000]).mean() > 0.7


def test_folder_plain_and_zipped_and_dotted_names(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    plain = data.load(str(folder))
    other = tmp_path_factory.mktemp("zipped")
    for part in SIZES:
        (other / (part.replace("-idx", ".idx") + ".gz")).write_bytes(gzip.compress((folder / part).read_bytes()))
    zipped = data.load(str(other))
    for field in ("train", "train_labels", "test", "test_labels"):
        assert np.array_equal(getattr(plain, field), getattr(zipped, field))
    assert np.array_equal(plain.train, contents()["train-images-idx3-ubyte"])
    assert np.array_equal(plain.test_labels, contents()["t10k-labels-idx1-ubyte"])
    assert plain.checksum == zipped.checksum
    assert plain.name == str(folder)


def test_checksum_names_the_contents(folder: Path) -> None:
    before = data.load(str(folder)).checksum
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(5)))
    assert data.load(str(folder)).checksum != before


def test_sums_beside_the_files_are_verified(folder: Path) -> None:
    lines = [f"{hashlib.sha256((folder / part).read_bytes()).hexdigest()}  {part}\n" for part in SIZES]
    (folder / "SHA256SUMS").write_text("".join(lines))
    data.load(str(folder))
    damaged = bytearray((folder / "train-images-idx3-ubyte").read_bytes())
    damaged[100] ^= 1
    (folder / "train-images-idx3-ubyte").write_bytes(damaged)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte is damaged.*intact copy"):
        data.load(str(folder))
    (folder / "SHA256SUMS").write_text("".join(lines[1:]))
    with pytest.raises(DataError, match="does not list train-images"):
        data.load(str(folder))


def test_the_package_has_checksums() -> None:
    rows = (Path(data.__file__).parents[1] / "data" / "mnist" / "SHA256SUMS").read_text().split()
    assert rows[1::2] == list(data.PARTS)


@pytest.mark.parametrize("part", SIZES)
def test_missing_file(folder: Path, part: str) -> None:
    (folder / part).unlink()
    with pytest.raises(DataError, match=f"holds no {part}.*t10k"):
        data.load(str(folder))


def test_unknown_name() -> None:
    with pytest.raises(DataError, match="no data set 'mnits': use 'mnist' or the path"):
        data.load("mnits")


def _truncated(content: bytes) -> bytes:
    return content[:-1]


def _longer(content: bytes) -> bytes:
    return content + b"\0"


def _header_only(content: bytes) -> bytes:
    return content[:6]


def _other_magic(content: bytes) -> bytes:
    return b"\x00\x00\x0d" + content[3:]


def _empty(content: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [_truncated, _longer, _header_only, _other_magic, _empty])
@pytest.mark.parametrize("part", SIZES)
def test_damaged_file_is_named(folder: Path, part: str, damage) -> None:
    (folder / part).write_bytes(damage((folder / part).read_bytes()))
    with pytest.raises(DataError, match=part):
        data.load(str(folder))


@pytest.mark.parametrize("cut", [4, 30, -4])
def test_damaged_zip_is_named(folder: Path, cut: int) -> None:
    part = folder / "train-images-idx3-ubyte"
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(part.read_bytes())[:cut])
    part.unlink()
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz cannot be read.*intact copy"):
        data.load(str(folder))


def test_flipped_bit_in_a_zip_is_found(folder: Path) -> None:
    part = folder / "t10k-images-idx3-ubyte"
    zipped = bytearray(gzip.compress(part.read_bytes()))
    zipped[len(zipped) // 2] ^= 4
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(zipped)
    part.unlink()
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte.gz cannot be read"):
        data.load(str(folder))


@pytest.mark.parametrize(
    ("part", "array", "message"),
    [
        ("train-images-idx3-ubyte", np.zeros((7, 32, 32)), "32 x 32.*28 x 28"),
        ("train-labels-idx1-ubyte", np.zeros(6), "6 labels for 7 images"),
        ("t10k-labels-idx1-ubyte", np.full(5, 10), "label 10 found"),
    ],
)
def test_wrong_contents(folder: Path, part: str, array: np.ndarray, message: str) -> None:
    (folder / part).write_bytes(idx(array))
    with pytest.raises(DataError, match=f"{part}.*{message}"):
        data.load(str(folder))


def test_empty_set(folder: Path) -> None:
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((0, 28, 28))))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(0)))
    with pytest.raises(DataError, match="empty"):
        data.load(str(folder))


@given(st.integers(0, 2**32 - 1))
def test_tensors_round_trip(seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (2, 28, 28), dtype=np.uint8)
    tensor = data.to_tensor(images)
    assert (tensor.shape, tensor.dtype) == ((2, 1, 28, 28), torch.float32)
    assert float(tensor.min()) >= -1
    assert float(tensor.max()) <= 1
    assert np.array_equal(data.to_images(tensor), images)


def test_scale_ends() -> None:
    assert data.to_tensor(np.array([[[0, 255]]], np.uint8)).flatten().tolist() == [-1.0, 1.0]
    assert data.to_images(torch.tensor([-1.5, 1.5, 0.0]).reshape(1, 1, 1, 3)).tolist() == [[[0, 255, 128]]]
