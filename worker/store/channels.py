"""Channels: accounts on messaging platforms, through which profiles are looked up; their tokens are encrypted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from worker import ids, vault
from worker.store.db import Tx, json, sql


@dataclass(slots=True)
class ChannelRow:
    """A channel as stored, with its token encrypted."""

    organization_id: UUID
    id: UUID
    platform: str
    name: str
    api_url: str  #: origin of the provider's API
    options: dict[str, str]
    token: bytes | None = field(repr=False)
    created_at: datetime

    def secret(self) -> str:
        """Return the token in the clear; empty if the platform needs none."""
        return "" if self.token is None else vault.unseal(bytes(self.token))


_COLUMNS = ", ".join(ChannelRow.__dataclass_fields__)

_BY_ID = sql(f"""
    SELECT {_COLUMNS} FROM channels
     WHERE organization_id = :organization_id AND id = :id AND state = 'connected'
""")
_OF_ORGANIZATION = sql(f"""
    SELECT {_COLUMNS} FROM channels
     WHERE organization_id = :organization_id AND state = 'connected' ORDER BY created_at, id
""")
_INSERT = sql("""
    INSERT INTO channels (organization_id, id, platform, name, api_url, options, token)
    VALUES (:organization_id, :id, :platform, :name, :api_url, CAST(:options AS jsonb), :token)
""")
_REMOVE = sql("""
    UPDATE channels SET state = 'removed', token = NULL
     WHERE organization_id = :organization_id AND id = :id AND state = 'connected'
""")


def by_id(tx: Tx, id_: UUID) -> ChannelRow | None:
    """Load a channel that is connected."""
    row = tx.run(_BY_ID, {"id": id_}).first()
    return None if row is None else ChannelRow(*row)


def of_organization(tx: Tx) -> list[ChannelRow]:
    """Load the connected channels of an organization, oldest first."""
    return [ChannelRow(*row) for row in tx.run(_OF_ORGANIZATION)]


def insert_new(
    tx: Tx,
    *,
    platform: str,
    name: str,
    api_url: str,
    options: Mapping[str, str],
    token: str | None,
) -> UUID:
    """Add a channel and return its id. Raises IntegrityError if a connected channel has the name already."""
    id_ = ids.new()
    tx.run(
        _INSERT,
        {
            "id": id_,
            "platform": platform,
            "name": name,
            "api_url": api_url,
            "options": json(dict(options)),
            "token": None if token is None else vault.seal(token),
        },
    )
    return id_


def remove(tx: Tx, id_: UUID) -> bool:
    """Disconnect a channel and delete its token; return whether there was one."""
    return tx.run(_REMOVE, {"id": id_}).rowcount > 0
