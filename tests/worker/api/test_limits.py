"""The rate limit of a key, on a real broker; and the answers without a broker."""

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import pytest

from tests.worker.api.conftest import Client
from worker.api.errors import ApiError
from worker.api.limits import Limiter
from worker.stack.embedded import EmbeddedBroker
from worker.store import api_keys, organizations
from worker.store.db import Tx


@pytest.fixture(scope="module")
def broker():
    directory = Path(tempfile.mkdtemp(prefix="contactsync-test-"))
    server = EmbeddedBroker(directory)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def limiter(broker, monkeypatch):
    counting = Limiter(broker.url)
    monkeypatch.setattr("worker.api.auth.limiter", lambda: counting)
    return counting


@pytest.fixture
def limited(app, engine, limiter):
    """A caller that may send two requests a minute."""
    with engine.begin() as conn:
        organization_id = organizations.ensure(conn, "default")
        _, key = api_keys.insert_new(Tx(conn, organization_id), ["contacts:read"], rate_limit=2)
    return Client(app, {"X-Api-Key": key})


def test_above_the_limit_the_answer_is_429_with_retry_after(limited):
    first, second, third = (limited.get("/v1/contacts") for _ in range(3))

    assert [answer.status_code for answer in (first, second, third)] == [200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in (first, second, third)] == ["1", "0", "0"]
    assert first.headers["ratelimit-limit"] == "2"
    assert 0 < int(first.headers["ratelimit-reset"]) <= 60
    assert 0 < int(third.headers["retry-after"]) <= 60
    assert third.json()["code"] == "rate_limited"


def test_each_key_has_its_own_minute(limited, app, a_key):
    for _ in range(3):
        limited.get("/v1/contacts")

    other = Client(app, {"X-Api-Key": a_key()}).get("/v1/contacts")

    assert other.status_code == 200
    assert other.headers["ratelimit-limit"] == "30000"


def test_errors_have_the_headers_too(limited):
    answer = limited.get("/v1/contacts/cnt_unknown")

    assert answer.status_code == 404
    assert answer.headers["ratelimit-remaining"] == "1"


def test_with_a_frozen_broker_this_process_counts_and_one_request_waits(limited, broker, limiter):
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answers = [limited.get("/v1/contacts") for _ in range(4)]
        took = time.monotonic() - began
    finally:
        os.kill(broker.pid, signal.SIGCONT)

    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert took < 2  # one waited for the time-out, the others did not ask the broker


@pytest.mark.parametrize("url", ["", "redis://127.0.0.1:1/0", "rediss://127.0.0.1:1/0?ssl_ca_certs=/nowhere/ca.pem"])
def test_without_redis_this_process_counts_for_itself(url):
    limiter, key = Limiter(url), uuid4()

    left = [limiter.spend(key, 2)["RateLimit-Remaining"] for _ in range(2)]
    with pytest.raises(ApiError):
        limiter.spend(key, 2)

    assert left == ["1", "0"]


def test_keys_of_another_prefix_are_counted_apart(broker):
    key = uuid4()

    left = [Limiter(broker.url, prefix).spend(key, 9)["RateLimit-Remaining"] for prefix in ("a:", "a:", "b:")]

    assert left == ["8", "7", "8"]
