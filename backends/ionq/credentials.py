"""The API key: where it is read from, and nowhere kept."""

import os

from qcaan.errors import CredentialsError

VARIABLE = "IONQ_API_KEY"
LOGIN = f"make a key at cloud.ionq.com under API keys, and set {VARIABLE}"


def api_key() -> str:
    """The key in the environment.

    Raises:
        CredentialsError: there is none, or it cannot be one; its value is not told.
    """
    key = os.environ.get(VARIABLE, "").strip()
    if not key:
        raise CredentialsError(f"no API key of IonQ; only devices at IonQ need one: {LOGIN}. Nothing was sent")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise CredentialsError(f"{VARIABLE} is not an API key: it has spaces or special characters. Nothing was sent")
    return key


def found() -> str:
    """Where the key comes from, for `qcaan doctor`; it is not tried at IonQ.

    Raises:
        CredentialsError: there is none.
    """
    api_key()
    url = os.environ.get("IONQ_API_URL")
    return f"IonQ, from {VARIABLE}" + (f"; calls go to {url}" if url else "")
