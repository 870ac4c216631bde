"""The calls to IonQ: one method is one request, never redirected; only facts are asked for again.

This is the one seam where HTTP errors become errors of qcaan, whose type says what to do. The cause is kept.

| class | members |
|---|---|
| ThrottledError | 429: surely not accepted |
| TransientError | 408, 409, 5xx, 2xx but 200 and 201, lost connections, time-outs, broken or unreadable replies |
| CredentialsError | 401 |
| UnavailableError | 402, 423: the account's credit or the device |
| the caller's | 404: what is missing depends on what was asked for |
| RejectedError | every other refusal, 403 for a right that the key lacks and redirects too |

Why a POST is never sent twice here: IonQ knows no idempotency key, and its own clients, which repeat a POST whose reply
was lost, make two jobs of it. The core looks for the first job before it asks again.

Why an unknown success is transient: a job may have been made, and a refusal would say that there surely is none.

Why 409 counts as transient: IonQ's own clients report that Cloudflare answers so when it cannot resolve a name.

Why the key is attached to each request and not to the session: a `.netrc` would replace it there, and a new key in the
environment is used at once.
"""

import json
import os
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.util import Retry

from backends.ionq.credentials import LOGIN, api_key
from qcaan import __version__
from qcaan.errors import (
    ConfigError,
    CredentialsError,
    QcaanError,
    RejectedError,
    ThrottledError,
    TransientError,
    UnavailableError,
)

URL = "https://api.ionq.co/v0.4"
_VERSION = "/v0.4"
_HERE = ("127.0.0.1", "::1", "localhost")
_TIMES_S = (5, 30)
"""Longest wait for a connection, and between two bytes of a reply."""
_LONGEST = 400
_RETRIES = 5
_AGAIN = (409, 429, 500, 502, 503, 504, *range(520, 530))
Query = Mapping[str, str | int]


class Client:
    """Requests to one address of the API. Threads may share it: each has connections of its own.

    Args:
        url: the API's address with its version; None for the environment's `IONQ_API_URL`, else IonQ's own.

    Raises:
        ConfigError: the address is not one that a key may be sent to.
    """

    def __init__(self, url: str | None = None) -> None:
        self.url = _checked(url or os.environ.get("IONQ_API_URL") or URL)
        self._local = threading.local()

    def get(
        self, path: str, doing: str, *, missing: type[QcaanError] = RejectedError, query: Query | None = None
    ) -> str:
        """The body of a GET; `doing` begins an error's text, `missing` is raised for 404."""
        return self._send(0, "GET", path, doing, missing, params=query)

    def fact(
        self, path: str, doing: str, *, missing: type[QcaanError] = RejectedError, query: Query | None = None
    ) -> str:
        """As `get`, of something that the core is not there to ask again for: up to six times, within seconds."""
        return self._send(_RETRIES, "GET", path, doing, missing, params=query)

    def post(self, path: str, body: str, doing: str) -> str:
        """The body of the reply to a POST of a JSON text."""
        return self._send(0, "POST", path, doing, RejectedError, data=body.encode())

    def put(self, path: str, doing: str, *, missing: type[QcaanError]) -> str:
        """The body of the reply to a PUT without a body."""
        return self._send(0, "PUT", path, doing, missing)

    def _send(
        self,
        retries: int,
        method: str,
        path: str,
        doing: str,
        missing: type[QcaanError],
        **more: Any,  # noqa: ANN401 - what requests takes
    ) -> str:
        auth = _Key(api_key())
        try:
            response = self._session(retries).request(
                method, self.url + path, auth=auth, timeout=_TIMES_S, allow_redirects=False, **more
            )
            body = response.content.decode()
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
            requests.exceptions.ContentDecodingError,
            UnicodeDecodeError,
        ) as error:
            raise TransientError(f"{doing}: {type(error).__name__}: {str(error)[:_LONGEST]}") from error
        except requests.RequestException as error:
            raise RejectedError(f"{doing}: {type(error).__name__}: {str(error)[:_LONGEST]}") from error
        if response.status_code not in (200, 201):
            raise _refusal(response, auth.hidden(body), doing, missing)
        return body

    def _session(self, retries: int) -> requests.Session:
        sessions: dict[int, requests.Session] = self._local.__dict__.setdefault("sessions", {})
        if retries not in sessions:
            session = sessions[retries] = requests.Session()
            session.headers.update({"User-Agent": f"qcaan/{__version__}", "Content-Type": "application/json"})
            again = Retry(retries, backoff_factor=0.2, status_forcelist=_AGAIN, raise_on_status=False)
            for scheme in ("https://", "http://"):
                session.mount(scheme, HTTPAdapter(max_retries=again if retries else 0))
        return sessions[retries]


class _Key(AuthBase):
    """The header that signs a request."""

    def __init__(self, key: str) -> None:
        self._value = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"apiKey {self._value}"
        return request

    def hidden(self, text: str) -> str:
        """The text without the key."""
        return text.replace(self._value, "(the key)")


def _refusal(response: requests.Response, body: str, doing: str, missing: type[QcaanError]) -> QcaanError:
    status = response.status_code
    wait = response.headers.get("Retry-After", "")
    later = f"; IonQ asks to wait {wait[:40]} s" if wait else ""
    text = f"{doing}: HTTP {status}: {_message(body)}{later}"
    if status == 429:
        return ThrottledError(text)
    if status == 401:
        return CredentialsError(f"{text}; {LOGIN}, then resume")
    if status in (402, 423):
        return UnavailableError(text)
    if status == 404:
        return missing(text)
    if status < 300 or status in (408, 409) or status >= 500:
        return TransientError(text)
    return RejectedError(text)


def _message(body: str) -> str:
    """What an error says, in each of the three forms that IonQ's clients know."""
    try:
        tree = json.loads(body)
    except ValueError:
        return body.strip().partition("\n")[0][:_LONGEST] or "no reason given"
    error = tree.get("error") if isinstance(tree, dict) else None
    told = tree.get("message") if isinstance(tree, dict) else None
    if isinstance(error, dict):
        told = told or error.get("message")
    return str(told or error or tree).partition("\n")[0][:_LONGEST]


def _checked(url: str) -> str:
    parts = urlsplit(url.rstrip("/"))
    wrong = ""
    if parts.scheme not in ("https", "http") or not parts.hostname:
        wrong = f"give an address such as {URL}"
    elif parts.scheme == "http" and parts.hostname not in _HERE:
        wrong = "the API key is only sent over https, or to this machine"
    elif parts.username or parts.password or parts.query or parts.fragment:
        wrong = "an address with nothing but host and path"
    elif not parts.path.endswith(_VERSION):
        wrong = f"it must end in {_VERSION}, the version of the API that this driver speaks"
    if wrong:
        shown = f"{parts.scheme}://{parts.hostname}{parts.path}"
        raise ConfigError(f"backend 'ionq', url={shown!r} (option url, or IONQ_API_URL): {wrong}")
    return parts.geturl()
