"""Every "no" that was accepted reads back as "no", whatever the clocks of others show and however it came.

A naive model says what a person would expect: whoever said no stays out, until a newer yes. A yes that comes from a
clock that is wrong, or that has no time, is no newer than anything. ``EXAMPLES=1000`` tries as many histories.
"""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from connectors import files
from tests.worker.api.one_person import E1, World
from tests.worker.api.shops import Shopify, WooCommerce, written
from worker import ids
from worker.inbox.drain import drain
from worker.store import api_keys, connections, envelopes, organizations
from worker.store.db import Tx, sql
from worker.store.envelopes import Incoming
from worker.store.lanes import lane_of

TOLERANCE = timedelta(minutes=5)
YEAR = timedelta(days=365)
#: how far the clock of a source is ahead of ours
SKEWS = (
    -3 * YEAR,
    -timedelta(days=1),
    -timedelta(minutes=1),
    timedelta(0),
    TOLERANCE / 2,
    timedelta(hours=2),
    5 * YEAR,
)
_ENVELOPES = sql("SELECT id FROM envelopes WHERE organization_id = :organization_id ORDER BY id")
EXAMPLES = int(os.environ.get("EXAMPLES", "15"))


@dataclass
class Expected:
    """Who said what, in the words of a person: the newest no and the newest yes."""

    no: datetime | None = None
    yes: datetime | None = None
    is_suppressed: bool = False
    has_baseline: bool = False
    #: the newest time that anything stated has; a request of the API comes after it
    newest: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    def said_no(self, at: datetime, arrived: datetime) -> None:
        counted = min(at, arrived + TOLERANCE)
        self.no = max(self.no or counted, counted)

    def said_yes(self, at: datetime | None, arrived: datetime) -> None:
        if at is None or at > arrived + TOLERANCE:
            self.has_baseline = True
        else:
            self.yes = max(self.yes or at, at)

    @property
    def may_send(self) -> bool:
        return self.is_open and not self.is_suppressed

    @property
    def is_open(self) -> bool:
        if self.no is not None:
            return self.yes is not None and self.yes > self.no
        return self.yes is not None or self.has_baseline


@dataclass
class Shops:
    """An organization with every way in, and the model beside it."""

    world: World
    engine: object
    organization_id: UUID
    expected: Expected = field(default_factory=Expected)

    def __post_init__(self) -> None:
        self.shopify, self.woo = Shopify(self.world, "shop"), WooCommerce(self.world, "woo")
        with self.engine.begin() as conn:
            tx = Tx(conn, self.organization_id)
            self.file = connections.insert_new(
                tx, connector="file", source="crm", options={}, region=None, priority=100, webhook_secrets=[]
            )
            self.reading = next(row.id for row in connections.of_organization(tx) if row.source == "shop")

    def webhook(self, skew: timedelta, *, is_yes: bool) -> None:
        now = datetime.now(UTC)
        state = "subscribed" if is_yes else "unsubscribed"
        self.shopify.consent("1", "email", state, E1, at=now + skew)
        self._tell(now + skew, now, is_yes=is_yes, has_profile=False)

    def box(self, skew: timedelta, *, is_yes: bool) -> None:
        """Deliver a customer with a box. A ticked box counts from the creation, and an empty box from the change."""
        now = datetime.now(UTC)
        self.woo.seen("1", email=E1, name="Ayu Lestari", at=now + skew, created=now + skew, newsletter=is_yes)
        self._tell(now + skew, now, is_yes=is_yes)

    def row(self, skew: timedelta, *, is_yes: bool) -> None:
        """Import a row without a time for the consent. A "no" is as old as the file. A "yes" has no time."""
        now = datetime.now(UTC)
        mapping = {"external_id": "id", "email": "mail", "first_name": "name", "email_consent": "news"}
        marks = orjson.dumps([*files.headers_of(mapping, now + skew).items()]).decode()
        values = {"id": "1", "mail": E1, "name": "Ayu Lestari", "news": "yes" if is_yes else "no"}
        self._keep(self.file, files.TOPIC, marks, files.body_of(values), now + skew)
        self._tell(now + skew, now, is_yes=is_yes, is_dated=not is_yes)

    def read(self, skew: timedelta, *, is_yes: bool) -> None:
        """A customer as a backfill reads it; the time of the consent is the shop's."""
        now = datetime.now(UTC)
        state = "SUBSCRIBED" if is_yes else "UNSUBSCRIBED"
        email = {"emailAddress": E1, "marketingState": state, "marketingUpdatedAt": written(now + skew)}
        customer = {"id": "gid://shopify/Customer/1", "updatedAt": written(now + skew), "defaultEmailAddress": email}
        self._keep(self.reading, "read/customer", "[]", orjson.dumps(customer), now + skew)
        self._tell(now + skew, now, is_yes=is_yes)

    def request(self, _: timedelta, *, is_yes: bool) -> None:
        """A consent of the API comes after everything that it answers; a yes that counts already states nothing."""
        if is_yes and self.expected.is_open:
            self.world.api.write("PUT", E1, "/consent/email", status="opted_in")
            return
        status = "opted_in" if is_yes else "opted_out"
        answered = self.world.api.write("PUT", E1, "/consent/email", status=status)
        after = max(datetime.now(UTC), self.expected.newest + timedelta(microseconds=1))
        self.expected.newest = after
        (self.expected.said_yes if is_yes else self.expected.said_no)(after, after)
        if not is_yes:
            assert answered["status"] == "opted_out"

    def suppress(self, _: timedelta, *, is_yes: bool) -> None:
        if not is_yes:
            self.world.api.write("POST", E1, "/suppressions", channel="email", reason="spam_complaint")
            self.expected.is_suppressed = True

    def check(self) -> None:
        assert self.world.api.sendable(E1)[0] == self.expected.may_send

    def replay(self) -> None:
        with self.engine.connect() as conn:
            kept = Tx(conn, self.organization_id).run(_ENVELOPES, {}).scalars().all()
        for envelope_id in kept:
            self.world.replay(ids.show(ids.ENVELOPE, envelope_id))

    def _tell(
        self, at: datetime, arrived: datetime, *, is_yes: bool, is_dated: bool = True, has_profile: bool = True
    ) -> None:
        is_ahead = at > arrived + TOLERANCE
        if has_profile or not (is_yes and is_ahead):  # a yes of a wrong clock alone has no time
            self.expected.newest = max(self.expected.newest, min(at, arrived + TOLERANCE))
        if is_yes:
            self.expected.said_yes(at if is_dated else None, arrived)
        else:
            self.expected.said_no(at, arrived)

    def _keep(self, connection_id: UUID, topic: str, marks: str, body: bytes, sent_at: datetime) -> None:
        digest = sha256(body).digest()
        incoming = Incoming(
            self.organization_id, ids.new(), connection_id, topic, uuid4().hex, sent_at, "[]", body, digest, marks
        )
        with self.engine.begin() as conn:
            envelopes.keep(conn, [incoming])
        assert drain(self.engine, lane_of(connection_id), budget_s=10).parked == 0


STEPS = st.tuples(
    st.sampled_from(("webhook", "box", "row", "read", "request", "request", "suppress")),
    st.sampled_from(SKEWS),
    st.booleans(),
)


@pytest.fixture
def new_world(engine, _runner):
    def make():
        with engine.begin() as conn:
            organization_id = organizations.ensure(conn, uuid4().hex)
            key = api_keys.insert_new(
                Tx(conn, organization_id), ("contacts:read", "contacts:write"), rate_limit=1_000_000
            )[1]
        world = World(engine, organization_id, key, _runner, "as sent")
        return Shops(world, engine, organization_id)

    return make


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(STEPS, min_size=1, max_size=7), st.booleans(), st.booleans())
def test_every_no_reads_back_as_no(new_world, steps, is_deleted, is_replayed):
    note(f"{steps}, deleted: {is_deleted}, replayed: {is_replayed}")
    shops = new_world()
    shops.shopify.seen("1", email=E1, name="Ayu Lestari", at=-1)

    for way, skew, is_yes in steps:
        getattr(shops, way)(skew, is_yes=is_yes)
        shops.check()
    if is_replayed:
        shops.replay()
        shops.check()
    if is_deleted:
        shops.world.api.write("DELETE", E1)
        assert shops.world.api.contact(E1) is None
        if is_replayed:
            shops.replay()
            assert shops.world.api.contact(E1) is None
