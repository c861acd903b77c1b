"""The client against our own API on real Postgres."""

import asyncio
import os

import httpx
import pytest

from connectors.wazapin import (
    AsyncContacts,
    ConflictError,
    DeniedError,
    Identifier,
    InvalidError,
    NotFoundError,
    OutdatedError,
)
from worker.api.app import make_api
from worker.store import api_keys, db, look_ups
from worker.store.db import Tx

PHONE, EMAIL = "+6281234567890", "ujang@example.com"


@pytest.fixture
def run(engine, organization_id, monkeypatch):
    """Run a coroutine function with a client whose key may read and write."""
    monkeypatch.setitem(db._engines, (os.getpid(), "all"), engine)
    app = make_api()

    def run(action, *scopes):
        with engine.begin() as conn:
            key = api_keys.insert_new(Tx(conn, organization_id), scopes or ("contacts:read", "contacts:write"))[1]

        async def call():
            transport = httpx.ASGITransport(app)
            try:
                async with AsyncContacts("http://contacts", key, attempts=1, transport=transport) as contacts:
                    return await action(contacts)
            finally:
                await look_ups.close()

        return asyncio.run(call())

    return run


def test_contact_is_written_found_changed_and_deleted(run):
    async def action(contacts):
        contact = await contacts.upsert(phone_number=PHONE, name="Ujang", custom_fields={"tier": "gold"}, tags=["a/b"])
        assert (contact.phone_number, contact.name, contact.tags) == (PHONE, "Ujang", ("a/b",))
        assert contact.custom_fields == {"tier": "gold"}
        assert contact.created_at is not None
        assert (await contacts.upsert(phone_number=PHONE, email=EMAIL)).id == contact.id

        found = await contacts.get(contact.id)
        changed = await contacts.patch(contact.id, if_match=found.etag, name=None, custom_fields={"tier": None})
        assert (changed.name, changed.custom_fields) == (None, {})
        with pytest.raises(OutdatedError):
            await contacts.patch(contact.id, if_match=found.etag, name="B")

        assert (await contacts.by_phone(PHONE)).id == contact.id
        assert (await contacts.resolve(Identifier.email(EMAIL), Identifier.phone("+628999999999"))).id == contact.id
        assert [c.id async for c in contacts.all(tag="a/b", email=EMAIL)] == [contact.id]
        assert {i.type for i in await contacts.identities(contact.id)} >= {"phone", "email"}

        await contacts.delete(contact.id)
        with pytest.raises(NotFoundError):
            await contacts.get(contact.id)

    run(action)


def test_many_contacts_are_written_and_found_in_one_request(run):
    async def action(contacts):
        rows = [{"phone_number": PHONE}, {"email": "no address"}, {"phone_number": PHONE, "name": "Ujang"}]
        written = await contacts.upsert_many(rows, idempotency_key="once")
        assert [one.status for one in written] == [201, 422, 200]
        assert written[2].result().name == "Ujang"
        with pytest.raises(InvalidError):
            written[1].result()
        again = await contacts.upsert_many(rows, idempotency_key="once")
        assert [one.contact for one in again] == [one.contact for one in written]

        found = await contacts.resolve_many([[Identifier.phone(PHONE)], [Identifier.email(EMAIL)]])
        assert found[0].result().id == written[0].result().id
        assert isinstance(found[1].error, NotFoundError)

    run(action)


def test_every_page_is_read_to_its_end(run):
    async def action(contacts):
        ids = [(await contacts.upsert(email=f"p{n}@example.com")).id for n in range(5)]
        assert [c.id async for c in contacts.all(limit=2)] == ids[::-1]
        first = (await contacts.get(ids[0])).updated_at
        assert [c.id async for c in contacts.all(limit=2, updated_after=first)] == ids[1:]
        await contacts.delete(ids[3])
        feed = [c async for c in contacts.all(limit=2, updated_after=first, include="removed")]
        assert [(c.id, c.removed) for c in feed] == [(ids[1], False), (ids[2], False), (ids[4], False), (ids[3], True)]

    run(action)


def test_notes_tags_and_timeline(run):
    async def action(contacts):
        contact = await contacts.upsert(phone_number=PHONE)

        note = await contacts.add_note(contact.id, "called", author_name="Ani", idempotency_key="call-7")
        again = await contacts.add_note(contact.id, "called", author_name="Ani", idempotency_key="call-7")
        assert (note.body, note.author.name, again.id) == ("called", "Ani", note.id)
        assert await contacts.notes(contact.id) == (note,)

        assert {tag.name for tag in await contacts.add_tags(contact.id, "vip", "a/b c")} == {"vip", "a/b c"}
        await contacts.remove_tag(contact.id, "a/b c")
        assert [tag.name for tag in await contacts.tags(contact.id)] == ["vip"]
        with pytest.raises(NotFoundError):
            await contacts.remove_tag(contact.id, "a/b c")

        changes = [change async for change in contacts.timeline(contact.id, limit=1)]
        assert changes[-1].kind == "created"
        assert {"tags", "note"} <= {field.field for change in changes for field in change.fields}
        assert all(change.causes[0].actor and change.changed_at for change in changes)

    run(action)


def test_consent_suppression_and_verdict(run):
    async def action(contacts):
        contact = await contacts.upsert(email=EMAIL)

        consent = await contacts.put_consent(
            contact.id, "email", "opted_in", method="form", evidence={"url": "https://x"}
        )
        assert (consent.status, consent.purpose, consent.evidence) == ("opted_in", "marketing", {"url": "https://x"})
        assert [row.id for row in await contacts.consents(contact.id)] == [consent.id]
        verdict = await contacts.sendability(contact.id, "email")
        assert (verdict.sendable, verdict.address, verdict.consent.id) == (True, EMAIL, consent.id)

        row = await contacts.suppress(contact.id, "email", "manual", note="asked by phone")
        assert (row.active, row.address, row.note) == (True, EMAIL, "asked by phone")
        verdict = await contacts.sendability(contact.id, "email")
        assert (verdict.sendable, verdict.suppression.id) == (False, row.id)

        await contacts.suppress(contact.id, "email", "manual", active=False)
        assert await contacts.suppressions(contact.id) == ()
        (lifted,) = await contacts.suppressions(contact.id, include_lifted=True)
        assert not lifted.active
        assert lifted.lifted_at is not None

    run(action)


def test_refusals_say_what_to_do(run):
    async def action(contacts):
        one = await contacts.upsert(phone_number=PHONE)
        other = await contacts.upsert(email=EMAIL)
        with pytest.raises(ConflictError) as conflict:
            await contacts.resolve(Identifier.phone(PHONE), Identifier.email(EMAIL))
        assert set(conflict.value.contact_ids) == {one.id, other.id}
        assert conflict.value.code == "conflict"
        with pytest.raises(InvalidError) as invalid:
            await contacts.upsert(name="Nobody")
        assert invalid.value.details
        assert invalid.value.request_id
        with pytest.raises(NotFoundError):
            await contacts.lookup_profile("chn_none", Identifier("telegram", "7"))

    run(action)


def test_key_that_may_only_read_is_told_so(run):
    with pytest.raises(DeniedError) as caught:
        run(lambda contacts: contacts.upsert(phone_number=PHONE), "contacts:read")

    assert caught.value.status == 403
