"""One thread runs the coroutines, others make their calls, and nothing stays in the air."""

import signal
import threading
import time
from queue import Empty

import pytest

from qcaan.execution.loop import Gate, Loop, Stopped
from qcaan.execution.policy import HEED_S, Clock, pause
from qcaan.execution.signals import landing


@pytest.fixture
def told():
    return []


class TestInPlace:
    def test_coroutines_take_turns_where_they_wait(self, fake_time, told):
        loop = Loop(fake_time.clock())

        async def steps(name, naps):
            for nap in naps:
                await loop.sleep(nap)
                told.append((name, fake_time.now))

        loop.start(steps("a", [2, 2]))
        loop.start(steps("b", [3, 0]))
        loop.run()
        assert told == [("a", 1002), ("b", 1003), ("b", 1003), ("a", 1004)]

    def test_a_sleep_of_nothing_lets_the_others_go_first(self, fake_time, told):
        loop = Loop(fake_time.clock())

        async def steps(name):
            told.append(name)
            await loop.sleep(0)
            told.append(name)

        loop.start(steps("a"))
        loop.start(steps("b"))
        loop.run()
        assert told == ["a", "b", "a", "b"]

    def test_calls_return_and_raise(self, fake_time, told):
        loop = Loop(fake_time.clock())

        async def steps():
            with pytest.raises(ZeroDivisionError):
                await loop.call(lambda: 1 / 0)
            return await loop.call(lambda: told.append("call") or 7, lambda: told.append("before"))

        assert loop.do(steps()) == 7
        assert told == ["before", "call"]
        assert loop.do(steps()) == 7, "a loop may run again"

    def test_a_gate_admits_so_many_in_the_order_in_which_they_came(self, fake_time, told):
        loop = Loop(fake_time.clock())
        gate = Gate(loop, 2)
        inside = []

        async def steps(name):
            async with gate:
                inside.append(name)
                told.append(list(inside))
                await loop.sleep(1)
                inside.remove(name)

        for name in "abcde":
            loop.start(steps(name))
        loop.run()
        assert [len(names) for names in told] == [1, 2, 2, 2, 2]
        assert "".join(names[-1] for names in told) == "abcde"

    def test_an_error_ends_the_others_where_they_wait(self, fake_time, told):
        loop = Loop(fake_time.clock())

        async def waiting():
            try:
                await loop.sleep(10)
            except Stopped:
                told.append("stopped")
                raise

        async def failing():
            await loop.sleep(1)
            raise ValueError("bad")

        async def clumsy():
            try:
                await loop.sleep(10)
            except Stopped:
                raise KeyError("worse") from None

        async def never_begun():
            told.append("begun")

        gate = Gate(loop, 0)

        async def behind_a_gate():
            async with gate:
                told.append("through")

        for steps in (waiting, failing, clumsy, behind_a_gate):
            loop.start(steps())
        with pytest.raises(ValueError, match="bad") as caught:
            loop.run()
        assert told == ["stopped"]
        assert "KeyError" in caught.value.__notes__[0]
        assert fake_time.now == 1001

    def test_stopped_is_the_end_of_calls_too(self, fake_time, told):
        loop = Loop(fake_time.clock())

        async def steps():
            loop.stop()
            told.append("still here")
            await loop.call(lambda: told.append("called"))

        loop.start(steps())
        loop.run()
        assert told == ["still here"]
        assert loop.stopping


class TestInTheAir:
    def test_calls_are_made_together_and_the_rest_on_one_thread(self, told):
        loop = Loop(Clock(), workers=3)
        together = threading.Barrier(3, timeout=120)

        async def steps():
            await loop.call(together.wait, lambda: told.append(threading.current_thread()))
            told.append(threading.current_thread())

        for _ in range(3):
            loop.start(steps())
        loop.run()
        assert set(told) == {threading.main_thread()}
        assert len(told) == 6

    def test_no_more_calls_than_workers(self):
        loop = Loop(Clock(), workers=2)
        inside, most, lock = [], [], threading.Lock()

        def work():
            with lock:
                inside.append(1)
                most.append(len(inside))
            time.sleep(0.002)
            with lock:
                inside.pop()

        async def steps():
            await loop.call(work)

        for _ in range(10):
            loop.start(steps())
        loop.run()
        assert len(most) == 10
        assert max(most) <= 2

    def test_errors_of_calls_reach_their_coroutine_with_their_traceback(self):
        loop = Loop(Clock(), workers=2)

        async def steps():
            with pytest.raises(ZeroDivisionError):
                await loop.call(lambda: 1 / 0)
            return "caught"

        assert loop.do(steps()) == "caught"

    def test_an_error_lands_what_is_in_the_air(self, told):
        loop = Loop(Clock(), workers=3, landing_s=120)
        in_air = threading.Event()

        def slow():
            in_air.set()
            deadline = time.monotonic() + 120
            while not loop.stopping:
                assert time.monotonic() < deadline, "the run does not land"
                time.sleep(0.001)
            return "job"

        async def flying():
            told.append(await loop.call(slow))
            await loop.call(lambda: told.append("a second call"))

        async def failing():
            await loop.call(in_air.wait)
            raise ValueError("bad")

        loop.start(flying())
        loop.start(failing())
        with pytest.raises(ValueError, match="bad"):
            loop.run()
        assert told == ["job"]

    def test_what_does_not_land_in_time_is_left(self, told):
        loop = Loop(Clock(), workers=3, landing_s=0.05)
        in_air, release = threading.Event(), threading.Event()

        def hanging():
            in_air.set()
            release.wait(120)

        async def flying():
            try:
                await loop.call(hanging)
            except Stopped:
                told.append("left")
                raise

        async def failing():
            await loop.call(in_air.wait)
            raise ValueError("bad")

        loop.start(flying())
        loop.start(failing())
        with pytest.raises(ValueError, match="bad"):
            loop.run()
        assert told == ["left"]
        release.set()

    def test_trouble_while_landing_is_told(self):
        loop = Loop(Clock(), workers=2, landing_s=120)

        def stopping():
            loop.stop()
            return "job"

        async def steps():
            raise OSError(await loop.call(stopping))

        loop.start(steps())
        with pytest.raises(OSError, match="job"):
            loop.run()


class TestSignals:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_ctrl_c_takes_effect_after_the_landing(self, told, workers):
        loop = Loop(Clock(), workers=workers, landing_s=120)

        def work():
            signal.raise_signal(signal.SIGINT)
            return "job"

        async def steps():
            told.append(await loop.call(work))
            await loop.sleep(1000)

        loop.start(steps())
        with pytest.raises(KeyboardInterrupt), landing(loop.stop):
            loop.run()
        assert told == ["job"]

    def test_ctrl_c_ends_a_sleep_at_once(self):
        def sleep(seconds):
            assert seconds > 900
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("slept on")

        loop = Loop(Clock(sleep=sleep), workers=2)
        loop.start(loop.sleep(1000))
        with pytest.raises(KeyboardInterrupt), landing(loop.stop):
            loop.run()

    @pytest.mark.parametrize("wait_s", [None, 1000.0])
    def test_a_wait_for_calls_is_short_so_that_no_signal_is_overlooked(self, wait_s):
        waits = []

        class Landed:
            def get(self, timeout):
                waits.append(timeout)
                raise Empty

        loop = Loop(Clock(), workers=2)
        loop._landed = Landed()
        loop._receive(wait_s)
        assert waits == [HEED_S]

    def test_so_is_every_part_of_a_sleep(self, monkeypatch):
        now, naps = [0.0], []

        def nap(seconds):
            naps.append(seconds)
            now[0] += seconds

        monkeypatch.setattr(time, "sleep", nap)
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        pause(2.5)
        assert naps == [1.0, 1.0, 0.5]
