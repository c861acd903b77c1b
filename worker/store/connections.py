"""Connections: each is one account at one provider; their secrets are encrypted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection

from connectors import can_read
from connectors.contract import Account
from worker import ids, vault
from worker.domain.terms import API_SOURCE, Stamp
from worker.domain.times import moment
from worker.store.batch_writer import columns_of, rows_of
from worker.store.db import Tx, json, run, sql


@dataclass(slots=True)
class ConnectionRow:
    """A connection as stored, with its secrets encrypted."""

    organization_id: UUID
    id: UUID
    connector: str
    source: str
    options: dict[str, str]
    region: str | None
    priority: int
    approved_fields: list[str]
    webhook_secrets: list[bytes]
    access_token: bytes | None  #: only of connections from releases before ``credentials``
    sealed_credentials: bytes | None
    state: str  #: active, paused (kept, not drained), removed (refused)
    revoked_at: datetime | None
    refused_signatures: int
    last_delivery_at: datetime | None
    created_at: datetime

    def account(self) -> Account:
        """Return what a connector may know of the connection."""
        return Account(
            source=self.source,
            region=self.region,
            approved_fields=frozenset(self.approved_fields),
            options=self.options,
        )

    @property
    def can_be_read(self) -> bool:
        """Whether we can read from the provider: it has a reader, and we hold credentials that were not revoked."""
        has_credentials = self.sealed_credentials is not None or self.access_token is not None
        return has_credentials and self.revoked_at is None and can_read(self.connector)

    def credentials(self) -> dict[str, str]:
        """Return the credentials for the provider's API, in the clear."""
        values = {} if self.access_token is None else {"access_token": vault.unseal(bytes(self.access_token))}
        if self.sealed_credentials is not None:
            values |= orjson.loads(vault.unseal(bytes(self.sealed_credentials)))
        return values

    def secrets(self) -> list[str]:
        """Return the webhook secrets, in the clear."""
        return [vault.unseal(bytes(sealed)) for sealed in self.webhook_secrets]


_COLUMNS = ", ".join(ConnectionRow.__dataclass_fields__).replace("sealed_credentials", "credentials")

_BY_ID = sql(f"SELECT {_COLUMNS} FROM connections WHERE id = :id")
_BY_IDS = sql(f"SELECT {_COLUMNS} FROM connections WHERE id = ANY(:ids)")
_OF_ORGANIZATION = sql(f"""
    SELECT {_COLUMNS} FROM connections WHERE organization_id = :organization_id AND connector <> '{API_SOURCE}'
     ORDER BY created_at, id
""")
_INSERT = sql("""
    INSERT INTO connections (organization_id, id, connector, source, options, region, priority, webhook_secrets,
                             credentials)
    VALUES (:organization_id, :id, :connector, :source, CAST(:options AS jsonb), :region, :priority, :webhook_secrets,
            :credentials)
""")
_OF_API = sql(f"""
    SELECT id FROM connections WHERE organization_id = :organization_id AND connector = '{API_SOURCE}'
""")
_INSERT_OF_API = sql(f"""
    INSERT INTO connections (organization_id, id, connector, source)
    VALUES (:organization_id, :id, '{API_SOURCE}', '{API_SOURCE}') ON CONFLICT DO NOTHING
""")
_SET_STATE = sql("""
    UPDATE connections SET state = :state WHERE organization_id = :organization_id AND id = :id
""")
_REMOVE = sql("""
    UPDATE connections SET state = 'removed', webhook_secrets = '{}', access_token = NULL, credentials = NULL
     WHERE organization_id = :organization_id AND id = :id
""")
_SET_SECRETS = sql("""
    UPDATE connections SET webhook_secrets = :secrets WHERE organization_id = :organization_id AND id = :id
""")
_SET_CREDENTIALS = sql("""
    UPDATE connections
       SET credentials = :credentials, access_token = NULL, revoked_at = CASE WHEN :is_new THEN NULL ELSE revoked_at END
     WHERE organization_id = :organization_id AND id = :id
""")
_SET_FIELDS = sql("""
    UPDATE connections SET approved_fields = :fields WHERE organization_id = :organization_id AND id = :id
""")
_SET_OPTIONS = sql("""
    UPDATE connections SET options = CAST(:options AS jsonb) WHERE organization_id = :organization_id AND id = :id
""")
_PRIORITIES = sql("""
    (SELECT DISTINCT ON (source) source, priority, NULL::jsonb FROM connections WHERE organization_id = :organization_id
      ORDER BY source, (state = 'removed'), created_at DESC, id)
     UNION ALL
    SELECT NULL, NULL, NULL WHERE EXISTS (SELECT FROM deletions WHERE organization_id = :organization_id)
     UNION ALL
    SELECT source, NULL, stamp FROM shop_erasures WHERE organization_id = :organization_id
""")
_NOTE = sql(f"""
    UPDATE connections c
       SET last_delivery_at = greatest(c.last_delivery_at, new.delivered_at),
           refused_signatures = c.refused_signatures + new.refused
      FROM {rows_of(id="uuid", delivered_at="timestamptz", refused="bigint")}
     WHERE c.id = new.id
""")
_REVOKE = sql("""
    UPDATE connections SET revoked_at = greatest(revoked_at, coalesce(:at, now()))
     WHERE organization_id = :organization_id AND id = :id
""")


def by_id(conn: Connection, id_: UUID) -> ConnectionRow | None:
    """Load a connection by the id in its webhook URL, which tells its organization too."""
    row = run(conn, _BY_ID, {"id": id_}).first()
    return None if row is None else ConnectionRow(*row)


def by_ids(conn: Connection, ids_: Collection[UUID]) -> dict[UUID, ConnectionRow]:
    """Load connections by their ids; unknown ids are left out."""
    return {row.id: ConnectionRow(*row) for row in run(conn, _BY_IDS, {"ids": list(ids_)})}


def of_organization(tx: Tx) -> list[ConnectionRow]:
    """Load the connections that an operator added, also the removed ones, oldest first."""
    return [ConnectionRow(*row) for row in tx.run(_OF_ORGANIZATION)]


def insert_new(
    tx: Tx,
    *,
    connector: str,
    source: str,
    options: Mapping[str, str],
    region: str | None,
    priority: int,
    webhook_secrets: Sequence[str],
    credentials: Mapping[str, str] | None = None,
) -> UUID:
    """Add a connection and return its id, which nobody can guess from another id."""
    id_ = ids.new()
    tx.run(
        _INSERT,
        {
            "id": id_,
            "connector": connector,
            "source": source,
            "options": json(dict(options)),
            "region": region,
            "priority": priority,
            "webhook_secrets": [vault.seal(secret) for secret in webhook_secrets],
            "credentials": _sealed(credentials or {}),
        },
    )
    return id_


def of_api(tx: Tx) -> UUID:
    """Return the connection under which requests of the API are kept; the first call adds it."""
    id_ = tx.run(_OF_API).scalar_one_or_none()
    if id_ is None:
        tx.run(_INSERT_OF_API, {"id": ids.new()})
        id_ = tx.run(_OF_API).scalar_one()
    return UUID(str(id_))


def set_state(tx: Tx, id_: UUID, state: str) -> None:
    """Pause or resume a connection, or remove it and delete its secrets."""
    statement = _REMOVE if state == "removed" else _SET_STATE
    tx.run(statement, {"id": id_, "state": state})


def set_secrets(tx: Tx, id_: UUID, secrets: Sequence[str]) -> None:
    """Replace the webhook secrets."""
    tx.run(_SET_SECRETS, {"id": id_, "secrets": [vault.seal(secret) for secret in secrets]})


def set_credentials(tx: Tx, id_: UUID, credentials: Mapping[str, str], *, is_new: bool = False) -> None:
    """Replace the credentials for the provider's API; ``is_new`` means newly granted, no longer revoked."""
    tx.run(_SET_CREDENTIALS, {"id": id_, "credentials": _sealed(credentials), "is_new": is_new})


def _sealed(credentials: Mapping[str, str]) -> bytes | None:
    return vault.seal(json(dict(credentials))) if credentials else None


def set_approved_fields(tx: Tx, id_: UUID, fields: Sequence[str]) -> None:
    """Replace the list of protected fields whose null really means empty."""
    tx.run(_SET_FIELDS, {"id": id_, "fields": sorted(set(fields))})


def set_options(tx: Tx, id_: UUID, options: Mapping[str, str]) -> None:
    """Replace the connector's own settings."""
    tx.run(_SET_OPTIONS, {"id": id_, "options": json(dict(options))})


def priorities(tx: Tx) -> dict[str, int]:
    """Load the priority of each source, the lower the better.

    A source keeps the priority of its removed connection, because its records are still there.
    """
    return priorities_and_removals(tx)[0]


def priorities_and_removals(tx: Tx) -> tuple[dict[str, int], bool, dict[str, Stamp]]:
    """Load the priority of each source, whether there is any deletion through the API, and which sources were erased.

    Each erased source comes with its newest request. It is one statement, because nearly no organization has deletions
    or erased sources, and every batch has to know.
    """
    found: dict[str, int] = {}
    erased: dict[str, Stamp] = {}
    has_deletions = False
    for source, priority, stamp in tx.run(_PRIORITIES):
        if source is None:
            has_deletions = True
        elif stamp is None:
            found[source] = priority
        else:
            erased[source] = max(Stamp(*stamp), erased.get(source, Stamp(*stamp)))
    return found, has_deletions, erased


def note_deliveries(conn: Connection, notes: Sequence[tuple[UUID, datetime | None, int]]) -> None:
    """Add to the counts of deliveries: (connection, time of the last delivery, signatures refused)."""
    run(conn, _NOTE, columns_of(sorted(notes, key=lambda n: n[0]), "id", "delivered_at", "refused"))


def revoke(tx: Tx, id_: UUID, at: int) -> None:
    """Note that the shop has revoked our access."""
    tx.run(_REVOKE, {"id": id_, "at": moment(at)})


def describe(row: ConnectionRow) -> dict[str, Any]:
    """Return what an operator may see of a connection; never its secrets."""
    return {
        "connection_id": ids.show(ids.CONNECTION, row.id),
        "connector": row.connector,
        "source": row.source,
        "state": row.state,
        "options": row.options,
        "region": row.region,
        "priority": row.priority,
        "approved_fields": row.approved_fields,
        "webhook_secrets": len(row.webhook_secrets),
        "can_be_read": row.can_be_read,
        "revoked_at": row.revoked_at,
        "last_delivery_at": row.last_delivery_at,
        "refused_signatures": row.refused_signatures,
        "created_at": row.created_at,
    }
