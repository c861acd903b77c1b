"""Lists of contacts: newest first for those who look, oldest change first for those who keep in step."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from worker.fold import microseconds
from worker.store.contact_terms import tag_term, word_prefix, words
from worker.store.contacts import COLUMNS, ContactRow
from worker.store.db import columns_of, rows_of, run, sql


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which contacts; all that is given has to fit."""

    keys: Sequence[tuple[str, str, str]] = ()  #: (type, source, key) that its records claim, each type once
    tag: str | None = None
    search: str | None = None
    created_after: datetime | None = None


# Each filter that is not given folds away when the statement is planned, because plans are made for the values.
# Who claims a value holds it, contested or not: a filter shows every candidate, where resolving names one.
_FITS = f"""
           c.organization_id = :organization_id
       AND (CAST(:born_after AS uuid) IS NULL OR c.id > :born_after)
       AND (CAST(:tag AS text) IS NULL OR EXISTS (
            SELECT FROM contact_terms t
             WHERE t.organization_id = :organization_id AND t.term = :tag AND t.contact_id = c.id))
       AND (cardinality(CAST(:type AS text[])) = 0 OR c.id IN (
            SELECT held.contact_id FROM (
                SELECT r.contact_id, new.type FROM {rows_of(type="text", source="text", key="text")}
                  JOIN claims k ON k.organization_id = :organization_id AND k.type = new.type AND k.key = new.key
                  JOIN records r ON r.organization_id = :organization_id AND r.id = k.record_id
                 UNION
                SELECT r.contact_id, new.type FROM {rows_of(type="text", source="text", key="text")}
                  JOIN records r ON r.organization_id = :organization_id AND r.source = new.source
                                AND r.external_id = new.key
                 WHERE new.type = 'external_id') AS held
             GROUP BY held.contact_id HAVING count(*) = cardinality(CAST(:type AS text[]))))
       AND (cardinality(CAST(:words AS text[])) = 0 OR c.id IN (
            SELECT hits.contact_id FROM (
                SELECT t.contact_id, word FROM unnest(CAST(:words AS text[])) AS word
                  JOIN contact_terms t ON t.organization_id = :organization_id
                   AND t.term >= word AND t.term < word || chr(1114111)
                 UNION
                SELECT r.contact_id, word FROM unnest(CAST(:words AS text[])) AS word
                 CROSS JOIN unnest(CAST(:starts AS text[]), CAST(:kinds AS text[])) AS begins(start, kind)
                  JOIN claims k ON k.organization_id = :organization_id AND k.type = begins.kind
                   AND k.key >= begins.start AND k.key < begins.start || chr(1114111)
                  JOIN records r ON r.organization_id = :organization_id AND r.id = k.record_id) AS hits
             GROUP BY hits.contact_id HAVING count(*) = cardinality(CAST(:words AS text[]))))
"""

# Ids are minted in order of time, so the newest contact has the greatest id and one key serves both.
_PAGE = sql(f"""
    SELECT {COLUMNS} FROM contacts c
     WHERE {_FITS} AND (CAST(:before AS uuid) IS NULL OR c.id < :before)
     ORDER BY c.id DESC LIMIT :limit
""")

_CHANGED = sql(f"""
    SELECT {COLUMNS} FROM contacts c
     WHERE {_FITS} AND c.updated_at > :since AND c.updated_at < :until
       AND (c.updated_at, c.id) > (CAST(:since AS timestamptz), CAST(:after_id AS uuid))
     ORDER BY c.updated_at, c.id LIMIT :limit
""")

_CHANGED_AT_OR_AFTER = sql(f"""
    SELECT {COLUMNS} FROM contacts c
     WHERE {_FITS} AND c.updated_at >= :since AND c.updated_at < :until
       AND (c.updated_at, c.id) > (CAST(:since AS timestamptz), CAST(:after_id AS uuid))
     ORDER BY c.updated_at, c.id LIMIT :limit
""")

# A change gets its time when it is written, and is seen when its transaction ends: a later one may be seen first.
# So the feed stops where the oldest writer began that is still at work. Not MVCC: to be read before the snapshot.
_HORIZON = sql("""
    SELECT least(clock_timestamp(), min(xact_start)) FROM pg_stat_activity
     WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
""")


def page(conn: Connection, organization_id: UUID, wanted: Wanted, before: UUID | None, limit: int) -> list[ContactRow]:
    """Read contacts, newest first, from below ``before``."""
    parameters = {**_parameters(organization_id, wanted), "before": before, "limit": limit}
    return [ContactRow(*values) for values in run(conn, _PAGE, parameters)]


def horizon(conn: Connection) -> datetime:
    """Return the time up to which every change can be seen by a snapshot taken after this."""
    return run(conn, _HORIZON, {}).scalar_one()  # type: ignore[no-any-return]


def changed(
    conn: Connection,
    organization_id: UUID,
    wanted: Wanted,
    since: datetime,
    after_id: UUID | None,
    until: datetime,
    limit: int,
) -> list[ContactRow]:
    """Read contacts changed after ``since`` (or then, with a greater id) and before ``until``, oldest change first."""
    statement = _CHANGED if after_id is None else _CHANGED_AT_OR_AFTER
    parameters = {
        **_parameters(organization_id, wanted),
        "since": since,
        "until": until,
        "after_id": after_id or UUID(int=0),
        "limit": limit,
    }
    return [ContactRow(*values) for values in run(conn, statement, parameters)]


def _parameters(organization_id: UUID, wanted: Wanted) -> dict[str, Any]:
    asked = [] if wanted.search is None else words(wanted.search)
    starts = [] if wanted.search is None else _starts(wanted.search)
    return {
        "organization_id": organization_id,
        "born_after": None if wanted.created_after is None else _first_id_after(wanted.created_after),
        "tag": None if wanted.tag is None else tag_term(wanted.tag),
        "words": sorted({word_prefix(word) for word in asked}),
        **columns_of(starts, "starts", "kinds"),
        **columns_of(list(wanted.keys), "type", "source", "key"),
    }


def _starts(search: str) -> list[tuple[str, str]]:
    """What keys of identifiers begin with, if the whole search is the beginning of one."""
    text = search.strip().lower()
    digits = "".join(character for character in text if character.isdigit())
    found = [(text, "email")] if " " not in text else []
    if digits and all(character in "+-() ." for character in text if not character.isdigit()):
        found.append(("+" + digits, "phone"))
    return found


def _first_id_after(at: datetime) -> UUID:
    """Return the greatest UUIDv7 of that millisecond: what was born later has a greater one."""
    return UUID(int=((microseconds(at) // 1000 + 1) << 80) - 1)
