"""The organization is the key of the distribution: it leads every key, so organizations can be on several servers.

Whoever adds a table or an index that does not begin with the organization finds it here, and either changes it or
says why it is an exception. ``docs/scaling.md`` builds on this.
"""

from collections import defaultdict

import pytest
from sqlalchemy import text

#: tables without the column, each with its reason
SHARED_TABLES = {
    "organizations": "the list of the organizations: its id is the key of the distribution",
    "alembic_version": "the revision of the schema, which each server has for itself",
    "counts": "what the processes of a deployment count, of no organization and nobody",
}
#: keys and unique indexes that do not begin with the organization, each with its reason
OTHER_KEYS = {
    "organizations_pkey": "the id is the organization's own",
    "organizations_name_key": "the command line finds an organization by its name, which an operator gives once",
    "alembic_version_pkc": "no data of an organization",
    "api_keys_id": "a request shows only the key; the id is random, and leads to the organization",
    "connections_id": "a webhook's URL names only the connection; the id is made by us, and leads to the organization",
}
#: tables that are read before it is known who calls, so no policy guards them
WITHOUT_POLICY = {"counts", "organizations", "api_keys", "alembic_version"}

_TABLES = """
    SELECT c.relname AS name, c.relforcerowsecurity AND c.relrowsecurity AS is_guarded, a.attnotnull AS is_required
      FROM pg_class c
      LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
"""
# An exclusion constraint is a key too; an expression has no attribute, so it comes as NULL.
_KEYS = """
    SELECT i.relname AS name, t.relname AS "table", a.attname AS leads
      FROM pg_index x
      JOIN pg_class i ON i.oid = x.indexrelid
      JOIN pg_class t ON t.oid = x.indrelid
      LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
     WHERE t.relnamespace = 'public'::regnamespace AND (x.indisunique OR x.indisexclusion)
"""
_REFERENCES = """
    SELECT c.conname AS name, o.relname AS "table", f.relname AS referenced,
           (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.conrelid AND a.attnum = c.conkey[1]) AS leads,
           (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.confrelid AND a.attnum = c.confkey[1]) AS to
      FROM pg_constraint c JOIN pg_class o ON o.oid = c.conrelid JOIN pg_class f ON f.oid = c.confrelid
     WHERE c.contype = 'f' AND o.relnamespace = 'public'::regnamespace
"""
#: a reference whose columns are in another order
_TURNED = """
    ALTER TABLE notes ADD CONSTRAINT stray FOREIGN KEY (id, organization_id) REFERENCES contacts (id, organization_id)
"""
_SEQUENCES = "SELECT count(*) FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace"


def rows(conn, statement):
    return [row._mapping for row in conn.execute(text(statement))]


def misfits(conn):
    """Return what stands in the way of putting organizations on several servers: kind -> names."""
    found = defaultdict(set)
    for table in rows(conn, _TABLES):
        if not table["is_required"]:
            found["tables"].add(table["name"])
        if not table["is_guarded"]:
            found["unguarded"].add(table["name"])
    for key in rows(conn, _KEYS):
        if key["leads"] != "organization_id":
            found["keys"].add(key["name"])
    for reference in rows(conn, _REFERENCES):
        is_of_list = reference["referenced"] == "organizations" and reference["to"] == "id"
        if reference["leads"] != "organization_id" or not (is_of_list or reference["to"] == "organization_id"):
            found["references"].add(reference["name"])
    return found


def test_the_organization_leads_every_key_of_every_table(engine):
    with engine.connect() as conn:
        found = misfits(conn)

    assert found["tables"] == SHARED_TABLES.keys()
    assert found["keys"] == OTHER_KEYS.keys()
    assert found["references"] == set()
    assert found["unguarded"] == WITHOUT_POLICY


def test_no_number_is_counted_for_all_organizations_together(engine):
    """A sequence would give the same number on two servers; ids are UUIDs."""
    with engine.connect() as conn:
        assert conn.execute(text(_SEQUENCES)).scalar_one() == 0


@pytest.mark.parametrize(
    ("ddl", "kind", "name"),
    [
        ("CREATE TABLE stray (id uuid PRIMARY KEY)", "tables", "stray"),
        ("CREATE TABLE stray (organization_id uuid, id uuid)", "tables", "stray"),
        ("CREATE TABLE stray (organization_id uuid NOT NULL)", "unguarded", "stray"),
        ("CREATE UNIQUE INDEX stray ON contacts (id)", "keys", "stray"),
        ("CREATE UNIQUE INDEX stray ON contacts (lower(name), organization_id)", "keys", "stray"),
        ("ALTER TABLE notes ADD CONSTRAINT stray EXCLUDE (id WITH =)", "keys", "stray"),
        ("ALTER TABLE notes ADD CONSTRAINT stray FOREIGN KEY (id) REFERENCES connections (id)", "references", "stray"),
        (_TURNED, "references", "stray"),
    ],
)
def test_what_stands_in_the_way_is_found(engine, ddl, kind, name):
    with engine.connect() as conn:
        if ddl == _TURNED:
            conn.execute(text("CREATE UNIQUE INDEX stray_key ON contacts (id, organization_id)"))
        conn.execute(text(ddl))

        assert name in misfits(conn)[kind]
        conn.rollback()
