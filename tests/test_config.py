"""The run configuration: defaults, overrides, errors that name key, value and remedy."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from qcaan.config import Config, diff
from qcaan.errors import ConfigError

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("path", [EXAMPLES / "digits.yaml", EXAMPLES / "conditional.yaml"], ids=lambda path: path.name)
def test_examples_are_valid(path: Path) -> None:
    assert Config.load(path).prior.n_qubits >= 1


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    assert Config.load(tmp_path / "empty.yaml") == Config()


def test_a_section_without_content_is_its_defaults(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("gan:\nprior:\n")
    assert Config.load(tmp_path / "c.yaml") == Config()


@given(
    seed=st.integers(0, 2**63 - 1),
    shots=st.integers(1, 10**6),
    bases=st.lists(st.sampled_from(["Z", "X", "Y", "trained"]), min_size=1, max_size=3),
    option=st.one_of(st.integers(), st.booleans(), st.text(st.characters(codec="ascii", categories=["L"]), min_size=1)),
)
def test_the_resolved_form_reads_back(seed: int, shots: int, bases: list[str], option: object) -> None:
    tree = {"seed": seed, "prior": {"shots": shots, "bases": bases}, "backend": {"name": "aer", "option": option}}
    config = Config.load(tree)
    assert Config.load(yaml.safe_load(config.to_yaml())) == config


def test_overrides_reach_any_key_and_driver_options() -> None:
    config = Config.load({}, ["prior.bases=[Z, Y]", "backend.name=braket", "backend.device=sv1", "budget.cap_usd=3"])
    assert config.prior.bases == ("Z", "Y")
    assert config.backend.name == "braket"
    assert config.backend.options == {"device": "sv1"}
    assert config.budget is not None
    assert config.budget.cap_usd == 3


def test_another_backend_drops_the_options_of_the_former() -> None:
    tree = {"backend": {"name": "braket", "device": "sv1"}}
    assert Config.load(tree, ["backend.name=aer"]).backend.options == {}
    assert Config.load(tree, ["backend.name=aer", "backend.entangler=zz"]).backend.options == {"entangler": "zz"}
    assert Config.load(tree, ["backend.name=braket"]).backend.options == {"device": "sv1"}
    assert Config.load({"backend": {"entangler": "zz"}}, ["backend.name=local"]).backend.options == {"entangler": "zz"}
    assert tree == {"backend": {"name": "braket", "device": "sv1"}}


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("prior.shot=3", ["prior.shot", "did you mean 'shots'"]),
        ("pior.shots=3", ["pior", "did you mean 'prior'"]),
        ("prior.zzz=3", ["prior.zzz", "known keys", "n_qubits"]),
        ("prior.shots=many", ["prior.shots", "'many'", "integer"]),
        ("prior.shots=0", ["prior.shots", "0", "greater than or equal to 1"]),
        ("prior.topology=ring", ["prior.topology", "'ring'", "'all', 'line' or 'star'"]),
        ("prior.learning_rate=.nan", ["prior.learning_rate", "finite"]),
        ("seed=-1", ["seed", "-1"]),
        ("budget.cap=3", ["budget.cap", "did you mean 'cap_usd'", "budget.cap_usd: missing"]),
        ("gan=7", ["gan", "7"]),
        ("prior.shots", ["prior.shots", "KEY=VALUE"]),
        ("seed.x=1", ["seed.x=1", "'seed' is a value"]),
        ("prior.bases=[", ["prior.bases=[", "not YAML"]),
    ],
)
def test_errors_name_key_value_and_remedy(override: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.load({"seed": 1}, [override])
    for part in parts:
        assert part in str(caught.value)
    assert caught.value.exit_code == 2


def test_all_errors_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Config.load({"prior": {"shots": 0, "topology": "ring"}, "tain": {}})
    assert str(caught.value).count("\n") == 3


def test_a_key_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("prior:\n  shots: 1\n  shots: 2\n")
    with pytest.raises(ConfigError, match="line 3: the key 'shots' stands twice"):
        Config.load(tmp_path / "c.yaml")


@pytest.mark.parametrize(("text", "part"), [("- a\n", "sections"), ("a: [", "not YAML"), ("prior: 3\n", "prior")])
def test_files_that_are_no_configuration(tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=part):
        Config.load(tmp_path / "c.yaml")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read.*nowhere\.yaml"):
        Config.load(tmp_path / "nowhere.yaml")


def test_diff_shows_only_what_differs() -> None:
    a = Config()
    b = Config.load({}, ["backend.name=braket", "backend.device=ionq-forte-1", "budget.cap_usd=400"])
    assert diff(a, b) == {
        "backend.name": ("local", "braket"),
        "backend.device": (None, "ionq-forte-1"),
        "budget.cap_usd": (None, 400.0),
    }
    assert diff(a, a) == {}
