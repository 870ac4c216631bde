"""Exactly once, end to end: a training on a computer at IonQ that everything happens to ends like an undisturbed one.

Real processes, real SIGKILLs, real HTTP; only the address is the loopback service's.
"""

import re

import pytest

from backends.loopback.ionq import Loopback

DEVICE = {"backend.name": "ionq", "backend.device": "forte-1"}
JOBS = 9
"""That the training needs: 3 refits of 2 updates and a reading, and the circuits of each are one job."""
CALLS = [
    {"kind": "throttle", "every": 11},
    {"kind": "error", "status": 503, "every": 17},
    {"kind": "reset", "every": 23},
    {"kind": "expired_credentials", "after": 25, "times": 1},
]
"""Faults of any call."""
FAULTS = [
    {"kind": "lost_reply", "operation": "CreateJob", "every": 4},
    {"kind": "offline", "operation": "CreateJob", "after": 5, "times": 1, "seconds": 0.5},
    {"kind": "error", "status": 500, "operation": "CreateJob", "every": 7},
    {"kind": "quota", "every": 9, "times": 1},
    {"kind": "failed", "after": 3, "times": 1, "reason": "the ions were lost"},
    {"kind": "slow_queue", "every": 5, "seconds": 0.3},
    {"kind": "partial", "after": 6, "times": 1, "share": 0.5},
    {"kind": "failed", "after": 8, "times": 1, "reason": "the laser unlocked"},
    {"kind": "delay", "operation": "GetJob", "every": 8, "seconds": 0.1},
    {"kind": "missing_object", "every": 4},
    {"kind": "truncated_object", "every": 5, "times": 3},
    {"kind": "corrupt_object", "every": 6, "times": 3},
    {"kind": "lost_reply", "operation": "GetJobProbabilities", "every": 9},
    {"kind": "lost_reply", "operation": "GetJobCost", "every": 9},
]
"""Faults of one operation, or of jobs; each of those that cost a job hits another one."""
STANDING = [{"kind": "slow_search", "seconds": 0.1}]
"""A rule, which hits nothing by itself."""


def test_every_fault_is_hit_whatever_the_timing():
    """Each job is created, looked at, read, and asked for its cost, at least once."""
    for faults, fewest in ((CALLS, 4 * JOBS), (FAULTS, JOBS)):
        assert not [fault for fault in faults if fault.get("after", 0) + fault.get("every", 1) > fewest]


@pytest.fixture(scope="module")
def calm(trainer, tmp_path_factory):
    """The undisturbed training's model."""
    folder = tmp_path_factory.mktemp("calm") / "run"
    with Loopback(repeatable=True) as service:
        trainer.run(service, folder.with_suffix(".log"), *trainer.words(folder, DEVICE))
        jobs = service.jobs()
        assert {job["status"] for job in jobs} == {"COMPLETED"}
        assert ({job["type"] for job in jobs}, len(jobs)) == ({"ionq.multi-circuit.v1"}, JOBS)
        assert trainer.ledger(service, folder) == (len(jobs), pytest.approx(service.bill_usd()))
    return trainer.model(folder)


@pytest.mark.slow
@pytest.mark.usefixtures("only_loopback")
@pytest.mark.parametrize("seed", [1, 2])
def test_a_training_that_everything_happens_to_ends_like_an_undisturbed_one(trainer, calm, tmp_path, seed):
    folder = tmp_path / "run"
    with Loopback(repeatable=True, faults=CALLS + FAULTS + STANDING) as service:
        trainer.disturbed(service, folder, trainer.words(folder, DEVICE), seed)
        found = trainer.model(folder)
        assert set(found) == set(calm)
        assert not [name for name in found if found[name].tobytes() != calm[name].tobytes()]
        jobs, told = service.jobs(), service.state()["faults"]
        again = sum(fault["hits"] for fault in told if fault["kind"] in ("failed", "partial"))
        assert len(jobs) == JOBS + again
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
    folder, log = tmp_path / "run", tmp_path / "run.log"
    slow = {"kind": "slow_queue", "seconds": 0.2}
    with Loopback(repeatable=True, faults=[slow, fault]) as service:
        trainer.begin(service, log, *trainer.words(folder, DEVICE))
        assert trainer.end() == 1
        assert re.search(told, log.read_text())
        assert 0 < len(service.jobs()) < JOBS
        service.set_faults([])
        trainer.run(service, log, "resume", folder)
        found = trainer.model(folder)
        assert not [name for name in calm if found[name].tobytes() != calm[name].tobytes()]
        assert len(service.jobs()) == JOBS
        assert trainer.ledger(service, folder) == (JOBS, pytest.approx(service.bill_usd()))
