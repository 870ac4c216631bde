"""Spending limits: a cap in US dollars on what the tasks of one device cost within a period."""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from backends.loopback.braket.devices import ACCOUNT, Devices
from backends.loopback.braket.errors import ServiceError
from backends.loopback.braket.search import matches, page
from backends.loopback.braket.task import Task
from backends.loopback.disk import Disk
from backends.loopback.physics import seed_of

Params = dict[str, Any]


@dataclass
class Limit:
    """One limit; times in seconds since 1970, money as text."""

    arn: str
    token: str
    device: str
    cap: str
    start: float
    end: float
    tags: dict[str, str]
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)


class Limits:
    """All spending limits."""

    def __init__(self, disk: Disk, devices: Devices) -> None:
        self._disk = disk
        self._devices = devices
        self._limits = {arn: Limit(**json.loads(body)) for arn, body in disk.all("limit")}

    def create(self, params: Params, region: str) -> Params:
        """A new limit, or the one that was created with this token."""
        for known in self._limits.values():
            if known.token == params["clientToken"]:
                return {"spendingLimitArn": known.arn}
        device = self._devices.get(params["deviceArn"], region)
        if device.kind != "QPU":
            raise ServiceError("ValidationException", f"{device.arn}: simulators do not support spending limits")
        start, end = _period(params.get("timePeriod"), (0.0, 4e9))
        name = f"{seed_of(params['clientToken']):016x}"
        arn = f"arn:aws:braket:{region}:{ACCOUNT}:spending-limit/{name}"
        limit = Limit(
            arn, params["clientToken"], device.arn, params["spendingLimit"], start, end, params.get("tags", {})
        )
        self._save(limit)
        return {"spendingLimitArn": arn}

    def update(self, params: Params) -> Params:
        """Another cap or period."""
        limit = self.get(params["spendingLimitArn"])
        limit.cap = params.get("spendingLimit", limit.cap)
        limit.start, limit.end = _period(params.get("timePeriod"), (limit.start, limit.end))
        limit.updated = time.time()
        self._save(limit)
        return {}

    def delete(self, params: Params) -> Params:
        """Remove a limit."""
        limit = self.get(params["spendingLimitArn"])
        del self._limits[limit.arn]
        self._disk.delete("limit", limit.arn)
        return {}

    def search(self, params: Params, tasks: Iterable[Task]) -> Params:
        """What SearchSpendingLimits tells."""
        known = list(tasks)
        found = []
        for limit in self._limits.values():
            queued, total = _spent(limit, known)
            found.append(
                {
                    "spendingLimitArn": limit.arn,
                    "deviceArn": limit.device,
                    "timePeriod": {"startAt": limit.start, "endAt": limit.end},
                    "spendingLimit": limit.cap,
                    "queuedSpend": f"{queued:.2f}",
                    "totalSpend": f"{total:.2f}",
                    "createdAt": limit.created,
                    "updatedAt": limit.updated,
                    "tags": limit.tags,
                }
            )
        chosen, token = page([f for f in found if matches(f, params.get("filters", []))], params, 100)
        return {"spendingLimits": chosen, "nextToken": token}

    def get(self, arn: str) -> Limit:
        """A limit.

        Raises:
            ServiceError: there is none.
        """
        if arn not in self._limits:
            raise ServiceError("ResourceNotFoundException", f"there is no spending limit {arn}")
        return self._limits[arn]

    def save_tags(self, arn: str) -> None:
        """Put a limit on disk after its tags changed."""
        self._save(self.get(arn))

    def check(self, device: str, price: Decimal, tasks: Iterable[Task]) -> None:
        """Refuse a task that would go over a limit of its device, or comes outside of its period.

        Raises:
            ServiceError: it would.
        """
        now = time.time()
        for limit in (limit for limit in self._limits.values() if limit.device == device):
            if not limit.start <= now <= limit.end:
                raise ServiceError("ValidationException", f"the period of the spending limit {limit.arn} is not now")
            spent = sum(_spent(limit, tasks), Decimal(0))
            if spent + price > Decimal(limit.cap):
                message = (
                    f"a task of ${price} exceeds the spending limit {limit.arn}: ${spent} of ${limit.cap} are spent"
                )
                raise ServiceError("ValidationException", message)

    def _save(self, limit: Limit) -> None:
        self._limits[limit.arn] = limit
        self._disk.put("limit", limit.arn, json.dumps(asdict(limit)).encode())


def _spent(limit: Limit, tasks: Iterable[Task]) -> tuple[Decimal, Decimal]:
    """Queued and charged, of the tasks that were created under the limit."""
    queued, total = Decimal(0), Decimal(0)
    for task in tasks:
        if task.device == limit.device and max(limit.start, limit.created) <= task.created <= limit.end:
            queued += task.committed_usd if task.is_open else 0
            total += Decimal(task.charge)
    return queued, total


def _period(period: Any, default: tuple[float, float]) -> tuple[float, float]:  # noqa: ANN401 - a parsed structure
    if period is None:
        return default
    start: datetime = period["startAt"]
    end: datetime = period["endAt"]
    if end <= start:
        raise ServiceError("ValidationException", f"timePeriod: it ends at {end}, before it starts at {start}")
    return start.timestamp(), end.timestamp()
