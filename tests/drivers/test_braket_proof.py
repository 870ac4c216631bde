"""Exactly once, end to end: a training on a device at AWS that everything happens to ends like an undisturbed one.

Real processes, real SIGKILLs, Amazon's own clients; only the address is the loopback service's.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from backends.loopback.braket import Loopback

HERE = Path(__file__).parent
CONFIG = HERE.parents[1] / "examples" / "digits.yaml"
SMALL = {
    "prior.n_qubits": 3,
    "prior.n_layers": 3,
    "prior.gradient": "spsa",
    "prior.shots": 200,
    "prior.updates": 2,
    "prior.refresh_every": 2,
    "prior.target_images": 128,
    "gan.channels": 2,
    "train.max_steps": 6,
    "train.batch_size": 8,
    "train.checkpoint_every": 2,
    "train.scores": "false",
    "train.evaluation_images": 100,
    "backend.name": "braket",
    "backend.device": "ionq-forte-1",
    "budget.cap_usd": 10_000,
}
KILLS = 10
FAULTS = [
    {"kind": "throttle", "every": 11},
    {"kind": "error", "status": 503, "every": 17},
    {"kind": "error", "status": 500, "operation": "CreateQuantumTask", "every": 7},
    {"kind": "reset", "every": 23},
    {"kind": "lost_reply", "operation": "CreateQuantumTask", "every": 4},
    {"kind": "lost_reply", "operation": "GetObject", "every": 9},
    {"kind": "delay", "operation": "GetQuantumTask", "every": 13, "seconds": 0.1},
    {"kind": "quota", "every": 19, "times": 1},
    {"kind": "offline", "operation": "CreateQuantumTask", "after": 12, "times": 1, "seconds": 0.5},
    {"kind": "expired_credentials", "after": 60, "times": 1},
    {"kind": "slow_queue", "every": 5, "seconds": 0.3},
    {"kind": "failed", "after": 5, "times": 1, "reason": "the ions were lost"},
    {"kind": "failed", "after": 17, "times": 1, "reason": "the laser unlocked"},
    {"kind": "missing_object", "every": 6, "seconds": 0.4},
    {"kind": "truncated_object", "every": 8, "times": 3},
    {"kind": "corrupt_object", "every": 10, "times": 3},
    {"kind": "slow_search", "seconds": 0.1},
]


class Trainer:
    """Runs `qcaan` commands, each as a process."""

    def __init__(self) -> None:
        script = HERE / "train_victim.py"
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._forker = subprocess.Popen(
            [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def begin(self, service, log, *argv):
        order = {"argv": [str(word) for word in argv], "environment": service.environment, "log": str(log)}
        self._forker.stdin.write(json.dumps(order) + "\n")
        self._forker.stdin.flush()
        return int(self._forker.stdout.readline())

    def end(self):
        """Exit code of the command, negative if a signal ended it."""
        return int(self._forker.stdout.readline())

    def run(self, service, log, *argv):
        self.begin(service, log, *argv)
        code = self.end()
        assert code == 0, log.read_text()

    def close(self):
        self._forker.stdin.close()
        self._forker.stdout.close()
        assert self._forker.wait(10) == 0


@pytest.fixture(scope="module")
def trainer():
    made = Trainer()
    yield made
    made.close()


def train(folder):
    settings = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    return ["train", CONFIG, "--out", folder, *settings]


def model(folder):
    """Every tensor of the last checkpoint, and the progress beside them."""
    last = max((folder / "checkpoints").iterdir())
    return load_file(last / "tensors.safetensors")


def ledger(trainer, service, folder):
    """What the run's store says: submissions and US dollars."""
    log = folder / "costs.json"
    trainer.run(service, log, "jobs", "costs", "--store", f"sqlite:///{folder}/store.sqlite", "--json")
    rows = json.loads(log.read_text())
    return sum(row["submissions"] for row in rows), sum(row["usd_high"] for row in rows)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def disturbed(trainer, service, folder, seed):
    """Train, killed `KILLS` times a random number of calls after each start; resumed until it is done."""
    rng = np.random.default_rng(seed)
    log = folder.with_suffix(".log")
    kills = starts = 0
    while True:
        begun = (folder / "config.yaml").exists()
        calls = service.state()["calls"]
        pid = trainer.begin(service, log, *(["resume", folder] if begun else train(folder)))
        starts += 1
        if kills < KILLS:
            moment = calls + int(rng.integers(3, 16))
            while is_alive(pid) and service.state()["calls"] < moment:
                time.sleep(0.003)
            time.sleep(rng.uniform(0, 0.05))
            if is_alive(pid):
                os.kill(pid, 9)
        code = trainer.end()
        kills += code == -9
        if code == 0:
            assert kills == KILLS, f"the training was over after {kills} kills"
            return
        assert code in (-9, 1, 75), log.read_text()
        assert starts < 60, log.read_text()


@pytest.fixture(scope="module")
def calm(trainer, tmp_path_factory):
    """The undisturbed training: its model, and the number of its tasks."""
    folder = tmp_path_factory.mktemp("calm") / "run"
    with Loopback(repeatable=True) as service:
        trainer.run(service, folder.with_suffix(".log"), *train(folder))
        tasks = service.jobs()
        assert {task["status"] for task in tasks} == {"COMPLETED"}
        assert ledger(trainer, service, folder) == (len(tasks), pytest.approx(service.bill_usd()))
    return model(folder), len(tasks)


@pytest.mark.slow
@pytest.mark.usefixtures("only_loopback")
@pytest.mark.parametrize(("seed", "idempotent"), [(1, True), (2, False)], ids=["idempotent", "not idempotent"])
def test_a_training_that_everything_happens_to_ends_like_an_undisturbed_one(trainer, calm, tmp_path, seed, idempotent):
    expected, needed = calm
    folder = tmp_path / "run"
    faults = FAULTS if idempotent else [*FAULTS, {"kind": "no_idempotency"}]
    with Loopback(repeatable=True, faults=faults) as service:
        disturbed(trainer, service, folder, seed)
        found = model(folder)
        assert set(found) == set(expected)
        assert not [name for name in found if found[name].tobytes() != expected[name].tobytes()]
        tasks, told = service.jobs(), service.state()["faults"]
        failed = sum(fault["hits"] for fault in told if fault["kind"] == "failed")
        assert len(tasks) == needed + failed
        assert len({task["token"] for task in tasks}) == len(tasks)
        submissions, usd = ledger(trainer, service, folder)
        assert submissions == len(tasks)
        assert usd == pytest.approx(service.bill_usd())
        silent = [
            fault for fault in told if not fault["hits"] and fault["kind"] not in ("no_idempotency", "slow_search")
        ]
        assert not silent, "the proof proves nothing about these"


@pytest.mark.slow
@pytest.mark.usefixtures("only_loopback")
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"kind": "expired_credentials", "operation": "GetQuantumTask", "after": 6}, "token .* is expired"),
        (
            {"kind": "offline", "operation": "CreateQuantumTask", "after": 6, "times": 1, "seconds": 2},
            "is currently offline",
        ),
        ({"kind": "missing_object", "object": "*/results.json", "after": 6}, "there is no object"),
    ],
    ids=[
        "credentials expire while tasks are queued",
        "the device goes offline and returns",
        "a result that never comes",
    ],
)
def test_what_stops_a_training_loses_nothing(trainer, calm, tmp_path, fault, told):
    """It stops and says why; when the trouble is over, it ends with the same model and no task more."""
    expected, needed = calm
    folder, log = tmp_path / "run", tmp_path / "run.log"
    slow = {"kind": "slow_queue", "seconds": 0.2}
    with Loopback(repeatable=True, faults=[slow, fault]) as service:
        trainer.begin(service, log, *train(folder))
        assert trainer.end() == 1
        assert re.search(told, log.read_text())
        assert 0 < len(service.jobs()) < needed
        service.set_faults([])
        trainer.run(service, log, "resume", folder)
        found = model(folder)
        assert not [name for name in expected if found[name].tobytes() != expected[name].tobytes()]
        assert len(service.jobs()) == needed
        assert ledger(trainer, service, folder) == (needed, pytest.approx(service.bill_usd()))
