"""The jobs of the service: create, look up, list, cancel; their results and costs."""

import json
import math
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from backends.loopback.disk import Disk
from backends.loopback.errors import Refusal
from backends.loopback.faults import Vocabulary
from backends.loopback.ionq.body import counted, read_body
from backends.loopback.ionq.devices import DEVICES
from backends.loopback.ionq.documents import IonqJob, child_document, child_documents, job_document, listing
from backends.loopback.ionq.execution import execute
from backends.loopback.jobs import Jobs, Outcome, Pace
from backends.loopback.physics import seed_of

VOCABULARY = Vocabulary(
    operations=(
        "CreateJob",
        "GetJob",
        "GetJobs",
        "GetJobCost",
        "CancelJob",
        "EstimateJobCost",
        "GetJobProbabilities",
        "GetBackend",
        "GetBackends",
        "GetCharacterization",
        "GetWhoami",
    ),
    create="CreateJob",
    read_device="GetBackend",
    read_result="GetJobProbabilities",
    devices=tuple(name.removeprefix("qpu.") for name in DEVICES),
    absent=("no_idempotency",),
)
_PAGE = 25
Json = dict[str, Any]


class IonqJobs(Jobs[IonqJob]):
    """All jobs, and the devices' queue."""

    def __init__(self, disk: Disk, pace: Pace) -> None:
        super().__init__(disk, pace, IonqJob, VOCABULARY)
        self._disk = disk
        self._written: dict[str, float] = {}
        self._parents = {child: job for job in self.all() for child in job.children}

    def create(self, text: bytes) -> IonqJob:
        """A new job. The same request twice is two jobs.

        Raises:
            Refusal: the request or the device does not allow it.
        """
        body = read_body(text)
        if self.is_offline(body.device.name):
            raise Refusal(503, f"the backend {body.device.name} is unavailable")
        number, several = len(self.all()) + 1, body.type == "ionq.multi-circuit.v1"
        prices = [body.device.price_usd(body.shots, p.n_pulses, p.n_entanglers) for p in body.programs]
        noise = None if body.device.is_qpu else {"model": body.noise}
        job = IonqJob(
            id=_uuid(text, number),
            number=number,
            device=body.device.name,
            shots=body.shots * len(body.programs),
            price=str(sum(prices, Decimal(0))),
            prices=[str(price) for price in prices],
            fate=self.injector.job(body.device.name, is_set=several),
            type=body.type,
            name=body.name,
            metadata=body.metadata,
            settings=body.settings,
            noise=noise,
            gates=dict(counted(body.programs)),
            n_qubits=max(p.n_qubits for p in body.programs),
            names=[p.name for p in body.programs],
            children=[_uuid(text, number, place) for place in range(len(body.programs))] if several else [],
        )
        self._parents |= dict.fromkeys(job.children, job)
        self.add(job, text)
        return job

    def get(self, name: str) -> IonqJob:
        """A job that is no child.

        Raises:
            Refusal: there is none.
        """
        job = self.find(name)
        if job is None:
            raise Refusal(404, f"there is no job {name}")
        return job

    def document(self, name: str) -> Json:
        """What is told of a job or a child.

        Raises:
            Refusal: there is none.
        """
        parent = self._parents.get(name)
        return job_document(self.get(name)) if parent is None else child_document(parent, parent.children.index(name))

    def search(self, query: dict[str, str]) -> Json:
        """A page of jobs and their children, the newest first.

        Raises:
            Refusal: a value cannot be read.
        """
        youngest = self.youngest_listed()
        found: list[Json] = []
        for job in reversed(self.all()):
            if job.created <= youngest:
                found += [job_document(job), *child_documents(job)]
        for name, member in (("status", "status"), ("parent_job_id", "parent_job_id")):
            if name in query:
                found = [one for one in found if one[member] == query[name]]
        if "target" in query:
            found = [one for one in found if one["backend"] in query["target"].split(",")]
        limit, start = query.get("limit", str(_PAGE)), 0
        if not limit.isdecimal() or not 1 <= int(limit) <= _PAGE:
            raise Refusal(400, f"limit: {limit!r} is not 1 to {_PAGE}")
        if "next" in query:
            places = [place for place, one in enumerate(found) if one["id"] == query["next"]]
            if not places:
                raise Refusal(400, f"next: {query['next']!r} is not a page of this list")
            start = places[0]
        stop = start + int(limit)
        return listing(found[start:stop], found[stop]["id"] if stop < len(found) else None)

    def cancel(self, name: str) -> Json:
        """Cancel: at once and free of charge in the queue; a running job ends first, and is charged.

        One that is completed is cancelled too, and its result is gone; what it cost stays.
        """
        job = self.get(name)
        if job.is_open:
            self.withdraw(job)
        else:
            job.status, job.results = "CANCELLED", []
            self.save(job)
        return {"id": name, "status": "canceled"}

    def cost(self, name: str) -> Json:
        """What a job costs; told as paid when it has ended."""
        job = self.get(name)
        told: Json = {"dry_run": False, "estimated_cost": {"value": float(job.price), "unit": "usd"}}
        return told if job.is_open else told | {"cost": {"value": float(job.charge), "unit": "usd"}}

    async def probabilities(self, name: str) -> bytes:
        """The result of a job of one circuit, or of a child.

        Raises:
            Refusal: there is none, or not yet.
        """
        job = self._parents.get(name) or self.get(name)
        found = await self._disk.get("result", name) if name in job.results else None
        if found is None:
            raise Refusal(404, f"the job {name} has no result, or not yet")
        return found

    async def aggregated(self, name: str) -> bytes:
        """The results of all children that have one, by their ids.

        Raises:
            Refusal: there are none, or not yet.
        """
        job = self.get(name)
        if not job.results:
            raise Refusal(404, f"the job {name} has no result, or not yet")
        return json.dumps({one: json.loads(await self.probabilities(one)) for one in job.results}).encode()

    def age_s(self, name: str) -> float:
        """Seconds since the result of a job was written; infinite if that was before the service started."""
        return time.time() - self._written.get(name, -math.inf)

    def owner(self, name: str) -> IonqJob | None:
        """The job of this name, or the parent of this child."""
        return self._parents.get(name) or self.find(name)

    def _work(self, job: IonqJob, action: bytes) -> Callable[[], Outcome]:
        def run() -> Outcome:
            return execute(read_body(action), _names(job), self._pace.physics, job.spoiled)

        return run

    def _write(self, job: IonqJob, outcome: Outcome) -> None:
        for name, body in outcome.documents.items():
            self._disk.put("result", name, body)
            self._written[name] = time.time()
        self._written[job.id] = time.time()
        job.results = list(outcome.documents)

    def _charge(self, job: IonqJob, outcome: Outcome) -> str:
        """The prices of the circuits that have a result."""
        priced = zip(_names(job), job.prices, strict=True)
        return str(sum((Decimal(price) for name, price in priced if name in outcome.documents), Decimal(0)))


def _names(job: IonqJob) -> Sequence[str]:
    return job.children or [job.id]


def _uuid(*parts: object) -> str:
    return str(UUID(int=seed_of("high", *parts) << 64 | seed_of("low", *parts)))
