"""The app on the test's database, keys and callers for it, and ways to fill the store."""

import asyncio
import os
import re
import threading
from datetime import UTC, datetime, timedelta
from uuid import uuid4
from zlib import crc32

import httpx
import pytest

from connectors.contract import Identifier, ProfileSeen
from tests.worker.api.one_person import ORDERS, World
from tests.worker.api.shops import Shopify, WooCommerce
from worker import ids
from worker.api.app import make_api
from worker.domain.normalise import ceiling_of, normalise_api_write
from worker.pipeline.apply import Batch, apply
from worker.store import api_keys, db, look_ups, organizations
from worker.store.db import Tx

T0 = datetime(2026, 10, 1, tzinfo=UTC)
PHONE, EMAIL = "+6281234567890", "ujang@example.com"


def a_profile(external_id="cust_123", *, phone=None, email=None, created=0, at=0, other=(), **fields):
    identifiers = {kind: Identifier(type=kind, value=value) for kind, value in other}
    if phone:
        identifiers["phone"] = Identifier(type="phone", value=phone)
    if email:
        identifiers["email"] = Identifier(type="email", value=email)
    return ProfileSeen(
        external_id=external_id,
        occurred_at=T0 + timedelta(minutes=at),
        created_at=T0 + timedelta(minutes=created),
        fields=fields,
        identifiers=identifiers,
    )


def is_time(text):
    return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text) is not None


def url_of(client, source, external_id):
    """Return the path of the contact of a source's customer."""
    query = {"external_source": source, "external_id": external_id}
    (contact,) = client.get("/v1/contacts", params=query).json()["data"]
    return f"/v1/contacts/{contact['id']}"


_threads = threading.local()
_runners = []


def on_the_loop(coroutine):
    """Run a coroutine on this thread's event loop. It stays, as that of a server does, and so do its connections."""
    if not hasattr(_threads, "runner"):
        _threads.runner = asyncio.Runner()
        _runners.append(_threads.runner)
    return _threads.runner.run(coroutine)


@pytest.fixture(scope="session", autouse=True)
def _loops():
    yield
    for runner in _runners:
        with runner:
            runner.run(look_ups.close())
    _runners.clear()
    _threads.__dict__.clear()


class Client:
    """Calls the app as a server would. An exception in the app becomes an answer."""

    def __init__(self, app, headers=None):
        self.app, self.headers = app, headers or {}

    def get(self, path, **request):
        return self.request("GET", path, **request)

    def post(self, path, **request):
        return self.request("POST", path, **request)

    def request(self, method, path, **request):
        async def call():
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://contacts", headers=self.headers
            ) as client:
                return await client.request(method, path, **request)

        return on_the_loop(call())


@pytest.fixture
def app(engine, monkeypatch):
    monkeypatch.setitem(db._engines, (os.getpid(), "all"), engine)
    return make_api()


@pytest.fixture
def a_key(engine):
    """Make keys; by default, a key to the contacts of the default organization, read only."""

    def a_key(*scopes, organization="default"):
        with engine.begin() as conn:
            organization_id = organizations.ensure(conn, organization)
            return api_keys.insert_new(Tx(conn, organization_id), scopes or ("contacts:read",))[1]

    return a_key


@pytest.fixture
def client(app, a_key):
    """A caller with a key."""
    return Client(app, {"X-Api-Key": a_key()})


@pytest.fixture
def stranger(app):
    """A caller without a key."""
    return Client(app)


@pytest.fixture
def say(engine):
    """State events as a source does; return the envelope's id."""

    def say(source, *events, organization="default", minute=60):
        with engine.begin() as conn:
            organization_id = organizations.ensure(conn, organization)
        sent_at = T0 + timedelta(minutes=minute)
        reading = normalise_api_write(
            ids.new(),
            [(source, event) for event in events],
            sent_at=sent_at,
            delivery_id=uuid4().hex,
            ceiling=ceiling_of(sent_at),
        )
        apply(engine, organization_id, Batch([reading], {reading.envelope_id: uuid4()}))
        return ids.show(ids.ENVELOPE, reading.envelope_id)

    return say


@pytest.fixture
def ujang(client, say):
    """The contact of the published examples, as stored."""
    say("shopify", a_profile(phone=PHONE, email=EMAIL, name="Ujang", tier="premium"))
    (contact,) = client.get("/v1/contacts").json()["data"]
    return contact


@pytest.fixture(scope="session")
def _runner():
    """One event loop for all calls, because the webhook route keeps its connection to Postgres."""
    with asyncio.Runner() as runner:
        yield runner
        runner.run(look_ups.close())


def pytest_generate_tests(metafunc):
    """Tell every story in every order, if the variable STORY_ORDERS is ``all``."""
    given = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "world" in metafunc.fixturenames and "world" not in given and os.environ.get("STORY_ORDERS") == "all":
        metafunc.parametrize("world", ORDERS, indirect=True)


@pytest.fixture
def world(request, engine, organization_id, a_key, _runner):
    """The default organization, and an order in which deliveries arrive there; by its name each test has its own."""
    order = getattr(request, "param", None) or ORDERS[crc32(request.node.name.encode()) % len(ORDERS)]
    return World(engine, organization_id, a_key("contacts:read", "contacts:write"), _runner, order)


@pytest.fixture
def api(world):
    """A caller of the API who may write."""
    return world.api


@pytest.fixture
def shop(world):
    """A shop of Shopify."""
    return Shopify(world, "shop")


@pytest.fixture
def eu(world):
    """A second shop of Shopify."""
    return Shopify(world, "eu")


@pytest.fixture
def woo(world):
    """A shop of WooCommerce."""
    return WooCommerce(world, "woo")


@pytest.fixture
def crm(world):
    """A second shop of WooCommerce, whose numbers are free text, as those of the first."""
    return WooCommerce(world, "crm")
