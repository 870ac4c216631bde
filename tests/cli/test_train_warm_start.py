"""From the simulator to the device: a run trained on `local` goes on on the noisy twin of Forte, from shots."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from qcaan.cli import app
from qcaan.config import Config
from qcaan.execution.jobs import list_jobs
from qcaan.execution.store import Store
from qcaan.learn import checkpoint
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.train import train

SMALL = {
    "prior": {"n_qubits": 3, "n_layers": 3, "shots": 200, "refresh_every": 4, "updates": 30, "target_images": 64},
    "gan": {"channels": 2},
    "train": {"max_steps": 4, "batch_size": 8, "checkpoint_every": 2, "scores": False},
}
TWIN = ["--backend", "braket", "--set", "backend.device=ionq-forte-1", "--set", "backend.emulate=true"]


@pytest.mark.parametrize(("gradient", "circuits"), [("spsa", 2), ("parameter_shift", 1 + 2 * 15)])
def test_a_simulated_run_goes_on_on_the_twin_where_it_was(tmp_path: Path, gradient: str, circuits: int) -> None:
    run = RunDirectory.open(train(Config.load(SMALL), tmp_path / "run"))
    simulated = checkpoint.latest(run.checkpoints)[0]["prior.theta"].numpy()
    words = ["resume", str(run.path), *TWIN, "--set", f"prior.gradient={gradient}", "--set", "prior.updates=1"]
    result = CliRunner().invoke(app, [*words, "--set", "train.max_steps=6"])
    assert result.exit_code == 0, result.output
    on_twin = checkpoint.latest(run.checkpoints)[0]["prior.theta"].numpy()
    assert on_twin.shape == simulated.shape == (15,)
    assert 0 < np.abs(on_twin - simulated).max() < 0.1  # one step of Adam away: neither stuck nor started anew
    segments = json.loads((run.path / "provenance.json").read_text())["segments"]
    assert [(s["from_step"], s["backend"]["name"]) for s in segments] == [(0, "local"), (4, "braket")]
    with Store.open(RunDirectory.open(run.path).store_url) as store:
        jobs = [job for job in list_jobs(store) if "forte" in job.device.lower()]
    assert sum(job.n_circuits for job in jobs if "refit" in job.tag) == circuits
    assert sum(job.n_circuits for job in jobs if "pool" in job.tag) == 1
