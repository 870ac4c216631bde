"""What the service answers when it refuses a call: AWS's own codes and HTTP status."""

from collections.abc import Mapping
from typing import Any

from backends.loopback.errors import Refusal

STATUS: Mapping[str, int] = {
    "ValidationException": 400,
    "ExpiredTokenException": 403,
    "UnrecognizedClientException": 403,
    "AccessDeniedException": 403,
    "ServiceQuotaExceededException": 402,
    "ResourceNotFoundException": 404,
    "ConflictException": 409,
    "DeviceRetiredException": 410,
    "DeviceOfflineException": 424,
    "ThrottlingException": 429,
    "InternalServiceException": 500,
    "BadGatewayException": 502,
    "ServiceUnavailableException": 503,
    "GatewayTimeoutException": 504,
    "InvalidAction": 400,
    "ExpiredToken": 400,
    "InvalidBucketName": 400,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "BucketAlreadyOwnedByYou": 409,
    "InternalError": 500,
    "NotImplemented": 501,
    "SlowDown": 503,
}
"""Code -> HTTP status."""


class ServiceError(Refusal):
    """A call is refused with one of the codes of `STATUS`. `fields` are members of the error besides its message."""

    def __init__(self, code: str, message: str, **fields: Any) -> None:  # noqa: ANN401 - JSON values
        super().__init__(STATUS[code], message)
        self.code = code
        self.fields = fields
