"""Circuits of several bases and programs reach a driver in one call, and come back where they belong."""

import numpy as np
import pytest

from qcaan.circuits import oracle
from qcaan.circuits.circuit import Circuit, theta
from qcaan.execution import Request, Runner, Store

CIRCUIT = Circuit(2).ry(theta[0], 0).rx(0.4, 1).cx(0, 1)
BASES = ("Z", "X", [0.3, 1.1])
ROWS = [[0.2], [0.9], [1.7]]


@pytest.fixture
def calls(backend, monkeypatch):
    """Sizes of the batches that the driver was given."""
    sizes = []
    whole = type(backend).sample

    def sample(self, batch, shots, seed):
        sizes.append((len(batch), len({circuit.program.digest for circuit in batch})))
        return whole(self, batch, shots, seed)

    monkeypatch.setattr(type(backend), "sample", sample)
    return sizes


def test_three_bases_of_three_rows_are_one_call(backend, calls):
    shots = 4000
    with Store.open() as store:
        runner = Runner(backend, store=store, run="a", seed=1)
        results = runner.run([Request(CIRCUIT, shots, ROWS, basis) for basis in BASES], tag="t")
    assert [size for size, _ in calls] == [9]
    assert calls[0][1] >= 2
    for basis, rows in zip(BASES, results, strict=True):
        for row, result in zip(ROWS, rows, strict=True):
            truth = oracle.probabilities(CIRCUIT.in_basis(basis), row)
            # Six standard deviations of at most 0.0079: by chance 2e-9 a value; 36 values a driver, seeds are fixed.
            np.testing.assert_allclose(result.probabilities, truth, atol=6 * 0.5 / np.sqrt(shots))
