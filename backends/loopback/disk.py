"""What survives a kill: one SQLite file of records (kind, key) -> bytes, written by one thread.

Why group commits: what a client is told must be durable before it is told, and a commit costs a sync of the disk. All
records of the calls that are in progress go into one commit, so that many clients share its price. A call waits in
`durable` for its own records and for those of every call whose outcome it could have seen.
"""

import asyncio
import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from qcaan.errors import ConfigError

T = TypeVar("T")
_SCHEMA = """
PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS records (kind TEXT NOT NULL, key TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, key));
"""


class Disk:
    """The records of one vendor's service in the folder `state`. Opened by one process at a time.

    Raises:
        ConfigError: the folder cannot be used, or another service has it open.
    """

    def __init__(self, state: Path, vendor: str) -> None:
        try:
            state.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(state / f"{vendor}.sqlite", check_same_thread=False, timeout=1)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.executescript(_SCHEMA)
        except sqlite3.OperationalError as error:
            remedy = "another service has it open: stop that one" if "locked" in str(error) else "use another folder"
            raise ConfigError(f"--state {state}: {error}; {remedy}") from error
        except OSError as error:
            raise ConfigError(f"--state {state}: {error}; use another folder") from error
        self._thread = ThreadPoolExecutor(1, "disk")
        self._pending: list[tuple[str, str, bytes | None]] = []
        self._turn = asyncio.Lock()

    def all(self, kind: str) -> list[tuple[str, bytes]]:
        """Every committed record of a kind, by key; for the start, before any call."""
        return self._db.execute("SELECT key, body FROM records WHERE kind = ? ORDER BY key", (kind,)).fetchall()

    def put(self, kind: str, key: str, body: bytes) -> None:
        """Write a record; durable after the next `durable`."""
        self._pending.append((kind, key, body))

    def delete(self, kind: str, key: str) -> None:
        """Remove a record; durable after the next `durable`."""
        self._pending.append((kind, key, None))

    async def durable(self) -> None:
        """Return when everything that was put before this call is on disk."""
        if not self._pending and not self._turn.locked():
            return
        async with self._turn:
            if not self._pending:
                return
            batch, self._pending = self._pending, []
            try:
                await self._run(lambda: self._commit(batch))
            except BaseException:  # a cancelled call must lose the records of no other
                self._pending = batch + self._pending
                raise

    async def get(self, kind: str, key: str) -> bytes | None:
        """The committed body of a record, None if there is none."""
        query = "SELECT body FROM records WHERE kind = ? AND key = ?"
        row = await self._run(lambda: self._db.execute(query, (kind, key)).fetchone())
        return None if row is None else bytes(row[0])

    async def sizes(self, kind: str, prefix: str, after: str, limit: int) -> list[tuple[str, int]]:
        """Key and size in bytes of at most `limit` committed records whose keys begin with `prefix`, after `after`."""
        query = (
            "SELECT key, length(body) FROM records WHERE kind = ? AND key >= ? AND key < ? AND key > ? "
            "ORDER BY key LIMIT ?"
        )
        values = (kind, prefix, prefix + chr(sys.maxunicode), after, limit)
        rows: list[tuple[str, int]] = await self._run(lambda: self._db.execute(query, values).fetchall())
        return rows

    async def close(self) -> None:
        """Commit what is pending and close the file."""
        await self.durable()
        await self._run(self._db.close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _commit(self, batch: list[tuple[str, str, bytes | None]]) -> None:
        with self._db:
            for kind, key, body in batch:
                if body is None:
                    self._db.execute("DELETE FROM records WHERE kind = ? AND key = ?", (kind, key))
                else:
                    self._db.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", (kind, key, body))
