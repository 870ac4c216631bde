"""For all tests: one thread each, and in CI a test that was skipped is a failure."""

import os

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
