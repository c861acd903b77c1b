"""A connector that says what the body says, and what tests of the inbox share."""

from uuid import uuid4

import orjson
from sqlalchemy import text

from connectors.contract import MalformedPayloadError, ProfileSeen, Receipt, TagsAdded
from worker.inbox.ingest import accept
from worker.store import connections, envelopes
from worker.store.db import Tx
from worker.store.lanes import lane_of


class Plain:
    """A connector that says what the body says."""

    name = "plain"
    PROTECTED_FIELDS = frozenset()
    SKIPPED_TOPICS = {}

    def verify(self, headers, body, secrets):
        pass

    def receive(self, headers, body):
        return Receipt(topic=headers.get("topic", "seen"), delivery_id=headers["id"], sent_at=None)

    def parse(self, envelope, account):
        if envelope.topic == "skipped":
            return []
        body = orjson.loads(envelope.body)
        if "malformed" in body:
            raise MalformedPayloadError("email: expected text, got a number")
        if "bug" in body:
            raise ZeroDivisionError("ayu@example.com")
        if "tag" in body:
            return [TagsAdded(external_id=body["id"], tags=(body["tag"],), occurred_at=None)]
        return [ProfileSeen(external_id=body["id"], occurred_at=None, fields=body.get("fields", {}))]


def connect(engine, organization_id, connector="plain", *, source="plain", **more):
    """Add a connection, and return its id."""
    settings = {"options": {}, "region": None, "priority": 100, "webhook_secrets": ["x"], **more}
    with engine.begin() as conn:
        return connections.insert_new(Tx(conn, organization_id), connector=connector, source=source, **settings)


def keep(engine, source, *bodies, topic="seen"):
    """Queue bodies; the n-th is delivery n of all that this source has sent."""
    incoming = [accept(source, [("id", uuid4().hex), ("topic", topic)], orjson.dumps(body)) for body in bodies]
    with engine.begin() as conn:
        return [kept.envelope_id for kept in envelopes.keep(conn, incoming)]


def lane(source):
    return lane_of(source.id)


def rows(engine, statement):
    with engine.connect() as conn:
        return conn.execute(text(statement)).all()


def run_now(engine, for_="1 s"):
    """Make everything that waits due, as if it had been due for a while."""
    with engine.begin() as conn:
        conn.execute(
            text(f"UPDATE ready SET next_run_at = now() - interval '{for_}', lease_until = NULL, lease_token = NULL")
        )
