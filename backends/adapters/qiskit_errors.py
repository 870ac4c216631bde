"""Errors of Qiskit and of its providers as ours.

Why by HTTP status: providers have error classes of their own, but nearly all of them are HTTP services, and what to do
about an error is in its status. Where there is none, the words in the name of its class decide.

Why a connection that broke anywhere, an error about a reply of success, 408 and 409 are transient: whether a job was
made is not known, and a refusal would say that there surely is none. So is whatever has no status while a job is sent:
a provider's client may stumble over the reply to a job that was accepted. Only an address that is none was not sent to.

Why 403 is a refusal: it tells of a right that the key lacks, and a new login does not give it.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from qcaan.errors import (
    BackendError,
    CredentialsError,
    JobFailedError,
    RejectedError,
    ThrottledError,
    TransientError,
    UnavailableError,
    UnknownJobError,
)


@contextmanager
def translated(*, sending: bool = False) -> Iterator[None]:
    """Let errors of Qiskit and of its providers out as ours, cause kept; `sending`: a job may be made meanwhile."""
    import requests
    from qiskit.exceptions import QiskitError

    try:
        yield
    except BackendError:
        raise
    except (QiskitError, requests.RequestException, ValueError, TypeError) as error:
        raise _as_ours(error, sending) from error


def _as_ours(error: Exception, sending: bool) -> BackendError:
    from requests import exceptions as of_requests

    broken = (
        of_requests.ConnectionError,
        of_requests.Timeout,
        of_requests.ChunkedEncodingError,
        of_requests.ContentDecodingError,
        of_requests.JSONDecodeError,
    )
    never_left = (of_requests.InvalidURL, of_requests.InvalidSchema, of_requests.MissingSchema)
    causes: list[BaseException | None] = [error, getattr(error, "_cause", None), error.__cause__]
    found = (
        getattr(e, "status_code", None) or getattr(getattr(e, "response", None), "status_code", None) for e in causes
    )
    status = next((int(code) for code in found if code), math.nan)
    is_broken = math.isnan(status) and any(isinstance(cause, broken) for cause in causes)
    is_unsure = sending and math.isnan(status) and not isinstance(error, never_left)
    text = f"{type(error).__name__}: {error}"
    kind: type[BackendError] = RejectedError
    if status == 429:
        kind = ThrottledError
    elif status < 300 or status in (408, 409) or status >= 500:
        kind = TransientError
    elif status in (402, 424):
        kind = UnavailableError
    elif status == 401 or "Credential" in type(error).__name__:
        kind = CredentialsError
    elif status == 404:
        kind = UnknownJobError
    elif "JobFailure" in type(error).__name__:
        kind = JobFailedError
    elif is_broken or is_unsure or "Retriable" in type(error).__name__ or "Timeout" in type(error).__name__:
        kind = TransientError
    return kind(text)
