"""The checks: each asks one question of a driver, and answers with what came and the likely cause.

Statistics. Shots are compared with the oracle by Pearson's chi-square test, outcomes of small expectation pooled. A
test fails below p = `ALPHA`; nothing is repeated. The false-alarm rate of a whole check is at most the number of such
tests times `ALPHA` (Bonferroni), and is reported. Where a test fails, the shots are held against the usual mistakes,
and the one that explains them is named.

Why simulators only: a noisy device must be judged by bounds from its fidelities, and a paid one by few shots; neither
is offered here.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import chisquare

from qcaan.circuits import oracle
from qcaan.circuits.gates import GATES, FloatArray
from qcaan.circuits.native import NATIVE_NAMES, NativeCircuit, NativeName
from qcaan.conformance.suspects import SUSPECTS
from qcaan.errors import ConfigError
from qcaan.execution.backend import Counts, Simulator, Target

ALPHA = 1e-7
SHOTS = 4000


@dataclass(frozen=True)
class Check:
    """One question and its answer; `diagnosis` is empty where it passed."""

    name: str
    tier: str
    passed: bool
    diagnosis: str


@dataclass(frozen=True)
class Verdict:
    """All checks of a driver, and the chance that a good one fails."""

    passed: bool
    checks: tuple[Check, ...]
    false_alarm_rate: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class _Driver:
    """A driver under test, asked through the contract's calls; counts the statistical tests."""

    def __init__(self, backend: Simulator, seed: int) -> None:
        self.backend = backend
        self.seed = seed
        self.n_tests = 0

    def run(self, batch: Sequence[NativeCircuit], shots: int, name: str) -> list[Counts]:
        """The counts of a batch; fails with a sentence if the reply is not what was asked for."""
        key = hashlib.sha256(f"{self.seed} {name}".encode()).hexdigest()
        job_id = self.backend.submit(batch, shots, key)
        items = self.backend.decode(self.backend.fetch(job_id), batch)
        if len(items) != len(batch):
            raise _Wrong(f"{len(batch)} circuits were sent, {len(items)} results came")
        counts = [item for item in items if isinstance(item, Counts)]
        if len(counts) != len(items):
            raise _Wrong(f"{len(items) - len(counts)} of {len(items)} circuits failed")
        for circuit, item in zip(batch, counts, strict=True):
            if item.n_qubits != circuit.n_qubits:
                raise _Wrong(
                    f"a circuit of {circuit.n_qubits} qubits gave {item.n_qubits} bits: are idle qubits dropped?"
                )
            if item.shots != shots:
                raise _Wrong(f"{shots} shots were asked for, {item.shots} came")
        return counts

    def compare(self, circuit: NativeCircuit, counts: Counts) -> None:
        """Hold shots against the oracle."""
        self.n_tests += 1
        if _fits(oracle.probabilities(circuit), counts) >= ALPHA:
            return
        likely = [cause for cause, mistaken in SUSPECTS.items() if _fits(mistaken(circuit), counts) > 1e-3]
        raise _Wrong("the shots do not follow the circuit" + (f"; {likely[0]}" if likely else "; the cause is unknown"))


class _Wrong(Exception):  # noqa: N818 - the answer of a check, never seen outside
    """What a check found."""


def check(backend: object, *, seed: int = 0) -> Verdict:
    """Check a driver of a simulator.

    Raises:
        ConfigError: the backend is not a simulator.
    """
    if not isinstance(backend, Simulator) or backend.target.kind != "simulator":
        raise ConfigError("only drivers of noise-free simulators can be checked: a subclass of Simulator is needed")
    driver = _Driver(backend, seed)
    answers = [_ask(driver, name, tier, question) for name, tier, question in _questions(backend.target)]
    return Verdict(all(answer.passed for answer in answers), tuple(answers), driver.n_tests * ALPHA)


def _ask(driver: _Driver, name: str, tier: str, question: Callable[[_Driver], None]) -> Check:
    try:
        question(driver)
    except _Wrong as wrong:
        return Check(name, tier, False, str(wrong))
    except Exception as error:  # noqa: BLE001 - a driver under test may raise anything; its error is the diagnosis
        return Check(name, tier, False, f"{type(error).__name__}: {error}")
    return Check(name, tier, True, "")


def _target(driver: _Driver) -> None:
    target = driver.backend.target
    if Target.from_json(target.to_json()) != target:
        raise _Wrong("the target changes on its way through JSON")
    unknown = set(target.native_gates) - set(NATIVE_NAMES)
    if unknown or not {"gpi", "gpi2"} <= set(target.native_gates):
        raise _Wrong(f"native_gates are {target.native_gates}: gpi, gpi2 and ms or zz are needed, nothing else")
    if not 1 <= target.min_shots <= target.max_shots or target.max_circuits < 1 or target.n_qubits < 1:
        raise _Wrong("n_qubits, max_circuits and the shot range must be at least 1, min_shots at most max_shots")


def _decode_is_pure(driver: _Driver) -> None:
    batch = [_one_hot(2, 0), _one_hot(2, 1)]
    reply = driver.backend.fetch(driver.backend.submit(batch, 10, "0" * 64))
    if driver.backend.decode(reply, batch) != driver.backend.decode(reply, batch):
        raise _Wrong("decoding the same reply twice gives different counts")


def _bit_order(driver: _Driver) -> None:
    n = min(4, driver.backend.target.n_qubits)
    for q in range(n):
        _expect_bits(driver.run([_one_hot(n, q)], 20, f"one-hot {q}"), n, [q], "alone")


def _batch_order(driver: _Driver) -> None:
    n = min(4, driver.backend.target.n_qubits)
    # Reading this order backwards, or the bits backwards, gives two different things.
    order = [0, *range(n)][: driver.backend.target.max_circuits]
    _expect_bits(driver.run([_one_hot(n, q) for q in order], 20, "batch of one-hots"), n, order, "in a batch")


def _gates(name: NativeName) -> Callable[[_Driver], None]:
    def question(driver: _Driver) -> None:
        n = min(3, driver.backend.target.n_qubits)
        circuits = [_random(n, name, driver.seed + k) for k in range(4)]
        for circuit in circuits:
            driver.compare(circuit, driver.run([circuit], SHOTS, f"{name} {circuit.digest}")[0])

    return question


def _mixed_batch(driver: _Driver) -> None:
    n = min(3, driver.backend.target.n_qubits)
    names = [name for name in NATIVE_NAMES if name in driver.backend.target.native_gates and GATES[name].n_qubits <= n]
    batch = [_random(n, name, driver.seed + 50 + k) for k in range(2) for name in names]
    batch = batch[: driver.backend.target.max_circuits]
    for circuit, counts in zip(batch, driver.run(batch, SHOTS, "mixed"), strict=True):
        driver.compare(circuit, counts)


def _shot_numbers(driver: _Driver) -> None:
    target = driver.backend.target
    for shots in sorted({max(target.min_shots, s) for s in (1, 7, 1233)}):
        driver.run([_random(1, "gpi2", driver.seed + 9)], min(shots, target.max_shots), f"{shots} shots")


def _seeds(driver: _Driver) -> None:
    circuit = _random(min(3, driver.backend.target.n_qubits), "gpi2", driver.seed + 70)
    first, other = (driver.run([circuit], SHOTS, name)[0] for name in ("seed a", "seed b"))
    if driver.backend.target.seedable and driver.run([circuit], SHOTS, "seed a")[0] != first:
        raise _Wrong("the target says seedable, but the same key gave different shots")
    if first == other:
        raise _Wrong("different keys gave the same shots: the seed is ignored or frozen")
    if driver.backend.target.max_circuits > 1:
        twins = driver.run([circuit, circuit], SHOTS, "twins")
        if twins[0] == twins[1]:
            raise _Wrong("equal circuits in one batch gave the same shots: they share random numbers")


def _probabilities(driver: _Driver) -> None:
    target = driver.backend.target
    n = min(3, target.n_qubits)
    names = [name for name in NATIVE_NAMES if name in target.native_gates and GATES[name].n_qubits <= n]
    batch = [_random(n, name, driver.seed + 90) for name in names]
    for circuit, found in zip(batch, driver.backend.probabilities(batch), strict=True):
        error = np.abs(found - oracle.probabilities(circuit)).max()
        if not error < 1e-6:
            likely = [c for c, mistaken in SUSPECTS.items() if np.abs(found - mistaken(circuit)).max() < 1e-6]
            raise _Wrong(f"exact probabilities are off by {error:.2g}" + (f"; {likely[0]}" if likely else ""))


def _questions(target: Target) -> list[tuple[str, str, Callable[[_Driver], None]]]:
    """Name, tier and question, for what this target says it can do."""
    gates = [n for n in NATIVE_NAMES if n in target.native_gates and GATES[n].n_qubits <= target.n_qubits]
    return [
        ("target is consistent", "offline", _target),
        ("decode is pure", "offline", _decode_is_pure),
        ("bit order, single circuits", "semantic", _bit_order),
        *([("bit order and order of a batch", "semantic", _batch_order)] if target.max_circuits > 1 else []),
        *((f"gate {name}: unit and convention", "semantic", _gates(name)) for name in gates),
        *([("mixed circuits in one batch", "semantic", _mixed_batch)] if target.max_circuits > 1 else []),
        ("counts add up to shots", "semantic", _shot_numbers),
        ("seeds", "semantic", _seeds),
        *([("exact probabilities", "semantic", _probabilities)] if target.exact else []),
    ]


def _one_hot(n: int, q: int) -> NativeCircuit:
    return NativeCircuit.build(n, ("gpi", [q], [0.4]))


def _expect_bits(counts: Sequence[Counts], n: int, flipped: Sequence[int], where: str) -> None:
    expected = ["".join("1" if k == q else "0" for k in range(n)) for q in flipped]
    read = [max(item.to_dict().items(), key=lambda pair: pair[1])[0] for item in counts]
    if [item.to_dict() for item in counts] == [{bits: item.shots} for bits, item in zip(expected, counts, strict=True)]:
        return
    if read == [bits[::-1] for bits in expected] != expected:
        cause = next(iter(SUSPECTS))
    elif sorted(read) == sorted(expected) and read != expected:
        cause = "the results are not in the order of the batch"
    elif read == expected:
        cause = "some shots read another bit: readout is biased"
    else:
        cause = "the cause is unknown"
    raise _Wrong(f"one qubit was flipped, {where}: expected {', '.join(expected)}, read {', '.join(read)}; {cause}")


def _random(n: int, name: NativeName, seed: int) -> NativeCircuit:
    """Random gates that make every angle of `name` visible in the readout."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[NativeName, Sequence[int], Sequence[float]]] = []
    for _ in range(3):
        rows += [("gpi2", [q], [float(rng.uniform(-3, 3))]) for q in range(n)]
        if GATES[name].n_qubits == 1:
            rows += [(name, [q], [float(rng.uniform(-3, 3))]) for q in range(n)]
        else:
            for q in range(n - 1):
                phases = rng.uniform(-3, 3, GATES[name].n_angles - 1).tolist()
                rows.append((name, [q, q + 1], [*phases, float(rng.uniform(0.3, 1.4))]))
    rows += [("gpi2", [q], [float(rng.uniform(-3, 3))]) for q in range(n)]
    return NativeCircuit.build(n, *rows)


def _fits(probabilities: FloatArray, counts: Counts) -> float:
    """P value of Pearson's chi-square test; outcomes expected less than 10 times are pooled."""
    observed = counts.frequencies() * counts.shots
    expected = probabilities * counts.shots
    rare = expected < 10
    seen, due = [*observed[~rare], observed[rare].sum()], [*expected[~rare], expected[rare].sum()]
    if due[-1] < 1e-9 * counts.shots:
        if seen[-1] > 0:
            return 0.0
        seen, due = seen[:-1], due[:-1]
    if len(due) < 2:
        return 1.0
    due_array = np.array(due)
    return float(chisquare(seen, due_array * (sum(seen) / due_array.sum())).pvalue)
