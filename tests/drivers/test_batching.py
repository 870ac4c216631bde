"""What all simulator drivers share."""

import numpy as np

from backends import batching, local
from qcaan.circuits import oracle
from qcaan.circuits.native import NativeCircuit


def test_a_batch_is_grouped_by_program_and_put_back(random_native):
    a, b = random_native(1, 2), random_native(2, 3)
    again = NativeCircuit(a.program, a.angles + 1)
    rebuilt = NativeCircuit.build(2, *a)
    groups = batching.by_program([a, b, again, rebuilt])
    assert [group.positions for group in groups] == [(0, 2, 3), (1,)]
    np.testing.assert_array_equal(groups[0].angles, [a.angles, again.angles, a.angles])
    assert batching.in_order(groups, [["a", "again", "rebuilt"], ["b"]]) == ["a", "b", "again", "rebuilt"]


def test_sampling_in_chunks_bounds_the_memory(monkeypatch, random_native):
    batch = [random_native(k, n) for k, n in enumerate((3, 3, 1, 4, 2, 2, 3))]
    sizes = []

    def probabilities(chunk):
        sizes.append(sum(2**circuit.n_qubits for circuit in chunk))
        return [oracle.probabilities(circuit) for circuit in chunk]

    monkeypatch.setattr(batching, "CHUNK", 12)
    shots = 4000
    counts = batching.draw(batch, probabilities, shots, seed=1)
    assert sizes == [8, 10, 16, 8, 8]
    for read, circuit in zip(counts, batch, strict=True):
        # Six standard deviations: by chance 2e-9 an outcome.
        np.testing.assert_allclose(read.frequencies(), oracle.probabilities(circuit), atol=3 / np.sqrt(shots))


def test_twins_in_different_chunks_have_shots_of_their_own(monkeypatch):
    monkeypatch.setattr(batching, "CHUNK", 300)
    twin = NativeCircuit.build(8, *[("gpi2", [q], [0.0]) for q in range(8)])
    first, second = local.LocalBackend().sample([twin, twin], 1000, seed=1)
    assert first != second


def test_recent_values_are_made_once_and_the_oldest_is_dropped():
    made = []

    def make(key):
        made.append(key)
        return key * 2

    recent = batching.Recent(size=2)
    got = [recent.get(key, lambda key=key: make(key)) for key in (1, 2, 1, 3, 1, 2)]
    assert got == [2, 4, 2, 6, 2, 4]
    assert made == [1, 2, 3, 2]


def test_the_engine_of_a_program_is_kept(monkeypatch, random_native):
    made = []
    engine = local.Engine
    monkeypatch.setattr(local, "Engine", lambda program: made.append(program) or engine(program))
    backend = local.LocalBackend()
    circuit = random_native(1, 3)
    for _ in range(3):
        backend.probabilities([circuit, NativeCircuit.build(3, *circuit)])
    assert len(made) == 1
