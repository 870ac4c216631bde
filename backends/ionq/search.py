"""The jobs of a device by the key in their metadata, read from IonQ page by page.

IonQ lists the project's jobs and cannot filter by metadata. A job that is searched for was mostly just created.

Why a reading may end before the last page: everything older was read before. That holds only while the list is in the
order of submission, the newest first, which is not documented. So the times on each page are looked at: where one is
out of order, or cannot be read, everything is read, now and ever after.

Why children are passed over: whether they inherit their parent's metadata is not documented, and a child is not the
job.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any

from backends.ionq.encode import KEY
from backends.ionq.reply import parsed
from qcaan.errors import IntegrityError

if TYPE_CHECKING:
    from backends.ionq.client import Client

_OVERLAP = timedelta(hours=1)
"""How far a listing may be behind."""
Job = Mapping[str, Any]


class JobSearch:
    """Looks for jobs of one device. Its calls may come from many threads."""

    def __init__(self, client: "Client", backend: str) -> None:
        self._client = client
        self._backend = backend
        self._known: dict[str, str] = {}
        self._read_since: datetime | None = None
        self._ordered = True
        self._lock = Lock()

    def find(self, key: str) -> str | None:
        """The id of the job that carries the key; None if IonQ lists none.

        Raises:
            BackendError: IonQ cannot be asked, or not to the end.
        """
        with self._lock:
            if key not in self._known:
                self._read(key)
            return self._known.get(key)

    def _read(self, key: str) -> None:
        newest = before = None
        for job in pages(self._client, target=self._backend):
            if job.get("parent_job_id") is None and (found := (job.get("metadata") or {}).get(KEY)):
                self._known[found] = str(job["id"])
            if key in self._known:
                return
            time = _time(job)
            if time is None or (before is not None and time > before):
                self._ordered = False
            newest, before = newest or time, time
            if self._ordered and self._read_since and time and time < self._read_since - _OVERLAP:
                break
        self._read_since = newest if self._ordered else None


def pages(client: "Client", **query: str) -> Iterator[Job]:
    """The jobs of a listing, page after page; the next page is asked for when it is needed."""
    for text in texts(client, **query):
        yield from parsed(text, "the list of jobs", "jobs")["jobs"]


def texts(client: "Client", **query: str) -> Iterator[str]:
    """The pages of a listing, as they come.

    Raises:
        IntegrityError: the listing does not end.
    """
    seen: set[str] = set()
    while True:
        text = client.get("/jobs", "list the jobs at IonQ", query=query)
        yield text
        following = parsed(text, "the list of jobs", "jobs").get("next")
        if not following:
            return
        if following in seen:
            raise IntegrityError(f"the list of jobs does not end: its page {following} comes twice")
        seen.add(following)
        query["next"] = following


def _time(job: Job) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(job.get("submitted_at")))
    except ValueError:
        return None
    return time if time.tzinfo else None
