"""Faults that the service commits on purpose: which, where, how often.

A fault is one entry of a YAML list, or of the list that `PUT /loopback/faults` takes. `kind` is what goes wrong:

Calls (`operation` says which: one of the provider's API operations, a list of them, or "*"):

- `throttle`: refused as too fast. Nothing happened.
- `error`: refused with HTTP `status` 500, 502, 503 or 504. Nothing happened.
- `reset`: the connection is reset before the call is read. Nothing happened.
- `lost_reply`: the call is carried out, then the connection is dropped without a reply, after `seconds`.
- `delay`: the call is carried out after `seconds`; longer than the client's time-out, it is a lost reply.
- `expired_credentials`: refused as signed with an expired key; with `access_key`, only calls signed with that one.
- `quota`: a new job is refused: the account's quota is used up.
- `offline`: the device goes offline for `seconds` (null: for good): new jobs are refused, and its queue stands still.
- `no_idempotency`: a new job is made although its token is known (Braket; IonQ has no tokens). Every call while it is
  listed.
- `slow_search`: jobs younger than `seconds` are not listed. Every call while it is listed.

Jobs, decided when they are created (`device` restricts them):

- `failed`: fails with `reason`; nothing is charged.
- `cancelled`: cancelled by the provider; nothing is charged.
- `slow_queue`: waits `seconds` longer in the queue.
- `wrong_sum`: a probability is multiplied by `factor`, so that they do not sum to 1.
- `partial`: the `share` of the circuits of a job with several fails.

Results (calls that read one; `object` is a pattern of its address such as "*/results.json"):

- `missing_object`: there is none until the object is `seconds` old (null: for good).
- `truncated_object`: the connection closes in the middle of the body.
- `corrupt_object`: the second half of the body is overwritten.

How often: the first `after` matches are passed over, then every `every`-th match counts, each with `probability`
(decided by `seed`, the same in every run), and at most `times` (null: no limit) are hit.
"""

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import isnan
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, ValidationInfo, model_validator

from backends.loopback.physics import seed_of
from qcaan.errors import ConfigError

CallKind = Literal["throttle", "error", "reset", "lost_reply", "delay", "expired_credentials", "quota", "offline"]
JobKind = Literal["failed", "cancelled", "slow_queue", "wrong_sum", "partial"]
ObjectKind = Literal["missing_object", "truncated_object", "corrupt_object"]
RuleKind = Literal["no_idempotency", "slow_search"]
Kind = Literal[CallKind, JobKind, ObjectKind, RuleKind]

_TIMED = {"lost_reply", "delay", "offline", "slow_queue", "slow_search", "missing_object"}
_SECONDS = {"delay": 1.0, "lost_reply": 0.0, "slow_queue": 5.0, "slow_search": 2.0}

_MEASURE = {"failed": "reason", "slow_queue": "seconds", "wrong_sum": "factor", "partial": "share"}
"""The field that says what a fault does to a job."""

_UNREAD: dict[str, frozenset[str]] = {
    **dict.fromkeys(get_args(JobKind), frozenset({"operation", "access_key"})),
    **dict.fromkeys(
        get_args(RuleKind),
        frozenset({"operation", "access_key", "device", "after", "every", "times", "probability", "seed"}),
    ),
}
"""Kind -> fields that decide which calls are hit, and that it does not read."""


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What the faults of one service may name."""

    operations: Sequence[str]
    create: str
    """The operation that makes a job."""
    read_device: str
    """The operation that asks for a device."""
    read_result: str
    """The operation that reads results."""
    devices: Sequence[str]
    """Short names."""
    absent: Collection[str] = ()
    """Kinds that mean nothing to it."""

    def usual(self, kind: str) -> tuple[str, ...]:
        """The operations that a fault hits unless it says otherwise."""
        if kind in get_args(ObjectKind):
            return (self.read_result,)
        return {"quota": (self.create,), "offline": (self.create, self.read_device)}.get(kind, ("*",))


class Fault(BaseModel):
    """One fault; the kinds and the rule of how often are in the module's docstring."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Kind
    operation: tuple[str, ...] = ("*",)
    device: str | None = Field(None, description="short or full name")
    object: str | None = Field(None, description="pattern of the addresses of results, as in a shell")
    access_key: str | None = Field(None, description="the key that signs the call, or its id")
    after: Annotated[int, Field(ge=0)] = 0
    every: Annotated[int, Field(ge=1)] = 1
    times: Annotated[int, Field(ge=1)] | None = None
    probability: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: int = 0
    seconds: Annotated[float, Field(ge=0)] | None = None
    status: Literal[500, 502, 503, 504] = 500
    reason: Annotated[str, Field(min_length=1)] = "the device lost its ions (injected fault)"
    factor: Annotated[float, Field(ge=0, le=1)] = 0.5
    share: Annotated[float, Field(gt=0, le=1)] = 0.5

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - whatever the YAML file holds
        """One operation may stand alone; operation and seconds have defaults of their kind."""
        if not isinstance(value, dict):
            return value
        value = dict(value)
        kind = value.get("kind")
        if isinstance(value.get("operation"), str):
            value["operation"] = [value["operation"]]
        if isinstance(kind, str):
            value.setdefault("operation", _vocabulary(info).usual(kind))
            value.setdefault("seconds", _SECONDS.get(kind))
        return value

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> "Fault":
        """A field that its kind does not read is a mistake, not a comment."""
        vocabulary = _vocabulary(info)
        if self.kind in vocabulary.absent:
            raise ValueError(f"kind '{self.kind}' means nothing to this service; leave it out")
        unused = []
        if self.seconds is not None and self.kind not in _TIMED:
            unused.append("seconds")
        reads = self.kind in get_args(ObjectKind) or vocabulary.read_result in self.operation
        if self.object is not None and not reads:
            unused.append("object")
        given = self.model_fields_set - ({"operation"} if self.operation == vocabulary.usual(self.kind) else set())
        unused += sorted(given & _UNREAD.get(self.kind, frozenset()))
        readers = {"status": {"error"}, "reason": {"failed"}, "factor": {"wrong_sum"}, "share": {"partial"}}
        unused += [name for name, kinds in readers.items() if name in given and self.kind not in kinds]
        if unused:
            raise ValueError(f"kind '{self.kind}' does not use {', '.join(unused)}; leave it out")
        for operation in self.operation:
            _require_known("operation", operation, ["*", *vocabulary.operations])
        if self.device is not None and not any(_is_device(known, self.device) for known in vocabulary.devices):
            _require_known("device", self.device, vocabulary.devices)
        return self


class Injector:
    """The faults in force, and how often each matched and hit."""

    def __init__(self, faults: Sequence[Fault] = (), counts: Sequence[tuple[int, int]] = ()) -> None:
        self.faults = tuple(faults)
        self.matched = [m for m, _ in counts] or [0] * len(faults)
        self.hits = [h for _, h in counts] or [0] * len(faults)

    def call(self, operation: str, *, device: str, key: str, age_s: float, access_key: str) -> list[Fault]:
        """The faults that hit a call; `key` and `age_s` are those of the result it reads, NaN if there is none."""
        return self._hit(
            get_args(CallKind) + get_args(ObjectKind),
            lambda f: (
                ("*" in f.operation or operation in f.operation)
                and _is_device(f.device, device)
                and (f.object is None or fnmatchcase(key, f.object))
                and f.access_key in (None, access_key)
                and (f.kind not in get_args(ObjectKind) or not isnan(age_s))
                and (f.kind != "missing_object" or f.seconds is None or age_s < f.seconds)
            ),
        )

    def job(self, device: str, *, is_set: bool) -> dict[str, float | str | None]:
        """The faults that hit a new job, which has several circuits or not: kind -> what the kind needs to know."""
        hits = self._hit(get_args(JobKind), lambda f: _is_device(f.device, device) and (is_set or f.kind != "partial"))
        return {f.kind: getattr(f, _MEASURE[f.kind]) if f.kind in _MEASURE else None for f in hits}

    def rule(self, kind: RuleKind) -> Fault | None:
        """The standing rule of this kind, if it is in force."""
        return next((f for f in self.faults if f.kind == kind), None)

    def to_json(self) -> bytes:
        """As they are kept on disk."""
        faults = [fault.model_dump(mode="json", exclude_unset=True) for fault in self.faults]
        return json.dumps([faults, list(zip(self.matched, self.hits, strict=True))]).encode()

    @classmethod
    def from_json(cls, text: bytes, vocabulary: Vocabulary) -> Self:
        """The inverse of `to_json`."""
        faults, counts = json.loads(text)
        return cls(read_faults(faults, "the faults in force", vocabulary), counts)

    def view(self) -> list[dict[str, Any]]:
        """The faults with their counts."""
        return [
            fault.model_dump(mode="json") | {"matched": matched, "hits": hits}
            for fault, matched, hits in zip(self.faults, self.matched, self.hits, strict=True)
        ]

    def _hit(self, kinds: Iterable[str], applies: Callable[[Fault], bool]) -> list[Fault]:
        return [f for i, f in enumerate(self.faults) if f.kind in kinds and applies(f) and self._due(i, f)]

    def _due(self, index: int, fault: Fault) -> bool:
        place = self.matched[index] - fault.after
        self.matched[index] += 1
        spent = fault.times is not None and self.hits[index] >= fault.times
        if place < 0 or (place + 1) % fault.every or spent:
            return False
        if seed_of(fault.seed, index, place) >= fault.probability * 2**63:
            return False
        self.hits[index] += 1
        return True


def read_faults(entries: object, where: str, vocabulary: Vocabulary) -> list[Fault]:
    """Faults of a service from a list of mappings.

    Raises:
        ConfigError: it is not one; every wrong field is told with its value and what is expected.
    """
    try:
        return TypeAdapter(list[Fault]).validate_python([] if entries is None else entries, context=vocabulary)
    except ValidationError as error:
        lines = [f"  {_explain(entry)}" for entry in error.errors()]
        raise ConfigError("\n".join([f"{where}:", *lines])) from error


def load_faults(path: Path, vocabulary: Vocabulary) -> list[Fault]:
    """Faults of a service from a YAML file.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or a fault is wrong.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the faults {path}: {error}; give a YAML file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    return read_faults(tree, str(path), vocabulary)


def _vocabulary(info: ValidationInfo) -> Vocabulary:
    assert isinstance(info.context, Vocabulary)
    return info.context


def _require_known(field: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        near = difflib.get_close_matches(value, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
        raise ValueError(f"{field} '{value}' does not exist; {hint}")


def _is_device(given: str | None, device: str) -> bool:
    """Whether a name, short or full, is that of a device, told by its full one; None is every device."""
    if given is None or given == device:
        return True
    return re.sub(r"[/.:]", "-", f"-{device}").lower().endswith(f"-{given}")


_SHAPES = {
    "list_type": "needs entries such as '- {kind: throttle, every: 5}'",
    "dict_type": "needs fields such as {kind: throttle, every: 5}",
    "model_type": "needs fields such as {kind: throttle, every: 5}",
    "tuple_type": "needs an operation, a list of them, or '*'",
}
"""Kind of pydantic's error -> what is needed instead."""


def _explain(entry: Any) -> str:  # noqa: ANN401 - pydantic's description of an error
    path = [str(part) for part in entry["loc"] if str(part) not in ("function-before", "function-after")]
    name = f"fault {int(path[0]) + 1}" if path else "the list"
    field = ".".join(path[1:])
    if entry["type"] == "extra_forbidden":
        return f"{name}, {field}: there is no such field; known: {', '.join(Fault.model_fields)}"
    if entry["type"] == "missing":
        return f"{name}, {field}: missing; add it"
    if entry["type"] in _SHAPES:
        return f"{f'{name}, {field}' if field else name}: {_SHAPES[entry['type']]}, not {entry['input']!r}"
    if field == "kind" and isinstance(entry["input"], str):
        near = difflib.get_close_matches(entry["input"], get_args(Kind), n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(get_args(Kind))}"
        return f"{name}, kind: {entry['input']!r} does not exist; {hint}"
    message = str(entry["msg"]).removeprefix("Value error, ").replace(" or instance of Fault", "")
    message = f"{message[0].lower()}{message[1:]}"
    return f"{name}, {field}: {entry['input']!r} - {message}" if field else f"{name}: {message}"
