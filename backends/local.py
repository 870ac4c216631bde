"""Our own simulator behind the driver door: exact, float64, with no SDK to install.

Why one engine a program: the engine compiles a gate sequence once and then evaluates a whole batch of angle vectors at
once, so circuits that share a program are grouped and their engine is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Annotated, Literal

from pydantic import Field

from backends.batching import Recent, by_program, draw, in_order
from backends.options import check_options
from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import NativeCircuit
from qcaan.circuits.simulate import Engine
from qcaan.execution.backend import Counts, Simulator, Target


@dataclass(kw_only=True, eq=False)
class LocalBackend(Simulator):
    """The core's own engine: exact, fast, nothing to install.

    Raises:
        ConfigError: an option has a wrong value.
    """

    entangler: Literal["ms", "zz"] = "ms"
    """Two-qubit gate that circuits are compiled to: "ms" as on IonQ's Aria, "zz" as on its Forte."""
    n_qubits: Annotated[int, Field(ge=1, le=30)] = 24
    """Largest register; a state of n qubits takes 16 * 2**n bytes."""

    def __post_init__(self) -> None:
        super().__init__()
        check_options(self, "local")
        self.target = Target(
            name="local",
            device="state vector",
            kind="simulator",
            n_qubits=self.n_qubits,
            native_gates=("gpi", "gpi2", self.entangler),
            max_circuits=1000,
            returns="probabilities",
            dedupe="key",
            seedable=True,
            exact=True,
            ideal=True,
            calibration=f"qcaan {version('qcaan')}",
        )
        self._engines: Recent[str, Engine] = Recent()

    def sample(self, batch: Sequence[NativeCircuit], shots: int, seed: int) -> list[Counts]:
        """Shots drawn from the exact probabilities."""
        return draw(batch, self.probabilities, shots, seed)

    def probabilities(self, batch: Sequence[NativeCircuit]) -> list[FloatArray]:
        """Exact probabilities, float64 (2**n_qubits,) each, indexed by the bitstring as a binary number."""
        rows = []
        groups = by_program(batch)
        for group in groups:
            engine = self._engines.get(group.program.digest, partial(Engine, group.program))
            rows.append(engine.probabilities(group.angles))
        return in_order(groups, rows)
