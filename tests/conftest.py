"""For all tests: one thread each, a browser, the command line, pages that run; in CI a skipped test is a failure."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

# Tests run side by side; more threads than cores make each step ten times slower.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """CI installs all that a test may need, so a skipped test there is one that nobody ran."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped") and session.exitstatus == 0:
        reporter.write_line("skipped in CI: a failure")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


Browse = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """`browse(url, *switches)`: the page's DOM after loading in headless Chromium, and what the console said."""
    chromium = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if chromium is None:
        pytest.skip("no Chromium: install Debian's package 'chromium'")

    def load(url: str, *switches: str) -> tuple[str, list[str]]:
        profile = f"--user-data-dir={tmp_path / 'chromium'}"
        quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
        command = [chromium, *quiet, profile, *switches, "--virtual-time-budget=5000", "--dump-dom", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return load


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """`call("train", "x.yaml")` -> (exit code, standard output, standard error).

    In an empty folder that is also the user's home, without settings of the machine's user.
    """
    from qcaan import cli  # imports numpy, which reads the number of threads then

    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("AWS_", "QCAAN_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["qcaan", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return run


Blocks = Callable[[str], list[tuple[str, str]]]
Play = Callable[[str], dict[str, object]]


@pytest.fixture(scope="session")
def blocks() -> Blocks:
    """`blocks(page)`: the fenced blocks of a Markdown text in their order, each with its language."""

    def found(page: str) -> list[tuple[str, str]]:
        fenced = re.findall(r"^ *```(\w*)\n(.*?)^ *```", page, re.MULTILINE | re.DOTALL)
        return [(language, textwrap.dedent(body)) for language, body in fenced]

    return found


@pytest.fixture
def play(blocks: Blocks) -> Play:
    """`play(page)`: run the Python blocks of a page in one session; return its names.

    Where a block of text follows one of Python, each of its lines must have been printed.
    """

    def run(page: str) -> dict[str, object]:
        names: dict[str, object] = {"__name__": "page"}
        printed, before = "", ""
        for language, body in blocks(page):
            if language == "python":
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    exec(body, names)
                printed = out.getvalue()
            elif language == "text" and before == "python":
                assert [line for line in body.splitlines() if line not in printed] == [], printed
            before = language
        return names

    return run
