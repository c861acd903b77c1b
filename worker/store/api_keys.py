"""API keys: a key is shown once and stored as a hash."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from worker import ids
from worker.store.db import Tx, run, sql

#: a prefix that secret scanners can find
_PREFIX = "csk"
#: our keys have 80 characters
_MAX_LENGTH = 200


class Key(NamedTuple):
    """A key that is valid now."""

    organization_id: UUID
    id: UUID
    scopes: frozenset[str]
    rate_limit: int | None  #: requests a minute; None: the default of the installation
    region: str | None  #: of its organization: country of phone numbers in national form


_INSERT = sql("""
    INSERT INTO api_keys (organization_id, id, secret_hash, scopes, rate_limit)
    VALUES (:organization_id, :id, :secret_hash, :scopes, :rate_limit)
""")
_FIND = sql("""
    SELECT k.organization_id, k.id, k.secret_hash, k.scopes, k.rate_limit, o.region
      FROM api_keys k JOIN organizations o ON o.id = k.organization_id
     WHERE k.id = ANY(:ids) AND k.revoked_at IS NULL
""")
_LIST = sql("""
    SELECT id, scopes, rate_limit, created_at, last_used_at, revoked_at FROM api_keys
     WHERE organization_id = :organization_id ORDER BY created_at, id
""")
_REVOKE = sql("""
    UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE organization_id = :organization_id AND id = :id
""")
# At most once a minute: the column is for people, and a write for each request would cost too much.
_USED = sql("""
    UPDATE api_keys SET last_used_at = now()
     WHERE organization_id = :organization_id AND id = :id
       AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
""")


def insert_new(tx: Tx, scopes: Sequence[str], *, rate_limit: int | None = None) -> tuple[UUID, str]:
    """Add a key for ``rate_limit`` requests a minute; return its id and the key, which is not stored."""
    id_, secret = ids.new(), secrets.token_urlsafe(32)
    tx.run(
        _INSERT,
        {"id": id_, "secret_hash": _hash(secret), "scopes": sorted(set(scopes)), "rate_limit": rate_limit},
    )
    return id_, f"{_PREFIX}_{id_.hex}_{secret}"


def has_form(key: str) -> bool:
    """Return whether a text can be a key. What cannot need not be looked up."""
    return len(key) <= _MAX_LENGTH and _parse(key)[0] is not None


def check(conn: Connection, keys: Sequence[str]) -> list[Key | None]:
    """Return what each key gives access to, in the order of the keys; None if it is unknown or revoked."""
    parsed = [_parse(key) for key in keys]
    ids_ = {id_ for id_, _ in parsed if id_ is not None}
    rows = {row.id: row for row in run(conn, _FIND, {"ids": list(ids_)})} if ids_ else {}
    found: list[Key | None] = []
    for id_, secret in parsed:
        row = rows.get(id_)
        # 256 random bits need no slow hash. An unknown key is compared too, so that it takes the same time.
        expected = bytes(row.secret_hash) if row else bytes(32)
        if not hmac.compare_digest(_hash(secret), expected) or row is None:
            found.append(None)
        else:
            found.append(Key(row.organization_id, row.id, frozenset(row.scopes), row.rate_limit, row.region))
    return found


def _parse(key: str) -> tuple[UUID | None, str]:
    """Return the id of a key, None if the text is no key, and its secret."""
    prefix, _, rest = key.partition("_")
    name, _, secret = rest.partition("_")
    return (ids.parse(ids.KEY, f"{ids.KEY}_{name}") if prefix == _PREFIX else None), secret


def note_use(conn: Connection, key: Key) -> None:
    """Note the time at which a key was used."""
    run(conn, _USED, {"organization_id": key.organization_id, "id": key.id})


def of_organization(tx: Tx) -> list[dict[str, Any]]:
    """Load all keys of an organization, without their secrets."""
    return [dict(row._mapping) for row in tx.run(_LIST)]  # noqa: SLF001 - its documented name


def revoke(tx: Tx, id_: UUID) -> bool:
    """End a key; return whether there was one. Web processes remember it for up to two seconds."""
    return tx.run(_REVOKE, {"id": id_}).rowcount > 0


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
