"""A group of operations shares a transaction, and each comes to what it would come to alone."""

import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from tests.worker.api.conftest import EMAIL, PHONE, Client, a_profile
from worker.api.contact_writes import UpsertContact
from worker.api.operation import Member, RequestInfo
from worker.api.operation_group import carry_out
from worker.api.request_bodies import ContactIn
from worker.domain.limits import MAX_TAGS
from worker.store import api_keys, contacts, db, envelopes

OTHER = "+6281234567891"


@pytest.fixture
def client(app, a_key):
    return Client(app, {"X-Api-Key": a_key("contacts:read", "contacts:write")})


@pytest.fixture
def key(a_key):
    given = a_key("contacts:read", "contacts:write")
    with db.tenant_engine().begin() as conn:
        return api_keys.check(conn, [given])[0]


@pytest.fixture
def upsert(key):
    """Make a request of the group: an upsert."""

    def upsert(idempotency_key=None, digest=b"d" * 32, **body):
        request = RequestInfo("POST /v1/contacts", idempotency_key, digest)
        return Member(key, request, UpsertContact(key, ContactIn.model_validate(body)))

    return upsert


@pytest.fixture
def together(key):
    """Carry out a group; return the statuses, with ``late`` for those that belong to a later group."""

    def together(*members):
        carry_out(db.tenant_engine(), key.organization_id, members)
        return [outcome(member) for member in members]

    return together


@pytest.fixture
def commits(engine):
    """Count the transactions that are committed."""
    counted = []
    event.listen(db.tenant_engine(), "commit", lambda _: counted.append(1))
    return counted


def outcome(member):
    if member.is_late:
        return "late"
    if member.refusal is not None:
        return getattr(member.refusal, "status_code", type(member.refusal).__name__)
    return member.response.status_code


def shown(client):
    return {row["phone_number"]: row["name"] for row in client.get("/v1/contacts").json()["data"]}


def test_requests_about_different_people_share_a_transaction(client, upsert, together, commits):
    members = [upsert(phone_number=f"+62812345678{n:02}", name=f"{n}") for n in range(20)]

    assert together(*members) == [201] * 20
    assert len(commits) == 1
    assert shown(client) == {f"+62812345678{n:02}": f"{n}" for n in range(20)}
    assert together(*[upsert(phone_number=f"+62812345678{n:02}", name="again") for n in range(20)]) == [200] * 20


def test_each_request_is_an_envelope_of_its_own(client, upsert, together):
    together(upsert(phone_number=PHONE, name="A"), upsert(phone_number=OTHER, name="B"))

    causes = []
    for row in client.get("/v1/contacts").json()["data"]:
        (change,) = client.get(f"/v1/contacts/{row['id']}/timeline").json()["data"]
        causes += change["causes"]
    assert len({cause["envelope_id"] for cause in causes}) == len(causes) == 2


def test_who_is_refused_is_taken_out_and_the_others_go_on(client, upsert, together):
    for body in ({"phone_number": PHONE}, {"email": EMAIL}):
        assert client.post("/v1/contacts", json=body).status_code == 201

    both = upsert(phone_number=PHONE, email=EMAIL, name="Two people")
    group = together(upsert(phone_number=OTHER, name="Other"), both, upsert(email="third@example.com"))

    assert group == [201, 409, 201]
    assert both.refusal.details[0]["field"] == "email"
    assert shown(client)[OTHER] == "Other"


def test_who_is_refused_by_the_outcome_is_taken_out_too(client, upsert, together):
    for n in range(0, MAX_TAGS + 100, 100):  # The first hundred are with the record that the first request made.
        body = {"phone_number": PHONE, "tags": [f"{tag}" for tag in range(n, min(n + 100, MAX_TAGS + 100))]}
        assert client.post("/v1/contacts", json=body).status_code in (200, 201)

    group = together(upsert(phone_number=OTHER), upsert(phone_number=PHONE, tags=["one more"], name="Refused"))

    assert group == [201, 422]
    assert shown(client) == {PHONE: None, OTHER: None}


def test_of_two_about_one_person_the_second_is_late(client, upsert, together):
    group = together(
        upsert(phone_number=PHONE, name="First"),
        upsert(phone_number="6281234567890", name="Second"),  # the same number in another form
        upsert(phone_number=OTHER, name="Other"),
    )

    assert group == [201, "late", 201]
    assert shown(client) == {PHONE: "First", OTHER: "Other"}


def test_two_that_name_a_stored_person_by_different_values_do_not_meet_in_one_group(client, upsert, together):
    assert client.post("/v1/contacts", json={"phone_number": PHONE, "email": EMAIL}).status_code == 201

    group = together(upsert(phone_number=PHONE, name="First"), upsert(email=EMAIL, name="Second"))

    assert group == [200, "late"]
    assert shown(client) == {PHONE: "First"}


def test_who_waits_for_another_is_waited_for_too(upsert, together):
    group = together(
        upsert(phone_number=PHONE),
        upsert(phone_number=PHONE, email=EMAIL, name="Second"),
        upsert(email=EMAIL, name="3"),
    )

    assert group == [201, "late", "late"]


def test_two_that_are_found_to_be_one_person_only_when_they_are_loaded_are_parted(client, say, upsert, together):
    say("shop", a_profile("1", phone=PHONE, email=EMAIL, name="Ujang"))
    # A customer whom nobody knows, with the number; and the e-mail address of its contact.
    first = upsert(external_source="crm", external_id="1", phone_number=PHONE, name="Ujang")
    second = upsert(external_source="crm", external_id="2", email=EMAIL, name="Ujang")

    group = together(first, second)

    assert group == [200, "late"]


def test_a_key_that_was_answered_is_answered_again_among_others(client, upsert, together):
    assert together(upsert("k", phone_number=PHONE, name="Once")) == [201]
    assert client.post("/v1/contacts", json={"phone_number": PHONE, "name": "Later"}).status_code == 200

    again = upsert("k", phone_number=PHONE, name="Once")
    group = together(again, upsert("k", b"e" * 32, phone_number=OTHER), upsert(phone_number=OTHER, name="New"))

    assert group == [201, "late", 201]
    assert again.response.headers["Idempotent-Replayed"] == "true"
    assert shown(client) == {PHONE: "Later", OTHER: "New"}
    assert together(upsert("k", b"e" * 32, phone_number=OTHER)) == [409]


def test_of_two_with_one_key_the_second_is_late_and_then_gets_the_answer(client, upsert, together):
    first, second = (upsert("k", phone_number=PHONE, name="Once") for _ in range(2))

    assert together(first, second) == [201, "late"]
    second.is_late = False
    assert together(second) == [201]
    assert second.response.body == first.response.body
    assert len(client.get("/v1/contacts").json()["data"]) == 1


def test_the_key_of_one_that_is_refused_or_late_is_free_again(client, upsert, together):
    for body in ({"phone_number": PHONE}, {"email": EMAIL}):
        client.post("/v1/contacts", json=body)

    group = together(
        upsert("refused", phone_number=PHONE, email=EMAIL),
        upsert(phone_number=OTHER, name="First"),
        upsert("late", phone_number=OTHER, name="Second"),
    )

    assert group == [409, 201, "late"]
    assert together(upsert("refused", b"e" * 32, phone_number=PHONE)) == [200]
    assert together(upsert("late", b"e" * 32, phone_number=OTHER)) == [200]


def test_a_value_that_the_database_refuses_harms_nobody_else(client, upsert, together, monkeypatch):
    keep = envelopes.keep_settled

    def refusing(tx, writes):
        if any(b"poison" in write.body for write in writes):
            tx.conn.exec_driver_sql("SELECT 1 / 0")
        return keep(tx, writes)

    monkeypatch.setattr(envelopes, "keep_settled", refusing)
    members = [upsert(phone_number=f"+62812345678{n:02}", name=f"{n}") for n in range(7)]
    members.insert(3, upsert(phone_number=PHONE, name="poison"))

    group = together(*members)

    assert group[:3] + group[4:] == [201] * 7
    assert isinstance(members[3].refusal, DBAPIError)
    assert PHONE not in shown(client)
    assert len(shown(client)) == 7


def test_a_lock_that_somebody_holds_is_waited_for_alone(upsert, together, monkeypatch):
    monkeypatch.setattr(contacts, "insert_new", lambda *_: (_ for _ in ()).throw(a_timeout()))
    members = [upsert(phone_number=PHONE), upsert(phone_number=OTHER)]

    assert together(*members) == ["late", "late"]
    assert [member.is_alone for member in members] == [True, True]


def a_timeout():
    class CauseError(Exception):
        sqlstate = "55P03"

    return DBAPIError.instance(None, None, CauseError(), Exception)


def test_if_the_system_fails_all_are_told_so(upsert, together, monkeypatch):
    def broken(*_):
        raise DBAPIError("SELECT", None, Exception(), connection_invalidated=True)

    monkeypatch.setattr(envelopes, "keep_settled", broken)

    assert together(upsert(phone_number=PHONE), upsert(phone_number=OTHER)) == ["DBAPIError", "DBAPIError"]
