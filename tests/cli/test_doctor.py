"""`qcaan doctor`: each thing that can be missing is named with its remedy, and nothing is sent or made."""

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import qcaan
from qcaan.errors import CredentialsError
from qcaan.execution import doctor
from qcaan.execution.registry import BackendInfo
from qcaan.execution.store import Store

Call = Callable[..., tuple[int, str, str]]


def findings(call: Call, *words: object) -> tuple[int, dict[str, dict[str, str]]]:
    code, out, _ = call("doctor", "--json", *words)
    return code, {finding["subject"]: finding for finding in json.loads(out)}


def test_a_whole_machine_is_good(call: Call) -> None:
    code, found = findings(call)
    assert code == 0
    assert {"python", "machine", "disk", "backend local", "backend braket"} <= set(found)
    assert found["python"]["state"] == "good"
    assert f"qcaan {qcaan.__version__}" in found["python"]["detail"]
    assert (found["backend local"]["state"], found["backend local"]["remedy"]) == ("good", "")


def test_a_missing_sdk_is_a_note_with_its_command(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    info = BackendInfo(
        name="trap",
        module="trap:Trap",
        distribution="qcaan-trap 1.0",
        doc="",
        options={},
        sdk={"trap-sdk": ""},
        install="pip install 'qcaan-trap[trap]'",
    )
    monkeypatch.setattr(doctor, "available_backends", lambda: [info])
    code, found = findings(call)
    assert code == 0
    trap = found["backend trap"]
    assert (trap["state"], trap["remedy"]) == ("note", "pip install 'qcaan-trap[trap]'")
    assert "trap-sdk missing" in trap["detail"]
    assert "pip install 'qcaan-trap[trap]'" in call("doctor")[1]


def test_a_folder_that_cannot_be_written_is_bad(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    code, found = findings(call)
    assert code == 1
    assert found["disk"]["state"] == "bad"
    assert "--out" in found["disk"]["remedy"]


def test_a_disk_that_is_nearly_full_is_a_note(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ROOM_GB", 1e9)
    code, found = findings(call)
    assert (code, found["disk"]["state"]) == (0, "note")


def test_a_store_is_written_but_not_changed(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "shots.sqlite"
    with Store.open(path) as store:
        before = store.identity
    code, found = findings(call, "--store", path)
    assert (code, found["store"]["state"]) == (0, "good")
    with Store.open(path) as store:
        assert store.identity == before


def test_a_store_that_is_not_there_is_not_made(call: Call, tmp_path: Path) -> None:
    code, found = findings(call, "--store", tmp_path / "shots.sqlite")
    assert (code, found["store"]["state"]) == (0, "note")
    assert not (tmp_path / "shots.sqlite").exists()


@pytest.mark.parametrize("where", ["not a store", "redis://localhost/1"])
def test_a_store_that_cannot_be_opened_is_bad(call: Call, tmp_path: Path, where: str) -> None:
    (tmp_path / "not a store").write_text("these are not tables" * 100)
    code, found = findings(call, "--store", where)
    assert (code, found["store"]["state"]) == (1, "bad")


def test_credentials_are_told_without_their_secret(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    code, out, _ = call("doctor", "--json")
    assert code == 0
    assert "not to AWS" in out
    assert "a-secret" not in out
    assert "AKIDEXAMPLE" not in out


@pytest.mark.parametrize("profile", [None, "nobody"])
def test_credentials_that_are_missing_are_a_note(
    call: Call, monkeypatch: pytest.MonkeyPatch, profile: str | None
) -> None:
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    code, found = findings(call)
    assert (code, found["credentials braket"]["state"]) == (0, "note")
    assert "aws configure" in found["credentials braket"]["detail"]


def refused() -> str:
    raise CredentialsError("no key: set TRAP_KEY")


def test_another_drivers_credentials_are_asked_for(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint(name="local", value=f"{__name__}:refused", group=doctor.CREDENTIALS)
    monkeypatch.setattr(doctor, "entry_points", lambda group: [entry] if group == doctor.CREDENTIALS else [])
    code, found = findings(call)
    assert (code, found["credentials local"]["detail"]) == (0, "no key: set TRAP_KEY")
