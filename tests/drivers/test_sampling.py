"""Shots: totals, seeds, independence, and their distribution. Seeds are fixed, so every verdict is reproducible."""

import numpy as np
import pytest
from scipy import stats

from qcaan.circuits import oracle
from qcaan.circuits.native import NativeCircuit
from qcaan.errors import IntegrityError, UnknownJobError
from qcaan.execution.backend import JobStatus

FALSE_ALARM = 1e-6
"""Of each statistical test below, if its seeds were drawn anew."""


def uniform(n_qubits):
    return NativeCircuit.build(n_qubits, *[("gpi2", [q], [0.3 * q]) for q in range(n_qubits)])


def run(backend, batch, shots, key):
    job = backend.submit(batch, shots, key)
    assert backend.poll(job).status is JobStatus.DONE
    return backend.decode(backend.fetch(job), batch)


@pytest.mark.parametrize("shots", [1, 7, 1000])
def test_counts_total_the_shots(backend, random_native, shots):
    batch = [random_native(k, n) for k, n in enumerate((1, 2, 4, 4))]
    for counts, circuit in zip(backend.sample(batch, shots, seed=5), batch, strict=True):
        assert counts.shots == shots
        assert counts.n_qubits == circuit.n_qubits
        assert not counts.reconstructed


def test_the_same_key_gives_the_same_shots(backend, random_native):
    batch = [random_native(1, 4), uniform(3), random_native(2, 4), uniform(3)]
    first = run(backend, batch, 500, "ab12")
    again = run(backend, batch, 500, "ab12")
    assert first == again


def test_a_new_object_gives_the_same_shots_for_the_same_seed(backend, random_native):
    batch = [random_native(3, 3), uniform(5)]
    twin = type(backend)(**{name: getattr(backend, name) for name in backend.__dataclass_fields__})
    assert twin.sample(batch, 300, seed=2**62 + 17) == backend.sample(batch, 300, seed=2**62 + 17)


def test_another_key_gives_other_shots(backend):
    # 1000 shots over 256 equal outcomes agree by chance with probability far below 1e-100.
    batch = [uniform(8)]
    assert run(backend, batch, 1000, "ab12") != run(backend, batch, 1000, "ab13")


@pytest.mark.parametrize("low_bits_equal", [2**32, 2**40])
def test_all_bits_of_the_seed_count(backend, low_bits_equal):
    batch = [uniform(8)]
    assert backend.sample(batch, 1000, seed=7) != backend.sample(batch, 1000, seed=7 + low_bits_equal)


def test_twins_of_a_batch_have_shots_of_their_own(backend):
    batch = [uniform(8)] * 6 + [NativeCircuit.build(8, *uniform(8))] * 2
    seen = backend.sample(batch, 1000, seed=6)
    assert len({tuple(counts.frequencies()) for counts in seen}) == len(batch)


def test_twins_of_a_batch_are_independent(backend):
    # Fair coins: the spread of 64 twins' heads is chi-square with 63 degrees of freedom; shared random numbers, in the
    # same or in the opposite sense, push it out of the interval; two-sided, false-alarm rate FALSE_ALARM.
    shots, twins = 400, 64
    heads = np.array(
        [counts.frequencies()[0] * shots for counts in backend.sample([uniform(1)] * twins, shots, seed=7)]
    )
    spread = ((heads - heads.mean()) ** 2).sum() / (shots / 4)
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], twins - 1)
    assert low < spread < high


def test_seeds_are_independent(backend):
    # As above, over seeds in a row.
    shots, seeds = 400, 40
    heads = np.array([backend.sample([uniform(1)], shots, seed=s)[0].frequencies()[0] * shots for s in range(seeds)])
    spread = ((heads - heads.mean()) ** 2).sum() / (shots / 4)
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], seeds - 1)
    assert low < spread < high


def test_shots_follow_the_exact_distribution(backend, random_native):
    # Chi-square of 8,000 shots against the oracle; outcomes with fewer than 10 expected shots are pooled.
    # Three circuits: false-alarm rate 3 * FALSE_ALARM.
    shots = 8_000
    batch = [random_native(seed, 4, 25) for seed in (11, 12, 13)]
    for counts, circuit in zip(backend.sample(batch, shots, seed=8), batch, strict=True):
        expected = oracle.probabilities(circuit) * shots
        observed = counts.frequencies() * shots
        rare = expected < 10
        cells = np.append(expected[~rare], expected[rare].sum()), np.append(observed[~rare], observed[rare].sum())
        if cells[0][-1] < 10:
            cells = tuple(np.append(c[:-2], c[-2] + c[-1]) for c in cells)
        assert len(cells[0]) > 4
        assert stats.chisquare(cells[1], cells[0]).pvalue > FALSE_ALARM


def test_impossible_outcomes_are_never_read(backend):
    circuit = NativeCircuit.build(3, ("ms", [0, 2], [0.0, 0.0, np.pi / 2]))
    assert set(backend.sample([circuit], 5000, seed=9)[0].to_dict()) == {"000", "101"}


def test_a_reply_is_handed_over_once_and_unknown_jobs_are_refused(backend):
    batch = [uniform(2)]
    job = backend.submit(batch, 10, "feed")
    reply = backend.fetch(job)
    assert backend.decode(reply, batch)[0].shots == 10
    with pytest.raises(UnknownJobError, match="feed"):
        backend.poll(job)
    with pytest.raises(UnknownJobError):
        backend.fetch("another")
    with pytest.raises(IntegrityError, match="1 items for 2 circuits"):
        backend.decode(reply, batch * 2)


def test_a_cancelled_job_is_forgotten(backend):
    job = backend.submit([uniform(2)], 10, "beef")
    backend.cancel(job)
    backend.cancel(job)
    with pytest.raises(UnknownJobError):
        backend.poll(job)
