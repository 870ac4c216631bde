"""Any `cirq.Sampler` as a backend: Cirq's simulators with any noise, qsim, one of your own.

Gates are Cirq's own, equal to the native ones up to a global phase: GPI and GPI2 are PhasedXPow, ZZ is ZZPow, and MS is
XXPow between Z rotations. The option `gateset` names what Cirq compiles them to; a simulator needs none.

Why shots are what the sampler gives, and not drawn from its probabilities: a sampler has none, and with noise a circuit
has no single final state. Cirq has no job ids either: what a sampler is asked for is run at once, in this process,
and again if the process dies, so one that charges does not belong here.

Why a sampler that is none of Cirq's simulators needs `kind`: nothing else tells one that is free from one that charges.
"""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Annotated, Any, Literal

from pydantic import Field

from backends.adapters.factory import Factory, class_and_version, load, told_free
from backends.options import check_options
from qcaan.circuits.native import NativeCircuit
from qcaan.circuits.report import DeviceFigures
from qcaan.errors import BackendError, ConfigError, MissingSDK, RejectedError
from qcaan.execution.backend import Counts, Simulator, Target

KEY = "bits"


@dataclass(kw_only=True, eq=False)
class CirqSamplerBackend(Simulator):
    """Any cirq.Sampler, named by the function or class that makes it.

    Raises:
        MissingSDK: cirq-core is not installed.
        ConfigError: an option has a wrong value, or the factory makes no sampler.
    """

    factory: str
    """What makes the sampler, "module:function", such as "cirq:DensityMatrixSimulator".

    If it has a parameter `seed`, runs repeat exactly."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Its keyword arguments; "env:NAME" stands for an environment variable."""
    gateset: str | None = None
    """What Cirq compiles to, "module:name" of a `CompilationTargetGateset` or what makes one; None for Cirq's gates."""
    kind: Literal["simulator", "emulator"] | None = None
    """Noise-free or noisy; None for what a simulator of Cirq's says. Others need it: it says that they are free."""
    figures: DeviceFigures | None = None
    """Fidelities of a noisy sampler, which it is judged by, for what becomes of one native gate."""
    entangler: Literal["ms", "zz"] = "zz"
    """Two-qubit gate that circuits are compiled to before Cirq gets them."""
    n_qubits: Annotated[int, Field(ge=1, le=62)] = 12
    """Largest register: a sampler does not say."""
    max_shots: Annotated[int, Field(ge=1)] = 1_000_000
    """Largest number of shots of a circuit in one call."""

    def __post_init__(self) -> None:
        super().__init__()
        check_options(self, "cirq-sampler")
        try:
            import cirq
        except ImportError as error:
            raise MissingSDK("cirq-sampler", "cirq-core") from error
        if "seed" in self.arguments:
            raise ConfigError(
                f"backend 'cirq-sampler', option arguments: seed={self.arguments['seed']!r} would give every process "
                "the same shots; qcaan itself gives seed, leave it out"
            )
        self._maker = Factory("cirq-sampler", self.factory, self.arguments)
        self._sampler = self._maker.make()
        if not isinstance(self._sampler, cirq.Sampler):
            raise ConfigError(
                f"backend 'cirq-sampler', option factory='{self.factory}': it made a {type(self._sampler).__name__}; "
                "it must return a cirq.Sampler"
            )
        if self.kind is None and not isinstance(self._sampler, cirq.SimulatesSamples):
            raise told_free("cirq-sampler", f"a {type(self._sampler).__name__} is no simulator of Cirq's")
        self._gateset = self._made_gateset()
        silent = getattr(self._sampler, "noise", None) == cirq.NO_NOISE
        self.target = Target(
            name="cirq-sampler",
            device=f"{self.factory} {json.dumps(self.arguments, sort_keys=True, default=str)}",
            kind=self.kind or ("simulator" if silent else "emulator"),
            n_qubits=self.n_qubits,
            native_gates=("gpi", "gpi2", self.entangler),
            recompiled_by=f"Cirq {cirq.__version__}, {self.gateset}" if self.gateset else "",
            max_shots=self.max_shots,
            max_circuits=100,
            dedupe="key",
            seedable=self._maker.takes_seed,
            figures=self.figures,
            calibration=f"cirq-core {version('cirq-core')}, {class_and_version(self._sampler)}",
        )

    def sample(self, batch: Sequence[NativeCircuit], shots: int, seed: int) -> list[Counts]:
        """Shots drawn by the sampler, in one call."""
        sampler = self._maker.make(seed=seed >> 31) if self._maker.takes_seed else self._sampler
        with _translated():
            circuits = [self._compiled(circuit) for circuit in batch]
            results = sampler.run_batch(circuits, repetitions=shots)
            return [Counts.from_bits(result.measurements[KEY]) for (result,) in results]

    def _compiled(self, circuit: NativeCircuit) -> Any:  # noqa: ANN401 - a cirq.Circuit
        import cirq

        made = as_cirq(circuit)
        return made if self._gateset is None else cirq.optimize_for_target_gateset(made, gateset=self._gateset)

    def _made_gateset(self) -> Any:  # noqa: ANN401 - a cirq.CompilationTargetGateset
        import cirq

        if self.gateset is None:
            return None
        found = load("cirq-sampler", "gateset", self.gateset)
        if not isinstance(found, cirq.CompilationTargetGateset):
            found = Factory("cirq-sampler", self.gateset, {}, option="gateset").make()
        if not isinstance(found, cirq.CompilationTargetGateset):
            raise ConfigError(
                f"backend 'cirq-sampler', option gateset='{self.gateset}': it is a {type(found).__name__}, not a "
                "cirq.CompilationTargetGateset"
            )
        return found


def as_cirq(circuit: NativeCircuit) -> Any:  # noqa: ANN401 - a cirq.Circuit
    """All qubits measured together under one key, idle ones too: column q of the result is our qubit q."""
    import cirq

    line = cirq.LineQubit.range(circuit.n_qubits)
    made = cirq.Circuit()
    for name, qubits, angles in circuit:
        on = [line[q] for q in qubits]
        if name in ("gpi", "gpi2"):
            exponent = 1.0 if name == "gpi" else 0.5
            made.append(cirq.PhasedXPowGate(phase_exponent=angles[0] / math.pi, exponent=exponent)(*on))
        elif name == "zz":
            made.append(cirq.ZZPowGate(exponent=angles[0] / math.pi)(*on))
        else:
            axes = [angle / math.pi for angle in angles[:2]]
            made.append(cirq.ZPowGate(exponent=-axis)(q) for axis, q in zip(axes, on, strict=True))
            made.append(cirq.XXPowGate(exponent=angles[2] / math.pi)(*on))
            made.append(cirq.ZPowGate(exponent=axis)(q) for axis, q in zip(axes, on, strict=True))
    made.append(cirq.measure(*line, key=KEY), strategy=cirq.InsertStrategy.NEW_THEN_INLINE)
    return made


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except BackendError:
        raise
    except (ValueError, TypeError, RuntimeError, MemoryError) as error:
        raise RejectedError(f"the sampler could not run the batch: {type(error).__name__}: {error}") from error
