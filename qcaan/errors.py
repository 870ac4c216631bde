"""Every error that qcaan raises on purpose. The type says what to do about it.

```
QcaanError
├── ConfigError            a key or value in a config or option: change it (exit 2)
├── CircuitError           a circuit, angle or basis that cannot be run: change it (exit 2)
├── DataError              a data set, checkpoint or image file that is missing or damaged
├── BackendError           something about a device; drivers translate the SDK's errors to these, cause kept
│   ├── MissingSDK         the driver's SDK is not installed: the message is the pip command (exit 2)
│   ├── TargetError        the request violates the target's facts; lists every violation (exit 2)
│   ├── TransientError     5xx, connection lost, the outcome may be unknown: the core tries again
│   │   └── ThrottledError surely not accepted (429): safe to send again to any device
│   ├── LateError          the provider says done, the result is not there yet: the core waits, then gives up
│   ├── UnavailableError   offline, quota, outside its window: wait, or use another device
│   ├── CredentialsError   log in again, then resume
│   ├── RejectedError      the provider refuses this request for good: change the request
│   ├── UnknownJobError    the provider does not know this job id
│   ├── JobFailedError     the provider ran the job and reports a failure, or the job was cancelled
│   └── IntegrityError     the reply contradicts the request; the raw reply is kept
├── DetachedError          a deadline passed; the jobs live on: resume later (exit 75)
├── WorkerError            another process of a training ended: resume, with as many processes as you like
├── UnknownFateError       a submission was interrupted and the device cannot say whether it exists: a person decides
├── BudgetError            the next submission would exceed the cap: it was not sent
└── StoreError             the store is unreachable, damaged or locked
    └── ReplayMissError    policy "replay" and no recorded shots for this request
```
"""

from collections.abc import Sequence


class QcaanError(Exception):
    """Base of the tree in this module's docstring. `exit_code` is what the command line returns."""

    exit_code = 1


class ConfigError(QcaanError):
    """A configuration key or a driver option is wrong; the message names the key, the value and the remedy."""

    exit_code = 2


class CircuitError(QcaanError, ValueError):
    """A circuit, angle, theta or basis cannot be run; the message names the gate and the remedy."""

    exit_code = 2


class DataError(QcaanError):
    """A file of data is missing or damaged; the message names the file and the remedy."""


class BackendError(QcaanError):
    """Something about a device. Drivers raise only this and its subclasses, with the SDK's error as the cause."""


class MissingSDK(BackendError):  # noqa: N818 - reads as what it is
    """The SDK that a driver needs is not installed."""

    exit_code = 2

    def __init__(self, backend: str, package: str, distribution: str = "qcaan") -> None:
        super().__init__(f"backend '{backend}' needs the package '{package}': pip install '{distribution}[{backend}]'")


class TargetError(BackendError):
    """A request violates the target's facts. `violations` holds all of them, one sentence each."""

    exit_code = 2

    def __init__(self, target: str, violations: Sequence[str]) -> None:
        self.violations = tuple(violations)
        super().__init__(f"target '{target}' cannot run this: " + "; ".join(self.violations))


class TransientError(BackendError):
    """A server error or a lost connection: the same request may succeed in a moment, or may have succeeded unseen."""


class ThrottledError(TransientError):
    """The provider refused the request because there are too many: it was surely not accepted."""


class LateError(BackendError):
    """The provider reports success but the result is not readable yet."""


class UnavailableError(BackendError):
    """The device is offline, out of its window, or the account is at its quota."""


class CredentialsError(BackendError):
    """Credentials are missing, expired or refused."""


class RejectedError(BackendError):
    """The provider refuses the request for good."""


class UnknownJobError(BackendError):
    """The provider does not know this job id."""


class JobFailedError(BackendError):
    """The provider reports that a job failed or was cancelled; the message holds its reason."""


class IntegrityError(BackendError):
    """A reply contradicts its request: wrong sums, qubits or device."""


class DetachedError(QcaanError):
    """A deadline passed while jobs were still queued or running; nothing is lost and nothing is sent again."""

    exit_code = 75

    def __init__(self, message: str, job_ids: Sequence[str]) -> None:
        self.job_ids = tuple(job_ids)
        super().__init__(message)


class WorkerError(QcaanError):
    """A process that shares a training has ended; nothing that was measured is lost, and the run can be resumed."""


class UnknownFateError(QcaanError):
    """A submission was interrupted and the device offers no way to ask whether it was accepted."""


class BudgetError(QcaanError):
    """The high estimate of the next submission does not fit under the cap."""


class StoreError(QcaanError):
    """The store cannot be read or written."""


class ReplayMissError(StoreError):
    """Under policy "replay" a request has no recorded shots."""
