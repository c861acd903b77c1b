"""Sealed secrets: the encrypted values of all tables, written anew with the first key."""

from collections import Counter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.sql.elements import TextClause

from worker import vault
from worker.store.db import sql


class _Sealed(NamedTuple):
    """The encrypted columns of a table; each holds a value, or a list of them."""

    load: TextClause
    update: TextClause


# The rows are locked, so that a secret that somebody sets meanwhile is not replaced by the one before.
_SEALED = {
    "connections": _Sealed(
        sql("""
            SELECT id, webhook_secrets, access_token, credentials FROM connections
             WHERE id > :after ORDER BY id LIMIT :most FOR UPDATE
        """),
        sql("""
            UPDATE connections
               SET webhook_secrets = :webhook_secrets, access_token = :access_token, credentials = :credentials
             WHERE id = :id
        """),
    ),
    "channels": _Sealed(
        sql("SELECT id, token FROM channels WHERE id > :after ORDER BY id LIMIT :most FOR UPDATE"),
        sql("UPDATE channels SET token = :token WHERE id = :id"),
    ),
}
TABLES = tuple(_SEALED)

_DELETIONS = sql("SELECT count(DISTINCT envelope_id) FROM deletions")


class Renewed(NamedTuple):
    """What ``renew`` did with some rows, counted in values."""

    last_id: UUID  #: of the last row; the next call goes on behind it
    anew: int
    unchanged: int  #: encrypted with the first key already
    unreadable: int  #: no key fits; they stay as they are


def renew(conn: Connection, table: str, after: UUID, most: int) -> Renewed | None:
    """Encrypt what is in the next rows of a table with the first key; None if there are no more rows.

    Raises ConfigError if no usable key is set.
    """
    rows = conn.execute(_SEALED[table].load, {"after": after, "most": most}).mappings().all()
    if not rows:
        return None
    count: Counter[str] = Counter()
    for row in rows:
        held = {name: value for name, value in row.items() if name != "id"}
        anew = {name: _renewed(value, count) for name, value in held.items()}
        if anew != held:
            conn.execute(_SEALED[table].update, {"id": row["id"], **anew})
    return Renewed(rows[-1]["id"], count["anew"], count["unchanged"], count["unreadable"])


def _renewed(sealed: Any, count: Counter[str]) -> Any:
    if sealed is None:
        return None
    if isinstance(sealed, list):
        return [_renewed(one, count) for one in sealed]
    try:
        anew = vault.renewed(bytes(sealed))
    except vault.NoKeyFitsError:
        count["unreadable"] += 1
        return sealed
    count["unchanged" if anew is None else "anew"] += 1
    return sealed if anew is None else anew


def deletions(conn: Connection) -> int:
    """Count the deletions. Their hashed addresses are found with the key of their time only; none is hashed anew."""
    return int(conn.execute(_DELETIONS).scalar_one())
