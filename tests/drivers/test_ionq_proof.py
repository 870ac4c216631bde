"""Exactly once, end to end: a training on a computer at IonQ that everything happens to ends like an undisturbed one.

Real processes, real SIGKILLs, real HTTP; only the address is the loopback service's.
"""

import re

import pytest

from backends.loopback.ionq import Loopback

DEVICE = {"backend.name": "ionq", "backend.device": "forte-1"}
FAULTS = [
    {"kind": "throttle", "every": 11},
    {"kind": "error", "status": 503, "every": 17},
    {"kind": "error", "status": 500, "operation": "CreateJob", "every": 7},
    {"kind": "reset", "every": 23},
    {"kind": "lost_reply", "operation": "CreateJob", "every": 4},
    {"kind": "lost_reply", "operation": "GetJobProbabilities", "every": 9},
    {"kind": "lost_reply", "operation": "GetJobCost", "every": 9},
    {"kind": "delay", "operation": "GetJob", "every": 13, "seconds": 0.1},
    {"kind": "quota", "every": 9, "times": 1},
    {"kind": "offline", "operation": "CreateJob", "after": 6, "times": 1, "seconds": 0.5},
    {"kind": "expired_credentials", "after": 60, "times": 1},
    {"kind": "slow_queue", "every": 5, "seconds": 0.3},
    {"kind": "failed", "after": 3, "times": 1, "reason": "the ions were lost"},
    {"kind": "failed", "after": 9, "times": 1, "reason": "the laser unlocked"},
    {"kind": "partial", "after": 6, "times": 1, "share": 0.5},
    {"kind": "missing_object", "every": 4, "seconds": 0.4},
    {"kind": "truncated_object", "every": 5, "times": 3},
    {"kind": "corrupt_object", "every": 6, "times": 3},
    {"kind": "slow_search", "seconds": 0.1},
]


@pytest.fixture(scope="module")
def calm(trainer, tmp_path_factory):
    """The undisturbed training: its model, and the number of its jobs."""
    folder = tmp_path_factory.mktemp("calm") / "run"
    with Loopback(repeatable=True) as service:
        trainer.run(service, folder.with_suffix(".log"), *trainer.words(folder, DEVICE))
        jobs = service.jobs()
        assert {job["status"] for job in jobs} == {"COMPLETED"}
        assert "ionq.multi-circuit.v1" in {job["type"] for job in jobs}
        assert trainer.ledger(service, folder) == (len(jobs), pytest.approx(service.bill_usd()))
    return trainer.model(folder), len(jobs)


@pytest.mark.slow
@pytest.mark.usefixtures("only_loopback")
@pytest.mark.parametrize("seed", [1, 2])
def test_a_training_that_everything_happens_to_ends_like_an_undisturbed_one(trainer, calm, tmp_path, seed):
    expected, needed = calm
    folder = tmp_path / "run"
    with Loopback(repeatable=True, faults=FAULTS) as service:
        trainer.disturbed(service, folder, trainer.words(folder, DEVICE), seed)
        found = trainer.model(folder)
        assert set(found) == set(expected)
        assert not [name for name in found if found[name].tobytes() != expected[name].tobytes()]
        jobs, told = service.jobs(), service.state()["faults"]
        again = sum(fault["hits"] for fault in told if fault["kind"] in ("failed", "partial"))
        assert len(jobs) == needed + again
        assert len({job["key"] for job in jobs}) == len(jobs)
        assert trainer.ledger(service, folder) == (len(jobs), pytest.approx(service.bill_usd()))
        silent = [fault for fault in told if not fault["hits"] and fault["kind"] != "slow_search"]
        assert not silent, "the proof proves nothing about these"


@pytest.mark.slow
@pytest.mark.usefixtures("only_loopback")
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"kind": "expired_credentials", "operation": "GetJob", "after": 3}, "Invalid key"),
        ({"kind": "quota", "after": 3}, "the credit is used up"),
        ({"kind": "missing_object", "after": 3}, "there is no .*/results/probabilities"),
    ],
    ids=["the key is revoked while jobs are queued", "the credit is used up", "a result that never comes"],
)
def test_what_stops_a_training_loses_nothing(trainer, calm, tmp_path, fault, told):
    """It stops and says why; when the trouble is over, it ends with the same model and no job more."""
    expected, needed = calm
    folder, log = tmp_path / "run", tmp_path / "run.log"
    slow = {"kind": "slow_queue", "seconds": 0.2}
    with Loopback(repeatable=True, faults=[slow, fault]) as service:
        trainer.begin(service, log, *trainer.words(folder, DEVICE))
        assert trainer.end() == 1
        assert re.search(told, log.read_text())
        assert 0 < len(service.jobs()) < needed
        service.set_faults([])
        trainer.run(service, log, "resume", folder)
        found = trainer.model(folder)
        assert not [name for name in expected if found[name].tobytes() != expected[name].tobytes()]
        assert len(service.jobs()) == needed
        assert trainer.ledger(service, folder) == (needed, pytest.approx(service.bill_usd()))
