"""Circuits as frozen data: gates whose angles are numbers or entries of a parameter vector theta.

Qubit 0 is the leftmost bit of every bitstring. Angles are radians. A measurement basis is named after what is measured:
"Z" (computational), "X", "Y", or one angle a qubit: RX(angle) is applied to the qubit before it is read out in Z, so
that pi/2 measures +Y and 0 measures Z. (exp(-i pi/2 X), which some texts call a rotation by pi/2, is a bit flip.)
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from qcaan.circuits.gates import GATES, FloatArray
from qcaan.errors import CircuitError


@dataclass(frozen=True, slots=True)
class Theta:
    """The angle `scale * theta[index] + offset`, in radians."""

    index: int
    scale: float = 1.0
    offset: float = 0.0

    def __mul__(self, factor: float) -> "Theta":
        _require_number(factor)
        return Theta(self.index, self.scale * factor, self.offset * factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> "Theta":
        _require_number(divisor)
        return self * (1 / divisor)

    def __neg__(self) -> "Theta":
        return self * -1.0

    def __add__(self, shift: float) -> "Theta":
        _require_number(shift)
        return Theta(self.index, self.scale, self.offset + shift)

    __radd__ = __add__

    def __sub__(self, shift: float) -> "Theta":
        _require_number(shift)
        return self + -shift


class _ThetaVector:
    """`theta[k]` is the k-th parameter of a circuit."""

    def __getitem__(self, index: int) -> Theta:
        if not isinstance(index, int | np.integer) or isinstance(index, bool) or index < 0:
            raise CircuitError(f"theta[{index!r}]: parameters are counted from 0")
        return Theta(int(index))

    def __repr__(self) -> str:
        return "theta"


theta = _ThetaVector()
"""The parameters of circuits: `theta[k]` is the k-th, and `2 * theta[k] - 0.1` an angle too."""

Angle = float | Theta
"""Radians, or an entry of theta with a factor and a shift."""
Basis = Literal["X", "Y", "Z"] | Sequence[Angle]
"""What is measured: the same letter on every qubit, or one angle a qubit, an RX before the readout in Z."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate: its name in `GATES`, its qubits in order, its angles."""

    name: str
    qubits: tuple[int, ...]
    angles: tuple[Angle, ...] = ()


@dataclass(frozen=True)
class Circuit:
    """A circuit on qubits 0 .. n_qubits-1, all starting in |0>, measured at the end.

    Gates are added by chained calls that return a new circuit, angles before qubits: `Circuit(2).h(0).cx(0, 1).rx(0.3,
    1)`. `measured` lists the qubits whose bits a result has, in that order; by default all of them.

    Raises:
        CircuitError: an unknown gate, a qubit out of range or used twice, an angle that is not finite.
    """

    n_qubits: int
    gates: tuple[Gate, ...] = ()
    measured: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        if not isinstance(self.n_qubits, int | np.integer):
            raise CircuitError(f"n_qubits={self.n_qubits!r} is not a whole number")
        if self.n_qubits < 1:
            raise CircuitError(f"a circuit needs at least one qubit, not {self.n_qubits}")
        object.__setattr__(self, "n_qubits", int(self.n_qubits))
        object.__setattr__(self, "gates", tuple(_plain(gate) for gate in self.gates))
        measured = tuple(_qubit("measured", q) for q in self.measured)
        object.__setattr__(self, "measured", measured or tuple(range(self.n_qubits)))
        for position, gate in enumerate(self.gates):
            _check(gate, self.n_qubits, position)
        if len(set(self.measured)) != len(self.measured) or not all(0 <= q < self.n_qubits for q in self.measured):
            raise CircuitError(f"measured={self.measured}: name each of the qubits 0..{self.n_qubits - 1} at most once")

    @cached_property
    def _hash(self) -> int:
        return hash((self.n_qubits, self.gates, self.measured))

    def __hash__(self) -> int:
        """Computed once: a circuit is asked for it at every step of a training."""
        return self._hash

    def __getstate__(self) -> dict[str, object]:
        """Without the hash: that of a text is another one in another process."""
        return {name: value for name, value in vars(self).items() if name != "_hash"}

    @property
    def n_params(self) -> int:
        """Length of theta: one more than the largest index used."""
        return 1 + max((a.index for g in self.gates for a in g.angles if isinstance(a, Theta)), default=-1)

    def append(self, name: str, *operands: Angle) -> "Circuit":
        """A new circuit with one more gate; `operands` are the gate's angles, then its qubits."""
        if name not in GATES:
            raise CircuitError(f"unknown gate '{name}'; known: {', '.join(sorted(GATES))}")
        spec = GATES[name]
        if len(operands) != spec.n_angles + spec.n_qubits:
            raise CircuitError(f"{name} takes {spec.n_angles} angle(s), then {spec.n_qubits} qubit(s); got {operands}")
        angles, qubits = operands[: spec.n_angles], operands[spec.n_angles :]
        gate = Gate(name, tuple(_qubit(name, q) for q in qubits), tuple(_angle(name, a) for a in angles))
        _check(gate, self.n_qubits, len(self.gates))
        return _trusted(self.n_qubits, (*self.gates, gate), self.measured)

    def extend(self, gates: Iterable[Gate]) -> "Circuit":
        """A new circuit with these gates added at the end."""
        return Circuit(self.n_qubits, (*self.gates, *gates), self.measured)

    def measure(self, *qubits: int) -> "Circuit":
        """A new circuit whose results have the bits of these qubits only, in this order."""
        return Circuit(self.n_qubits, self.gates, qubits)

    def in_basis(self, basis: Basis) -> "Circuit":
        """A new circuit that ends with the rotations that make a Z readout measure `basis`."""
        return self.extend(_rotations(basis, self.n_qubits))

    def bind(self, values: ArrayLike) -> "Circuit":
        """A new circuit without parameters: theta replaced by `values`, float64 (n_params,), radians."""
        vector = check_theta(values, self.n_params)[0]

        def number(angle: Angle) -> float:
            return float(angle.scale * vector[angle.index] + angle.offset) if isinstance(angle, Theta) else angle

        gates = tuple(Gate(g.name, g.qubits, tuple(number(a) for a in g.angles)) for g in self.gates)
        return _trusted(self.n_qubits, gates, self.measured)

    # The gates of GATES as methods. They are spelled out so that editors and type checkers see them.
    def x(self, q: int) -> "Circuit":
        """Pauli X on `q`."""
        return self.append("x", q)

    def y(self, q: int) -> "Circuit":
        """Pauli Y on `q`."""
        return self.append("y", q)

    def z(self, q: int) -> "Circuit":
        """Pauli Z on `q`."""
        return self.append("z", q)

    def h(self, q: int) -> "Circuit":
        """Hadamard on `q`."""
        return self.append("h", q)

    def s(self, q: int) -> "Circuit":
        """sqrt(Z) on `q`."""
        return self.append("s", q)

    def sdg(self, q: int) -> "Circuit":
        """Inverse of `s`."""
        return self.append("sdg", q)

    def t(self, q: int) -> "Circuit":
        """Fourth root of Z on `q`."""
        return self.append("t", q)

    def tdg(self, q: int) -> "Circuit":
        """Inverse of `t`."""
        return self.append("tdg", q)

    def sx(self, q: int) -> "Circuit":
        """sqrt(X) on `q`."""
        return self.append("sx", q)

    def sxdg(self, q: int) -> "Circuit":
        """Inverse of `sx`."""
        return self.append("sxdg", q)

    def rx(self, t: Angle, q: int) -> "Circuit":
        """exp(-i t/2 X) on `q`."""
        return self.append("rx", t, q)

    def ry(self, t: Angle, q: int) -> "Circuit":
        """exp(-i t/2 Y) on `q`."""
        return self.append("ry", t, q)

    def rz(self, t: Angle, q: int) -> "Circuit":
        """exp(-i t/2 Z) on `q`."""
        return self.append("rz", t, q)

    def p(self, t: Angle, q: int) -> "Circuit":
        """diag(1, exp(i t)) on `q`."""
        return self.append("p", t, q)

    def u(self, t: Angle, phi: Angle, lam: Angle, q: int) -> "Circuit":
        """OpenQASM's U(t, phi, lam) on `q`."""
        return self.append("u", t, phi, lam, q)

    def gpi(self, phi: Angle, q: int) -> "Circuit":
        """Native GPI(phi) on `q`."""
        return self.append("gpi", phi, q)

    def gpi2(self, phi: Angle, q: int) -> "Circuit":
        """Native GPI2(phi) on `q`."""
        return self.append("gpi2", phi, q)

    def cx(self, a: int, b: int) -> "Circuit":
        """X on `b` controlled by `a`."""
        return self.append("cx", a, b)

    def cy(self, a: int, b: int) -> "Circuit":
        """Y on `b` controlled by `a`."""
        return self.append("cy", a, b)

    def cz(self, a: int, b: int) -> "Circuit":
        """Controlled Z."""
        return self.append("cz", a, b)

    def ch(self, a: int, b: int) -> "Circuit":
        """Hadamard on `b` controlled by `a`."""
        return self.append("ch", a, b)

    def cp(self, t: Angle, a: int, b: int) -> "Circuit":
        """Controlled `p(t)`."""
        return self.append("cp", t, a, b)

    def crx(self, t: Angle, a: int, b: int) -> "Circuit":
        """`rx(t)` on `b` controlled by `a`."""
        return self.append("crx", t, a, b)

    def cry(self, t: Angle, a: int, b: int) -> "Circuit":
        """`ry(t)` on `b` controlled by `a`."""
        return self.append("cry", t, a, b)

    def crz(self, t: Angle, a: int, b: int) -> "Circuit":
        """`rz(t)` on `b` controlled by `a`."""
        return self.append("crz", t, a, b)

    def swap(self, a: int, b: int) -> "Circuit":
        """Exchange `a` and `b`."""
        return self.append("swap", a, b)

    def iswap(self, a: int, b: int) -> "Circuit":
        """Exchange `a` and `b`, with phase i on the exchanged states."""
        return self.append("iswap", a, b)

    def xx(self, t: Angle, a: int, b: int) -> "Circuit":
        """exp(-i t/2 X X)."""
        return self.append("xx", t, a, b)

    def yy(self, t: Angle, a: int, b: int) -> "Circuit":
        """exp(-i t/2 Y Y)."""
        return self.append("yy", t, a, b)

    def zz(self, t: Angle, a: int, b: int) -> "Circuit":
        """exp(-i t/2 Z Z); native on ZZ devices."""
        return self.append("zz", t, a, b)

    def ms(self, phi0: Angle, phi1: Angle, t: Angle, a: int, b: int) -> "Circuit":
        """Native partially entangling Mølmer-Sørensen gate."""
        return self.append("ms", phi0, phi1, t, a, b)


def check_theta(values: ArrayLike, n_params: int) -> FloatArray:
    """`values` as float64 (batch, n_params): one row a circuit; one vector is a batch of one.

    Raises:
        CircuitError: the shape is wrong, or a value is not finite.
    """
    try:
        batch = np.atleast_2d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise CircuitError(f"theta is not an array of numbers: {error}") from error
    if batch.ndim != 2 or batch.shape[1] != n_params:
        needed = f"(batch, {n_params}) or ({n_params},)"
        raise CircuitError(f"theta has shape {np.shape(values)}; this circuit needs {needed}")
    if not np.isfinite(batch).all():
        row, column = np.argwhere(~np.isfinite(batch))[0]
        raise CircuitError(f"theta[{column}] of row {row} is {batch[row, column]}; angles must be finite radians")
    return batch


def _require_number(value: object) -> None:
    if not isinstance(value, int | float | np.number):
        raise CircuitError(f"an angle is a multiple of one entry of theta, plus a number; {value!r} is not a number")


def _plain(gate: Gate) -> Gate:
    """The gate with its qubits as int and its numbers as float."""
    plain = all(type(q) is int for q in gate.qubits) and all(type(a) is float for a in gate.angles)
    if plain and type(gate.qubits) is type(gate.angles) is tuple:
        return gate
    angles = tuple(_angle(gate.name, angle) for angle in gate.angles)
    return Gate(gate.name, tuple(_qubit(gate.name, q) for q in gate.qubits), angles)


def _qubit(name: str, value: object) -> int:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    raise CircuitError(f"{name}: qubit {value!r} is not a whole number; qubits come after the angles")


def _angle(name: str, value: Angle) -> Angle:
    if isinstance(value, Theta):
        return _entry(name, value)
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise CircuitError(f"{name}: the angle {value!r} is neither a number nor an entry of theta") from error


def _entry(name: str, value: Theta) -> Theta:
    if not isinstance(value.index, int | np.integer) or isinstance(value.index, bool):
        raise CircuitError(f"{name}: the index of {value} is not a whole number; parameters are counted from 0")
    for number in (value.scale, value.offset):
        if not isinstance(number, int | float | np.number) or isinstance(number, complex | np.complexfloating):
            raise CircuitError(f"{name}: {number!r} in {value} is not a real number; give radians")
    try:
        return Theta(int(value.index), float(value.scale), float(value.offset))
    except OverflowError as error:
        raise CircuitError(f"{name}: a number in {value} is too large for an angle") from error


def _check(gate: Gate, n_qubits: int, position: int) -> None:
    where = f"gate {position}, {gate.name}{gate.qubits}"
    spec = GATES.get(gate.name)
    if spec is None:
        raise CircuitError(f"{where}: unknown gate; known: {', '.join(sorted(GATES))}")
    if len(gate.qubits) != spec.n_qubits or len(gate.angles) != spec.n_angles:
        raise CircuitError(f"{where}: {gate.name} takes {spec.n_angles} angle(s) and {spec.n_qubits} qubit(s)")
    for q in gate.qubits:
        if not 0 <= q < n_qubits:
            raise CircuitError(f"{where}: qubit {q} is out of range; this circuit has the qubits 0..{n_qubits - 1}")
    if len(set(gate.qubits)) != len(gate.qubits):
        raise CircuitError(f"{where}: a gate needs different qubits")
    for a in gate.angles:
        values = (a.scale, a.offset) if isinstance(a, Theta) else (a,)
        if not all(math.isfinite(v) for v in values):
            raise CircuitError(f"{where}: the angle {a} is not finite; give radians")
        if isinstance(a, Theta) and a.index < 0:
            raise CircuitError(f"{where}: theta[{a.index}]: parameters are counted from 0")


def _rotations(basis: Basis, n_qubits: int) -> list[Gate]:
    if isinstance(basis, str):
        named = {"Z": [], "X": [("ry", -math.pi / 2)], "Y": [("rx", math.pi / 2)]}
        if basis not in named:
            raise CircuitError(f"basis '{basis}': use 'Z', 'X', 'Y' or one angle a qubit")
        return [Gate(name, (q,), (angle,)) for q in range(n_qubits) for name, angle in named[basis]]
    if len(basis) != n_qubits:
        raise CircuitError(f"basis has {len(basis)} angles; this circuit needs {n_qubits}, one a qubit")
    return [Gate("rx", (q,), (_angle("basis", angle),)) for q, angle in enumerate(basis)]


def _trusted(n_qubits: int, gates: tuple[Gate, ...], measured: tuple[int, ...]) -> Circuit:
    """A circuit whose parts were checked before: gates that are added one by one are checked once each."""
    circuit = object.__new__(Circuit)
    object.__setattr__(circuit, "n_qubits", n_qubits)
    object.__setattr__(circuit, "gates", gates)
    object.__setattr__(circuit, "measured", measured)
    return circuit
