"""The client when the API is busy, fails or cannot be reached: which requests it repeats, when, and with which key."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st

from connectors.wazapin import ApiError, ConflictError, NotFoundError, TryLaterError
from connectors.wazapin.retries import LONGEST_PAUSE, pause, retry_after
from tests.connectors.wazapin.test_client import KEY, Server, await_, wait

PHONE = "+6281234567890"
PAGE = b"<html>busy</html>"
UNKNOWN = {"error": "contact not found", "code": "not_found"}
DONE = {"data": {"id": "cnt_1"}}


@pytest.fixture(params=[wait, await_])
def run(request):
    """Either client; the test does not know which."""
    return request.param


@pytest.fixture(autouse=True)
def _no_pauses():
    with stamina.set_testing(True, attempts=10, cap=True):
        yield


def get(contacts):
    return contacts.get("cnt_1")


@pytest.mark.parametrize(
    "failure", [(408, {}), (429, {}), (500, {}), (502, PAGE), (503, {}), (504, {}), httpx.ReadTimeout("x")]
)
def test_what_may_pass_is_tried_again(run, failure):
    server = Server(failure, failure, failure, DONE)

    assert run(server, get).id == "cnt_1"
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 409, 412, 413, 422])
def test_what_stays_as_it_is_is_not_tried_again(run, status):
    server = Server((status, {}), DONE)

    with pytest.raises(ApiError):
        run(server, get)
    assert len(server.requests) == 1


@pytest.mark.parametrize("attempts", [1, 3])
def test_after_all_attempts_the_caller_is_told(run, attempts):
    server = Server((503, {"error": "unavailable", "code": "unavailable"}, {"Retry-After": "5"}))

    with pytest.raises(TryLaterError) as caught:
        run(server, get, attempts=attempts)
    assert len(server.requests) == attempts
    assert (caught.value.code, caught.value.retry_after) == ("unavailable", timedelta(seconds=5))


def test_wait_that_is_too_long_is_left_to_the_caller(run):
    server = Server((429, {}, {"Retry-After": "61"}), DONE)

    with pytest.raises(TryLaterError) as caught:
        run(server, get)
    assert caught.value.retry_after == timedelta(seconds=61)
    assert len(server.requests) == 1


def test_no_answer_has_no_status_and_says_only_how(run):
    server = Server(httpx.ConnectError(f"[Errno 111] {KEY} {PHONE}"))

    with pytest.raises(TryLaterError) as caught:
        run(server, get)
    assert (caught.value.status, caught.value.retry_after) == (None, None)
    assert str(caught.value) == "no answer (ConnectError)"


def later(seconds):
    return TryLaterError(429, None, "x", retry_after=None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (later(None), True),
        (later(0), True),
        (later(7), 7.0),
        (later(60), 60.0),
        (later(61), False),
        (ConflictError(409, None, "x"), False),
        (RuntimeError("x"), False),
    ],
)
def test_pause_is_the_servers_wish_up_to_a_minute(error, expected):
    assert pause(error) == expected
    assert type(pause(error)) is type(expected)
    assert timedelta(minutes=1) == LONGEST_PAUSE


def test_server_wish_reaches_the_clock(monkeypatch):
    pauses = []
    monkeypatch.setattr("time.sleep", pauses.append)
    server = Server((429, {}, {"Retry-After": "7"}), (500, {}), DONE)

    with stamina.set_testing(False):
        wait(server, get)

    assert pauses[0] == 7
    assert 1 <= pauses[1] <= 2  # 0.5 s doubled once, plus up to a second by chance


DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "5"}, 5),
        ({"Retry-After": " 0 "}, 0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:09 GMT", "Date": DATE}, 9),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:09 -0000", "Date": DATE}, 9),
        ({"Retry-After": "Wed Oct 21 07:28:09 2026", "Date": DATE}, 9),
        ({"Retry-After": "Wed, 21 Oct 2026 07:27:00 GMT", "Date": DATE}, 0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1e9"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "9" * 400}, None),
        ({"Retry-After": "Wed, 99 Oct 99999999999999 07:28:00 GMT"}, None),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 +9999"}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_by_the_servers_clock(headers, expected):
    wait = None if expected is None else timedelta(seconds=expected)

    assert retry_after(httpx.Headers(headers)) == wait


def test_date_without_the_servers_clock_is_compared_with_ours():
    until = datetime.now(UTC) + timedelta(seconds=30)

    after = retry_after(httpx.Headers({"Retry-After": until.strftime("%a, %d %b %Y %H:%M:%S GMT")}))

    assert timedelta(seconds=25) < after <= timedelta(seconds=30)


@given(st.text(st.characters(codec="latin-1")))
def test_no_retry_after_breaks_the_reading(text):
    after = retry_after(httpx.Headers([(b"Retry-After", text.encode("latin-1"))]))

    assert after is None or after >= timedelta(0)


def test_retries_of_a_write_are_the_same_write(run):
    server = Server(httpx.ReadTimeout("x"), (503, {}), DONE)

    run(server, lambda c: c.upsert(phone_number=PHONE))

    first, *others = server.requests
    assert len(others) == 2
    for other in others:
        assert other.content == first.content
        assert other.headers["idempotency-key"] == first.headers["idempotency-key"]


@pytest.mark.parametrize("action", [lambda c: c.delete("cnt_1"), lambda c: c.remove_tag("cnt_1", "vip")])
def test_what_a_lost_attempt_deleted_is_deleted(run, action):
    assert run(Server(httpx.ReadTimeout("x"), (404, UNKNOWN)), action) is None


@pytest.mark.parametrize("action", [lambda c: c.delete("cnt_1"), lambda c: c.remove_tag("cnt_1", "vip")])
def test_what_was_never_there_is_not_found(run, action):
    with pytest.raises(NotFoundError):
        run(Server((404, UNKNOWN)), action)


def test_missing_contact_is_missing_on_any_attempt(run):
    with pytest.raises(NotFoundError):
        run(Server((503, {}), (404, UNKNOWN)), get)


def test_hooks_on_retries_see_neither_key_nor_person(run):
    seen = []
    stamina.instrumentation.set_on_retry_hooks([seen.append])

    try:
        run(Server((503, {"error": "busy"}), httpx.ReadTimeout(PHONE), DONE), lambda c: c.upsert(phone_number=PHONE))
    finally:
        stamina.instrumentation.set_on_retry_hooks(None)

    assert len(seen) == 2  # stamina's own hooks write them to the log
    assert KEY not in repr(seen)
    assert PHONE.removeprefix("+") not in repr(seen)
