"""Devices at AWS: their ARNs and short names, and what an option must look like; contacts nothing."""

import difflib
import re
from dataclasses import dataclass

from backends.braket.capabilities import SNAPSHOTS
from qcaan.errors import ConfigError

ARNS = {
    "ionq-forte-1": "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1",
    "ionq-forte-enterprise-1": "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-Enterprise-1",
    "sv1": "arn:aws:braket:::device/quantum-simulator/amazon/sv1",
    "dm1": "arn:aws:braket:::device/quantum-simulator/amazon/dm1",
}
"""Short names of devices."""

_ARN = re.compile(r"arn:aws:braket:(?P<region>[a-z0-9-]*)::device/(?P<kind>qpu|quantum-simulator)/[^/]+/[^/]+")
_RESERVATION = re.compile(r"arn:aws:braket:(?P<region>[a-z0-9-]+):\d{12}:reservation/.+")
_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<prefix>.+)")


@dataclass(frozen=True)
class Address:
    """Where a device is. `region` is "" for a simulator, which is in every region."""

    arn: str
    region: str
    is_qpu: bool


def resolve(device: str) -> Address:
    """The address of a device from its ARN or short name.

    Raises:
        ConfigError: neither, or a device that is retired; the message lists the short names and suggests the nearest.
    """
    arn = ARNS.get(device, device)
    offered = f"use 'local', {', '.join(map(repr, ARNS))}, or an ARN such as '{ARNS['ionq-forte-1']}'"
    if arn in SNAPSHOTS:
        raise ConfigError(
            f"backend 'braket', option device={device!r}: it is retired at Amazon Braket, only its noisy twin is left, "
            f"emulate=true; otherwise {offered}"
        )
    if match := _ARN.fullmatch(arn):
        return Address(arn, match["region"], match["kind"] == "qpu")
    near = difflib.get_close_matches(device, ["local", *ARNS], n=1)
    hint = f"did you mean '{near[0]}'? Otherwise " if near else ""
    raise ConfigError(f"backend 'braket', option device={device!r}: {hint}{offered}")


def check_region(address: Address, region: str | None) -> None:
    """Check that a region that the user gives is the device's.

    Raises:
        ConfigError: it is another one.
    """
    if address.region and region and region != address.region:
        raise ConfigError(
            f"backend 'braket', option region={region!r}: {address.arn} is in {address.region}; leave the option out"
        )


def check_reservation(address: Address, reservation: str) -> None:
    """Check the form of a reservation's ARN, and its region.

    Raises:
        ConfigError: it is not an ARN of a reservation in the device's region.
    """
    match = _RESERVATION.fullmatch(reservation)
    if match is None or match["region"] != address.region:
        raise ConfigError(
            f"backend 'braket', option reservation={reservation!r}: give the ARN of a Braket Direct reservation of "
            f"{address.arn}, 'arn:aws:braket:{address.region or 'REGION'}:ACCOUNT:reservation/ID'"
        )


def split_s3(location: str) -> tuple[str, str]:
    """Bucket and prefix of "s3://BUCKET/PREFIX".

    Raises:
        ConfigError: it is not of this form.
    """
    match = _S3.fullmatch(location)
    if match is None:
        raise ConfigError(f"backend 'braket', option s3={location!r}: give 's3://BUCKET/PREFIX'")
    return match["bucket"], match["prefix"].rstrip("/")
