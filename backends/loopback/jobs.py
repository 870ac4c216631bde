"""The jobs of a service, and each one's way through queue and device.

A vendor says what a job is (`Job`), how it is executed and what becomes of its results (`Jobs`).

Why everything is in memory and on disk: calls are answered from memory; what changes is put on disk before the reply
(`backends.loopback.disk`). A restarted service reads its jobs back and goes on with those that are open.
"""

import asyncio
import json
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, Generic, Self, TypeVar

from backends.loopback.disk import Disk
from backends.loopback.faults import Fault, Injector, Vocabulary, read_faults
from backends.loopback.physics import Physics

_log = logging.getLogger(__name__)
_LOOK_S = 0.05
"""Between two looks whether a device is back."""
ENDED = ("COMPLETED", "FAILED", "CANCELLED")


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long things take, and how they come out."""

    physics: Physics
    queue_s: float = 0.0
    """A job waits at least so long."""
    run_s: float = 0.0
    """A job runs at least so long."""
    workers: int = 2
    """Jobs that run at the same time."""


@dataclass(frozen=True)
class Spoiled:
    """What is wrong with a job on purpose."""

    failure: str = ""
    """Reason why it fails."""
    failed_circuits: float = 0.0
    """Share of its circuits that fail, at least one if it is not zero."""
    weight: float = 1.0
    """Factor of one of the outcomes' probabilities, so that they do not sum to 1."""


@dataclass(frozen=True)
class Outcome:
    """What a job left: its documents by name, or the reason why it failed."""

    documents: Mapping[str, bytes]
    successful_shots: int
    reason: str = ""
    seconds: float = 0.0
    """Time that it is charged for, where time is what costs."""


@dataclass(kw_only=True)
class Job:
    """One job. Everything but the programs themselves, which stay on disk; times in seconds since 1970."""

    id: str
    """The provider's full name for it."""
    number: int
    """Position in the order of creation."""
    device: str
    """The device's full name."""
    shots: int
    """Of all circuits together."""
    price: str
    """US dollars if it completes."""
    fate: dict[str, float | str | None] = field(default_factory=dict)
    """The faults that await it: kind -> what the kind needs to know."""
    created: float = field(default_factory=time.time)
    status: str = "QUEUED"
    """QUEUED, RUNNING, CANCELLING, COMPLETED, FAILED or CANCELLED; vendors have their own words for these."""
    reason: str = ""
    started: float | None = None
    ended: float | None = None
    successful_shots: int | None = None
    charge: str = "0"
    """US dollars on the bill so far."""

    @property
    def is_open(self) -> bool:
        """It may still change."""
        return self.status not in ENDED

    @property
    def n_circuits(self) -> int:
        """Circuits that it runs."""
        return 1

    @property
    def committed_usd(self) -> Decimal:
        """What it costs, or will if it completes."""
        return Decimal(self.price if self.is_open else self.charge)

    @property
    def spoiled(self) -> Spoiled:
        """What its fate does to its results."""
        return Spoiled(
            failure=str(self.fate.get("failed", "")),
            failed_circuits=float(self.fate.get("partial") or 0),
            weight=float(self.fate.get("wrong_sum", 1) or 0),
        )

    def to_json(self) -> bytes:
        """As it is kept on disk."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """The inverse of `to_json`."""
        return cls(**json.loads(text))

    def view(self) -> dict[str, Any]:
        """As people and tests see it: money as a number."""
        numbers = {"price": float(self.price), "charge": float(self.charge), "circuits": self.n_circuits}
        return asdict(self) | numbers


J = TypeVar("J", bound=Job)


class Jobs(ABC, Generic[J]):
    """All jobs, and the devices' queue."""

    def __init__(self, disk: Disk, pace: Pace, kind: type[J], vocabulary: Vocabulary) -> None:
        self._disk = disk
        self._pace = pace
        self._vocabulary = vocabulary
        kept = [Injector.from_json(body, vocabulary) for _, body in disk.all("faults")]
        self.injector = kept[0] if kept else Injector()
        known = sorted((kind.from_json(body) for _, body in disk.all("job")), key=lambda job: job.number)
        self._jobs = {job.id: job for job in known}
        self._waiting: dict[str, J] = {}
        self._offline_until: dict[str, float] = {name: json.loads(until) for name, until in disk.all("offline")}
        self._slots = asyncio.Semaphore(pace.workers)
        self._pool = ThreadPoolExecutor(pace.workers, "device")
        self._lives: set[asyncio.Task[None]] = set()

    @abstractmethod
    def _work(self, job: J, action: bytes) -> Callable[[], Outcome]:
        """What a worker thread does for a job, whose programs are `action`."""

    @abstractmethod
    def _write(self, job: J, outcome: Outcome) -> None:
        """Put the documents of a job that has ended where its owner finds them."""

    @abstractmethod
    def _charge(self, job: J, outcome: Outcome) -> str:
        """US dollars that a completed job costs."""

    def start(self) -> None:
        """Go on with the jobs that are open."""
        for job in self._jobs.values():
            if job.is_open:
                job.status = "QUEUED" if job.status == "RUNNING" else job.status
                self._begin(job)

    async def stop(self) -> None:
        """Stop in the middle of everything; the open jobs go on after the next start."""
        for life in self._lives:
            life.cancel()
        await asyncio.gather(*self._lives, return_exceptions=True)
        self._pool.shutdown(cancel_futures=True)

    def all(self) -> list[J]:
        """Every job, in the order of creation."""
        return list(self._jobs.values())

    def find(self, job_id: str) -> J | None:
        """A job, None if there is none."""
        return self._jobs.get(job_id)

    def bill_usd(self) -> Decimal:
        """What all jobs cost so far."""
        return sum((Decimal(job.charge) for job in self._jobs.values()), Decimal(0))

    def add(self, job: J, action: bytes) -> None:
        """Take a job with its programs into the queue."""
        if self.injector.faults:
            self.save_faults()
        self._jobs[job.id] = job
        self._disk.put("action", job.id, action)
        self.save(job)
        self._begin(job)

    def save(self, job: J) -> None:
        """Put a job on disk as it is."""
        self._disk.put("job", job.id, job.to_json())

    def withdraw(self, job: J) -> None:
        """Cancel an open job: at once and free of charge in the queue; a running one ends first, and is charged."""
        if job.status == "QUEUED":
            self._finish(job, "CANCELLED")
        elif job.status == "RUNNING":
            job.status = "CANCELLING"
            self.save(job)

    def position(self, job: J) -> int | None:
        """Place of a job in its device's queue, 1 for the next; None if it is not in it."""
        if job.status != "QUEUED":
            return None
        return 1 + sum(o.device == job.device and o.number < job.number for o in self._waiting.values())

    def queue_size(self, device: str) -> int:
        """Jobs that wait for a device."""
        return sum(job.device == device for job in self._waiting.values())

    def youngest_listed(self) -> float:
        """Time of creation of the youngest job that a listing may tell, seconds since 1970."""
        rule = self.injector.rule("slow_search")
        return time.time() - (rule.seconds or 0) if rule else math.inf

    def is_offline(self, device: str) -> bool:
        """The device takes no jobs now."""
        return time.time() < self._offline_until.get(device, 0)

    def go_offline(self, device: str, seconds: float | None) -> None:
        """Take a device offline for so long, None for as long as the faults stay."""
        self._offline_until[device] = math.inf if seconds is None else time.time() + seconds
        self._disk.put("offline", device, json.dumps(self._offline_until[device]).encode())

    def read_faults(self, entries: object) -> list[Fault]:
        """Faults of this service from a list of mappings.

        Raises:
            ConfigError: a fault is wrong.
        """
        return read_faults(entries, "faults", self._vocabulary)

    def set_faults(self, faults: Sequence[Fault]) -> None:
        """Put these faults in force instead of the others, counted from zero; devices offline for good come back."""
        self.injector = Injector(faults)
        self.save_faults()
        for name in [name for name, until in self._offline_until.items() if until == math.inf]:
            del self._offline_until[name]
            self._disk.delete("offline", name)

    def save_faults(self) -> None:
        """Put the faults and how often they hit on disk."""
        self._disk.put("faults", "in force", self.injector.to_json())

    def _begin(self, job: J) -> None:
        self._waiting[job.id] = job
        life = asyncio.get_running_loop().create_task(self._live(job))
        self._lives.add(life)
        life.add_done_callback(self._ended)

    def _ended(self, life: "asyncio.Task[None]") -> None:
        self._lives.discard(life)
        if not life.cancelled() and life.exception() is not None:
            _log.error("a job stopped", exc_info=life.exception())

    def _finish(self, job: J, status: str, *, charge: str = "0", reason: str = "") -> None:
        self._waiting.pop(job.id, None)
        job.status, job.charge, job.reason = status, charge, reason
        job.ended = time.time()
        self.save(job)

    async def _live(self, job: J) -> None:
        """A job's way from the queue to its end."""
        delay = self._pace.queue_s + float(job.fate.get("slow_queue") or 0)
        await asyncio.sleep(max(0, job.created + delay - time.time()))
        while job.is_open:
            while self.is_offline(job.device):
                await asyncio.sleep(_LOOK_S)
            async with self._slots:
                if job.status == "CANCELLING":  # it was running when the service stopped
                    self._finish(job, "CANCELLED", charge=job.price)
                elif job.is_open and not self.is_offline(job.device):
                    await self._run(job)
        await self._disk.durable()

    async def _run(self, job: J) -> None:
        self._waiting.pop(job.id, None)
        job.status, job.started = "RUNNING", time.time()
        self.save(job)
        outcome = await self._outcome(job)
        await asyncio.sleep(max(0, job.started + self._pace.run_s - time.time()))
        if "cancelled" in job.fate:
            self._finish(job, "CANCELLED")
        elif job.status == "CANCELLING":
            self._finish(job, "CANCELLED", charge=job.price)
        elif outcome.reason:
            self._write(job, outcome)
            self._finish(job, "FAILED", reason=outcome.reason)
        else:
            self._write(job, outcome)
            job.successful_shots = outcome.successful_shots
            self._finish(job, "COMPLETED", charge=self._charge(job, outcome))

    async def _outcome(self, job: J) -> Outcome:
        await self._disk.durable()  # what is read there must be there
        action = await self._disk.get("action", job.id) or b""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._work(job, action))
        except Exception as error:  # noqa: BLE001 - a device may fail in any way; the service goes on
            _log.exception("job %s", job.id)
            return Outcome({}, 0, f"internal error of the device: {type(error).__name__}: {error}")
