"""Training on two processes: the same run as on one, and no process that outlives the others."""

import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from qcaan.cli import app
from qcaan.config import Config, GanConfig
from qcaan.errors import ConfigError, UnavailableError, WorkerError
from qcaan.execution.backend import Simulator
from qcaan.execution.jobs import list_jobs
from qcaan.execution.store import Store
from qcaan.learn import checkpoint, device, team
from qcaan.learn.gan import Game
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.share import Share
from qcaan.learn.team import Orders, Team
from qcaan.learn.train import prepare, steps, train

STEPS = 26
TOLERANCE = 2e-4
"""Sums in another order differ by 1e-7 of their size, and 26 steps of two networks may amplify that."""


def small(**train: Any) -> Config:
    """Every quantity of a batch that processes must share is at work, and a refit every six steps."""
    return Config.load(
        {
            "prior": {
                "n_qubits": 4,
                "n_layers": 3,
                "shots": 500,
                "refresh_every": 6,
                "updates": 3,
                "target_images": 64,
                "gradient": "spsa",
            },
            "gan": {
                "channels": 4,
                "precision": "float32",
                "classification": 0.5,
                "certainty": 0.1,
                "reconstruction": 1.0,
                "feeds_logit": True,
                "r1_every": 3,
                "n_noise": 2,
                "binarise": "bernoulli",
            },
            "train": {
                "max_steps": STEPS,
                "batch_size": 16,
                "log_every": 1,
                "checkpoint_every": 4,
                "scores": False,
                **train,
            },
        }
    )


def final(path: Path) -> dict[str, torch.Tensor]:
    found = checkpoint.latest(path / "checkpoints")
    assert found is not None
    return found[0]


def asked(path: Path) -> list[tuple[str, int, int]]:
    with RunDirectory.open(path) as run, Store.open(run.store_url) as store:
        return sorted((job.tag, job.n_circuits, job.shots) for job in list_jobs(store))


def assert_like(path: Path, alone: Path) -> None:
    """The same shots, asked for once; tensors and records within the tolerance."""
    ours, theirs = final(path), final(alone)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, atol=TOLERANCE, rtol=TOLERANCE, msg=name)
    assert asked(path) == asked(alone)
    with RunDirectory.open(path) as run, RunDirectory.open(alone) as other:
        for record, expected in zip(run.metrics(), other.metrics(), strict=True):
            assert record.keys() == expected.keys()
            for name, value in expected.items():
                assert record[name] == pytest.approx(value, abs=TOLERANCE, rel=TOLERANCE), name


def assert_goes_on_like(run: RunDirectory, alone: Path) -> None:
    """On one process, from where it was stopped."""
    run.write_config(small())
    for _ in steps(run):
        pass
    run.close()
    assert_like(run.path, alone)


def train_and(run: RunDirectory, step: int, disturb: Callable[[], None]) -> None:
    """Train to the end, and do something else after so many steps."""
    for progress in steps(run):
        if (progress.step, progress.phase) == (step, "train"):
            disturb()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(small(), tmp_path_factory.mktemp("runs") / "alone")


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Those that a test starts."""
    started: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(team.subprocess, "Popen", Recorded)
    return started


def test_two_processes_and_then_one_are_like_one(
    alone: Path, tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    threads = torch.get_num_threads()
    with prepare(small(devices=2), tmp_path / "run") as run:
        assert processes == []
        for progress in steps(run):
            if (progress.step, progress.phase) == (17, "train"):
                break
    assert [process.returncode for process in processes] == [0]
    assert torch.get_num_threads() == threads
    assert not torch.distributed.is_initialized()
    with RunDirectory.open(run.path) as again:
        again.write_config(small())
        for _ in steps(again):
            pass
        assert [(s["from_step"], s["processes"]) for s in again.provenance()["segments"]] == [(0, 2), (16, 1)]
    assert len(processes) == 1
    assert_like(run.path, alone)


def test_one_process_and_then_two_are_like_one(alone: Path, tmp_path: Path) -> None:
    with prepare(small(), tmp_path / "run") as run:
        for progress in steps(run):
            if progress.step == 5:
                break
    told = CliRunner().invoke(app, ["resume", str(run.path), "--set", "train.devices=2"])
    assert told.exit_code == 0, told.output
    assert_like(run.path, alone)


def test_workers_end_when_the_device_fails_and_the_run_goes_on(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: list[subprocess.Popen[bytes]]
) -> None:
    run = prepare(small(devices=2), tmp_path / "run")

    def refuse(*_: object) -> str:
        raise UnavailableError("the device is offline")

    with monkeypatch.context() as broken, pytest.raises(UnavailableError, match="offline"):
        train_and(run, 5, lambda: broken.setattr(Simulator, "submit", refuse))
    assert [process.returncode for process in processes] == [0]
    assert_goes_on_like(run, alone)


def test_a_worker_that_is_killed_is_an_error_and_the_run_goes_on(
    alone: Path, tmp_path: Path, processes: list[subprocess.Popen[bytes]]
) -> None:
    run = prepare(small(devices=2), tmp_path / "run")
    with pytest.raises(WorkerError, match="process 2 of 2 was killed by signal 9.*can be resumed"):
        train_and(run, 9, lambda: processes[0].send_signal(signal.SIGKILL))
    assert not torch.distributed.is_initialized()
    assert_goes_on_like(run, alone)


def test_ctrl_c_takes_effect_at_the_end_of_a_step(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: list[subprocess.Popen[bytes]]
) -> None:
    """Between two messages it would leave one under way, and gloo may wait minutes for the rest of it."""
    done: list[int] = []
    play, send = Game.step, torch.distributed.all_reduce

    def told(game: Game, *batch: torch.Tensor) -> dict[str, float]:
        losses = play(game, *batch)
        done.append(game.steps)
        return losses

    def interrupted(tensor: torch.Tensor) -> None:
        monkeypatch.setattr(torch.distributed, "all_reduce", send)
        signal.raise_signal(signal.SIGINT)
        send(tensor)

    monkeypatch.setattr(Game, "step", told)
    run = prepare(small(devices=2), tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train_and(run, 9, lambda: monkeypatch.setattr(torch.distributed, "all_reduce", interrupted))
    assert done == list(range(1, 11))
    assert [process.returncode for process in processes] == [0]
    assert not torch.distributed.is_initialized()
    assert_goes_on_like(run, alone)


def test_a_worker_that_dies_while_ctrl_c_waits_is_told_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: list[subprocess.Popen[bytes]]
) -> None:
    send = torch.distributed.all_reduce

    def interrupted(tensor: torch.Tensor) -> None:
        monkeypatch.setattr(torch.distributed, "all_reduce", send)
        signal.raise_signal(signal.SIGINT)
        processes[0].kill()
        processes[0].wait()
        send(tensor)

    with prepare(small(devices=2), tmp_path / "run") as run, pytest.raises(KeyboardInterrupt) as raised:
        train_and(run, 9, lambda: monkeypatch.setattr(torch.distributed, "all_reduce", interrupted))
    assert isinstance(raised.value.__context__, WorkerError)
    assert not torch.distributed.is_initialized()


def test_a_second_ctrl_c_while_the_workers_leave_ends_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: list[subprocess.Popen[bytes]]
) -> None:
    threads = torch.get_num_threads()

    def interrupted(_worker: team._Worker, _deadline: float) -> None:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(team._Worker, "ended", interrupted)
    with prepare(small(devices=2, max_steps=1), tmp_path / "run") as run, pytest.raises(KeyboardInterrupt):
        train_and(run, 0, lambda: None)
    assert processes[0].returncode is not None
    assert not torch.distributed.is_initialized()
    assert torch.get_num_threads() == threads


def test_a_worker_ends_with_its_pipe_even_where_it_waits_for_others() -> None:
    """It waits for a process 0 that never listens; as it does in a step when process 0 was killed."""
    nobody = 1
    orders = Orders(4, GanConfig(channels=1), 0, 10, Share(1, 2), torch.device("cpu"), "auto", nobody, 1)
    with subprocess.Popen(
        [sys.executable, "-m", "qcaan.learn.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        pickle.dump(orders, process.stdin)
        process.stdin.flush()
        assert process.stdout.readline() == team.READY
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_worker_that_cannot_read_its_orders_ends_and_says_why() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "qcaan.learn.worker"], input=b"cnowhere\nnothing\n.", capture_output=True, check=False
    )
    assert told.returncode == 1
    assert b"No module named 'nowhere'" in told.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"devices": 0}, "train.devices: 0 - input should be greater than or equal to 1"),
        ({"devices": 3}, "train.devices: 3 - .*train.batch_size is 64, 3 processes need a multiple of 6"),
        ({"devices": 2, "batch_size": 66}, "train.devices: 2 - .*multiple of 4"),
        ({"strategy": "fsdp"}, "train.strategy: 'fsdp' - input should be 'auto' or 'ddp'"),
        ({"accelerator": "tpu"}, "train.accelerator: 'tpu' - input should be 'auto', 'cpu' or 'cuda'"),
    ],
)
def test_settings_are_checked(settings: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.load({"train": settings})


@pytest.mark.parametrize(
    ("gpus", "accelerator", "devices", "found"),
    [
        (0, "auto", 4, "cpu"),
        (0, "cpu", 1, "cpu"),
        (2, "cpu", 4, "cpu"),
        (1, "auto", 1, "cuda:0"),
        (2, "cuda", 2, "cuda:0"),
    ],
)
def test_a_gpu_is_used_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, gpus: int, accelerator: str, devices: int, found: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert str(device.open_device(accelerator, devices)) == found


@pytest.mark.parametrize(
    ("gpus", "accelerator", "devices", "message"),
    [
        (0, "cuda", 1, "train.accelerator: cuda - torch sees no GPU"),
        (1, "auto", 2, "train.devices: 2 - each process needs a GPU, torch sees 1; .*train.accelerator to cpu"),
    ],
)
def test_too_few_gpus(monkeypatch: pytest.MonkeyPatch, gpus: int, accelerator: str, devices: int, message: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(ConfigError, match=message):
        device.open_device(accelerator, devices)


def test_what_stands_in_the_way_is_found_before_there_is_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"train.devices: 2 - .*pip install 'qcaan\[fabric\]'"):
        train(small(devices=2), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_caller_that_is_in_a_group_already_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    config = small(devices=2)
    game = team.Game(4, config.gan, seed=0, total_steps=1, share=Share(of=2))
    with pytest.raises(ConfigError, match="train.devices: 2 - .*in a group of torch.distributed already"):
        Team(game, config).start()
