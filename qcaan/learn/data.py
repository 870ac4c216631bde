"""Data sets of 28 x 28 grey images: MNIST from the package, or any folder of IDX files.

Why the checksums cover the unzipped bytes: a file zipped again by another tool is the same data, and a damaged one is
not.
"""

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from qcaan.errors import DataError

ImageArray = NDArray[np.uint8]
LabelArray = NDArray[np.int64]

SIDE = 28
N_CLASSES = 10
PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
UNSIGNED_BYTE = 8
_REMEDY = "a data folder holds train-images-idx3-ubyte, train-labels-idx1-ubyte and the two t10k files, gzipped or not"


@dataclass(frozen=True, eq=False)
class Images:
    """A data set.

    `train` and `test` are uint8 (n, 28, 28), 0 is background, 255 full ink; their labels int64 (n,), 0 to 9; none of
    them can be written to. `checksum` is a SHA-256 over the four unzipped files: it names the data in reports.
    """

    name: str
    checksum: str
    train: ImageArray
    train_labels: LabelArray
    test: ImageArray
    test_labels: LabelArray


def load(name: str = "mnist") -> Images:
    """The data set `name`: "mnist" (in the package, read and verified once a process), or a folder of IDX files.

    A folder holds the four files under MNIST's names (`train-images-idx3-ubyte` or `train-images.idx3-ubyte`, ...),
    with or without `.gz`; a `SHA256SUMS` of the unzipped files beside them is verified where it exists.

    Raises:
        DataError: a file is missing, damaged, truncated, not IDX, or not 28 x 28 images with labels 0 to 9.
    """
    if name != "mnist":
        return _load_folder(Path(name).expanduser(), name)
    return _mnist()


def to_tensor(images: ImageArray) -> torch.Tensor:
    """Float32 (n, 1, 28, 28) in [-1, 1] of uint8 (n, 28, 28): the scale that the networks read and write."""
    return torch.tensor(np.ascontiguousarray(images), dtype=torch.float32).unsqueeze(1).div_(127.5).sub_(1.0)


def to_images(tensor: torch.Tensor) -> ImageArray:
    """Uint8 (n, 28, 28), rounded: the inverse of `to_tensor`."""
    pixels = tensor.detach().squeeze(1).float().add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    out: ImageArray = pixels.contiguous().cpu().numpy()
    return out


@cache
def _mnist() -> Images:
    with as_file(files("qcaan") / "data" / "mnist") as folder:
        return _load_folder(folder, "mnist")


def _load_folder(folder: Path, name: str) -> Images:
    if not folder.is_dir():
        raise DataError(f"no data set '{name}': use 'mnist' or the path of an existing folder; {_REMEDY}")
    paths = [_find(folder, part) for part in PARTS]
    contents = [_read(path) for path in paths]
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    _verify(folder, paths, digests)
    train, train_labels, test, test_labels = (
        _parse(path, content, 3 if "images" in part else 1)
        for part, path, content in zip(PARTS, paths, contents, strict=True)
    )
    for images, labels, where in ((train, train_labels, paths[1]), (test, test_labels, paths[3])):
        if len(images) != len(labels):
            raise DataError(
                f"{where}: {len(labels)} labels for {len(images)} images; take both files from one data set"
            )
        if not len(images):
            raise DataError(f"{where}: the data set is empty; {_REMEDY}")
        if labels.max() >= N_CLASSES:
            raise DataError(f"{where}: label {labels.max()} found, labels must be 0 to {N_CLASSES - 1}")
    listing = "".join(f"{digest}  {part}\n" for digest, part in zip(digests, PARTS, strict=True))
    checksum = hashlib.sha256(listing.encode()).hexdigest()
    wide, wide_test = train_labels.astype(np.int64), test_labels.astype(np.int64)
    wide.setflags(write=False)
    wide_test.setflags(write=False)
    return Images(name, checksum, train, wide, test, wide_test)


def _find(folder: Path, part: str) -> Path:
    names = [stem + suffix for stem in (part, part.replace("-idx", ".idx")) for suffix in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{folder} holds no {part} (nor {part}.gz): {_REMEDY}")


def _read(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): replace it with an intact copy") from error


def _verify(folder: Path, paths: list[Path], digests: list[str]) -> None:
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        return
    rows = [line.split() for line in sums.read_text().splitlines() if line.strip()]
    expected = {row[1]: row[0] for row in rows if len(row) == 2}
    for path, digest in zip(paths, digests, strict=True):
        stem = path.name.removesuffix(".gz")
        if stem not in expected:
            raise DataError(f"{sums} does not list {stem}: add its SHA-256, or remove {sums.name}")
        if expected[stem] != digest:
            raise DataError(
                f"{path} is damaged: the SHA-256 of its unzipped bytes is {digest}, {sums.name} says {expected[stem]}; "
                "replace it with an intact copy (for the data in the package: reinstall qcaan)"
            )


def _parse(path: Path, content: bytes, n_dimensions: int) -> ImageArray:
    """An IDX file's array: two zero bytes, the type, the number of dimensions, their sizes (big-endian), data."""
    start = 4 + 4 * n_dimensions
    if len(content) < start or content[:4] != bytes([0, 0, UNSIGNED_BYTE, n_dimensions]):
        raise DataError(
            f"{path} is not an IDX file of {n_dimensions}-dimensional unsigned bytes: it starts with "
            f"{content[:4].hex() or 'nothing'}, not {bytes([0, 0, UNSIGNED_BYTE, n_dimensions]).hex()}"
        )
    shape = tuple(int.from_bytes(content[4 + 4 * k : 8 + 4 * k], "big") for k in range(n_dimensions))
    if n_dimensions == 3 and shape[1:] != (SIDE, SIDE):
        raise DataError(f"{path} holds images of {shape[1]} x {shape[2]}: they must be {SIDE} x {SIDE}")
    size = int(np.prod(shape, dtype=np.int64))
    if len(content) - start != size:
        raise DataError(f"{path} holds {len(content) - start} bytes of data where its header says {size}: replace it")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
