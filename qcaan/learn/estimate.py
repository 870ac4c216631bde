"""What a training run would ask of its device, and what that would cost, before anything is sent.

Why it runs an update for real, against a stand-in with the device's facts: its submissions are then planned, split and
priced by the code that will send them, for every kind of prior and every gradient estimator. Why only one update: all
updates of all refits ask for the same circuits at other angles, and angles change no submission.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np

from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import NativeCircuit
from qcaan.config import Config, PriorConfig
from qcaan.execution.backend import Counts, Simulator, Target
from qcaan.execution.estimate import expected_time
from qcaan.execution.jobs import Job, list_jobs
from qcaan.execution.planner import run_s
from qcaan.execution.policy import Patience
from qcaan.execution.registry import open_backend
from qcaan.execution.runner import Runner
from qcaan.execution.store import Store
from qcaan.learn.data import load
from qcaan.learn.priors import open_prior
from qcaan.learn.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class RunEstimate:
    """Of a whole run. `usd_high`: every circuit runs as often as a failure is tried again, paid for each time.

    Submissions, circuits and shots are those of a run in which nothing fails, and the most that COBYLA may take,
    which can end a refit early. What a resumed run has spent before is not in it.
    """

    backend: str
    device: str
    refits: int
    submissions: int
    circuits: int
    shots: int
    usd_low: float
    usd_high: float
    cap_usd: float | None
    """The configuration's `budget.cap_usd`."""
    fits: bool | None
    """Whether `usd_low` is within the cap, so that a run in which nothing fails ends; None without a cap."""
    fits_failures: bool | None
    """Whether `usd_high` is."""
    expected_s: float | None
    """Seconds at the device until all is done; None if nothing tells."""
    expected_from: str
    """What tells the expected time, or why nothing does."""


def estimate_run(config: Config) -> RunEstimate:
    """Opens the backend for its facts, and sends nothing.

    Raises:
        ConfigError, TargetError: the run could not start.
    """
    target = open_backend(config.backend.name, **config.backend.options).target
    schedule = Schedule.of(config, len(load(config.data.name).train))
    asked = schedule.n_refits * _refit(config, target)
    n, rounds, circuits, shots, usd, device_s = asked.tolist()
    where = config.store.url
    with Store.open(where) if where and Store.is_there(where) else nullcontext() as recorded:
        expected_s, expected_from = expected_time(target, int(rounds), device_s, recorded)
    high = usd * Patience().attempts
    cap_usd = config.budget.cap_usd if config.budget else None
    return RunEstimate(
        backend=target.name,
        device=target.device,
        refits=schedule.n_refits,
        submissions=int(n),
        circuits=int(circuits),
        shots=int(shots),
        usd_low=usd,
        usd_high=high,
        cap_usd=cap_usd,
        fits=None if cap_usd is None else usd <= cap_usd,
        fits_failures=None if cap_usd is None else high <= cap_usd,
        expected_s=expected_s,
        expected_from=expected_from,
    )


def _refit(config: Config, target: Target) -> FloatArray:
    """What one refit and its draw ask for: the entries of `_asked`."""
    device = _StandIn(target)
    options = config.prior.model_dump() | {"updates": _fewest_updates(config.prior)}
    latent = np.random.default_rng(config.seed).integers(0, 2, (config.prior.target_images, config.prior.n_bits))
    with Store.open() as store:
        runner = Runner(device, store=store, run="estimate", seed=config.seed)
        prior = open_prior(**options, seed=config.seed, runner=runner)
        prior.refit(latent.astype(np.uint8), tag="refit")
        refit = list_jobs(store)
        fit_s, device.busy_s = device.busy_s, 0.0
        prior.sample(config.prior.shots, tag="pool")
        draw = list_jobs(store)[len(refit) :]
    # An update has a tag of its own, below that of the machine that it belongs to.
    machines = Counter(tag.rpartition("/")[0] for tag in {job.tag for job in refit})
    made = max(machines.values(), default=1)
    return _asked(refit, fit_s) * config.prior.updates / made + _asked(draw, device.busy_s)


def _fewest_updates(prior: PriorConfig) -> int:
    """So many tell of all: exact gradients take no shots, and COBYLA begins with a simplex."""
    if prior.gradient == "exact":
        return 0
    return prior.updates if prior.optimizer == "cobyla" else min(1, prior.updates)


def _asked(jobs: Sequence[Job], device_s: float) -> FloatArray:
    """Submissions, rounds of waiting for them, circuits, shots, US dollars, seconds of the device; float64 (6,)."""
    at_once = Patience().max_in_flight
    rounds = sum(-(-n // at_once) for n in Counter(job.tag for job in jobs).values())
    circuits = sum(job.n_circuits for job in jobs)
    shots = sum(job.shots * job.n_circuits for job in jobs)
    return np.array([len(jobs), rounds, circuits, shots, sum(job.usd or 0.0 for job in jobs), device_s])


class _StandIn(Simulator):
    """A device with another one's facts, which reads zeros."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = replace(target, kind="emulator", dedupe="key", seedable=True)
        self.busy_s = 0.0

    def sample(self, batch: Sequence[NativeCircuit], shots: int, seed: int) -> list[Counts]:
        self.busy_s += run_s(self.target, [circuit.program for circuit in batch], shots) or 0.0
        return [Counts(c.n_qubits, np.zeros(1, np.int64), np.array([shots])) for c in batch]

    def probabilities(self, batch: Sequence[NativeCircuit]) -> list[FloatArray]:
        return [np.full(2**circuit.n_qubits, 0.5**circuit.n_qubits) for circuit in batch]
