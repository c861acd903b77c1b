"""A provider that is whatever a test says it is, read through a connector that says what its rows say."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import orjson

from connectors.contract import (
    BadSignatureError,
    ConnectionRevoked,
    MalformedPayloadError,
    ProfileRemoved,
    ProfileSeen,
    Receipt,
    TagsSnapshot,
)
from connectors.reader import Page, Row, read_from

READ_AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
CHANGED_AT = datetime(2026, 10, 1, 12, tzinfo=UTC)


def customer(number, at=CHANGED_AT, **fields):
    return {"id": str(number), "updated_at": at.isoformat(), "name": f"Customer {number}", **fields}


@dataclass
class Scripted:
    """A connector and its provider in one; ``customers`` is what the provider has."""

    customers: dict = field(default_factory=dict)
    page_size: int = 3
    expected: bool = True
    read_at: datetime = READ_AT
    faults: list = field(default_factory=list)  #: raised one after the other, instead of a page
    asked: list = field(default_factory=list)  #: jobs and cursors of each read
    on_page: object = None

    name = "scripted"
    PROTECTED_FIELDS = frozenset()
    SKIPPED_TOPICS = {}
    CREDENTIALS = ("access_token",)
    DOWNLOAD_HOSTS = frozenset()

    def hold(self, *customers):
        self.customers.update({one["id"]: one for one in customers})

    def api_url(self, options):
        return "http://127.0.0.1:9"

    def authorize(self, credentials):
        return {"X-Token": credentials["access_token"]}

    def renewal(self, credentials):
        return None

    def read(self, job, cursor, fetch):
        self.asked.append((job, cursor))
        known = [one for one in self.customers.values() if job.since is None or self._at(one) >= job.since]
        at = (cursor or {"at": 0})["at"]
        while at < len(known) or (at == 0 and not known):
            if self.faults and (fault := self.faults.pop(0)) is not None:
                raise fault
            rows = [self._row(one) for one in known[at : at + self.page_size]]
            at += self.page_size
            if self.on_page:
                self.on_page(at)
            yield Page(
                rows=[replace(row, body=b"", topic="") for row in rows] if job.kind == "ids" else rows,
                cursor={"at": at},
                expected=len(known) if self.expected else None,
                watermark=max((row.updated_at for row in rows), default=None),
            )

    def read_some(self, job, external_ids, fetch):
        if self.faults and (fault := self.faults.pop(0)) is not None:
            raise fault
        for external_id in external_ids:
            if external_id in self.customers:
                yield self._row(self.customers[external_id])

    def gone(self, external_id, at):
        body = orjson.dumps({"id": external_id})
        return self._wrapped(external_id, None, "gone", body)

    def wanted(self, topic, body):
        return orjson.loads(body)["id"] if topic == "created" else None

    def verify(self, headers, body, secrets):
        if headers.get("secret") not in secrets:
            raise BadSignatureError

    def receive(self, headers, body):
        sent_at = datetime.fromisoformat(headers["sent"]) if "sent" in headers else None
        return Receipt(topic=headers.get("topic", "seen"), delivery_id=headers["id"], sent_at=sent_at)

    def parse(self, envelope, account):
        body = orjson.loads(envelope.body)
        if envelope.topic == "revoked":
            return [ConnectionRevoked(occurred_at=None)]
        if "id" not in body:
            raise MalformedPayloadError("id: expected text, got nothing")
        if envelope.topic == "deleted":
            return [ProfileRemoved(external_id=body["id"], occurred_at=None)]
        if envelope.topic == "gone":
            return [ProfileRemoved(external_id=body["id"], occurred_at=read_from(envelope))]
        at = datetime.fromisoformat(body["updated_at"]) if "updated_at" in body else None
        events = [ProfileSeen(external_id=body["id"], occurred_at=at, fields={"first_name": body.get("name")})]
        if "tags" in body:
            events.append(
                TagsSnapshot(external_id=body["id"], tags=tuple(body["tags"]), occurred_at=read_from(envelope))
            )
        return events

    def _at(self, one):
        return datetime.fromisoformat(one["updated_at"])

    def _row(self, one):
        return self._wrapped(one.get("id", ""), self._at(one), "customer", orjson.dumps(one))

    def _wrapped(self, external_id, at, topic, body):
        return Row(
            external_id=external_id,
            updated_at=at,
            topic=topic,
            body=body,
            not_before=self.read_at,
            not_after=self.read_at + timedelta(seconds=1),
        )
