"""Ctrl-C and SIGTERM during calls whose replies are recorded; Ctrl-C during steps of several processes, too."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def landing(stop: Callable[[], None] | None = None, *, only_if: bool = True) -> Iterator[None]:
    """SIGINT and SIGTERM are held back, and raised again when the block has ended; when they come they call `stop`.

    A second signal is not held back. Where signals are not ours (another thread, ignored, `only_if` false): as ever. So
    too, without `stop`, a signal that ends the process where it stands, as SIGTERM does by default: no Python runs then
    that could be cut off, and a call that hangs in C could be ended by nothing else.
    """
    if not only_if or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    others = (None, signal.SIG_IGN) if stop else (None, signal.SIG_IGN, signal.SIG_DFL)
    ours = {number: handler for number, handler in before.items() if handler not in others}
    came: list[int] = []
    over = False

    def restore() -> None:
        for number, handler in ours.items():
            signal.signal(number, handler)

    def hold(number: int, _frame: object) -> None:
        restore()
        if over or came:  # another signal had cut the restoring, or the installing, off
            signal.raise_signal(number)
            return
        came.append(number)
        if stop:
            stop()

    try:
        for number in ours:
            signal.signal(number, hold)
        yield
    finally:
        over = True
        restore()
        if came:
            signal.raise_signal(came[0])
