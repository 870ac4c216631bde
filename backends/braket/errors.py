"""The one seam where errors of AWS become errors of qcaan, whose type says what to do. The cause is kept.

| class | members |
|---|---|
| ThrottledError | 429, Throttling, SlowDown: surely not accepted |
| TransientError | 5xx, 408, lost connections, time-outs, broken streams: may have been accepted |
| LateError | an S3 object that is not there (yet) although its task is complete |
| UnavailableError | the device is offline, a quota is used up |
| CredentialsError | missing, expired, refused or unreadable credentials |
| UnknownJobError | no such task |
| RejectedError | everything else that AWS refuses: bad parameters, no permission, a retired device, a spending limit |

Why S3's "access denied" on a result counts as late: S3 says so of an object that does not exist yet to whoever may not
list the bucket.

Why a service's message ends at its first line: a refused signature is explained with the whole request, which holds
the session's token. The cause's own text is cut too, because tracebacks print it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from qcaan.errors import (
    BackendError,
    CredentialsError,
    LateError,
    RejectedError,
    ThrottledError,
    TransientError,
    UnavailableError,
    UnknownJobError,
)

_THROTTLED = {
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
_TRANSIENT = {
    "InternalError",
    "InternalServiceException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
}
_UNAVAILABLE = {"DeviceOfflineException", "ServiceQuotaExceededException"}
_CREDENTIALS = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
}
_NO_CREDENTIALS = (
    boto.CredentialRetrievalError,
    boto.LoginError,
    boto.MetadataRetrievalError,
    boto.NoAuthTokenError,
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.SSOError,
    boto.TokenRetrievalError,
)
_LOST = (
    boto.ChecksumError,
    boto.ConnectionError,
    boto.FlexibleChecksumError,
    boto.HTTPClientError,
    boto.IncompleteReadError,
    ResponseParserError,
)
_LOG_IN = "log in again ('aws sso login', 'aws configure', or new keys in the environment), then resume"
_OTHER_PROFILE = (
    "'aws configure list-profiles' tells those of this machine, 'aws configure --profile NAME' makes one; which one is "
    "used, the option profile or AWS_PROFILE says"
)
_LONGEST = 400


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Errors of boto3 that are raised inside become qcaan's; `doing` begins their text.

    Raises:
        BackendError: its subclass by the table in this module's docstring.
    """
    try:
        yield
    except boto.ClientError as error:
        raise _of_service(error, doing) from error
    except boto.ProfileNotFound as error:
        raise CredentialsError(f"{doing}: {error}; {_OTHER_PROFILE}") from error
    except _NO_CREDENTIALS as error:
        raise CredentialsError(f"{doing}: {error}; {_LOG_IN}") from error
    except _LOST as error:
        raise TransientError(f"{doing}: {error}") from error
    except boto.BotoCoreError as error:
        raise RejectedError(f"{doing}: {error}") from error


def _of_service(error: boto.ClientError, doing: str) -> BackendError:
    told = error.response.get("Error", {})
    code, message = str(told.get("Code", "unknown")), _first_line(str(told.get("Message", "")))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    error.args = tuple(_first_line(str(arg)) for arg in error.args)
    text = f"{doing}: {code}: {message or 'no reason given'}{_program_set_failure(error)}"
    if code in _THROTTLED or status == 429:
        return ThrottledError(text)
    if code in _CREDENTIALS:
        return CredentialsError(f"{text}; {_LOG_IN}, and check this machine's clock")
    if code in _UNAVAILABLE:
        return UnavailableError(text)
    if code in _TRANSIENT or status == 408 or status >= 500:
        return TransientError(text)
    if error.operation_name == "GetObject" and code in ("NoSuchKey", "AccessDenied", "404", "403"):
        return LateError(f"{text}; if it stays so, check that these credentials may read the bucket")
    if error.operation_name in ("GetQuantumTask", "CancelQuantumTask") and code == "ResourceNotFoundException":
        return UnknownJobError(text)
    return RejectedError(text)


def _first_line(text: str) -> str:
    return text.partition("\n")[0].strip()[:_LONGEST]


def _program_set_failure(error: boto.ClientError) -> str:
    """What is wrong with the first program of a set that was refused."""
    failures = error.response.get("programSetValidationFailures") or ()
    return "".join(f" (program {f.get('programIndex')}: {_first_line(str(f.get('errors')))})" for f in failures[:1])
