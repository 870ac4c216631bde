"""Signals during what must not be cut off: held back once, raised again at its end, never lost."""

import signal
import threading
from collections.abc import Iterator
from itertools import count

import pytest

from qcaan.execution.signals import landing


class Terminated(BaseException):
    """Raised by this process's handler of SIGTERM."""


@pytest.fixture
def terminated() -> Iterator[None]:
    def handler(_number: int, _frame: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, handler)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_second_signal_is_not_held_back() -> None:
    passed = []

    def twice() -> None:
        with landing():
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)
                passed.append("held back")

    with pytest.raises(KeyboardInterrupt):
        twice()
    assert passed == ["held back"]


def test_handlers_of_others_are_called_and_come_back() -> None:
    told: list[object] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: told.append(number))
    try:
        mine = signal.getsignal(signal.SIGTERM)
        with landing(lambda: told.append("stop")):
            signal.raise_signal(signal.SIGTERM)
        assert told == ["stop", signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is mine
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with landing(lambda: told.append("stop")):
            signal.raise_signal(signal.SIGTERM)
        assert told == ["stop", signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_ends_the_process_without_python_is_held_back_only_to_record() -> None:
    """A call that hangs in C runs no handler, and must be ended by SIGTERM."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with landing():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        with landing(lambda: None):
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_have_no_signals() -> None:
    told = []

    def work() -> None:
        with landing():
            told.append("ran")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told == ["ran"]


@pytest.mark.usefixtures("terminated")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("call", range(4))
@pytest.mark.parametrize("after", [False, True])
def test_no_signal_is_lost_while_handlers_change(
    monkeypatch: pytest.MonkeyPatch, number: int, call: int, after: bool
) -> None:
    """Neither the one that comes then, nor any later one."""
    calls, change = count(), signal.signal

    def interrupted(changed: int, handler: signal.Handlers) -> object:
        now = next(calls) == call
        if now and not after:
            signal.raise_signal(number)
        previous = change(changed, handler)
        if now and after:
            signal.raise_signal(number)
        return previous

    def land() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(signal, "signal", interrupted)
            with landing(lambda: None):
                pass

    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else Terminated):
        land()
    for later, error in ((signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)):
        with pytest.raises(error):
            signal.raise_signal(later)


@pytest.mark.usefixtures("terminated")
def test_a_second_signal_is_not_held_back_either_if_the_first_came_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """While handlers were put in: the one for the second is put in after it."""
    change, stopped = signal.signal, []

    def interrupted(changed: int, handler: signal.Handlers) -> object:
        monkeypatch.setattr(signal, "signal", change)
        previous = change(changed, handler)
        signal.raise_signal(signal.SIGINT)
        return previous

    def land() -> None:
        with landing(lambda: stopped.append(1)):
            signal.raise_signal(signal.SIGTERM)
            stopped.append(2)

    monkeypatch.setattr(signal, "signal", interrupted)
    with pytest.raises(KeyboardInterrupt) as raised:
        land()
    assert isinstance(raised.value.__context__, Terminated)
    assert stopped == [1]
