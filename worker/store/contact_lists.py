"""Lists of contacts: newest first for those who look, oldest change first for those who keep in step."""

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

#: shorter beginnings of words fit too many
MIN_WORD = 2
#: characters that an e-mail address or a number has to be given of: fewer fit too many
_MIN_START = 4
#: comes after every character of a text
_LAST = chr(0x10FFFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactFilter:
    """Which contacts; all that is given has to fit."""

    keys: Sequence[tuple[str, str, str]] = ()  #: (type, source, key) that its records claim, each type once
    tag: str | None = None
    search: str | None = None
    created_after: datetime | None = None


# A statement is put together from the filters that are given: one that folds away when it is not given
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
         GROUP BY held.contact_id HAVING count(*) = :types
        OFFSET 0) AS held ON held.contact_id = c.id""",
    "tag": """
      JOIN contact_terms t ON t.organization_id = :organization_id AND t.term = :tag AND t.contact_id = c.id""",
}
# What a search looks for is a range: from what is given up to what no text that begins so can follow. Both ends are
# parameters. Behind row-level security a computed one (``… || chr(1114111)``) is no condition of an index; and the
# planner has to know from its statistics whether to begin with the few that fit, or to go through the list until the
# page is full. Words are joined to each other: side by side, each would be compared with every contact.
_HAS_WORDS = """EXISTS (
            SELECT FROM contact_terms w0{others}
             WHERE w0.organization_id = :organization_id AND w0.contact_id = c.id
               AND w0.term >= :word_0 AND w0.term < :word_0_end)"""
_OTHER_WORD = """
              JOIN contact_terms w{n} ON w{n}.organization_id = :organization_id AND w{n}.contact_id = w0.contact_id
               AND w{n}.term >= :word_{n} AND w{n}.term < :word_{n}_end"""
# Addresses are compared as what ``claims_address`` has: the planner knows how many begin with something. Of keys it
# knows it for those of all types together, and would take digits that begin every second messenger's id for as many
# e-mail addresses: it would go through all contacts to find none. Records are found by their contact alone: how many an
# organization has is unknown to the planner, which would take them for few and every address for a rare one.
_ADDRESS = "CASE WHEN k.type IN ('email', 'phone') THEN k.key END"
_HAS_ADDRESS = f"""EXISTS (
            SELECT FROM records r
              JOIN claims k ON k.organization_id = :organization_id AND k.record_id = r.id
             WHERE r.contact_id = c.id
               AND {_ADDRESS} >= :address_{{n}} AND {_ADDRESS} < :address_{{n}}_end)"""
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


@lru_cache(maxsize=256)
def _statement(order: str, filters: tuple[str, ...], ways: tuple[str, ...] | None, *, is_born: bool) -> TextClause:
    """Write a list; of a search the ways in which a contact can fit.

    Each way is a list of its own: one condition with OR would read every contact. All are in the same order, so the
    page is among their beginnings.
    """
    bound, by = _ORDERS[order]
    joins = "".join(_FILTERS[name] for name in filters)
    where = f"c.organization_id = :organization_id{bound}{_BORN if is_born else ''}"
    if ways is not None:
        lists = (
            f"SELECT c.id FROM contacts c {joins} WHERE {where} AND {way} ORDER BY {by} LIMIT :limit" for way in ways
        )
        found = " UNION ".join(f"({one})" for one in lists)
        joins, where = "", f"c.organization_id = :organization_id AND c.id IN ({found})"
    return sql(f"SELECT {COLUMNS} FROM contacts c {joins} WHERE {where} ORDER BY {by} LIMIT :limit")


# A change gets its time when it is written, and is seen when its transaction ends: a later one may be seen first.
# So the feed stops where the oldest writer began that is still at work. Not MVCC: to be read before the snapshot.
_HORIZON = sql("""
    SELECT least(clock_timestamp(), min(xact_start)) FROM pg_stat_activity
     WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
""")


def page(tx: Tx, wanted: ContactFilter, before: UUID | None, limit: int) -> list[ContactRow]:
    """Read contacts, newest first, from below the ``first_id`` of the last one seen."""
    parameters = {"before": before, "limit": limit}
    return _read(tx, "first" if before is None else "below", wanted, parameters)


def horizon(conn: Connection) -> datetime:
    """Return the time up to which every change can be seen by a snapshot taken after this."""
    return run(conn, _HORIZON, {}).scalar_one()  # type: ignore[no-any-return]


def changed(
    tx: Tx,
    wanted: ContactFilter,
    since: datetime,
    after_id: UUID | None,
    until: datetime,
    limit: int,
) -> list[ContactRow]:
    """Read contacts changed after ``since`` (or then, with a greater id) and before ``until``, oldest change first."""
    parameters = {"since": since, "until": until, "after_id": after_id, "limit": limit}
    return _read(tx, "changed" if after_id is None else "changed_on", wanted, parameters)


def _read(tx: Tx, order: str, wanted: ContactFilter, parameters: dict[str, Any]) -> list[ContactRow]:
    parameters["organization_id"] = tx.organization_id
    filters, ways = [], None
    if wanted.keys:
        filters.append("keys")
        parameters |= columns_of(list(wanted.keys), "type", "source", "key") | {"types": len(wanted.keys)}
    if wanted.tag is not None:
        filters.append("tag")
        parameters["tag"] = tag_term(wanted.tag)
    if wanted.search is not None:
        ways, ranges = _search(wanted.search)
        if not ways:
            return []
        parameters |= ranges
    if wanted.created_after is not None:
        parameters["born_after"] = _first_id_after(wanted.created_after)
    statement = _statement(order, tuple(filters), ways, is_born=wanted.created_after is not None)
    return [ContactRow(*values) for values in tx.run(statement, parameters)]


def _search(search: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """In which ways a contact can fit, and what they look for: all words in its name, or the whole as an address."""
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
    """What e-mail addresses and numbers begin with, if the whole search is the beginning of one."""
    text = search.strip().lower()
    digits = "".join(character for character in text if character.isdigit())
    found = {text} if " " not in text and len(text) >= _MIN_START else set()
    if len(digits) >= _MIN_START and all(character in "+-() ." for character in text if not character.isdigit()):
        found.add("+" + digits)
    return sorted(found)


def _first_id_after(at: datetime) -> UUID:
    """Return the greatest UUIDv7 of that millisecond: what was born later has a greater one."""
    return UUID(int=((microseconds(at) // 1000 + 1) << 80) - 1)
