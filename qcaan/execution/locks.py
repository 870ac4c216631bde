"""One process at a time drives a call; the lock dies with its holder, however it died."""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text

from qcaan.errors import StoreError

_STEP_S = 0.05
_held_in_memory: set[tuple[int, str]] = set()


@contextmanager
def call_lock(engine: Engine, durable: bool, name: str, wait_s: float) -> Iterator[None]:
    """Hold the lock `name` of a store: an advisory lock in PostgreSQL, a locked file beside SQLite.

    Raises:
        StoreError: somebody else holds it for longer than `wait_s`.
    """
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    if not durable:
        holding = _in_memory((id(engine), digest), name, wait_s)
    elif engine.dialect.name == "postgresql":
        holding = _advisory(engine, int(digest, 16) - 2**63, name, wait_s)
    else:
        holding = _file(f"{engine.url.database}-{digest}.lock", name, wait_s)
    with holding:
        yield


@contextmanager
def _in_memory(name_here: tuple[int, str], name: str, wait_s: float) -> Iterator[None]:
    def take() -> bool:
        before = len(_held_in_memory)
        _held_in_memory.add(name_here)
        return len(_held_in_memory) > before

    _wait(take, name, wait_s)
    try:
        yield
    finally:
        _held_in_memory.discard(name_here)


@contextmanager
def _advisory(engine: Engine, number: int, name: str, wait_s: float) -> Iterator[None]:
    take = text("SELECT pg_try_advisory_lock(:number)")
    give = text("SELECT pg_advisory_unlock(:number)")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        _wait(lambda: bool(connection.execute(take, {"number": number}).scalar_one()), name, wait_s)
        try:
            yield
        finally:
            connection.execute(give, {"number": number})


@contextmanager
def _file(path: str, name: str, wait_s: float) -> Iterator[None]:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _wait(lambda: _flock(descriptor), name, wait_s)  # noqa: B023 - called before the next turn
            if _same_file(descriptor, path):  # else its last holder removed it between our open and our lock
                break
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    try:
        yield
    finally:
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


def _wait(take: Callable[[], bool], name: str, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while not take():
        if time.monotonic() >= deadline:
            run, _, tag = name.partition("\n")
            raise StoreError(f"another process is working on '{tag}' of run '{run}'; wait for it, or stop it")
        time.sleep(_STEP_S)
