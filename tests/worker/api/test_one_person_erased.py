"""Who asks to be forgotten is gone from every read at once, whatever comes late, and starts anew, suppressed."""

import itertools

import pytest
from sqlalchemy import text

from tests.worker.api.one_person import E1, E2, E3, P1, P2
from tests.worker.api.shops import now
from worker.privacy import shops
from worker.store import db, ready

NAME = "Ayu Lestari"
once = pytest.mark.parametrize("world", ["as sent"], indirect=True)


def gone(api, *ids_and_values):
    """Return whether no read of the API tells of somebody."""
    assert api.rows(None) == []
    for who in ids_and_values:
        assert api.contact(who) is None
        kind = "email" if "@" in who else "phone"
        if not who.startswith("cnt_") and ":" not in who:
            assert api.ask("GET", f"/{kind}/{who}").status_code == 404
    return True


def test_a_redacted_customer_is_gone_from_every_read(shop, api):
    shop.seen("1", email=E1, phone=P1, name=NAME, at=0)
    shop.consent("1", "email", "subscribed", E1, at=1)
    contact_id = api.id("shop:1")
    shop.redact("1", email=E1, phone=P1, at=10)

    assert gone(api, contact_id, "shop:1", E1, P1)
    for rest in ("", "/identities", "/tags", "/notes", "/timeline", "/consents", "/suppressions", "/sendability"):
        assert api.ask("GET", f"/{contact_id}{rest}", params={"channel": "email"}).status_code == 404, rest
    assert api.rows(None, search="Ayu") == []
    (removed,) = api.rows(None, updated_after="2020-01-01T00:00:00Z", include="removed")
    assert (removed["id"], removed["removed"], removed["merged_into"]) == (contact_id, True, None)


def test_guest_orders_of_the_redacted_addresses_are_gone_too(shop, api):
    shop.guest(email=E1, name=NAME, at=0)
    shop.guest(phone=P1, name=NAME, at=0)
    shop.redact("7", email=E1, phone=P1, at=10)

    assert gone(api, E1, P1)


@pytest.mark.parametrize("order", range(6))
@once
def test_what_comes_late_from_before_brings_nobody_back(shop, api, world, order):
    what = [
        lambda: shop.seen("1", email=E1, phone=P1, name=NAME, at=0),
        lambda: shop.guest(email=E1, name=NAME, at=5),
        lambda: shop.redact("1", email=E1, phone=P1, at=10),
    ]
    for tell in list(itertools.permutations(what))[order]:
        tell()
        world.deliver()

    assert gone(api, "shop:1", E1, P1)


def test_a_purchase_after_it_starts_anew_and_suppressed(shop, api):
    shop.seen("1", email=E1, phone=P1, name=NAME, at=0)
    shop.tagged("1", "vip", at=1)
    shop.consent("1", "email", "subscribed", E1, at=1)
    api.write("POST", "shop:1", "/notes", body="knows the owner")
    shop.redact("1", email=E1, phone=P1, at=10)
    shop.seen("1", email=E1, name="Ayu", at=20, created=0)

    contact = api.contact(E1)
    assert (contact["name"], contact["phone_number"], contact["tags"]) == ("Ayu", None, [])
    assert api.contact(P1) is None
    assert api.sendable(E1) == (False, "suppressed")
    assert api.sendable(E1, purpose="transactional") == (False, "suppressed")
    assert api.rows(E1, "/consents") == []
    (row,) = api.rows(E1, "/suppressions")
    assert (row["channel"], row["reason"], row["address"]) == ("all", "erasure_request", E1)


@once
def test_a_newer_yes_does_not_lift_the_suppression(shop, api):
    shop.redact("1", email=E1, at=10)
    shop.seen("1", email=E1, at=20)
    shop.consent("1", "email", "subscribed", E1, at=21)

    assert api.sendable(E1) == (False, "suppressed")


def test_another_source_keeps_the_person_with_its_own_values(shop, eu, api):
    shop.seen("1", email=E1, phone=P1, name="Ayu Wulandari", at=0)
    eu.seen("2", email=E1, phone=P2, name="Ayu", at=5)
    shop.redact("1", email=E1, at=10)

    (contact,) = api.rows(None)
    assert (contact["name"], contact["email"], contact["phone_number"]) == ("Ayu", E1, P2)
    assert (contact["external_source"], contact["external_id"]) == ("eu", "2")
    assert api.contact(P1) is None
    assert api.contact("shop:1") is None
    assert api.sendable(E1)[1] == "suppressed"
    told = api.ask("GET", f"/{contact['id']}/timeline").text + api.ask("GET", f"/{contact['id']}/identities").text
    assert P1 not in told
    assert "Wulandari" not in told


def test_others_with_the_same_address_stay(shop, api):
    """A shop knows its customers: another customer is somebody else, whatever they share."""
    shop.seen("1", email=E1, phone=P1, at=0)
    shop.seen("2", email=E2, phone=P1, at=5)
    shop.redact("1", email=E1, phone=P1, at=10)

    assert [contact["email"] for contact in api.rows(None)] == [E2]
    assert api.contact(E1) is None
    assert api.id(P1) == api.id(E2)


def test_edits_of_who_is_erased_go_and_do_not_come_back(shop, api):
    shop.seen("1", email=E1, name=NAME, at=0)
    api.write("PATCH", "shop:1", name="Edited", email=E3, custom_fields={"tier": "gold"})
    shop.redact("1", email=E1, at=now())
    assert gone(api, "shop:1", E1, E3)

    shop.seen("1", email=E1, name=NAME, at=now(seconds=1), created=0)
    contact = api.contact("shop:1")
    assert (contact["name"], contact["email"], contact["custom_fields"].get("tier")) == (NAME, E1, None)


def test_an_edit_of_somebody_who_has_another_record_stays(shop, eu, api):
    shop.seen("1", email=E1, name=NAME, at=0)
    eu.seen("2", email=E1, name=NAME, at=5)
    api.write("PATCH", E1, custom_fields={"tier": "gold"})
    shop.redact("1", email=E1, at=now())

    assert api.contact(E1)["custom_fields"]["tier"] == "gold"


@once
def test_a_redact_that_is_replayed_changes_nothing(shop, api, world):
    shop.seen("1", email=E1, phone=P1, name=NAME, at=0)
    shop.redact("1", email=E1, phone=P1, at=10)
    envelope_ids = world.deliver()
    shop.seen("1", email=E1, name="Ayu", at=20, created=0)
    envelope_ids += world.deliver()
    before = api.contact(E1), api.rows(E1, "/suppressions")
    for envelope_id in envelope_ids:
        world.replay(envelope_id)

    assert api.contact(E1)["name"] == "Ayu"
    assert api.contact(P1) is None
    assert api.contact(E1)["id"] == before[0]["id"]
    assert [row["reason"] for row in api.rows(E1, "/suppressions")] == ["erasure_request"]


@once
def test_an_address_that_cannot_be_read_is_told_and_the_rest_is_done(shop, api, engine, organization_id):
    shop.seen("1", email=E1, at=0)
    shop.redact("1", email=E1, phone="call me", at=10)

    assert gone(api, E1)
    with engine.begin() as conn:
        (remark,) = ready.remarks(db.Tx(conn, organization_id))
    assert "cannot read the phone" in remark
    assert "call" not in remark


def test_an_erased_contact_starts_anew_and_suppressed(shop, eu, api):
    shop.seen("1", email=E1, phone=P1, name=NAME, at=0)
    eu.seen("2", email=E1, name=NAME, at=5)
    api.write("PATCH", E1, name="Edited")
    contact_id = api.id(E1)
    assert api.ask("DELETE", f"/{contact_id}?erase=true").status_code == 204
    shop.guest(phone=P1, name=NAME, at=6)
    assert gone(api, contact_id, "shop:1", "eu:2", E1, P1)

    eu.seen("2", email=E1, at=now(seconds=1), created=5)
    contact = api.contact(E1)
    assert (contact["name"], contact["phone_number"]) == (None, None)
    assert api.sendable(E1, purpose="transactional") == (False, "suppressed")
    shop.guest(phone=P1, at=now(seconds=2))
    assert api.sendable(P1, "sms", "transactional") == (False, "suppressed")


@pytest.mark.parametrize("asked_by", ["shop", "api"])
def test_stored_answers_about_the_person_go_and_a_retry_creates_nobody(shop, api, asked_by):
    shop.seen("1", email=E1, at=0)
    contact_id = api.id(E1)
    posts = [
        ("", {"email": E1, "name": NAME}),
        ("", {"external_source": "shop", "external_id": "1", "name": NAME}),
        (f"/{contact_id}/tags", {"name": "vip"}),
        (f"/{contact_id}/notes", {"body": NAME}),
        (f"/{contact_id}/suppressions", {"channel": "email", "reason": "manual"}),
    ]

    def post(number):
        path, body = posts[number]
        return api.ask("POST", path, json=body, headers={"Idempotency-Key": f"k{number}"})

    assert {post(number).status_code for number in range(5)} <= {200, 201}
    other = {"Idempotency-Key": "other"}
    stranger = api.ask("POST", "", json={"email": E2}, headers=other)
    if asked_by == "shop":
        shop.redact("1", email=E1, at=now())
    else:
        api.ask("DELETE", f"/{contact_id}?erase=true")

    for number in range(5):
        answer = post(number)
        assert (answer.status_code, "erased" in answer.json()["error"]) == (409, True), number
        assert NAME not in answer.text
    assert [contact["email"] for contact in api.rows(None)] == [E2]
    assert api.ask("POST", "", json={"email": E2}, headers=other).content == stranger.content


@once
def test_what_was_logged_about_the_person_is_forgotten(shop, api, engine):
    shop.seen("1", email=E1, phone=P1, name=NAME, at=0)
    shop.seen("1", email=E1, phone=P2, name=NAME, at=1)
    api.id(E1)
    shop.redact("1", email=E1, at=10)
    shop.seen("1", email=E1, at=20, created=0)

    told = api.ask("GET", f"/{api.id(E1)}/timeline")
    assert len(told.json()["data"]) >= 3
    for value in (P1, P2, NAME):
        assert value not in told.text


def test_all_of_a_redacted_shop_are_gone_and_others_stay(shop, eu, api, engine, monkeypatch):
    monkeypatch.setattr(shops, "BATCH", 2)
    for number in range(1, 6):
        shop.seen(str(number), email=f"person{number}@example.com", name=NAME, at=number)
    shop.guest(email=E2, name=NAME, at=1)
    eu.seen("1", email="person1@example.com", name=NAME, at=3)
    shop.redact_shop(at=10)
    api.rows(None)
    assert shops.sweep(engine, budget_s=10)

    assert [contact["external_source"] for contact in api.rows(None)] == ["eu"]
    shop.seen("7", email=E3, at=2)
    shop.seen("3", email="person3@example.com", at=9, created=3)
    shop.guest(email=E2, at=3)
    assert [contact["external_source"] for contact in api.rows(None)] == ["eu"]

    shop.seen("3", email="person3@example.com", at=20, created=3)
    assert {contact["email"] for contact in api.rows(None)} == {"person1@example.com", "person3@example.com"}


@once
def test_a_shop_is_walked_again_until_nobody_can_write_who_did_not_know(shop, api, engine):
    shop.seen("1", email=E1, at=0)
    shop.redact_shop(at=10)
    api.rows(None)
    assert shops.sweep(engine, budget_s=0)
    states = text("SELECT after, hidden, done_at IS NULL, next_at > now() FROM shop_erasures")
    with engine.begin() as conn:
        assert conn.execute(states).one() == ("", 1, True, True)
        conn.execute(text("UPDATE shop_erasures SET next_at = now(), created_at = now() - interval '3 minutes'"))
    assert shops.sweep(engine)
    with engine.connect() as conn:
        assert conn.execute(states).one() == ("", 1, False, True)
