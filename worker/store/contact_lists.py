"""Lists of contacts: newest first for those who look, oldest change first for those who keep in step."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, TextClause

from worker.fold import microseconds
from worker.store.contact_terms import tag_term, word_prefix, words
from worker.store.contacts import COLUMNS, ContactRow
from worker.store.db import columns_of, rows_of, run, sql

#: shorter beginnings of words fit too many
MIN_WORD = 2
#: characters that an e-mail address or a number has to be given of: fewer fit too many
_MIN_START = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which contacts; all that is given has to fit."""

    keys: Sequence[tuple[str, str, str]] = ()  #: (type, source, key) that its records claim, each type once
    tag: str | None = None
    search: str | None = None
    created_after: datetime | None = None


# A statement is put together from the filters that are given, each a join: one that folds away when it is not given
# (``:tag IS NULL OR …``) leaves a sub-select behind that reads every contact of the organization.
# Who claims a value holds it, contested or not: a filter shows every candidate, where resolving names one.
_FILTERS = {
    "keys": f"""
      JOIN (
        SELECT held.contact_id FROM (
            SELECT r.contact_id, new.type FROM {rows_of(type="text", source="text", key="text")}
              JOIN claims k ON k.organization_id = :organization_id AND k.type = new.type AND k.key = new.key
              JOIN records r ON r.organization_id = :organization_id AND r.id = k.record_id
             UNION
            SELECT r.contact_id, new.type FROM {rows_of(type="text", source="text", key="text")}
              JOIN records r ON r.organization_id = :organization_id AND r.source = new.source
                            AND r.external_id = new.key
             WHERE new.type = 'external_id') AS held
         GROUP BY held.contact_id HAVING count(*) = cardinality(CAST(:type AS text[]))
        OFFSET 0) AS held ON held.contact_id = c.id""",
    "tag": """
      JOIN contact_terms t ON t.organization_id = :organization_id AND t.term = :tag AND t.contact_id = c.id""",
    "search": """
      JOIN (
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
         GROUP BY hits.contact_id HAVING count(*) = cardinality(CAST(:words AS text[]))
        OFFSET 0) AS hits ON hits.contact_id = c.id""",
}
_BORN = " AND c.first_id > :born_after"
#: the first page, one further down, and the feed: what they start from, and how they are ordered
_ORDERS = {
    "first": ("", "c.first_id DESC"),
    "below": (" AND c.first_id < :before", "c.first_id DESC"),
    "changed": (" AND c.updated_at > :since AND c.updated_at < :until", "c.updated_at, c.id"),
    "changed_on": (
        " AND c.updated_at >= :since AND c.updated_at < :until AND (c.updated_at, c.id) > (:since, :after_id)",
        "c.updated_at, c.id",
    ),
}


def _statement(order: str, filters: Collection[str], *, is_born: bool) -> TextClause:
    bound, by = _ORDERS[order]
    joins = "".join(_FILTERS[name] for name in filters)
    return sql(f"""
        SELECT {COLUMNS} FROM contacts c {joins}
         WHERE c.organization_id = :organization_id{bound}{_BORN if is_born else ""}
         ORDER BY {by} LIMIT :limit
    """)


STATEMENTS = {
    (order, filters, is_born): _statement(order, filters, is_born=is_born)
    for order in _ORDERS
    for count in range(len(_FILTERS) + 1)
    for filters in combinations(_FILTERS, count)
    for is_born in (False, True)
}

# A change gets its time when it is written, and is seen when its transaction ends: a later one may be seen first.
# So the feed stops where the oldest writer began that is still at work. Not MVCC: to be read before the snapshot.
_HORIZON = sql("""
    SELECT least(clock_timestamp(), min(xact_start)) FROM pg_stat_activity
     WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
""")


def page(conn: Connection, organization_id: UUID, wanted: Wanted, before: UUID | None, limit: int) -> list[ContactRow]:
    """Read contacts, newest first, from below the ``first_id`` of the last one seen."""
    parameters = {"before": before, "limit": limit}
    return _read(conn, organization_id, "first" if before is None else "below", wanted, parameters)


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
    parameters = {"since": since, "until": until, "after_id": after_id, "limit": limit}
    return _read(conn, organization_id, "changed" if after_id is None else "changed_on", wanted, parameters)


def _read(
    conn: Connection, organization_id: UUID, order: str, wanted: Wanted, parameters: dict[str, Any]
) -> list[ContactRow]:
    parameters["organization_id"] = organization_id
    filters = []
    if wanted.keys:
        filters.append("keys")
        parameters |= columns_of(list(wanted.keys), "type", "source", "key")
    if wanted.tag is not None:
        filters.append("tag")
        parameters["tag"] = tag_term(wanted.tag)
    if wanted.search is not None:
        filters.append("search")
        parameters["words"] = sorted({word_prefix(word) for word in words(wanted.search) if len(word) >= MIN_WORD})
        parameters |= columns_of(_starts(wanted.search), "starts", "kinds")
    if wanted.created_after is not None:
        parameters["born_after"] = _first_id_after(wanted.created_after)
    statement = STATEMENTS[order, tuple(filters), wanted.created_after is not None]
    return [ContactRow(*values) for values in run(conn, statement, parameters)]


def _starts(search: str) -> list[tuple[str, str]]:
    """What keys of identifiers begin with, if the whole search is the beginning of one."""
    text = search.strip().lower()
    digits = "".join(character for character in text if character.isdigit())
    found = [(text, "email")] if " " not in text and len(text) >= _MIN_START else []
    if len(digits) >= _MIN_START and all(character in "+-() ." for character in text if not character.isdigit()):
        found.append(("+" + digits, "phone"))
    return found


def _first_id_after(at: datetime) -> UUID:
    """Return the greatest UUIDv7 of that millisecond: what was born later has a greater one."""
    return UUID(int=((microseconds(at) // 1000 + 1) << 80) - 1)
