"""How long to wait, how often to try again: values, with the clock and the random numbers as arguments.

What is tried again is decided by the error's class (see `qcaan.errors`), never by its text. Waits are full-jitter
exponential: uniform between zero and a bound that doubles, so that many clients do not return in step.
"""

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import tenacity

from qcaan.errors import UnavailableError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Times in seconds. A deadline that passes detaches; it never sends anything again."""

    create_s: float = 600.0
    """Trying to submit while the provider is throttling or unreachable."""
    wait_s: float = 86_400.0
    """Queueing and running, for all jobs of a call together."""
    download_s: float = 120.0
    """Trying to fetch a reply while the provider is throttling or unreachable."""
    late_s: float = 90.0
    """A finished job whose reply is not readable yet, or a young job that the provider does not know yet."""
    settle_s: float = 90.0
    """Until a job that was accepted is sure to be found by its key.

    More than a driver's longest call to submit (its time-outs, once each) plus the lag of the provider's search: a
    process that was killed may have left a submission on its way.
    """
    unavailable_s: float = 0.0
    """Waiting for a device that is offline or a quota that is used up; 0 stops at once."""
    first_backoff_s: float = 0.5
    max_backoff_s: float = 30.0
    first_poll_s: float = 1.0
    max_poll_s: float = 60.0
    attempts: int = 3
    """Times a circuit that the provider fails is run in all; each costs its price again."""
    max_in_flight: int = 100
    """Submissions that may be queued or running at once."""
    workers: int = 16
    """Calls to a remote device that may be in the air at once, each on a thread; 1 makes them one after another."""
    landing_s: float = 30.0
    """When a run is stopped or fails: waiting for calls in the air, so that what they return is recorded.

    Where the device does not know keys, submissions are waited for without a limit: see `qcaan.execution.exchange`.
    """
    submits_per_s: float = 20.0
    """Submissions to one account, of all processes that share the store together."""
    requests_per_s: float = 140.0
    """All calls to one account, of all processes that share the store together."""
    stall_queued_s: float = 43_200.0
    """A queued job whose place in the queue does not change for so long is reported as stalled."""
    stall_running_s: float = 3_600.0
    """A running job that does not end for so long is reported as stalled."""
    facts_s: float = 600.0
    """What is known of a remote device (calibration, price, limits) is read again before more is sent, if it is older.

    Only where the backend can be made anew: see `refresh` of `qcaan.execution.runner.Runner`.
    """
    lock_s: float = 10.0
    """Waiting for another process that works on the same call."""


HEED_S = 1.0
"""The longest single wait: a signal that comes just before a wait may be overlooked by Python until that has ended."""


def pause(seconds: float) -> None:
    """Sleep so long, heeding signals."""
    end = time.monotonic() + seconds
    while (left_s := end - time.monotonic()) > 0:
        time.sleep(min(left_s, HEED_S))


@dataclass(frozen=True)
class Clock:
    """Time and chance, replaceable in tests."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = pause
    rng: random.Random = field(default_factory=random.Random)

    def jitter(self, bound_s: float) -> float:
        """Uniform between 0 and `bound_s`."""
        return self.rng.uniform(0.0, bound_s)


async def retry(
    ask: Callable[[], Awaitable[T]],
    kinds: dict[type[Exception], float],
    patience: Patience,
    clock: Clock,
    sleep: Callable[[float], Awaitable[None]],
) -> T:
    """`ask()` until it succeeds; errors of `kinds` are tried again for so many seconds, then the last one is raised.

    Nearly every first try succeeds, and to make a retrying object takes longer than many a local device.
    """
    started = clock.now()
    failed: list[Exception] = []
    try:
        return await ask()
    except tuple(kinds) as error:
        failed.append(error)

    def wait_s(state: tenacity.RetryCallState) -> float:
        if isinstance(_error(state), UnavailableError):
            return patience.max_poll_s / 2 + clock.jitter(patience.max_poll_s / 2)
        bound = patience.first_backoff_s * 2.0 ** min(state.attempt_number - 1, 30)
        return clock.jitter(min(patience.max_backoff_s, bound))

    def over(state: tenacity.RetryCallState) -> bool:
        limit_s = next(limit for kind, limit in kinds.items() if isinstance(_error(state), kind))
        return clock.now() - started + state.upcoming_sleep > limit_s

    async def once() -> T:
        if failed:
            raise failed.pop()  # the first try counts
        return await ask()

    return await tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(tuple(kinds)), wait=wait_s, stop=over, sleep=sleep, reraise=True
    )(once)


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
