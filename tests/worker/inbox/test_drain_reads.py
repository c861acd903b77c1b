"""A batch reads the rows that it is about, whatever else is stored and whatever the planner knows of it."""

from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime

import orjson
import psycopg
import pytest
from sqlalchemy import text

from bench.contacts import Population
from connectors import CONNECTORS
from connectors.contract import (
    ConsentStated,
    Identifier,
    NoteAdded,
    ProfileRemoved,
    ProfileSeen,
    ProfilesMerged,
    SuppressionStated,
    TagsAdded,
)
from tests.worker.inbox.plain import Plain, connect, keep, lane
from worker import ids
from worker.inbox.drain import drain_batch
from worker.inbox.ingest import Source
from worker.inbox.replay import queue_replay
from worker.settings import settings
from worker.store import batch_writer, organizations
from worker.store.db import Tx

_MANY = 20_000
_BATCH = 100
#: rows that a step of a statement may read for each envelope: its records and claims, their neighbours, the ledgers
_EACH = 10
#: pages of an index and its table on the way to a row
_PAGES = 8

#: what the population has no rows in, and stores of its age have
_OLDER = """
INSERT INTO envelopes (organization_id, id, connection_id, topic, delivery_id, headers, body, body_sha256)
SELECT organization_id, id, :connection_id, 'seen', id::text, '[]', '{}', decode(repeat('00', 32), 'hex')
  FROM records WHERE organization_id = :organization_id;
INSERT INTO envelope_records (organization_id, envelope_id, record_id)
SELECT organization_id, id, id FROM records WHERE organization_id = :organization_id;
INSERT INTO outcomes (organization_id, envelope_id, outcome)
SELECT organization_id, id, 'settled' FROM records WHERE organization_id = :organization_id;
INSERT INTO suppressions (organization_id, id, statement_key, channel, address, scope, reason, is_lift, source,
                          external_id, envelope_id)
SELECT organization_id, id, decode(md5(id::text), 'hex'), 'email', email, 'all', 'bounced', false, 'shopify',
       external_id, id
  FROM contacts WHERE organization_id = :organization_id;
INSERT INTO consents (organization_id, id, statement_key, channel, purpose, address, status, source, external_id,
                      evidence, envelope_id)
SELECT organization_id, id, decode(md5('c' || id::text), 'hex'), 'email', 'marketing', email, 'opted_in', 'shopify',
       external_id, '{}', id
  FROM contacts WHERE organization_id = :organization_id;
INSERT INTO notes (organization_id, id, record_id, body, author_type, envelope_id, position, created_at)
SELECT organization_id, id, id, 'Called.', 'user', id, 0, now()
  FROM records WHERE organization_id = :organization_id;
INSERT INTO contact_aliases (organization_id, id, record_id)
SELECT organization_id, md5('a' || id::text)::uuid, id FROM records WHERE organization_id = :organization_id;
INSERT INTO former_contacts (organization_id, id)
SELECT organization_id, md5('f' || id::text)::uuid FROM records WHERE organization_id = :organization_id;
INSERT INTO decisions (organization_id, id, kind, source_a, external_id_a, source_b, external_id_b, tie, actor)
SELECT organization_id, id, 'apart', 'shopify', external_id, 'till', external_id, '', 'user'
  FROM records WHERE organization_id = :organization_id;
INSERT INTO deletions (organization_id, digest, envelope_id, deleted_at, spared)
SELECT organization_id, decode(md5(id::text) || md5(id::text), 'hex'), id, now(), '[]'
  FROM records WHERE organization_id = :organization_id
"""
_NOW = datetime(2026, 11, 1, tzinfo=UTC)


class _Scripted(Plain):
    """A connector that says what a test has noted under the number in the body."""

    def __init__(self):
        self.events = {}

    def parse(self, envelope, account):
        return self.events.get(orjson.loads(envelope.body).get("n"), [])


@pytest.fixture
def scripted(monkeypatch):
    connector = _Scripted()
    monkeypatch.setitem(CONNECTORS, "plain", connector)
    return connector


def _fill(engine, organization_id, size=_MANY):
    """Fill an organization; return its people, and the connections of the shop and of another source."""
    population = Population(engine, organization_id, size)
    sources = [
        Source(organization_id, connect(engine, organization_id, source=name), "plain", ("x",))
        for name in ("shopify", "till")
    ]
    population.grow(size)
    with engine.begin() as conn:
        conn.execute(text("SET LOCAL synchronous_commit = off"))
        for statement in _OLDER.split(";\n"):
            conn.execute(text(statement), {"organization_id": organization_id, "connection_id": sources[0].id})
    return population, sources


def _profile(person, **changed):
    given = {"name": person.name, "email": person.email, "phone": person.phone, **changed}
    identifiers = {
        "email": Identifier(type="email", value=given["email"], verified=True),
        "phone": Identifier(type="phone", value=given["phone"]),
    }
    fields = {"first_name": given["name"]}
    return ProfileSeen(external_id=person.ref[1], occurred_at=_NOW, identifiers=identifiers, fields=fields)


def _said_of(n, person, other, stranger):
    """What envelope ``n`` of a batch says about a person who is stored, another one, or one who is not."""
    of_person = {"external_id": person.ref[1], "occurred_at": _NOW}
    by_mail = {"channel": "email", "address": person.email}
    given = {**of_person, **by_mail, "external_id": stranger.ref[1], "address": stranger.email}
    note = NoteAdded(body="Called.", **of_person)
    merged = {"kept_external_id": other.ref[1], "lost_external_id": person.ref[1]}
    said = [
        [_profile(stranger), ConsentStated(status="opted_in", **given)],
        [_profile(stranger)],
        [_profile(person, name="Changed"), TagsAdded(tags=("new",), **of_person)],
        [_profile(person, name="Changed")],
        [_profile(person, email=f"changed{n}@example.com")],
        [_profile(person, phone=other.phone)],
        [ConsentStated(status="opted_out", **of_person, **by_mail)],
        [SuppressionStated(reason="hard_bounce", **of_person, **by_mail), note],
        [ProfileRemoved(**of_person)],
        [ProfilesMerged(occurred_at=_NOW, **merged)],
    ]
    return said[n % len(said)]


def _read(plan):
    """Yield what each step of a plan reads: its name, its rows, and its pages if it reads a table."""
    loops = plan["Actual Loops"]
    kept_out = sum(value for name, value in plan.items() if name.startswith("Rows Removed by"))
    below = plan.get("Plans", ())
    pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    pages -= sum(step["Shared Hit Blocks"] + step["Shared Read Blocks"] for step in below)
    is_scan = plan["Node Type"].endswith("Scan") and not below
    is_small = is_scan and 0 < pages <= _PAGES * loops  # read whole, or by an index: the one is as cheap as the other
    yield (
        f"{plan['Node Type']} {plan.get('Relation Name', '')} {plan.get('Index Name', '')}",
        0 if is_small else (plan["Actual Rows"] + kept_out) * loops,
        pages if is_scan else 0,
    )
    for step in below:
        yield from _read(step)


@contextmanager
def explained(monkeypatch):
    """Explain each statement of the block, whichever way it goes to the server, before it is executed."""
    plans = []
    execute = psycopg.Cursor.execute

    def explain(cursor, statement, parameters=None, **more):
        written = statement.decode() if isinstance(statement, bytes) else str(statement)
        if written.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH") and "advisory" not in written:
            with cursor.connection.transaction(), psycopg.Cursor(cursor.connection) as beside:
                execute(beside, f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {written}", parameters)
                plans.append((" ".join(written.split()), beside.fetchone()[0][0]["Plan"]))
                raise psycopg.Rollback
        return execute(cursor, statement, parameters, **more)

    with monkeypatch.context() as patched:
        patched.setattr(batch_writer, "unawaited", lambda _: nullcontext())
        patched.setattr(psycopg.Cursor, "execute", explain)
        yield plans


def _excesses(plans):
    """The steps that read too much; of each statement the first."""
    most = _EACH * _BATCH
    found: dict[str, str] = {}
    for statement, plan in plans:
        for step, rows, pages in _read(plan):
            if rows > most or pages > _PAGES * most:
                found.setdefault(statement[:200], f"{step}: {rows:.0f} rows, {pages} pages")
    return "\n".join(f"{step} in {statement}" for statement, step in found.items())


def test_no_statement_of_a_batch_reads_the_organization(engine, organization_id, scripted, monkeypatch):
    monkeypatch.setattr(settings(), "inbox_batch", _BATCH)
    with engine.begin() as conn:
        another_id = organizations.ensure(conn, "another")
    _fill(engine, another_id, _MANY // 4)
    _analyze(engine)
    with monkeypatch.context() as patched:  # the first import of a second organization
        patched.setattr(Population, "_vacuum", lambda *_: None)
        people, (shop, till) = _fill(engine, organization_id)

    def drained(source, first):
        numbers = range(first, first + _BATCH)
        for n in numbers:
            scripted.events[n] = _said_of(n, *(people.person(offset + n) for offset in (0, _MANY // 2, _MANY)))
        envelope_ids = keep(engine, source, *({"n": n} for n in numbers))
        with explained(monkeypatch) as plans:
            assert drain_batch(engine, lane(source)).settled == _BATCH
        with engine.begin() as conn:
            for envelope_id in envelope_ids[:10]:
                queue_replay(Tx(conn, organization_id), ids.show(ids.ENVELOPE, envelope_id))
        with explained(monkeypatch) as of_replays:
            assert drain_batch(engine, lane(source)).settled == 10
        assert len(plans) > 25
        return _excesses(plans + of_replays)

    assert drained(shop, 0) + drained(till, 2 * _BATCH) == ""
    _analyze(engine)
    assert drained(shop, 4 * _BATCH) + drained(till, 6 * _BATCH) == ""


def _analyze(engine):
    with engine.begin() as conn:
        conn.execute(text("ANALYZE"))
