"""Checkpoints: whole or not at all, no pickle."""

import json
from pathlib import Path

import pytest
import torch

from qcaan.errors import DataError
from qcaan.learn import checkpoint


def test_round_trip(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6).reshape(2, 3), "b": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).T}
    checkpoint.save(tmp_path, 7, tensors, {"x": {"y": [1, 2]}})
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found[1] == {"step": 7, "x": {"y": [1, 2]}}
    assert found[0].keys() == tensors.keys()
    assert all(torch.equal(found[0][name], tensors[name]) for name in tensors)


def test_there_may_be_none(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path) is None
    assert checkpoint.latest(tmp_path / "nowhere") is None


def test_only_the_newest_are_kept_and_the_newest_wins(tmp_path: Path) -> None:
    for step in (5, 40, 300):
        checkpoint.save(tmp_path, step, {"a": torch.tensor([step])}, {}, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000040", "step-00000300"]
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found[0]["a"].item() == 300


def test_a_step_is_saved_once(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 3, {"a": torch.tensor([1])}, {})
    with pytest.raises(DataError, match="step-00000003"):
        checkpoint.save(tmp_path, 3, {"a": torch.tensor([2])}, {})
    assert checkpoint.latest(tmp_path)[0]["a"].item() == 1


def test_what_a_crash_left_half_written_is_not_seen(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, {"a": torch.tensor([1])}, {})
    draft = tmp_path / ".step-00000002"
    draft.mkdir()
    (draft / "state.json").write_text("{")
    assert checkpoint.latest(tmp_path)[1]["step"] == 1
    checkpoint.save(tmp_path, 2, {"a": torch.tensor([2])}, {})
    assert checkpoint.latest(tmp_path)[1]["step"] == 2


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json"])
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    path = checkpoint.save(tmp_path, 1, {"a": torch.tensor([1])}, {})
    (path / name).write_bytes(b"\x00\x01")
    with pytest.raises(DataError, match=r"step-00000001 is damaged.*remove it"):
        checkpoint.latest(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write the checkpoint"):
        checkpoint.save(tmp_path / "file", 1, {}, {})


def test_nothing_is_pickled(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 1, {"a": torch.tensor([1.5])}, {"k": 1})
    assert sorted(file.name for file in path.iterdir()) == ["state.json", "tensors.safetensors"]
    assert json.loads((path / "state.json").read_text()) == {"step": 1, "k": 1}
    size = int.from_bytes((path / "tensors.safetensors").read_bytes()[:8], "little")
    assert json.loads((path / "tensors.safetensors").read_bytes()[8 : 8 + size])["a"]["dtype"] == "F32"
