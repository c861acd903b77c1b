"""Envelopes of API requests can be replayed in any order, and the store stays the same."""

import os
import random
from uuid import uuid4

import orjson
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tests.worker.api.conftest import Client
from worker import ids
from worker.files import export_json
from worker.inbox.drain import drain
from worker.inbox.replay import queue_replay
from worker.store import db, organizations
from worker.store.db import Tx
from worker.store.lanes import LANES

#: How many histories to try.
HISTORIES = int(os.environ.get("API_HISTORIES", "25"))

PHONES = ("+6281234567890", "+6281234567891", "+5511987654320", "551187654320")
EMAILS = ("ujang@example.com", "Ujang@Example.com", "siti@example.com", "budi@example.com")
TIMES = ("2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z", "2026-06-01T00:00:00.000001Z")
FIELDS = ("tier", "name", "a.b", "a", "#created", "city")
CHANNELS = ("whatsapp", "email", "sms", "telegram")
REASONS = ("hard_bounce", "unsubscribed", "stop_keyword", "manual")

phones, emails, times, channels = map(st.sampled_from, (PHONES, EMAILS, TIMES, CHANNELS))
words = st.sampled_from(("x", "Ünï", "VIP", "vip", "early bird"))
custom_fields = st.dictionaries(
    st.sampled_from(FIELDS), st.none() | st.integers(0, 3) | st.just({"b": [1]}), max_size=2
)
profile = {"phone_number": phones, "email": emails, "name": words, "custom_fields": custom_fields}
pair = st.fixed_dictionaries(
    {"external_source": st.sampled_from(("crm", "shop")), "external_id": st.sampled_from(("1", "2"))}
)
plain = st.fixed_dictionaries({}, optional=profile)
cleared = st.fixed_dictionaries({}, optional={name: st.none() | value for name, value in profile.items()})
tags = st.lists(words, min_size=1, max_size=2)
#: One of the contacts created so far, counted from the newest.
somebody = st.integers(0, 7)


def upsert(body, external, names):
    return ("POST", "", {**body, **external, **({"tags": names} if names else {})})


def about(method, path, bodies):
    return st.builds(lambda whom, body: (method, whom, path, body), somebody, bodies)


writes = st.one_of(
    st.builds(upsert, cleared, pair, st.none() | tags),
    st.builds(upsert, plain, st.just({}), st.none() | tags),
    st.builds(upsert, plain, pair, st.none()),
    about("PATCH", "", cleared),
    about("PATCH", "", pair),
    about("POST", "/tags", st.builds(lambda names: {"tags": names}, tags)),
    st.builds(lambda whom, tag: ("DELETE", whom, f"/tags/{tag}", None), somebody, words),
    about("POST", "/notes", st.just({"body": "Called."})),
    st.builds(
        lambda whom, channel, body: ("PUT", whom, f"/consent/{channel}", body),
        somebody,
        channels,
        st.fixed_dictionaries(
            {"status": st.sampled_from(("opted_in", "opted_out", "pending", "unknown"))},
            optional={"occurred_at": times, "method": st.just("form"), "evidence": st.just({"ip": "192.0.2.1"})},
        ),
    ),
    about(
        "POST",
        "/suppressions",
        st.fixed_dictionaries(
            {"channel": st.sampled_from(("whatsapp", "email", "all")), "reason": st.sampled_from(REASONS)},
            optional={"active": st.booleans(), "occurred_at": times, "note": words, "address": phones | emails},
        ),
    ),
    st.builds(
        lambda whom, erase: ("DELETE", whom, f"?erase={erase}", None), somebody, st.sampled_from(("true", "false"))
    ),
)


class Store:
    """An organization of its own: written through the API, compared table by table."""

    def __init__(self, engine, app, a_key):
        self.name = f"org-{uuid4().hex}"
        self.engine = engine
        self.client = Client(app, {"X-Api-Key": a_key("contacts:read", "contacts:write", organization=self.name)})
        self.created = []
        with engine.connect() as conn:
            self.organization_id = organizations.find(conn, self.name)

    def write(self, write):
        """Send one write; skip a write about a contact if there is no contact yet."""
        if len(write) == 3:
            method, path, body = write
        else:
            method, whom, rest, body = write
            if not self.created:
                return
            path = f"/{self.created[-1 - whom % len(self.created)]}{rest}"
        answer = self.client.request(method, f"/v1/contacts{path}", **({} if body is None else {"json": body}))
        assert answer.status_code < 500, (write, answer.text)
        event(f"{method} {answer.status_code}")
        if len(write) == 3 and answer.status_code < 300:
            id_ = answer.json()["data"]["id"]
            self.created.append(id_)

    def envelopes(self):
        return self.rows("SELECT id FROM envelopes WHERE organization_id = :id ORDER BY id")

    def rows(self, statement):
        with self.engine.connect() as conn:
            return [tuple(row) for row in conn.execute(text(statement), {"id": self.organization_id})]

    def replay(self, envelope_ids):
        with self.engine.begin() as conn:
            for (id_,) in envelope_ids:
                assert queue_replay(Tx(conn, self.organization_id), ids.show(ids.ENVELOPE, id_)) == [id_]
        for lane in range(LANES):
            drain(self.engine, lane, budget_s=20)

    def state(self):
        """All that anybody can see, except times of storing and ids that nothing refers to."""
        with db.snapshot(self.engine) as conn:
            exported = [orjson.loads(line) for line in export_json.canonical(Tx(conn, self.organization_id))]
        return {
            "export": exported,
            "contacts": self.rows(
                "SELECT id, external_source, external_id FROM contacts WHERE organization_id = :id ORDER BY id"
            ),
            "terms": self.rows("SELECT contact_id, term FROM contact_terms WHERE organization_id = :id ORDER BY 1, 2"),
            "former": self.rows(
                "SELECT id, updated_at, merged_into FROM former_contacts WHERE organization_id = :id ORDER BY id"
            ),
            "notes": self.rows(NOTES),
            "records": self.rows(RECORDS),
            "decisions": self.rows(DECISIONS),
            "claims": self.rows(CLAIMS),
            "requests": self.rows(
                "SELECT kind, envelope_id, subjects FROM privacy_requests WHERE organization_id = :id ORDER BY 2"
            ),
            "parked": self.rows("SELECT reason FROM parked WHERE organization_id = :id"),
            "due": self.rows("SELECT envelope_id FROM ready WHERE organization_id = :id"),
        }


NOTES = "SELECT record_id, body, envelope_id, created_at FROM notes WHERE organization_id = :id ORDER BY envelope_id"
RECORDS = """
    SELECT id, source, external_id, is_live, is_lost, contact_id FROM records WHERE organization_id = :id ORDER BY id
"""
DECISIONS = """
    SELECT kind, source_a, external_id_a, source_b, external_id_b FROM decisions WHERE organization_id = :id
     ORDER BY 1, 2, 3, 4, 5
"""
CLAIMS = """
    SELECT type, key, record_id, value, is_owner, is_contested FROM claims WHERE organization_id = :id ORDER BY 1, 2, 3
"""


@pytest.fixture
def a_store(engine, app, a_key):
    return lambda: Store(engine, app, a_key)


@settings(
    max_examples=HISTORIES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(history=st.lists(writes, min_size=4, max_size=16), seed=st.integers(0, 99), at_once=st.booleans())
def test_requests_replayed_in_any_order_change_nothing(a_store, history, seed, at_once):
    store = a_store()
    for write in history:
        store.write(write)
    kept = store.envelopes()
    before = store.state()

    random.Random(seed).shuffle(kept)
    if at_once:
        store.replay(kept)
    for one in () if at_once else kept:
        store.replay([one])
        assert store.state() == before, one

    assert store.state() == before
