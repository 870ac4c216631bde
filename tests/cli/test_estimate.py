"""`qcaan estimate`: how long a run would take, from the device's durations or from what the store has recorded."""

import json
import re
from dataclasses import replace

import pytest
import yaml

from qcaan.circuits.circuit import Circuit
from qcaan.circuits.report import FORTE_FIGURES
from qcaan.execution import Budget, Request, Runner, ScriptedBackend, Store
from qcaan.execution.policy import Patience

PATIENCE = Patience(wait_s=0, submits_per_s=1e9, requests_per_s=1e9, first_poll_s=0.01)


@pytest.fixture
def config(tmp_path):
    values = {
        "seed": 1,
        "prior": {
            "n_qubits": 3,
            "n_layers": 1,
            "shots": 100,
            "gradient": "spsa",
            "updates": 2,
            "topology": "line",
        },
        "train": {"max_steps": 4, "batch_size": 8},
        "store": {"url": f"sqlite:///{tmp_path}/store.sqlite"},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture
def target(monkeypatch):
    scripted = ScriptedBackend(kind="emulator")
    monkeypatch.setattr("qcaan.learn.estimate.open_backend", lambda name, **options: scripted)
    return scripted


@pytest.fixture
def estimate(call, config):
    def printed(*options):
        code, out, err = call("estimate", config, *options)
        assert code == 0, err
        return out

    return printed


def test_nothing_tells_the_time(estimate, target, tmp_path):
    found = json.loads(estimate("--json"))
    assert found["expected_s"] is None
    assert found["expected_from"].startswith("unknown: the store has no job on scripted device")
    told = estimate()
    assert "expected time" in told
    assert "unknown" in told
    assert target.n_jobs == 0
    assert not (tmp_path / "store.sqlite").exists()


def test_the_devices_durations(estimate, target):
    target.target = replace(target.target, figures=replace(FORTE_FIGURES, one_qubit_s=0, two_qubit_s=0, readout_s=1))
    found = json.loads(estimate("--json"))
    assert found["expected_s"] == pytest.approx(found["shots"])
    assert "its queue comes on top" in re.sub(r"\s+", " ", estimate())


def test_what_the_store_has_recorded(estimate, target, tmp_path):
    fake_s = 90.0
    now = iter(range(10**6))
    with Store.open(tmp_path / "store.sqlite") as store:
        store.clock = lambda: fake_s * next(now)
        Runner(target, store=store, run="before", seed=1, budget=Budget(100), patience=PATIENCE).run(
            [Request(Circuit(1), 10)], tag="t"
        )
    found = json.loads(estimate("--json"))
    assert found["expected_s"] >= found["submissions"] // 100 * fake_s
    assert found["expected_s"] % fake_s == 0
    assert "turnaround" in found["expected_from"]
