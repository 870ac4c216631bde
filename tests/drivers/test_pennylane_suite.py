"""PennyLane's own suite for devices, on ours; in a process with PennyLane's configuration, as it warns."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SUITE = Path(find_spec("pennylane").origin).parent / "devices" / "tests"
SHOTS = 500_000
LEFT_OUT = (
    "test_templates.py",  # large ones, such as of molecules, take more time than all others together
    "test_gradients_torch.py",  # the interfaces of PennyLane above a device
    "test_gradients_jax.py",
)


@pytest.mark.slow
def test_pennylanes_suite_for_devices_passes():
    """Without the plugin `flaky`, which tries up to ten times. Shots repeat: the device's seed is 1, the suite's 42.

    False-alarm rate, if they did not: below 1e-5. Values must be within 0.05, and the least certain ones, means of an
    observable with eigenvalues from -14 to 8, have a standard deviation of 0.0098.
    """
    options = ["-c", SUITE / "pytest.ini", "--rootdir", SUITE, "-q", "--tb=short", "--disable-warnings"]
    options += ["-p", "no:cacheprovider", "-p", "no:flaky", *(f"--ignore={SUITE / name}" for name in LEFT_OUT)]
    device = ["--device", "qcaan.device", "--shots", str(SHOTS), "--device-kwargs", "backend=local"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", SUITE, *options, *device], capture_output=True, text=True, cwd=SUITE.anchor
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 250
