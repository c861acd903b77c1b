"""The consent ledger: every statement about being contacted, by address. Statements are only added."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any
from uuid import UUID

from worker import ids
from worker.domain.consent import ConsentEntry
from worker.domain.keyed_consents import KeyedConsent
from worker.domain.terms import Ref
from worker.domain.times import microseconds
from worker.store.batch_writer import columns_of, json_bytes, keys_of, rows_of
from worker.store.db import Tx, sql

_ALWAYS = {
    "id": "uuid",
    "statement_key": "bytea",
    "channel": "text",
    "purpose": "text",
    "address": "text",
    "status": "text",
    "occurred_at": "timestamptz",
    "source": "text",
    "external_id": "text",
    "method": "text",
    "evidence": "json",
    "envelope_id": "uuid",
}
#: columns that sources seldom fill; an insert leaves them out if no statement of the batch fills any
_SELDOM = {
    "origin": "text",
    "legal_basis": "text",
    "expires_at": "timestamptz",
    "is_repeat": "boolean",
    "is_undated": "boolean",
}


def _new(columns: Mapping[str, str]) -> str:
    given = ", ".join("evidence::jsonb" if name == "evidence" else name for name in columns)
    return f"""
    INSERT INTO consents (organization_id, {", ".join(columns)})
    SELECT :organization_id, {given} FROM {rows_of(**columns)}
"""


#: by whether the seldom columns are among them
_INSERT_NEW = {False: sql(_new(_ALWAYS)), True: sql(_new(_ALWAYS | _SELDOM))}

_COLUMNS = """s.id, s.statement_key, s.channel, s.purpose, s.address, s.status, s.occurred_at, s.source, s.external_id,
              s.method, s.evidence, s.envelope_id, s.created_at, s.origin, s.legal_basis, s.expires_at, s.is_repeat,
              s.is_undated"""

# LATERAL with OFFSET 0, because a plain join may hash the whole ledger for a few hundred addresses.
_ABOUT = f"""(
    SELECT s.* FROM unnest(CAST(:addresses AS text[])) AS given_address
     CROSS JOIN LATERAL (
        SELECT * FROM consents WHERE organization_id = :organization_id AND address = given_address OFFSET 0) AS s
     UNION ALL
    SELECT s.* FROM {rows_of(source="text", external_id="text")}
     CROSS JOIN LATERAL (
        SELECT * FROM consents WHERE organization_id = :organization_id AND (address IS NULL OR status = 'opted_out')
           AND source = new.source AND external_id = new.external_id OFFSET 0) AS s
) AS s"""

_BY_ADDRESSES = sql(f"SELECT {_COLUMNS} FROM {_ABOUT}")

_PAGE = sql(f"""
    SELECT {_COLUMNS} FROM consents s WHERE s.organization_id = :organization_id AND s.statement_key > :after
     ORDER BY s.statement_key LIMIT :limit
""")

_STORED = sql(f"""
    SELECT c.statement_key FROM {keys_of(statement_key="bytea")}
      JOIN consents c ON c.organization_id = new.organization_id AND c.statement_key = new.statement_key
""")

_DELETE = sql(f"""
    DELETE FROM consents c USING {keys_of(statement_key="bytea")}
     WHERE c.organization_id = new.organization_id AND c.statement_key = new.statement_key
""")

_CORRECT = sql(f"""
    UPDATE consents c
       SET statement_key = new.new_key, occurred_at = new.occurred_at, external_id = new.external_id,
           method = new.method, evidence = new.evidence::jsonb, origin = new.origin, legal_basis = new.legal_basis
      FROM {
    keys_of(
        statement_key="bytea",
        new_key="bytea",
        occurred_at="timestamptz",
        external_id="text",
        method="text",
        evidence="json",
        origin="text",
        legal_basis="text",
    )
}
     WHERE c.organization_id = new.organization_id AND c.statement_key = new.statement_key
""")

_WITHDRAW = sql(f"""
    DELETE FROM consents c USING {keys_of(envelope_id="uuid")}
     WHERE c.organization_id = new.organization_id AND c.envelope_id = new.envelope_id
    RETURNING channel, address
""")


def insert_new(tx: Tx, entries: Iterable[KeyedConsent]) -> None:
    """Add statements.

    There is no conflict clause, which would cost as much as the row; a statement that is stored already raises.
    """
    ordered = sorted(entries, key=_key)
    if not ordered:
        return
    values = [
        (
            ids.new(),
            key,
            c.channel,
            c.purpose,
            c.address,
            c.status,
            c.occurred or None,
            *c.ref,
            c.method,
            json_bytes(dict(c.evidence)),
            envelope_id,
        )
        for key, c, envelope_id in ordered
    ]
    parameters = columns_of(values, *_ALWAYS)
    seldom = [
        (c.origin, c.legal_basis, c.expires_at, c.is_repeat, c.is_undated) for c in (one.consent for one in ordered)
    ]
    if has_seldom := any(map(any, seldom)):
        parameters |= columns_of(seldom, *_SELDOM)
    tx.run(_INSERT_NEW[has_seldom], parameters)


_key = attrgetter("key")


def by_addresses(tx: Tx, addresses: Collection[str], refs: Collection[Ref] = ()) -> list[ConsentEntry]:
    """Load all statements about these addresses, and those of these records that name no address or refuse one.

    If a record refuses another address, what it said of that comes too: only so it shows which refusal repeats another.
    """
    found = _load(tx, addresses, refs)
    own = set(refs)
    further = {e.address for e in found if e.address is not None and e.ref in own} - set(addresses)
    if further:
        found += [entry for entry in _load(tx, further, ()) if entry.ref in own]
    return list({entry.id: entry for entry in found}.values())


def _load(tx: Tx, addresses: Collection[str], refs: Collection[Ref]) -> list[ConsentEntry]:
    keys = columns_of(list(refs), "source", "external_id")
    return [_entry(row) for row in tx.run(_BY_ADDRESSES, {"addresses": list(addresses), **keys})]


def page(tx: Tx, after: bytes, limit: int) -> list[ConsentEntry]:
    """Load all statements in the order of their keys, from behind ``after``."""
    return [_entry(row) for row in tx.run(_PAGE, {"after": after, "limit": limit})]


def _entry(row: Sequence[Any]) -> ConsentEntry:
    # By position, because names take twice as long.
    id_, key, channel, purpose, address, status, occurred_at, source, external_id, *rest = row
    ref, occurred = (source, external_id), microseconds(occurred_at)
    return ConsentEntry(id_, bytes(key), channel, purpose, address, status, occurred, ref, *rest)


def correct(tx: Tx, said: Mapping[bytes, KeyedConsent]) -> None:
    """Let statements, by their keys, say something else; of two that come to say the same one is kept.

    The ledger is never corrected but by an upgrade, which brings it to what a replay of the envelopes would state.
    """
    known = stored(tx, {one.key for one in said.values()})
    kept: dict[bytes, tuple[object, ...]] = {}
    gone: list[bytes] = []
    for key, (new_key, c, _) in sorted(said.items()):
        if new_key in known or new_key in kept:
            gone.append(key)
        else:
            changed = (c.occurred or None, c.ref[1], c.method, json_bytes(dict(c.evidence)), c.origin, c.legal_basis)
            kept[new_key] = (key, new_key, *changed)
    if gone:
        tx.run(_DELETE, {"statement_key": gone})
    if kept:
        names = ("statement_key", "new_key", "occurred_at", "external_id", "method", "evidence", "origin")
        tx.run(_CORRECT, columns_of(list(kept.values()), *names, "legal_basis"))


def stored(tx: Tx, keys: Collection[bytes]) -> set[bytes]:
    """Return which of these statements are stored, by their keys."""
    return {bytes(row[0]) for row in tx.run(_STORED, {"statement_key": list(keys)})} if keys else set()


def withdraw(tx: Tx, envelope_ids: Collection[UUID]) -> set[tuple[str, str]]:
    """Delete the statements of these envelopes, before a replay states them anew; return what they were about.

    That is (channel, address).
    """
    rows = tx.run(_WITHDRAW, {"envelope_id": list(envelope_ids)})
    return {(channel, address) for channel, address in rows if address is not None}
