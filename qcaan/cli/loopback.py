"""`qcaan loopback`: local services that speak a provider's API, to rehearse against."""

import json
import shlex
from enum import StrEnum
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from qcaan.errors import ConfigError

GROUP = "qcaan.loopbacks"


class Noise(StrEnum):
    """Whose noise outcomes have."""

    device = "device"
    none = "none"


def _services() -> list[str]:
    return sorted(entry.name for entry in entry_points(group=GROUP))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(loopback)


def loopback(
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="The provider: braket or ionq.", autocompletion=_services)
    ],
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; 0 for a free one; without it braket's is 8089, ionq's 8090."),
    ] = None,
    host: Annotated[str, typer.Option(help="A loopback address; others are refused.")] = "127.0.0.1",
    faults: Annotated[
        Path | None, typer.Option(help="YAML file of faults, as examples/faults.yaml; without, the last ones stay.")
    ] = None,
    latency: Annotated[float, typer.Option(min=0, help="Seconds that a job waits in the queue.")] = 0.0,
    run_time: Annotated[float, typer.Option(min=0, help="Seconds that a job runs.")] = 0.0,
    state: Annotated[
        Path, typer.Option(help="Folder of jobs, results, faults and the bill; another one is a fresh start.")
    ] = Path("loopback"),
    noise: Annotated[Noise, typer.Option(help="device: as the device's fidelities say; none: ideal gates.")] = (
        Noise.device
    ),
    seed: Annotated[int, typer.Option(min=0, help="Of all outcomes.")] = 0,
    repeatable: Annotated[
        bool, typer.Option("--repeatable", help="The same program gives the same outcome in every job.")
    ] = False,
    program_sets: Annotated[
        bool, typer.Option("--program-sets", help="Braket's devices offer program sets; today's do not.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print address and environment as one line of JSON.")] = False,
) -> None:
    """Run a local service that speaks a provider's API: nothing is paid, nothing leaves this machine.

    Jobs, results and the bill stay in the folder STATE and survive a restart; Ctrl-C ends it.

    FAULTS is a list such as '- {kind: lost_reply, every: 5, times: 3}'. Kinds:

    of calls: throttle, error, reset, lost_reply, delay, expired_credentials, quota, offline;
    of jobs: failed, cancelled, slow_queue, wrong_sum, partial;
    of results: missing_object, truncated_object, corrupt_object;
    standing: slow_search, no_idempotency (Braket alone).

    What each does, and how often it hits: docs/faults.md.

    Example: qcaan loopback braket --faults examples/faults.yaml --latency 5
    """

    def announce(url: str, environment: dict[str, str], unset: tuple[str, ...]) -> None:
        if json_:
            typer.echo(json.dumps({"url": url, "environment": environment}))
            return
        typer.echo(f"# The loopback service of {service} answers at {url}; open it in a browser. Ctrl-C ends it.")
        typer.echo("# Paste this where your program runs:")
        if unset:
            typer.echo(f"unset {' '.join(unset)}")
        for name, value in environment.items():
            typer.echo(f"export {name}={shlex.quote(value)}")

    known = {entry.name: entry for entry in entry_points(group=GROUP)}
    if service not in known:
        raise ConfigError(f"there is no loopback service '{service}'; known: {', '.join(sorted(known))}")
    known[service].load()(
        port=port,
        host=host,
        state=state,
        faults=faults,
        latency_s=latency,
        run_s=run_time,
        noise=noise.value,
        seed=seed,
        repeatable=repeatable,
        program_sets=program_sets,
        announce=announce,
    )
