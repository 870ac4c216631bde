"""The loop: four backends, resuming bit for bit, moving to another backend, replay with no backend."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import chi2_contingency

from qcaan.config import Config
from qcaan.errors import ConfigError, DataError, MissingSDK, ReplayMissError
from qcaan.execution.backend import Simulator
from qcaan.execution.jobs import list_jobs
from qcaan.execution.store import Store
from qcaan.learn import checkpoint, session, train
from qcaan.learn.distributions import entropy_bits
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.train import change, steps

BACKENDS = ["local", "aer", "cirq", "braket"]
SMALL = {
    "prior": {"n_qubits": 4, "n_layers": 3, "shots": 500, "refresh_every": 6, "updates": 3, "target_images": 64},
    "gan": {"channels": 2},
    "train": {"max_steps": 14, "batch_size": 8, "log_every": 1, "checkpoint_every": 4, "scores": False},
}


def small(**sections: Mapping[str, Any]) -> Config:
    return Config.load({name: {**SMALL.get(name, {}), **sections.get(name, {})} for name in {*SMALL, *sections}})


def final(path: Path) -> dict[str, torch.Tensor]:
    found = checkpoint.latest(path / "checkpoints")
    assert found is not None
    return found[0]


def same(a: Path, b: Path) -> bool:
    left, right = final(a), final(b)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def stop_after(run: RunDirectory, step: int) -> None:
    """Train until `step` steps are done, then leave as Ctrl-C would."""
    for progress in steps(run):
        if progress.step == step and progress.phase == "train":
            break
    run.close()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(small(), tmp_path_factory.mktemp("runs") / "undisturbed")


def test_a_run_leaves_what_the_design_names(undisturbed: Path) -> None:
    names = {path.name for path in undisturbed.iterdir()}
    assert names >= {"config.yaml", "provenance.json", "store.sqlite", "metrics.jsonl", "tensorboard", "checkpoints"}
    assert (undisturbed / "samples" / "step-000014.png").read_bytes().startswith(b"\x89PNG")
    assert [record["step"] for record in records(undisturbed)] == list(range(1, 15))
    refits = [record["step"] for record in records(undisturbed) if "prior/loss" in record]
    assert refits == [1, 7, 13]
    assert all({"step", "epoch", "gan/loss_d", "gan/loss_g"} <= record.keys() for record in records(undisturbed))


def test_same_seed_same_run_other_seed_other_run(undisturbed: Path, tmp_path: Path) -> None:
    assert same(undisturbed, train(small(), tmp_path / "again"))
    assert not same(undisturbed, train(small().model_copy(update={"seed": 2}), tmp_path / "other"))


@pytest.mark.parametrize("step", [1, 4, 6, 7, 13])
def test_stopped_and_resumed_is_bit_for_bit_the_same(undisturbed: Path, tmp_path: Path, step: int) -> None:
    run = RunDirectory.create(small(), tmp_path / "run")
    stop_after(run, step)
    with RunDirectory.open(run.path) as again:
        for _ in steps(again):
            pass
    assert same(undisturbed, run.path)
    assert records(run.path) == records(undisturbed)


SWITCHES = {
    "noise and evaluations": {"gan": {"n_noise": 3}, "train": {"evaluate_every": 5}},
    "bernoulli bits of real and generated images": {
        "gan": {"binarise": "bernoulli"},
        "prior": {"activations": "both", "bases": ["Z", "trained"]},
    },
    "continuous": {"prior": {"kind": "gaussian"}},
    "classes": {"gan": {"conditional": True}, "prior": {"activations": "both", "bases": ["Z", "Y"]}},
    "boltzmann machine": {"prior": {"kind": "rbm", "warm_start": False}},
    "sampled gradient": {"prior": {"gradient": "spsa", "kind": "shuffled"}},
    "bits that name images": {"gan": {"reconstruction": 5.0}, "prior": {"optimizer": "cma_es", "update_shots": 5000}},
    "sampled and noisy": {"prior": {"gradient": "parameter_shift", "shots": 20, "noise_aware": True}},
    "short average": {"gan": {"ema": 0.5, "feeds_logit": True, "batchnorm": False, "r1_every": 3}},
}


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)
def test_every_switch_resumes_bit_for_bit(tmp_path: Path, switches: dict[str, dict[str, Any]]) -> None:
    """Stopped behind a checkpoint and a refit, so that both are used again."""
    whole = train(small(**switches), tmp_path / "whole")
    run = RunDirectory.create(small(**switches), tmp_path / "run")
    stop_after(run, 9)
    with RunDirectory.open(run.path) as again:
        for _ in steps(again):
            pass
    assert same(whole, run.path)
    assert records(run.path) == records(whole)
    for picture in sorted((whole / "samples").iterdir()):
        assert (run.samples / picture.name).read_bytes() == picture.read_bytes()


def test_killed_at_random_moments_is_bit_for_bit_the_same(undisturbed: Path, tmp_path: Path) -> None:
    """Real SIGKILLs of a real process, at moments that a seeded generator chooses."""
    path = tmp_path / "run"
    RunDirectory.create(small(), path).close()
    code = f"""
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.train import change, steps
with RunDirectory.open({str(path)!r}) as run:
    print("ready", flush=True)
    for progress in steps(run):
        input()
"""
    rng = np.random.default_rng(8)
    for go in [*rng.integers(1, 8, size=2), 1000]:
        with subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            child.stdin.write("\n" * go)
            child.stdin.flush()
            if go < 1000:
                time.sleep(rng.uniform(0.2, 1.2))
                child.send_signal(signal.SIGKILL)
            else:
                assert child.wait() == 0
    assert same(undisturbed, path)
    assert records(path) == records(undisturbed)


@pytest.mark.parametrize("gradient", ["spsa", "parameter_shift"])
def test_replay_needs_no_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gradient: str) -> None:
    """A finished run on a device that only samples runs again from its store: the simulator is never asked."""
    config = small(prior={"gradient": gradient, "n_qubits": 3, "n_layers": 2, "updates": 1})
    recorded = train(config, tmp_path / "run")
    with RunDirectory.open(recorded) as run:
        name, url = run.id, run.store_url

    def refuse(*_: object) -> None:
        raise AssertionError("replay asked the device")

    monkeypatch.setattr(Simulator, "submit", refuse)
    tree = config.model_dump(mode="json")
    tree["store"] = {"url": url, "policy": "replay", "run": name}
    assert same(recorded, train(tree, tmp_path / "replay"))


@pytest.mark.parametrize("fails", ["opened", "asked"])
def test_replay_needs_no_sdk_and_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    """Without the device sampled gradients replay, and exact ones say what they lack."""
    config = small(prior={"gradient": "spsa", "n_qubits": 3, "n_layers": 2, "updates": 1})
    recorded = train(config, tmp_path / "run")
    url = f"sqlite:///{recorded / 'store.sqlite'}"

    def missing(name: str, **_: object) -> object:
        if fails == "asked":
            return Absent()
        raise MissingSDK(name, "sdk")

    class Absent:
        @property
        def target(self) -> None:
            raise MissingSDK("braket", "sdk")

    monkeypatch.setattr(session, "open_backend", missing)
    tree = config.model_dump(mode="json") | {"store": {"url": url, "policy": "replay"}}
    replayed = train(tree, tmp_path / "replay")
    left, right = final(recorded), final(replayed)
    assert left.keys() - right.keys() == {"distribution"}  # it was computed, not measured
    assert all(torch.equal(left[name], right[name]) for name in right)
    with pytest.raises(MissingSDK, match="pip install"):
        train(tree | {"prior": {"gradient": "exact"}}, tmp_path / "exact")
    assert not (tmp_path / "exact").exists()


def test_a_run_has_one_budget_whatever_changes(tmp_path: Path) -> None:
    """A resumed run with other settings has another name in the store; the money that it may spend is the same."""
    run = RunDirectory.create(small(budget={"cap_usd": 5.0}), tmp_path / "run")
    stop_after(run, 7)
    with RunDirectory.open(run.path) as again:
        before = again.id
        change(again, small(budget={"cap_usd": 5.0}, prior={"shots": 300}))
        assert again.id != before
        for _ in steps(again):
            pass
        with Store.open(again.store_url) as store:
            calls = [store.call(job.run, job.tag) for job in list_jobs(store)]
    assert len({call.run for call in calls}) == 2
    assert {s.budget for call in calls for s in call.submissions} == {f"run {before}"}


@pytest.mark.parametrize(
    ("sections", "error"),
    [
        ({"backend": {"name": "nosuch"}}, ConfigError),
        ({"backend": {"name": "aer", "entangler": 7}}, ConfigError),
        ({"gan": {"channels": 3}}, DataError),
        ({"prior": {"n_qubits": 5}}, DataError),
        ({"prior": {"kind": "bernoulli"}}, DataError),
        ({"train": {"batch_size": 70_000}}, ConfigError),
    ],
)
def test_a_change_that_cannot_be_opened_changes_nothing(
    undisturbed: Path, sections: dict[str, Any], error: type[Exception]
) -> None:
    files = [undisturbed / name for name in ("config.yaml", "provenance.json")]
    before = [file.read_bytes() for file in files]
    with RunDirectory.open(undisturbed) as run, pytest.raises(error):
        change(run, small(**sections))
    assert [file.read_bytes() for file in files] == before


def test_a_run_may_end_at_its_last_checkpoint_but_not_before(tmp_path: Path) -> None:
    run = RunDirectory.create(small(), tmp_path / "run")
    stop_after(run, 9)
    with RunDirectory.open(run.path) as again:
        again.write_config(small(train={"max_steps": 8}))
        assert [progress.phase for progress in steps(again)] == ["evaluate"]
        assert again.picture(8).is_file()
        assert [record["step"] for record in again.metrics()][-1] == 8
        assert list(steps(again)) == []
        again.write_config(small(train={"max_steps": 5}))
        with pytest.raises(ConfigError, match=r"train.max_steps.*end at step 5, the run is at 8"):
            list(steps(again))


def test_the_associative_loop_keeps_its_support(tmp_path: Path) -> None:
    """The danger of the method: the latents saturate to "real or fake", the prior follows, all images become one.

    With the default head the 16 patterns stay in use; without its safeguards the same run loses many of them.
    """
    effective = []
    unsafe = {"feeds_logit": True, "batchnorm": False, "decorrelation": 0.0, "association": 0.0}
    for name, head in (("safe", {}), ("unsafe", unsafe)):
        config = small(
            prior={"refresh_every": 20, "updates": 20, "target_images": 512, "n_layers": 5},
            gan={"channels": 4, **head},
            train={"max_steps": 120, "batch_size": 32, "checkpoint_every": 200, "log_every": 200},
        )
        q = final(train(config, tmp_path / name))["distribution"].numpy()
        effective.append(2 ** entropy_bits(q))
    assert effective[0] > 9
    assert effective[1] < 0.75 * effective[0]


def test_replay_of_what_was_never_recorded(tmp_path: Path) -> None:
    with pytest.raises(ReplayMissError, match="no complete record"):
        train(small(store={"policy": "replay"}), tmp_path / "run")


def test_exact_losses_agree_on_all_backends(tmp_path: Path) -> None:
    """The identical training: the first 20 losses agree to 1e-6 wherever exact probabilities are known."""
    config = small(prior={"updates": 20, "bases": ["Z", "trained"], "n_qubits": 3}, train={"max_steps": 1}).model_dump()
    losses = {}
    for name in BACKENDS:
        path = train({**config, "backend": {"name": name}}, tmp_path / name)
        losses[name] = np.array(records(path)[0]["prior/losses"])
    assert losses["local"].shape == (20,)
    assert losses["local"][-1] < losses["local"][0]
    for name in BACKENDS[1:]:
        np.testing.assert_allclose(losses[name], losses["local"], atol=1e-6, rtol=0, err_msg=name)


def test_shots_of_all_backends_are_of_one_distribution(tmp_path: Path) -> None:
    """Chi-square test of homogeneity of the four pools of 4000 shots; false-alarm rate 1e-6 for each of two targets."""
    for bases in (["Z"], ["X"]):
        config = small(
            prior={"updates": 5, "bases": bases, "n_qubits": 3, "shots": 4000, "gradient": "exact"},
            train={"max_steps": 1},
        ).model_dump()
        rows = []
        for name in BACKENDS:
            pool = final(train({**config, "backend": {"name": name}}, tmp_path / f"{name}-{bases[0]}"))["pool"].numpy()
            assert pool.shape == (4000, 3)
            rows.append(np.bincount(pool @ [4, 2, 1], minlength=8))
        table = np.array(rows)
        frequent = table.sum(0) >= 40
        table = np.column_stack([table[:, frequent], table[:, ~frequent].sum(1)])
        assert chi2_contingency(table[:, table.sum(0) > 0]).pvalue > 1e-6
        assert len({row.tobytes() for row in table}) == 4, "four simulators do not give the same random numbers"


def test_a_run_moves_to_another_backend(tmp_path: Path) -> None:
    """The shots of the first backend stay its own; the second goes on from the checkpoint."""
    run = RunDirectory.create(small(), tmp_path / "run")
    stop_after(run, 7)
    before = json.loads((run.path / "checkpoints" / "step-00000006" / "state.json").read_text())
    with RunDirectory.open(run.path) as again:
        again.write_config(small(backend={"name": "cirq"}))
        for _ in steps(again):
            pass
    assert before["step"] == 6
    segments = json.loads((run.path / "provenance.json").read_text())["segments"]
    assert [(s["from_step"], s["backend"]["name"]) for s in segments] == [(0, "local"), (6, "cirq")]
    assert [record["step"] for record in records(run.path)] == list(range(1, 15))


@pytest.mark.parametrize("prior", ["bernoulli", "product_bernoulli"])
def test_other_priors_run_in_the_same_loop(tmp_path: Path, prior: str) -> None:
    path = train(small(prior={"kind": prior}), tmp_path / "run")
    assert final(path)["pool"].shape == (500, 4)


@pytest.mark.parametrize("bases", [["Z", "Y"], ["Z", "trained"], ["Z", "X", "Y"]])
def test_several_bases_make_more_bits(tmp_path: Path, bases: list[str]) -> None:
    path = train(small(prior={"bases": bases}, train={"max_steps": 2}), tmp_path / "run")
    assert final(path)["pool"].shape == (500, 4 * len(bases))


def test_resuming_a_complete_run_does_nothing(undisturbed: Path) -> None:
    before = {path: path.read_bytes() for path in undisturbed.rglob("*") if path.suffix in (".json", ".jsonl")}
    with RunDirectory.open(undisturbed) as run:
        assert list(steps(run)) == []
    assert {path: path.read_bytes() for path in before} == before


def test_a_resumed_run_can_be_made_longer(undisturbed: Path, tmp_path: Path) -> None:
    run = RunDirectory.create(small(), tmp_path / "run")
    stop_after(run, 8)
    with RunDirectory.open(run.path) as again:
        again.write_config(small(train={"max_steps": 20}))
        for _ in steps(again):
            pass
    assert records(run.path)[-1]["step"] == 20
    assert not same(undisturbed, run.path)


def test_a_checkpoint_that_lacks_something_is_named(tmp_path: Path) -> None:
    run = RunDirectory.create(small(), tmp_path / "run")
    checkpoint.save(run.checkpoints, 4, {"pool": torch.zeros(2, 4)}, {"prior": {}})
    with pytest.raises(DataError, match="lacks 'game': remove it"):
        list(steps(run))


def test_checkpoints_are_plain_tensors(undisturbed: Path) -> None:
    tensors = load_file(undisturbed / "checkpoints" / "step-00000014" / "tensors.safetensors")
    assert tensors["distribution"].shape == (16,)
    assert tensors["distribution"].sum() == pytest.approx(1)
    assert tensors["prior.theta"].dtype == torch.float64
