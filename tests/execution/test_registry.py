import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint

import pytest

from qcaan.errors import ConfigError, MissingSDK
from qcaan.execution import available_backends, open_backend, registry
from qcaan.execution.backend import Backend


@pytest.fixture
def third_party(monkeypatch, tmp_path):
    """Register a driver module of somebody else's under the name 'mine'."""

    def register(source, attribute="Mine", name="mine"):
        module = f"driver_{abs(hash((source, str(tmp_path))))}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(tmp_path)
        entry = EntryPoint(name, f"{module}:{attribute}", registry.GROUP)
        known = registry.entry_points(group=registry.GROUP)
        monkeypatch.setattr(registry, "entry_points", lambda group: [*known, entry])
        return module

    return register


DRIVER = '''
    """A module."""
    from qcaan.execution.backend import Simulator, Target

    class Mine(Simulator):
        """A driver of mine.

        More.
        """

        def __init__(self, *, depth, speed=3, name="x"):
            super().__init__()
            self.options = (depth, speed, name)
            self.target = Target(name="mine", device="d", kind="simulator", n_qubits=1, native_gates=())

        def sample(self, batch, shots, seed):
            return []
'''


def test_built_in_backends_are_listed():
    infos = {info.name: info for info in available_backends()}
    assert {"local", "aer", "cirq", "braket"} <= set(infos)
    assert infos["local"].sdk == {}
    assert infos["local"].install == ""
    assert "entangler" in infos["local"].options
    assert "qiskit-aer" in infos["aer"].sdk
    assert infos["aer"].distribution.startswith("qcaan ")
    assert all(info.doc for info in infos.values())


def test_listing_imports_no_sdk():
    code = (
        "import sys; from qcaan.execution import available_backends; available_backends();"
        "print([m for m in ('qiskit', 'cirq', 'braket', 'boto3', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_open_by_name():
    backend = open_backend("local", entangler="zz")
    assert isinstance(backend, Backend)
    assert "zz" in backend.target.native_gates


def test_unknown_name():
    with pytest.raises(ConfigError, match=r"no backend 'lcoal' \(did you mean 'local'\?\); known: aer, braket"):
        open_backend("lcoal")
    with pytest.raises(ConfigError, match="no backend 'zzzzz'; known"):
        open_backend("zzzzz")


def test_unknown_option():
    with pytest.raises(ConfigError, match=r"'local' has no option 'entangle' \(did you mean 'entangler'\?\); its opt"):
        open_backend("local", entangle="ms")


def test_third_party_driver(third_party):
    module = third_party(DRIVER)
    info = next(info for info in available_backends() if info.name == "mine")
    assert module not in sys.modules
    assert (info.doc, dict(info.options)) == ("A driver of mine.", {"depth": "", "speed": "3", "name": "'x'"})
    assert open_backend("mine", depth=2).options == (2, 3, "x")
    loaded = next(info for info in available_backends() if info.name == "mine")
    assert (loaded.doc, loaded.options) == (info.doc, info.options)
    with pytest.raises(ConfigError, match="needs the option depth"):
        open_backend("mine")


def test_dataclass_and_function_drivers(third_party):
    third_party(
        '''
        """Module doc."""
        from dataclasses import dataclass
        @dataclass
        class Mine:
            """Data."""
            size: int = 3
            kind: str = "a"
        '''
    )
    info = next(info for info in available_backends() if info.name == "mine")
    assert info.options == {"size": "3", "kind": "'a'"}
    with pytest.raises(ConfigError, match="made a Mine, which is not a Backend"):
        open_backend("mine")


def test_function_driver(third_party):
    third_party('def make(a, b=2):\n    """Makes."""\n    return 1\n', "make")
    info = next(info for info in available_backends() if info.name == "mine")
    assert (info.doc, info.options) == ("Makes.", {"a": "", "b": "2"})


@pytest.mark.parametrize("where", ["import", "constructor"])
def test_missing_sdk_names_the_pip_command(third_party, where):
    if where == "import":
        third_party("import sdk_that_is_not_there\n")
    else:
        third_party("def Mine():\n    import sdk_that_is_not_there.client\n")
    with pytest.raises(MissingSDK, match=r"'sdk_that_is_not_there': pip install 'qcaan\[mine\]'") as caught:
        open_backend("mine")
    assert isinstance(caught.value.__cause__, ImportError)
    assert caught.value.exit_code == 2


def test_a_driver_that_is_not_there(third_party, monkeypatch):
    third_party("x = 1\n")
    with pytest.raises(ConfigError, match="does not exist"):
        open_backend("mine")
    entry = EntryPoint("gone", "module_that_is_gone:X", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    with pytest.raises(ConfigError, match="cannot be imported"):
        open_backend("gone")
    assert available_backends()[0].doc == "the driver cannot be read"


def test_two_packages_with_one_name(third_party):
    third_party(DRIVER, name="local")
    with pytest.raises(ConfigError, match="two installed packages call a backend 'local'"):
        open_backend("local")


def test_a_shadowing_package_is_named(tmp_path):
    shadow = tmp_path / "backends"
    shadow.mkdir()
    (shadow / "__init__.py").write_text("")
    code = (
        "from qcaan.execution import open_backend\nfrom qcaan.errors import ConfigError\n"
        "try:\n    open_backend('local')\nexcept ConfigError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert f"'backends' that Python finds first is {shadow / '__init__.py'}, not qcaan's own" in done.stdout


def test_shadow_check_passes_for_our_own():
    assert open_backend("local").target.name == "local"
