"""Braket's control plane: one method an operation, on the tasks, devices, limits and tags."""

from collections.abc import Callable, Mapping
from typing import Any

from backends.braket.capabilities import SNAPSHOTS
from backends.loopback.braket.devices import ACCOUNT, REGION, SIMULATORS, Device, Devices
from backends.loopback.braket.errors import ServiceError
from backends.loopback.braket.limits import Limits
from backends.loopback.braket.protocol import Protocol
from backends.loopback.braket.s3 import S3
from backends.loopback.braket.search import page
from backends.loopback.braket.tasks import Tasks
from backends.loopback.disk import Disk
from backends.loopback.faults import Vocabulary
from backends.loopback.jobs import Pace

Params = dict[str, Any]
VOCABULARY = Vocabulary(
    operations=(*Protocol().operations, *S3.operations, "GetCallerIdentity"),
    create="CreateQuantumTask",
    read_device="GetDevice",
    read_result="GetObject",
    devices=(*SNAPSHOTS, *SIMULATORS),
)
DEFAULT_BUCKET = f"amazon-braket-{REGION}-{ACCOUNT}"


class Service:
    """Everything behind the port."""

    def __init__(self, disk: Disk, pace: Pace, *, program_sets: bool) -> None:
        self.disk = disk
        self.devices = Devices(program_sets=program_sets)
        self.limits = Limits(disk, self.devices)
        self.s3 = S3(disk)
        self.tasks = Tasks(disk, self.devices, self.limits, self.s3, pace, VOCABULARY)
        if not self.s3.has_bucket(DEFAULT_BUCKET):
            self.s3.create_bucket(DEFAULT_BUCKET)
        self._operations: Mapping[str, Callable[[Params, str], Params]] = {
            "SearchDevices": self._search_devices,
            "GetDevice": self._get_device,
            "CreateQuantumTask": self._create_task,
            "GetQuantumTask": lambda params, _: self.tasks.detail(params["quantumTaskArn"]),
            "CancelQuantumTask": lambda params, _: self.tasks.cancel(params["quantumTaskArn"]),
            "SearchQuantumTasks": lambda params, _: self.tasks.search(params),
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": lambda params, _: {"tags": self._tags(params["resourceArn"])},
            "CreateSpendingLimit": self.limits.create,
            "UpdateSpendingLimit": lambda params, _: self.limits.update(params),
            "DeleteSpendingLimit": lambda params, _: self.limits.delete(params),
            "SearchSpendingLimits": lambda params, _: self.limits.search(params, self.tasks.all()),
        }

    def carry_out(self, operation: str, params: Params, region: str) -> Params:
        """The result of an operation, called from a client of `region`; durable only after `disk.durable`.

        Raises:
            ServiceError: it is refused.
        """
        if operation not in self._operations:
            raise ServiceError("AccessDeniedException", f"{operation} is not a part of this service")
        return self._operations[operation](params, region)

    def device_of(self, params: Params) -> str:
        """The ARN of the device that a call is about, "" if it is about none."""
        task = self.tasks.find(params.get("quantumTaskArn", ""))
        return task.device if task else str(params.get("deviceArn", ""))

    def _create_task(self, params: Params, region: str) -> Params:
        if not self.s3.has_bucket(params["outputS3Bucket"]):
            message = f"the S3 bucket {params['outputS3Bucket']} does not exist, or you have no access to it"
            raise ServiceError("ValidationException", message)
        return {"quantumTaskArn": self.tasks.create(params, region).id}

    def _get_device(self, params: Params, region: str) -> Params:
        device = self.devices.get(params["deviceArn"], region)
        queue = {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": str(self.tasks.queue_size(device.arn))}
        jobs = {"queue": "JOBS_QUEUE", "queueSize": "0"}
        queues = [queue | {"queuePriority": "Normal"}, queue | {"queueSize": "0", "queuePriority": "Priority"}, jobs]
        return self._summary(device) | {"deviceCapabilities": device.text, "deviceQueueInfo": queues}

    def _search_devices(self, params: Params, region: str) -> Params:
        wanted: set[str] | None = None
        for entry in params["filters"]:
            if entry["name"] != "deviceArn":
                raise ServiceError("ValidationException", f"filters: '{entry['name']}' is not a filter; use deviceArn")
            wanted = set(entry["values"]) if wanted is None else wanted & set(entry["values"])
        here = [d for d in self.devices if d.region in ("", region) and (wanted is None or d.arn in wanted)]
        chosen, token = page([self._summary(device) for device in here], params, 100)
        return {"devices": chosen, "nextToken": token}

    def _summary(self, device: Device) -> Params:
        return {
            "deviceArn": device.arn,
            "deviceName": device.name,
            "providerName": device.provider,
            "deviceType": device.kind,
            "deviceStatus": "OFFLINE" if self.tasks.is_offline(device.arn) else "ONLINE",
        }

    def _tags(self, arn: str) -> dict[str, str]:
        return self.limits.get(arn).tags if ":spending-limit/" in arn else self.tasks.get(arn).tags

    def _tag(self, params: Params, _: str) -> Params:
        self._tags(params["resourceArn"]).update(params["tags"])
        self._save_tags(params["resourceArn"])
        return {}

    def _untag(self, params: Params, _: str) -> Params:
        tags = self._tags(params["resourceArn"])
        for key in params["tagKeys"]:
            tags.pop(key, None)
        self._save_tags(params["resourceArn"])
        return {}

    def _save_tags(self, arn: str) -> None:
        if ":spending-limit/" in arn:
            self.limits.save_tags(arn)
        else:
            self.tasks.save(self.tasks.get(arn))
