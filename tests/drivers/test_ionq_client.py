"""Each error of IonQ's API has the class that says what to do; the key goes to IonQ alone, and into no text."""

import json
import traceback

import pytest
import requests
from requests.adapters import HTTPAdapter

from backends.ionq.client import URL, Client
from backends.ionq.credentials import api_key, found
from backends.ionq.reply import parsed
from qcaan import errors

KEY = "sesame-0123456789"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("IONQ_API_KEY", KEY)
    monkeypatch.delenv("IONQ_API_URL", raising=False)


@pytest.fixture
def answers(monkeypatch):
    """What IonQ answers, and the requests that it got."""
    requests_, replies = [], []

    def send(_, request, **how):
        requests_.append((request, how))
        reply = replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        status, body, *headers = reply
        response = requests.Response()
        response.status_code = status
        response._content = body if isinstance(body, bytes) else json.dumps(body).encode()
        response.headers.update(headers[0] if headers else {})
        response.request, response.url = request, request.url
        return response

    monkeypatch.setattr(HTTPAdapter, "send", send)
    return requests_, replies


TOLD = {"statusCode": 400, "error": "Bad Request", "message": "because"}
TABLE = [
    ((400, TOLD), errors.RejectedError),
    ((401, TOLD), errors.CredentialsError),
    ((403, TOLD), errors.RejectedError),
    ((402, TOLD), errors.UnavailableError),
    ((423, TOLD), errors.UnavailableError),
    ((404, TOLD), errors.LateError),
    ((408, TOLD), errors.TransientError),
    ((409, TOLD), errors.TransientError),
    ((413, TOLD), errors.RejectedError),
    ((429, TOLD), errors.ThrottledError),
    ((500, TOLD), errors.TransientError),
    ((502, b"<html>because</html>"), errors.TransientError),
    ((503, TOLD), errors.TransientError),
    ((504, TOLD), errors.TransientError),
    ((524, TOLD), errors.TransientError),
    ((302, b"because", {"Location": "https://elsewhere"}), errors.RejectedError),
    ((202, b"because"), errors.TransientError),
    ((204, b"because"), errors.TransientError),
    ((200, b"\xff\xfe"), errors.TransientError),
    (requests.ConnectionError("because"), errors.TransientError),
    (requests.ConnectTimeout("because"), errors.TransientError),
    (requests.ReadTimeout("because"), errors.TransientError),
    (requests.exceptions.ChunkedEncodingError("because"), errors.TransientError),
    (requests.exceptions.ContentDecodingError("because"), errors.TransientError),
    (requests.exceptions.TooManyRedirects("because"), errors.RejectedError),
    (requests.exceptions.InvalidURL("because"), errors.RejectedError),
]


@pytest.mark.parametrize(("reply", "kind"), TABLE, ids=lambda value: str(value)[:40])
def test_the_class_says_what_to_do(answers, reply, kind):
    answers[1].append(reply)
    with pytest.raises(errors.BackendError) as caught:
        Client().get("/jobs/1", "look", missing=errors.LateError)
    assert type(caught.value) is kind
    assert str(caught.value).startswith("look: ")
    assert "because" in str(caught.value) or reply[0] == 200


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"code": 7, "message": "one"}, "one"),
        ({"statusCode": 400, "error": "Bad", "message": "two"}, "two"),
        ({"error": {"type": "x", "message": "three"}}, "three"),
        ({"error": "four"}, "four"),
        (["five"], "five"),
        (b"six\nseven", "six"),
        (b"", "no reason given"),
    ],
)
def test_every_form_of_an_error(answers, body, told):
    answers[1].append((400, body))
    with pytest.raises(errors.RejectedError, match=f"HTTP 400: .*{told}") as caught:
        Client().get("/jobs", "look")
    assert "seven" not in str(caught.value)


def test_how_long_to_wait_is_told(answers):
    answers[1].append((429, TOLD, {"Retry-After": "3"}))
    with pytest.raises(errors.ThrottledError, match="asks to wait 3 s"):
        Client().get("/jobs", "look")


def test_a_post_is_sent_once_whatever_happens(answers):
    sent, replies = answers
    replies += [requests.ReadTimeout("lost"), (500, TOLD)]
    for _ in range(2):
        with pytest.raises(errors.TransientError):
            Client().post("/jobs", "{}", "create")
    assert len(sent) == 2
    for request, how in sent:
        assert request.url == f"{URL}/jobs"
        assert how["timeout"] == (5, 30)


def test_a_request_carries_the_key_of_this_moment(answers, monkeypatch, tmp_path):
    """Also where the user's .netrc knows the host."""
    (tmp_path / ".netrc").write_text("machine api.ionq.co login me password other\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    sent, replies = answers
    replies += [(200, {}), (201, {})]
    client = Client()
    client.get("/jobs", "look")
    monkeypatch.setenv("IONQ_API_KEY", "another")
    client.post("/jobs", "{}", "create")
    assert [request.headers["Authorization"] for request, _ in sent] == [f"apiKey {KEY}", "apiKey another"]
    assert KEY not in repr(client.__dict__)


@pytest.mark.parametrize("reply", [(400, {"message": f"bad key {KEY}"}), (401, KEY.encode()), requests.Timeout("x")])
def test_no_text_holds_the_key(answers, reply):
    answers[1].append(reply)
    with pytest.raises(errors.BackendError) as caught:
        Client().get("/jobs", "look")
    assert KEY not in "".join(traceback.format_exception(caught.value))


class TestKey:
    @pytest.mark.parametrize("value", ["", "  "])
    def test_none(self, monkeypatch, value):
        monkeypatch.setenv("IONQ_API_KEY", value)
        with pytest.raises(errors.CredentialsError, match=r"cloud\.ionq\.com.*Nothing was sent"):
            found()

    @pytest.mark.parametrize("value", ["open sesame", "open\nsesame", "sésame", "open\x7f"])
    def test_none_that_could_be_one(self, monkeypatch, value):
        monkeypatch.setenv("IONQ_API_KEY", value)
        with pytest.raises(errors.CredentialsError, match="not an API key") as caught:
            api_key()
        assert "sesame" not in str(caught.value)

    def test_where_it_comes_from(self, monkeypatch):
        assert found() == "IonQ, from IONQ_API_KEY"
        monkeypatch.setenv("IONQ_API_URL", "http://127.0.0.1:1/v0.4")
        assert "calls go to http://127.0.0.1:1/v0.4" in found()
        assert KEY not in found()


class TestAddress:
    @pytest.mark.parametrize(
        "url", ["https://api.ionq.co/v0.4", "https://x.example/ionq/v0.4/", "http://127.0.0.1:8089/v0.4"]
    )
    def test_good(self, url):
        assert Client(url).url == url.rstrip("/")

    def test_the_environment_s(self, monkeypatch):
        assert Client().url == URL
        monkeypatch.setenv("IONQ_API_URL", "http://localhost:1/v0.4")
        assert Client().url == "http://localhost:1/v0.4"
        assert Client("http://[::1]:2/v0.4").url == "http://[::1]:2/v0.4"

    @pytest.mark.parametrize(
        ("url", "told"),
        [
            ("http://api.ionq.co/v0.4", "only sent over https"),
            ("http://127.0.0.1.evil.example/v0.4", "only sent over https"),
            ("ftp://api.ionq.co/v0.4", "give an address such as"),
            ("api.ionq.co/v0.4", "give an address such as"),
            ("https://me:pass@api.ionq.co/v0.4", "nothing but host and path"),
            ("https://api.ionq.co/v0.4?x=1", "nothing but host and path"),
            ("https://api.ionq.co/v0.3", "must end in /v0.4"),
            ("https://api.ionq.co", "must end in /v0.4"),
        ],
    )
    def test_bad(self, url, told):
        with pytest.raises(errors.ConfigError, match=told) as caught:
            Client(url)
        assert "pass" not in str(caught.value)


class TestParsed:
    def test_good(self):
        assert parsed('{"id": 1, "more": 2}', "the job", "id") == {"id": 1, "more": 2}

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("<html>", "the job is not JSON.*the reply begins: <html>"),
            ("[1]", "the job is a JSON list.*begins: .1"),
            ('{"identity": 1}', r"the job lacks id, status.*may have changed.*begins: \{.identity"),
        ],
    )
    def test_what_changed_is_named(self, text, told):
        with pytest.raises(errors.IntegrityError, match=told):
            parsed(text, "the job", "id", "status")
