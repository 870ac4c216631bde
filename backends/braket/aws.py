"""Devices at AWS: what a user needs before the first call, checked without any call.

Why no instance or container role is asked for credentials: that is a network call, and outside AWS one that waits for a
time-out.
"""

import difflib
import os
import re
from typing import NoReturn

from qcaan.errors import ConfigError, CredentialsError, MissingSDK, UnavailableError

ARNS = {
    "ionq-forte-1": "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1",
    "ionq-forte-enterprise-1": "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-Enterprise-1",
    "sv1": "arn:aws:braket:::device/quantum-simulator/amazon/sv1",
    "dm1": "arn:aws:braket:::device/quantum-simulator/amazon/dm1",
}
"""Short names of devices."""

_ARN = re.compile(r"arn:aws:braket:(?P<region>[a-z0-9-]*)::device/(?P<kind>qpu|quantum-simulator)/[^/]+/[^/]+")
_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+")


def resolve(device: str) -> str:
    """The ARN of a device from its ARN or short name.

    Raises:
        ConfigError: neither; the message lists the short names and suggests the nearest.
    """
    arn = ARNS.get(device, device)
    if _ARN.fullmatch(arn):
        return arn
    near = difflib.get_close_matches(device, ["local", *ARNS], n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise ConfigError(
        f"backend 'braket', option device={device!r}: {hint}Use 'local', {', '.join(map(repr, ARNS))}, or an ARN "
        f"such as '{ARNS['ionq-forte-1']}'"
    )


def open_device(device: str, *, profile: str | None, region: str | None, s3: str | None) -> NoReturn:
    """Check everything that a device at AWS needs, and say what is missing; contacts nothing.

    Raises:
        MissingSDK: amazon-braket-sdk is not installed.
        ConfigError: no such device, a region that is not the device's, no region, or no S3 location.
        CredentialsError: no credentials; the message names whatever else is missing too.
        UnavailableError: nothing is missing, but only the local simulator can be used.
    """
    arn = resolve(device)
    match = _ARN.fullmatch(arn)
    assert match is not None
    home = match["region"]
    if home and region and region != home:
        raise ConfigError(f"backend 'braket', option region={region!r}: {arn} is in {home}; leave the option out")
    if s3 is not None and not _S3.fullmatch(s3):
        raise ConfigError(f"backend 'braket', option s3={s3!r}: give 's3://BUCKET/PREFIX'")
    credentials, configured = _look_up(profile)
    no_credentials = (
        []
        if credentials
        else [
            "AWS credentials: run 'aws configure', or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the "
            "option profile=NAME"
        ]
    )
    missing = list(no_credentials)
    if not (home or region or configured):
        missing.append("a region: give the option region='us-east-1', or set AWS_REGION")
    if s3 is None:
        missing.append("an S3 location for its results: give the option s3='s3://BUCKET/PREFIX'")
    if missing:
        if match["kind"] == "qpu":
            missing.append("a budget, because it charges by task and shot: set 'budget.cap_usd' in the configuration")
        text = f"backend 'braket': {arn} needs " + "; ".join(missing) + ". Nothing was sent"
        raise CredentialsError(text) if no_credentials else ConfigError(text)
    raise UnavailableError(
        f"backend 'braket': {arn} cannot be used by this version, which runs circuits on the local simulator only; "
        "use device: local"
    )


def _look_up(profile: str | None) -> tuple[bool, str | None]:
    """Whether there are credentials, and the configured region; from the environment and files only."""
    try:
        import botocore.session
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise MissingSDK("braket", "amazon-braket-sdk") from error
    session = botocore.session.Session(profile=profile)
    try:
        chain = session.get_component("credential_provider")
        for provider in ("iam-role", "container-role"):
            chain.remove(provider)
        return session.get_credentials() is not None, os.environ.get("AWS_REGION") or session.get_config_variable(
            "region"
        )
    except BotoCoreError as error:
        raise CredentialsError(f"backend 'braket', option profile={profile!r}: {error}") from error
