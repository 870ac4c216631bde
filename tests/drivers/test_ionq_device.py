"""The driver against answers of IonQ in every documented form: facts, prices, states, results, listings."""

import json
import math

import pytest

from backends.ionq.device import IonqDevice
from backends.ionq.encode import KEY
from qcaan.circuits.native import NativeCircuit
from qcaan.errors import (
    ConfigError,
    IntegrityError,
    LateError,
    RejectedError,
    TransientError,
    UnavailableError,
    UnknownJobError,
)
from qcaan.execution.backend import JobStatus, Price, Target
from qcaan.execution.registry import available_backends

ONE = NativeCircuit.build(1, ("gpi", [0], [0.0]))
BACKEND = {
    "backend": "qpu.forte-1",
    "status": "available",
    "qubits": 36,
    "average_queue_time": 1,
    "last_updated": "2026-05-01T00:00:00Z",
    "characterization_id": "c-1",
    "supported_native_gates": ["gpi", "gpi2", "zz"],
    "supported_error_mitigations": ["debiasing"],
}
CHARACTERIZATION = {
    "id": "c-1",
    "date": "2026-05-01T00:00:00Z",
    "connectivity": [[a, b] for a in range(36) for b in range(a)],
    "fidelity": {"spam": {"median": 0.9956}, "1q": {"median": 0.9999}, "2q": {"median": 0.9925}},
    "timing": {"readout": 2e-4, "reset": 5e-5, "1q": 1.3e-4, "2q": 9.7e-4},
}
JOB = {"id": "j", "status": "completed", "backend": "qpu.forte-1"}


class Answers:
    """IonQ's answers by path; queries are kept."""

    def __init__(self, **answers):
        self.answers = {
            "/whoami": {"key_id": "k", "key_name": "n", "project_id": "p"},
            "/backends/qpu.forte-1": BACKEND,
            "/backends/qpu.forte-1/characterizations/c-1": CHARACTERIZATION,
            "/jobs/estimate": lambda query: {
                "estimated_total_cost": max(10.0, 0.05 * query["shots"]),
                "estimated_unit": "usd",
            },
        } | answers
        self.asked = []

    def get(self, path, doing, *, missing=RejectedError, query=None):
        self.asked.append((path, dict(query or {})))
        if path not in self.answers:
            raise missing(f"{doing}: HTTP 404: nothing there")
        answer = self.answers[path]
        answer = answer(query) if callable(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, str) else json.dumps(answer)

    fact = get

    def post(self, path, body, doing):
        self.asked.append((path, json.loads(body)))
        return self.answers["POST"]

    def put(self, path, doing, *, missing):
        return self.get(path, doing, missing=missing)


def device(answers=None, **options):
    made = IonqDevice(**{"device": "forte-1"} | options)
    made.__dict__["_client"] = Answers() if answers is None else answers
    return made


class TestTarget:
    def test_a_computer(self):
        target = device().target
        assert (target.device, target.kind, target.n_qubits) == ("qpu.forte-1", "qpu", 36)
        assert target.native_gates == ("gpi", "gpi2", "zz")
        assert target.connectivity is None
        assert (target.min_shots, target.max_shots, target.max_circuits) == (100, 5000, 100)
        assert (target.returns, target.dedupe, target.max_gate_shots) == ("probabilities", "search", 1_000_000)
        assert target.calibration == "2026-05-01T00:00:00Z c-1"
        assert target.account == "ionq p"
        assert target.figures.two_qubit_fidelity == 0.9925
        assert target.figures.readout_s == 2.5e-4
        assert Target.from_json(target.to_json()) == target

    def test_the_entangler_is_the_device_s(self):
        facts = BACKEND | {"backend": "qpu.aria-1", "supported_native_gates": ["gpi", "gpi2", "ms"]}
        answers = Answers(**{"/backends/qpu.aria-1": facts | {"characterization_id": None}})
        target = device(answers, device="qpu.aria-1").target
        assert target.native_gates == ("gpi", "gpi2", "ms")
        assert (target.figures, target.calibration) == (None, "")

    def test_the_price_of_a_shot_bounds_every_job(self):
        """The minimum of a job counts where shots are few."""
        answers = Answers()
        assert device(answers, pulses=30, entanglers=20).target.price == Price(per_shot_usd=0.1)
        asked = [query for path, query in answers.asked if path == "/jobs/estimate"]
        assert [query["shots"] for query in asked] == [100, 5000]
        assert asked[0]["1q_gates"] == 30
        assert asked[0]["2q_gates"] == 20
        assert asked[0]["error_mitigation"] == "false"

    def test_debiasing(self):
        answers = Answers()
        target = device(answers, mitigation="debias").target
        assert (target.mitigation, target.min_shots) == ("debias", 500)
        assert answers.asked[-1][1]["error_mitigation"] == "true"

    def test_credits_need_a_rate(self):
        priced = {"/jobs/estimate": {"estimated_total_cost": 500, "estimated_unit": "credit"}}
        with pytest.raises(ConfigError, match="charged in credit.*usd_per_credit"):
            _ = device(Answers(**priced)).target
        assert device(Answers(**priced), usd_per_credit=0.1).target.price.per_shot_usd == pytest.approx(0.5)

    def test_pairs_that_are_not_connected(self):
        ladder = CHARACTERIZATION | {"connectivity": [[1, 0], [1, 2]], "fidelity": {"spam": {"median": 0.99}}}
        target = device(Answers(**{"/backends/qpu.forte-1/characterizations/c-1": ladder})).target
        assert target.connectivity == ((0, 1), (1, 2))
        assert target.figures is None

    def test_the_simulator_has_the_noise_of_a_computer(self):
        target = device(device="simulator").target
        assert (target.kind, target.device, target.n_qubits) == ("emulator", "simulator", 36)
        assert target.price == Price()
        assert target.max_circuits == 1  # a job has one seed for its noise
        assert target.figures.two_qubit_fidelity == 0.9925
        gone = device(device="simulator", noise_model="aria-2").target
        assert gone.native_gates == ("gpi", "gpi2", "ms")
        assert "typical figures" in gone.figures.source

    @pytest.mark.parametrize(
        ("facts", "error", "told"),
        [
            ({"status": "retired"}, ConfigError, "is retired"),
            ({"supported_native_gates": ["gpi", "cz"]}, ConfigError, "runs cz, gpi, but"),
            ({"supported_error_mitigations": []}, ConfigError, "does not offer it"),
            ({"qubits": "many"}, IntegrityError, "may have changed"),
        ],
    )
    def test_what_cannot_be_used(self, facts, error, told):
        answers = Answers(**{"/backends/qpu.forte-1": BACKEND | facts})
        with pytest.raises(error, match=told):
            _ = device(answers, mitigation="debias").target

    def test_a_member_that_is_missing_is_named(self):
        facts = {k: v for k, v in BACKEND.items() if k != "supported_native_gates"}
        with pytest.raises(IntegrityError, match=r"lacks supported_native_gates.*reply begins: \{"):
            _ = device(Answers(**{"/backends/qpu.forte-1": facts})).target

    def test_a_device_that_does_not_exist(self):
        with pytest.raises(ConfigError, match=r"look up qpu\.fort: HTTP 404"):
            _ = device(device="fort").target


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"noise_model": "forte-1"}, "noise_model='forte-1': forte-1 has noise of its own"),
        ({"device": "simulator", "noise_model": "ideal"}, "use the backend 'local'"),
        ({"device": "simulator", "noise_model": "nois"}, "use one of aria-1"),
        ({"device": "simulator", "mitigation": "debias"}, "the simulator has none"),
        ({"mitigation": "sharpen"}, "'none' or 'debias'"),
        ({"pulses": 0}, "option pulses=0"),
        ({"usd_per_credit": -1}, "option usd_per_credit=-1"),
    ],
)
def test_wrong_options(options, told):
    with pytest.raises(ConfigError, match=told):
        device(**options)


def test_it_is_listed():
    (info,) = [info for info in available_backends() if info.name == "ionq"]
    assert info.doc.startswith("IonQ's own cloud")
    assert set(info.options) >= {"device", "noise_model", "mitigation", "pulses", "entanglers", "url"}
    assert set(info.sdk) == {"requests"}
    assert info.install == ""


class TestSubmit:
    def test_the_id_is_ionq_s(self):
        answers = Answers(POST='{"id": "617a", "status": "ready", "session_id": null}')
        assert device(answers).submit([ONE], 100, "ab") == "617a"
        assert answers.asked[0][1]["metadata"][KEY] == "ab"

    @pytest.mark.parametrize("reply", ["", "<html>", "{}", '{"identity": 1}'])
    def test_a_reply_without_an_id_may_hide_a_job(self, reply):
        """The core then looks for it by its key before it sends anything again."""
        with pytest.raises(TransientError, match="create a job at qpu.forte-1"):
            device(Answers(POST=reply)).submit([ONE], 100, "ab")

    def test_a_circuit_that_costs_more_than_is_reserved_is_not_sent(self):
        answers = Answers()
        circuit = NativeCircuit.build(2, *[("gpi", [0], [0.0])] * 3, ("zz", [0, 1], [math.pi / 8]))
        with pytest.raises(RejectedError, match="circuit 1 has 3 pulses and 1 entanglers.*Nothing was sent"):
            device(answers, pulses=2).submit([ONE, circuit], 100, "ab")
        with pytest.raises(RejectedError, match="raise the options"):
            device(answers, pulses=3, entanglers=1).submit([NativeCircuit.build(2, *list(circuit) * 2)], 100, "ab")
        assert answers.asked == []


def poll(job, cost=None, **options):
    answers = Answers(**{"/jobs/j": JOB | job, "/jobs/j/cost": cost or {"cost": {"value": 1.5, "unit": "usd"}}})
    return device(answers, **options).poll("j")


class TestPoll:
    @pytest.mark.parametrize(
        ("told", "status"),
        [
            ("submitted", JobStatus.QUEUED),
            ("ready", JobStatus.QUEUED),
            ("started", JobStatus.RUNNING),
            ("running", JobStatus.RUNNING),
            ("completed", JobStatus.DONE),
            ("failed", JobStatus.FAILED),
            ("canceled", JobStatus.CANCELLED),
        ],
    )
    def test_states(self, told, status):
        state = poll({"status": told})
        assert state.status is status
        assert state.usd == (1.5 if told in ("completed", "failed", "canceled") else None)

    def test_a_failure_says_why(self):
        assert poll({"status": "failed", "failure": {"code": "X", "message": "y"}}).reason == "X: y"

    def test_a_failed_job_with_children_is_read(self):
        assert poll({"status": "failed", "child_job_ids": ["a", "b"]}).status is JobStatus.DONE

    @pytest.mark.parametrize(
        ("cost", "usd"),
        [
            ({"cost": {"value": 12, "unit": "USD"}}, 12.0),
            ({"cost": {"value": 12, "unit": "credit"}}, None),
            ({"estimated_cost": {"value": 12, "unit": "usd"}}, None),
            ({"cost": {"value": "twelve", "unit": "usd"}}, None),
            ({"cost": {"value": -12, "unit": "usd"}}, None),
            ({"cost": {"value": float("nan"), "unit": "usd"}}, None),
        ],
    )
    def test_what_it_cost(self, cost, usd):
        """None: the bound that was reserved is kept."""
        assert poll({}, cost).usd == usd

    @pytest.mark.parametrize(("told", "usd"), [("completed", None), ("failed", 0.0), ("canceled", 0.0)])
    def test_a_job_that_ran_did_not_cost_nothing(self, told, usd, caplog):
        """Its bill may be written later: what was reserved stays booked."""
        assert poll({"status": told}, {"cost": {"value": 0, "unit": "usd"}}).usd == usd
        assert ("the reserved price is kept" in caplog.text) == (usd is None)

    @pytest.mark.parametrize(
        "answer", [RejectedError("HTTP 403"), UnavailableError("HTTP 402"), UnavailableError("HTTP 423"), "<html>"]
    )
    def test_a_paid_result_does_not_wait_for_its_bill(self, answer):
        state = device(Answers(**{"/jobs/j": JOB, "/jobs/j/cost": answer})).poll("j")
        assert (state.status, state.usd) == (JobStatus.DONE, None)

    def test_credits_by_the_option_s_rate(self):
        assert poll({}, {"cost": {"value": 12, "unit": "credit"}}, usd_per_credit=0.5).usd == 6.0

    def test_a_status_that_is_new_is_named(self):
        with pytest.raises(IntegrityError, match=r"status 'paused', known are submitted.*left as it is.*begins: \{"):
            poll({"status": "paused"})

    def test_a_job_of_another_device(self):
        with pytest.raises(IntegrityError, match=r"is at qpu\.aria-1, not qpu\.forte-1"):
            poll({"backend": "qpu.aria-1"})

    def test_another_job_than_was_asked_for(self):
        with pytest.raises(IntegrityError, match="asked for job j, told of i"):
            poll({"id": "i"})

    def test_no_such_job(self):
        with pytest.raises(UnknownJobError):
            device().poll("j")


TABLE = {"0": 1}
SEVERAL = "results/probabilities/aggregated"


class TestFetch:
    @pytest.mark.parametrize(
        ("results", "path"),
        [
            ({"probabilities": {"url": f"/v0.4/jobs/j/{SEVERAL}"}}, SEVERAL),
            ({"ionq.result.probabilities-aggregate.json.v1": {"id": "art"}}, "artifacts/art"),
        ],
    )
    def test_both_forms_of_an_aggregate(self, results, path):
        job = JOB | {"child_job_ids": ["a"], "results": results}
        page = {"jobs": [{"id": "a", "status": "completed"}], "next": None}
        reply = json.loads(
            device(Answers(**{"/jobs/j": job, f"/jobs/j/{path}": {"a": TABLE}, "/jobs": page})).fetch("j")
        )
        assert json.loads(reply["aggregate"]) == {"a": TABLE}
        assert reply["results"] == {}

    @pytest.mark.parametrize("results", [None, {}, {"probabilities": {"url": "https://evil.example/x"}}, {"new": {}}])
    def test_without_one_each_child_is_read(self, results):
        job = JOB | {"child_job_ids": ["a", "b"], "results": results}
        page = {"jobs": [{"id": "a", "status": "completed"}], "next": None}
        answers = Answers(
            **{
                "/jobs/j": job,
                "/jobs": page,
                "/jobs/b": {"id": "b", "status": "failed"},
                "/jobs/a/results/probabilities": TABLE,
            }
        )
        reply = json.loads(device(answers).fetch("j"))
        assert reply["results"] == {"a": '{"0": 1}'}
        assert [json.loads(text).get("id") for text in reply["children"]] == [None, "b"]

    @pytest.mark.parametrize("status", ["started", "ready"])
    def test_a_child_that_still_runs_is_waited_for(self, status):
        """Its parent has failed already."""
        job = JOB | {"status": "failed", "child_job_ids": ["a"]}
        page = {"jobs": [{"id": "a", "status": status}], "next": None}
        with pytest.raises(LateError, match="its children a have not"):
            device(Answers(**{"/jobs/j": job, "/jobs": page})).fetch("j")

    @pytest.mark.parametrize("text", ['{"0": 0.5', "", "[1]"])
    def test_a_result_that_is_not_whole_is_late(self, text):
        answers = Answers(**{"/jobs/j": JOB, "/jobs/j/results/probabilities": text})
        with pytest.raises(LateError, match="is not whole"):
            device(answers).fetch("j")

    def test_a_result_that_is_not_there_is_late(self):
        with pytest.raises(LateError, match="404"):
            device(Answers(**{"/jobs/j": JOB})).fetch("j")


class TestCancel:
    @pytest.mark.parametrize(("status", "asked"), [("ready", 2), ("started", 2), ("completed", 1), ("canceled", 1)])
    def test_a_job_that_has_ended_is_left_alone(self, status, asked):
        """IonQ cancels a completed job too, and its result is then gone."""
        answers = Answers(**{"/jobs/j": JOB | {"status": status}, "/jobs/j/status/cancel": {}})
        device(answers).cancel("j")
        assert len(answers.asked) == asked
