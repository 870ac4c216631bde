"""A device in IonQ's cloud. Nothing is asked of it before one of its facts is needed, and nothing to decode a reply.

Why `dedupe` is "search": IonQ has no idempotency key. A job carries its submission's key in its metadata, and the core
looks for the job before it sends a key again.

Why the simulator needs the noise of a computer: without noise it ignores the number of shots and returns exact
probabilities, which are no sample. The backend `local` gives those at no cost.

Why a failed job with children counts as done: some of its circuits may have run. Each child says what became of it.

Why `cancel` looks first: IonQ cancels a job that is completed too, and its result is then gone.

Why a job that has ended is asked for its cost: only IonQ knows what it charged. Where it does not say, or says it in a
unit without a rate, the bound that was reserved stands. So it does where a job that ran to its end is said to have cost
nothing: its bill may be written later, and must not leak from the cap.

Why `fetch` may make several calls: a job of several circuits is a parent with children, and each of these has a state
of its own; the job itself was mostly read by the last `poll`, and is kept until it is fetched.
"""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import Field

from backends.ionq.encode import Mitigation, job
from backends.ionq.facts import MAX_SHOTS, MIN_SHOTS, NOISE_MODELS, qpu_target, simulator_target
from backends.ionq.reply import children_of, decode_reply, parsed, reason_of
from backends.ionq.search import JobSearch, texts
from backends.options import check_options
from qcaan.circuits.native import NativeCircuit
from qcaan.errors import (
    ConfigError,
    IntegrityError,
    LateError,
    MissingSDK,
    RejectedError,
    TransientError,
    UnavailableError,
    UnknownJobError,
)
from qcaan.execution.backend import Backend, Counts, Failed, JobState, JobStatus, Target

if TYPE_CHECKING:
    from backends.ionq.client import Client

_log = logging.getLogger(__name__)
_STATES = {
    "submitted": JobStatus.QUEUED,
    "ready": JobStatus.QUEUED,
    "started": JobStatus.RUNNING,
    "running": JobStatus.RUNNING,
    "completed": JobStatus.DONE,
    "failed": JobStatus.FAILED,
    "canceled": JobStatus.CANCELLED,
}
_AGGREGATE = "ionq.result.probabilities-aggregate.json.v1"
Gates = Annotated[int, Field(ge=1, le=10_000)]


@dataclass(kw_only=True, eq=False)
class IonqDevice(Backend):
    """IonQ's own cloud: a Forte- or Aria-class computer, or the simulator with the noise of one.

    The API key is read from the environment variable IONQ_API_KEY, and nowhere else.

    Raises:
        MissingSDK: requests is not installed.
        ConfigError: an option has a wrong value, or does not fit the device.
    """

    device: str = "simulator"
    """"simulator", or a computer: "forte-1", "forte-enterprise-1", "aria-1"."""
    noise_model: str | None = None
    """Whose noise the simulator has, forte-1 if None."""
    mitigation: Mitigation = "none"
    """"debias" needs 500 shots."""
    pulses: Gates = 250
    """Most GPI and GPI2 of a circuit; the price of a circuit of this size is reserved, and larger ones are refused."""
    entanglers: Gates = 250
    """Most MS or ZZ of a circuit, likewise."""
    usd_per_credit: Annotated[float, Field(gt=0)] | None = None
    """What a credit is worth, for an account that is billed in credits."""
    url: str | None = None
    """Address of the API, https or on this machine; None for that in IONQ_API_URL, else IonQ's own."""

    def __post_init__(self) -> None:
        check_options(self, "ionq")
        if find_spec("requests") is None:
            raise MissingSDK("ionq", "requests")
        self.device = self.device.removeprefix("qpu.").lower()
        self._is_qpu = self.device != "simulator"
        self._backend = f"qpu.{self.device}" if self._is_qpu else "simulator"
        self._noise_model = None if self._is_qpu else self.noise_model or "forte-1"
        wrong = ""
        if self._is_qpu and self.noise_model is not None:
            wrong = f"noise_model={self.noise_model!r}: {self.device} has noise of its own; leave it out"
        elif self._noise_model == "ideal":
            wrong = "noise_model='ideal': IonQ then returns no sample; use the backend 'local', or a computer's noise"
        elif self._noise_model not in (None, *NOISE_MODELS):
            wrong = f"noise_model={self.noise_model!r}: use one of {', '.join(NOISE_MODELS)}"
        elif not self._is_qpu and self.mitigation != "none":
            wrong = f"mitigation={self.mitigation!r}: the simulator has none; use one of {get_args(Mitigation)[0]}"
        if wrong:
            raise ConfigError(f"backend 'ionq', option {wrong}")
        self._polled: dict[str, str] = {}

    @cached_property
    def target(self) -> Target:  # type: ignore[override]
        """The device's facts, read from it once.

        Raises:
            BackendError: IonQ cannot be asked; see `backends.ionq.client`.
            ConfigError: there is no such device, or it lacks what an option asks for.
            IntegrityError: the device's facts cannot be read.
        """
        told = parsed(self._client.fact("/whoami", "look up the account at IonQ"), "the account", "key_id")
        account = f"ionq {told.get('project_id') or told['key_id']}"
        if self._noise_model is not None:
            try:
                characterization = self._characterized(f"qpu.{self._noise_model}")[1]
            except ConfigError:  # a computer that is gone, whose noise is kept
                characterization = None
            return simulator_target(self._noise_model, characterization, account=account)
        facts, characterization = self._characterized(self._backend)
        low, high = MIN_SHOTS[self.mitigation], MAX_SHOTS
        usd = max(self._estimate_usd(facts, shots) / shots for shots in (low, high))
        return qpu_target(facts, characterization, usd_per_shot=usd, mitigation=self.mitigation, account=account)

    def submit(self, batch: Sequence[NativeCircuit], shots: int, key: str) -> str:
        """Create one job; the job id is IonQ's.

        Raises:
            RejectedError: a circuit is larger than what is reserved for it, and nothing was sent; or IonQ refuses.
        """
        self._check_size(batch)
        body = job(
            batch,
            shots,
            key,
            backend=self._backend,
            mitigation=self.mitigation,
            noise_model=self._noise_model,
        )
        text = self._client.post("/jobs", body, f"create a job at {self._backend}")
        try:
            return str(parsed(text, "the new job", "id")["id"])
        except IntegrityError as error:  # it may exist: the core looks for it by its key
            raise TransientError(f"create a job at {self._backend}: {error}") from error

    def poll(self, job_id: str) -> JobState:
        """Status, reason of a failure, and what it cost once it has ended.

        Raises:
            IntegrityError: the job is at another device, or has a status that IonQ did not have when this was written.
        """
        text = self._client.get(f"/jobs/{job_id}", f"look at job {job_id}", missing=UnknownJobError)
        told = self._read(text, job_id)
        status = _STATES.get(str(told["status"]))
        if status is None:
            raise IntegrityError(
                f"job {job_id} has the status {told['status']!r}, known are {', '.join(_STATES)}: IonQ's API may have "
                f"changed; the job is left as it is; the reply begins: {text[:400]}"
            )
        if status is JobStatus.FAILED and told.get("child_job_ids"):
            status = JobStatus.DONE
        if status in (JobStatus.QUEUED, JobStatus.RUNNING):
            return JobState(status)
        if status is JobStatus.DONE:
            self._polled[job_id] = text
        return JobState(status, reason_of(told), usd=self._cost_usd(job_id, completed=told["status"] == "completed"))

    def fetch(self, job_id: str) -> bytes:
        """The job, its children and its results; see `backends.ionq.reply`.

        Raises:
            LateError: a part is not there yet, or not whole.
        """
        text = self._polled.get(job_id) or self._client.get(
            f"/jobs/{job_id}", f"look at job {job_id}", missing=UnknownJobError
        )
        told = self._read(text, job_id)
        aggregate = ""
        children: list[str] = []
        results: dict[str, str] = {}
        if not (ids := told.get("child_job_ids")):
            results[job_id] = self._probabilities(job_id)
        else:
            children, states = self._children(job_id, ids)
            if told["status"] == "completed" and (path := _aggregate_path(job_id, told.get("results") or {})):
                aggregate = self._whole(path)
            there = set(json.loads(aggregate)) if aggregate else set()
            rest = {one: _STATES.get(states.get(one, "")) for one in ids if one not in there}
            if open_ := [one for one, state in rest.items() if state in (JobStatus.QUEUED, JobStatus.RUNNING)]:
                raise LateError(f"job {job_id} has ended, its children {', '.join(open_)} have not")
            results = {one: self._probabilities(one) for one, state in rest.items() if state is JobStatus.DONE}
        self._polled.pop(job_id, None)
        return json.dumps({"job": text, "children": children, "results": results, "aggregate": aggregate}).encode()

    def decode(self, reply: bytes, batch: Sequence[NativeCircuit]) -> list[Counts | Failed]:
        """Counts, made from probabilities once; see `backends.ionq.reply` for what is checked."""
        return decode_reply(reply, batch, backend=self._backend)

    def find(self, key: str) -> str | None:
        """The job that carries the key in its metadata; see `backends.ionq.search` for how much is read."""
        return self._search.find(key)

    def cancel(self, job_id: str) -> None:
        """Ask for the end of a job that has not ended. What runs already may still be charged."""
        doing = f"cancel job {job_id}"
        told = self._read(self._client.get(f"/jobs/{job_id}", doing, missing=UnknownJobError), job_id)
        if _STATES.get(str(told["status"])) in (JobStatus.QUEUED, JobStatus.RUNNING):
            self._client.put(f"/jobs/{job_id}/status/cancel", doing, missing=UnknownJobError)

    @cached_property
    def _client(self) -> "Client":
        from backends.ionq.client import Client

        return Client(self.url)

    @cached_property
    def _search(self) -> JobSearch:
        return JobSearch(self._client, self._backend)

    def _characterized(self, backend: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """What IonQ says of a computer, and its latest characterization.

        Raises:
            ConfigError: IonQ does not know it.
        """
        text = self._client.fact(f"/backends/{backend}", f"backend 'ionq': look up {backend}", missing=ConfigError)
        facts = parsed(text, f"the backend {backend}", "backend", "status", "qubits", "supported_native_gates")
        if not (found := facts.get("characterization_id")):
            return facts, None
        path = f"/backends/{backend}/characterizations/{found}"
        text = self._client.fact(path, f"look up the characterization of {backend}")
        return facts, parsed(text, "the characterization", "id", "date")

    def _read(self, text: str, job_id: str) -> dict[str, Any]:
        told = parsed(text, f"job {job_id}", "id", "status", "backend")
        if told["id"] != job_id:
            raise IntegrityError(f"asked for job {job_id}, told of {told['id']}")
        if told["backend"] != self._backend:
            raise IntegrityError(f"job {job_id} is at {told['backend']}, not {self._backend}")
        return told

    def _children(self, job_id: str, ids: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """The children as texts, and the status of each; those that the listing leaves out are asked for alone."""
        found = list(texts(self._client, parent_job_id=job_id))
        known = {str(child.get("id")) for child in children_of(found)}
        doing = f"look at the children of {job_id}"
        found += [self._client.get(f"/jobs/{one}", doing, missing=LateError) for one in ids if one not in known]
        return found, {str(child.get("id")): str(child.get("status")) for child in children_of(found)}

    def _probabilities(self, job_id: str) -> str:
        return self._whole(f"/jobs/{job_id}/results/probabilities")

    def _whole(self, path: str) -> str:
        """A result, which must be a JSON object."""
        text = self._client.get(path, f"read {path}", missing=LateError)
        try:
            whole = isinstance(json.loads(text), dict)
        except ValueError:
            whole = False
        if not whole:
            raise LateError(f"{path} is not whole; it begins: {text[:400]}")
        return text

    def _estimate_usd(self, facts: dict[str, Any], shots: int) -> float:
        """What a circuit of the largest size costs with so many shots."""
        query: dict[str, str | int] = {
            "backend": self._backend,
            "qubits": str(facts["qubits"]),
            "shots": shots,
            "1q_gates": self.pulses,
            "2q_gates": self.entanglers,
            "error_mitigation": str(self.mitigation == "debias").lower(),
        }
        text = self._client.fact("/jobs/estimate", f"ask the price of {self._backend}", query=query)
        told = parsed(text, "the estimate", "estimated_total_cost", "estimated_unit")
        usd = self._usd(told["estimated_total_cost"], told["estimated_unit"])
        if usd is None:
            raise ConfigError(
                f"backend 'ionq': this account is charged in {told['estimated_unit']}, so that a budget in US dollars "
                "cannot be kept; give the option usd_per_credit"
            )
        return usd

    def _cost_usd(self, job_id: str, *, completed: bool) -> float | None:
        """What a job cost; None where IonQ does not say, as for a completed job before its bill is written."""
        if not self._is_qpu:
            return None
        told: object = None
        try:
            text = self._client.get(f"/jobs/{job_id}/cost", f"ask the cost of {job_id}")
            told = parsed(text, "the cost").get("cost")
        except (RejectedError, UnavailableError, IntegrityError) as error:  # a paid result must not wait for its bill
            told = error
        usd = self._usd(told.get("value"), told.get("unit")) if isinstance(told, dict) else None
        if usd is None or (completed and usd == 0):
            _log.warning(
                "IonQ does not say in US dollars what job %s cost (%s): the reserved price is kept", job_id, told
            )
            return None
        return usd

    def _usd(self, value: object, unit: object) -> float | None:
        rates = {"usd": 1.0, "credit": self.usd_per_credit, "credits": self.usd_per_credit}
        rate = rates.get(str(unit).lower())
        if rate is None or not isinstance(value, int | float) or not 0 <= value < math.inf:
            return None  # less than nothing would make room under the cap
        return rate * value

    def _check_size(self, batch: Sequence[NativeCircuit]) -> None:
        for place, circuit in enumerate(batch if self._is_qpu else ()):
            pulses, entanglers = circuit.program.n_pulses, circuit.program.n_two_qubit
            if pulses > self.pulses or entanglers > self.entanglers:
                raise RejectedError(
                    f"circuit {place} has {pulses} pulses and {entanglers} entanglers, but the price of "
                    f"{self.pulses} and {self.entanglers} is reserved. Nothing was sent; raise the options pulses and "
                    "entanglers"
                )


def _aggregate_path(job_id: str, results: dict[str, Any]) -> str:
    """Where the results of all children lie in one text, in the two forms that IonQ has told it in; "" if nowhere."""
    url = (results.get("probabilities") or {}).get("url")
    if isinstance(url, str) and url.startswith(f"/v0.4/jobs/{job_id}/"):
        return url.removeprefix("/v0.4")
    artifact = (results.get(_AGGREGATE) or {}).get("id")
    return f"/jobs/{job_id}/artifacts/{artifact}" if artifact else ""
