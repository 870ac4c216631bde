"""What IonQ is sent and what it answers: gates in turns, integers whose bit k is qubit k, children by name."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.ionq.encode import KEY, PROGRAM, SHOTS, digest, job
from backends.ionq.reply import decode_reply
from qcaan.circuits.native import NativeCircuit
from qcaan.errors import CircuitError, IntegrityError
from qcaan.execution.backend import Failed

TWO = NativeCircuit.build(2, ("gpi", [0], [0.5 * math.pi]), ("zz", [0, 1], [math.pi / 2]))
THREE = NativeCircuit.build(3, ("gpi2", [2], [math.pi]), ("ms", [0, 2], [0.0, math.pi, math.pi / 4]))
FORTE = "qpu.forte-1"
AGED = {"backend": FORTE, "status": "completed", "shots": 100}


def reply(batch, tables, *, children=True, failed=(), names=None, job=(), **parts):
    """A reply in IonQ's form: `tables` are the probabilities of each circuit, by integer."""
    ids = [f"child-{place}" for place in range(len(batch))] if children else None
    told = {"id": "parent", **AGED, "metadata": {PROGRAM: digest(batch), SHOTS: "100"}, "child_job_ids": ids}
    rows = [
        {"id": one, "name": (names or [str(k) for k in range(len(batch))])[k], "status": "completed"}
        | ({"status": "failed", "failure": failed[k]} if k in failed else {})
        for k, one in enumerate(ids or ())
    ]
    whole = {one: table for k, (one, table) in enumerate(zip(ids or (), tables, strict=False)) if k not in failed}
    made = {
        "job": json.dumps(told | dict(job)),
        "children": [json.dumps({"jobs": rows, "next": None})] if children else [],
        "results": {} if children else {"parent": json.dumps(tables[0])},
        "aggregate": json.dumps(whole) if children else "",
    }
    return json.dumps(made | parts).encode()


class TestEncode:
    def test_one_circuit_in_turns(self):
        body = json.loads(job([TWO], 200, "ab" * 32, backend=FORTE))
        assert body == {
            "type": "ionq.circuit.v1",
            "name": f"qcaan {'ab' * 32}",
            "backend": FORTE,
            "shots": 200,
            "metadata": {KEY: "ab" * 32, SHOTS: "200", PROGRAM: digest([TWO])},
            "input": {
                "gateset": "native",
                "qubits": 2,
                "circuit": [
                    {"gate": "gpi", "target": 0, "phase": 0.25},
                    {"gate": "zz", "targets": [0, 1], "angle": 0.25},
                ],
            },
            "settings": {"error_mitigation": {"debiasing": False}},
        }

    def test_several_circuits_are_one_job(self):
        body = json.loads(job([TWO, THREE], 500, "cd", backend="qpu.aria-1", mitigation="debias"))
        assert body["type"] == "ionq.multi-circuit.v1"
        assert (body["input"]["gateset"], body["input"]["qubits"]) == ("native", 3)
        assert [(one["name"], one["qubits"]) for one in body["input"]["circuits"]] == [("0", 2), ("1", 3)]
        assert body["input"]["circuits"][1]["circuit"] == [
            {"gate": "gpi2", "target": 2, "phase": 0.5},
            {"gate": "ms", "targets": [0, 2], "phases": [0.0, 0.5], "angle": 0.125},
        ]
        assert body["settings"] == {"error_mitigation": {"debiasing": True}}

    def test_the_simulator_s_noise_is_seeded_with_the_key(self):
        one, other = (json.loads(job([TWO], 1, key, backend="simulator", noise_model="forte-1")) for key in ("a", "b"))
        assert one["noise"]["model"] == "forte-1"
        assert one["noise"]["seed"] != other["noise"]["seed"]
        assert all(0 <= body["noise"]["seed"] < 2**31 for body in (one, other))
        assert "settings" not in one

    def test_an_angle_that_no_device_runs(self):
        with pytest.raises(CircuitError, match="compile the circuit"):
            job([NativeCircuit.build(2, ("zz", [0, 1], [2.0]))], 1, "a", backend=FORTE)

    def test_a_digest_tells_circuits_apart(self):
        other = NativeCircuit.build(2, ("gpi", [0], [0.5 * math.pi]), ("zz", [0, 1], [math.pi / 3]))
        assert len({digest([TWO]), digest([other]), digest([TWO, TWO]), digest([THREE])}) == 4


class TestBits:
    @settings(max_examples=60, deadline=None)
    @given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, 2**n - 1))))
    def test_bit_k_of_the_integer_is_qubit_k(self, case):
        n, outcome = case
        batch = [NativeCircuit.build(n, ("gpi", [0], [0.0]))]
        (counts,) = decode_reply(reply(batch, [{str(outcome): 1}], children=False), batch)
        assert counts.to_dict() == {"".join(str(outcome >> q & 1) for q in range(n)): 100}

    def test_counts_are_made_by_largest_remainder(self):
        (counts,) = decode_reply(reply([TWO], [{"0": 1 / 3, "1": 1 / 3, "3": 1 / 3}], children=False), [TWO])
        assert counts.to_dict() == {"00": 34, "10": 33, "11": 33}
        assert counts.reconstructed
        assert counts.shots == 100

    def test_a_small_circuit_beside_a_large_one(self):
        one, other = decode_reply(reply([TWO, THREE], [{"1": 1.0}, {"4": 1.0}]), [TWO, THREE])
        assert (one.to_dict(), other.to_dict()) == ({"10": 100}, {"001": 100})


class TestChildren:
    def test_they_are_found_by_name(self):
        data = reply([TWO, THREE], [{"4": 1.0}, {"1": 1.0}], names=["1", "0"])
        one, other = decode_reply(data, [TWO, THREE])
        assert (one.to_dict(), other.to_dict()) == ({"10": 100}, {"001": 100})

    def test_without_names_by_their_place(self):
        one, other = decode_reply(reply([TWO, THREE], [{"1": 1.0}, {"4": 1.0}], names=[None, None]), [TWO, THREE])
        assert (one.to_dict(), other.to_dict()) == ({"10": 100}, {"001": 100})

    @pytest.mark.parametrize(
        ("failure", "told"),
        [
            ({"code": "TooManyGates", "message": "too deep"}, "TooManyGates: too deep"),
            ({"code": "internal_error", "error": "An error occurred!"}, "internal_error: An error occurred!"),
            (None, "no reason given"),
        ],
    )
    def test_one_that_failed_does_not_sink_the_other(self, failure, told):
        failed, counts = decode_reply(reply([TWO, THREE], [{}, {"0": 1.0}], failed={0: failure}), [TWO, THREE])
        assert isinstance(failed, Failed)
        assert told in failed.reason
        assert counts.to_dict() == {"000": 100}

    def test_results_of_single_children(self):
        data = reply([TWO, THREE], [], results={"child-0": '{"0": 1}', "child-1": '{"7": 1}'}, aggregate="")
        assert [one.to_dict() for one in decode_reply(data, [TWO, THREE])] == [{"00": 100}, {"111": 100}]

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"names": ["0", "0"]}, "children are named 0"),
            ({"names": ["0", "7"]}, "children are named 0, 7"),
            ({"children": True, "job": {"child_job_ids": ["child-0"]}}, "2 were sent"),
            ({"job": {"child_job_ids": ["child-0", "child-9"]}}, "2 were sent"),
        ],
    )
    def test_others_than_were_sent(self, change, told):
        with pytest.raises(IntegrityError, match=told):
            decode_reply(reply([TWO, THREE], [{"0": 1.0}, {"0": 1.0}], **change), [TWO, THREE])

    def test_one_without_a_result_that_did_not_fail(self):
        with pytest.raises(IntegrityError, match="'completed' and has no result"):
            decode_reply(reply([TWO, THREE], [{"0": 1.0}, {}], aggregate='{"child-0": {"0": 1.0}}'), [TWO, THREE])


@pytest.mark.parametrize(
    ("table", "job", "told"),
    [
        ({"0": 0.5}, {}, "sum is 0.5"),
        ({"4": 1.0}, {}, "'4' is not one of 2 qubits"),
        ({"-1": 1.0}, {}, "'-1' is not one"),
        ({"01x": 1.0}, {}, "'01x' is not one"),
        ({"0": 1.5, "1": -0.5}, {}, "not a distribution"),
        ({"0": 1.0}, {"backend": "qpu.aria-1"}, "device qpu.aria-1, not qpu.forte-1"),
        ({"0": 1.0}, {"shots": 99}, "of 99 shots, 100 were asked"),
        ({"0": 1.0}, {"metadata": None}, "other circuits"),
        ({"0": 1.0}, {"metadata": {PROGRAM: "x", SHOTS: "100"}}, "other circuits"),
        ({"0": 1.0}, {"id": "other"}, "cannot be read"),
    ],
)
def test_what_contradicts_the_request(table, job, told):
    with pytest.raises(IntegrityError, match=told):
        decode_reply(reply([TWO], [table], children=False, job=job), [TWO], backend=FORTE)


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"[]", b"{}", b'{"job": 1, "children": [], "results": {}, "aggregate": ""}']
)
def test_damaged_replies(data):
    with pytest.raises(IntegrityError):
        decode_reply(data, [TWO])


def test_the_ideal_simulator_tells_no_shots():
    data = reply([TWO], [{"0": 1.0}], children=False, job={"shots": None})
    assert decode_reply(data, [TWO])[0].shots == 100


def test_any_cut_is_refused():
    data = reply([TWO, THREE], [{"0": 1.0}, {"0": 1.0}])
    for stop in np.random.default_rng(1).integers(0, len(data) - 1, 50).tolist():
        with pytest.raises(IntegrityError):
            decode_reply(data[:stop], [TWO, THREE])
