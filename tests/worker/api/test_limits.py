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
from worker import revocations
from worker.api.errors import ApiError
from worker.api.limits import Limiter
from worker.settings import Settings
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


def test_with_a_frozen_broker_the_process_counts_for_itself_and_nobody_waits(limited, broker):
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answers = [limited.get("/v1/contacts") for _ in range(3)]
        took = time.monotonic() - began
    finally:
        os.kill(broker.pid, signal.SIGCONT)

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert took < 2


@pytest.mark.parametrize("url", ["", "redis://127.0.0.1:1/0", "rediss://127.0.0.1:1/0?ssl_ca_certs=/nowhere/ca.pem"])
def test_without_redis_a_process_counts_for_itself(url):
    alone = Limiter(url)
    key_id = uuid4()

    left = [alone.spend(key_id, 2)["RateLimit-Remaining"] for _ in range(2)]
    alone.settle()

    assert left == ["1", "0"]
    with pytest.raises(ApiError):
        alone.spend(key_id, 2)


def test_two_processes_count_together_once_they_have_told(broker):
    one, other = Limiter(broker.url), Limiter(broker.url)
    key_id = uuid4()

    one.spend(key_id, 10, 4)
    one.settle()
    other.spend(key_id, 10, 3)
    other.settle()

    assert other.spend(key_id, 10)["RateLimit-Remaining"] == "2"
    one.spend(key_id, 10)
    one.settle()
    assert one.spend(key_id, 10)["RateLimit-Remaining"] == "1"


def test_requests_that_come_while_a_process_tells_are_not_lost(broker, monkeypatch):
    counting = Limiter(broker.url)
    key_id = uuid4()
    counting.spend(key_id, 10, 2)
    tell = Limiter._tell

    def meanwhile(self, told):
        found = tell(self, told)
        self.spend(key_id, 10, 3)
        return found

    monkeypatch.setattr(Limiter, "_tell", meanwhile)
    counting.settle()

    assert counting.spend(key_id, 10)["RateLimit-Remaining"] == "4"


def test_more_requests_at_once_than_are_left_are_refused_and_not_counted(broker):
    counting = Limiter(broker.url)
    key_id = uuid4()
    counting.spend(key_id, 10, 8)

    with pytest.raises(ApiError):
        counting.spend(key_id, 10, 3)

    assert counting.spend(key_id, 10, 2)["RateLimit-Remaining"] == "0"


def test_a_revocation_is_heard_with_the_next_count(broker, monkeypatch):
    heard = []
    counting = Limiter(broker.url, on_revoked=lambda: heard.append(True))
    counting.settle()
    monkeypatch.setattr(revocations, "settings", lambda: Settings(redis_url=broker.url))

    revocations.announce()
    counting.settle()
    counting.settle()

    assert heard == [True]


def test_keys_of_another_prefix_are_counted_apart(broker):
    key_id = uuid4()
    left = []
    for prefix in ("a:", "a:", "b:"):
        counting = Limiter(broker.url, prefix)
        counting.spend(key_id, 9)
        counting.settle()
        left.append(counting._counts[key_id].made)

    assert left == [1, 2, 1]
