"""Pictures: digits as one PNG grid, and images read back from files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from qcaan.errors import DataError
from qcaan.learn.data import SIDE, ImageArray

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".pgm")


def grid(images: ImageArray, *, columns: int = 16, scale: int = 2, gap: int = 2) -> NDArray[np.uint8]:
    """One grey picture, uint8 (height, width), of images (n, 28, 28), row by row, `gap` white pixels between them.

    Every pixel becomes `scale` x `scale` equal ones, so the picture stays crisp; places left over are white.
    """
    if not len(images) or columns < 1 or scale < 1 or gap < 0:
        raise DataError(
            f"a grid needs images, columns and scale of at least 1 and a gap of at least 0, not {len(images)} images, "
            f"columns={columns}, scale={scale}, gap={gap}"
        )
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height, width = images.shape[1] * scale, images.shape[2] * scale
    tiles = np.full((rows * columns, height + gap, width + gap), 255, np.uint8)
    tiles[: len(images), :height, :width] = images.repeat(scale, axis=1).repeat(scale, axis=2)
    canvas = tiles.reshape(rows, columns, height + gap, width + gap).swapaxes(1, 2)
    return np.pad(canvas.reshape(rows * (height + gap), -1), ((gap, 0), (gap, 0)), constant_values=255)


def save_grid(path: Path, images: ImageArray, *, columns: int = 16, scale: int = 2, gap: int = 2) -> None:
    """Write `grid` as a PNG; the same images give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grid(images, columns=columns, scale=scale, gap=gap)).save(path, format="PNG", optimize=False)


def read_images(path: Path) -> ImageArray:
    """Uint8 (n, 28, 28) from a `.npy`, or from a folder of 28 x 28 picture files in the order of their names.

    Raises:
        DataError: nothing is there, a file cannot be read, or it holds something else.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not files:
            raise DataError(f"{path} holds no pictures: put 28 x 28 files there ({', '.join(SUFFIXES)})")
        return np.stack([_read_picture(file) for file in files])
    try:
        images = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is neither a folder of pictures nor a .npy file that can be read: {error}") from error
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE):
        raise DataError(f"{path} holds {_describe(images)}: uint8 (n, {SIDE}, {SIDE}) is needed")
    return images


def _read_picture(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("L"))
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{path} cannot be read as a picture: {error}") from error
    if pixels.shape != (SIDE, SIDE):
        raise DataError(f"{path} is {pixels.shape[1]} x {pixels.shape[0]} pixels: {SIDE} x {SIDE} are needed")
    return pixels


def _describe(value: object) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
