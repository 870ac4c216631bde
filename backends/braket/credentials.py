"""Which AWS credentials this machine has, for `qcaan doctor`: looked for here, never tried at AWS.

Why a client is made to learn where calls go: variables, the configuration file and what switches both off decide that
together, and whoever believes to rehearse must not be told wrong.
"""

import os
from urllib.parse import urlsplit

import boto3
from botocore.session import Session

from backends.braket.errors import translated
from qcaan.errors import CredentialsError

LOGIN = "run 'aws configure' or 'aws sso login', or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_AWS = (".amazonaws.com", ".api.aws")


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
    with translated("find out where calls to Braket go"):
        place = {"region_name": session.region_name or "us-east-1", "endpoint_url": os.environ.get("BRAKET_ENDPOINT")}
        endpoint = session.client("braket", **place).meta.endpoint_url
    at_aws = (urlsplit(endpoint).hostname or "").endswith(_AWS)
    rehearsal = "" if at_aws else f"; calls go to {endpoint}, not to AWS"
    return f"AWS, from {credentials.method}, profile {session.profile_name}, {region}{rehearsal}"
