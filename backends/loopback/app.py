"""The port: which calls are the provider's, their faults, their answers; and the page for people.

Why aiohttp: to reset a connection or to drop it without a reply, a handler must reach the transport; here that is a
part of the framework's interface.
"""

import asyncio
import json
import logging
import math
import re
import socket
import struct
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Generic, TypeVar

from aiohttp import web

from backends.loopback.disk import Disk
from backends.loopback.errors import Refusal
from backends.loopback.faults import Fault
from backends.loopback.jobs import Jobs
from qcaan.errors import ConfigError

_log = logging.getLogger(__name__)
_LARGEST = 32 * 2**20
_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?")
_REFUSALS = ("throttle", "expired_credentials", "quota", "error", "missing_object")
_PAGE = (files(__package__) / "page.html").read_bytes()
_POLICY = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
"""The page may ask this service, and nobody else."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request of the provider's API, as far as it is read before its faults are known."""

    operation: str
    access_key: str
    """Who asks."""
    device: str = ""
    """Full name of the device that it is about, "" if it is about none."""
    result: str = ""
    """Address of the result that it reads, "" if it reads none."""
    age_s: float = math.nan
    """Seconds since that result was written."""


C = TypeVar("C", bound=Call)


class App(ABC, Generic[C]):
    """The HTTP side of a service."""

    name: str
    """The provider's, for people."""
    hint: str
    """What a call of its API must have, in a few words."""

    def __init__(self, disk: Disk, jobs: Jobs[Any]) -> None:
        self.jobs = jobs
        self._disk = disk
        self._calls = 0

    @abstractmethod
    def _is_call(self, request: web.Request) -> bool:
        """Whether a request is for the provider's API, and not a person's or a test's."""

    @abstractmethod
    def _read(self, request: web.Request, body: bytes) -> C:
        """What a request asks for.

        Raises:
            Refusal: nothing that this service knows.
        """

    @abstractmethod
    async def _answer(self, request: web.Request, call: C, body: bytes) -> web.Response:
        """Carry a call out.

        Raises:
            Refusal: it is refused.
        """

    @abstractmethod
    def _staged(self, fault: Fault, call: C) -> Refusal:
        """How the provider words the refusal of a call by a fault of one of these kinds.

        throttle, expired_credentials, quota, error, missing_object.
        """

    @abstractmethod
    def _refused(self, error: Refusal, request: web.Request) -> web.Response:
        """A refusal in the provider's form."""

    @abstractmethod
    def _devices(self) -> list[tuple[str, str]]:
        """Full name and name for people of every device."""

    def _other(self, request: web.Request) -> web.Response | None:
        """The answer to a request that is neither a call nor for the page."""

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=_LARGEST)
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_startup.append(self._start)
        app.on_cleanup.append(self._stop)
        return app

    async def _start(self, _: web.Application) -> None:
        await self._disk.durable()
        self.jobs.start()

    async def _stop(self, _: web.Application) -> None:
        await self.jobs.stop()
        await self._disk.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if not self._is_call(request):
            return await self._page(request, body)
        try:
            return await self._call(request, body)
        except _Dropped:
            return web.Response(status=500)  # nobody is there to read it

    async def _call(self, request: web.Request, body: bytes) -> web.StreamResponse:
        self._calls += 1
        faults: dict[str, Fault] = {}
        try:
            call = self._read(request, body)
            faults = self._faults(call)
            await self._before(request, call, faults)
            response = await self._answer(request, call, body)
        except Refusal as error:
            response = self._refused(error, request)
        await self._disk.durable()
        return await self._after(request, response, faults)

    def _faults(self, call: C) -> dict[str, Fault]:
        """The faults that hit this call, by kind."""
        hits = self.jobs.injector.call(
            call.operation, device=call.device, key=call.result, age_s=call.age_s, access_key=call.access_key
        )
        if hits:
            self.jobs.save_faults()
        for fault in hits:
            _log.info("%s: injected %s", call.operation, fault.kind)
            if fault.kind == "offline":
                self.jobs.go_offline(call.device, fault.seconds)
        return {fault.kind: fault for fault in hits}

    async def _before(self, request: web.Request, call: C, faults: dict[str, Fault]) -> None:
        """What goes wrong before a call is carried out."""
        if "delay" in faults:
            await asyncio.sleep(faults["delay"].seconds or 0)
        if "reset" in faults:
            _drop(request, reset=True)
        for kind in _REFUSALS:
            if kind in faults:
                raise self._staged(faults[kind], call)

    async def _after(
        self, request: web.Request, response: web.Response, faults: dict[str, Fault]
    ) -> web.StreamResponse:
        """What goes wrong after a call was carried out, and is durable."""
        if "lost_reply" in faults:
            await asyncio.sleep(faults["lost_reply"].seconds or 0)
            _drop(request, reset=False)
        if response.status == 200 and isinstance(response.body, bytes):
            whole = response.body
            half = len(whole) // 2
            if "corrupt_object" in faults:
                response.body = whole[:half] + b"#" * (len(whole) - half)
            if "truncated_object" in faults:
                return await _cut(request, response, whole[:half], len(whole))
        return response

    async def _page(self, request: web.Request, body: bytes) -> web.Response:
        """The page and its data. A page of another site must not reach them through a name that it controls."""
        if not _HOST.fullmatch(request.headers.get("Host", "")):
            return web.Response(status=403, text="this service answers to 127.0.0.1 and localhost only\n")
        match request.method, request.path:
            case "GET", "/":
                return web.Response(body=_PAGE, content_type="text/html", headers=_POLICY)
            case "GET", "/loopback/state.json":
                await self._disk.durable()
                last = request.query.get("last", "")
                return web.json_response(self._state(int(last) if last.isdecimal() else None))
            case "PUT", "/loopback/faults":
                return await self._set_faults(request, body)
        text = f"{self.hint}; the page is at /, its data at /loopback/state.json\n"
        return self._other(request) or web.Response(status=404, text=text)

    async def _set_faults(self, request: web.Request, body: bytes) -> web.Response:
        if request.content_type != "application/json":  # a form of another site cannot send this type
            return web.Response(status=415, text="send application/json\n")
        try:
            self.jobs.set_faults(self.jobs.read_faults(json.loads(body)))
        except (ConfigError, ValueError) as error:
            return web.Response(status=400, text=f"{error}\n")
        await self._disk.durable()
        return web.json_response(self.jobs.injector.view())

    def _state(self, last: int | None = None) -> dict[str, Any]:
        """What the page shows, with the `last` jobs or all of them."""
        known = self.jobs.all()
        return {
            "service": self.name,
            "bill_usd": float(self.jobs.bill_usd()),
            "calls": self._calls,
            "devices": [
                {
                    "id": full,
                    "name": name,
                    "status": "OFFLINE" if self.jobs.is_offline(full) else "ONLINE",
                    "queue": self.jobs.queue_size(full),
                }
                for full, name in self._devices()
            ],
            "faults": self.jobs.injector.view(),
            "counts": Counter(job.status for job in known),
            "jobs": [job.view() for job in (known if last is None else known[max(0, len(known) - last) :])],
        }


class _Dropped(Exception):  # noqa: N818 - not an error: the connection is gone on purpose
    """There is nobody to answer."""


def _drop(request: web.Request, *, reset: bool) -> None:
    """Close the connection without a reply, with a TCP reset or properly."""
    transport = request.transport
    if transport is not None:
        if reset:
            link = transport.get_extra_info("socket")
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()
    raise _Dropped


async def _cut(request: web.Request, response: web.Response, part: bytes, n_bytes: int) -> web.StreamResponse:
    """Promise `n_bytes`, send a part of them, and close the connection."""
    stream = web.StreamResponse(status=response.status, headers={"ETag": response.headers.get("ETag", "")})
    stream.content_length = n_bytes
    await stream.prepare(request)
    await stream.write(part)
    _drop(request, reset=False)
    return stream
