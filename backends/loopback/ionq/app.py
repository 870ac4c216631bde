"""IonQ's side of the port: which operation a request is, and what it answers.

Every call but those about backends needs a key; which one does not matter.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from backends.loopback.app import App, Call
from backends.loopback.disk import Disk
from backends.loopback.errors import Refusal
from backends.loopback.faults import Fault
from backends.loopback.ionq.devices import ACCOUNT, DEVICES, MINIMUM, RATE_1Q, RATE_2Q, Device
from backends.loopback.ionq.documents import iso
from backends.loopback.ionq.jobs import IonqJobs
from backends.loopback.jobs import Pace

_BASE = "/v0.4"
_ID = r"([0-9a-f-]{36})"
_ROUTES = [
    (method, re.compile(path), operation)
    for method, path, operation in (
        ("GET", "/whoami", "GetWhoami"),
        ("GET", "/backends", "GetBackends"),
        ("GET", r"/backends/([\w.-]+)", "GetBackend"),
        ("GET", rf"/backends/([\w.-]+)/characterizations(?:/{_ID})?", "GetCharacterization"),
        ("POST", "/jobs", "CreateJob"),
        ("GET", "/jobs", "GetJobs"),
        ("GET", "/jobs/estimate", "EstimateJobCost"),
        ("GET", f"/jobs/{_ID}", "GetJob"),
        ("GET", f"/jobs/{_ID}/cost", "GetJobCost"),
        ("PUT", f"/jobs/{_ID}/status/cancel", "CancelJob"),
        ("GET", f"/jobs/{_ID}/(?:results|artifacts)/(probabilities(?:(?:/|-)aggregated?)?)", "GetJobProbabilities"),
    )
]
_PUBLIC = ("GetBackend", "GetBackends", "GetCharacterization")
_ERRORS = {
    400: "Bad Request",
    401: "Unauthorized Error",
    402: "Payment Required",
    404: "Not Found Error",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RoutedCall(Call):
    """A call with what its address and query say."""

    words: tuple[str, ...] = ()
    query: dict[str, str] = field(default_factory=dict)


class IonqApp(App[RoutedCall]):
    """IonQ's API behind a port."""

    name = "IonQ"
    hint = f"calls of IonQ's API begin with {_BASE}/"

    def __init__(self, disk: Disk, pace: Pace) -> None:
        self._ionq = IonqJobs(disk, pace)
        super().__init__(disk, self._ionq)

    def _is_call(self, request: web.Request) -> bool:
        return request.path.startswith(f"{_BASE}/")

    def _read(self, request: web.Request, body: bytes) -> RoutedCall:
        path = unquote(request.path).removeprefix(_BASE)
        found = next(
            ((m, op) for method, p, op in _ROUTES if method == request.method and (m := p.fullmatch(path))), None
        )
        if found is None:
            raise Refusal(404, f"there is no {request.method} {path}")
        match, operation = found
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if operation not in _PUBLIC and (scheme != "apiKey" or not key):
            raise Refusal(401, "Invalid key provided.")
        words = tuple(word or "" for word in match.groups())
        result = path.partition("/jobs/")[2] if operation == "GetJobProbabilities" else ""
        call: Json = {"operation": operation, "access_key": key, "device": self._device_of(operation, words, body)}
        query = dict(request.query)
        if not result:
            return RoutedCall(words=words, query=query, **call)
        return RoutedCall(words=words, query=query, result=result, age_s=self._ionq.age_s(words[0]), **call)

    def _device_of(self, operation: str, words: tuple[str, ...], body: bytes) -> str:
        """The device that a call is about, "" if it is about none that can be told."""
        if operation in ("GetBackend", "GetCharacterization"):
            return words[0]
        if operation == "CreateJob":
            try:
                return str(json.loads(body).get("backend", ""))
            except (ValueError, AttributeError):
                return ""
        job = self._ionq.owner(words[0]) if words else None
        return job.device if job else ""

    def _staged(self, fault: Fault, call: RoutedCall) -> Refusal:
        told = {
            "throttle": Refusal(429, "Too many requests (injected fault)"),
            "expired_credentials": Refusal(401, "Invalid key provided (injected fault)"),
            "quota": Refusal(402, "the credit is used up (injected fault)"),
            "missing_object": Refusal(404, f"there is no {call.result} (injected fault)"),
        }
        return told.get(fault.kind) or Refusal(fault.status, "the service failed (injected fault)")

    def _refused(self, error: Refusal, request: web.Request) -> web.Response:
        body = {"statusCode": error.status, "error": _ERRORS[error.status], "message": error.message}
        return web.json_response(body, status=error.status)

    async def _answer(self, request: web.Request, call: RoutedCall, body: bytes) -> web.Response:
        if call.operation == "GetJobProbabilities":
            several = "aggregate" in call.words[1]
            read = self._ionq.aggregated if several else self._ionq.probabilities
            return web.Response(body=await read(call.words[0]), content_type="application/json")
        if call.operation == "CreateJob":
            job = self._ionq.create(body)
            return web.json_response({"id": job.id, "status": "ready", "session_id": None}, status=201)
        return web.json_response(body=json.dumps(self._told(call)).encode())

    def _told(self, call: RoutedCall) -> Json | list[Json]:
        word = call.words[0] if call.words else ""
        match call.operation:
            case "GetWhoami":
                return ACCOUNT
            case "GetBackends":
                return [self._backend(device) for device in DEVICES.values()]
            case "GetBackend":
                return self._backend(_known(word))
            case "GetCharacterization":
                return _characterization(_known(word), call.words[1])
            case "GetJobs":
                return self._ionq.search(call.query)
            case "GetJob":
                return self._ionq.document(word)
            case "GetJobCost":
                return self._ionq.cost(word)
            case "CancelJob":
                return self._ionq.cancel(word)
            case _:
                return _estimate(call.query)

    def _backend(self, device: Device) -> Json:
        status = "unavailable" if self._ionq.is_offline(device.name) else "available"
        return device.document(status, self._ionq.queue_size(device.name))

    def _devices(self) -> list[tuple[str, str]]:
        return [(name, name.removeprefix("qpu.").replace("-", " ").title()) for name in DEVICES]


def _known(name: str) -> Device:
    if name not in DEVICES:
        raise Refusal(404, f"there is no backend {name}")
    return DEVICES[name]


def _characterization(device: Device, name: str) -> Json:
    known = [device.characterization] if device.is_qpu else []
    if not name:
        return {"characterizations": known, "pages": 0}
    if name not in [one["id"] for one in known]:
        raise Refusal(404, f"there is no characterization {name} of {device.name}")
    return known[0]


def _estimate(query: dict[str, str]) -> Json:
    device = _known(query.get("backend", ""))
    wanted = {name: query.get(name, "0") for name in ("shots", "1q_gates", "2q_gates")}
    if wrong := [f"{name}={value}" for name, value in wanted.items() if not value.isdecimal()]:
        raise Refusal(400, f"not numbers: {', '.join(wrong)}")
    numbers = {name: int(value) for name, value in wanted.items()}
    price = device.price_usd(numbers["shots"], numbers["1q_gates"], numbers["2q_gates"])
    rate = {
        "sku": device.name,
        "unit": "gates",
        "cost_1q_gate": float(RATE_1Q),
        "cost_2q_gate": float(RATE_2Q),
        "job_cost_minimum": float(MINIMUM),
    }
    return {
        "estimate_context": numbers | {"backend": device.name, "organization": None, "project": None},
        "estimated_at": iso(0),
        "estimated_unit": "usd",
        "rate_card": {"id": "loopback", "rates": [rate]},
        "estimated_total_cost": float(price),
        "estimated_execution_time": 0,
        "current_predicted_queue_time": 0,
    }
