"""One process at a time drives a call; the lock dies with its holder, however it died.

Why a holder asks again whether it still holds the lock: a laptop that sleeps loses its connection to PostgreSQL, and
with it the lock; another process may have sent meanwhile what this one was about to send.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from qcaan.errors import StoreError

Held = Callable[[], None]
"""Returns while the lock is held.

Raises:
    StoreError: the lock was lost.
"""

_STEP_S = 0.05
_held_in_memory: set[tuple[int, str]] = set()


@contextmanager
def store_lock(engine: Engine, durable: bool, name: str, busy: str, wait_s: float) -> Iterator[Held]:
    """Hold the lock `name` of a store: an advisory lock in PostgreSQL, a locked file beside SQLite.

    Raises:
        StoreError: somebody else holds it for longer than `wait_s`: the message is `busy`; or it cannot be made.
    """
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    if not durable:
        holding = _in_memory((id(engine), digest), busy, wait_s)
    elif engine.dialect.name == "postgresql":
        holding = _advisory(engine, int(digest, 16) - 2**63, busy, wait_s)
    else:
        # Two names of one file are one lock.
        holding = _file(f"{os.path.realpath(engine.url.database or '')}-{digest}.lock", busy, wait_s)
    with holding as held:
        yield held


@contextmanager
def _in_memory(name_here: tuple[int, str], busy: str, wait_s: float) -> Iterator[Held]:
    def take() -> bool:
        before = len(_held_in_memory)
        _held_in_memory.add(name_here)
        return len(_held_in_memory) > before

    _wait(take, busy, wait_s)
    try:
        yield lambda: None
    finally:
        _held_in_memory.discard(name_here)


@contextmanager
def _advisory(engine: Engine, number: int, busy: str, wait_s: float) -> Iterator[Held]:
    take = text("SELECT pg_try_advisory_lock(:number)")
    give = text("SELECT pg_advisory_unlock(:number)")
    session = text("SELECT pg_backend_pid()")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        mine = connection.execute(session).scalar_one()
        _wait(lambda: bool(connection.execute(take, {"number": number}).scalar_one()), busy, wait_s)

        def held() -> None:
            try:
                same = connection.execute(session).scalar_one() == mine
            except SQLAlchemyError:
                same = False
            if not same:
                raise _lost()

        try:
            yield held
        finally:
            try:
                connection.execute(give, {"number": number})
            except SQLAlchemyError:
                connection.invalidate()  # the lock went with its session, and the session must not be used again


@contextmanager
def _file(path: str, busy: str, wait_s: float) -> Iterator[Held]:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise StoreError(f"the lock beside the store cannot be made: {error}") from error
        try:
            _wait(lambda: _flock(descriptor), busy, wait_s)  # noqa: B023 - called before the next turn
            if _same_file(descriptor, path):  # else its last holder removed it between our open and our lock
                break
        except BaseException:  # Ctrl-C while it waits, too: nobody else would close the descriptor
            os.close(descriptor)
            raise
        os.close(descriptor)

    def held() -> None:
        if not _same_file(descriptor, path):
            raise _lost()

    try:
        yield held
    finally:
        if _same_file(descriptor, path):
            with suppress(OSError):  # a lock file that stays is in nobody's way
                os.unlink(path)  # noqa: PTH108 - a plain name beside the descriptor
        os.close(descriptor)


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same_file(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))  # noqa: PTH116 - a descriptor has no Path
    except FileNotFoundError:
        return False


def _wait(take: Callable[[], bool], busy: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while not take():
        if time.monotonic() >= deadline:
            raise StoreError(busy)
        time.sleep(_STEP_S)


def _lost() -> StoreError:
    return StoreError("the lock of this call was lost, another process may be working on it; nothing more was sent")
