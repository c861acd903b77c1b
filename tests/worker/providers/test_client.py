"""Client: how requests reach a provider, with credentials, retries and limits."""

import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import stamina

from connectors.reader import AccessRefusedError, Answer, Request, TryAgainError, UnreadableError
from worker.providers import client as module
from worker.providers.client import ProviderClient

API = "https://shop.example/admin"
TOKEN = "token_4711"
CDN = "files.example"


class Reader:
    DOWNLOAD_HOSTS = frozenset({CDN})

    def authorize(self, credentials):
        return {"x-token": credentials["access_token"]}

    def renewal(self, credentials):
        if "refresh_token" not in credentials:
            return None
        return Request(method="POST", url="/renew", form={"token": credentials["refresh_token"]})

    def renewed(self, credentials, answer):
        if answer.status != 200:
            raise AccessRefusedError("not renewed")
        return {**credentials, "access_token": answer.body.decode()}


class Store:
    def __init__(self, **credentials):
        self.known, self.stored, self.saved = credentials, dict(credentials), []

    def load(self, *, fresh=False):
        if fresh:
            self.known = dict(self.stored)
        return self.known

    @contextmanager
    def exclusive(self):
        yield

    def save(self, credentials):
        self.known = self.stored = dict(credentials)
        self.saved.append(credentials)


def reply(status, content=b"", headers=None):
    return lambda _: httpx.Response(status, stream=httpx.ByteStream(content), headers=headers)


class Provider:
    """A transport that gives its answers one after the other, and repeats the last."""

    def __init__(self, *answers):
        self.answers, self.requests, self.waited = list(answers), [], []

    def __call__(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        while callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def _no_waits():
    with stamina.set_testing(True, attempts=5, cap=True):
        yield


def send(provider, request=None, check=None, store=None, limit_s=60):
    """Send one request and return the whole answer. Without ``store``, the token cannot be renewed."""
    store = store or Store(access_token=TOKEN)
    client = ProviderClient(
        Reader(),
        API,
        store,
        until=time.monotonic() + limit_s,
        transport=httpx.MockTransport(provider),
        on_wait=provider.waited.append,
    )
    try:
        answer = client(request or Request(url="/customers?after=1"), check)
        return Answer(
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            not_before=answer.not_before,
            not_after=answer.not_after,
            lines=iter(list(answer.lines)),
        )
    finally:
        client.close()


def stream(*chunks, status=200, error=None, headers=None):
    def chunked():
        yield from chunks
        if error is not None:
            raise error

    return lambda _: httpx.Response(status, content=chunked(), headers=headers)


def test_requests_go_to_the_url_of_the_api_with_credentials():
    provider = Provider(reply(200, content=b"{}"))
    answer = send(provider, Request(method="POST", url="/graphql?x=1", json={"a": 1}, headers={"h": "v"}))
    (request,) = provider.requests
    assert (str(request.url), request.method) == (f"{API}/graphql?x=1", "POST")
    assert (request.headers["x-token"], request.headers["h"]) == (TOKEN, "v")
    assert request.headers["accept-encoding"] == "identity"
    assert (answer.status, answer.body) == (200, b"{}")


@pytest.mark.parametrize("failure", [reply(503), reply(429), httpx.ReadTimeout("x")])
def test_a_failure_is_tried_again_and_then_raised(failure):
    fine = reply(200, content=b"fine")
    assert send(Provider(failure, failure, fine)).body == b"fine"
    provider = Provider(failure)
    with pytest.raises(TryAgainError) as raised:
        send(provider)
    assert len(provider.requests) == 5
    assert TOKEN not in str(raised.value)


def test_a_check_can_demand_another_attempt_and_its_other_errors_are_raised():
    def throttled(answer):
        if answer.body == b"throttled":
            raise TryAgainError("throttled", timedelta(seconds=0.01))

    provider = Provider(reply(200, content=b"throttled"), reply(200, content=b"fine"))
    assert send(provider, check=throttled).body == b"fine"
    assert provider.waited == [0.01]

    def refuse(_answer):
        raise AccessRefusedError("no")

    provider = Provider(reply(200))
    with pytest.raises(AccessRefusedError):
        send(provider, check=refuse)
    assert len(provider.requests) == 1


def test_a_long_wait_is_raised_at_once():
    provider = Provider(reply(429, headers={"retry-after": "60"}))
    with pytest.raises(TryAgainError) as raised:
        send(provider)
    assert raised.value.after == timedelta(seconds=60)
    assert (len(provider.requests), provider.waited) == (1, [])


def test_all_attempts_and_waits_are_over_when_the_time_of_the_session_is():
    provider = Provider(reply(429, headers={"retry-after": "2"}))
    with pytest.raises(TryAgainError) as raised:
        send(provider, limit_s=1)
    assert (raised.value.after, len(provider.requests)) == (timedelta(seconds=2), 1)

    provider = Provider(reply(200))
    with pytest.raises(TryAgainError, match="all the time"):
        send(provider, limit_s=0)
    assert provider.requests == []


def test_each_request_carries_its_deadline_and_a_download_has_that_of_the_session():
    provider = Provider(reply(200))
    send(provider, limit_s=1000)
    send(provider, Request(url="/bulk", offset=0), limit_s=1000)
    left = [request.extensions["deadline"] - time.monotonic() for request in provider.requests]
    assert module.REQUEST_S - 5 < left[0] <= module.REQUEST_S
    assert 990 < left[1] <= 1000


def test_expired_credentials_are_renewed_once_by_a_request_without_them():
    def answer(request):
        if request.url.path.endswith("/renew"):
            assert "x-token" not in request.headers
            assert request.content == b"token=r1"
            return reply(200, content=b"token_2")
        return reply(200 if request.headers["x-token"] == "token_2" else 401)

    store, provider = Store(access_token=TOKEN, refresh_token="r1"), Provider(answer)
    assert send(provider, store=store).status == 200
    assert [one["access_token"] for one in store.saved] == ["token_2"]
    assert len(provider.requests) == 3


def test_credentials_that_another_process_renewed_are_used():
    store = Store(access_token=TOKEN, refresh_token="r1")
    store.stored["access_token"] = "token_2"
    provider = Provider(lambda request: reply(200 if request.headers["x-token"] == "token_2" else 401))
    assert send(provider, store=store).status == 200
    assert (store.saved, len(provider.requests)) == ([], 2)


def test_a_refusal_without_renewal_is_returned_to_the_reader():
    provider = Provider(reply(401))
    assert send(provider).status == 401
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        f"http://{CDN}/x",
        f"https://{CDN}:8443/x",
        f"https://{CDN}.evil.example/x",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "//evil.example/x",
        "https://shop.example:444/x",
    ],
)
def test_no_other_host_gets_a_request(url):
    provider = Provider(reply(200))
    if url.startswith("//"):  # counts as a path of the API, so the request stays with its host
        send(provider, Request(url=url))
        assert provider.requests[0].url.host == "shop.example"
        return
    with pytest.raises(UnreadableError):
        send(provider, Request(url=url))
    assert provider.requests == []


@pytest.mark.parametrize("url", [f"https://{CDN}/bulk.jsonl?sig=1", "https://shop.example/other"])
def test_a_request_to_a_whole_url_has_no_credentials(url):
    provider = Provider(reply(200))
    send(provider, Request(url=url))
    assert "x-token" not in provider.requests[0].headers


def test_a_redirect_is_not_followed():
    provider = Provider(reply(302, headers={"location": "https://evil.example/"}))
    with pytest.raises(AccessRefusedError, match="--api-url"):
        send(provider)
    assert len(provider.requests) == 1


def test_cookies_are_not_kept():
    provider = Provider(reply(200, headers={"set-cookie": "a=b"}))
    client = ProviderClient(
        Reader(),
        API,
        Store(access_token=TOKEN),
        until=time.monotonic() + 60,
        transport=httpx.MockTransport(provider),
    )
    client(Request(url="/1"))
    client(Request(url="/2"))
    assert "cookie" not in provider.requests[1].headers


def test_an_answer_that_is_too_large_or_compressed_is_refused(monkeypatch):
    monkeypatch.setattr(module, "_MAX_BYTES", 10)
    assert send(Provider(stream(b"12345", b"67890"))).body == b"1234567890"
    with pytest.raises(UnreadableError, match="larger"):
        send(Provider(stream(b"12345", b"678901")))
    with pytest.raises(UnreadableError, match="compressed"):
        send(Provider(stream(b"x", headers={"content-encoding": "gzip"})))


DOWNLOAD = Request(url=f"https://{CDN}/bulk.jsonl", offset=0)


def test_a_download_is_a_sequence_of_lines_with_the_offset_where_each_ends():
    found = send(Provider(stream(b"on", b"e\ntwo\n", b"\nlast")), DOWNLOAD)
    assert list(found.lines) == [(4, b"one"), (8, b"two"), (9, b""), (13, b"last")]
    assert found.body == b""


def test_a_download_goes_on_at_its_offset_whether_the_server_knows_ranges_or_not():
    request = Request(url=DOWNLOAD.url, offset=4)
    with_ranges = Provider(stream(b"two\nthree\n", status=206))
    assert list(send(with_ranges, request).lines) == [(8, b"two"), (14, b"three")]
    assert with_ranges.requests[0].headers["range"] == "bytes=4-"
    assert list(send(Provider(stream(b"one\ntwo\nthree\n")), request).lines) == [(8, b"two"), (14, b"three")]


def test_a_download_that_breaks_off_raises_try_again():
    provider = Provider(stream(b"one\ntw", error=httpx.RemoteProtocolError("cut")))
    with pytest.raises(TryAgainError, match="broke off"):
        send(provider, DOWNLOAD)


def test_a_line_that_is_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(module, "_MAX_LINE", 8)
    with pytest.raises(UnreadableError, match="line"):
        send(Provider(stream(b"12345678\n", b"123456789")), DOWNLOAD)


def test_a_refused_download_has_a_body_and_no_lines():
    found = send(Provider(reply(403, content=b"expired")), DOWNLOAD)
    assert (found.status, found.body, list(found.lines)) == (403, b"expired", [])


def test_an_answer_is_dated_by_the_providers_clock():
    shown = datetime(2031, 5, 1, 12, 0, 7, tzinfo=UTC)  # years ahead of our clock
    found = send(Provider(reply(200, headers={"date": "Thu, 01 May 2031 12:00:07 GMT"})))
    assert found.not_before <= shown <= found.not_after
    assert found.not_after - found.not_before < timedelta(seconds=5)


@pytest.mark.parametrize("date", [None, "yesterday", "Thu, 01 May 20311 12:00:07 GMT"])
def test_without_a_date_our_clock_counts(date):
    before = datetime.now(UTC)
    found = send(Provider(reply(200, headers={"date": date} if date else {})))
    assert before <= found.not_before <= found.not_after <= datetime.now(UTC) + timedelta(seconds=1)
