"""One thread takes the steps of many submissions, while their calls to a device are in the air on others.

A submission is a coroutine. All of its code runs on the thread that called `Loop.run`: its steps in the journal need no
lock, and nothing else does either. A pool's thread runs nothing but one call of a driver. Where a coroutine waits (for
a call, a time, a place), others go on.

Why not asyncio: its loop cannot run inside another one, as in a notebook, its clock cannot be replaced by one that
makes days of queueing pass at once, and it would cancel what is in the air. Here a run that ends early lands: calls in
the air are waited for, their coroutines take the step that records what came back, and end at their next wait.
"""

import heapq
import time
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from qcaan.execution.policy import HEED_S, Clock

T = TypeVar("T")
Steps = Coroutine[Any, Any, object]
_Place = Callable[[Steps], None]
"""Where a coroutine waits: takes it, and brings it back to the loop when its time has come."""


class Stopped(BaseException):
    """The run lands: raised where a coroutine waits, or would begin to. What it has recorded stays."""


@types.coroutine
def _wait_at(place: _Place) -> Generator[_Place, Any, Any]:
    return (yield place)


class Loop:
    """Runs coroutines; `workers` threads make their calls, one means that they are made in place.

    When the run ends early, calls in the air are waited for up to `landing_s` seconds, those that must land until they
    return or the waiting itself is interrupted.
    """

    def __init__(self, clock: Clock, workers: int = 1, landing_s: float = 0.0) -> None:
        self._clock = clock
        self._landing_s = landing_s
        self._workers = workers
        self._pool: ThreadPoolExecutor | None = None
        self._hands = Gate(self, workers)
        self._alive: dict[Steps, None] = {}
        self._ready: deque[Steps] = deque()
        self._asleep: list[tuple[float, int, Steps]] = []
        self._in_air: dict[Steps, bool] = {}
        """Whose calls have not returned, and whether they must land."""
        self._landed: SimpleQueue[tuple[Steps, Future[Any]] | None] = SimpleQueue()
        self._order = count()
        self._idle = False
        self.stopping = False

    # For coroutines

    async def call(
        self, work: Callable[[], T], before: Callable[[], None] | None = None, *, must_land: bool = False
    ) -> T:
        """What `work()` returns or raises; `before()` runs on the loop's thread the moment before it is handed over."""
        self._go_on()
        if self._pool is None or len(self._alive) == 1:  # nobody else could use the time
            if before is not None:
                before()
            return work()
        async with self._hands:
            self._go_on()
            if before is not None:
                before()
            future = self._pool.submit(work)
            result: T = await _wait_at(lambda steps: self._fly(steps, future, must_land))
            return result

    async def sleep(self, seconds: float) -> None:
        """Let at least so many seconds pass; 0 lets the others go first."""
        self._go_on()
        due = self._clock.now() + seconds
        await _wait_at(lambda steps: heapq.heappush(self._asleep, (due, next(self._order), steps)))

    # For the thread that runs them

    def start(self, steps: Steps) -> None:
        """Have a coroutine run, after those that were started before."""
        self._alive[steps] = None
        self.wake(steps)

    def wake(self, steps: Steps) -> None:
        """Have a coroutine go on that waited."""
        if steps in self._alive:
            self._ready.append(steps)

    def run(self) -> None:
        """Until every coroutine has ended, or one raises, or `stop` is called; then nothing is in the air any more."""
        self._pool = ThreadPoolExecutor(self._workers, "qcaan-call") if self._workers > 1 else None
        try:
            with suppress(Stopped):
                while self._alive and not self.stopping:
                    self._turn()
        except BaseException as error:  # Ctrl-C too: what is in the air is brought down first
            self._land(error)
            raise
        else:
            if (trouble := self._land()) is not None:
                raise trouble
        finally:
            for steps in self._alive:
                steps.close()
            self._alive.clear()
            if self._pool is not None:
                self._pool.shutdown(wait=False)

    def do(self, steps: Coroutine[Any, Any, T]) -> T:
        """Run one coroutine to its end, and return what it returns."""
        results: list[T] = []

        async def keep() -> None:
            results.append(await steps)

        self.start(keep())
        self.run()
        return results[0]

    def stop(self) -> None:
        """Land. May be called by a signal handler."""
        self.stopping = True
        if self._idle:
            raise Stopped  # nothing else would end the sleep
        self._landed.put(None)

    # Inside

    def _turn(self) -> None:
        if self._ready:
            self._resume(self._ready.popleft())
            return
        left_s = self._asleep[0][0] - self._clock.now() if self._asleep else None
        if left_s is not None and left_s <= 0:
            self._ready.append(heapq.heappop(self._asleep)[2])
        elif self._in_air:
            self._receive(left_s)
        elif left_s is not None:
            self._idle = True
            if not self.stopping:  # a signal may have come just before
                self._clock.sleep(left_s)
            self._idle = False
        else:
            raise AssertionError("a coroutine waits for nothing")

    def _receive(self, wait_s: float | None) -> None:
        """Let the next call that lands within so many seconds go on; it may return earlier."""
        with suppress(Empty):
            if news := self._landed.get(timeout=HEED_S if wait_s is None else min(wait_s, HEED_S)):
                steps, future = news
                del self._in_air[steps]
                error = future.exception()
                self._resume(steps, None if error else future.result(), error)

    def _fly(self, steps: Steps, future: "Future[Any]", must_land: bool) -> None:
        self._in_air[steps] = must_land
        future.add_done_callback(lambda done: self._landed.put((steps, done)))

    def _resume(self, steps: Steps, value: object = None, error: BaseException | None = None) -> None:
        if steps not in self._alive:
            return
        try:
            place = steps.send(value) if error is None else steps.throw(error)
        except StopIteration:
            del self._alive[steps]
        except BaseException:  # whatever ended it, it is not to be resumed
            del self._alive[steps]
            raise
        else:
            place(steps)

    def _go_on(self) -> None:
        if self.stopping:
            raise Stopped

    def _land(self, first: BaseException | None = None) -> BaseException | None:
        """Bring down what is in the air, end what has not ended; the first error, the later ones as its notes."""
        if not self._alive:
            return first
        self.stopping = True
        self._idle = False

        def attempt(step: Callable[[], object]) -> None:
            nonlocal first
            try:
                step()
            except Stopped:
                pass
            except Exception as error:  # noqa: BLE001 - the others must be brought down too
                if first is None:
                    first = error
                else:
                    first.add_note("\n".join([f"also: {error!r}", *getattr(error, "__notes__", ())]))

        def end(steps: Steps) -> None:
            attempt(lambda: self._resume(steps, error=Stopped()))

        for steps in [steps for steps in self._alive if steps not in self._in_air]:
            end(steps)
        deadline = time.monotonic() + self._landing_s
        while any(self._in_air.values()):
            attempt(lambda: self._receive(None))
        while self._in_air and (left_s := deadline - time.monotonic()) > 0:
            attempt(lambda: self._receive(left_s))
        for steps in list(self._alive):
            end(steps)
        return first


class Gate:
    """An asynchronous context that at most `n` coroutines are in; the others wait in the order in which they came."""

    def __init__(self, loop: Loop, n: int) -> None:
        self._loop = loop
        self._free = n
        self._queue: deque[Steps] = deque()

    async def __aenter__(self) -> None:
        if self._free:
            self._free -= 1
        else:
            await _wait_at(self._queue.append)

    async def __aexit__(self, *exception: object) -> None:
        if self._queue:
            self._loop.wake(self._queue.popleft())
        else:
            self._free += 1
