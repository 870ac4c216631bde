"""The documentation is true: its code and commands run, its tables are the code's, what it names exists.

docs/hardware.md, drivers.md and the README have tests of their own for what they run.
"""

import ast
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
import yaml
from nbclient import NotebookClient
from typer.main import get_command

import qcaan
from backends.loopback.braket.service import VOCABULARY
from backends.loopback.faults import read_faults
from qcaan import adapters, cli, conformance, execution, learn
from qcaan.config import Config
from qcaan.learn import sweep
from qcaan.learn.priors import KINDS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
EVERYTHING = {"README.md": (ROOT / "README.md").read_text(encoding="utf-8"), **PAGES}
PLAYED = ("index", "backends", "configuration")
REFERENCE = {path.stem: path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md")}
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def commands() -> Iterator[tuple[str, str, bool]]:
    """(page, what follows `qcaan`, whether it stands as a line of shell) for every command that a page shows."""
    for page, text in EVERYTHING.items():
        shell = "\n".join(re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL))
        for line in re.findall(r"^ *(?:[\w./]*/)?qcaan ([^\n#|>]+)", shell.replace("\\\n", " "), re.MULTILINE):
            yield page, " ".join(line.split()), True
        for line in re.findall(r"`(?:[\w./]*/)?qcaan ([a-z-][^`]*)`", text):
            yield page, " ".join(line.split()), False


@pytest.mark.parametrize(("page", "line", "shell"), sorted(set(commands())))
def test_every_command_and_option_exists(page: str, line: str, shell: bool) -> None:
    """A line of shell is parsed as the command line would; of a command in a sentence, its words and options exist."""
    words = shlex.split(line)
    command = get_command(cli.app)
    context = command.make_context("qcaan", [], resilient_parsing=True)
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    while words and hasattr(command, "commands"):  # a group: typer's own class, which click does not know
        word = words.pop(0)
        if word.startswith("-"):
            assert word in options, f"{page}: qcaan {line}"
        else:
            assert word in command.commands, f"{page}: qcaan {line}: there is no command '{word}'"
            command = command.commands[word]
    if shell and "--help" not in words:
        command.make_context(line, list(words), parent=context)
    options |= {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} <= options, f"{page}: qcaan {line}"


@pytest.mark.parametrize("name", PLAYED)
def test_the_python_blocks_run(name, play, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = PAGES[f"docs/{name}.md"]
    assert "```python" in page
    play(page)


@pytest.mark.parametrize("name", ["index", "backends"])
def test_the_shell_blocks_run(name, blocks, call, tmp_path) -> None:
    """Line after line in one folder that holds the examples; what `make` is asked for is there."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    shell = "".join(body for language, body in blocks(PAGES[f"docs/{name}.md"]) if language == "sh")
    assert shell
    for line in shell.replace("\\\n", " ").splitlines():
        program, *words = shlex.split(line, comments=True)
        if program == "make":
            assert words[0] in targets
        else:
            assert program == "qcaan"
            code, out, err = call(*words)
            assert code == 0, f"{line}\n{out}{err}"


def test_the_yaml_blocks_are_configurations_plans_or_faults(blocks, tmp_path) -> None:
    found = [yaml.safe_load(body) for page in PAGES.values() for language, body in blocks(page) if language == "yaml"]
    assert {type(tree) for tree in found} == {dict, list}
    for tree in found:
        if isinstance(tree, list):
            assert len(read_faults(tree, "the page", VOCABULARY)) == len(tree)
        elif set(tree) <= set(Config.model_fields):
            Config.load(tree)
        elif set(tree) <= set(sweep.Plan.model_fields):
            (tmp_path / "plan.yaml").write_text(yaml.safe_dump(tree))
            sweep.Sweep(tmp_path, sweep.Plan.load(tmp_path / "plan.yaml"))


def test_languages_of_the_blocks_that_are_run(blocks) -> None:
    """No block of these pages is of a kind that no test looks at."""
    pages = [*(PAGES[f"docs/{name}.md"] for name in (*PLAYED, "method", "guarantees")), *REFERENCE.values()]
    languages = {language for page in pages for language, _ in blocks(page)}
    assert languages == {"python", "text", "sh", "yaml", "math"}


@pytest.fixture(scope="module")
def tables() -> Iterator[ModuleType]:
    sys.path.insert(0, str(DOCS))
    yield import_module("tables")
    sys.path.remove(str(DOCS))


def test_the_tables_are_the_codes(tables) -> None:
    for page, text in PAGES.items():
        assert tables.render(text) == text, f"{page} says something else: run python docs/tables.py"


def test_every_key_and_every_option_is_told(tables) -> None:
    shown = {name for page in PAGES.values() for name in tables.TABLE.findall(page)}
    assert "mutants" in shown
    shown.remove("mutants")
    assert shown == {"run", *tables.sections(), *(f"backend {name}" for name in tables.drivers())}
    rows = [row for name in shown for row in tables.rows(name)]
    assert [row.name for row in rows if not row.meaning] == []
    keys = {row.name for name in ("run", *tables.sections()) for row in tables.rows(name)}
    assert keys == set(Config(budget={"cap_usd": 1}).flat())


def test_every_kind_of_prior_is_told(tables) -> None:
    (row,) = [row for row in tables.rows("prior") if row.name == "prior.kind"]
    assert set(re.findall(r"\w+", row.meaning)) - {"or"} == set(KINDS)


def test_every_test_that_a_guarantee_names_exists() -> None:
    text = PAGES["docs/guarantees.md"]
    rows = [line for line in text.splitlines() if line.startswith("| **")]
    assert len(rows) > 25
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row)
        assert named, row
        assert row.count("::") == sum(bool(function) for _, function in named), row
        for path, function in named:
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert any(name.startswith("test_") for name in functions), path
            assert not function or function in functions, f"{path} has no {function}"


def test_every_file_that_is_named_exists() -> None:
    """Whole paths, of files that are part of the project."""
    pattern = r"(?<![\w/-])(?:qcaan|backends|tests|examples|benchmarks|docs)/[\w/-]+\.(?:py|yaml|png|qasm|md|ipynb)\b"
    named = {(page, path) for page, text in EVERYTHING.items() for path in re.findall(pattern, text)}
    assert len(named) > 40
    assert [(page, path) for page, path in sorted(named) if not (ROOT / path).exists()] == []


def directives() -> dict[str, list[str]]:
    """Module -> its members in the reference; none are named where all that is public is shown."""
    found = re.findall(r"^::: (\S+)\n(?:    options:\n      members: \[(.*)\]\n)?", "\n".join(REFERENCE.values()), re.M)
    return {module: members.split(", ") if members else [] for module, members in found}


def test_the_reference_has_every_public_name() -> None:
    told = {
        f"{module}.{name}"
        for module, members in directives().items()
        for name in members or getattr(import_module(module), "__all__", [])
    }
    for room in (qcaan, adapters, execution, conformance, learn, sweep):
        for name in room.__all__:
            same = [path for path in told if path.endswith(f".{name}") and _get(path) is getattr(room, name)]
            assert same or (room, name) == (qcaan, "Config"), f"{room.__name__}.{name} is not in the reference"
    assert "](../configuration.md)" in REFERENCE["index"]


def test_the_reference_has_every_name_where_it_lives() -> None:
    """A name that a module only imports would be left out of its page without a word."""
    for module, members in directives().items():
        homes = {name: getattr(_get(f"{module}.{name}"), "__module__", module) for name in members}
        assert {name: home for name, home in homes.items() if home not in (module, "types", "typing")} == {}, module


def _get(path: str) -> object:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path, tmp_path: Path) -> None:
    """From the first cell to the last, in an empty folder; they are kept without outputs."""
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    NotebookClient(
        notebook, timeout=240, startup_timeout=240, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    kinds = {kind for cell in cells for output in cell.outputs for kind in output.get("data", {})}
    assert {"image/png", "image/svg+xml"} <= kinds


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site without its reference, which takes longest and is the same kind of page."""
    made = tmp_path_factory.mktemp("site")
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nplugins:")[0]
    settings = settings.replace("strict: true", f"strict: false\ndocs_dir: {DOCS}\nplugins: [search]")
    settings = settings.replace("docs/formulas.py", str(DOCS / "formulas.py"))
    (made / "mkdocs.yml").write_text(settings, encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--config-file", made / "mkdocs.yml"]
    subprocess.run([*command, "--site-dir", made / "site"], check=True, capture_output=True, timeout=120)
    return made / "site"


def test_no_page_loads_anything_from_a_network(site) -> None:
    pages = [path.read_text(encoding="utf-8") for path in site.glob("*.html")]
    assert len(pages) >= len(PAGES)
    for page in pages:
        loaded = re.findall(r"""<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href)=["']?([^"'\s>]+)""", page)
        assert loaded
        assert [address for address in loaded if re.match(r"(?:https?:)?//", address)] == []


def test_the_site_in_a_browser(site, browse) -> None:
    """Formulas are there without a script, and the console is silent on a phone and on a desk."""
    for size in ("390,844", "1400,900"):
        dom, console = browse((site / "method.html").as_uri(), f"--window-size={size}")
        assert console == []
        assert dom.count("<math") > 20
        assert "```math" not in dom
        assert "$`" not in dom
