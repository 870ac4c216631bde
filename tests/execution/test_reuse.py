"""Shots are random variables: who may use recorded ones, and how often."""

import numpy as np
import pytest

from qcaan.circuits.circuit import Circuit
from qcaan.errors import ConfigError, ReplayMissError
from qcaan.execution import Budget, Fault, Request, Runner, ScriptedBackend, Store
from qcaan.execution import run as run_once
from qcaan.execution.backend import Counts

CIRCUIT = Circuit(1).ry(1.2, 0)


def run(store, backend, name, tag="t", shots=100, policy="reuse", circuit=CIRCUIT, n=1):
    requests = [Request(circuit, shots)] * n
    return [rows[0] for rows in Runner(backend, store=store, run=name, seed=1, policy=policy).run(requests, tag=tag)]


def origins(results):
    return [(part["key"], part["place"]) for result in results for part in result.provenance["submissions"]]


def test_shots_of_another_run_serve_again(store, sampler):
    backend = sampler()
    first = run(store, backend, "a")
    second = run(store, backend, "b")
    assert second[0].counts == first[0].counts
    assert origins(second) == origins(first)
    assert backend.asked == 1
    replay = Runner(None, store=store, run="b", seed=1, policy="replay").run([Request(CIRCUIT, 100)], tag="t")
    assert replay[0][0].counts == first[0].counts


def test_each_shot_serves_a_run_once(store, sampler):
    backend = sampler()
    run(store, backend, "a", n=3)
    taken = run(store, backend, "b", "t", n=2) + run(store, backend, "b", "u", n=2)
    assert len(set(origins(taken))) == 4
    assert backend.asked == 2
    assert {tuple(r.counts.items()) for r in run(store, backend, "c", n=3)} <= {
        tuple(r.counts.items()) for r in run(store, backend, "d", n=4)
    }


def test_a_run_does_not_reuse_its_own(store, sampler):
    results = run(store, sampler(), "a", "t") + run(store, sampler(), "a", "u")
    assert len(set(origins(results))) == 2


def test_fresh_takes_nothing(store, sampler):
    first = run(store, sampler(), "a")
    second = run(store, sampler(), "b", policy="fresh")
    assert set(origins(first)).isdisjoint(origins(second))


@pytest.mark.parametrize(
    "facts", [{"calibration": "today"}, {"mitigation": "debias"}, {"encoder": 2}, {"device": "there"}]
)
def test_other_conditions_are_not_exchangeable(memory, sampler, facts):
    run(memory, sampler(), "a")
    other = sampler(**facts)
    run(memory, other, "b")
    assert other.asked == 1


def test_another_circuit_is_not_exchangeable(memory, sampler):
    backend = sampler()
    run(memory, backend, "a")
    run(memory, backend, "b", circuit=Circuit(1).ry(1.2000001, 0))
    assert backend.asked == 2


def test_what_is_missing_is_run(memory, sampler):
    backend = sampler()
    run(memory, backend, "a", shots=60)
    run(memory, backend, "b", shots=70, policy="fresh")
    (result,) = run(memory, backend, "c", shots=100)
    assert result.shots == 100
    assert [part["shots"] for part in result.provenance["submissions"]] == [40, 60]
    assert backend.asked == 3


def test_what_is_missing_is_never_less_than_the_device_runs(memory, scripted):
    device = scripted(calibration="today", min_shots=100)
    for name, shots in (("a", 450), ("b", 400)):
        run(memory, device, name, shots=shots, policy="fresh")
    (result,) = run(memory, device, "c", shots=500)
    assert [part["shots"] for part in result.provenance["submissions"]] == [100, 400]
    assert device.n_jobs == 3


def test_an_interrupted_reuse_resumes(memory, sampler):
    run(memory, sampler(), "a", shots=60)
    dying = sampler()

    def die(batch, shots, seed):
        raise KeyboardInterrupt

    dying.sample = die
    with pytest.raises(KeyboardInterrupt):
        run(memory, dying, "b", shots=100)
    (result,) = run(memory, sampler(), "b", shots=100)
    assert result.shots == 100
    with pytest.raises(ReplayMissError):
        run(memory, None, "c", policy="replay")


def test_a_batch_that_failed_wholly_does_not_stop_others_from_serving(memory):
    device = ScriptedBackend(kind="emulator", calibration="today", faults=[Fault("job", 1, "partial", places=(0,))])
    paid = Runner(device, store=memory, run="a", seed=1, budget=Budget(100))
    paid.run([Request(CIRCUIT, 100)], tag="t")
    assert device.n_jobs == 2
    again = Runner(device, store=memory, run="b", seed=1, budget=Budget(100), policy="reuse")
    again.run([Request(CIRCUIT, 100)], tag="t")
    assert device.n_jobs == 2


@pytest.mark.parametrize("where", ["sqlite", "postgres"])
def test_two_processes_may_index_at_once(where, request, tmp_path, sampler, monkeypatch):
    url = str(tmp_path / "s.sqlite") if where == "sqlite" else request.getfixturevalue("postgres_url")
    with Store.open(url) as store, Store.open(url) as other:
        run(store, sampler(), "a", n=3)
        whole = Store.batch

        def meanwhile(self, number):
            if self is store:
                run(other, sampler(), "b", n=3)
            return whole(self, number)

        monkeypatch.setattr(Store, "batch", meanwhile)
        device = sampler()
        run(store, device, "c", n=3)
        assert device.asked == 0


def test_twenty_estimates_have_the_variance_of_twenty(memory, sampler):
    # The trap of a plain memo table: repeats of one estimate out of a cache have no variance. The frequency of "1" in
    # 100 shots has variance p (1 - p) / 100; with 20 repeats in each of the two runs, the sample variance lies within
    # a quarter and three times of it unless shots are shared: false alarms below 1e-3 (chi-squared, 19 degrees).
    p = np.sin(0.6) ** 2
    for name, policy in (("a", "fresh"), ("b", "reuse")):
        estimates = [run(memory, sampler(), name, f"step {k}", policy=policy)[0].probabilities[1] for k in range(20)]
        assert 0.25 < np.var(estimates, ddof=1) / (p * (1 - p) / 100) < 3


def test_a_device_that_does_not_tell_its_calibration(memory, scripted):
    with pytest.raises(ConfigError, match="does not tell its calibration"):
        run(memory, scripted(), "a")


def test_flips_of_wide_registers_fit(postgres_url, sampler):
    store = Store.open(postgres_url)
    wide = Circuit(40).x(0).x(39)
    device = sampler(n_qubits=40, exact=False)
    device.sample = lambda batch, shots, seed: [Counts(c.n_qubits, [5], [shots]) for c in batch]
    first = Runner(device, store=store, run="a", seed=1).run([Request(wide, 9)], tag="t")
    again = Runner(device, store=store, run="b", seed=1, policy="reuse").run([Request(wide, 9)], tag="t")
    assert again[0][0].counts == first[0][0].counts
    assert again[0][0].provenance["submissions"] == first[0][0].provenance["submissions"]
    (used,) = store.reuses(store.call("b", "t").id)
    assert used.flips == first_flips(store) >= 2**32
    store.close()


def first_flips(store):
    return int(store.call("a", "t").submissions[0].where[1][0])


def test_shots_of_one_device_never_pass_for_anothers(sampler, tmp_path, bell):
    simulated = run_once([bell], sampler(), shots=50, store=tmp_path / "s.sqlite")
    other = sampler(name="other", device="there")
    run_once([bell], other, shots=50, store=tmp_path / "s.sqlite")
    assert other.asked == 1
    assert simulated[0].provenance["backend"] == "sampler"
