"""Starting a service."""

import asyncio
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from backends.loopback.app import App
from backends.loopback.disk import Disk
from backends.loopback.faults import Vocabulary, load_faults
from qcaan.errors import ConfigError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a service is started with."""

    vendor: str
    """Names its file in the folder of its state."""
    state: Path
    """Folder of its state."""
    port: int = 0
    """0 for a free one."""
    host: str = "127.0.0.1"
    """A loopback address."""
    faults: Path | None = None
    """YAML file; None for the faults that were in force last, none at first."""


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on a loopback address.

    Raises:
        ConfigError: the address is another, or the port is taken.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise ConfigError(f"--host {host}: {error}; use 127.0.0.1") from error
    if str(address) not in ("127.0.0.1", "::1"):
        raise ConfigError(f"--host {host}: use 127.0.0.1 or ::1; at another address others could use the service")
    link = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        link.bind((host, port))
    except OSError as error:
        link.close()
        raise ConfigError(f"--port {port}: {error.strerror or error}; use another, or 0 for a free one") from error
    link.listen(512)
    return link


def serve(
    options: Options, vocabulary: Vocabulary, build: Callable[[Disk], App[Any]], announce: Callable[[str], None]
) -> None:
    """Run the service that `build` makes until SIGINT or SIGTERM; `announce` gets its URL as soon as it answers.

    Raises:
        ConfigError: an option is wrong, the port is taken, or another service has the state open.
    """
    asyncio.run(_serve(options, vocabulary, build, announce))


async def _serve(
    options: Options, vocabulary: Vocabulary, build: Callable[[Disk], App[Any]], announce: Callable[[str], None]
) -> None:
    faults = None if options.faults is None else load_faults(options.faults, vocabulary)
    with open_socket(options.host, options.port) as link:
        app = build(Disk(options.state, options.vendor))
        if faults is not None:
            app.jobs.set_faults(faults)
        elif app.jobs.injector.faults:
            _log.warning(
                "%d faults of an earlier start are in force; '--faults FILE' with an empty list ends them",
                len(app.jobs.injector.faults),
            )
        runner = web.AppRunner(app.application(), access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            stopped = asyncio.Event()
            for name in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(name, stopped.set)
            await web.SockSite(runner, link).start()
            host = f"[{options.host}]" if ":" in options.host else options.host
            announce(f"http://{host}:{link.getsockname()[1]}")
            await stopped.wait()
        finally:
            await runner.cleanup()
