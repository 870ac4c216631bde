"""The tasks of a device by the tag that holds their key, read from AWS page by page.

The service lists what it keeps, 90 days, the newest first, and cannot filter by tag. A task that is searched for was
mostly just created, so that it is on the first page. Where there is none everything must be read; after that, only what
was created since an hour before the newest task that is known, which is more than a search is behind.

Why a reading that is limited by time is checked: whether the filter `createdAt` is understood as it is meant here, only
the real service can tell, and a task that it hid would be paid twice. So such a reading must list a task that is known;
if it does not, everything is read again, now and ever after.

Why the order is checked: how the pages are told apart is not published. If by counting, each task that vanishes from
the pages that were read moves another one over the edge of the next page, unread. The newest first, that does no harm:
what vanishes is older than 90 days, and what moves is older still; what is new moves tasks into pages that are still
to be read. In any other order everything is read twice. If the second reading lists all that the first one did,
nothing had vanished by the end of the first, so it passed nothing over; if not, "there is none" would be a guess.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from threading import Lock
from typing import Any

from qcaan.errors import RejectedError, TransientError

KEY_TAG = "qcaan-key"
"""Tag of a task that holds the submission's key."""
_OVERLAP = timedelta(hours=1)
Task = Mapping[str, Any]


class TaskSearch:
    """Looks for tasks of one device. Its calls may come from many threads.

    Args:
        device: the device's ARN.
        read: the tasks that pass filters, as `SearchQuantumTasks` describes both; reads a page when it is needed.
    """

    def __init__(self, device: str, read: Callable[[list[dict[str, Any]]], Iterable[Task]]) -> None:
        self._mine = {"name": "deviceArn", "operator": "EQUAL", "values": [device]}
        self._read = read
        self._known: dict[str, str] = {}
        self._newest: Task | None = None  # of those that were read when all were
        self._limited = True
        self._ordered = True
        self._lock = Lock()

    def find(self, key: str) -> str | None:
        """The ARN of a task that is tagged with `key`; None if the service lists none.

        Raises:
            BackendError: the service cannot be asked, or not to the end, or tasks vanished while they were listed.
        """
        with self._lock:
            if key not in self._known and not self._read_new(key):
                self._read_all(key)
            return self._known.get(key)

    def _read_new(self, key: str) -> bool:
        """Whether that could be told from the new tasks alone."""
        newest = self._newest
        if newest is None or not (self._limited and self._ordered):
            return False
        since = (newest["createdAt"] - _OVERLAP).isoformat(timespec="milliseconds")
        try:
            seen = self._read_until(key, [self._mine, {"name": "createdAt", "operator": "GTE", "values": [since]}])
        except RejectedError:
            seen = set()
        self._limited = key in self._known or newest["quantumTaskArn"] in seen
        return key in self._known or (self._limited and self._ordered)

    def _read_all(self, key: str) -> None:
        """Read until the key is found, or until nothing can have been passed over."""
        first = self._read_until(key, [self._mine])
        if key in self._known or self._ordered:
            return
        second = self._read_until(key, [self._mine])
        if key not in self._known and (gone := first - second):
            raise TransientError(f"{len(gone)} tasks vanished while they were listed, {min(gone)} is one of them")

    def _read_until(self, key: str, filters: list[dict[str, Any]]) -> set[str]:
        """Read until the key is found, or to the end; the ARNs of the tasks that were read."""
        tasks: dict[str, Task] = {}
        before = None
        for task in self._read(filters):
            arn = str(task["quantumTaskArn"])
            if arn not in tasks:  # a page repeats some of the last one's when new ones came meanwhile
                self._ordered = self._ordered and (before is None or task["createdAt"] <= before)
                before = task["createdAt"]
            tasks[arn] = task
            if tag := task.get("tags", {}).get(KEY_TAG):
                self._known[tag] = arn
            if tag == key:
                break
        else:
            known = [*tasks.values(), *filter(None, [self._newest])]
            self._newest = max(known, key=lambda one: one["createdAt"], default=None)
        return set(tasks)
