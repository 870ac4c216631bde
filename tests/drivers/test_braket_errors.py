"""Each error of AWS has the class that says what to do about it; no secret is in any text."""

import traceback

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from backends.braket.errors import translated
from qcaan import errors


def refused(code, status=400, operation="CreateQuantumTask", message="because", **more):
    error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto.ClientError(error | more, operation)


TABLE = [
    (refused("ThrottlingException", 429), errors.ThrottledError),
    (refused("Whatever", 429), errors.ThrottledError),
    (refused("SlowDown", 503, "GetObject"), errors.ThrottledError),
    (refused("InternalServiceException", 500), errors.TransientError),
    (refused("Whatever", 502), errors.TransientError),
    (refused("ServiceUnavailable", 503), errors.TransientError),
    (refused("RequestTimeout", 400, "GetObject"), errors.TransientError),
    (refused("RequestTimeoutException"), errors.TransientError),
    (refused("408", 408), errors.TransientError),  # a proxy's, which tells nothing of AWS
    (refused("ThrottledException"), errors.ThrottledError),
    (refused("NoSuchKey", 404, "GetObject"), errors.LateError),
    (refused("AccessDenied", 403, "GetObject"), errors.LateError),
    (refused("NoSuchBucket", 404, "GetObject"), errors.RejectedError),
    (refused("DeviceOfflineException", 424), errors.UnavailableError),
    (refused("ServiceQuotaExceededException", 402), errors.UnavailableError),
    (refused("ExpiredTokenException", 403), errors.CredentialsError),
    (refused("ExpiredToken", 400, "GetObject"), errors.CredentialsError),
    (refused("RequestExpired", 400), errors.CredentialsError),
    (refused("UnrecognizedClientException", 403), errors.CredentialsError),
    (refused("InvalidSignatureException", 403), errors.CredentialsError),
    (refused("SignatureDoesNotMatch", 403, "GetObject"), errors.CredentialsError),
    (refused("ResourceNotFoundException", 404, "GetQuantumTask"), errors.UnknownJobError),
    (refused("ResourceNotFoundException", 404, "CancelQuantumTask"), errors.UnknownJobError),
    (refused("ResourceNotFoundException", 404, "GetDevice"), errors.RejectedError),
    (refused("ValidationException"), errors.RejectedError),
    (refused("AccessDeniedException", 403), errors.RejectedError),
    (refused("DeviceRetiredException", 410), errors.RejectedError),
    (boto.EndpointConnectionError(endpoint_url="http://x"), errors.TransientError),
    (boto.ConnectTimeoutError(endpoint_url="http://x"), errors.TransientError),
    (boto.ReadTimeoutError(endpoint_url="http://x"), errors.TransientError),
    (boto.ConnectionClosedError(endpoint_url="http://x"), errors.TransientError),
    (boto.ProxyConnectionError(proxy_url="http://x"), errors.TransientError),
    (boto.ResponseStreamingError(error="broken"), errors.TransientError),
    (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), errors.TransientError),
    (boto.FlexibleChecksumError(error_msg="other bytes"), errors.TransientError),
    (ResponseParserError("not XML"), errors.TransientError),
    (boto.NoCredentialsError(), errors.CredentialsError),
    (boto.PartialCredentialsError(provider="env", cred_var="secret"), errors.CredentialsError),
    (boto.CredentialRetrievalError(provider="p", error_msg="m"), errors.CredentialsError),
    (boto.TokenRetrievalError(provider="sso", error_msg="m"), errors.CredentialsError),
    (boto.UnauthorizedSSOTokenError(), errors.CredentialsError),
    (boto.ProfileNotFound(profile="nobody"), errors.CredentialsError),
    (boto.ParamValidationError(report="shots"), errors.RejectedError),
    (boto.NoRegionError(), errors.RejectedError),
]


@pytest.mark.parametrize(("error", "expected"), TABLE, ids=lambda value: getattr(value, "__name__", None))
def test_every_error_has_its_class_and_its_cause(error, expected):
    with pytest.raises(errors.BackendError) as caught, translated("create a task at FORTE"):
        raise error
    assert type(caught.value) is expected
    assert caught.value.__cause__ is error
    assert str(caught.value).startswith("create a task at FORTE: ")


def test_errors_of_our_own_code_pass():
    with pytest.raises(ZeroDivisionError), translated("divide"):
        raise ZeroDivisionError


def test_a_refused_signature_does_not_show_the_request_that_was_signed():
    message = "The request signature does not match.\n\nThe Canonical String was\nx-amz-security-token:TOKEN"
    with pytest.raises(errors.CredentialsError, match="does not match") as caught, translated("poll"):
        raise refused("InvalidSignatureException", 403, message=message)
    assert "TOKEN" not in "".join(traceback.format_exception(caught.value))
    assert "clock" in str(caught.value)


def test_expired_credentials_say_how_to_log_in():
    with pytest.raises(errors.CredentialsError, match="aws sso login"), translated("poll"):
        raise refused("ExpiredTokenException", 403)


def test_a_refused_program_set_names_its_first_bad_program():
    failures = [{"programIndex": 3, "errors": ["unsupported gate"]}, {"programIndex": 4, "errors": ["same"]}]
    with pytest.raises(errors.RejectedError, match=r"program 3: .*unsupported gate") as caught, translated("create"):
        raise refused("ValidationException", programSetValidationFailures=failures)
    assert "program 4" not in str(caught.value)
