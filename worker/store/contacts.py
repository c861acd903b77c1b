"""Contacts: the golden record of each person, as it is shown."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause

from worker.domain.golden import Golden
from worker.domain.rows import ContactRow, EncodedContact
from worker.domain.terms import EVIDENCE
from worker.store.batch_writer import array, columns_of, json_bytes, keys_of, rows_of
from worker.store.db import Tx, sql

#: (type, source, key) of an identifier; the source is empty except for an external id
Key = tuple[str, str, str]

COLUMNS = (
    "c.id, c.name, c.email, c.phone_number, c.external_source, c.external_id, c.custom_fields, c.tags, "
    "c.first_id, c.shown, c.created_at, c.updated_at"
)
_VALUES = ("id", "name", "email", "phone_number", "external_source", "external_id", "custom_fields", "tags", "first_id")
_NEW = {
    "id": "uuid",
    "name": "text",
    "email": "text",
    "phone_number": "text",
    "external_source": "text",
    "external_id": "text",
    "custom_fields": "json",
    "tags": "text",
    "first_id": "uuid",
    "shown": "json",
}
_TAGS = "CAST(new.tags AS text[])"  # sent as text, because arrays in an array must have one length

_BY_IDS = sql(f"""
    SELECT {COLUMNS} FROM unnest(CAST(:ids AS uuid[])) AS given_id
     CROSS JOIN LATERAL (
        SELECT * FROM contacts c WHERE c.organization_id = :organization_id AND c.id = given_id LIMIT 1) AS c
""")

_INSERT = sql(f"""
    INSERT INTO contacts (organization_id, {", ".join(_VALUES)}, shown, updated_at)
    SELECT :organization_id, id, name, email, phone_number, external_source, external_id, custom_fields::jsonb, {_TAGS},
           first_id, shown::json, clock_timestamp()
      FROM {rows_of(**_NEW)}
""")

_UPDATE = sql(f"""
    UPDATE contacts c
       SET name = new.name, email = new.email, phone_number = new.phone_number,
           external_source = new.external_source, external_id = new.external_id,
           custom_fields = new.custom_fields::jsonb, tags = {_TAGS}, first_id = new.first_id,
           shown = coalesce(new.shown::json, c.shown), updated_at = clock_timestamp()
      FROM {keys_of(**_NEW)}
     WHERE c.organization_id = new.organization_id AND c.id = new.id
""")

_TOUCH = sql(f"""
    UPDATE contacts c SET updated_at = clock_timestamp() FROM {keys_of(id="uuid")}
     WHERE c.organization_id = new.organization_id AND c.id = new.id
""")

_SHOW = sql(f"""
    UPDATE contacts c SET shown = new.shown::json, updated_at = clock_timestamp()
      FROM {keys_of(id="uuid", shown="json")}
     WHERE c.organization_id = new.organization_id AND c.id = new.id
""")

_DELETE = sql(f"""
    DELETE FROM contacts c USING {keys_of(id="uuid")}
     WHERE c.organization_id = new.organization_id AND c.id = new.id
""")

_COUNT = sql("SELECT count(*) FROM contacts WHERE organization_id = :organization_id")

_EXPORT = sql(f"""
    SELECT {COLUMNS} FROM contacts c
     WHERE c.organization_id = :organization_id AND (c.external_source, c.external_id) > (:source, :external_id)
     ORDER BY c.external_source, c.external_id LIMIT :limit
""")

# A page at a time, because a statement over a large store would exceed its time limit.
_FIELD_NAMES = sql("""
    WITH page AS MATERIALIZED (
        SELECT id, custom_fields FROM contacts
         WHERE organization_id = :organization_id AND id > :after
         ORDER BY id LIMIT :limit)
    SELECT last.id, field.key, bool_and(jsonb_typeof(field.value) = 'string' AND field.value <> '""')
      FROM (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last
      LEFT JOIN (page CROSS JOIN LATERAL jsonb_each(page.custom_fields) AS field) ON true
     GROUP BY last.id, field.key
""")

# A contact answers to its own id, to those that its records carry, and to those of its live records.
_BY_ANY_IDS = sql(f"""
    WITH new AS MATERIALIZED (SELECT * FROM {keys_of(id="uuid")})
    SELECT new.id AS given, {COLUMNS}, 0 AS distance FROM new
      JOIN contacts c ON c.organization_id = new.organization_id AND c.id = new.id
     UNION ALL
    SELECT new.id, {COLUMNS}, 1 FROM new
      JOIN contact_aliases a ON a.organization_id = new.organization_id AND a.id = new.id
      JOIN records r ON r.organization_id = new.organization_id AND r.id = a.record_id
      JOIN contacts c ON c.organization_id = new.organization_id AND c.id = r.contact_id
     WHERE r.is_live OR r.is_lost
     UNION ALL
    SELECT new.id, {COLUMNS}, 2 FROM new
      JOIN records r ON r.organization_id = new.organization_id AND r.id = new.id
      JOIN contacts c ON c.organization_id = new.organization_id AND c.id = r.contact_id
     WHERE (r.is_live OR r.is_lost) AND r.kind <> 'edit'
       AND NOT EXISTS (SELECT FROM contact_aliases a WHERE a.organization_id = new.organization_id AND a.id = r.id)
     ORDER BY distance DESC
""")

# From the tables, because for a few keys of the view ``identities`` the planner reads the whole view.
_IDS_BY_KEYS = sql(f"""
    WITH new AS MATERIALIZED (SELECT * FROM {keys_of(type="text", source="text", key="text")})
    SELECT new.type, new.source, new.key, r.contact_id
      FROM new
      JOIN claims k ON k.organization_id = new.organization_id AND k.type = new.type AND k.key = new.key AND k.is_owner
                   AND k.role <> {EVIDENCE}
      JOIN records r ON r.organization_id = new.organization_id AND r.id = k.record_id
     WHERE new.source = '' AND r.contact_id IS NOT NULL
     UNION ALL
    SELECT new.type, new.source, new.key, r.contact_id
      FROM new
      JOIN records r ON r.organization_id = new.organization_id AND r.source = new.source AND r.external_id = new.key
     WHERE new.type = 'external_id' AND r.kind = 'customer' AND (r.is_live OR r.is_lost) AND r.contact_id IS NOT NULL
""")

# Keys and contacts in one statement: resolving is the most frequent request, and each round trip counts.
_BY_CLAIMED_KEYS = sql(f"""
    SELECT k.type, '', k.key, {COLUMNS} FROM {keys_of(type="text", key="text")}
      JOIN claims k ON k.organization_id = new.organization_id AND k.type = new.type AND k.key = new.key AND k.is_owner
      JOIN records r ON r.organization_id = new.organization_id AND r.id = k.record_id
      JOIN contacts c ON c.organization_id = new.organization_id AND c.id = r.contact_id
""")
_BY_EXTERNAL_IDS = sql(f"""
    SELECT 'external_id', r.source, r.external_id, {COLUMNS} FROM {keys_of(source="text", key="text")}
      JOIN records r ON r.organization_id = new.organization_id AND r.source = new.source AND r.external_id = new.key
      JOIN contacts c ON c.organization_id = new.organization_id AND c.id = r.contact_id
     WHERE r.kind = 'customer' AND (r.is_live OR r.is_lost)
""")


def by_ids(tx: Tx, ids: Collection[UUID]) -> dict[UUID, ContactRow]:
    """Load contacts by their present ids."""
    return {values[0]: ContactRow(*values) for values in tx.run(_BY_IDS, {"ids": list(ids)})}


def by_any_id(tx: Tx, id_: UUID) -> ContactRow | None:
    """Load a contact by its id, or by an id that was merged into it."""
    return by_any_ids(tx, [id_]).get(id_)


def by_any_ids(tx: Tx, ids: Collection[UUID]) -> dict[UUID, ContactRow]:
    """Load contacts by their ids, or by ids that were merged into them; unknown ids are left out."""
    if not ids:
        return {}
    return {values[0]: ContactRow(*values[1:-1]) for values in tx.run(_BY_ANY_IDS, {"id": list(ids)})}


def ids_by_keys(tx: Tx, keys: Collection[Key]) -> dict[Key, UUID]:
    """Return the id of the contact whose record claims each key and owns it; unknown keys are left out.

    Evidence is left out, too. A stranger may have typed the number at a checkout, and a write about the number must not
    change the person whose e-mail the stranger typed.
    """
    if not keys:
        return {}
    rows = tx.run(_IDS_BY_KEYS, columns_of(list(keys), "type", "source", "key"))
    return {(row[0], row[1], row[2]): row[3] for row in rows}


def by_keys(tx: Tx, keys: Collection[Key]) -> dict[Key, ContactRow]:
    """Load the contact that owns each key; unknown keys are left out."""
    claimed = [(kind, key) for kind, _, key in keys if kind != "external_id"]
    customers = [(source, key) for kind, source, key in keys if kind == "external_id"]
    found: dict[Key, ContactRow] = {}
    for statement, columns in (
        (_BY_CLAIMED_KEYS, columns_of(claimed, "type", "key")),
        (_BY_EXTERNAL_IDS, columns_of(customers, "source", "key")),
    ):
        if columns["key"]:
            found |= {(row[0], row[1], row[2]): ContactRow(*row[3:]) for row in tx.run(statement, columns)}
    return found


def page_by_external_id(tx: Tx, after: tuple[str, str], limit: int) -> list[ContactRow]:
    """Load contacts in the order of their leading customers' (source, external id), from behind ``after``.

    The order is the same in every store that was fed the same envelopes.
    """
    rows = tx.run(_EXPORT, {"source": after[0], "external_id": after[1], "limit": limit})
    return [ContactRow(*values) for values in rows]


def field_names(tx: Tx, limit: int) -> dict[str, bool]:
    """Return the names of all custom fields, and whether each is text in all contacts.

    A statement looks at ``limit`` contacts.
    """
    found: dict[str, bool] = {}
    after: UUID | None = UUID(int=0)
    while after is not None:
        rows = tx.run(_FIELD_NAMES, {"after": after, "limit": limit}).all()
        after = rows[0][0] if rows else None
        for _, name, is_text in rows:
            if name is not None:
                found[name] = found.get(name, True) and is_text
    return found


def count(tx: Tx) -> int:
    """Count the contacts."""
    return int(tx.run(_COUNT).scalar_one())


def encode(id_: UUID, shown: Golden | ContactRow, first_id: UUID) -> EncodedContact:
    """Return a contact as ``insert_new`` and ``update`` take it."""
    return (
        id_,
        shown.name,
        shown.email,
        shown.phone_number,
        shown.external_source,
        shown.external_id,
        json_bytes(shown.custom_fields),
        array(shown.tags),
        first_id,
    )


def insert_new(
    tx: Tx, rows: Iterable[EncodedContact], shown: Mapping[UUID, Mapping[str, str]] = MappingProxyType({})
) -> None:
    """Add new contacts; ``shown`` is what they show beside their fields, if anything."""
    _write(tx, [(*row, json_bytes(shown.get(row[0], {}))) for row in rows], _INSERT)


def update(
    tx: Tx, rows: Iterable[EncodedContact], shown: Mapping[UUID, Mapping[str, str]] = MappingProxyType({})
) -> None:
    """Update changed contacts; ``shown`` has those that show something else beside their fields."""
    _write(tx, [(*row, json_bytes(shown[row[0]]) if row[0] in shown else None) for row in rows], _UPDATE)


def show(tx: Tx, shown: Mapping[UUID, Mapping[str, str]]) -> None:
    """Update what contacts show beside their fields."""
    values = [(id_, json_bytes(states)) for id_, states in sorted(shown.items())]
    if values:
        tx.run(_SHOW, columns_of(values, "id", "shown"))


def touch(tx: Tx, ids: Collection[UUID]) -> None:
    """Note the time of a change that is not in a contact's own columns."""
    if ids:
        tx.run(_TOUCH, {"id": sorted(ids)})


def delete(tx: Tx, ids: Collection[UUID]) -> None:
    """Delete contacts that no record belongs to any more."""
    if ids:
        tx.run(_DELETE, {"id": sorted(ids)})


def _write(tx: Tx, rows: Iterable[tuple[Any, ...]], statement: TextClause) -> None:
    values = sorted(rows, key=lambda row: row[0].int)
    if values:
        tx.run(statement, columns_of(values, *_VALUES, "shown"))
