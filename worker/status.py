"""Status: what an operator should know at 3 a.m., and the parked envelopes."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import DBAPIError

from worker import ids
from worker.domain.statements import CLOCK_AHEAD, LEFT_OUT
from worker.settings import settings
from worker.shown import cell, columns, plain
from worker.store import connections, contacts, db, privacy_requests, ready, replica, upgrades
from worker.store.db import Tx
from worker.store.ready import MOST_PARKED

#: remarks that ask for no decision
_NOTED = (LEFT_OUT, CLOCK_AHEAD)


def status(tx: Tx) -> dict[str, Any]:
    """Return the queue, the connections and open privacy requests of an organization."""
    depth = ready.depth(tx.conn, tx.organization_id)
    outcomes = ready.outcomes(tx)
    remarks = ready.remarks(tx)
    return {
        "inbox": {
            "due": depth["due"],
            "postponed": depth["postponed"],
            "parked": depth["parked"],
            "settled": outcomes.get("settled", 0),
            "ignored": outcomes.get("ignored", 0),
            "oldest_due_s": round(depth["oldest_due_s"], 3),
            "ignored_topics": ready.ignored_topics(tx),
            "undecided": {text: n for text, n in remarks.items() if not text.startswith(_NOTED)},
            "noted": {text: n for text, n in remarks.items() if text.startswith(_NOTED)},
        },
        "contacts": contacts.count(tx),
        "upgrade": _upgrade(tx),
        "replica": _replica(tx),
        "privacy_requests": [
            {
                "privacy_request_id": ids.show(ids.PRIVACY_REQUEST, row["id"]),
                "kind": row["kind"],
                "source": row["source"],
                "requested_at": row["requested_at"],
                "due_at": row["due_at"],
                "state": row["state"],
                "hidden": row["hidden"],
                "envelope_id": ids.show(ids.ENVELOPE, row["envelope_id"]),
            }
            for row in privacy_requests.open_requests(tx)
        ],
        "connections": [
            {
                "connection_id": described["connection_id"],
                "connector": described["connector"],
                "source": described["source"],
                "state": described["state"],
                "last_delivery_at": described["last_delivery_at"],
                "refused_signatures": described["refused_signatures"],
                "revoked_at": described["revoked_at"],
            }
            for described in map(connections.describe, connections.of_organization(tx))
        ],
    }


def _upgrade(tx: Tx) -> str | None:
    """Return ``due`` or ``under way`` if contacts follow the rules of an earlier release."""
    row = upgrades.of_organization(tx)
    if row is None or row.done_at is not None:
        return None
    return "due" if row.began_at is None else "under way"


def _replica(tx: Tx) -> dict[str, Any] | None:
    """Return how far the replica is; None if there is none."""
    if not settings().replica_database_url:
        return None
    engine = db.make_engine(settings().replica_database_url, pool_size=1)
    try:
        written = replica.written(tx.conn)
        with engine.connect() as conn:
            replayed = replica.replayed(conn)
    except DBAPIError:
        return {"state": "away", "lag_s": None, "behind_bytes": None}
    finally:
        engine.dispose()
    if replayed.position is None:
        return {"state": "no replica", "lag_s": None, "behind_bytes": None}
    if replayed.cluster != written.cluster:
        return {"state": "replica of another primary", "lag_s": None, "behind_bytes": None}
    behind = max(0, written.position - replayed.position)
    return {"state": "follows", "lag_s": round(replayed.behind_s or 0.0, 3) if behind else 0.0, "behind_bytes": behind}


def parked(tx: Tx) -> list[dict[str, Any]]:
    """Return the newest parked envelopes, and the newest of which an operator should know; 1,000 of each at most."""
    return [
        {
            "id": ids.show(ids.ENVELOPE, row["envelope_id"]),
            "connection_id": ids.show(ids.CONNECTION, row["connection_id"]),
            "topic": row["topic"],
            "kind": _kind(row["kind"], row["reason"]),
            "reason": row["reason"],
            "attempts": row["attempts"],
            "parked_at": row["parked_at"],
        }
        for row in (*ready.list_parked(tx, MOST_PARKED), *ready.list_remarked(tx, MOST_PARKED))
    ]


def _kind(kind: str, reason: str) -> str:
    if kind != "remarked":
        return kind
    return "noted" if reason.startswith(_NOTED) else "undecided"


def show(console: Console, found: Mapping[str, Any]) -> None:
    """Print the result of ``status`` for a person."""
    inbox = found["inbox"]
    counts = Table(title="Inbox", title_justify="left", box=None)
    for name in ("due", "postponed", "parked", "settled", "ignored", "oldest_due_s"):
        counts.add_column(name.replace("_", " "), justify="right")
    counts.add_row(*(str(inbox[name]) for name in ("due", "postponed", "parked", "settled", "ignored", "oldest_due_s")))
    console.print(counts)
    if inbox["ignored_topics"]:
        console.print(
            Text("Ignored: " + ", ".join(f"{plain(one)} ({n})" for one, n in inbox["ignored_topics"].items()))
        )
    for remark, n in inbox["undecided"].items():
        console.print(Text(f"To decide: {plain(remark)} ({n} envelopes; `contactsync parked` lists them)"))
    for remark, n in inbox["noted"].items():
        console.print(Text(f"Noted: {plain(remark)} ({n} envelopes; `contactsync parked` lists them)"))
    console.print(f"Contacts: {found['contacts']}")
    if found["upgrade"]:
        console.print(f"Upgrade {found['upgrade']}: contacts follow the rules of an earlier release")
    if found["replica"]:
        lag = "" if found["replica"]["lag_s"] is None else f", {found['replica']['lag_s']} s behind"
        console.print(f"Replica {found['replica']['state']}{lag}")
    for title in ("connections", "privacy_requests"):
        rows = found[title]
        if rows:
            table = Table(
                *columns(*rows[0]), title=title.replace("_", " ").capitalize(), title_justify="left", box=None
            )
            for row in rows:
                table.add_row(*map(cell, row.values()))
            console.print(table)
