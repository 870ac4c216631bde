"""The engine's threads: the same results on any number of them, after a fork, an error, or the main thread's end."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, count
from typing import Any

import numpy as np
import pytest

import qcaan.circuits.simulate as simulate
from qcaan.circuits import shared
from qcaan.circuits.circuit import Circuit, theta
from qcaan.circuits.simulate import Engine


def layers(n: int, n_layers: int) -> Circuit:
    """RX and RZ on every qubit, then XX on all pairs; every angle is a parameter."""
    circuit, k = Circuit(n), count()
    for _ in range(n_layers):
        for q in range(n):
            circuit = circuit.rx(theta[next(k)], q).rz(theta[next(k)], q)
        for a, b in combinations(range(n), 2):
            circuit = circuit.xx(theta[next(k)], a, b)
    return circuit


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = layers(10, 1).in_basis([0.3] * 10)
    rng = np.random.default_rng(8)
    values, cotangent = rng.normal(size=(2, circuit.n_params)), rng.normal(size=(2, 1024))
    p, vjp = Engine(circuit).linearize(values)
    gradient = vjp(cotangent)
    monkeypatch.setattr(simulate, "BATCH_THREADS_FROM", 1)
    monkeypatch.setattr(simulate, "STATE_THREADS_FROM", 1)
    for threads in (2, 3):  # 2: a row each; 3: rows are too few, each state is shared
        engine = Engine(circuit)
        monkeypatch.setattr(engine, "_threads", threads)
        q, vjp = engine.linearize(values)
        np.testing.assert_array_equal(q, p)
        np.testing.assert_array_equal(engine.probabilities(values), p)
        np.testing.assert_allclose(vjp(cotangent), gradient, rtol=0, atol=1e-13)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_starts_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate, "BATCH_THREADS_FROM", 1)
    engine, values = Engine(layers(3, 1)), np.random.default_rng(8).normal(size=(4, layers(3, 1).n_params))
    monkeypatch.setattr(engine, "_threads", 2)
    p = engine.probabilities(values)
    np.testing.assert_array_equal(engine.probabilities(values), p)  # the first may have been compiling, in one thread
    child = os.fork()
    if not child:
        found = 1
        try:
            found = int(not np.array_equal(engine.probabilities(values), p))
        finally:
            os._exit(found)
    deadline = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended == (child, 0)


def test_calls_at_the_same_time_have_work_spaces_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = layers(5, 2)
    engine, batches = Engine(circuit), np.random.default_rng(8).normal(size=(2, 1, circuit.n_params))
    expected = [engine.probabilities(batch) for batch in batches]
    state, both = Engine._state, threading.Barrier(2, timeout=60)

    def hold(self: Engine) -> Any:
        both.wait()  # until the other call has its space too
        return state(self)

    monkeypatch.setattr(Engine, "_state", hold)
    with ThreadPoolExecutor(2) as callers:
        np.testing.assert_array_equal(list(callers.map(engine.probabilities, batches)), expected)
    assert len(engine._structure.spaces) == 2
    assert len({id(work[0]) for _, work in engine._structure.spaces}) == 2


def test_calls_from_several_threads_share_those_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate, "BATCH_THREADS_FROM", 1)
    circuit = layers(5, 2)
    engine, batches = Engine(circuit), np.random.default_rng(8).normal(size=(20, 6, circuit.n_params))
    monkeypatch.setattr(engine, "_threads", 1)
    expected = [engine.probabilities(batch) for batch in batches]
    monkeypatch.setattr(engine, "_threads", 3)
    with ThreadPoolExecutor(4) as callers:
        np.testing.assert_array_equal(list(callers.map(engine.probabilities, batches)), expected)


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_part_that_fails_does_not_leave_others_behind(failing: int) -> None:
    ended = []

    def work(part: int) -> None:
        if part == failing:
            raise MemoryError(part)
        time.sleep(0.1)
        ended.append(part)

    with pytest.raises(MemoryError, match=str(failing)):
        shared.together(work, 3)
    assert sorted(ended) == sorted({0, 1, 2} - {failing})


def test_parts_run_after_the_main_thread_has_ended() -> None:
    code = """
import threading, time
from qcaan.circuits import shared

def late():
    threading.main_thread().join()
    done = []
    shared.together(done.append, 3)
    print(sorted(done))

threading.Thread(target=late).start()
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert found.stdout == "[0, 1, 2]\n"


@pytest.mark.parametrize(
    ("limit", "threads"), [("1", 1), ("2", 2), ("0", 3), ("", 3), ("many", 3), ("8", 3), ("2,4", 2), ("²", 3)]
)
def test_the_environment_limits_the_threads(monkeypatch: pytest.MonkeyPatch, limit: str, threads: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 5}, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert Engine(Circuit(1))._threads == threads
