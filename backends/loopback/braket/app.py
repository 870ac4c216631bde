"""AWS's side of the port: which service a request is for, and what it answers.

The service is named by the scope of the request's signature (`Credential=KEY/DATE/REGION/SERVICE/aws4_request`), as all
of AWS would be behind one address. The signature itself is not verified: the keys are dummies. What is not signed is
for people and tests: the page, the data below `/loopback/`, and the price list.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from backends.loopback.app import App, Call
from backends.loopback.braket import protocol, s3
from backends.loopback.braket.errors import ServiceError
from backends.loopback.braket.protocol import Protocol
from backends.loopback.braket.service import Service
from backends.loopback.errors import Refusal
from backends.loopback.faults import Fault

_SCOPE = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/,]+)/\d{8}/([a-z0-9-]+)/([a-z0-9]+)/aws4_request")
_ERRORS = {500: "InternalService", 502: "BadGateway", 503: "ServiceUnavailable", 504: "GatewayTimeout"}
_REFUSALS = {
    "throttle": ("ThrottlingException", "Rate exceeded (injected fault)"),
    "expired_credentials": (
        "ExpiredTokenException",
        "The security token included in the request is expired (injected fault)",
    ),
    "quota": ("ServiceQuotaExceededException", "the quota of tasks is used up (injected fault)"),
}
_S3_CODES = {"ThrottlingException": "SlowDown", "ExpiredTokenException": "ExpiredToken"}


@dataclass(frozen=True, kw_only=True)
class SignedCall(Call):
    """A call with the scope of its signature."""

    service: str
    region: str
    params: dict[str, Any] = field(default_factory=dict)
    bucket: str = ""


class BraketApp(App[SignedCall]):
    """Braket, S3 and STS behind one port."""

    name = "Braket"
    hint = "requests to AWS must be signed"

    def __init__(self, service: Service) -> None:
        super().__init__(service.disk, service.tasks)
        self._service = service
        self._protocol = Protocol()

    def _is_call(self, request: web.Request) -> bool:
        return _SCOPE.match(request.headers.get("Authorization", "")) is not None

    def _read(self, request: web.Request, body: bytes) -> SignedCall:
        access_key, region, service = _scope(request)
        scope: dict[str, Any] = {"access_key": access_key, "region": region, "service": service}
        path, _, query = request.raw_path.partition("?")
        if service == "s3":
            operation, bucket, key = self._service.s3.operation(request.method, path)
            if not key:
                return SignedCall(operation=operation, bucket=bucket, **scope)
            age_s = self._service.s3.age_s(bucket, key)
            return SignedCall(operation=operation, bucket=bucket, result=key, age_s=age_s, **scope)
        if service == "sts":
            return SignedCall(operation="GetCallerIdentity", **scope)
        if service == "braket":
            operation, params = self._protocol.parse(request.method, path, query, body)
            return SignedCall(operation=operation, params=params, device=self._service.device_of(params), **scope)
        raise ServiceError("AccessDeniedException", f"the service {service} is not a part of this loopback")

    def _staged(self, fault: Fault, call: SignedCall) -> ServiceError:
        if fault.kind == "missing_object":
            return ServiceError("NoSuchKey", f"there is no object {call.result} in {call.bucket} (injected fault)")
        if fault.kind == "error":
            in_s3 = call.service == "s3" and fault.status == 500
            code = "InternalError" if in_s3 else f"{_ERRORS[fault.status]}Exception"
            return ServiceError(code, "the service failed (injected fault)")
        code, message = _REFUSALS[fault.kind]
        return ServiceError(_S3_CODES.get(code, code) if call.service == "s3" else code, message)

    async def _answer(self, request: web.Request, call: SignedCall, body: bytes) -> web.Response:
        if call.service == "braket":
            result = self._service.carry_out(call.operation, call.params, call.region)
            status, text = self._protocol.reply(call.operation, result)
            return web.Response(status=status, body=text, content_type="application/json")
        if call.service == "sts":
            reply = s3.caller_identity(body)[1]
        else:
            query = request.raw_path.partition("?")[2]
            reply = await self._service.s3.answer(
                call.operation, call.bucket, call.result, query, request.headers, body
            )
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

    def _refused(self, error: Refusal, request: web.Request) -> web.Response:
        assert isinstance(error, ServiceError)
        service = _scope(request)[2]
        if service != "braket":
            reply = s3.error_reply(error, service)
            return web.Response(status=reply.status, body=reply.body, headers=reply.headers)
        headers, body = protocol.error_reply(error)
        return web.Response(status=error.status, body=body, headers=headers, content_type="application/json")

    def _devices(self) -> list[tuple[str, str]]:
        return [(device.arn, device.name) for device in self._service.devices]

    def _other(self, request: web.Request) -> web.Response | None:
        if (request.method, request.path) != ("GET", "/loopback/prices.csv"):
            return None
        return web.Response(text=self._service.devices.price_list(), content_type="text/csv")


def _scope(request: web.Request) -> tuple[str, str, str]:
    """Access key, region and service of a signed request."""
    match = _SCOPE.match(request.headers["Authorization"])
    assert match
    return match[1], match[2], match[3]
