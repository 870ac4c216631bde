"""Exactly once, end to end: a training on a device at AWS that everything happens to ends like an undisturbed one.

Real processes, real SIGKILLs, Amazon's own clients; only the address is the loopback service's.
"""

import re
import time
from functools import cache

import pytest

from backends.loopback.braket import Loopback

DEVICE = {"backend.name": "braket", "backend.device": "ionq-forte-1"}
REFITS, UPDATES, BASES, SHOTS = 3, 2, 2, 200
"""What the trainer's settings and examples/digits.yaml ask for: 6 steps, a refit every 2; Z and Y."""


def needed_by_hand(program_sets):
    """Tasks, and US dollars: an update takes 2 circuits a basis, after the last one each basis is read once."""
    circuits = REFITS * (UPDATES * 2 + 1) * BASES
    tasks = REFITS * (UPDATES + 1) if program_sets else circuits
    return tasks, tasks * 0.30 + circuits * SHOTS * 0.08


CALLS = [
    {"kind": "throttle", "every": 11},
    {"kind": "error", "status": 503, "every": 17},
    {"kind": "reset", "every": 23},
    {"kind": "expired_credentials", "after": 25, "times": 1},
]
"""Faults of any call."""
FAULTS = [
    {"kind": "lost_reply", "operation": "CreateQuantumTask", "every": 4},
    {"kind": "offline", "operation": "CreateQuantumTask", "after": 5, "times": 1, "seconds": 0.5},
    {"kind": "error", "status": 500, "operation": "CreateQuantumTask", "every": 7},
    {"kind": "quota", "after": 8, "times": 1},
    {"kind": "failed", "after": 3, "times": 1, "reason": "the ions were lost"},
    {"kind": "slow_queue", "every": 5, "seconds": 0.3},
    {"kind": "cancelled", "after": 5, "times": 1},
    {"kind": "wrong_sum", "after": 7, "times": 1},
    {"kind": "failed", "after": 8, "times": 1, "reason": "the laser unlocked"},
    {"kind": "delay", "operation": "GetQuantumTask", "every": 8, "seconds": 0.1},
    {"kind": "missing_object", "every": 6, "times": 3},
    {"kind": "corrupt_object", "every": 7, "times": 3},
    {"kind": "truncated_object", "every": 8, "times": 3},
    {"kind": "lost_reply", "operation": "GetObject", "every": 9},
]
"""Faults of one operation, or of tasks. A set's result is 12 objects, and all are read again when one is late or
damaged: without `times` none would ever be read whole."""
PARTIAL = {"kind": "partial", "share": 0.5, "after": 4, "times": 1}
"""Fault of a program set; each of the faults that cost a task hits another one."""
STANDING = [{"kind": "slow_search", "seconds": 0.1}]
"""Rules, which hit nothing by themselves."""


def test_every_fault_is_hit_whatever_the_timing():
    """Each task is created, looked at and read, at least once: so often does each happen where tasks are fewest."""
    tasks, _ = needed_by_hand(program_sets=True)
    for faults, fewest in ((CALLS, 3 * tasks), ([*FAULTS, PARTIAL], tasks)):
        assert not [fault for fault in faults if fault.get("after", 0) + fault.get("every", 1) > fewest]


@pytest.fixture(scope="module")
def calm(trainer, tmp_path_factory):
    """`calm(program_sets)`: the undisturbed training's model, and the number of its tasks."""

    @cache
    def trained(program_sets=False):
        folder = tmp_path_factory.mktemp("calm") / "run"
        with Loopback(repeatable=True, program_sets=program_sets) as service:
            trainer.run(service, folder.with_suffix(".log"), *trainer.words(folder, DEVICE))
            tasks = service.jobs()
            assert {task["status"] for task in tasks} == {"COMPLETED"}
            assert {len(task["executables"]) > 1 for task in tasks} == {program_sets}
            assert (len(tasks), pytest.approx(service.bill_usd())) == needed_by_hand(program_sets)
            assert trainer.ledger(service, folder) == (len(tasks), pytest.approx(service.bill_usd()))
        return trainer.model(folder), len(tasks)

    return trained


def check_same(found, expected):
    assert set(found) == set(expected)
    assert not [name for name in found if found[name].tobytes() != expected[name].tobytes()]


@pytest.mark.slow
@pytest.mark.usefixtures("only_loopback")
@pytest.mark.parametrize(
    ("seed", "idempotent", "program_sets"),
    [(1, True, False), (2, False, False), (3, False, True)],
    ids=["idempotent", "not idempotent", "program sets, not idempotent"],
)
def test_a_training_that_everything_happens_to_ends_like_an_undisturbed_one(
    trainer, calm, tmp_path, seed, idempotent, program_sets
):
    expected, needed = calm(program_sets)
    folder = tmp_path / "run"
    faults = [*CALLS, *FAULTS, *([PARTIAL] if program_sets else [])]
    standing = [*STANDING, *([] if idempotent else [{"kind": "no_idempotency"}])]
    with Loopback(repeatable=True, program_sets=program_sets, faults=faults + standing) as service:
        trainer.disturbed(service, folder, trainer.words(folder, DEVICE), seed)
        check_same(trainer.model(folder), expected)
        tasks, told = service.jobs(), service.state()["faults"]
        # What failed, was cancelled, or came back spoiled or in part is run again, and nothing else is.
        again = [fault["hits"] for fault in told if fault["kind"] in ("failed", "cancelled", "wrong_sum", "partial")]
        assert len(tasks) == needed + sum(again)
        assert len({task["token"] for task in tasks}) == len(tasks)
        # What AWS cancels, it may have charged for: the ledger keeps its price, the bill of this service is 0.
        kept = sum(task["price"] for task in tasks if task["status"] == "CANCELLED")
        assert trainer.ledger(service, folder) == (len(tasks), pytest.approx(service.bill_usd() + kept))
        silent = [fault for fault in told[: len(faults)] if not fault["hits"]]
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
    expected, needed = calm()
    folder, log = tmp_path / "run", tmp_path / "run.log"
    slow = {"kind": "slow_queue", "seconds": 0.2}
    with Loopback(repeatable=True, faults=[slow, fault]) as service:
        trainer.begin(service, log, *trainer.words(folder, DEVICE))
        assert trainer.end() == 1
        assert re.search(told, log.read_text())
        assert 0 < len(service.jobs()) < needed
        service.set_faults([])
        while "OFFLINE" in {device["status"] for device in service.state()["devices"]}:
            time.sleep(0.02)
        trainer.run(service, log, "resume", folder)
        check_same(trainer.model(folder), expected)
        assert len(service.jobs()) == needed
        assert trainer.ledger(service, folder) == (needed, pytest.approx(service.bill_usd()))
