"""What requests would cost a device, and how long they would take: from its figures, from what the store recorded."""

from dataclasses import replace

import pytest

from qcaan.circuits.circuit import Circuit, theta
from qcaan.circuits.report import FORTE_FIGURES
from qcaan.errors import TargetError
from qcaan.execution import Request
from qcaan.execution.estimate import estimate

WANTED = [Request(Circuit(2).ry(theta[0], 0), 50, [[0.3], [0.7]])]


@pytest.fixture
def memory(store):
    """Where `go` records: every kind of store."""
    return store


def test_estimate(memory, go, scripted):
    small = scripted(max_shots=30)
    found = estimate(WANTED, small.target)
    assert (found.n_submissions, found.n_circuits, found.shots) == (4, 2, 100)
    assert found.usd_low == pytest.approx(4 * 0.3 + 100 * 0.08)
    assert found.usd_high == pytest.approx(3 * found.usd_low)
    assert found.expected_s is None
    assert found.expected_from.startswith("unknown: the store has no job on scripted device that is done")
    # Two circuits of two pulses each, 50 shots of each.
    figures = replace(FORTE_FIGURES, one_qubit_s=0.1, readout_s=0.01)
    by_figures = estimate(WANTED, replace(small.target, figures=figures), store=memory)
    assert by_figures.expected_s == pytest.approx(100 * (2 * 0.1 + 0.01))
    assert "its queue comes on top" in by_figures.expected_from
    assert small.n_jobs == 0
    slow = scripted(queue_s=6)
    go(slow, wanted=WANTED)
    assert estimate(WANTED, slow.target, store=memory).expected_s >= 6
    assert go(small, tag="v", wanted=WANTED)
    with pytest.raises(TargetError):
        estimate(WANTED, scripted(min_shots=51).target)
