"""What a training run would ask of its device, and what that would cost, before anything is sent.

Why it runs refits for real, against a stand-in with the device's facts: the submissions are then planned, split and
priced by the code that will send them, for every kind of prior and every gradient estimator.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import NativeCircuit
from qcaan.config import Config
from qcaan.execution.backend import Counts, Simulator, Target
from qcaan.execution.jobs import list_jobs
from qcaan.execution.policy import Patience
from qcaan.execution.registry import open_backend
from qcaan.execution.runner import Runner
from qcaan.execution.store import Store
from qcaan.learn.data import load
from qcaan.learn.priors import open_prior
from qcaan.learn.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class RunEstimate:
    """Of a whole run. `usd_high`: every circuit runs as often as a failure is tried again, paid for each time."""

    backend: str
    device: str
    refits: int
    submissions: int
    circuits: int
    shots: int
    usd_low: float
    usd_high: float


def estimate_run(config: Config) -> RunEstimate:
    """Opens the backend for its facts, and sends nothing.

    Raises:
        ConfigError, TargetError: the run could not start.
    """
    target = open_backend(config.backend.name, **config.backend.options).target
    schedule = Schedule.of(config, len(load(config.data.name).train))
    with Store.open() as store:
        runner = Runner(_StandIn(target), store=store, run="estimate", seed=config.seed)
        prior = open_prior(**config.prior.model_dump(), seed=config.seed, runner=runner)
        latent = np.random.default_rng(config.seed).integers(0, 2, (config.prior.target_images, prior.n_bits))
        totals = []
        for refit in range(min(2, schedule.n_refits)):  # the first may calibrate, every later one is like the second
            prior.refit(latent.astype(np.uint8), tag=f"{refit}/refit")
            prior.sample(config.prior.shots, tag=f"{refit}/pool")
            jobs = list_jobs(store)
            shots = [job.shots * job.n_circuits for job in jobs]
            totals.append(np.array([len(jobs), sum(job.n_circuits for job in jobs), sum(shots), _usd(store)]))
    submissions, circuits, n_shots, usd = totals[0] + (schedule.n_refits - 1) * (totals[-1] - totals[0])
    return RunEstimate(
        backend=target.name,
        device=target.device,
        refits=schedule.n_refits,
        submissions=int(submissions),
        circuits=int(circuits),
        shots=int(n_shots),
        usd_low=float(usd),
        usd_high=float(usd) * Patience().attempts,
    )


def _usd(store: Store) -> float:
    return sum(job.usd or 0.0 for job in list_jobs(store))


class _StandIn(Simulator):
    """A device with another one's facts, on which every outcome is as likely as any other."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.target = replace(target, kind="simulator", dedupe="key", seedable=True)

    def sample(self, batch: Sequence[NativeCircuit], shots: int, seed: int) -> list[Counts]:
        rng = np.random.default_rng(seed)
        return [Counts.from_outcomes(c.n_qubits, rng.integers(0, 2**c.n_qubits, shots)) for c in batch]

    def probabilities(self, batch: Sequence[NativeCircuit]) -> list[FloatArray]:
        return [np.full(2**circuit.n_qubits, 0.5**circuit.n_qubits) for circuit in batch]
