import random
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from qcaan.circuits.circuit import Circuit, theta
from qcaan.circuits.simulate import Engine
from qcaan.execution import Budget, Request, Result, Runner, ScriptedBackend, actions, jobs
from qcaan.execution.backend import Backend, Counts, Simulator, Target
from qcaan.execution.policy import Clock, Patience
from qcaan.execution.store import Store


@dataclass
class FakeTime:
    """A clock that only moves when somebody sleeps."""

    now: float = 1_000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self, seed: int = 0) -> Clock:
        return Clock(self, self.sleep, random.Random(seed))


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Ctrl-C interrupts, also where tests run in the background of a shell, which has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def workers() -> int:
    """One: calls are made in place, in a known order. Tests that do not care take several."""
    return 1


@pytest.fixture
def patience(workers: int) -> Patience:
    """Short enough that a fault is over in a few steps of a fake clock."""
    return Patience(
        create_s=60,
        wait_s=1000,
        download_s=30,
        late_s=20,
        settle_s=5,
        submits_per_s=1e6,
        requests_per_s=1e6,
        workers=workers,
    )


@pytest.fixture
def bell() -> Circuit:
    return Circuit(2).h(0).cx(0, 1)


@pytest.fixture
def tilted() -> Circuit:
    """One parameter, three qubits with different marginals."""
    return Circuit(3).ry(theta[0], 0).ry(0.5, 1).cx(0, 2)


class Sampler(Simulator):
    """The smallest simulator; counts how often it is asked."""

    def __init__(self, **facts: object) -> None:
        super().__init__()
        values: dict[str, object] = {
            "name": "sampler",
            "device": "here",
            "kind": "simulator",
            "n_qubits": 10,
            "native_gates": ("gpi", "gpi2", "ms"),
            "max_circuits": 100,
            "dedupe": "key",
            "seedable": True,
            "exact": True,
        }
        self.target = Target(**values | facts)
        self.asked = 0

    def sample(self, batch, shots, seed):
        self.asked += 1
        rng = np.random.default_rng(seed)
        rows = [rng.multinomial(shots, p / p.sum()) for p in self.probabilities(batch)]
        kept = [np.flatnonzero(row) for row in rows]
        return [Counts(c.n_qubits, k, row[k]) for c, k, row in zip(batch, kept, rows, strict=True)]

    def probabilities(self, batch):
        return [Engine(c.program).probabilities(c.angles[None])[0] for c in batch]


@pytest.fixture
def sampler() -> Callable[..., Sampler]:
    return Sampler


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    where = {"memory": lambda: ":memory:", "sqlite": lambda: tmp_path / "store.sqlite"}
    where["postgres"] = lambda: request.getfixturevalue("postgres_url")
    with Store.open(where[request.param]()) as opened:
        yield opened


@pytest.fixture
def memory() -> Iterator[Store]:
    with Store.open() as opened:
        yield opened


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store.sqlite") as opened:
        yield opened


@pytest.fixture
def scripted(fake_time: FakeTime) -> Callable[..., ScriptedBackend]:
    """Makes a device on the fake clock that does what the faults say."""
    return lambda *faults, **options: ScriptedBackend(clock=fake_time, faults=faults, **{"kind": "emulator"} | options)


@pytest.fixture
def go(memory: Store, fake_time: FakeTime, patience: Patience) -> Callable[..., list[list[Result]]]:
    """Runs three circuits, a submission each, under run "a" and tag "t"; `go.states()` is where they are then."""
    memory.clock = fake_time
    three = [Request(Circuit(2).ry(theta[0], 0).cx(0, 1), 50, [[0.3], [0.7], [1.1]])]

    def run(
        device: Backend, tag: str = "t", wanted: Sequence[Request] = three, **options: object
    ) -> list[list[Result]]:
        defaults = {"store": memory, "run": "a", "seed": 1, "budget": Budget(1000), "patience": patience}
        return Runner(device, **defaults | {"clock": fake_time.clock()} | options).run(wanted, tag=tag)

    run.states = lambda: [s.state for s in memory.call("a", "t").submissions]
    run.patience = patience
    return run


@pytest.fixture
def killed_in_submit(go: Callable[..., object]) -> Callable[..., None]:
    """`killed_in_submit(device, accepted=...)`: the process of `go` dies in its first submit, which arrived or not."""

    class Killed(BaseException):
        pass

    def run(device: ScriptedBackend, *, accepted: bool) -> None:
        whole = device.submit

        def submit(*given: object) -> None:
            if accepted:
                whole(*given)
            raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(device, "submit", submit)
            with pytest.raises(Killed):
                go(device)

    return run


@pytest.fixture(scope="session")
def person_decides() -> Callable[[Store, ScriptedBackend], None]:
    """What a person does who is asked: look at the provider's list of jobs, give up what was cancelled."""

    def decide(store: Store, device: ScriptedBackend) -> None:
        for job in jobs.list_jobs(store):
            if job.state == "cancelled":
                actions.release(store, job.key)
            elif job.state == "sending" and (number := device.job_of(job.key)):
                actions.adopt(store, job.key, number)
            elif job.state == "sending":
                actions.release(store, job.key)

    return decide
