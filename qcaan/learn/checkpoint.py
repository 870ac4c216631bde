"""Checkpoints: tensors as safetensors, everything else as JSON, no pickle; written whole or not at all.

Layout of `checkpoints/step-00000400/`: `tensors.safetensors` and `state.json`. A checkpoint is written under another
name, flushed to disk and renamed, so a run that is killed at any moment finds its last complete one.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from qcaan.errors import DataError

Tensors = dict[str, torch.Tensor]


def save(
    folder: Path, step: int, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any], *, keep: int = 2
) -> Path:
    """Write the checkpoint of `step` under `folder`, then remove all but the newest `keep`.

    Raises:
        DataError: the disk is full or not writable, or this step is saved already; checkpoints that exist stay.
    """
    final = folder / f"step-{step:08d}"
    draft = folder / f".{final.name}"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        plain = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        save_file(plain, draft / "tensors.safetensors")
        (draft / "state.json").write_text(json.dumps({"step": step, **state}, indent=1), encoding="utf-8")
        for path in (*draft.iterdir(), draft):
            _flush(path)
        draft.rename(final)
        _flush(folder)
    except (OSError, SafetensorError) as error:
        raise DataError(f"cannot write the checkpoint {final}: {error}") from error
    for old in _all(folder)[:-keep]:
        shutil.rmtree(old)
    return final


def latest(folder: Path) -> tuple[Tensors, dict[str, Any]] | None:
    """The newest checkpoint under `folder` as (tensors, state), or None if there is none.

    Raises:
        DataError: the newest checkpoint is damaged.
    """
    path = latest_path(folder)
    if path is None:
        return None
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        return load_file(path / "tensors.safetensors"), state
    except (OSError, ValueError, SafetensorError) as error:
        remedy = "remove it to go on from the one before"
        raise DataError(f"the checkpoint {path} is damaged ({error}); {remedy}") from error


def latest_path(folder: Path) -> Path | None:
    """The folder of the newest checkpoint under `folder`, or None if there is none."""
    return next(reversed(_all(folder)), None)


def below(tensors: Tensors, prefix: str) -> Tensors:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def arrays_below(tensors: Tensors, prefix: str) -> dict[str, NDArray[Any]]:
    """The same as numpy arrays."""
    return {name: tensor.numpy() for name, tensor in below(tensors, prefix).items()}


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
