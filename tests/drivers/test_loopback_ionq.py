"""The loopback service that speaks IonQ's API: what it accepts, what it tells, what survives a kill."""

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from backends.loopback import braket
from backends.loopback.errors import Refusal
from backends.loopback.faults import Kind, load_faults, read_faults
from backends.loopback.ionq import Loopback, environment
from backends.loopback.ionq.body import read_body
from backends.loopback.ionq.devices import DEVICES
from backends.loopback.ionq.jobs import VOCABULARY
from backends.loopback.physics import read_out
from qcaan.circuits import oracle
from qcaan.circuits.circuit import Circuit
from qcaan.cli import app
from qcaan.errors import ConfigError

NATIVE = {"gateset": "native", "qubits": 2, "circuit": [{"gate": "gpi", "target": 1, "phase": 0.0}]}
GOOD = {"type": "ionq.circuit.v1", "backend": "qpu.forte-1", "shots": 100, "input": NATIVE}
SEVERAL = {
    "type": "ionq.multi-circuit.v1",
    "backend": "qpu.forte-1",
    "shots": 100,
    "input": {"gateset": "native", "qubits": 2, "circuits": [{"name": "a", "circuit": NATIVE["circuit"]}] * 2},
}


@pytest.fixture(scope="module")
def running():
    with Loopback(noise="none") as made:
        yield made


@pytest.fixture
def service(running, only_loopback):
    running.set_faults([])
    return running


def ask(service, path, method="GET", body=None, key="some-key"):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"apiKey {key}"} if key else {})
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"{service.url}/v0.4{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def finished(service, body):
    status, made = ask(service, "/jobs", "POST", body)
    assert status == 201, made
    while ask(service, f"/jobs/{made['id']}")[1]["status"] in ("ready", "started"):
        time.sleep(0.01)
    return made["id"]


class TestFacts:
    def test_backends_need_no_key(self, service):
        status, told = ask(service, "/backends", key=None)
        assert (status, [one["backend"] for one in told]) == (200, list(DEVICES))
        forte = ask(service, "/backends/qpu.forte-1", key=None)[1]
        assert forte["supported_native_gates"] == ["gpi", "gpi2", "zz"]
        path = f"/backends/qpu.forte-1/characterizations/{forte['characterization_id']}"
        assert set(ask(service, path, key=None)[1]["fidelity"]) == {"spam", "1q", "2q"}
        assert len(ask(service, "/backends/qpu.forte-1/characterizations?limit=1")[1]["characterizations"]) == 1

    @pytest.mark.parametrize(
        ("path", "method", "key", "status"),
        [
            ("/jobs", "GET", None, 401),
            ("/whoami", "GET", "", 401),
            ("/whoami", "GET", "k", 200),
            ("/backends/qpu.harmony", "GET", "k", 404),
            ("/jobs/00000000-0000-0000-0000-000000000000", "GET", "k", 404),
            ("/nothing", "GET", "k", 404),
            ("/jobs", "DELETE", "k", 404),
            ("/jobs/estimate?backend=qpu.forte-1&shots=many", "GET", "k", 400),
        ],
    )
    def test_refusals(self, service, path, method, key, status):
        found, told = ask(service, path, method, key=key)
        assert found == status
        if status != 200:
            assert set(told) == {"statusCode", "error", "message"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"type": "ionq.circuit.v9"}, "type: 'ionq.circuit.v9'"),
        ({"backend": "qpu.tempo-1"}, "backend: 'qpu.tempo-1'"),
        ({"shots": 0}, "shots: 0"),
        ({"shot": 5}, "unknown members: shot"),
        ({"metadata": {"n": 5}}, "metadata: it holds texts only"),
        ({"settings": {"error_mitigation": {"debiasing": True}}}, "debiasing needs at least 500 shots"),
        ({"backend": "simulator", "noise": {"model": "loud"}}, "noise.model: 'loud'"),
        ({"input": None}, "input: it is missing"),
        ({"input": NATIVE | {"gateset": "other"}}, "the gateset 'other'"),
        ({"input": NATIVE | {"qubits": 1}}, "do not fit into 1"),
        (
            {"input": NATIVE | {"circuit": [{"gate": "ms", "targets": [0, 1], "phases": [0, 0]}]}},
            "'ms' is not a native",
        ),
        (
            {"input": NATIVE | {"circuit": [{"gate": "zz", "targets": [0, 1], "angle": 0.3}]}},
            "0.3 is not -0.25 to 0.25",
        ),
        ({"input": NATIVE | {"circuit": [{"gate": "zz", "targets": [0, 0], "angle": 0.1}]}}, "zz on the qubits"),
        ({"input": NATIVE | {"circuit": [{"gate": "gpi", "target": 0}]}}, "input: 'phase'"),
        ({"type": "ionq.multi-circuit.v1"}, "input: 'circuits'"),
        (SEVERAL | {"input": SEVERAL["input"] | {"circuit": []}}, "both circuit and circuits"),
    ],
)
def test_bodies_that_are_refused(change, told):
    with pytest.raises(Refusal, match=told) as caught:
        read_body(json.dumps(GOOD | change).encode())
    assert caught.value.status == 400


@pytest.mark.parametrize("text", [b"", b"[1]", b"\xff{"])
def test_bodies_that_are_no_object(text):
    with pytest.raises(Refusal, match="the body is not"):
        read_body(text)


@pytest.mark.parametrize("backend", ["qpu.forte-1", "qpu.aria-1", "simulator"])
def test_gates_of_the_set_qis_are_compiled(backend):
    gates = [
        {"gate": "h", "target": 0},
        {"gate": "rx", "target": 1, "rotation": 0.7},
        {"gate": "cnot", "control": 0, "target": 2},
        {"gate": "v", "targets": [1]},
        {"gate": "si", "target": 0},
        {"gate": "zz", "targets": [0, 1], "rotation": 0.4},
        {"gate": "x", "target": 1, "controls": [2]},
    ]
    body = read_body(json.dumps(GOOD | {"backend": backend, "input": {"gateset": "qis", "circuit": gates}}).encode())
    (program,) = body.programs
    readout = read_out(program.rows, range(program.n_qubits), program.flips, body.device.machine("none"))
    circuit = Circuit(3).h(0).rx(0.7, 1).cx(0, 2).sx(1).sdg(0).zz(0.4, 0, 1).cx(2, 1)
    np.testing.assert_allclose(readout.probabilities, oracle.probabilities(circuit, ()), atol=1e-9)


class TestJobs:
    def test_one_circuit(self, service):
        name = finished(service, GOOD | {"metadata": {"a": "b"}, "name": "one"})
        told = ask(service, f"/jobs/{name}")[1]
        assert (told["status"], told["metadata"], told["name"], told["shots"]) == ("completed", {"a": "b"}, "one", 100)
        assert told["settings"]["error_mitigation"] == {"debiasing": False}
        assert ask(service, told["results"]["probabilities"]["url"].removeprefix("/v0.4"))[1] == {"2": 1.0}
        assert ask(service, f"/jobs/{name}/artifacts/probabilities")[1] == {"2": 1.0}
        assert ask(service, f"/jobs/{name}/cost")[1]["cost"] == {"value": 1.0, "unit": "usd"}

    def test_jobs_of_500_shots_are_debiased_unless_they_say_no(self, service):
        name = finished(service, GOOD | {"shots": 500})
        assert ask(service, f"/jobs/{name}")[1]["settings"] == {"error_mitigation": {"debiasing": True}}

    def test_several_circuits(self, service):
        name = finished(service, SEVERAL)
        told = ask(service, f"/jobs/{name}")[1]
        one, other = told["child_job_ids"]
        assert ask(service, f"/jobs/{name}/results/probabilities/aggregated")[1] == {one: {"2": 1.0}, other: {"2": 1.0}}
        assert ask(service, f"/jobs/{name}/artifacts/probabilities-aggregate")[0] == 200
        child = ask(service, f"/jobs/{other}")[1]
        assert (child["parent_job_id"], child["name"], child["status"]) == (name, "a", "completed")
        listed = ask(service, f"/jobs?parent_job_id={name}")[1]
        assert [one["id"] for one in listed["jobs"]] == told["child_job_ids"]

    def test_the_ideal_simulator_ignores_shots(self, service):
        half = NATIVE | {"circuit": [{"gate": "gpi2", "target": 0, "phase": 0.0}]}
        name = finished(service, GOOD | {"backend": "simulator", "shots": 3, "input": half})
        assert ask(service, f"/jobs/{name}/results/probabilities")[1] == pytest.approx({"0": 0.5, "1": 0.5})
        assert "shots" not in ask(service, f"/jobs/{name}")[1]

    def test_a_completed_job_can_be_cancelled_away(self, service):
        """As at IonQ; the driver never does it."""
        name = finished(service, GOOD)
        assert ask(service, f"/jobs/{name}/status/cancel", "PUT") == (200, {"id": name, "status": "canceled"})
        assert ask(service, f"/jobs/{name}/results/probabilities")[0] == 404

    def test_lists_are_paged_and_filtered(self, service):
        for _ in range(3):
            finished(service, GOOD | {"backend": "qpu.forte-enterprise-1"})
        seen, query = [], ""
        while True:
            page = ask(service, f"/jobs?target=qpu.forte-enterprise-1&limit=2{query}")[1]
            seen += [job["backend"] for job in page["jobs"]]
            if page["next"] is None:
                break
            query = f"&next={page['next']}"
        assert seen == ["qpu.forte-enterprise-1"] * 3
        assert ask(service, "/jobs?limit=26")[0] == ask(service, "/jobs?next=x")[0] == 400
        assert {job["status"] for job in ask(service, "/jobs?status=completed")[1]["jobs"]} == {"completed"}


def test_what_is_told_survives_a_kill(tmp_path, only_loopback):
    with Loopback(tmp_path / "state", noise="none") as service:
        done = finished(service, SEVERAL)
        service.set_faults([{"kind": "slow_queue", "seconds": 1.0, "times": 1}])
        waiting = ask(service, "/jobs", "POST", GOOD)[1]["id"]
        before = ask(service, f"/jobs/{done}/results/probabilities/aggregated")
        service.restart()
        assert ask(service, f"/jobs/{done}/results/probabilities/aggregated") == before
        while ask(service, f"/jobs/{waiting}")[1]["status"] != "completed":
            time.sleep(0.02)
        assert service.bill_usd() == 3.0


def test_a_folder_serves_both_vendors(tmp_path, only_loopback):
    with Loopback(tmp_path) as service, braket.Loopback(tmp_path) as other:
        finished(service, GOOD)
        assert (len(service.jobs()), other.jobs()) == (1, [])
        with pytest.raises(ConfigError, match="another service has it open"), Loopback(tmp_path):
            pass


class TestFaults:
    def test_its_own_words(self, tmp_path):
        with pytest.raises(ConfigError, match="'no_idempotency' means nothing to this service"):
            read_faults([{"kind": "no_idempotency"}], "f", VOCABULARY)
        with pytest.raises(ConfigError, match="operation 'CreateQuantumTask' does not exist; known: "):
            read_faults([{"kind": "error", "operation": "CreateQuantumTask"}], "f", VOCABULARY)
        (tmp_path / "f.yaml").write_text("- {kind: failed, device: forte-1}\n")
        assert load_faults(tmp_path / "f.yaml", VOCABULARY)[0].device == "forte-1"

    def test_the_example_has_every_kind(self):
        path = Path(__file__).parents[2] / "examples" / "faults-ionq.yaml"
        in_force = {fault.kind for fault in load_faults(path, VOCABULARY)}
        commented = [line.removeprefix("# ") for line in path.read_text().splitlines() if line.startswith("# - {")]
        entries = [entry for line in commented for entry in yaml.safe_load(line)]
        rest = {fault.kind for fault in read_faults(entries, "", VOCABULARY)}
        assert in_force | rest == set(get_args(Kind)) - {"no_idempotency"}
        assert not in_force & rest

    def test_a_device_alone_is_hit(self, service):
        service.set_faults([{"kind": "failed", "device": "forte-1"}])
        states = {}
        for backend in ("qpu.forte-1", "qpu.forte-enterprise-1"):
            states[backend] = ask(service, f"/jobs/{finished(service, GOOD | {'backend': backend})}")[1]["status"]
        assert states == {"qpu.forte-1": "failed", "qpu.forte-enterprise-1": "completed"}

    def test_a_device_that_is_offline(self, service):
        service.set_faults([{"kind": "offline", "device": "forte-1", "times": 1}])
        assert ask(service, "/jobs", "POST", GOOD)[0] == 503
        assert ask(service, "/backends/qpu.forte-1")[1]["status"] == "unavailable"
        service.set_faults([])
        assert ask(service, "/backends/qpu.forte-1")[1]["status"] == "available"

    def test_one_key_alone(self, service):
        service.set_faults([{"kind": "expired_credentials", "access_key": "old"}])
        assert ask(service, "/whoami", key="old")[0] == 401
        assert ask(service, "/whoami", key="new")[0] == 200


def test_the_page_and_the_environment(service):
    with urllib.request.urlopen(f"{service.url}/loopback/state.json", timeout=10) as reply:
        assert json.loads(reply.read())["service"] == "IonQ"
    assert service.environment == environment(service.url)
    assert service.environment["IONQ_API_URL"] == f"{service.url}/v0.4"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{service.url}/v0.3/jobs", timeout=10)


def test_the_command_refuses_what_ionq_lacks(tmp_path, caplog):
    done = CliRunner().invoke(app, ["loopback", "ionq", "--state", str(tmp_path), "--program-sets"])
    assert done.exit_code == 2
    assert "IonQ has none" in caplog.text
