"""Statements about some rows read those rows, and not the organization they are in."""

import pytest
from sqlalchemy import text

from worker.store import claims, contact_lists, contact_terms, contacts, db, records
from worker.store.db import Tx

_MANY = 20_000
_BATCH = 500

_FILL = """
INSERT INTO records (organization_id, id, source, external_id, kind, state, is_live, contact_id)
SELECT :organization_id, md5(n::text)::uuid, 'shop', n, 'customer', '{}', true, md5(n::text)::uuid
  FROM generate_series(1, :many) AS n;
INSERT INTO contacts (organization_id, id, external_source, external_id, custom_fields, tags)
SELECT organization_id, id, source, external_id, '{}', '{}' FROM records;
INSERT INTO contact_terms (organization_id, term, contact_id)
SELECT organization_id, 't:vip', id FROM records;
INSERT INTO claims (organization_id, type, key, record_id, source, is_customer, value, is_verified, is_owner,
                    is_contested)
SELECT organization_id, 'email', 'mail' || external_id || '@example.com', id, source, true, '', false, true, false
  FROM records
"""


@pytest.fixture
def filled(engine, organization_id):
    """The ids and numbers of as many records as a batch has."""
    given = {"organization_id": organization_id, "many": _MANY}
    with engine.begin() as conn:
        for statement in _FILL.split(";\n"):
            conn.execute(text(statement), given)
        conn.execute(text("ANALYZE records, contacts, contact_terms, claims"))
        found = text("SELECT id, external_id FROM records ORDER BY id LIMIT :batch")
        return conn.execute(found, {"batch": _BATCH}).all()


def _parameters(organization_id, rows):
    """What any of the statements asks for."""
    ids = [row.id for row in rows]
    return {
        "organization_id": organization_id,
        "id": ids,
        "ids": ids,
        "record_id": ids,
        "record_ids": ids,
        "contact_id": ids,
        "first_id": ids,
        "version": [1] * len(ids),
        "type": ["email"] * len(ids),
        "key": [f"mail{row.external_id}@example.com" for row in rows],
        "term": ["t:vip"] * len(ids),
        **dict.fromkeys(("is_live", "is_lost", "is_oversize"), [True] * len(ids)),
        **dict.fromkeys(("state", "custom_fields"), ["{}"] * len(ids)),
        "tags": ["{}"] * len(ids),
        **dict.fromkeys(("name", "email", "phone_number", "merged_at", "joined_id", "shown"), [None] * len(ids)),
        "kind": ["customer"] * len(ids),
        **dict.fromkeys(("external_source", "external_id"), ["shop"] * len(ids)),
    }


def _most_read(plan):
    own = plan.get("Actual Rows", 0) + plan.get("Rows Removed by Filter", 0)
    return max([own * plan.get("Actual Loops", 1), *map(_most_read, plan.get("Plans", ()))])


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(records._UPDATE, id="records._UPDATE"),
        pytest.param(contacts._UPDATE, id="contacts._UPDATE"),
        pytest.param(contact_terms._DELETE, id="contact_terms._DELETE"),
        pytest.param(claims._DELETE, id="claims._DELETE"),
        pytest.param(claims._DISOWN, id="claims._DISOWN"),
        pytest.param(claims._BY_RECORDS, id="claims._BY_RECORDS"),
        pytest.param(records._BY_CONTACTS, id="records._BY_CONTACTS"),
    ],
)
def test_a_batch_does_not_read_the_organization(engine, organization_id, filled, statement):
    explain = db.sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}")
    given = _parameters(organization_id, filled)
    with engine.connect() as conn:
        db.enter(Tx(conn, organization_id))
        plan = conn.execute(explain, {name: given[name] for name in explain._bindparams}).scalar_one()[0]["Plan"]

    assert _BATCH <= _most_read(plan) <= 2 * _BATCH


def test_a_search_that_fits_everybody_reads_one_page(engine, organization_id, filled):
    ways, ranges = contact_lists._search("mail")
    statement = contact_lists._statement("first", (), ways, is_born=False)
    with engine.connect() as conn:
        db.enter(Tx(conn, organization_id))
        given = {"organization_id": organization_id, "limit": 50, **ranges}
        plan = conn.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}"), given).scalar_one()[0]["Plan"]

    assert plan["Actual Rows"] == 50
    assert _most_read(plan) <= _BATCH
