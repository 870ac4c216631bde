import dataclasses

import pytest

from qcaan.circuits.native import NativeCircuit
from qcaan.errors import IntegrityError, UnknownJobError
from qcaan.execution.backend import JobStatus, Price, Target
from qcaan.execution.counts import Counts

TARGET = Target(
    name="x",
    device="arn:x",
    kind="qpu",
    n_qubits=3,
    native_gates=("gpi", "gpi2", "zz"),
    connectivity=((0, 1), (1, 2)),
    price=Price(per_task_usd=0.3, per_shot_usd=0.08),
)
BATCH = [NativeCircuit.build(2, ("gpi", [0], [0.1])), NativeCircuit.build(2, ("gpi2", [1], [0.2]))]


def test_target_json_round_trip():
    assert Target.from_json(TARGET.to_json()) == TARGET
    free = dataclasses.replace(TARGET, connectivity=None)
    assert Target.from_json(free.to_json()) == free


def test_target_digest_follows_every_fact():
    changes = {"calibration": "today", "max_shots": 5, "encoder": 2, "price": Price(per_task_usd=1.0)}
    digests = {TARGET.digest} | {dataclasses.replace(TARGET, **{k: v}).digest for k, v in changes.items()}
    assert len(digests) == 1 + len(changes)
    assert dataclasses.replace(TARGET).digest == TARGET.digest


def test_simulator_runs_at_once(sampler):
    simulator = sampler()
    job_id = simulator.submit(BATCH, 20, "key")
    assert job_id == "key"
    assert simulator.poll(job_id).status is JobStatus.DONE
    items = simulator.decode(simulator.fetch(job_id), BATCH)
    assert [item.shots for item in items] == [20, 20]


def test_same_key_same_shots(sampler):
    replies = []
    for key in ("a", "a", "b"):
        simulator = sampler()
        simulator.submit(BATCH, 200, key)
        replies.append(simulator.fetch(key))
    assert replies[0] == replies[1] != replies[2]


def test_items_do_not_share_random_numbers(sampler):
    simulator = sampler()
    simulator.submit([BATCH[1]] * 2, 1000, "a")
    first, second = simulator.decode(simulator.fetch("a"), BATCH)
    assert first != second


def test_a_reply_is_handed_over_once(sampler):
    simulator = sampler()
    simulator.submit(BATCH, 20, "key")
    simulator.fetch("key")
    for ask in (simulator.poll, simulator.fetch):
        with pytest.raises(UnknownJobError, match="has no job key"):
            ask("key")


def test_cancel_forgets_and_is_not_an_error_twice(sampler):
    simulator = sampler()
    simulator.submit(BATCH, 20, "key")
    simulator.cancel("key")
    simulator.cancel("key")
    with pytest.raises(UnknownJobError):
        simulator.poll("key")


def test_decode_wants_as_many_items_as_circuits(sampler):
    simulator = sampler()
    simulator.submit(BATCH, 20, "key")
    with pytest.raises(IntegrityError, match="2 items for 1"):
        simulator.decode(simulator.fetch("key"), BATCH[:1])


def test_find_is_not_offered_by_default(sampler):
    with pytest.raises(NotImplementedError, match="sampler"):
        sampler().find("key")


def test_probabilities_are_not_offered_by_default(sampler):
    class Blind(sampler):
        probabilities = sampler.__mro__[1].probabilities

    with pytest.raises(NotImplementedError, match="exact"):
        Blind().probabilities(BATCH)


def test_counts_are_exported_to_drivers():
    from qcaan.execution import backend

    assert backend.Counts is Counts
