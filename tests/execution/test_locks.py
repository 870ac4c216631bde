"""Two processes on one call: only one drives it, whatever becomes of its lock."""

import os
import threading
import time

import pytest
from sqlalchemy import text

from qcaan.circuits.circuit import Circuit, theta
from qcaan.errors import (
    StoreError,
    UnavailableError,
    UnknownFateError,
)
from qcaan.execution import Fault, Request, Store

CIRCUIT = Circuit(2).ry(theta[0], 0).cx(0, 1)
WANTED = [Request(CIRCUIT, 50, [[0.3], [0.7], [1.1]])]


class TestTwoProcesses:
    def test_a_step_that_another_process_took_is_not_taken_twice(self, go, scripted, memory):
        device = scripted(dedupe="none", queue_s=5, account="ours")
        with pytest.raises(UnavailableError):
            go(scripted(Fault("submit", 1, "offline"), dedupe="none", account="ours"))
        number = memory.call("a", "t").submissions[0].id
        memory.sending(number)
        for step in (lambda: memory.sending(number), lambda: memory.decoded(number, b"", {}, 1.0)):
            with pytest.raises(StoreError, match="another process went on with it"):
                step()
        with pytest.raises(UnknownFateError):
            go(device)
        assert device.n_jobs == 2

    def test_who_lost_the_lock_sends_nothing_more(self, go, scripted, disk, fake_time, tmp_path):
        device = scripted()
        whole = device.submit

        def submit(*args):
            for path in tmp_path.glob("*.lock"):
                path.unlink()
            return whole(*args)

        device.submit = submit
        with pytest.raises(StoreError, match="lock of this call was lost"):
            go(device, store=disk)
        assert device.n_jobs == 1
        device.submit = whole
        go(device, store=disk)
        assert device.n_jobs == 3

    def test_a_session_that_postgres_ended_is_a_lost_lock(self, postgres_url, go, scripted, fake_time):
        device = scripted()
        whole = device.submit
        end = "SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE l.locktype = 'advisory'"
        with Store.open(postgres_url) as store, Store.open(postgres_url) as other:
            store.clock = fake_time

            def submit(*args):
                with other.write() as connection:
                    connection.execute(text(end))
                return whole(*args)

            device.submit = submit
            with pytest.raises(StoreError, match="lock of this call was lost"):
                go(device, store=store)
            assert device.n_jobs == 1
            device.submit = whole
            go(device, store=store)
            assert device.n_jobs == 3

    def test_two_names_of_a_store_are_one_lock(self, disk, tmp_path):
        (tmp_path / "link.sqlite").symlink_to(tmp_path / "store.sqlite")
        busy = pytest.raises(StoreError, match="another process is working")
        with Store.open(tmp_path / "link.sqlite") as other, disk.lock("a", "t", 0), busy, other.lock("a", "t", 0):
            pass

    def test_a_lock_that_cannot_be_made(self, disk, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "open", full)
        with pytest.raises(StoreError, match="No space left"), disk.lock("a", "t", 0):
            pass

    def test_the_lock_is_one_among_threads_too(self, memory):
        inside, most = [], []

        def work():
            with memory.lock("a", "t", 60):
                inside.append(1)
                time.sleep(0.01)  # whom the lock lets in as well has the time to come
                most.append(len(inside))
                inside.pop()

        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == [1] * 5
