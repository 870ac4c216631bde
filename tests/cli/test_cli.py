"""The command line as a user meets it: what is printed, exit codes, JSON for machines."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from qcaan.cli import console
from qcaan.config import Config
from qcaan.errors import BackendError

EXAMPLES = Path(__file__).parents[2] / "examples"
TINY = """
seed: 3
prior: {n_qubits: 3, n_layers: 2, shots: 200, refresh_every: 4, updates: 2, target_images: 32}
gan: {channels: 2}
train: {max_steps: 6, batch_size: 8, log_every: 2, scores: false}
"""
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(call: Call, tmp_path: Path) -> Call:
    """The command line, beside tiny.yaml."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    return call


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small finished run."""
    from qcaan.learn import train

    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.yaml").write_text(TINY)
    return train(folder / "tiny.yaml", folder / "run")


def test_train_says_where_everything_is(call: Call) -> None:
    code, out, _ = call("train", "tiny.yaml", "--out", "here", "--set", "train.max_steps=3")
    assert code == 0
    assert "here/samples/step-000003.png" in out
    assert Path("here/samples/step-000003.png").is_file()
    assert Config.load("here/config.yaml").train.max_steps == 3


def test_a_run_that_cannot_start_leaves_nothing(call: Call) -> None:
    for words in (["--backend", "nosuch"], ["--set", "prior.kind=nosuch"], ["--set", "data.name=nowhere"]):
        code, _, err = call("train", "tiny.yaml", "--out", "here", *words)
        assert code in (1, 2)
        assert err.startswith("error: ")
        assert not Path("here").exists()


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["train", "tiny.yaml", "--set", "prior.shot=3"], 2, "prior.shot: unknown key; did you mean 'shots'?"),
        (["train", "nowhere.yaml"], 2, "cannot read the configuration nowhere.yaml"),
        (["train", "tiny.yaml", "--backend", "loca"], 2, "local"),
        (["train", "tiny.yaml", "--set", "backend.entangel=zz"], 2, "entangler"),
        (["train", "tiny.yaml", "--set", "train.batch_size=70000"], 2, "train.batch_size: 70000 is more than"),
        (["resume", "nowhere"], 1, "nowhere is not a run directory"),
        (["sample", "nowhere"], 1, "nowhere is not a run directory"),
        (["evaluate", "nowhere"], 1, "nowhere"),
        (["backends", "show", "nosuch"], 2, "there is no backend 'nosuch'"),
        (["jobs", "list", "--store", "nowhere"], 2, "there is no such run directory or file"),
        (["compile", "nowhere.qasm", "--target", "aria"], 2, "cannot read nowhere.qasm"),
        (["nonsense"], 2, "No such command"),
        (["train"], 2, "Missing argument"),
    ],
)
def test_errors_name_the_remedy_and_have_their_exit_code(call: Call, words: list[str], code: int, part: str) -> None:
    found, _, err = call(*words)
    assert found == code
    assert part in err
    assert "Traceback" not in err


def test_resume_goes_on_on_another_backend(call: Call) -> None:
    assert call("train", "tiny.yaml", "--out", "here", "--set", "train.max_steps=3")[0] == 0
    code, out, _ = call("resume", "here", "--backend", "cirq", "--set", "train.max_steps=6")
    assert code == 0
    assert "backend cirq" in out
    assert json.loads(Path("here/metrics.jsonl").read_text().splitlines()[-1])["step"] == 6
    assert call("resume", "here")[0] == 0


def test_an_interrupt_says_how_to_go_on(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from qcaan.learn import gan

    step = gan.Game.step

    def interrupted(self: gan.Game, *batch: torch.Tensor) -> dict[str, float]:
        if self.steps == 4:
            raise KeyboardInterrupt
        return step(self, *batch)

    monkeypatch.setattr(gan.Game, "step", interrupted)
    code, out, _ = call("train", "tiny.yaml", "--out", "here")
    assert code == 130
    assert "go on with: qcaan resume here" in out
    assert Path("here/checkpoints/step-00000004").is_dir()


@pytest.mark.parametrize("where", ["refit", "evaluate"])
def test_an_interrupted_phase_resumes(call: Call, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Ctrl-C while the second refit or the final evaluation runs; the run ends where the undisturbed one ends."""
    from qcaan.learn.born_machine import BornMachine
    from qcaan.learn.trained import Trained

    assert call("train", "tiny.yaml", "--out", "whole")[0] == 0
    owner, name = {"refit": (BornMachine, "sample"), "evaluate": (Trained, "draw")}[where]
    method = getattr(owner, name)

    def interrupted(self: object, *values: object, **options: object) -> object:
        if where == "evaluate" or options["tag"] == "4/pool":
            raise KeyboardInterrupt
        return method(self, *values, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        code, out, _ = call("train", "tiny.yaml", "--out", "here")
    assert code == 130
    assert "go on with: qcaan resume here" in out
    assert call("resume", "here")[0] == 0
    assert Path("here/metrics.jsonl").read_bytes() == Path("whole/metrics.jsonl").read_bytes()
    name = "checkpoints/step-00000006/tensors.safetensors"
    assert (Path("here") / name).read_bytes() == (Path("whole") / name).read_bytes()


@pytest.mark.parametrize("gap_s", [0.0, 0.1])
def test_two_interrupts_leave_a_run_that_resumes(call: Call, gap_s: float) -> None:
    """A real process; the second Ctrl-C comes while the first is being handled, or while Python ends."""
    words = ["train", "tiny.yaml", "--out", "here", "--set", "train.max_steps=100000", "--set", "train.log_every=1"]
    with subprocess.Popen(
        [sys.executable, "-c", "from qcaan.cli import main; main()", *words], stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            while not Path("here/metrics.jsonl").is_file():
                assert child.poll() is None
                time.sleep(0.02)
            child.send_signal(signal.SIGINT)
            time.sleep(gap_s)
            child.send_signal(signal.SIGINT)
            _, err = child.communicate(timeout=300)
        finally:
            child.kill()
    assert child.returncode in (130, -signal.SIGINT)  # at its very end Python has no handlers
    assert "Traceback" not in err
    steps = len(Path("here/metrics.jsonl").read_text().splitlines())
    assert call("resume", "here", "--set", f"train.max_steps={steps + 20}")[0] == 0
    lines = [json.loads(line)["step"] for line in Path("here/metrics.jsonl").read_text().splitlines()]
    assert lines == list(range(1, steps + 21))


def test_an_interrupt_ends_all_processes_of_a_run(call: Call) -> None:
    """Ctrl-C in a terminal (Linux)."""
    words = ["train", "tiny.yaml", "--out", "here", "--set", "train.max_steps=100000", "--set", "train.log_every=1"]
    code = [sys.executable, "-c", "from qcaan.cli import main; main()", *words, "--set", "train.devices=2"]
    with subprocess.Popen(code, stderr=subprocess.PIPE, text=True, start_new_session=True) as child:
        try:
            while not Path("here/metrics.jsonl").is_file():
                assert child.poll() is None
                time.sleep(0.02)
            (worker,) = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
            os.killpg(child.pid, signal.SIGINT)
            _, err = child.communicate(timeout=120)
        finally:
            child.kill()
    assert child.returncode == 130
    assert "Traceback" not in err
    assert not Path("/proc", worker).exists()
    steps = len(Path("here/metrics.jsonl").read_text().splitlines())
    assert call("resume", "here", "--set", f"train.max_steps={steps + 5}", "--set", "train.devices=1")[0] == 0
    lines = [json.loads(line)["step"] for line in Path("here/metrics.jsonl").read_text().splitlines()]
    assert lines == list(range(1, steps + 6))


def test_a_failed_change_of_backend_leaves_the_run_as_it_was(call: Call) -> None:
    assert call("train", "tiny.yaml", "--out", "here", "--set", "backend.entangler=zz")[0] == 0
    before = Path("here/config.yaml").read_bytes()
    for words in (["--backend", "nosuch"], ["--backend", "aer", "--set", "backend.nosuch=1"], ["--set", "prior.x=1"]):
        assert call("resume", "here", *words)[0] == 2
        assert Path("here/config.yaml").read_bytes() == before
    assert call("resume", "here", "--backend", "aer", "--set", "train.max_steps=7")[0] == 0
    assert Config.load("here/config.yaml").backend.options == {}


def test_replay_from_the_command_line(call: Call) -> None:
    """Sampled gradients are replayed; exact ones record nothing, and are computed again by their simulator."""
    for gradient in ("spsa", "exact"):
        words = ["train", "tiny.yaml", "--set", f"prior.gradient={gradient}"]
        assert call(*words, "--out", gradient)[0] == 0
        store = f"store.url=sqlite:///{gradient}/store.sqlite"
        again = f"{gradient}-again"
        assert call(*words, "--out", again, "--set", store, "--set", "store.policy=replay")[0] == 0
        for name in ("metrics.jsonl", "checkpoints/step-00000006/tensors.safetensors"):
            assert (Path(again) / name).read_bytes() == (Path(gradient) / name).read_bytes()
    code, _, err = call(*words, "--out", "never", "--set", "store.policy=replay")
    assert code == 1
    assert "has no complete record of '0/pool'" in err


def test_any_folder_of_idx_files_trains_and_is_scored(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise with labels: a classifier is trained for it once, in the user's cache, and says so."""
    rng = np.random.default_rng(0)
    Path("things").mkdir()
    for part, n in (("train", 200), ("t10k", 40)):
        for kind, array in (("images-idx3", rng.integers(0, 256, (n, 28, 28))), ("labels-idx1", np.arange(n) % 10)):
            sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
            content = bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()
            Path(f"things/{part}-{kind}-ubyte").write_bytes(content)
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setattr(console, "SOON_S", 0.0)
    words = ["train", "tiny.yaml", "--set", "data.name=things", "--set", "train.scores=true"]
    code, out, err = call(*words, "--out", "here")
    assert code == 0
    monkeypatch.setattr(console, "SOON_S", 1e6)
    assert "train the classifier 0/8" in err
    assert "FID" in out
    (card,) = Path("cache/qcaan/classifiers").glob("*/classifier.json")
    last = json.loads(Path("here/metrics.jsonl").read_text().splitlines()[-1])
    assert {"step", "epoch", "gan/loss_d", "gan/loss_g"} <= last.keys()
    assert {f"eval/{name}" for name in ("inception_score", "fid", "coverage", "distinct_images")} <= last.keys()
    code, out, err = call("evaluate", "here", "--json")
    figures = json.loads(out)
    assert err == ""
    assert figures["classifier"]["hash"] == json.loads(card.read_text())["hash"]
    names = "inception_score inception_score_std fid precision coverage density distinct_images effective_support"
    names += " nearest_training_image nearest_training_image_p1 class_balance n_images exact classifier real"
    assert {*names.split(), "real_same_support", "recall", "class_entropy_bits", "label_accuracy"} == figures.keys()
    assert {f"eval/{name}": value for name, value in figures.items()}.items() <= last.items()


def test_progress_without_a_terminal_is_lines(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = call("train", "tiny.yaml", "--out", "here")
    assert code == 0
    assert [line.split(",")[0] for line in err.splitlines()] == ["refit 0/6", "train 1/6", "evaluate 6/6", "train 6/6"]
    monkeypatch.setattr(console, "EVERY_S", 0.0)
    _, _, err = call("train", "tiny.yaml", "--out", "there")
    assert len([line for line in err.splitlines() if not line.startswith("jobs")]) == 6 + 2 + 1
    assert "jobs 1/1 done, 0 running, 0 queued, 200 shots" in err
    assert re.search(r"train 3/6, \d+ s elapsed, \d+ s left  prior \d\.\d+", err)


def test_log_json_is_json_throughout(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, err = call("--log-json", "train", "tiny.yaml", "--out", "here")
    records = [json.loads(line) for line in err.splitlines()]
    assert all({"time", "level", "logger", "message"} <= record.keys() for record in records)
    shown = [record for record in records if record["logger"] == "qcaan.progress"]
    assert [(record["phase"], record["done"], record["total"]) for record in shown] == [
        ("refit", 0, 6),
        ("train", 1, 6),
        ("evaluate", 6, 6),
        ("train", 6, 6),
    ]
    code, _, err = call("--log-json", "train", "nowhere.yaml")
    (record,) = map(json.loads, err.splitlines())
    assert (code, record["level"], record["error"], record["exit_code"]) == (2, "error", "ConfigError", 2)


def test_warnings_are_one_line_and_notes_of_errors_are_shown(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> None:
        logging.getLogger("qcaan.execution").warning("slow [down]", extra={"job": 7})
        logging.getLogger("qcaan.execution").info("not shown")
        error = BackendError("broken")
        error.add_note("job 7")
        raise error

    monkeypatch.setattr(Config, "load", load)
    more = "more: docs/errors.md#backenderror"
    assert call("train", "tiny.yaml") == (1, "", f"warning: slow [down]\nerror: broken\n  job 7\n  {more}\n")
    records = [json.loads(line) for line in call("--log-json", "train", "tiny.yaml")[2].splitlines()]
    assert records[0]["job"] == 7
    assert [record["level"] for record in records] == ["warning", "info", "error"]
    assert not logging.getLogger("qcaan").handlers


def test_what_the_file_system_refuses_is_no_traceback(call: Call, run: Path) -> None:
    Path("file").write_text("")
    code, _, err = call("train", "tiny.yaml", "--out", "file/run")
    assert (code, err) == (2, "error: --out file/run: Not a directory; name a directory that can be written\n")
    code, _, err = call("sample", run, "--out", "file/digits.png")
    assert code == 1
    assert err.startswith("error: ")
    assert "Traceback" not in err


def test_sample_writes_pictures_and_arrays(call: Call, run: Path) -> None:
    code, out, _ = call("sample", run, "-n", 12, "--out", "digits.png")
    assert (code, out.strip()) == (0, "digits.png")
    assert Path("digits.png").read_bytes().startswith(b"\x89PNG")
    for name, seed in (("a.npy", 0), ("b.npy", 0), ("c.npy", 1)):
        assert call("sample", run, "-n", 12, "--out", name, "--seed", seed)[0] == 0
    a, b, c = (np.load(name) for name in ("a.npy", "b.npy", "c.npy"))
    assert a.shape == (12, 28, 28)
    assert a.dtype == np.uint8
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    code, _, err = call("sample", run, "--out", "digits.gif")
    assert code == 2
    assert "end the name in .png or .npy" in err


def test_diff_proves_that_only_the_backend_changed(call: Call, run: Path) -> None:
    code, out, _ = call("diff", run, run, "--json")
    assert (code, json.loads(out)) == (0, {})
    Path("other.yaml").write_text(TINY + "backend: {name: aer}\n")
    assert json.loads(call("diff", "tiny.yaml", "other.yaml", "--json")[1]) == {"backend.name": ["local", "aer"]}
    assert "backend.name" in call("diff", run, "other.yaml")[1]


def test_backends_list_and_show(call: Call) -> None:
    found = json.loads(call("backends", "list", "--json")[1])
    assert {"local", "aer", "cirq", "braket"} <= {info["name"] for info in found}
    shown = json.loads(call("backends", "show", "local", "--set", "entangler=zz", "--json")[1])
    assert shown["target"]["native_gates"] == ["gpi", "gpi2", "zz"]
    assert "entangler" in shown["options"]
    assert "n_qubits" in call("backends", "show", "local")[1]
    assert "braket" in call("backends", "list")[1]


@pytest.mark.parametrize("target", ["aria", "forte", "local"])
def test_compile_prints_counts_and_writes_the_program(call: Call, target: str) -> None:
    code, out, _ = call("compile", EXAMPLES / "ghz.qasm", "--target", target, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["two_qubit"] == found["input"]["two_qubit"] == 7
    assert found["max_angle_turns"] <= 0.25 + 1e-12
    assert {"pulses", "total_angle_turns", "depth", "readout_flips", "program"} <= found.keys()
    assert call("compile", EXAMPLES / "ghz.qasm", "--target", target, "--out", "native.qasm")[0] == 0
    assert "#pragma braket verbatim" in Path("native.qasm").read_text()
    code, out, _ = call("compile", EXAMPLES / "ghz.qasm", "--target", target, "--format", "ionq", "--json")
    assert json.loads(json.loads(out)["program"])["input"]["gateset"] == "native"


def test_a_compiled_file_tells_its_readout_flips(call: Call) -> None:
    Path("x.qasm").write_text('OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; x q[1]; h q[0];')
    code, _, _ = call("compile", "x.qasm", "--target", "aria", "--out", "native.qasm")
    assert code == 0
    assert "// The true bits are b XOR 01 (qubit 0 leftmost)." in Path("native.qasm").read_text()


def test_what_cannot_be_compiled_names_the_line(call: Call) -> None:
    Path("bad.qasm").write_text('OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit q; bit c;\nh q; reset q;\n')
    code, _, err = call("compile", "bad.qasm", "--target", "aria")
    assert code == 2
    assert "bad.qasm: line 4" in err


def test_jobs_of_a_run(call: Call, run: Path) -> None:
    jobs = json.loads(call("jobs", "list", "--store", run, "--json")[1])
    assert [job["tag"] for job in jobs] == ["4/pool", "0/pool"]
    assert all(job["state"] == "done" and job["shots"] == 200 for job in jobs)
    (cost,) = json.loads(call("jobs", "costs", "--store", run, "--json")[1])
    assert {name: cost[name] for name in ("submissions", "shots", "usd_low", "usd_high")} == {
        "submissions": 2,
        "shots": 400,
        "usd_low": 0,
        "usd_high": 0,
    }
    for name in ("submissions", "shots", "usd_low", "usd_high"):
        assert sum(job[name] for job in jobs) == cost[name]
    assert {job["device"] for job in jobs} == {cost["device"]}
    shown = json.loads(call("jobs", "show", jobs[0]["run"], "0/pool", "--store", run)[1])
    assert shown["tag"] == "0/pool"
    assert call("jobs", "attach", "--store", run) == (0, "nothing is open on this device\n", "")
    assert "0 submission(s) changed" in call("jobs", "redecode", "--store", run)[1]
    assert "0/pool" in call("jobs", "list", "--store", run / "store.sqlite")[1]
    code, _, err = call("jobs", "cancel", "--store", run)
    assert code == 2
    assert "--run or --key" in err


def test_estimate_counts_what_the_run_sent(call: Call, run: Path) -> None:
    found = json.loads(call("estimate", "tiny.yaml", "--json")[1])
    assert (found["refits"], found["submissions"], found["shots"]) == (2, 2, 400)
    assert {"device", "usd_low", "usd_high"} <= found.keys()
    shift = json.loads(call("estimate", "tiny.yaml", "--set", "prior.gradient=parameter_shift", "--json")[1])
    n_params = 2 * 3 + 3
    assert shift["circuits"] == 2 * (2 * (1 + 2 * n_params) + 1)
    assert shift["usd_low"] == 0
    assert "refits" in call("estimate", "tiny.yaml")[1]


def test_help_has_examples(call: Call) -> None:
    assert "Example: qcaan train" in call("train", "--help")[1]
