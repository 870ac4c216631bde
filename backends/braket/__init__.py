"""Amazon Braket. `device: local` (the default) is its local simulator; an ARN or a short name is a device at AWS."""

from typing import Literal

from backends.braket.aws import ARNS, open_device
from backends.braket.local import BraketLocal
from qcaan.execution.backend import Backend

__all__ = ["ARNS", "open_braket"]


def open_braket(
    *,
    device: str = "local",
    entangler: Literal["ms", "zz"] = "ms",
    n_qubits: int = 24,
    form: Literal["gates", "openqasm"] = "gates",
    profile: str | None = None,
    region: str | None = None,
    s3: str | None = None,
) -> Backend:
    """Amazon Braket: the local simulator, or a device at AWS.

    Args:
        device: "local", a device's ARN, or one of the short names in `ARNS`.
        entangler: two-qubit gate that circuits for the local simulator are compiled to: "ms" as on Aria, "zz" as on
            Forte. A QPU has its own.
        n_qubits: largest register of the local simulator; a state of n qubits takes 16 * 2**n bytes.
        form: how the local simulator gets a circuit: "gates" or "openqasm", see `BraketLocal`.
        profile: AWS profile for a device at AWS; None for the environment's credentials.
        region: AWS region; None for the device's own.
        s3: where a device at AWS writes its results, "s3://BUCKET/PREFIX".

    Raises:
        MissingSDK: amazon-braket-sdk is not installed.
        ConfigError: an option has a wrong value, or a device at AWS needs one that is missing.
        CredentialsError: a device at AWS was asked for, and there are no credentials; nothing was sent.
        UnavailableError: devices at AWS cannot be reached.
    """
    if device == "local":
        return BraketLocal(entangler=entangler, n_qubits=n_qubits, form=form)
    return open_device(device, profile=profile, region=region, s3=s3)
