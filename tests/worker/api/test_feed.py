"""The feed of changes with ``include=removed``: whoever follows it ends with the store."""

import random
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from connectors.contract import ProfileRemoved, ProfilesMerged
from tests.worker.api.conftest import EMAIL, PHONE, T0, Client, a_profile, url_of
from tests.worker.histories import EMAILS, PHONES, events
from worker import ids
from worker.inbox.drain import drain
from worker.inbox.replay import queue_replay
from worker.pipeline.apply import Batch, apply
from worker.store import organizations
from worker.store.db import Tx
from worker.store.lanes import LANES

START = {"updated_after": "2020-01-01T00:00:00Z"}


class Mirror:
    """Keeps a copy of all contacts, from what the feed says alone."""

    def __init__(self, client):
        self.client = client
        self.contacts = {}
        self.place = START
        self.heard = {}  #: each id that was ever heard of, with the time of its newest row

    def follow(self, limit=100):
        """Read to the end of the feed; return all rows."""
        seen = []
        while True:
            page = self.client.get("/v1/contacts", params={**self.place, "include": "removed", "limit": limit}).json()
            for row in page["data"]:
                seen.append(row)
                assert row["updated_at"] > self.heard.get(row["id"], "")
                self.heard[row["id"]] = row["updated_at"]
                if row.get("removed"):
                    self.contacts.pop(row["id"], None)
                else:
                    self.contacts[row["id"]] = row
            if page["meta"]["next_cursor"] is None:
                break
            self.place = {"cursor": page["meta"]["next_cursor"]}
        order = [(row["updated_at"], row["id"]) for row in seen]
        assert order == sorted(order)
        assert {row["merged_into"] for row in seen if row.get("removed")} - {None} <= self.heard.keys()
        return seen


@pytest.fixture
def writer(client, a_key):
    client.headers = {"X-Api-Key": a_key("contacts:read", "contacts:write")}
    return client


@pytest.fixture
def mirror(writer):
    return Mirror(writer)


def everybody(client):
    """Return all contacts by id, from the list."""
    found, cursor = {}, None
    while True:
        page = client.get("/v1/contacts", params={"limit": 100} | ({"cursor": cursor} if cursor else {})).json()
        found |= {contact["id"]: contact for contact in page["data"]}
        cursor = page["meta"]["next_cursor"]
        if cursor is None:
            return found


def removals(rows):
    return [(row["id"], row["merged_into"]) for row in rows if row.get("removed")]


def test_a_deleted_contact_is_a_row_behind_its_last_one(writer, mirror, ujang):
    other = writer.post("/v1/contacts", json={"email": "other@example.com"}).json()["data"]
    assert mirror.follow() == [ujang, other]
    renamed = writer.request("PATCH", f"/v1/contacts/{ujang['id']}", json={"name": "Siti"}).json()["data"]

    assert writer.request("DELETE", f"/v1/contacts/{ujang['id']}").status_code == 204

    (row,) = mirror.follow()
    assert list(row) == ["id", "updated_at", "removed", "merged_into"]
    assert (row["id"], row["removed"], row["merged_into"]) == (ujang["id"], True, None)
    assert row["updated_at"] > renamed["updated_at"]
    assert mirror.contacts == everybody(writer) == {other["id"]: other}


def test_an_erased_contact_is_a_row_like_a_deleted_one(writer, mirror, ujang):
    mirror.follow()

    assert writer.request("DELETE", f"/v1/contacts/{ujang['id']}?erase=true").status_code == 204

    assert removals(mirror.follow()) == [(ujang["id"], None)]


def test_merged_contacts_lead_to_the_last_one_from_row_to_row(writer, mirror, say):
    say("shop", a_profile("1"), a_profile("2", created=1), a_profile("3", created=2))
    one, two, three = (url_of(writer, "shop", number).rpartition("/")[2] for number in "123")
    mirror.follow()

    say("shop", ProfilesMerged(kept_external_id="2", lost_external_id="3", occurred_at=T0))
    say("shop", ProfilesMerged(kept_external_id="1", lost_external_id="2", occurred_at=T0))

    assert removals(mirror.follow()) == [(three, two), (two, one)]
    assert mirror.contacts.keys() == {one}
    assert writer.get(f"/v1/contacts/{three}").json()["data"]["id"] == one


def test_a_contact_that_goes_comes_before_the_one_that_takes_over_its_values(writer, mirror, say):
    say("a", a_profile("1", phone=PHONE))
    say("b", a_profile("2", created=1, email=EMAIL))
    mirror.follow()

    say("b", a_profile("2", created=1, email=EMAIL, phone=PHONE), minute=61)

    first, second = mirror.follow()
    assert (first["removed"], first["merged_into"], second["email"]) == (True, second["id"], EMAIL)


def test_a_contact_that_is_back_has_no_row_of_its_removal(writer, mirror):
    body = {"email": EMAIL}
    contact = writer.post("/v1/contacts", json=body).json()["data"]
    slow = Mirror(writer)
    slow.follow()
    mirror.follow()
    writer.request("DELETE", f"/v1/contacts/{contact['id']}")
    assert removals(mirror.follow()) == [(contact["id"], None)]

    back = writer.post("/v1/contacts", json=body).json()["data"]

    assert back["id"] == contact["id"]
    assert mirror.follow() == slow.follow() == [back]
    writer.request("DELETE", f"/v1/contacts/{contact['id']}")
    assert removals(mirror.follow()) == removals(Mirror(writer).follow()) == [(contact["id"], None)]


def test_contacts_that_part_have_their_ids_again(writer, mirror, say):
    say("a", a_profile("1", email=EMAILS[0]))
    say("b", a_profile("2", email=EMAILS[1], created=1))
    before = everybody(writer).keys()
    mirror.follow()
    say("b", a_profile("2", email=EMAILS[0], created=1), minute=61)
    assert len(removals(mirror.follow())) == 1
    assert len(mirror.contacts) == 1

    say("b", a_profile("2", email=EMAILS[1], created=1), minute=62)

    assert removals(mirror.follow()) == []
    assert mirror.contacts == everybody(writer)
    assert mirror.contacts.keys() == before
    assert removals(Mirror(writer).follow()) == []


def test_pages_go_through_both_kinds_of_rows(writer, mirror, say):
    for number in range(6):
        say("shop", a_profile(str(number), created=number))
        if number % 2:
            say("shop", ProfileRemoved(external_id=str(number), occurred_at=T0 + timedelta(days=1)))
    whole = mirror.follow()

    in_parts = Mirror(writer).follow(limit=1)

    assert [row.get("removed", False) for row in whole] == [False, True] * 3
    assert in_parts == whole


def test_the_feed_waits_for_a_removal_that_is_not_committed(engine, writer, mirror, ujang, say):
    mirror.follow()
    id_ = ids.parse(ids.CONTACT, ujang["id"])
    with engine.connect() as slow:
        slow.execute(text("DELETE FROM contacts WHERE id = :id"), {"id": id_})
        slow.execute(
            text("INSERT INTO former_contacts (organization_id, id) SELECT id, :id FROM organizations"), {"id": id_}
        )
        say("shop", a_profile("later"))
        assert mirror.follow() == []
        slow.commit()

    assert [row.get("removed", False) for row in mirror.follow()] == [True, False]


def test_without_include_nothing_is_said_of_them(writer, ujang):
    other = writer.post("/v1/contacts", json={"email": "other@example.com"}).json()["data"]
    place = {"cursor": writer.get("/v1/contacts", params={**START, "limit": 1}).json()["meta"]["next_cursor"]}
    writer.request("DELETE", f"/v1/contacts/{other['id']}")

    empty = b'{"data":[],"meta":{"next_cursor":null}}'
    assert writer.get("/v1/contacts", params=place).content == empty
    assert writer.get("/v1/contacts", params=START).json()["data"] == [ujang]
    assert removals(writer.get("/v1/contacts", params={**place, "include": "removed"}).json()["data"])


def test_another_organization_hears_nothing(app, a_key, writer, ujang):
    writer.request("DELETE", f"/v1/contacts/{ujang['id']}")

    assert Mirror(Client(app, {"X-Api-Key": a_key(organization="other")})).follow() == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "include"),
        ({"limit": "1"}, "include"),
        ({"tag": "vip"}, "include"),
        ({**START, "include": "lifted"}, "include"),
        ({**START, "tag": "vip"}, "tag"),
        ({**START, "search": "uja"}, "search"),
        ({**START, "email": EMAIL}, "email"),
        ({**START, "phone_number": "+6281234567890"}, "phone_number"),
        ({**START, "external_source": "shop", "external_id": "1"}, "external_source"),
        ({**START, "created_after": "2026-01-01T00:00:00Z"}, "created_after"),
    ],
    ids=str,
)
def test_include_goes_with_the_whole_feed_only(client, query, field):
    answer = client.get("/v1/contacts", params={"include": "removed", **query})

    assert answer.status_code == 422
    assert [detail["field"] for detail in answer.json()["details"]] == [field]


def test_include_is_refused_with_a_cursor_of_the_list(client, say):
    say("shop", a_profile("1"), a_profile("2"))
    cursor = client.get("/v1/contacts?limit=1").json()["meta"]["next_cursor"]

    answer = client.get("/v1/contacts", params={"include": "removed", "cursor": cursor})

    assert answer.status_code == 422
    assert [detail["field"] for detail in answer.json()["details"]] == ["include"]


somebody = st.integers(0, 9)
requests = st.one_of(
    st.builds(
        lambda email, phone: ("POST", {"email": email} | ({"phone_number": phone} if phone else {})),
        st.sampled_from(EMAILS),
        st.sampled_from([*PHONES, None]),
    ),
    st.builds(lambda whom, email: ("PATCH", whom, {"email": email}), somebody, st.sampled_from(EMAILS)),
    st.builds(lambda whom, erase: ("DELETE", whom, erase), somebody, st.booleans()),
    st.builds(lambda whom: ("replay", whom), somebody),
)
said = st.integers(0, 10**9).flatmap(events)
steps = st.lists(st.one_of(st.lists(said, min_size=1, max_size=4), requests), min_size=3, max_size=14)


class Store:
    """An organization of its own, written to by sources and by requests."""

    def __init__(self, engine, app, a_key):
        name = f"org-{uuid4().hex}"
        self.engine = engine
        self.client = Client(app, {"X-Api-Key": a_key("contacts:read", "contacts:write", organization=name)})
        with engine.connect() as conn:
            self.organization_id = organizations.find(conn, name)
        self.said = []

    def take(self, step):
        """Apply a batch of statements, or send a request."""
        if isinstance(step, list):
            self.said.append(step)
            apply(self.engine, self.organization_id, Batch(step, {one.envelope_id: UUID(int=0) for one in step}))
        elif step[0] == "POST":
            self.client.post("/v1/contacts", json=step[1])
        elif step[0] == "replay":
            self.replay(step[1])
        elif known := list(everybody(self.client)):
            id_ = known[step[1] % len(known)]
            if step[0] == "PATCH":
                self.client.request("PATCH", f"/v1/contacts/{id_}", json=step[2])
            else:
                self.client.request("DELETE", f"/v1/contacts/{id_}", params={"erase": step[2]})

    def replay(self, number):
        """Replay the envelope of a request, if there was one."""
        with self.engine.begin() as conn:
            kept = conn.execute(
                text("SELECT id FROM envelopes WHERE organization_id = :id ORDER BY id"), {"id": self.organization_id}
            ).all()
            if kept:
                queue_replay(Tx(conn, self.organization_id), ids.show(ids.ENVELOPE, kept[number % len(kept)].id))
        for lane in range(LANES):
            drain(self.engine, lane, budget_s=20)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(history=steps, limit=st.sampled_from([1, 2, 100]), seed=st.integers(0, 99))
def test_a_mirror_equals_the_store_after_every_step(engine, app, a_key, history, limit, seed):
    store = Store(engine, app, a_key)
    quick, slow = Mirror(store.client), Mirror(store.client)

    def follows(step):
        store.take(step)
        quick.follow(limit)
        assert quick.contacts == everybody(store.client)

    for step in history:
        follows(step)
    again = [*store.said]
    random.Random(seed).shuffle(again)
    for step in again:  # delivered once more, in another order
        follows(step)
    rows = slow.follow(limit)

    assert slow.contacts == quick.contacts
    assert len(rows) == len({row["id"] for row in rows})  # no contact is there and gone
