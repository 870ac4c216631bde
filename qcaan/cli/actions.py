"""`qcaan jobs attach`, `cancel`, `adopt`, `release`, `redecode`, `prune`: what is done with what was sent."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qcaan.cli.completion import backend_names
from qcaan.cli.console import Meter, jobs_line
from qcaan.cli.options import Options, parse_options
from qcaan.cli.store import HERE, RunName, Where, open_store
from qcaan.config import Config
from qcaan.errors import ConfigError, DetachedError

if TYPE_CHECKING:
    from qcaan.execution.backend import Backend

BackendName = Annotated[
    str | None,
    typer.Option(
        "--backend",
        metavar="NAME",
        help="The backend; without it the run directory's.",
        autocompletion=backend_names,
    ),
]
Key = Annotated[str, typer.Argument(metavar="KEY", help="A submission's key from the list, or how it begins.")]
_NOT_CANCELLED = {"unknown": 1, "too late": 3, "asked": DetachedError.exit_code}
"""What `cancel` exits with, the worst first."""


def register(jobs: typer.Typer) -> None:
    """Add this module's commands to `qcaan jobs`."""
    for command in (attach, cancel, adopt, release, redecode, prune):
        jobs.command()(command)


def attach(
    where: Where = HERE,
    run: RunName = None,
    backend: BackendName = None,
    options: Options = None,
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for each call of a run.")] = 86_400.0,
) -> None:
    """Bring home what is still at the device, whichever process sent it.

    What its run had planned is sent too, and what failed is tried again,
    within the budget that it was planned under.

    Waits until every job has ended: up to a day for each call of a run,
    or for --wait SECONDS; with 0 it looks once.
    Ctrl-C detaches, exit 75: the jobs stay at the device, what has arrived
    is kept, and the same command goes on.

    Exit 0: all is home.
    Exit 75: detached, something is still at the device.
    Exit 1: something failed.

    Example: qcaan jobs attach --store runs/my-run --wait 0
    """
    from qcaan.execution import actions
    from qcaan.execution.policy import Patience

    again = "the jobs stay at the device, nothing is lost; the same command goes on"
    try:
        with open_store(where) as store, Meter() as meter:
            found = actions.attach(
                store,
                _backend(where, backend, options),
                run=run,
                patience=Patience(wait_s=wait),
                refresh=lambda: _backend(where, backend, options),
                report=lambda news: meter.tell(jobs_line(news)),
            )
    except KeyboardInterrupt:
        typer.echo(f"detached: {again}", err=True)
        raise typer.Exit(DetachedError.exit_code) from None
    for call in found:
        typer.echo(f"{call.run} {call.tag}: {call.error or 'complete'}")
    failures = [call.error for call in found if call.error is not None]
    if failures:
        code = min(error.exit_code for error in failures)  # 75 only if nothing worse happened
        if code == DetachedError.exit_code:
            typer.echo(again, err=True)
        raise typer.Exit(code)
    typer.echo(f"{len(found)} call(s) complete" if found else "nothing is open on this device")


def cancel(
    where: Where = HERE,
    run: RunName = None,
    key: Annotated[
        str | None, typer.Option(help="Only the submission with this key, or whose key begins like this.")
    ] = None,
    backend: BackendName = None,
    options: Options = None,
) -> None:
    """Cancel what is queued: all of a run, or one submission; says what each costs.

    Each job is waited for until the provider has ended it, up to two minutes.
    Ctrl-C ends the waiting: what was asked to end stays asked, exit 75.

    Exit 0: all are cancelled.
    Exit 3: too late, some had ended; 'qcaan jobs attach' brings their shots.
    Exit 75: some are asked to end and have not ended yet.
    Exit 1: an error, or nobody knows whether one was sent.

    Example: qcaan jobs cancel --store runs/my-run --run RUN
    """
    from qcaan.execution import actions

    if run is None and key is None:
        raise ConfigError("cancel needs --run or --key; 'qcaan jobs list --only-open' shows both")
    try:
        with open_store(where) as store, Meter() as meter:
            device = _backend(where, backend, options)
            found = actions.cancel(store, device, run=run, key=key, report=meter.tell)
    except KeyboardInterrupt:
        typer.echo("stopped waiting: what was asked to end stays asked; 'qcaan jobs attach' tells the rest", err=True)
        raise typer.Exit(DetachedError.exit_code) from None
    for job in found:
        typer.echo(f"{job.run} {job.tag} {job.key[:12]}: {job.told}")
    if not found:
        typer.echo("nothing is open on this device")
    for outcome, code in _NOT_CANCELLED.items():
        if any(job.outcome == outcome for job in found):
            raise typer.Exit(code)


def adopt(
    key: Key,
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The provider's id of the job.")],
    where: Where = HERE,
) -> None:
    """Tell an interrupted submission which job at the provider it is; then `attach`.

    Example: qcaan jobs adopt 0ddaf625ba70 JOB --store runs/my-run
    """
    from qcaan.execution import actions

    with open_store(where) as store:
        actions.adopt(store, key, job_id)
    typer.echo(f"adopted; 'qcaan jobs attach --store {where}' brings it home")


def release(key: Key, where: Where = HERE) -> None:
    """Give an interrupted submission up: its run plans it, and pays for it, again.

    Example: qcaan jobs release 0ddaf625ba70 --store runs/my-run
    """
    from qcaan.execution import actions

    with open_store(where) as store:
        actions.release(store, key)
    typer.echo("released")


def redecode(
    where: Where = HERE,
    run: RunName = None,
    backend: BackendName = None,
    device: Annotated[str | None, typer.Option("--device", help="Only what this device replied.")] = None,
    options: Options = None,
) -> None:
    """Decode all raw replies again after a driver was corrected: no connection and no credentials are needed.

    Example: qcaan jobs redecode --store runs/my-run
    """
    from qcaan.execution import jobs, upkeep

    with open_store(where) as store:
        places: dict[str, set[str]] = {}
        for job in jobs.list_jobs(store, run=run):
            if backend in (None, job.backend) and device in (None, job.device):
                places.setdefault(job.backend, set()).add(job.device)
        for name, devices in places.items():
            if len(devices) > 1:
                names = ", ".join(sorted(devices))
                raise ConfigError(f"backend '{name}' recorded replies of {names}: name one with --device")
        changed = [
            key
            for name, (only,) in sorted(places.items())
            for key in upkeep.redecode(store, name, _backend(where, name, options), run=run, device=only)
        ]
    typer.echo(f"{len(changed)} submission(s) changed")


def prune(run: Annotated[str, typer.Option("--run", help="The run.")], where: Where = HERE) -> None:
    """Remove what simulators recorded for a run. What a paid device returned is never removed.

    Example: qcaan jobs prune --run RUN --store runs/my-run
    """
    from qcaan.execution import upkeep

    with open_store(where) as store:
        typer.echo(f"{upkeep.prune(store, run=run)} call(s) removed")


def _backend(where: str, name: str | None, options: list[str] | None) -> "Backend":
    """The named backend, or the run directory's; the options of a run directory count for its own backend."""
    from qcaan.execution.registry import open_backend

    path = Path(where) / "config.yaml"
    recorded = Config.load(path).backend if path.is_file() else None
    if recorded is not None and name in (None, recorded.name):
        return open_backend(recorded.name, **{**recorded.options, **parse_options(options)})
    if name is None:
        raise ConfigError("name the device's backend with --backend, and its options with --set")
    return open_backend(name, **parse_options(options))
