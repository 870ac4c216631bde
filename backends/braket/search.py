"""The tasks of a device by the tag that holds their key, read from AWS page by page.

The service lists what it keeps, 90 days, the newest first, and cannot filter by tag. A task that is searched for was
mostly just created, so that it is on the first page. Where there is none everything must be read; after that, only what
was created since an hour before the newest task that is known, which is more than a search is behind.

Why a reading that is limited by time is checked: whether the filter `createdAt` is understood as it is meant here, only
the real service can tell, and a task that it hid would be paid twice. So such a reading must list a task that is known;
if it does not, everything is read again, now and ever after.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from threading import Lock
from typing import Any

from qcaan.errors import RejectedError

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
        self._lock = Lock()

    def find(self, key: str) -> str | None:
        """The ARN of a task that is tagged with `key`; None if the service lists none.

        Raises:
            BackendError: the service cannot be asked, or not to the end.
        """
        with self._lock:
            if key not in self._known and not self._read_new(key):
                self._read_until(key, [self._mine])
            return self._known.get(key)

    def _read_new(self, key: str) -> bool:
        """Whether that could be told from the new tasks alone."""
        newest = self._newest
        if newest is None or not self._limited:
            return False
        since = (newest["createdAt"] - _OVERLAP).isoformat(timespec="milliseconds")
        try:
            seen = self._read_until(key, [self._mine, {"name": "createdAt", "operator": "GTE", "values": [since]}])
        except RejectedError:
            seen = set()
        self._limited = key in self._known or newest["quantumTaskArn"] in seen
        return self._limited

    def _read_until(self, key: str, filters: list[dict[str, Any]]) -> set[str]:
        """Read until the key is found, or to the end; the ARNs of the tasks that were read."""
        tasks = []
        for task in self._read(filters):
            tasks.append(task)
            if tag := task.get("tags", {}).get(KEY_TAG):
                self._known[tag] = str(task["quantumTaskArn"])
            if tag == key:
                break
        else:
            self._newest = max([*tasks, *filter(None, [self._newest])], key=lambda one: one["createdAt"], default=None)
        return {str(task["quantumTaskArn"]) for task in tasks}
