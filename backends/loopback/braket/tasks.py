"""The tasks of the service: create, look up, search, cancel; their results go to S3."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from backends.loopback.braket.devices import ACCOUNT, PROGRAM_SET, REGION, Devices
from backends.loopback.braket.errors import ServiceError
from backends.loopback.braket.execution import execute
from backends.loopback.braket.limits import Limits
from backends.loopback.braket.s3 import S3
from backends.loopback.braket.search import matches, page
from backends.loopback.braket.task import Task
from backends.loopback.braket.validation import check_action
from backends.loopback.disk import Disk
from backends.loopback.faults import Vocabulary
from backends.loopback.jobs import Jobs, Outcome, Pace
from backends.loopback.physics import seed_of

Params = dict[str, Any]


class Tasks(Jobs[Task]):
    """All tasks, and the devices' queue."""

    def __init__(
        self, disk: Disk, devices: Devices, limits: Limits, s3: S3, pace: Pace, vocabulary: Vocabulary
    ) -> None:
        super().__init__(disk, pace, Task, vocabulary)
        self._s3 = s3
        self._devices = devices
        self._limits = limits
        self._by_token: dict[str, str] = {}
        for task in self.all():
            self._by_token.setdefault(task.token, task.id)

    def get(self, arn: str) -> Task:
        """A task.

        Raises:
            ServiceError: there is none.
        """
        task = self.find(arn)
        if task is None:
            raise ServiceError("ResourceNotFoundException", f"there is no quantum task {arn}")
        return task

    def create(self, params: Params, region: str) -> Task:
        """A new task, or the one that was created with this token.

        Raises:
            ServiceError: the device, the program, the shots or a spending limit does not allow it, or the token was
                used for another request.
        """
        token, request = params["clientToken"], hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()
        known = self._jobs.get(self._by_token.get(token, ""))
        if known is not None and self.injector.rule("no_idempotency") is None:
            if known.request != request:
                raise ServiceError("ValidationException", f"the client token {token} was used for another request")
            return known
        device = self._devices.get(params["deviceArn"], region)
        if self.is_offline(device.arn):
            raise ServiceError("DeviceOfflineException", f"the device {device.arn} is currently offline.")
        kind, executables = check_action(device, params)
        price = device.price_usd(params["shots"])
        self._limits.check(device.arn, price, self._jobs.values())
        number = len(self._jobs) + 1
        name = f"{seed_of(token, number):016x}"
        task = Task(
            id=f"arn:aws:braket:{device.region or region}:{ACCOUNT}:quantum-task/{number:08d}-{name}",
            number=number,
            token=token,
            request=request,
            device=device.arn,
            shots=params["shots"],
            bucket=params["outputS3Bucket"],
            folder=f"{params['outputS3KeyPrefix'].strip('/')}/{number:08d}-{name}",
            parameters=params.get("deviceParameters") or "{}",
            kind=kind,
            executables=executables,
            price=str(price),
            tags=params.get("tags", {}),
            associations=params.get("associations", []),
            fate=self.injector.job(device.arn, is_set=kind == PROGRAM_SET),
        )
        self._by_token.setdefault(token, task.id)
        self.add(task, params["action"].encode())
        return task

    def detail(self, arn: str) -> Params:
        """What GetQuantumTask tells."""
        task = self.get(arn)
        return task.detail(self.position(task))

    def search(self, params: Params) -> Params:
        """What SearchQuantumTasks tells: the newest first."""
        youngest = self.youngest_listed()
        found = [
            task.summary()
            for task in reversed(self.all())
            if task.created <= youngest and matches(task.summary(), params["filters"])
        ]
        chosen, token = page(found, params, 100)
        return {"quantumTasks": chosen, "nextToken": token}

    def cancel(self, arn: str) -> Params:
        """Cancel: at once and free of charge in the queue; a running task ends first, and is charged."""
        task = self.get(arn)
        if not task.is_open:
            raise ServiceError("ConflictException", f"the task {arn} is {task.status} and cannot be cancelled")
        self.withdraw(task)
        return {"quantumTaskArn": arn, "cancellationStatus": task.status}

    def _work(self, job: Task, action: bytes) -> Callable[[], Outcome]:
        device = self._devices.get(job.device, REGION)
        return lambda: execute(job, action.decode(), device, self._pace.physics, job.spoiled)

    def _write(self, job: Task, outcome: Outcome) -> None:
        for name, body in outcome.documents.items():
            self._s3.put(job.bucket, f"{job.folder}/{name}", body)

    def _charge(self, job: Task, outcome: Outcome) -> str:
        return str(self._devices.get(job.device, REGION).price_usd(outcome.successful_shots, outcome.seconds))
