"""The kit accepts every built-in driver and rejects broken ones with the right diagnosis."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from backends.local import LocalBackend
from qcaan.circuits.native import NativeCircuit
from qcaan.conformance import Verdict, check
from qcaan.errors import ConfigError
from qcaan.execution.backend import Counts
from qcaan.execution.registry import open_backend
from qcaan.execution.scripted import ScriptedBackend

DRIVERS = ["local", "aer", "cirq", "braket"]


@pytest.mark.parametrize("entangler", ["ms", "zz"])
@pytest.mark.parametrize("name", DRIVERS)
def test_built_in_drivers_conform(name: str, entangler: str) -> None:
    """False-alarm rate of all eight together: below 2e-5, the sum of the rates that the verdicts state."""
    verdict = check(open_backend(name, entangler=entangler), seed=1)
    assert [c for c in verdict.checks if not c.passed] == []
    assert verdict.passed
    assert 0 < verdict.false_alarm_rate < 2.5e-6


def test_only_simulators_are_judged() -> None:
    with pytest.raises(ConfigError, match="noise-free simulators"):
        check(ScriptedBackend())


def _remade(batch: Sequence[NativeCircuit], change: Callable[[str, list[float]], list[float]]) -> list[NativeCircuit]:
    rows = [[(name, q, change(name, list(a))) for name, q, a in circuit] for circuit in batch]
    return [NativeCircuit.build(c.n_qubits, *r) for c, r in zip(batch, rows, strict=True)]


def _flipped(counts: Counts) -> Counts:
    return Counts.from_dict(counts.n_qubits, {bits[::-1]: k for bits, k in counts.to_dict().items()})


class Mutant(LocalBackend):
    """A good driver with one thing broken."""

    def __init__(self, broken: str) -> None:
        self.broken = broken
        super().__init__()

    def sample(self, batch: Sequence[NativeCircuit], shots: int, seed: int) -> list[Counts]:
        broken = self.broken
        if broken == "turns":
            batch = _remade(batch, lambda _, a: [x * 2 * np.pi for x in a])
        elif broken == "sign of a phase":
            batch = _remade(
                batch, lambda n, a: [-x if k < len(a) - (n in ("ms", "zz")) else x for k, x in enumerate(a)]
            )
        elif broken == "half entangler":
            batch = _remade(batch, lambda n, a: [*a[:-1], a[-1] / 2] if n in ("ms", "zz") else a)
        elif broken == "full entangler":
            batch = _remade(batch, lambda n, a: [*a[:-1], np.pi / 2] if n in ("ms", "zz") else a)
        counts = super().sample(batch, shots, 5 if broken == "stale seed" else seed)
        if broken == "reversed" or (broken == "reversed in a batch" and len(batch) > 1):
            return [_flipped(c) for c in counts]
        if broken == "dropped last item" and len(batch) > 1:
            return counts[:-1]
        if broken == "batch order":
            return counts[::-1]
        if broken == "frozen shots":
            return [super(Mutant, self).sample([c], shots, seed)[0] for c in batch]
        if broken == "ceiled counts":
            return [Counts(c.n_qubits, c.outcomes, c.counts + (c.shots % 2)) for c in counts]
        if broken == "readout bias":
            rng = np.random.default_rng(seed)
            bits = [c.bits() for c in counts]
            return [Counts.from_bits(b & (rng.random(b.shape) > 0.03)) for b in bits]
        if broken == "unseeded":
            return super().sample(batch, shots, int(np.random.default_rng().integers(2**62)))
        return counts


def test_the_unbroken_mutant_is_accepted() -> None:
    assert check(Mutant("nothing")).passed


@pytest.mark.parametrize(
    ("broken", "diagnosis"),
    [
        ("turns", "angles look like turns"),
        ("sign of a phase", "sign of the phases is reversed"),
        ("half entangler", "entangling angle is half"),
        ("full entangler", "entangling angle is ignored"),
        ("reversed", "bits are reversed"),
        ("reversed in a batch", "in a batch"),
        ("dropped last item", "items for"),
        ("batch order", "not in the order of the batch"),
        ("frozen shots", "share random numbers"),
        ("stale seed", "the seed is ignored or frozen"),
        ("unseeded", "same key gave different shots"),
        ("ceiled counts", "shots were asked for"),
        ("readout bias", "readout is biased"),
    ],
)
def test_broken_drivers_are_rejected_with_the_cause(broken: str, diagnosis: str) -> None:
    verdict: Verdict = check(Mutant(broken))
    assert not verdict.passed
    assert any(diagnosis in c.diagnosis for c in verdict.checks), [c.diagnosis for c in verdict.checks if not c.passed]


class WrongProbabilities(LocalBackend):
    """Its samples are right, its exact probabilities are not."""

    def sample(self, batch: Sequence[NativeCircuit], shots: int, seed: int) -> list[Counts]:
        return LocalBackend().sample(batch, shots, seed)

    def probabilities(self, batch: Sequence[NativeCircuit]) -> list[np.ndarray]:
        return [
            p.reshape([2] * c.n_qubits).T.reshape(-1) for p, c in zip(super().probabilities(batch), batch, strict=True)
        ]


def test_wrong_exact_probabilities_are_found() -> None:
    (failed,) = [c for c in check(WrongProbabilities()).checks if not c.passed]
    assert failed.name == "exact probabilities"
    assert "bits are reversed" in failed.diagnosis
