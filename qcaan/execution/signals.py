"""Ctrl-C and SIGTERM during what must not be cut off: calls whose replies are recorded, steps of several processes."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def landing(stop: Callable[[], None] = lambda: None, *, only_if: bool = True) -> Iterator[None]:
    """SIGINT and SIGTERM call `stop` in place of their handlers, and are raised again when the block has ended.

    A second signal is not held back. Where signals are not ours (another thread, ignored, `only_if` false): as ever.
    """
    if not only_if or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ours = {number: handler for number, handler in before.items() if handler not in (None, signal.SIG_IGN)}
    came: list[int] = []

    def restore() -> None:
        for number, handler in ours.items():
            signal.signal(number, handler)

    def hold(number: int, _frame: object) -> None:
        came.append(number)
        restore()
        stop()

    for number in ours:
        signal.signal(number, hold)
    try:
        yield
    finally:
        restore()
        if came:
            signal.raise_signal(came[0])
