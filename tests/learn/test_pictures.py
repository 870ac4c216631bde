"""Grids of digits, and images read back from files."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qcaan.errors import DataError
from qcaan.learn.pictures import grid, read_images, save_grid


def images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (n, 28, 28), dtype=np.uint8)


@given(n=st.integers(1, 9), columns=st.integers(1, 12), scale=st.integers(1, 3), gap=st.integers(0, 3))
def test_every_image_is_in_its_place(n: int, columns: int, scale: int, gap: int) -> None:
    shown = images(n)
    picture = grid(shown, columns=columns, scale=scale, gap=gap)
    width = min(columns, n)
    pitch = 28 * scale + gap
    assert picture.shape == (-(-n // width) * pitch + gap, width * pitch + gap)
    seen = np.zeros(picture.shape, bool)
    for index, image in enumerate(shown):
        top, left = index // width * pitch + gap, index % width * pitch + gap
        place = (slice(top, top + 28 * scale), slice(left, left + 28 * scale))
        assert np.array_equal(picture[place], np.kron(image, np.ones((scale, scale), np.uint8)))
        seen[place] = True
    assert (picture[~seen] == 255).all()


def test_file_holds_the_grid_and_repeats(tmp_path: Path) -> None:
    for name in ("one.png", "deep/two.png"):
        save_grid(tmp_path / name, images(10), columns=4)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "deep" / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.mode == "L"
        assert np.array_equal(np.asarray(picture), grid(images(10), columns=4))


@pytest.mark.parametrize(("n", "options"), [(0, {}), (2, {"columns": 0}), (2, {"scale": 0}), (2, {"gap": -1})])
def test_impossible_grids(n: int, options: dict[str, int]) -> None:
    with pytest.raises(DataError, match="a grid needs"):
        grid(images(n), **options)


def test_array_files(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", images(3))
    assert np.array_equal(read_images(tmp_path / "a.npy"), images(3))


def test_folder_in_order_of_names(tmp_path: Path) -> None:
    for name, image in zip(("b.png", "a.PNG", "c.bmp"), images(3), strict=True):
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a picture")
    assert np.array_equal(read_images(tmp_path), images(3)[[1, 0, 2]])


def test_colour_becomes_grey(tmp_path: Path) -> None:
    Image.fromarray(np.repeat(images(1)[0][..., None], 3, axis=2)).save(tmp_path / "a.png")
    assert np.array_equal(read_images(tmp_path), images(1))


@pytest.mark.parametrize("array", [np.zeros((2, 28, 28)), np.zeros((2, 28, 27), np.uint8), np.zeros(3, np.uint8)])
def test_wrong_arrays(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=r"a.npy holds .* is needed"):
        read_images(tmp_path / "a.npy")


def test_archives_objects_and_missing_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images(2))
    np.save(tmp_path / "b.npy", np.array([{}], dtype=object))
    (tmp_path / "c.npy").write_bytes(b"text")
    for name in ("a.npz", "b.npy", "c.npy", "d.npy"):
        with pytest.raises(DataError, match=name):
            read_images(tmp_path / name)


def test_wrong_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no pictures"):
        read_images(tmp_path)
    Image.fromarray(np.zeros((28, 30), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a.png is 30 x 28 pixels"):
        read_images(tmp_path)
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"a.png cannot be read"):
        read_images(tmp_path)
