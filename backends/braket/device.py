"""A device at AWS, through Amazon Braket: an IonQ computer, or an on-demand simulator.

Nothing is asked of AWS before a fact of the device is needed: `target` is read at its first use. To decode a reply
needs neither network nor credentials.

Why `dedupe` is "search" although every create carries the key as its idempotency token: a token is a promise that only
the service can keep, and how long it keeps it is not published. With "search" the core looks for a task with the key's
tag before it sends a key again, and waits until one that was accepted would surely show; the token still guards the
moment in which the search is behind. Either of them alone may fail without a task being paid twice.

Why where a task's result lies is kept from the last poll until it is fetched: AWS tells it with the status, and asking
again would be a quarter of all calls.

Why a failed program set with successful shots counts as done: some of its circuits ran, and were paid for. Its result
says which.

Why `poll` tells what a simulator at AWS charged, which AWS does not: its price was a guess. Charged is its time, at
least three seconds, and at most the time from the task's creation to its end. A QPU's price list needs no help.

Why `submit` may make more than one call once: the default bucket and the spending limit are made sure of before the
first task of a process.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from backends.braket.aws import check_region, check_reservation, resolve, split_s3
from backends.braket.encode import Mitigation, payload
from backends.braket.properties import ProgramSets, qpu_target, simulator_target
from backends.braket.reply import RESULTS, decode_result, parts_of
from backends.options import check_options
from qcaan.circuits.native import NativeCircuit
from qcaan.errors import ConfigError, IntegrityError, LateError, MissingSDK
from qcaan.execution.backend import Backend, Counts, Failed, JobState, JobStatus, Target

if TYPE_CHECKING:
    from backends.braket.session import Session

_STATES = {
    "CREATED": JobStatus.QUEUED,
    "QUEUED": JobStatus.QUEUED,
    "RUNNING": JobStatus.RUNNING,
    "CANCELLING": JobStatus.RUNNING,
    "COMPLETED": JobStatus.DONE,
    "FAILED": JobStatus.FAILED,
    "CANCELLED": JobStatus.CANCELLED,
}
_READERS = 8
"""Objects of one result that are read at once."""
_LEAST_S = 3.0
"""What a task on a simulator is charged at least."""
Usd = Annotated[float, Field(ge=0.01)]


@dataclass(kw_only=True, eq=False)
class BraketDevice(Backend):
    """A device at AWS. Its calls may come from many threads.

    Raises:
        MissingSDK: amazon-braket-sdk is not installed.
        ConfigError: an option has a wrong value, or does not fit the device.
    """

    device: str
    """ARN or short name."""
    profile: str | None = None
    """AWS profile; None for the environment's credentials, or a role of this machine."""
    region: str | None = None
    """Region for a simulator, which is in all of them; None for the configured one."""
    s3: str | None = None
    """Where results are written, "s3://BUCKET/PREFIX"; None for the bucket that Amazon's SDK makes."""
    mitigation: Mitigation = "none"
    """Error mitigation by IonQ: "debias" needs at least as many shots as the device says (2500)."""
    program_sets: ProgramSets = "auto"
    """"auto": several circuits are one task, with one fee, where the device takes that; "never": one task each."""
    reservation: str | None = None
    """ARN of a Braket Direct reservation that tasks run in; they are then not charged one by one."""
    spending_limit_usd: Usd | None = None
    """A limit at AWS itself for this account on this device, made if there is none: a lock beside the budget."""
    task_minutes: Annotated[float, Field(gt=0)] | None = None
    """Minutes that a task on a simulator is taken to run, 1 if None; their price is reserved from the budget."""

    def __post_init__(self) -> None:
        check_options(self, "braket")
        _find_sdk()
        self._address = resolve(self.device)
        check_region(self._address, self.region)
        self._output = split_s3(self.s3) if self.s3 is not None else None
        kind = "QPU" if self._address.is_qpu else "simulator"
        for name, value in self._foreign().items():
            if value:
                raise ConfigError(f"backend 'braket', option {name}={value!r}: {self.device} is a {kind} without it")
        if self.reservation is not None:
            check_reservation(self._address, self.reservation)
        self._prepared = False
        self._lock = Lock()
        self._folders: dict[str, tuple[str, str]] = {}

    @cached_property
    def target(self) -> Target:  # type: ignore[override]
        """The device's facts, read from it once.

        Raises:
            BackendError: AWS cannot be asked; see `backends.braket.errors`.
            ConfigError: the device cannot run native circuits, or lacks what an option asks for.
            IntegrityError: the device's capabilities cannot be read.
        """
        try:
            capabilities = json.loads(self._session.capabilities())
        except ValueError as error:
            raise IntegrityError(f"the capabilities of {self._address.arn} are not JSON: {error}") from error
        account = f"{self._session.account()} {self._session.region}"
        arn = self._address.arn
        if not self._address.is_qpu:
            return simulator_target(capabilities, arn, task_minutes=self._minutes, account=account)
        return qpu_target(
            capabilities,
            arn,
            mitigation=self.mitigation,
            program_sets=self.program_sets,
            reserved=self.reservation is not None,
            account=account,
        )

    def submit(self, batch: Sequence[NativeCircuit], shots: int, key: str) -> str:
        """Create one task; the job id is its ARN."""
        bucket, prefix = self._prepare()
        request = payload(batch, shots, mitigation=self.mitigation, verbatim=self._address.is_qpu)
        if self.reservation is not None:
            request["associations"] = [{"arn": self.reservation, "type": "RESERVATION_TIME_WINDOW_ARN"}]
        return self._session.create(key, outputS3Bucket=bucket, outputS3KeyPrefix=prefix, **request)

    def poll(self, job_id: str) -> JobState:
        """Status, reason of a failure, and place in the queue where AWS tells it.

        Raises:
            IntegrityError: the task is at another device.
        """
        task = self._session.task(job_id)
        if task["deviceArn"] != self._address.arn:
            raise IntegrityError(f"task {job_id} is at {task['deviceArn']}, not {self._address.arn}")
        status = _STATES.get(task["status"], JobStatus.RUNNING)
        if status is JobStatus.FAILED and task.get("numSuccessfulShots"):
            status = JobStatus.DONE
        usd = None
        if status is JobStatus.DONE:
            self._folders[job_id] = _folder(task)
            usd = None if self._address.is_qpu else self._charge_usd(task)
        place = str(task.get("queueInfo", {}).get("position", "")).lstrip(">")
        return JobState(status, str(task.get("failureReason", "")), int(place) if place.isdecimal() else None, usd)

    def fetch(self, job_id: str) -> bytes:
        """The result file of a task, verbatim; of a program set in parts, all of them. See `backends.braket.reply`.

        Raises:
            LateError: a file is not there yet, or not whole.
        """
        bucket, folder = self._folders.get(job_id) or _folder(self._session.task(job_id))
        text, names = self._read(bucket, folder, RESULTS)
        objects = {RESULTS: text}
        while names:
            with ThreadPoolExecutor(_READERS) as pool:
                found = list(pool.map(lambda name: self._read(bucket, folder, name), names))
            objects |= {name: text for name, (text, _) in zip(names, found, strict=True)}
            names = [part for _, parts in found for part in parts]
        self._folders.pop(job_id, None)
        return (objects[RESULTS] if len(objects) == 1 else json.dumps({"objects": objects})).encode()

    def decode(self, reply: bytes, batch: Sequence[NativeCircuit]) -> list[Counts | Failed]:
        """Counts, made from probabilities once; see `backends.braket.reply` for what is checked."""
        return decode_result(reply, batch, device=self._address.arn)

    def find(self, key: str) -> str | None:
        """The task that is tagged with the key; see `backends.braket.search` for how much is read."""
        return self._session.find(key)

    def cancel(self, job_id: str) -> None:
        """Ask for the end of a task. What runs already may still be charged."""
        self._session.cancel(job_id)

    @cached_property
    def _session(self) -> "Session":
        from backends.braket.session import Session

        return Session(self._address, profile=self.profile, region=self.region)

    def _read(self, bucket: str, folder: str, name: str) -> tuple[str, list[str]]:
        """An object of a task's result, and the names of those that it refers to."""
        place = f"{folder}/{name}"
        raw = self._session.read(bucket, place)
        try:
            text = raw.decode()
            return text, parts_of(name, text)
        except (ValueError, AttributeError) as error:
            raise LateError(f"s3://{bucket}/{place} is not whole: {error}") from error

    def _prepare(self) -> tuple[str, str]:
        """Bucket and prefix of the results; the first time, the spending limit is made sure of too."""
        with self._lock:
            if not self._prepared and self.spending_limit_usd is not None:
                self._session.limit_spending(self.spending_limit_usd)
            self._prepared = True
            if self._output is None:
                self._output = (self._session.default_bucket(), "qcaan")
            return self._output

    def _charge_usd(self, task: dict[str, Any]) -> float:
        """What a task on a simulator is charged at most."""
        seconds = (task["endedAt"] - task["createdAt"]).total_seconds() if "endedAt" in task else 0.0
        return self.target.price.per_task_usd / self._minutes * max(_LEAST_S, seconds) / 60

    @property
    def _minutes(self) -> float:
        return self.task_minutes or 1.0

    def _foreign(self) -> dict[str, object]:
        """The options that are not for a device of this kind."""
        if self._address.is_qpu:
            return {"task_minutes": self.task_minutes}
        return {
            "mitigation": "" if self.mitigation == "none" else self.mitigation,
            "reservation": self.reservation,
            "spending_limit_usd": self.spending_limit_usd,
        }


def _find_sdk() -> None:
    """Raise now rather than at the first call; the SDK itself is imported then."""
    try:
        found = find_spec("braket.aws")
    except ImportError:
        found = None
    if found is None:
        raise MissingSDK("braket", "amazon-braket-sdk")


def _folder(task: dict[str, Any]) -> tuple[str, str]:
    return str(task["outputS3Bucket"]), str(task["outputS3Directory"])
