"""A sweep on a real Ray cluster of two nodes, one of which is killed, with a paid device and PostgreSQL."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml
from ray.cluster_utils import Cluster as RayCluster

from qcaan.errors import ConfigError
from qcaan.execution.jobs import costs, list_jobs
from qcaan.execution.scripted import ScriptedBackend
from qcaan.execution.store import Store
from qcaan.learn import checkpoint
from qcaan.learn.sweep import Cluster, Plan, PointState, Sweep, conduct
from qcaan.learn.sweep.engine import run_point

SMALL = {
    "prior": {"n_qubits": 2, "n_layers": 1, "gradient": "spsa", "shots": 20, "refresh_every": 4, "updates": 1}
    | {"target_images": 16},
    "gan": {"channels": 2},
    "train": {"max_steps": 12, "batch_size": 8, "log_every": 1, "checkpoint_every": 2, "scores": False},
    "budget": {"cap_usd": 1000},
}
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
# Ray leaves sockets and pipes of the processes that it started to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The scripted device is a backend that this process and those of a cluster can open by its name."""
    folder = tmp_path_factory.mktemp("plugin")
    facts = folder / "qcaan_scripted-0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: qcaan-scripted\nVersion: 0\n")
    entry = "[qcaan.backends]\nscripted = qcaan.execution.scripted:ScriptedBackend\n"
    (facts / "entry_points.txt").write_text(entry)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield


@pytest.fixture
def cluster(scripted: None) -> Iterator[RayCluster]:
    """Of one node, to which others may be added."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = RayCluster(initialize_head=True, head_node_args=NODE)
        yield made
        made.shutdown()


def sweep(folder: Path, store: str | None) -> Sweep:
    """Three seeds, each on a device of its own, so that no seed's shots depend on when the others are run."""
    folder.mkdir()
    variants = {f"{s}": {"seed": s, "backend.path": str(folder / f"device-{s}.sqlite")} for s in (1, 2, 3)}
    options = {"name": "scripted", "n_qubits": 2, "max_circuits": 100, "queue_s": 0.2, "account": "lab"}
    tree = SMALL | {"backend": options} | ({"store": {"url": store}} if store else {})
    (folder / "plan.yaml").write_text(yaml.safe_dump({"config": tree, "variants": variants}))
    return Sweep.create(Plan.load(folder / "plan.yaml"), folder / "out")


def children(pid: int) -> list[int]:
    """All below a process (Linux)."""
    own: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):  # it ends
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            own.extend(map(int, task.read_text().split()))
    return own + [below for child in own for below in children(child)]


def test_a_node_that_is_killed_loses_no_run_and_pays_for_nothing_twice(
    cluster: RayCluster, postgres_url: str, tmp_path: Path
) -> None:
    second = cluster.add_node(**NODE)
    cluster.wait_for_nodes()
    disturbed = sweep(tmp_path / "disturbed", postgres_url)
    killed = []

    def kill_once(states: Sequence[PointState]) -> None:
        if not killed and sum(state.step >= 4 and state.usd > 0 for state in states) == 2:
            raylet = second.all_processes["raylet"][0].process.pid
            killed.extend(children(raylet))
            for pid in (*killed, raylet):
                with suppress(ProcessLookupError):  # it ended by itself
                    os.kill(pid, signal.SIGKILL)

    engine = Cluster(cluster.address)
    states = conduct(disturbed.points, budget=disturbed.budget, engine=engine, report=kill_once)
    assert [(state.state, state.error) for state in states] == [("done", "")] * 3
    assert killed
    assert sorted(state.deaths for state in states) == [0, 0, 1]

    alone = sweep(tmp_path / "alone", None)
    for point in alone.points:
        run_point(point.config, point.path, alone.budget)
    needed = 0
    with Store.open(postgres_url) as store:
        jobs = list_jobs(store)
        ledger = {cost.run: cost.usd + cost.usd_reserved for cost in costs(store)}
    for mine, undisturbed, state in zip(disturbed.points, alone.points, states, strict=True):
        found, expected = (checkpoint.latest(p.path / "checkpoints")[0] for p in (mine, undisturbed))
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[name], expected[name]) for name in found)
        device, quiet = (ScriptedBackend(path=p.config.backend.options["path"]) for p in (mine, undisturbed))
        assert set(device.keys().values()) == {1}
        assert device.n_jobs == quiet.n_jobs
        assert device.bill_usd == pytest.approx(quiet.bill_usd)
        assert state.usd == pytest.approx(device.bill_usd)
        needed += quiet.n_jobs
        ledger["bill"] = ledger.get("bill", 0.0) - device.bill_usd
    assert sum(ledger.values()) == pytest.approx(0.0, abs=1e-9)
    assert len(jobs) == needed
    assert {job.state for job in jobs} == {"done"}


def test_several_nodes_need_a_database_server(cluster: RayCluster, tmp_path: Path) -> None:
    cluster.add_node(**NODE)
    cluster.wait_for_nodes()
    points = sweep(tmp_path / "s", None).points
    with pytest.raises(ConfigError, match=r"2 nodes.*PostgreSQL"):
        conduct(points, budget="b", engine=Cluster(cluster.address))
    assert not points[0].path.exists()


def test_a_missing_ray_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'qcaan\[ray\]'"):
        Cluster()
