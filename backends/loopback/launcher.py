"""`Launcher`: a service as a process of its own, for tests and scripts."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

from qcaan.errors import ConfigError, StoreError

Json = dict[str, Any]


class Launcher:
    """A context manager that starts a vendor's service on a free port and stops it at its end.

    ```python
    with braket.Loopback(noise="none") as service:
        subprocess.run(["qcaan", "train", ...], env=os.environ | service.environment)
        print(service.bill_usd(), service.jobs())
    ```

    Nothing of the caller's own environment changes; `environment` is for a process, or for a test's monkeypatch.

    Args:
        state: folder of the service's state, and of its `service.log`; None for a temporary one that goes with it.
        faults: entries as in `backends.loopback.faults`; None for those of the state, none at first.
        latency_s: a job waits at least so long in the queue.
        run_s: a job runs at least so long.
        noise: "device" for the device's noise, "none" for ideal gates.
        seed: of all outcomes.
        repeatable: the same program gives the same outcome in every job.
        program_sets: the devices offer program sets, where the vendor has them.

    Raises:
        ConfigError: an option is wrong, or the state is in use.
    """

    vendor: ClassVar[str]
    """Name of the vendor's folder here."""

    def __init__(
        self,
        state: Path | None = None,
        *,
        faults: Sequence[Mapping[str, Any]] | None = None,
        latency_s: float = 0.0,
        run_s: float = 0.0,
        noise: Literal["device", "none"] = "device",
        seed: int = 0,
        repeatable: bool = False,
        program_sets: bool = False,
    ) -> None:
        self._temporary = state is None
        self._state = state or Path(tempfile.mkdtemp(prefix="loopback-"))
        self._faults = faults
        self._options = {
            "host": "127.0.0.1",
            "state": str(self._state),
            "faults": None,
            "latency_s": latency_s,
            "run_s": run_s,
            "noise": noise,
            "seed": seed,
            "repeatable": repeatable,
            "program_sets": program_sets,
        }
        self._process: subprocess.Popen[str] | None = None
        self._port = 0
        self.url = ""
        """Address, "http://127.0.0.1:PORT"; the same after a restart."""
        self.environment: dict[str, str] = {}
        """Environment variables that point the provider's clients at it."""

    def __enter__(self) -> Self:
        try:
            self._start()
            if self._faults is not None:
                self.set_faults(self._faults)
        except BaseException:  # Ctrl-C too must not leave the process behind
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(signal.SIGTERM)
        if self._temporary:
            shutil.rmtree(self._state, ignore_errors=True)

    def jobs(self) -> list[Json]:
        """Every job in the order of creation: id, status, device, shots, charge, and what the vendor's jobs have."""
        jobs: list[Json] = self.state()["jobs"]
        return jobs

    def bill_usd(self) -> float:
        """What all jobs cost so far, US dollars."""
        return float(self.state()["bill_usd"])

    def state(self) -> Json:
        """What the page shows: jobs, bill_usd, devices, calls since the start, faults with how often each hit."""
        return dict(json.loads(self._ask("GET", "/loopback/state.json")))

    def set_faults(self, faults: Sequence[Mapping[str, Any]]) -> None:
        """Put these faults in force instead of all others.

        Raises:
            ConfigError: a fault is wrong.
        """
        self._ask("PUT", "/loopback/faults", json.dumps(list(faults)).encode())

    def kill(self) -> None:
        """End the service with SIGKILL."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it if it runs, and start it again: same port, same state."""
        self.kill()
        self._start()

    def _start(self) -> None:
        self._state.mkdir(parents=True, exist_ok=True)
        options = json.dumps(self._options | {"port": self._port})
        command = [sys.executable, "-m", "backends.loopback", self.vendor, options]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        log = self._state / "service.log"
        with log.open("a", encoding="utf-8") as errors:  # a pipe that nobody reads would fill and stop the service
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._end(signal.SIGKILL)
            raise ConfigError(f"the loopback service did not start: {log.read_text(encoding='utf-8').strip()}")
        told = json.loads(line)
        self.url, self.environment = told["url"], told["environment"]
        self._port = int(self.url.rpartition(":")[2])

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.communicate()

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - our own http address
            self.url + path, data=body, method=method, headers={"Content-Type": "application/json"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as reply:
                return bytes(reply.read())
        except urllib.error.HTTPError as error:
            with error:
                raise ConfigError(error.read().decode().strip()) from error
        except OSError as error:
            raise StoreError(f"the loopback service at {self.url} does not answer: {error}; restart it") from error
