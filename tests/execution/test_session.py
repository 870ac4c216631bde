"""Calls without names: named by content and count, shuffled, on the qubits that are used."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from qcaan.circuits.circuit import Circuit, theta
from qcaan.errors import UnavailableError
from qcaan.execution import Fault, ScriptedBackend, Store
from qcaan.execution.session import Request, Session, without_idle

coins = Circuit(3).h(0).h(1).h(2)


def session(store=None, **options):
    return Session("local", client="test", store=store, **options)


def test_rows_are_bits_of_the_measured_qubits_for_each_theta():
    circuit = Circuit(3).rx(theta[0], 1).x(2).measure(2, 1)
    tag, ((low, high), (plain,)) = session().shots([Request(circuit, 4, [[0.0], [np.pi]]), Request(Circuit(1), 2)])
    assert (low.tolist(), high.tolist(), plain.tolist()) == ([[1, 0]] * 4, [[1, 1]] * 4, [[0]] * 2)
    assert low.dtype == np.uint8
    assert tag.endswith(" 1")


def test_a_call_is_named_by_its_content_and_by_how_often_it_was_made(tmp_path):
    store = Store.open(tmp_path / "shots.sqlite")
    one, other = session(store), session(store)
    first, second = (one.shots([Request(coins, 50)]) for _ in range(2))
    third = one.shots([Request(coins, 51)])
    assert [call[0].split()[1] for call in (first, second, third)] == ["1", "2", "1"]
    assert first[1][0][0].tolist() != second[1][0][0].tolist()
    # In another order, as a program that was changed a little might ask.
    for call, shots in ((third, 51), (first, 50), (second, 50)):
        tag, rows = other.shots([Request(coins, shots)])
        assert tag == call[0]
        np.testing.assert_array_equal(rows[0][0], call[1][0][0])


def test_threads_that_ask_for_the_same_get_shots_of_their_own():
    made = session()
    with ThreadPoolExecutor(4) as pool:
        calls = list(pool.map(made.shots, [[Request(coins, 50)]] * 4))
    assert sorted(tag.split()[1] for tag, _ in calls) == ["1", "2", "3", "4"]
    assert len({rows[0][0].tobytes() for _, rows in calls}) == 4


def test_seeds_and_runs_keep_programs_apart(tmp_path):
    store = Store.open(tmp_path / "shots.sqlite")
    found = [
        session(store, **options).shots([Request(coins, 50)])[1][0][0].tolist()
        for options in ({}, {"seed": 2}, {"run": "another"})
    ]
    assert len({str(rows) for rows in found}) == 3


def test_rows_are_in_a_random_order():
    rows = session().shots([Request(coins, 800)])[1][0][0]
    halves = rows[:400].mean(axis=0), rows[400:].mean(axis=0)
    # 0.15 is six standard deviations of 400 shots; sorted rows would give 0 and 1 for qubit 0.
    assert np.abs(np.array(halves) - 0.5).max() < 0.15


def test_a_call_that_fails_keeps_its_name(tmp_path):
    device = ScriptedBackend(per_task_usd=0, per_shot_usd=0, kind="emulator", faults=[Fault("submit", 1, "offline")])
    made = Session(device, client="test", store=tmp_path / "shots.sqlite")
    with pytest.raises(UnavailableError):
        made.shots([Request(coins, 5)])
    tag, _ = made.shots([Request(coins, 5)])
    assert tag.endswith(" 1")
    assert device.n_jobs == 1


def test_idle_qubits_are_left_out_and_bits_stay():
    wide = Circuit(100).x(70).cx(70, 20).measure(20, 5, 70)
    narrow = without_idle(wide)
    assert (narrow.n_qubits, narrow.measured) == (3, (1, 0, 2))
    assert session().shots([Request(narrow, 2)])[1][0][0].tolist() == [[1, 0, 1]] * 2
    assert without_idle(coins) is coins
