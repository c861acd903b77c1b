"""How the client of the Contacts API reads answers: pages, missing and unknown fields, values of other types."""

from datetime import UTC, datetime

import httpx
import pytest

from connectors.wazapin import (
    Author,
    Cause,
    Contact,
    Contacts,
    FieldChange,
    Identifier,
    Identity,
    Profile,
    UnexpectedAnswerError,
)
from tests.connectors.wazapin.test_client import KEY, URL, Server, await_, wait


@pytest.fixture(params=[wait, await_])
def run(request):
    """Either client; the test does not know which."""
    return request.param


def test_pages_are_followed_with_the_filters_of_the_first(run):
    server = Server(
        {"data": [{"id": "1"}, {"id": "2"}], "meta": {"next_cursor": "c1"}},
        {"data": [], "meta": {"next_cursor": "c2"}},
        {"data": [{"id": "3"}]},
    )

    found = run(server, lambda c: c.all(tag="vip", limit=2))

    assert [contact.id for contact in found] == ["1", "2", "3"]
    assert [dict(request.url.params) for request in server.requests] == [
        {"tag": "vip", "limit": "2"},
        {"tag": "vip", "limit": "2", "cursor": "c1"},
        {"tag": "vip", "limit": "2", "cursor": "c2"},
    ]


def test_next_page_is_asked_for_only_when_reached():
    server = Server({"data": [{"id": "1"}, {"id": "2"}], "meta": {"next_cursor": "c1"}})

    with Contacts(URL, KEY, transport=httpx.MockTransport(server)) as contacts:
        found = contacts.all()
        assert server.requests == []
        assert [next(found).id, next(found).id] == ["1", "2"]

    assert len(server.requests) == 1


def test_list_returns_one_page_and_where_the_next_is(run):
    server = Server({"data": [{"id": "1"}], "meta": {"next_cursor": "c1"}})

    page = run(server, lambda c: c.list())

    assert ([contact.id for contact in page.items], page.next_cursor) == (["1"], "c1")


@pytest.mark.parametrize("name", ["identities", "notes", "tags", "consents", "suppressions", "timeline"])
def test_lists_of_a_contact_are_read_to_their_end(run, name):
    server = Server({"data": [{"id": "1"}], "meta": {"next_cursor": "c1"}}, {"data": [{"id": "2"}], "meta": None})

    rows = run(server, lambda c: getattr(c, name)("cnt_1"))

    assert [row.id for row in rows] == ["1", "2"]


def test_list_that_goes_in_circles_ends_in_an_error(run):
    server = Server({"data": [], "meta": {"next_cursor": "c1"}})

    with pytest.raises(UnexpectedAnswerError, match="leads back"):
        run(server, lambda c: c.tags("cnt_1"))
    assert len(server.requests) == 2


def test_list_that_nobody_began_is_empty(run):
    assert run(Server({"data": None}), lambda c: c.notes("cnt_1")) == ()


def test_one_tag_answered_alone_is_a_list_of_one(run):
    (tag,) = run(Server({"data": {"id": "t", "name": "vip"}}), lambda c: c.add_tags("cnt_1", "vip"))

    assert tag.name == "vip"


def test_published_answer_of_resolve_is_a_contact_with_the_rest_empty(run):
    shown = {"id": "cnt_123", "phone_number": "+6281234567890", "name": "Ujang", "email": "ujang@example.com"}

    contact = run(Server({"data": shown}), lambda c: c.resolve(Identifier.phone("+6281234567890")))

    assert contact == Contact(**shown)
    assert (contact.custom_fields, contact.tags, contact.created_at, contact.etag) == ({}, (), None, None)


def test_whole_contact_is_read_with_times_in_utc_and_unknown_fields_kept(run):
    row = {
        "id": 7,
        "phone_number": None,
        "external_source": "shopify",
        "external_id": "cust_123",
        "custom_fields": {"tier": "gold"},
        "tags": ["vip"],
        "created_at": "2026-01-02T10:00:00.123456789+07:00",
        "updated_at": "2026-01-02T03:00:00Z",
        "loyalty": {"points": 3},
    }

    contact = run(Server({"data": row, "$schema": "https://x"}), lambda c: c.get("7"))

    assert contact == Contact(
        id="7",
        external_source="shopify",
        external_id="cust_123",
        custom_fields={"tier": "gold"},
        tags=("vip",),
        created_at=datetime(2026, 1, 2, 3, 0, 0, 123456, tzinfo=UTC),
        updated_at=datetime(2026, 1, 2, 3, tzinfo=UTC),
    )
    assert contact.created_at.tzinfo is UTC
    assert contact.raw["loyalty"] == {"points": 3}


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "yesterday", "", 5, {}, "9999-12-31T23:59:59-12:00"])
def test_time_that_is_none_reads_as_absent(time):
    contact = wait(Server({"data": {"id": "1", "created_at": time}}), lambda c: c.get("1"))

    assert contact.created_at is None


def test_value_of_another_kind_reads_as_absent():
    row = {"id": "1", "name": ["a"], "custom_fields": [], "tags": "vip", "email": 5.5}

    assert wait(Server({"data": row}), lambda c: c.get("1")) == Contact(id="1")


def test_note_has_its_author(run):
    rows = [{"id": "n", "body": "hi", "author": {"type": "user", "id": "u", "name": "Ani"}}, {"author": None}]

    first, second = run(Server({"data": rows}), lambda c: c.notes("cnt_1"))

    assert (first.body, first.author) == ("hi", Author(type="user", id="u", name="Ani"))
    assert second.author is None


def test_profile_is_read_with_its_identity(run):
    data = {
        "platform": "line",
        "identity": {"type": "line", "value": "U1"},
        "profile": {"name": "Brown", "avatar_expires_at": "2026-01-02T03:00:00Z"},
        "contact_id": None,
        "cached": True,
    }

    found = run(Server({"data": data}), lambda c: c.lookup_profile("wzp_1", Identifier("line", "U1")))

    assert (found.platform, found.contact_id, found.cached) == ("line", None, True)
    assert found.identity == Identity(type="line", value="U1")
    assert found.profile == Profile(name="Brown", avatar_expires_at=datetime(2026, 1, 2, 3, tzinfo=UTC))


@pytest.mark.parametrize(
    ("data", "sendable"),
    [({"sendable": True}, True), ({"sendable": False}, False), ({"sendable": "yes"}, False), ({}, False)],
)
def test_nobody_may_be_written_to_unless_the_server_says_so(data, sendable):
    assert wait(Server({"data": data}), lambda c: c.sendability("cnt_1", "sms")).sendable is sendable


def test_suppression_counts_its_events():
    (suppression,) = wait(Server({"data": [{"event_count": 3}]}), lambda c: c.suppressions("cnt_1"))

    assert suppression.event_count == 3


@pytest.mark.parametrize(("row", "active"), [({}, True), ({"active": False}, False)])
def test_suppression_counts_unless_the_server_lifts_it(row, active):
    (suppression,) = wait(Server({"data": [row]}), lambda c: c.suppressions("cnt_1"))

    assert suppression.active is active


def test_change_tells_fields_and_causes(run):
    row = {
        "kind": "changed",
        "changed_at": "2026-01-02T03:00:00Z",
        "fields": [{"field": "tags", "before": [], "after": ["vip"], "envelope_id": "env_1"}],
        "causes": [{"envelope_id": "env_1", "source": "api", "actor": "key_1", "received_at": "2026-01-02T03:00:00Z"}],
    }

    (change,) = run(Server({"data": [row]}), lambda c: c.timeline("cnt_1"))

    moment = datetime(2026, 1, 2, 3, tzinfo=UTC)
    assert (change.kind, change.changed_at) == ("changed", moment)
    assert change.fields == (FieldChange(field="tags", before=[], after=["vip"], envelope_id="env_1"),)
    assert change.causes == (Cause(envelope_id="env_1", source="api", actor="key_1", received_at=moment),)


def test_verdict_shows_what_decided(run):
    data = {"sendable": False, "reason": "suppressed", "consent": {"status": "opted_in"}, "suppression": {"id": "s"}}

    verdict = run(Server({"data": data}), lambda c: c.sendability("cnt_1", "email"))

    assert (verdict.sendable, verdict.reason, verdict.address) == (False, "suppressed", None)
    assert (verdict.consent.status, verdict.suppression.id) == ("opted_in", "s")
