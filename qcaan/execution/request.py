"""What a caller asks for: checked, named by its content, compiled once."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import astuple, dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from qcaan.circuits.circuit import Basis, Circuit, Theta, check_theta
from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import NativeCircuit
from qcaan.circuits.transpile import Template, transpile
from qcaan.errors import CircuitError
from qcaan.execution.backend import Target
from qcaan.execution.counts import IntArray

T = TypeVar("T")
_KEPT = 256


@dataclass(frozen=True, eq=False)
class Request:
    """A circuit to be run with `shots` shots for each row of `theta`, float64 (B, n_params), radians."""

    circuit: Circuit
    shots: int
    theta: ArrayLike = ()
    basis: Basis = "Z"


@dataclass(frozen=True, eq=False)
class Ask:
    """A checked request; `digest` is the SHA-256 (hex) of all of it."""

    circuit: Circuit
    shots: int
    theta: FloatArray
    basis: Basis
    digest: str
    facts: dict[str, Any]
    """JSON-ready: what of it is kept with the call."""


class Compiler:
    """Compiles requests for a target, each (circuit, basis, target) once.

    Why caches go by the circuit object: hashing 148 gates costs more than running them on a fast simulator.
    """

    def __init__(self) -> None:
        self._templates: OrderedDict[Hashable, tuple[Circuit, Template]] = OrderedDict()
        self._digests: OrderedDict[Hashable, tuple[Circuit, str]] = OrderedDict()

    def check(self, request: Request) -> Ask:
        """The request with its digest.

        Raises:
            CircuitError: the shots are not a positive whole number, theta does not fit the circuit.
        """
        shots, circuit = request.shots, request.circuit
        if isinstance(shots, bool) or not isinstance(shots, int | np.integer) or shots < 1:
            raise CircuitError(f"shots={shots!r}: give a whole number, 1 or more")
        theta = check_theta(request.theta, circuit.n_params)
        facts = {
            "circuit": self._digest(circuit),
            "basis": basis_facts(request.basis),
            "shots": int(shots),
            "rows": len(theta),
            "measured": circuit.measured,
        }
        digest = hashlib.sha256(json.dumps(facts).encode() + theta.astype("<f8").tobytes()).hexdigest()
        return Ask(circuit, int(shots), theta, request.basis, digest, facts)

    def compile(self, ask: Ask, target: Target) -> tuple[list[NativeCircuit], IntArray]:
        """Native circuits, one a row of theta, and their readout flips as binary numbers, int64 (B,)."""
        name = (id(ask.circuit), json.dumps(ask.facts["basis"]), target.digest)
        known = self._templates.get(name)
        if known is None or known[0] is not ask.circuit:
            known = _keep(self._templates, name, (ask.circuit, transpile(ask.circuit, target, ask.basis)))
        bound = known[1].bind(ask.theta)
        weights = 1 << np.arange(bound.flips.shape[1] - 1, -1, -1, dtype=np.int64)
        return bound.circuits(), bound.flips.astype(np.int64) @ weights

    def _digest(self, circuit: Circuit) -> str:
        known = self._digests.get(id(circuit))
        if known is None or known[0] is not circuit:
            gates = [[g.name, g.qubits, [_angle(a) for a in g.angles]] for g in circuit.gates]
            text = json.dumps([circuit.n_qubits, gates, circuit.measured], separators=(",", ":"))
            known = _keep(self._digests, id(circuit), (circuit, hashlib.sha256(text.encode()).hexdigest()))
        return known[1]


def basis_facts(basis: Basis) -> str | list[Any]:
    """The basis as JSON-ready values."""
    return basis if isinstance(basis, str) else [_angle(angle) for angle in basis]


def _angle(angle: float | Theta) -> float | list[Any]:
    return list(astuple(angle)) if isinstance(angle, Theta) else float(angle)


def _keep(cache: OrderedDict[Hashable, T], name: Hashable, value: T) -> T:
    """Put into a cache that forgets its oldest entry when it is full."""
    cache[name] = value
    if len(cache) > _KEPT:
        cache.popitem(last=False)
    return value
