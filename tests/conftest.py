"""For all tests: one thread, a browser, a database, the command line, pages that run; in CI a skip is a failure."""

import contextlib
import getpass
import io
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

# Tests run side by side; more threads than cores make each step ten times slower.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

# The same examples every time, and no deadlines: a busy machine is not an error.
settings.register_profile("qcaan", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("qcaan")

# A shell that starts the tests in the background has Ctrl-C ignored, by them and by all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """A command that ended by Ctrl-C ignores the next one, which would be this process's for good."""
    yield
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
    from qcaan.cli import console

    monkeypatch.setattr(console, "SOON_S", 1e6)  # what a test prints does not depend on how busy the machine is
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


Reader = Callable[[Path, dict[str, str]], Callable[[str], str]]


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Reader:
    """`reader(folder, environment)("qcaan doctor")`: what a page's command prints in that folder; it must end well."""
    from qcaan import cli  # imports numpy, which reads the number of threads then

    def prepare(folder: Path, environment: dict[str, str]) -> Callable[[str], str]:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

        def run(line: str) -> str:
            monkeypatch.setattr(sys, "argv", shlex.split(line))
            with pytest.raises(SystemExit) as stop:
                cli.main()
            out, err = capsys.readouterr()
            assert not stop.value.code, err
            return out

        return run

    return prepare


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


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server of our own on loopback, started with a fresh cluster."""
    initdb = shutil.which("initdb") or max(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)
    if initdb is None:
        pytest.skip("no PostgreSQL server is installed")
    server = Path(initdb).resolve().with_name("postgres")
    # The server refuses to run as root.
    account = {"user": "nobody", "group": "nogroup"} if getpass.getuser() == "root" else {}
    home = Path(tempfile.mkdtemp(prefix="qcaan-pg-"))
    if account:
        shutil.chown(home, **account)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    make = [initdb, "-D", str(home / "data"), "-A", "trust", "-U", "qcaan", "-E", "UTF8", "--no-sync"]
    subprocess.run(make, check=True, capture_output=True, env=environment, cwd=home, **account)
    options = ["-c", "fsync=off", "-c", "unix_socket_directories=", "-c", "listen_addresses=127.0.0.1", "-p", str(port)]
    log = (home / "log").open("w")
    process = subprocess.Popen(
        [server, "-D", str(home / "data"), *options], stdout=log, stderr=log, env=environment, cwd=home, **account
    )
    url = f"postgresql+psycopg://qcaan@127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/postgres", process)
        yield url
    finally:
        process.send_signal(signal.SIGINT)  # with SIGTERM it would wait for its clients
        process.wait(120)
        log.close()
        shutil.rmtree(home)


def _wait_for(url: str, process: subprocess.Popen) -> None:
    engine = create_engine(url)
    deadline = time.monotonic() + 120
    while True:
        try:
            engine.connect().close()
        except OperationalError:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.1)
        else:
            engine.dispose()
            return


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """A new, empty database."""
    name = f"qcaan_{os.getpid()}_{random.randrange(10**9)}"
    engine = create_engine(f"{postgres}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield f"{postgres}/{name}"
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()
