"""`qcaan backends` as a user meets it."""

import io
import json
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from qcaan.conformance import candidate as candidates
from qcaan.conformance.candidate import Candidate
from qcaan.conformance.mutants import MUTANTS
from qcaan.conformance.reference import scripted
from qcaan.execution import registry
from qcaan.execution.scripted import ScriptedBackend

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(call: Call) -> Call:
    """`call("list")` is `qcaan backends list`."""
    return partial(call, "backends")


@pytest.fixture
def paid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], ScriptedBackend]:
    """The registry knows a paid device 'trap'; `paid()` opens it."""

    def opened() -> ScriptedBackend:
        return ScriptedBackend(path=tmp_path / "device.sqlite", min_shots=100, dedupe="search")

    monkeypatch.setattr(candidates, "open_backend", lambda name, **_: {"trap": opened}[name]())
    monkeypatch.setattr(registry, "open_backend", lambda name, **_: {"trap": opened}[name]())
    return opened


def test_check_says_yes_and_how_sure_it_is(call: Call) -> None:
    """False-alarm rate: below 0.001; the seed is fixed."""
    code, out, _ = call("check", "local", "--set", "entangler=zz")
    assert code == 0
    assert "yes  semantic  gate zz: unit and convention" in out
    assert "NO" not in out
    assert "a good driver fails with probability 0.001 at most" in out


def test_check_for_machines(call: Call) -> None:
    code, out, _ = call("check", "local", "--tier", "offline", "--json")
    verdict = json.loads(out)
    assert code == 0
    assert verdict["passed"] is True
    assert verdict["false_alarm_rate"] == 0.0
    assert {row["tier"] for row in verdict["checks"]} == {"offline"}
    assert all(set(row) >= {"name", "tier", "passed", "diagnosis"} for row in verdict["checks"])


def test_check_says_what_is_wrong(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    (mutant,) = [mutant for mutant in MUTANTS if mutant.name == "bits reversed"]
    monkeypatch.setattr(candidates, "candidate_of", lambda name, options: mutant.candidate())
    code, out, _ = call("check", "mine", "--tier", "semantic")
    assert code == 1
    assert "NO   semantic  bit order: each circuit alone" in out
    assert "likely    bits are reversed: qubit 0 must be the leftmost bit" in out
    code, out, _ = call("check", "mine", "--tier", "semantic", "--json")
    assert code == 1
    assert json.loads(out)["passed"] is False


def test_check_asks_the_fake_that_a_package_offers(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def offered(name: str, options: dict[str, object]):
        with scripted() as candidate:
            yield candidate

    monkeypatch.setattr(candidates, "candidate_of", offered)
    code, out, _ = call("check", "scripted", "--tier", "fault", "--tier", "offline")
    assert code == 0
    assert "yes  fault     a lost reply makes no second job" in out
    assert "yes  offline   decode is pure" in out
    assert "semantic" not in out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["check", "nosuch"], "there is no backend 'nosuch'"),
        (["check", "local", "--tier", "fault"], "tier fault: 'local' offers no fake"),
        (["check", "local", "--tier", "paid", "--tier", "offline"], "it is asked alone"),
        (["check", "local", "--tier", "nosuch"], "nosuch"),
        (["check", "local", "--set", "entangel=zz"], "did you mean 'entangler'?"),
        (["new", "local"], "has it already"),
        (["new", "Lab Trap"], "small letters"),
        (["new", "lab", "--kind", "trap"], "trap"),
    ],
)
def test_errors_name_the_remedy(call: Call, words: list[str], part: str) -> None:
    code, _, err = call(*words)
    assert code == 2
    assert part in err
    assert "Traceback" not in err


def test_the_price_is_told_and_nothing_is_sent_above_the_cap(call: Call, paid: Callable[[], ScriptedBackend]) -> None:
    code, _, err = call("check", "trap", "--tier", "paid", "--max-cost", 5)
    assert code == 1
    assert "1 circuit(s)" in err
    assert "the check costs $" in err
    assert "--max-cost is $5.00; nothing was sent" in err
    assert paid().n_jobs == 0


def test_the_price_is_confirmed_first(
    call: Call, paid: Callable[[], ScriptedBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, _, err = call("check", "trap", "--tier", "paid", "--max-cost", 500)
    assert code == 1
    assert "Send it?" in err
    assert paid().n_jobs == 0


def test_a_paid_check_is_paid_once(call: Call, paid: Callable[[], ScriptedBackend], tmp_path: Path) -> None:
    for _ in range(2):
        code, out, _ = call("check", "trap", "--tier", "paid", "--max-cost", 500, "--yes", "--json")
        assert code == 0
        assert json.loads(out)["passed"] is True
    assert paid().n_jobs == 1
    assert (tmp_path / "check-trap.sqlite").is_file()


def test_new_says_what_it_wrote_and_what_is_next(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("new", "lab-trap", "--kind", "simulator")
    assert code == 0
    assert "qcaan-lab-trap/src/qcaan_lab_trap/driver.py" in out
    assert "next: pip install -e 'qcaan-lab-trap[test]'" in out
    assert (tmp_path / "qcaan-lab-trap" / "pyproject.toml").is_file()
    assert call("new", "lab-trap")[0] == 2


def test_the_candidate_of_a_name_is_the_installed_driver() -> None:
    with candidates.candidate_of("local", {}) as candidate:
        assert isinstance(candidate, Candidate)
        assert candidate.name == "local"


@pytest.mark.parametrize(
    ("words", "told", "silent"),
    [
        (
            (),
            {"device": "'local'", "emulate": "False", "form": "'gates'", "n_qubits": "24"},
            {"s3", "scale", "profile"},
        ),
        (
            ("--set", "device=ionq-forte-1", "--set", "emulate=true", "--set", "scale=2"),
            {"device": "'ionq-forte-1'", "emulate": "True", "scale": "2"},
            {"entangler", "form", "s3", "profile"},
        ),
    ],
)
def test_show_tells_the_options_that_apply(call: Call, words: tuple[str, ...], told: dict, silent: set) -> None:
    code, out, _ = call("show", "braket", *words, "--json")
    options = json.loads(out)["options"]
    assert code == 0
    assert told.items() <= options.items()
    assert not silent & set(options)


def test_show_is_in_words_and_not_in_python(call: Call) -> None:
    code, out, _ = call("show", "braket", "--set", "device=ionq-forte-1", "--set", "emulate=true")
    rows = dict(line.split(maxsplit=1) for line in out.splitlines() if len(line.split()) > 1)
    assert code == 0
    assert rows["native_gates"].strip() == "gpi, gpi2, zz"
    assert rows["figures.two_qubit_fidelity"].strip() == "0.9932"
    assert (rows["exact"].strip(), rows["connectivity"].strip()) == ("true", "-")
    assert (rows["emulate"].strip(), rows["device"].strip(), rows["capabilities"].strip()) == (
        "true",
        "ionq-forte-1",
        "-",
    )
    assert not {"None", "True", "False"} & set(out.split())
    assert "{" not in out
