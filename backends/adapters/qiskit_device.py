"""Any Qiskit `BackendV2` or `SamplerV2` as a backend: its circuits are compiled by Qiskit to what it supports.

Why two classes: a device whose jobs can be looked up again by their ids (`backend.retrieve_job`, or the function that
the option `retrieve` names) is a remote device, and the core may detach from it and come back. Every other one is taken
for a simulator of this process: what it is asked for is run at once, and again if the process dies. A device that
charges must therefore be of the first kind, and one that is none of Qiskit's or Aer's own must be said to be free, by
`kind`; and as Qiskit sends no key along with a job, a submission whose reply is
lost is never repeated: the core stops and asks.

Why the number of a circuit in its batch is part of its seed: Qiskit's simulators seed every circuit of a call alike, or
in steps that the next call may meet.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from threading import Lock
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from backends.adapters.factory import Factory, load, told_free
from backends.adapters.qiskit_circuits import Compiled, counts_of
from backends.adapters.qiskit_errors import translated
from backends.adapters.qiskit_facts import facts_of
from backends.options import check_options
from qcaan.circuits.native import NativeCircuit
from qcaan.errors import (
    ConfigError,
    IntegrityError,
    JobFailedError,
    LateError,
    MissingSDK,
    RejectedError,
    UnknownJobError,
)
from qcaan.execution.backend import Backend, Counts, Failed, JobState, JobStatus, Price, Simulator, Target

_STATES = {
    "INITIALIZING": JobStatus.QUEUED,
    "VALIDATING": JobStatus.QUEUED,
    "QUEUED": JobStatus.QUEUED,
    "RUNNING": JobStatus.RUNNING,
    "DONE": JobStatus.DONE,
    "ERROR": JobStatus.FAILED,
    "CANCELLED": JobStatus.CANCELLED,
}
"""Qiskit's own statuses of a job."""
Kind = Literal["simulator", "emulator", "qpu"]


def open_qiskit(
    *,
    factory: str,
    arguments: Mapping[str, Any] | None = None,
    run_options: Mapping[str, Any] | None = None,
    retrieve: str | None = None,
    kind: Kind | None = None,
    entangler: Literal["ms", "zz"] = "zz",
    level: int = 1,
    n_qubits: int | None = None,
    max_shots: int | None = None,
    max_circuits: int | None = None,
    per_task_usd: float = 0.0,
    per_shot_usd: float = 0.0,
) -> Backend:
    """Any Qiskit BackendV2 or SamplerV2, named by the function or class that makes it.

    Args:
        factory: what makes the device, "module:function", such as "qiskit_aer:AerSimulator".
        arguments: its keyword arguments; "env:NAME" stands for an environment variable.
        run_options: keyword arguments of each `run`, such as IonQ's error mitigation.
        retrieve: a function of a job id that gives the job, "module:function"; by default the device's `retrieve_job`.
        kind: "simulator" (noise-free), "emulator" (noisy) or "qpu"; by default "qpu" where jobs can be retrieved, else
            by the errors that the device states, if it is one of Qiskit's or Aer's own. Any other one whose jobs cannot
            be retrieved needs it: it says that the device is free.
        entangler: the two-qubit gate that circuits are compiled to before Qiskit compiles them to the device's gates;
            a device that has qiskit-ionq's native gates gets its own.
        level: Qiskit's optimization level, 0 to 3.
        n_qubits: largest register; by default the device's number of qubits, or 12 where it does not say.
        max_shots: largest number of shots of a circuit; by default the device's, or 10,000 where jobs can be retrieved.
        max_circuits: circuits in a job; by default the device's, or 1 where jobs can be retrieved.
        per_task_usd: what a job costs, for the budget.
        per_shot_usd: what a shot costs, for the budget.

    Raises:
        MissingSDK: qiskit is not installed.
        ConfigError: an option has a wrong value, or the factory makes no device.
    """
    try:
        import qiskit  # noqa: F401 - asked for before the factory is, whose error would say less
    except ImportError as error:
        raise MissingSDK("qiskit", "qiskit") from error
    options = QiskitOptions(
        factory=factory,
        arguments=dict(arguments or {}),
        run_options=dict(run_options or {}),
        retrieve=retrieve,
        kind=kind,
        entangler=entangler,
        level=level,
        n_qubits=n_qubits,
        max_shots=max_shots,
        max_circuits=max_circuits,
        per_task_usd=per_task_usd,
        per_shot_usd=per_shot_usd,
    )
    maker = Factory("qiskit", options.factory, options.arguments)
    device = maker.make()
    if retrieve is not None or callable(getattr(device, "retrieve_job", None)):
        return QiskitDevice(options, device)
    return QiskitSimulator(options, maker, device)


@dataclass(kw_only=True, eq=False)
class QiskitOptions:
    """The options of `open_qiskit`, checked."""

    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)
    run_options: dict[str, Any] = field(default_factory=dict)
    retrieve: str | None = None
    kind: Kind | None = None
    entangler: Literal["ms", "zz"] = "zz"
    level: Annotated[int, Field(ge=0, le=3)] = 1
    n_qubits: Annotated[int, Field(ge=1, le=62)] | None = None
    max_shots: Annotated[int, Field(ge=1)] | None = None
    max_circuits: Annotated[int, Field(ge=1)] | None = None
    per_task_usd: Annotated[float, Field(ge=0)] = 0.0
    per_shot_usd: Annotated[float, Field(ge=0)] = 0.0

    def __post_init__(self) -> None:
        check_options(self, "qiskit")

    def target(self, device: Any, compiled: Compiled, kind: Kind, **more: Any) -> Target:  # noqa: ANN401
        """What is known of the device."""
        known = facts_of(device, compiled.target)
        widest = self.n_qubits or min(known.n_qubits or 12, 62)
        if known.n_qubits is not None and widest > known.n_qubits:
            raise ConfigError(f"backend 'qiskit', option n_qubits={widest}: {known.name} has {known.n_qubits} qubits")
        own = compiled.native
        compiler = "" if own or compiled.target is None else f"Qiskit {version('qiskit')}, level {self.level}"
        return Target(
            name="qiskit",
            device=f"{self.factory} {json.dumps(self.arguments, sort_keys=True, default=str)}",
            kind=kind,
            n_qubits=widest,
            native_gates=own or ("gpi", "gpi2", self.entangler),
            recompiled_by=compiler,
            figures=known.figures,
            calibration=f"qiskit {version('qiskit')}, {known.version}",
            mitigation=json.dumps(self.run_options, sort_keys=True) if self.run_options else "none",
            **more,
        )


class QiskitSimulator(Simulator):
    """A Qiskit device that runs in this process: a `BackendV2` or `SamplerV2` whose jobs die with it."""

    def __init__(self, options: QiskitOptions, maker: Factory, device: Any) -> None:  # noqa: ANN401
        super().__init__()
        if options.kind == "qpu" or options.per_task_usd or options.per_shot_usd:
            raise ConfigError(
                "backend 'qiskit', option kind or price: the jobs of this device cannot be looked up again, so it is "
                "taken for a simulator, which is asked again after a crash; name a function of a job id in 'retrieve'"
            )
        self._maker, self._device = maker, device
        self._options = options
        self._is_sampler = is_sampler(device)
        if options.kind is None and not _is_own(device):
            raise told_free("qiskit", f"a {type(device).__name__} is no simulator of Qiskit's or Aer's")
        inner = getattr(device, "backend", device) if self._is_sampler else device
        self._compiled = Compiled(getattr(inner, "target", None), options.level)
        self._seed_option = hasattr(getattr(device, "options", None), "seed_simulator") and not self._is_sampler
        noisy = facts_of(inner, self._compiled.target).figures is not None
        self.target = options.target(
            inner,
            self._compiled,
            options.kind or ("emulator" if noisy else "simulator"),
            max_shots=options.max_shots or getattr(device, "max_shots", None) or 1_000_000,
            max_circuits=options.max_circuits or getattr(device, "max_circuits", None) or 100,
            dedupe="key",
            seedable=self._seed_option or (self._is_sampler and maker.takes_seed),
        )

    def sample(self, batch: Sequence[NativeCircuit], shots: int, seed: int) -> list[Counts]:
        """Shots drawn by the device."""
        with translated():
            if self._is_sampler:
                return self._sampled(batch, shots, seed)
            circuits = self._compiled.circuits(batch)
            if not self._seed_option:
                return _all(_read(_run(self._device, circuits, shots, self._options.run_options).result(), batch))
            counts = []
            for place, circuit in enumerate(circuits):
                own = int(np.random.SeedSequence([seed, place]).generate_state(1)[0]) >> 1
                more = {**self._options.run_options, "seed_simulator": own}
                counts += _all(_read(_run(self._device, [circuit], shots, more).result(), [batch[place]]))
            return counts

    def _sampled(self, batch: Sequence[NativeCircuit], shots: int, seed: int) -> list[Counts]:
        sampler = self._maker.make(seed=self._seed(seed)) if self._maker.takes_seed else self._device
        groups = self._compiled.groups(batch)
        pubs = [(circuit, values) if values.shape[1] else (circuit,) for _, circuit, values in groups]
        results = sampler.run(pubs, shots=shots).result()
        placed: dict[int, Counts] = {}
        for (group, _, values), result in zip(groups, results, strict=True):
            for k, position in enumerate(group.positions):
                bits = result.data.bits
                placed[position] = counts_of(batch[position].n_qubits, bits[k] if values.shape[1] else bits)
        return [placed[position] for position in range(len(batch))]

    def _seed(self, seed: int) -> int | np.random.Generator:
        """A sampler's seed: 32 bits, which all take; Qiskit's own starts every circuit anew from a plain number."""
        from qiskit.primitives import StatevectorSampler

        return np.random.default_rng(seed) if isinstance(self._device, StatevectorSampler) else seed >> 31


class QiskitDevice(Backend):
    """A Qiskit `BackendV2` whose jobs can be retrieved by their ids, from any process."""

    def __init__(self, options: QiskitOptions, device: Any) -> None:  # noqa: ANN401
        if not callable(getattr(device, "run", None)) or is_sampler(device):
            raise ConfigError(
                f"backend 'qiskit', option factory='{options.factory}': it made a {type(device).__name__}; jobs are "
                "retrieved from a BackendV2"
            )
        self._device, self._run_options = device, options.run_options
        self._job = load("qiskit", "retrieve", options.retrieve) if options.retrieve else device.retrieve_job
        self._compiled = Compiled(device.target, options.level)
        self._compiling = Lock()
        self.target = options.target(
            device,
            self._compiled,
            options.kind or "qpu",
            max_shots=options.max_shots or getattr(device, "max_shots", None) or 10_000,
            max_circuits=options.max_circuits or getattr(device, "max_circuits", None) or 1,
            price=Price(per_task_usd=options.per_task_usd, per_shot_usd=options.per_shot_usd),
            dedupe="none",
        )

    def submit(self, batch: Sequence[NativeCircuit], shots: int, key: str) -> str:
        """One job; its circuits are called after the key, which few providers show."""
        with self._compiling:
            circuits = self._compiled.circuits(batch)
        for place, circuit in enumerate(circuits):
            circuit.name = f"{key}-{place}"
        with translated(sending=True):
            return str(_run(self._device, circuits, shots, self._run_options).job_id())

    def poll(self, job_id: str) -> JobState:
        """Where the job stands; a provider's error that says that the job failed is its state."""
        try:
            with translated():
                name = _status(self._job(job_id))
        except JobFailedError as error:
            return JobState(JobStatus.FAILED, str(error))
        if name not in _STATES:
            raise IntegrityError(
                f"job {job_id} has the status '{name}', known are {', '.join(_STATES)}; it is left as it is"
            )
        status = _STATES[name]
        ended_badly = status in (JobStatus.FAILED, JobStatus.CANCELLED)
        return JobState(status, f"the provider says {name.lower()}" if ended_badly else "")

    def fetch(self, job_id: str) -> bytes:
        """The result as Qiskit's own JSON."""
        with translated():
            job = self._job(job_id)
            if _status(job) != "DONE":
                raise LateError(f"job {job_id} is not done")
        try:
            with translated():
                result = job.result()
        except UnknownJobError as error:
            raise LateError(f"job {job_id} is done, its result is not there yet: {error}") from error
        return json.dumps(result.to_dict(), default=str).encode()

    def decode(self, reply: bytes, batch: Sequence[NativeCircuit]) -> list[Counts | Failed]:
        """Counts; where a provider has rounded its probabilities to others than were asked for, the nearest ones.

        A circuit that failed alone is `Failed`.
        """
        from qiskit.exceptions import QiskitError
        from qiskit.result import Result

        try:
            return _read(Result.from_dict(json.loads(reply)), batch)
        except (ValueError, KeyError, TypeError, AttributeError, QiskitError) as error:
            raise IntegrityError(f"not a Qiskit result: {error!r}") from error

    def cancel(self, job_id: str) -> None:
        """Ask for it; a job that has ended stays as it is."""
        with translated():
            job = self._job(job_id)
            if _status(job) not in ("DONE", "ERROR", "CANCELLED"):
                job.cancel()


def is_sampler(device: Any) -> bool:  # noqa: ANN401
    """Whether it is a `SamplerV2`.

    Raises:
        ConfigError: it is neither that nor a `BackendV2`.
    """
    from qiskit.primitives import BaseSamplerV2
    from qiskit.providers import BackendV2

    if not isinstance(device, BaseSamplerV2 | BackendV2):
        raise ConfigError(
            f"backend 'qiskit', option factory: it made a {type(device).__name__}; it must return a BackendV2 or "
            "a SamplerV2 of Qiskit's"
        )
    return isinstance(device, BaseSamplerV2)


def _is_own(device: Any) -> bool:  # noqa: ANN401
    """Whether it is a simulator of Qiskit's or Aer's, or a sampler of one."""
    from qiskit.primitives import BackendSamplerV2, StatevectorSampler
    from qiskit.providers.basic_provider import BasicSimulator
    from qiskit.providers.fake_provider import GenericBackendV2

    if isinstance(device, BackendSamplerV2):
        return _is_own(device.backend)
    is_aer = any(c.__module__.partition(".")[0] == "qiskit_aer" for c in type(device).__mro__)
    return is_aer or isinstance(device, BasicSimulator | GenericBackendV2 | StatevectorSampler)


def _status(job: Any) -> str:  # noqa: ANN401 - a job whose status is an enumeration's member or a text
    status = job.status()
    return str(getattr(status, "name", status)).upper()


def _run(device: Any, circuits: list[Any], shots: int, options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a Job
    return device.run(circuits if len(circuits) > 1 else circuits[0], shots=shots, **options)


def _all(items: Sequence[Counts | Failed]) -> list[Counts]:
    """The counts of a simulator, which has no circuit that may fail alone."""
    if failed := sorted({item.reason for item in items if isinstance(item, Failed)}):
        raise RejectedError(f"the device could not run the batch: {'; '.join(failed)}")
    return [item for item in items if isinstance(item, Counts)]


def _read(result: Any, batch: Sequence[NativeCircuit]) -> list[Counts | Failed]:  # noqa: ANN401 - a qiskit Result
    if len(result.results) != len(batch):
        told = result.status or "no reason given"
        raise IntegrityError(f"the reply has {len(result.results)} results for {len(batch)} circuits: {told}")
    counts: list[Counts | Failed] = []
    for place, circuit in enumerate(batch):
        if not result.results[place].success:
            counts.append(Failed(str(result.results[place].status or result.status)))
            continue
        n, shots = circuit.n_qubits, result.results[place].shots
        found = {bits.replace(" ", ""): int(k) for bits, k in result.get_counts(place).items()}
        probabilities = result.data(place).get("probabilities")
        if probabilities and sum(found.values()) != shots:
            outcomes = [int(bits, 2) for bits in probabilities]
            counts.append(Counts.from_probabilities(n, outcomes, list(probabilities.values()), shots))
        else:
            counts.append(Counts.from_dict(n, found))
    return counts
