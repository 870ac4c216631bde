"""What this machine has of what a run needs: Python, disk, store, SDKs, credentials. Nothing is sent to a device.

Why credentials are looked for and not tried: trying them is a call to the provider, which may ask a person to log in.
A driver whose device wants some brings an entry point of the group `qcaan.credentials`, under the backend's name: a
function without arguments that says in words which ones would be used, never a secret, and raises `CredentialsError`,
with the remedy, where there are none.
"""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path

from sqlalchemy import delete, insert

from qcaan.errors import QcaanError
from qcaan.execution.jobs import list_jobs
from qcaan.execution.registry import BackendInfo, available_backends
from qcaan.execution.schema import facts
from qcaan.execution.store import Store

CREDENTIALS = "qcaan.credentials"
"""Group of the entry points that look for a provider's credentials."""
ROOM_GB = 2.0
"""Free disk, GB (10**9 bytes), that a few training runs with their checkpoints and shots take."""


class State(StrEnum):
    """How something stands."""

    good = "good"
    note = "note"
    """Works without it; what it is for does not."""
    bad = "bad"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `remedy` is "" where nothing is to be done."""

    subject: str
    state: State
    detail: str
    remedy: str = ""


def examine(folder: Path, store: str | None = None) -> Iterator[Finding]:
    """Everything that a run in `folder` needs; with `store`, a path or URL, whether that one can be written.

    A store that is not there is not made.
    """
    yield _python()
    yield _machine()
    yield _disk(folder)
    if store is not None:
        yield _store(store)
    seekers = {entry.name: entry for entry in entry_points(group=CREDENTIALS)}
    for info in available_backends():
        yield _driver(info)
        if info.name in seekers and not info.install:
            yield _credentials(seekers[info.name])


def _python() -> Finding:
    packages = ", ".join(f"{name} {version(name)}" for name in ("qcaan", "numpy", "torch"))
    return Finding("python", State.good, f"{platform.python_version()} at {sys.executable}; {packages}")


def _machine() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits = ", ".join(f"{name}={os.environ[name]}" for name in ("OMP_NUM_THREADS",) if name in os.environ)
    detail = f"{platform.system()} {platform.machine()}, {cores} core(s)"
    return Finding("machine", State.good, f"{detail}, limited by {limits}" if limits else detail)


def _disk(folder: Path) -> Finding:
    if not os.access(folder, os.W_OK):
        remedy = "work in a folder of yours, or name one with --out"
        return Finding("disk", State.bad, f"{folder.resolve()} cannot be written", remedy)
    free_gb = shutil.disk_usage(folder).free / 1e9
    detail = f"{free_gb:.1f} GB free in {folder.resolve()}"
    if free_gb < ROOM_GB:
        return Finding("disk", State.note, detail, f"make room: {ROOM_GB:g} GB hold some runs with their shots")
    return Finding("disk", State.good, detail)


def _store(where: str) -> Finding:
    try:
        if not Store.is_there(where):
            return Finding("store", State.note, f"{where} is not there; the first run makes it")
        with Store.open(where, busy_s=5.0) as store:
            with store.write() as connection:
                connection.execute(insert(facts).values(name="doctor", value=""))
                connection.execute(delete(facts).where(facts.c.name == "doctor"))
            n_open = len(list_jobs(store, only_open=True))
            if n_open:
                remedy = "bring them home: qcaan resume, or qcaan jobs attach"
                return Finding("store", State.note, f"{store.name}: {n_open} open submission(s)", remedy)
            return Finding("store", State.good, f"{store.name}: readable, writable, nothing open")
    except QcaanError as error:
        return Finding("store", State.bad, str(error))


def _driver(info: BackendInfo) -> Finding:
    sdk = ", ".join(f"{package} {installed or 'missing'}" for package, installed in info.sdk.items())
    detail = "; ".join(text for text in (info.distribution, sdk) if text)
    return Finding(f"backend {info.name}", State.note if info.install else State.good, detail, info.install)


def _credentials(entry: EntryPoint) -> Finding:
    subject = f"credentials {entry.name}"
    try:
        return Finding(subject, State.good, str(entry.load()()))
    except ImportError as error:
        return Finding(subject, State.note, f"cannot be looked for: {error}")
    except QcaanError as error:
        return Finding(subject, State.note, str(error))
