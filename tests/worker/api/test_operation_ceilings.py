"""A source whose clock is years ahead makes nothing void that is said later: an untick, an opt-out, a delete."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import orjson
import pytest

from connectors import CONNECTORS
from connectors.contract import ConsentStated, Identifier, ProfileSeen
from tests.worker.api.conftest import EMAIL, Client, url_of
from tests.worker.inbox.plain import Plain, rows
from worker.domain.times import microseconds
from worker.files import export_json
from worker.inbox.drain import drain
from worker.inbox.ingest import Source, accept
from worker.store import connections, db, envelopes, ready
from worker.store.db import Tx
from worker.store.lanes import lane_of

YEARS_AHEAD = "2031-01-01T00:00:00+00:00"


class Ticking(Plain):
    """A shop whose customers have a name and a box to tick, both with the time that the body gives."""

    def parse(self, envelope, account):
        body = orjson.loads(envelope.body)
        at = datetime.fromisoformat(body["at"])
        email = Identifier(type="email", value=EMAIL)
        yield ProfileSeen(external_id="1", occurred_at=at, fields={"name": body["name"]}, identifiers={"email": email})
        status = "opted_in" if body["is_ticked"] else "opted_out"
        yield ConsentStated(external_id="1", channel="email", status=status, address=EMAIL, occurred_at=at)


@pytest.fixture
def source(engine, organization_id, monkeypatch):
    monkeypatch.setitem(CONNECTORS, "plain", Ticking())
    options = {"options": {}, "region": None, "priority": 100, "webhook_secrets": ["x"]}
    with engine.begin() as conn:
        id_ = connections.insert_new(Tx(conn, organization_id), connector="plain", source="shop", **options)
    return Source(organization_id, id_, "plain", ("x",))


@pytest.fixture
def deliver(engine, source):
    """Deliver a webhook and drain it; return the envelope's id."""

    def deliver(name, *, is_ticked, at):
        body = orjson.dumps({"name": name, "is_ticked": is_ticked, "at": at})
        with engine.begin() as conn:
            (kept,) = envelopes.keep(conn, [accept(source, [("id", uuid4().hex)], body)])
        assert drain(engine, lane_of(source.id), budget_s=5).settled == 1
        return kept.envelope_id

    return deliver


@pytest.fixture
def client(app, a_key):
    return Client(app, {"X-Api-Key": a_key("contacts:read", "contacts:write")})


@pytest.fixture
def ahead(deliver):
    """The envelope of a customer dated 2031 with a ticked box."""
    return deliver("From 2031", is_ticked=True, at=YEARS_AHEAD)


@pytest.fixture
def url(client, ahead):
    return url_of(client, "shop", "1")


def reason(client, url):
    verdict = client.get(f"{url}/sendability?channel=email").json()["data"]
    assert verdict["sendable"] == (verdict["reason"] == "opted_in")
    return verdict["reason"]


def replayed(engine, source, organization_id):
    """Replay every envelope, and check that the store stays the same."""

    def dump():
        with db.snapshot(engine) as conn:
            return b"".join(export_json.canonical(Tx(conn, organization_id)))

    before = dump()
    kept = rows(engine, "SELECT id, connection_id, received_at FROM envelopes ORDER BY id")
    with engine.begin() as conn:
        ready.replay(Tx(conn, organization_id), [row.id for row in kept])
    for connection_id in {row.connection_id for row in kept}:
        drain(engine, lane_of(connection_id), budget_s=10)
    assert rows(engine, "SELECT count(*) FROM ready") == [(0,)]
    assert rows(engine, "SELECT id, connection_id, received_at FROM envelopes ORDER BY id") == kept
    return dump() == before


def test_stored_times_are_at_most_five_minutes_after_the_arrival(engine, ahead):
    ((received_at,),) = rows(engine, "SELECT received_at FROM envelopes")
    latest = microseconds(received_at + timedelta(minutes=5))

    ((state,),) = rows(engine, "SELECT state FROM records")

    assert [stamp[:2] for stamp in state["s"]] == [[latest, 0]]


def test_a_yes_counts_until_somebody_says_no_with_a_time(engine, client, url, deliver, source, organization_id):
    assert reason(client, url) == "opted_in"

    deliver("Unticked", is_ticked=False, at=datetime.now(UTC).isoformat())

    assert reason(client, url) == "opted_out"
    assert replayed(engine, source, organization_id)
    assert reason(client, url) == "opted_out"


def test_a_yes_of_a_wrong_clock_answers_no_opt_out(client, deliver):
    deliver("Unticked", is_ticked=False, at="2026-10-01T00:00:00+00:00")

    deliver("From 2031", is_ticked=True, at=YEARS_AHEAD)

    assert reason(client, url_of(client, "shop", "1")) == "opted_out"


def test_an_opt_out_through_the_api_counts(engine, client, url, deliver, source, organization_id):
    answer = client.request("PUT", f"{url}/consent/email", json={"status": "opted_out"})

    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "opted_out")
    deliver("From 2031", is_ticked=True, at=YEARS_AHEAD)
    assert reason(client, url) == "opted_out"
    assert replayed(engine, source, organization_id)
    assert reason(client, url) == "opted_out"


def test_a_consent_of_the_api_from_a_wrong_clock_opens_nothing(client, url):
    client.request("PUT", f"{url}/consent/email", json={"status": "opted_out"})

    answer = client.request("PUT", f"{url}/consent/email", json={"status": "opted_in", "occurred_at": YEARS_AHEAD})

    assert answer.status_code == 200
    assert reason(client, url) == "opted_out"


def test_a_request_for_the_customer_counts(engine, client, url, source, organization_id):
    body = {"external_source": "shop", "external_id": "1", "name": "Newer"}

    answer = client.post("/v1/contacts", json=body)

    assert (answer.status_code, answer.json()["data"]["name"]) == (200, "Newer")
    assert replayed(engine, source, organization_id)
    assert client.get(url).json()["data"]["name"] == "Newer"


def test_a_delete_counts(engine, client, url, source, organization_id):
    assert client.request("DELETE", url).status_code == 204

    assert client.get(url).status_code == 404
    assert replayed(engine, source, organization_id)
    assert client.get(url).status_code == 404


def test_a_duplicate_delivery_keeps_the_first_time_of_arrival(engine, source):
    request = accept(source, [("id", "once")], b"{}")
    for _ in range(2):
        with engine.begin() as conn:
            envelopes.keep(conn, [request._replace(id=uuid4())])

    ((received_at, began_at),) = rows(engine, "SELECT received_at, now() FROM envelopes")

    with engine.begin() as conn:
        (leased,) = ready.lease_due(conn, lane_of(source.id), most=1, lease=timedelta(seconds=5), token=uuid4())
    assert leased.envelope.received_at == received_at < began_at
