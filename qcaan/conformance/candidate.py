"""What is judged: a driver, and what it brings along to be judged by.

Why a fake is part of it: what a driver does when a reply is lost can only be seen where somebody counts the jobs, and
breaks things on purpose, for nothing. A driver's package offers its fake under the driver's name in the entry-point
group `qcaan.candidates`: a function of the driver's options that is a context manager and yields a `Candidate`.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import entry_points
from typing import Any, Literal, Protocol, Self

from qcaan.circuits.native import NativeCircuit
from qcaan.errors import ConfigError
from qcaan.execution.backend import Backend, Counts
from qcaan.execution.policy import Clock
from qcaan.execution.registry import open_backend, spelled_out

GROUP = "qcaan.candidates"
Verb = Literal["submit", "poll", "fetch", "find", "job"]
_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|API_?KEY|ACCESS_KEY", re.IGNORECASE)


class Fake(Protocol):
    """A stand-in for a driver's device or service, whose books can be read and whose faults can be set."""

    @property
    def faults(self) -> Collection[tuple[Verb, str]]:
        """What it can stage, from the names in `qcaan.conformance.fault.MEANT`."""

    def n_jobs(self) -> int:
        """Jobs that the device has accepted so far."""

    def stage(self, verb: Verb, what: str) -> None:
        """Let the next call of `verb` go wrong like this, once; verb "job" is the next job that is accepted.

        It is met by every backend that is opened after this call.
        """

    def calm(self) -> None:
        """Let nothing that was staged go wrong any more."""


@dataclass(frozen=True)
class Recording:
    """A provider's reply, kept, and what it says: for `decode`, without a device."""

    reply: bytes
    batch: Sequence[NativeCircuit]
    counts: Sequence[Counts]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A driver to be judged.

    `open` makes a fresh backend that talks to the same device, as another process would.
    """

    open: Callable[[], Backend]
    fake: Fake | None = None
    recordings: Sequence[Recording] = ()
    secrets: Sequence[str] = ()
    """Values that must not appear in anything that is stored or printed."""
    clock: Clock = field(default_factory=Clock)
    patience_s: float = 120.0
    """How long a job may take."""
    name: str = ""
    """In the registry, if the driver is installed: then parts are asked in another process."""
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def named(cls, name: str, options: Mapping[str, Any] | None = None, **more: Any) -> Self:  # noqa: ANN401
        """The installed driver `name`, opened with `options`; `more` are other fields.

        Secrets are the values that options refer to as "env:NAME", and those of variables that are named like one.
        """
        name, chosen = spelled_out(name, options or {})
        return cls(
            open=partial(open_backend, name, **chosen), name=name, options=chosen, secrets=_secrets(chosen), **more
        )


@contextmanager
def candidate_of(name: str, options: Mapping[str, Any]) -> Iterator[Candidate]:
    """The installed driver `name`, with the fake that its package offers, if it offers one.

    Raises:
        ConfigError: two packages offer one.
    """
    name, options = spelled_out(name, options)
    offers = {entry.value: entry for entry in entry_points(group=GROUP, name=name)}
    if len(offers) > 1:
        raise ConfigError(f"two installed packages offer a candidate '{name}': {', '.join(sorted(offers))}")
    if not offers:
        yield Candidate.named(name, options)
        return
    (entry,) = offers.values()
    with entry.load()(**options) as offered:
        yield offered


def _secrets(options: Mapping[str, Any]) -> tuple[str, ...]:
    nested = [value.values() if isinstance(value, Mapping) else [value] for value in options.values()]
    texts = [str(value) for values in nested for value in values]
    referred = [text.removeprefix("env:") for text in texts if text.startswith("env:")]
    named = [name for name in os.environ if _SECRET.search(name)]
    return tuple({value for name in (*referred, *named) if len(value := os.environ.get(name, "")) >= 8})
