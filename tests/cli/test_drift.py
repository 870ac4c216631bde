"""`qcaan drift` on the rehearsal of a run: what is printed, JSON, exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.braket.capabilities import SNAPSHOTS, read_snapshot
from qcaan.learn import train

REHEARSAL = """
seed: 3
prior: {n_qubits: 3, n_layers: 4, shots: 1000, refresh_every: 4, updates: 3, target_images: 32, gradient: spsa}
gan: {channels: 2}
train: {max_steps: 6, batch_size: 8, log_every: 2, scores: false}
backend: {name: braket, device: ionq-forte-1, emulate: true}
"""
TWIN = f"emulator of {SNAPSHOTS['ionq-forte-1']}"
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small training run on the twin: the rehearsal of one on hardware."""
    folder = tmp_path_factory.mktemp("drift")
    (folder / "rehearsal.yaml").write_text(REHEARSAL)
    return train(folder / "rehearsal.yaml", folder / "run")


def test_a_rehearsal_is_at_its_floor(call: Call, run: Path) -> None:
    """Its shots are the twin's own: a false alarm at most once in a hundred seeds, and this one is fixed."""
    code, out, _ = call("drift", "--store", run)
    assert code == 0
    lines = out.splitlines()
    figures = ["circuits", "shots", "tvd", "floor", "p", "ideal", "noise"]
    assert lines[0].split() == ["UTC", "tag", *figures]
    assert lines[-3].split() == ["UTC", "calls", *figures]
    assert lines[-2].split()[:2] == ["all", str(len(lines) - 4)]
    assert f"0 of {len(lines) - 4} calls (*) are further from the {TWIN} than its own shots would be" in lines[-1]
    assert "any false alarm is at most 0.01" in lines[-1]


def test_json(call: Call, run: Path) -> None:
    code, out, _ = call("drift", "--store", run, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["twin"]["device"] == TWIN
    rows = found["rows"]
    assert {row["device"] for row in rows} == {TWIN}
    assert not any(row["far"] for row in rows)
    for row in rows:
        assert row["circuits"] * 1000 == row["shots"]
        assert 0 < row["floor"] < 0.1
        assert 0 < row["noise_tvd"] < 0.1
        assert abs(row["ideal_tvd"] - row["tvd"]) <= row["noise_tvd"]
        assert 0 < row["p_value"] <= 1
    (period,) = found["by_time"]
    assert (period["calls"], period["shots"]) == (len(rows), sum(row["shots"] for row in rows))
    assert found["total"] == {name: period[name] for name in found["total"]}


def test_a_store_and_another_calibration(call: Call, run: Path, tmp_path: Path) -> None:
    """Against a device that is said to be far noisier, the same shots are far away."""
    facts = json.loads(read_snapshot("ionq-forte-1"))
    facts["provider"]["fidelity"]["2Q"]["mean"] = 0.7
    (tmp_path / "noisier.json").write_text(json.dumps(facts))
    twin = ["--backend", "braket", "--set", "device=ionq-forte-1", "--set", "emulate=true"]
    _, out, _ = call("drift", "--store", run / "store.sqlite", *twin, "--set", "capabilities=noisier.json", "--json")
    far = json.loads(out)["rows"]
    _, out, _ = call("drift", "--store", run / "store.sqlite", *twin, "--json")
    near = json.loads(out)["rows"]
    assert [row["tag"] for row in far] == [row["tag"] for row in near]
    assert all(row["far"] for row in far if row["circuits"] > 1)
    assert not any(row["far"] for row in near)
    code, out, _ = call("drift", "--store", run, "--set", "capabilities=noisier.json")
    assert code == 0
    assert "*" in out.splitlines()[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--run", "other"], "holds no shots of run 'other' that a device gave"),
        (["--device", "ionq"], "holds no shots on 'ionq' that a device gave"),
        (["--false-alarm-rate", "0"], "--false-alarm-rate 0: give a probability between 0 and 1"),
        (["--set", "scale=much"], "option scale='much'"),
        (["--set", "device=ionq-aria-1"], "uses zz, its native gates are gpi, gpi2, ms"),
        (["--backend", "braket", "--set", "device=sv1"], "gives no exact probabilities to compare with"),
    ],
)
def test_what_cannot_be_compared(call: Call, run: Path, words: list[str], message: str) -> None:
    code, out, err = call("drift", "--store", run, *words)
    assert (code, out) == (2, "")
    assert message in err


def test_a_store_alone_does_not_name_its_twin(call: Call, run: Path) -> None:
    code, _, err = call("drift", "--store", run / "store.sqlite")
    assert code == 2
    assert "name the twin, for example --backend braket --set device=ionq-forte-1 --set emulate=true" in err


def test_no_such_store(call: Call) -> None:
    code, _, err = call("drift", "--store", "nowhere")
    assert code == 2
    assert "nowhere: there is no such run directory or file" in err
