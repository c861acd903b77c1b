"""Profile lookup: what a caller sees of a provider that is slow, busy, broken or hostile."""

import json
import logging
import threading
import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import httpx
import pytest

from connectors.channels import telegram, whatsapp
from connectors.channels.contract import (
    Ask,
    Identity,
    LookupNotSupportedError,
    NoSuchProfileError,
    Profile,
    ProviderError,
    ProviderLimitError,
    TokenRefusedError,
)
from tests.worker.providers.scripted import (
    CHAT,
    NOT_FOUND,
    OK,
    SITI,
    TOKEN,
    a_platform,
    answer_of,
    answering,
    limited,
    platform_with,
)
from worker import logs
from worker.errors import TransientError
from worker.providers import profile_lookup
from worker.providers.profile_lookup import Lookups, ProviderTimeoutError, ProviderUnavailableError


def test_a_profile_is_requested_from_the_origin_of_the_channel(channel):
    channel.api_url = "https://bots.example.com:8443"
    provider, lookups = answering(OK)

    found = lookups.look_up(channel, telegram, SITI, refresh=False)

    (request,) = provider.requests
    assert str(request.url) == f"https://bots.example.com:8443/bot{TOKEN}/getChat"
    assert json.loads(request.content) == {"chat_id": 5550001111}
    assert found.profile == Profile(id="5550001111", name="Siti", first_name="Siti")
    assert not found.is_cached
    assert abs(found.fetched_at - datetime.now(UTC)) < timedelta(seconds=5)


@pytest.mark.parametrize("path", ["//evil.example/x", "/@evil.example/", "/\\evil.example"])
def test_a_platform_cannot_name_another_host(channel, path):
    provider, lookups = answering(OK)

    with suppress(ProviderError):
        lookups.look_up(channel, a_platform(ask=lambda *_: Ask(method="GET", path=path)), SITI, refresh=False)

    assert {request.url.host for request in provider.requests} <= {"api.telegram.org"}


@pytest.mark.parametrize("path", ["https://evil.example/", "evil.example", "@evil.example/", ".evil.example/", ""])
def test_a_path_starts_at_the_root(channel, path):
    provider, lookups = answering(OK)

    with pytest.raises(ProviderError):
        lookups.look_up(channel, a_platform(ask=lambda *_: Ask(method="GET", path=path)), SITI, refresh=False)

    assert provider.requests == []


def test_a_redirect_is_refused_and_not_followed(channel):
    provider, lookups = answering(answer_of(302, {}, location="https://evil.example/"))

    with pytest.raises(ProviderError, match="redirected"):
        lookups.look_up(channel, telegram, SITI, refresh=False)

    assert len(provider.requests) == 1


def test_a_stored_origin_is_checked_again_before_a_request(channel):
    channel.api_url = "http://169.254.169.254"
    provider, lookups = answering(OK)

    with pytest.raises(ProviderError):
        lookups.look_up(channel, telegram, SITI, refresh=False)

    assert provider.requests == []


def test_a_platform_without_lookup_gets_no_request(channel):
    provider, lookups = answering(OK)

    with pytest.raises(LookupNotSupportedError):
        lookups.look_up(channel, whatsapp, Identity(type="phone", value="+6281234567890"), refresh=False)

    assert provider.requests == []


def test_cookies_of_a_provider_are_not_kept(channel):
    provider, lookups = answering(answer_of(*OK, **{"set-cookie": "session=1; Domain=telegram.org; Path=/"}), OK)

    for _ in range(2):
        lookups.look_up(channel, telegram, SITI, refresh=True)

    assert "cookie" not in provider.requests[1].headers


def test_a_token_that_cannot_be_decrypted_is_refused(channel):
    channel.token = b"sealed with a key that is gone"
    provider, lookups = answering(OK)

    with pytest.raises(TokenRefusedError):
        lookups.look_up(channel, telegram, SITI, refresh=False)

    assert provider.requests == []


@pytest.mark.parametrize("failure", [(500, {}), (503, {}), httpx.ConnectError("no"), httpx.ReadTimeout("slow")])
def test_a_failed_request_is_sent_again(channel, failure):
    provider, lookups = answering(failure, OK)

    assert lookups.look_up(channel, telegram, SITI, refresh=False).profile.name == "Siti"
    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ((502, {}), ProviderUnavailableError),
        (httpx.ConnectError("no"), ProviderUnavailableError),
        (httpx.ReadTimeout("slow"), ProviderTimeoutError),
        (httpx.ConnectTimeout("slow"), ProviderTimeoutError),
    ],
)
def test_the_third_failed_attempt_is_the_last(channel, failure, error):
    provider, lookups = answering(failure)

    with pytest.raises(error):
        lookups.look_up(channel, telegram, SITI, refresh=False)

    assert len(provider.requests) == 3


def test_a_lookup_waits_for_a_short_limit(channel):
    provider, lookups = answering(limited(1), OK)

    started = time.monotonic()
    assert lookups.look_up(channel, telegram, SITI, refresh=False).profile.name == "Siti"

    assert time.monotonic() - started >= 1
    assert len(provider.requests) == 2


@pytest.mark.parametrize("seconds", [3, 3600])
def test_a_long_limit_is_passed_on_to_the_caller(channel, seconds):
    provider, lookups = answering(limited(seconds))

    with pytest.raises(ProviderLimitError) as raised:
        lookups.look_up(channel, telegram, SITI, refresh=False)

    assert raised.value.retry_after == timedelta(seconds=seconds)
    assert len(provider.requests) == 1


def test_a_limit_without_a_time_ends_the_lookup(channel):
    provider, lookups = answering((429, {}))

    with pytest.raises(ProviderLimitError):
        lookups.look_up(channel, telegram, SITI, refresh=False)

    assert len(provider.requests) == 1


@pytest.mark.parametrize("answer", [NOT_FOUND, (401, {}), (418, {}), (200, []), (200, {"ok": True})])
def test_a_final_answer_is_requested_only_once(channel, answer):
    provider, lookups = answering(answer)

    with pytest.raises((NoSuchProfileError, ProviderError)):
        lookups.look_up(channel, telegram, SITI, refresh=False)

    assert len(provider.requests) == 1


@pytest.fixture
def slow(channel):
    """A real server. The test writes its answers, and can write them byte by byte."""
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        write = staticmethod(lambda _write: None)

        def do_POST(self):
            with suppress(OSError):
                self.server.requests += 1
                Handler.write(self.wfile)
            self.close_connection = True

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = 0
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    channel.api_url = f"http://127.0.0.1:{server.server_port}"
    opened = []

    def lookups(**limits):
        opened.append(Lookups(**limits))
        return opened[-1]

    yield SimpleNamespace(server=server, handler=Handler, released=released, lookups=lookups)
    released.set()
    server.shutdown()
    server.server_close()
    for one in opened:
        one._threads.shutdown(wait=True)
        one.close()


def test_a_lookup_works_with_a_real_server(channel, slow):
    body = json.dumps(OK[1]).encode()
    slow.handler.write = lambda out: out.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    assert slow.lookups().look_up(channel, telegram, SITI, refresh=False).profile.name == "Siti"


def test_a_lookup_gives_up_a_silent_provider_in_time(channel, slow):
    slow.handler.write = lambda _out: slow.released.wait(20)

    started = time.monotonic()
    with pytest.raises(ProviderTimeoutError):
        slow.lookups(budget_s=0.4).look_up(channel, telegram, SITI, refresh=False)

    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX-Drip: ", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["headers", "body"])
def test_a_lookup_gives_up_a_dripping_provider_in_time(channel, slow, start):
    def drip(out):
        out.write(start)
        while not slow.released.wait(0.05):
            out.write(b" ")
            out.flush()

    slow.handler.write = drip

    started = time.monotonic()
    with pytest.raises(ProviderTimeoutError):
        slow.lookups(budget_s=0.5).look_up(channel, telegram, SITI, refresh=False)

    assert time.monotonic() - started < 1.5
    assert slow.server.requests == 1


def test_retries_stay_within_the_budget(channel):
    def late(_request):
        time.sleep(0.3)
        return httpx.ReadTimeout("slow")

    provider, lookups = answering(late, budget_s=0.4)

    started = time.monotonic()
    with pytest.raises(ProviderTimeoutError):
        lookups.look_up(channel, telegram, SITI, refresh=False)

    assert time.monotonic() - started < 1.2
    assert len(provider.requests) < 3


def test_a_proxy_of_the_environment_is_not_used(channel, slow, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    body = json.dumps(OK[1]).encode()
    slow.handler.write = lambda out: out.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    assert slow.lookups().look_up(channel, telegram, SITI, refresh=False).profile.name == "Siti"


def test_an_answer_that_is_too_large_is_refused_before_its_end(channel):
    sent = 0

    def endless():
        nonlocal sent
        while sent < 100:
            sent += 1
            yield b" " * 65536

    provider, lookups = answering(lambda _request: httpx.Response(200, content=endless()))

    with pytest.raises(ProviderError, match="larger"):
        lookups.look_up(channel, telegram, SITI, refresh=False)

    assert sent < 10
    assert len(provider.requests) == 1


def test_a_compressed_answer_is_refused(channel):
    provider, lookups = answering(
        lambda _: httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"\x1f\x8b"))
    )

    with pytest.raises(ProviderError, match="compressed"):
        lookups.look_up(channel, telegram, SITI, refresh=False)

    assert provider.requests[0].headers["accept-encoding"] == "identity"


def test_lookups_beyond_the_limit_are_refused_at_once(channel):
    waiting, released = threading.Semaphore(0), threading.Event()

    def hold(_request):
        waiting.release()
        released.wait(10)
        return answer_of(*OK)

    _, lookups = answering(hold)
    people = [Identity(type="telegram", value=str(number)) for number in range(1, profile_lookup._AT_ONCE + 1)]

    def quietly(person):
        with suppress(ProviderError):  # fails, because the answer is about another person
            lookups.look_up(channel, telegram, person, refresh=False)

    threads = [threading.Thread(target=quietly, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert waiting.acquire(timeout=10)

    with pytest.raises(TransientError):
        lookups.look_up(channel, telegram, SITI, refresh=False)

    released.set()
    for thread in threads:
        thread.join()
    assert lookups.look_up(channel, telegram, SITI, refresh=False).profile.name == "Siti"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Siti\x00\x07 Rahma", "Siti Rahma"),
        (" Siti\r\n\tRahma ", "Siti Rahma"),
        ("Siti\u202egnp.exe", "Sitignp.exe"),
        ("Siti\u2028Rahma", "Siti Rahma"),
        ("Siti \ud83d", "Siti"),
        ("Zoe\u0308", "Zoë"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("x" * 300, "x" * 255),
        ("\x01\u202e ", None),
        ("", None),
        (None, None),
    ],
)
def test_a_name_is_one_plain_line(channel, given, shown):
    _, lookups = answering(OK)
    profile = Profile(id="1", name=given, first_name=given, last_name=given, username=given)

    found = lookups.look_up(channel, platform_with(profile), SITI, refresh=False).profile

    assert [found.name, found.first_name, found.last_name, found.username] == [shown] * 4


@pytest.mark.parametrize(
    ("given", "is_shown"),
    [
        ("https://cdn.example/siti.jpg", True),
        ("http://cdn.example/siti.jpg", False),
        ("javascript:alert(1)", False),
        ("data:image/png;base64,AA", False),
        ("https://cdn.example/\nx", False),
        ("https://cdn.example/" + "x" * 3000, False),
    ],
)
def test_a_picture_is_shown_over_https_only(channel, given, is_shown):
    _, lookups = answering(OK)

    found = lookups.look_up(channel, platform_with(Profile(id="1", avatar_url=given)), SITI, refresh=False).profile

    assert found.avatar_url == (given if is_shown else None)


@pytest.mark.parametrize(("given", "shown"), [("ID", "ID"), ("id", "ID"), ("IDN", None), ("1D", None), (None, None)])
def test_a_country_is_two_letters(channel, given, shown):
    _, lookups = answering(OK)

    found = lookups.look_up(
        channel, platform_with(Profile(id="1", country=given, locale="id-ID")), SITI, refresh=False
    ).profile

    assert (found.country, found.locale, found.id) == (shown, "id-ID", SITI.value)


@pytest.mark.parametrize(
    "answers",
    [
        [OK],
        [NOT_FOUND],
        [(500, {}), OK],
        [limited(0), OK],
        [httpx.ConnectError(f"cannot reach /bot{TOKEN}")],
        [httpx.RemoteProtocolError("illegal header line: Siti")],
        [(401, {})],
        [(200, {"ok": True, "result": {**CHAT, "type": "Siti"}})],
        [(200, {"ok": True, "result": {**CHAT, "first_name": {"Siti": 1}}})],
        [(302, {})],
    ],
)
def test_logs_and_errors_hold_neither_the_person_nor_the_token(channel, answers, capsys, caplog):
    logs.configure()  # again, because pytest gives each test a stream of its own
    caplog.set_level(logging.DEBUG)
    _, lookups = answering(*answers)

    error = None
    try:
        lookups.look_up(channel, telegram, SITI, refresh=False)
    except (ProviderError, ProviderLimitError, NoSuchProfileError) as raised:
        error = raised

    printed = "".join(traceback.format_exception(error)) if error else ""
    # The lines of source code are left out, because they show the test itself.
    printed = "\n".join(line for line in printed.splitlines() if not line.startswith("    "))
    printed += capsys.readouterr().err + caplog.text
    assert not [
        secret for secret in (TOKEN, "AAH", "5550001111", "Siti", "getChat", "telegram.org") if secret in printed
    ]


def test_the_http_client_does_not_log_urls(channel, slow, caplog):
    caplog.set_level(logging.DEBUG)
    for chatty in ("httpx", "httpcore"):  # undoes the levels that our logging sets
        caplog.set_level(logging.DEBUG, logger=chatty)
    body = json.dumps(OK[1]).encode()
    slow.handler.write = lambda out: out.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    slow.lookups().look_up(channel, telegram, SITI, refresh=False)

    assert TOKEN not in caplog.text


@pytest.mark.parametrize(("after", "seconds"), [(None, 10), (0, 1), (1.2, 2), (35, 35)])
def test_the_wait_that_a_caller_sees_is_in_whole_seconds(after, seconds):
    assert profile_lookup.seconds(None if after is None else timedelta(seconds=after)) == seconds
