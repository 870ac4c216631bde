"""What a run would ask of its device: what it then asks, for every optimizer, gradient and kind; and its cap."""

import dataclasses
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backends.local import LocalBackend
from qcaan.cli import app
from qcaan.config import Config
from qcaan.execution.backend import Price
from qcaan.execution.jobs import list_jobs
from qcaan.execution.policy import Patience
from qcaan.execution.store import Store
from qcaan.learn import estimate
from qcaan.learn.estimate import estimate_run
from qcaan.learn.train import train

TINY = {
    "prior": {"n_qubits": 2, "n_layers": 2, "bases": ["Z", "trained"], "gradient": "spsa", "shots": 30}
    | {"refresh_every": 3, "updates": 4, "target_images": 32},
    "gan": {"channels": 2},
    "train": {"max_steps": 6, "batch_size": 8, "scores": False},
}


def tiny(**prior: object) -> Config:
    return Config.load({**TINY, "prior": TINY["prior"] | prior})


@pytest.mark.parametrize(
    "prior",
    [
        {},
        {"gradient": "parameter_shift"},
        {"gradient": "parameter_shift", "update_shots": 200},
        {"gradient": "exact"},
        {"optimizer": "cma_es"},
        {"optimizer": "cma_es", "gradient": "exact"},
        {"updates": 0},
        {"kind": "mixture"},
        {"kind": "shuffled"},
        {"kind": "unentangled"},
        {"kind": "rbm"},
    ],
    ids=str,
)
def test_a_run_asks_for_what_was_estimated(prior: dict[str, object], tmp_path: Path) -> None:
    config = tiny(**prior)
    found = estimate_run(config)
    with Store.open(f"sqlite:///{train(config, tmp_path / 'run') / 'store.sqlite'}") as store:
        jobs = list_jobs(store)
    assert (found.submissions, found.circuits, found.shots) == (
        len(jobs),
        sum(job.n_circuits for job in jobs),
        sum(job.n_circuits * job.shots for job in jobs),
    )


def test_cobyla_is_estimated_at_its_most() -> None:
    assert estimate_run(tiny(optimizer="cobyla", updates=100)).circuits == 2 * (100 * 2 + 2)


@pytest.fixture
def charged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local device that takes one circuit a submission, at 0.50 dollars each and a cent a shot."""
    device = LocalBackend()
    device.target = dataclasses.replace(device.target, max_circuits=1, price=Price(per_task_usd=0.5, per_shot_usd=0.01))
    monkeypatch.setattr(estimate, "open_backend", lambda name, **options: device)


@pytest.mark.usefixtures("charged")
@pytest.mark.parametrize(
    ("cap_usd", "fits", "fits_failures"),
    [(None, None, None), (28.7, False, False), (28.81, True, False), (87, True, True)],
)
def test_the_price_is_held_against_the_cap(
    cap_usd: float | None, fits: bool | None, fits_failures: bool | None
) -> None:
    budget = {"budget": {"cap_usd": cap_usd}} if cap_usd else {}
    found = estimate_run(Config.load({**tiny().model_dump(), **budget}))
    # two refits of four updates of two settings in two bases, and two draws, each circuit of 30 shots
    assert found.submissions == 2 * (4 * 4 + 2) == 36
    assert found.usd_low == pytest.approx(36 * (0.5 + 0.3))
    assert found.usd_high == pytest.approx(found.usd_low * Patience().attempts)
    assert (found.cap_usd, found.fits, found.fits_failures) == (cap_usd, fits, fits_failures)


@pytest.mark.usefixtures("charged")
@pytest.mark.parametrize(
    ("cap", "words"),
    [
        ([], "none: a device"),
        (["9"], "9.00: it does NOT fit"),
        (["30"], "not too much fails"),
        (["99"], "all of it fits"),
    ],
)
def test_the_command_says_whether_it_fits(cap: list[str], words: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(tiny().to_yaml())
    result = CliRunner().invoke(app, ["estimate", str(path), *(f"--set=budget.cap_usd={usd}" for usd in cap)])
    assert words in result.output
