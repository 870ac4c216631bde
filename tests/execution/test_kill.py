"""Real processes and a real SIGKILL, before and after every durable step and every call to the device."""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from qcaan.circuits.circuit import Circuit, theta
from qcaan.execution import Request, Runner, ScriptedBackend, Store, jobs

WANTED = [Request(Circuit(1).ry(theta[0], 0), 20, [[0.4], [0.9]])]


@pytest.fixture(scope="module")
def victims():
    """Runs clients, each a process; returns how they ended."""
    script = Path(__file__).with_name("victim.py")
    process = subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def order(*orders):
        process.stdin.write(json.dumps(orders) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield order
    process.stdin.close()
    assert process.wait(120) == 0
    process.stdout.close()


@pytest.fixture
def memory_path(tmp_path):
    """A folder in memory if there is one: a process that dies loses nothing there, and nobody waits for a disk."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def scene(memory_path, victims):
    """A device and a store on disk, and a client that is killed at a step."""

    class Scene:
        where: str | Path = memory_path / "store.sqlite"
        device_path = memory_path / "device.sqlite"

        def order(self, dedupe="key", die_at=None, faults=(), run="a", cap_usd=100.0, workers=1):
            return {
                "store": str(self.where),
                "device": str(self.device_path),
                "dedupe": dedupe,
                "die_at": die_at,
                "faults": faults,
                "run": run,
                "cap_usd": cap_usd,
                "workers": workers,
            }

        def live(self, **options):
            (outcome,) = victims(self.order(**options))
            return outcome

        def check(self, n_jobs):
            device = ScriptedBackend(path=self.device_path)
            with Store.open(self.where) as store:
                assert set(device.keys().values()) == {1}
                assert device.n_jobs == n_jobs
                (cost,) = jobs.costs(store)
                assert cost.usd == pytest.approx(device.bill_usd)
                assert cost.usd_reserved == 0
                results = Runner(None, store=store, run="a", seed=1, policy="replay").run(WANTED, tag="t")
                assert [r.shots for r in results[0]] == [20, 20]

    return Scene()


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("dedupe", ["key", "search", "none"])
def test_killed_at_every_step(scene, person_decides, dedupe, when, workers, memory_path):
    blank = memory_path / "blank.sqlite"
    Store.open(blank).close()
    step = 0
    while True:
        step += 1
        scene.where = memory_path / f"store {step}.sqlite"
        scene.device_path = memory_path / f"device {step}.sqlite"
        shutil.copy(blank, scene.where)
        first = scene.live(dedupe=dedupe, die_at=[step, when], workers=workers)
        if not first["killed"]:
            assert first["error"] == ""
            assert step > first["steps"] > 8
            return
        second = scene.live(dedupe=dedupe, workers=workers)
        if dedupe == "none" and "UnknownFateError" in second["error"]:
            with Store.open(scene.where) as store:
                person_decides(store, ScriptedBackend(path=scene.device_path))
            second = scene.live(dedupe=dedupe, workers=workers)
        assert second == {"killed": False, "steps": second["steps"], "error": ""}, step
        scene.check(n_jobs=2)


@pytest.mark.parametrize("workers", [1, 4])
def test_killed_again_and_again_with_faults(scene, workers):
    faults = [["submit", 2, "lost"], ["fetch", 1, "late"], ["job", 1, "failed"], ["poll", 3, "error"]]
    for step in (3, 2, 4, 1, 3, 5):
        scene.live(dedupe="search", die_at=[step, "after"], faults=faults, workers=workers)
    assert scene.live(dedupe="search", faults=faults, workers=workers)["error"] == ""
    scene.check(n_jobs=3)


def test_killed_on_postgres(scene, postgres_url):
    scene.where = postgres_url
    for step in (1, 3, 2, 2, 3):
        assert scene.live(dedupe="search", die_at=[step, "after"])["killed"]
    assert scene.live(dedupe="search")["error"] == ""
    scene.check(n_jobs=2)


@pytest.mark.parametrize("where", ["sqlite", "postgres"])
def test_processes_that_share_a_budget_cannot_overspend(scene, victims, where, request):
    # Each run costs 2 * (0.3 + 20 * 0.08) = 3.8 USD; four runs want 15.2 of a shared 8.
    if where == "postgres":
        scene.where = request.getfixturevalue("postgres_url")
    Store.open(scene.where).close()
    orders = [scene.order(run=f"run {k}", cap_usd=8.0) | {"budget": "shared"} for k in range(4)]
    outcomes = victims(*orders)
    assert sorted(o["error"].partition(":")[0] for o in outcomes) == ["", "", "BudgetError", "BudgetError"]
    device = ScriptedBackend(path=scene.device_path)
    assert device.bill_usd == pytest.approx(7.6)


@pytest.mark.parametrize("where", ["sqlite", "postgres"])
def test_processes_that_run_the_same_call_send_it_once(scene, victims, where, request):
    if where == "postgres":
        scene.where = request.getfixturevalue("postgres_url")
    Store.open(scene.where).close()
    outcomes = victims(*[scene.order(dedupe="none")] * 3)
    assert [o["error"] for o in outcomes] == [""] * 3
    scene.check(n_jobs=2)
