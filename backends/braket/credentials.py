"""Which AWS credentials this machine has, for `qcaan doctor`: looked for here, never tried at AWS."""

import os

import boto3
from botocore.session import Session

from backends.braket.errors import translated
from qcaan.errors import CredentialsError

LOGIN = "run 'aws configure' or 'aws sso login', or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


def found() -> str:
    """Where the default credentials come from, their region, and where calls go if that is not AWS.

    Why the role of a machine at AWS is not looked for: elsewhere, asking for it waits until it times out.

    Raises:
        CredentialsError: there are none, or the profile that the environment names does not exist.
    """
    with translated("look for AWS credentials"):
        core = Session()
        core.get_component("credential_provider").remove("iam-role")
        session = boto3.Session(botocore_session=core)
        credentials = session.get_credentials()
    if credentials is None:
        raise CredentialsError(f"no AWS credentials; only devices at AWS need them: {LOGIN}")
    region = session.region_name or "no region (a QPU has its own)"
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    rehearsal = f"; calls go to {endpoint}, not to AWS" if endpoint else ""
    return f"AWS, from {credentials.method}, profile {session.profile_name}, {region}{rehearsal}"
