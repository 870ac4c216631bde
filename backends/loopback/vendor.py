"""`Vendor`: what `qcaan loopback NAME` runs.

Why what a service is made of is imported late: who starts one as another process needs none of it, and a package that
is missing is named with its remedy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qcaan.errors import MissingSDK

if TYPE_CHECKING:
    from backends.loopback.app import App
    from backends.loopback.disk import Disk
    from backends.loopback.faults import Vocabulary
    from backends.loopback.jobs import Pace

    Build = Callable[[Disk, Pace], App[Any]]


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """A provider whose API is spoken. Call it to run its service until SIGINT or SIGTERM."""

    name: str
    port: int
    """Where the service answers unless another port is asked for; no two vendors have the same."""
    load: "Callable[[bool], tuple[Vocabulary, Build]]"
    """Imports what the service is made of; the argument says whether program sets are offered."""
    environment: Callable[[str], dict[str, str]]
    """Environment variables that point the provider's clients at a URL."""
    unset: tuple[str, ...] = ()
    """Environment variables that must not be set."""

    def __call__(
        self,
        *,
        port: int | None,
        host: str,
        state: Path,
        faults: Path | None,
        latency_s: float,
        run_s: float,
        noise: Literal["device", "none"],
        seed: int,
        repeatable: bool,
        program_sets: bool,
        announce: Callable[[str, dict[str, str], tuple[str, ...]], None],
    ) -> None:
        """Run the service; a port of None is the vendor's own, 0 a free one.

        `announce` gets its URL, its environment, and the variables that must not be set, as soon as it answers.

        Raises:
            MissingSDK: a package that the service needs is not installed.
            ConfigError: an option is wrong, the port is taken, or another service has the state open.
        """
        try:
            from backends.loopback import server
            from backends.loopback.jobs import Pace
            from backends.loopback.physics import Physics

            vocabulary, build = self.load(program_sets)
        except ImportError as error:
            raise MissingSDK("loopback", (error.name or str(error)).partition(".")[0]) from error
        pace = Pace(queue_s=latency_s, run_s=run_s, physics=Physics(noise, seed, repeatable))
        port = self.port if port is None else port
        options = server.Options(vendor=self.name, state=state, port=port, host=host, faults=faults)
        server.serve(
            options,
            vocabulary,
            lambda disk: build(disk, pace),
            lambda url: announce(url, self.environment(url), self.unset),
        )
