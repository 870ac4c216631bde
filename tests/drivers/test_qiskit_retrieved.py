"""Qiskit devices whose jobs are looked up again by their ids: qiskit-ionq at the loopback service; errors by class."""

import json
import sys
from functools import partial
from types import SimpleNamespace

import pytest
import requests

from backends.adapters.qiskit_device import QiskitDevice, open_qiskit
from backends.adapters.qiskit_errors import translated
from backends.loopback.candidate import LoopbackFake
from backends.loopback.ionq import Loopback
from backends.loopback.ionq.candidate import OPERATIONS
from qcaan import errors
from qcaan.circuits.native import NativeCircuit
from qcaan.conformance import Candidate, check
from qcaan.execution.backend import Failed, JobStatus

# qiskit-ionq warns of a default of Qiskit's own transpile function, which is not used here; of what it tries again by
# itself; and of jobs that are cancelled.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Transpiler default optimization_level", "ignore:Retrying", "ignore:Unable to retrieve result"
)
MODULE = """
from qiskit_aer import AerSimulator

def ionq(device, gateset):
    from qiskit_ionq import IonQProvider
    return IonQProvider().get_backend(device, gateset=gateset)

JOBS = {}

class Remembering(AerSimulator):
    def run(self, circuits, **options):
        job = super().run(circuits, **options)
        JOBS[job.job_id()] = job
        return job

def job_of(job_id):
    if job_id not in JOBS:
        raise KeyError(job_id)
    return JOBS[job_id]
"""
FORTE = {"factory": "retrieving_lab:ionq", "arguments": {"device": "ionq_qpu.forte-1", "gateset": "native"}}
NATIVE = {
    "factory": "retrieving_lab:ionq",
    "arguments": {"device": "ionq_simulator", "gateset": "native"},
    "kind": "simulator",
}
ABSTRACT = NATIVE | {"arguments": {"device": "ionq_simulator", "gateset": "qis"}}

REMEMBERED = {"factory": "retrieving_lab:Remembering", "retrieve": "retrieving_lab:job_of", "kind": "simulator"}


def done(backend, batch):
    """The id of a job that has ended."""
    job_id = backend.submit(batch, 50, "a" * 64)
    while backend.poll(job_id).status is not JobStatus.DONE:
        pass
    return job_id


@pytest.fixture
def ended(lab):
    """A device, a job of two circuits that is done, and the circuits."""
    backend = open_qiskit(**REMEMBERED, max_circuits=2)
    batch = [NativeCircuit.build(3, ("gpi", [0], [0.4])), NativeCircuit.build(1)]
    return backend, done(backend, batch), batch


@pytest.fixture(autouse=True)
def lab(tmp_path, monkeypatch):
    (tmp_path / "retrieving_lab.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "retrieving_lab", raising=False)


@pytest.fixture(scope="module")
def service():
    with Loopback(noise="none") as running:
        yield running


@pytest.fixture
def ionq(service, only_loopback, monkeypatch):
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    service.set_faults([])
    return service


# A good driver fails with probability 0.001 at most; IonQ's own random numbers are the service's, whose seed is fixed.
@pytest.mark.parametrize(
    ("options", "gates", "compiler"),
    [
        (FORTE, ("gpi", "gpi2", "zz"), ""),
        (NATIVE, ("gpi", "gpi2", "ms"), ""),
        (ABSTRACT | {"max_circuits": 5}, ("gpi", "gpi2", "zz"), "Qiskit"),
    ],
    ids=["a computer", "native simulator", "simulator, several circuits a job"],
)
def test_the_kit_says_yes_to_qiskit_ionq(ionq, options, gates, compiler):
    target = open_qiskit(**options).target
    assert (target.native_gates, target.recompiled_by[:6], target.dedupe) == (gates, compiler, "none")
    assert target.kind == options.get("kind", "qpu")
    candidate = Candidate(open=partial(open_qiskit, **options), fake=LoopbackFake(ionq, OPERATIONS))
    verdict = check(candidate, tiers=["offline", "semantic"])
    assert verdict.passed, verdict.report()


def test_what_it_does_about_faults(ionq):
    candidate = Candidate(open=partial(open_qiskit, **NATIVE), fake=LoopbackFake(ionq, OPERATIONS))
    verdict = check(candidate, tiers=["fault"])
    # IonQ's client asks a second time by itself for a reply that is cut off, and reads it whole.
    assert [c.name for c in verdict.wrong] == ["fetch: truncated"], verdict.report()


def test_a_function_of_a_job_id_makes_any_backend_a_remote_one():
    options = REMEMBERED
    backend, other = open_qiskit(**options), open_qiskit(**options)
    assert isinstance(backend, QiskitDevice)
    batch = [NativeCircuit.build(3, ("gpi", [0], [0.4]))]
    job_id = done(backend, batch)
    assert other.poll(job_id).status is JobStatus.DONE
    (counts,) = other.decode(other.fetch(job_id), batch)
    assert counts.to_dict() == {"100": 50}
    other.cancel(job_id)
    assert other.poll(job_id).status is JobStatus.DONE


def test_a_circuit_that_failed_alone_leaves_the_others_their_shots(ended):
    backend, job_id, batch = ended
    reply = json.loads(backend.fetch(job_id))
    reply["success"] = False
    reply["results"][1] |= {"success": False, "status": "the ions were lost"}
    one, other = backend.decode(json.dumps(reply).encode(), batch)
    assert one.to_dict() == {"100": 50}
    assert other == Failed("the ions were lost")


def test_a_reply_without_results_is_no_reply(ended):
    backend, job_id, batch = ended
    reply = json.loads(backend.fetch(job_id)) | {"success": False, "status": "lost", "results": []}
    with pytest.raises(errors.IntegrityError, match="0 results for 2 circuits: lost"):
        backend.decode(json.dumps(reply).encode(), batch)


def test_a_status_that_qiskit_does_not_have_is_no_queue(ended):
    """A job would otherwise be waited for without end."""
    backend, job_id, _ = ended
    backend._job = lambda job_id: SimpleNamespace(status=lambda: "COMPLETED")
    with pytest.raises(errors.IntegrityError, match="status 'COMPLETED', known are"):
        backend.poll(job_id)


def test_a_price_is_the_users_word():
    options = REMEMBERED | {"kind": None, "per_shot_usd": 0.02}
    target = open_qiskit(**options).target
    assert (target.kind, target.price.per_shot_usd) == ("qpu", 0.02)


def test_a_sampler_cannot_be_retrieved_from():
    with pytest.raises(errors.ConfigError, match="jobs are retrieved from a BackendV2"):
        open_qiskit(factory="qiskit.primitives:StatevectorSampler", retrieve="retrieving_lab:job_of")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, errors.TransientError),
        (400, errors.RejectedError),
        (401, errors.CredentialsError),
        (402, errors.UnavailableError),
        (403, errors.RejectedError),
        (404, errors.UnknownJobError),
        (408, errors.TransientError),
        (409, errors.TransientError),
        (424, errors.UnavailableError),
        (429, errors.ThrottledError),
        (500, errors.TransientError),
        (503, errors.TransientError),
    ],
)
def test_errors_are_ours_by_their_status(status, kind):
    from qiskit_ionq.exceptions import IonQAPIError

    response = requests.Response()
    response.status_code = status
    for error in (IonQAPIError("no", status, {}, "", ""), requests.HTTPError("no", response=response)):
        with pytest.raises(kind) as caught, translated():
            raise error
        assert type(caught.value) is kind
        assert caught.value.__cause__ is error


def test_errors_without_a_status_are_ours_by_their_kind():
    from qiskit.exceptions import QiskitError
    from qiskit_ionq import exceptions

    cases = [
        (requests.ConnectionError("gone"), errors.TransientError),
        (requests.Timeout("late"), errors.TransientError),
        (requests.exceptions.ChunkedEncodingError("cut"), errors.TransientError),
        (requests.exceptions.JSONDecodeError("cut", "{", 1), errors.TransientError),
        (requests.exceptions.InvalidURL("no host"), errors.RejectedError),
        (exceptions.IonQCredentialsError("no key"), errors.CredentialsError),
        (exceptions.IonQJobFailureError("lost ions"), errors.JobFailedError),
        (exceptions.IonQJobTimeoutError("late"), errors.TransientError),
        (QiskitError("no"), errors.RejectedError),
    ]
    wrapped = QiskitError("the provider's own class")
    wrapped.__cause__ = requests.ConnectionError("gone")
    cases.append((wrapped, errors.TransientError))
    for error, kind in cases:
        with pytest.raises(errors.BackendError) as caught, translated():
            raise error
        assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("no job id in the reply"), errors.TransientError),
        (TypeError("'NoneType' object is not subscriptable"), errors.TransientError),
        (requests.exceptions.MissingSchema("no address"), errors.RejectedError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_an_error_while_sending_is_a_refusal_only_if_nothing_left(error, kind):
    with pytest.raises(errors.BackendError) as caught, translated(sending=True):
        raise error
    assert type(caught.value) is kind
