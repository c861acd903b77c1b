"""Lists of contacts: the newest first for people who look, the oldest change first for programs that keep in step."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, TextClause

from worker.domain.rows import ContactRow
from worker.domain.times import microseconds
from worker.store.batch_writer import columns_of, rows_of
from worker.store.contact_terms import tag_term, word_prefix, words
from worker.store.contacts import COLUMNS
from worker.store.db import Tx, run, sql

#: characters of a word to search by; a shorter beginning fits too many contacts
MIN_WORD = 2
#: characters of an e-mail address or number to search by; a shorter beginning fits too many contacts
_MIN_START = 4
#: sorts after every other character
_LAST = chr(0x10FFFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactFilter:
    """Which contacts to list; a contact has to fit every filter that is given."""

    keys: Sequence[tuple[str, str, str]] = ()  #: (type, source, key) that its records claim, each type once
    tag: str | None = None
    search: str | None = None
    created_after: datetime | None = None


# A statement is put together from the filters that are given. A filter that is always there and folds away
# (``:tag IS NULL OR …``) would leave a sub-select behind that reads every contact of the organization.
# Filtering by an identifier lists the contact of every record that claims it, contested or not. Resolving, in contrast,
# names one contact.
_FILTERS = {
    "keys": f"""
      JOIN (
        SELECT held.contact_id FROM (
            SELECT r.contact_id, new.type FROM {rows_of(type="text", source="text", key="text")}
              JOIN claims k ON k.organization_id = :organization_id AND k.type = new.type AND k.key = new.key
                           AND k.role < 2
              JOIN records r ON r.organization_id = :organization_id AND r.id = k.record_id
             UNION
            SELECT r.contact_id, new.type FROM {rows_of(type="text", source="text", key="text")}
              JOIN records r ON r.organization_id = :organization_id AND r.source = new.source
                            AND r.external_id = new.key
             WHERE new.type = 'external_id' AND (r.is_live OR r.is_lost)) AS held
         GROUP BY held.contact_id HAVING count(*) = :types
        OFFSET 0) AS held ON held.contact_id = c.id""",
    "tag": """
      JOIN contact_terms t ON t.organization_id = :organization_id AND t.term = :tag AND t.contact_id = c.id""",
}
# A search looks for a range: from the given text up to the last text that begins with it. Both ends are parameters,
# for two reasons. Behind row-level security a computed end (``… || chr(1114111)``) is no condition of an index. And the
# planner needs both values to estimate from its statistics whether few contacts fit, and to begin with those, or many,
# and to go through the list until the page is full.
# Words are joined to each other: in conditions side by side, each word would be compared with every contact.
_HAS_WORDS = """EXISTS (
            SELECT FROM contact_terms w0{others}
             WHERE w0.organization_id = :organization_id AND w0.contact_id = c.id
               AND w0.term >= :word_0 AND w0.term < :word_0_end)"""
_OTHER_WORD = """
              JOIN contact_terms w{n} ON w{n}.organization_id = :organization_id AND w{n}.contact_id = w0.contact_id
               AND w{n}.term >= :word_{n} AND w{n}.term < :word_{n}_end"""
# Addresses are compared by the expression of the index ``claims_address``, because the planner has statistics for it.
# For the column ``key`` its statistics cover all types together: digits that begin every second messenger's id would
# seem to begin as many e-mail addresses, and the planner would go through all contacts to find none. Records are found
# by their contact alone: the planner does not know how many records an organization has, would take them for few, and
# so every address for a rare one.
_ADDRESS = "CASE WHEN k.type IN ('email', 'phone') THEN k.key END"
_HAS_ADDRESS = f"""EXISTS (
            SELECT FROM records r
              JOIN claims k ON k.organization_id = :organization_id AND k.record_id = r.id
             WHERE r.contact_id = c.id AND k.role < 2
               AND {_ADDRESS} >= :address_{{n}} AND {_ADDRESS} < :address_{{n}}_end)"""
_BORN = " AND c.first_id > :born_after"
#: condition and order of the first page, of a further page, of the feed's first page, and of its further pages
_ORDERS = {
    "first": ("", "c.first_id DESC"),
    "below": (" AND c.first_id < :before", "c.first_id DESC"),
    "changed": (" AND c.updated_at > :since AND c.updated_at < :until", "c.updated_at, c.id"),
    "changed_on": (
        " AND c.updated_at >= :since AND c.updated_at < :until AND (c.updated_at, c.id) > (:since, :after_id)",
        "c.updated_at, c.id",
    ),
}


@lru_cache(maxsize=256)
def _statement(order: str, filters: tuple[str, ...], ways: tuple[str, ...] | None, *, is_born: bool) -> TextClause:
    """Write the statement of a list; ``ways`` are the conditions of a search, of which one has to fit.

    Each way becomes a list of its own, because one condition with OR would read every contact. All the lists have the
    same order, so the page is among their beginnings.
    """
    bound, by = _ORDERS[order]
    joins = "".join(_FILTERS[name] for name in filters)
    where = f"c.organization_id = :organization_id{bound}{_BORN if is_born else ''}"
    if ways is not None:
        lists = (
            f"SELECT c.id FROM contacts c {joins} WHERE {where} AND {way} ORDER BY {by} LIMIT :limit" for way in ways
        )
        union = " UNION ".join(f"({way})" for way in lists)
        joins, where = "", f"c.organization_id = :organization_id AND c.id IN ({union})"
    return sql(f"SELECT {COLUMNS} FROM contacts c {joins} WHERE {where} ORDER BY {by} LIMIT :limit")


# A change gets its time when it is written, but is visible only when its transaction commits, so a later change may be
# visible first. The feed therefore ends at the time when the oldest open write transaction began. pg_stat_activity
# does not belong to a snapshot, so this statement has to run before the snapshot is taken.
_HORIZON = sql("""
    SELECT least(clock_timestamp(), min(xact_start)) FROM pg_stat_activity
     WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
""")


def page(tx: Tx, filter_: ContactFilter, before: UUID | None, limit: int) -> list[ContactRow]:
    """Load contacts, newest first, from below ``before``, the ``first_id`` of the last contact seen."""
    return _load(tx, "first" if before is None else "below", filter_, {"before": before, "limit": limit})


def horizon(conn: Connection) -> datetime:
    """Return the time up to which a snapshot taken afterwards sees every change."""
    return run(conn, _HORIZON).scalar_one()  # type: ignore[no-any-return]


def changed(
    tx: Tx,
    filter_: ContactFilter,
    since: datetime,
    after_id: UUID | None,
    until: datetime,
    limit: int,
) -> list[ContactRow]:
    """Load contacts by the time of their last change, oldest first.

    The time is after ``since`` and before ``until``. With ``after_id``, contacts changed at ``since`` itself are
    included if their id is greater.
    """
    place = {"since": since, "until": until, "after_id": after_id, "limit": limit}
    return _load(tx, "changed" if after_id is None else "changed_on", filter_, place)


def _load(tx: Tx, order: str, filter_: ContactFilter, parameters: dict[str, Any]) -> list[ContactRow]:
    parameters["organization_id"] = tx.organization_id
    filters, ways = [], None
    if filter_.keys:
        filters.append("keys")
        parameters |= columns_of(list(filter_.keys), "type", "source", "key") | {"types": len(filter_.keys)}
    if filter_.tag is not None:
        filters.append("tag")
        parameters["tag"] = tag_term(filter_.tag)
    if filter_.search is not None:
        ways, ranges = _search(filter_.search)
        if not ways:
            return []
        parameters |= ranges
    if filter_.created_after is not None:
        parameters["born_after"] = _first_id_after(filter_.created_after)
    statement = _statement(order, tuple(filters), ways, is_born=filter_.created_after is not None)
    return [ContactRow(*values) for values in tx.run(statement, parameters)]


def _search(search: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the ways in which a contact can fit a search, and their parameters.

    The words of the search begin words of the name, or the whole search begins an address.
    """
    prefixes = sorted({word_prefix(word) for word in words(search) if len(word) >= MIN_WORD})
    starts = _starts(search)
    ways = [_HAS_ADDRESS.format(n=n) for n in range(len(starts))]
    if prefixes:
        others = "".join(_OTHER_WORD.format(n=n) for n in range(1, len(prefixes)))
        ways.append(_HAS_WORDS.format(others=others))
    begins = {f"address_{n}": start for n, start in enumerate(starts)}
    begins |= {f"word_{n}": prefix for n, prefix in enumerate(prefixes)}
    return tuple(ways), begins | {f"{name}_end": begin + _LAST for name, begin in begins.items()}


def _starts(search: str) -> list[str]:
    """Return the beginnings of e-mail addresses and numbers that a search may be."""
    text = search.strip().lower()
    digits = "".join(character for character in text if character.isdigit())
    starts = {text} if " " not in text and len(text) >= _MIN_START else set()
    if len(digits) >= _MIN_START and all(character in "+-() ." for character in text if not character.isdigit()):
        starts.add("+" + digits)
    return sorted(starts)


def _first_id_after(at: datetime) -> UUID:
    """Return the greatest UUIDv7 of a millisecond: contacts created later have greater ids."""
    return UUID(int=((microseconds(at) // 1000 + 1) << 80) - 1)
