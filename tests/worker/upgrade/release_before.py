"""The release before: a store at schema 0004, with rows as release 0.1 would have stored them.

A test says which envelopes came, through the same shops as the tests of the API, and how that release grouped their
records; ``write`` stores it: states without names and claims of the past, claims without roles, no claims of removed
records, kinds as they were, times without ceilings. The bodies of the envelopes are kept, so that another store can be
fed the same.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

import orjson
from sqlalchemy import text

from connectors import connector
from connectors.contract import Identifier, ProfileSeen
from tests.worker.api.shops import Shopify, WooCommerce, moment
from worker import ids
from worker.domain import api_writes, golden
from worker.domain.api_writes import ApiWrite
from worker.domain.fold import fold
from worker.domain.keyed_consents import keyed
from worker.domain.record import Record
from worker.domain.record_state import encode
from worker.domain.registers import ABOUT
from worker.domain.terms import kind_of
from worker.domain.times import moment as time_of
from worker.inbox.kept_envelopes import statements_of
from worker.store import connections, organizations, suppressions
from worker.store.db import Tx
from worker.store.envelopes import EnvelopeRow

_NEVER = datetime(2200, 1, 1, tzinfo=UTC)
_ENVELOPE = """
    INSERT INTO envelopes (organization_id, id, connection_id, topic, delivery_id, sent_at, received_at, headers, body,
                           body_sha256)
    VALUES (:organization_id, :id, :connection_id, :topic, :delivery_id, :sent_at, :received_at, CAST(:headers AS json),
            :body, :sha256)
"""


class ReleaseBefore:
    """What release 0.1 has been told, and what it has stored of that."""

    def __init__(self, engine):
        self.engine = engine
        with engine.begin() as conn:
            self.organization_id = organizations.ensure(conn, "default")
        self.envelopes: list[EnvelopeRow] = []
        self.links: list[tuple[tuple[str, str], tuple[str, str], UUID]] = []
        self._connections = {}
        self.shop, self.eu, self.woo = Shopify(self, "shop"), Shopify(self, "eu"), WooCommerce(self, "woo")

    # what a shop asks of its world

    def connect(self, name, source, options):
        with self.engine.begin() as conn:
            tx = Tx(conn, self.organization_id)
            more = {"options": options, "region": None, "priority": 100, "webhook_secrets": ["x"], "credentials": None}
            id_ = connections.insert_new(tx, connector=name, source=source, **more)
            connections.set_approved_fields(tx, id_, sorted(connector(name).PROTECTED_FIELDS))
            self._connections[id_] = connections.by_id(conn, id_)
        return str(id_)

    def send(self, path, signature, headers, body):
        connection = self._connections[UUID(path)]
        given = connector(connection.connector)
        topic = next(value for name, value in headers.items() if name.endswith("-topic"))
        sent_at = headers.get("x-shopify-triggered-at")
        delivery_id = next(value for name, value in headers.items() if name.endswith(("webhook-id", "delivery-id")))
        assert given is not None
        self._keep(
            connection.id,
            topic=topic,
            delivery_id=f"{connection.source}-{delivery_id}",
            sent_at=None if sent_at is None else datetime.fromisoformat(sent_at),
            headers=orjson.dumps(list(headers.items())).decode(),
            body=orjson.dumps(body),
        )

    def _keep(self, connection_id, **envelope):
        received_at = datetime.now(UTC)
        row = EnvelopeRow(
            organization_id=self.organization_id,
            id=ids.new(),
            connection_id=connection_id,
            received_at=received_at,
            **envelope,
        )
        self.envelopes.append(row)
        return row

    # what came through the API

    def edited(self, contact, anchor, *, at=None, **fields):
        """An edit of a contact, ``"shop:1"``, whose id came from the record ``anchor``."""
        with self.engine.begin() as conn:
            api = connections.of_api(Tx(conn, self.organization_id))
            self._connections[api] = connections.by_id(conn, api)
        edit = ("api", f"cnt_{contact}")
        identifiers = {"email": Identifier(type="email", value=email)} if (email := fields.pop("email", None)) else {}
        said = ProfileSeen(external_id=edit[1], occurred_at=None, fields=fields, identifiers=identifiers)
        write = ApiWrite(events=((edit[0], said),), links=((_ref(anchor), edit),))
        row = self._keep(
            api,
            topic="PATCH /v1/contacts/{contact_id}",
            delivery_id=f"api:edit of {contact}",
            sent_at=datetime.now(UTC) if at is None else moment(at),
            headers="[]",
            body=api_writes.encode(write),
        )
        self.links.append((_ref(anchor), edit, row.id))

    # what was stored

    def write(self, *groups, lost=(), contested=(), ghosts=()):
        """Store everything; each group is a contact, named by its records, the one that gave it its id first.

        ``lost`` were merged away by their source, ``ghosts`` were only mentioned. The first claimant owns a value.
        """
        records, ids_, stated = self._folded()
        groups = [[_ref(one) for one in group] for group in groups]
        contact_of = {ref: ids_[group[0]] for group in groups for ref in group}
        with self.engine.begin() as conn:
            self._write_envelopes(conn)
            for ref, record in records.items():
                self._write_record(conn, record, ids_[ref], contact_of.get(ref), is_lost=_name(ref) in lost)
            order = [ref for group in groups for ref in group]
            self._write_claims(conn, records, ids_, order, set(contested))
            for group in groups:
                self._write_contact(conn, [records[ref] for ref in group], ids_[group[0]], lost)
            self._write_decisions(conn, stated)
            self._write_ledgers(conn, stated)
            for statements in stated:
                for ref in statements.records:
                    self._run(
                        conn,
                        "INSERT INTO envelope_records VALUES (:organization_id, :envelope_id, :record_id)",
                        envelope_id=statements.envelope_id,
                        record_id=ids_[ref],
                    )
        self.ids = {_name(ref): id_ for ref, id_ in ids_.items()}
        return self.ids

    def _folded(self):
        records, ids_, stated = {}, {}, []
        for row in self.envelopes:
            statements = statements_of(row._replace(received_at=_NEVER), self._connections[row.connection_id])
            stated.append(statements)
            for ref, about in statements.records.items():
                record = records.setdefault(ref, Record(*ref, kind_of(ref)))
                ids_.setdefault(ref, ids.new())
                fold(record, about)
        for record in records.values():
            record.past_names, record.claimed = {}, {}
            record.registers.pop(ABOUT, None)
        return records, ids_, stated

    def _run(self, conn, statement, **values):
        conn.execute(text(statement), {"organization_id": self.organization_id, **values})

    def _write_envelopes(self, conn):
        for row in self.envelopes:
            values = {
                **row._asdict(),
                "headers": row.headers,
                "sha256": sha256(row.body).digest(),
            }
            self._run(conn, _ENVELOPE, **{name: value for name, value in values.items() if name != "organization_id"})

    def _write_record(self, conn, record, id_, contact_id, *, is_lost):
        is_live = record.removed is None or (record.seen is not None and record.seen > record.removed)
        self._run(
            conn,
            """INSERT INTO records (organization_id, id, source, external_id, kind, state, is_live, is_lost, contact_id)
               VALUES (:organization_id, :id, :source, :external_id, :kind, CAST(:state AS json), :is_live, :is_lost,
                       :contact_id)""",
            id=id_,
            source=record.source,
            external_id=record.external_id,
            kind="customer" if record.kind == "customer" else "guest",
            state=orjson.dumps(encode(record)).decode(),
            is_live=is_live,
            is_lost=is_lost,
            contact_id=contact_id,
        )

    def _write_claims(self, conn, records, ids_, order, contested):
        owned = set()
        for ref in order:
            for ident, claim in records[ref].claims().items():
                self._run(
                    conn,
                    """INSERT INTO claims VALUES (:organization_id, :type, :key, :record_id, :source, :is_customer,
                                                  :value, :is_verified, :is_owner, :is_contested)""",
                    type=claim.type,
                    key=claim.key,
                    record_id=ids_[ref],
                    source=ref[0],
                    is_customer=records[ref].kind == "customer",
                    value=claim.value,
                    is_verified=claim.is_verified,
                    is_owner=ident not in owned,
                    is_contested=claim.key in contested,
                )
                owned.add(ident)

    def _write_contact(self, conn, group, id_, lost):
        shown = golden.Golden(group[0].source, group[0].external_id)
        if any(record.is_live and record.kind != "edit" for record in group):  # otherwise nobody was ever seen
            shown = golden.golden(group, [_ref(one) for one in lost], {})
        self._run(
            conn,
            """INSERT INTO contacts (organization_id, id, name, email, phone_number, external_source, external_id,
                                     custom_fields, tags, first_id, created_at, updated_at)
               VALUES (:organization_id, :id, :name, :email, :phone, :source, :external_id, CAST(:fields AS jsonb),
                       :tags, :id, :at, :at)""",
            id=id_,
            name=shown.name,
            email=shown.email,
            phone=shown.phone_number,
            source=shown.external_source,
            external_id=shown.external_id,
            fields=orjson.dumps(shown.custom_fields).decode(),
            tags=shown.tags,
            at=datetime.now(UTC) - timedelta(hours=1),
        )

    def _write_decisions(self, conn, stated):
        merges = [(d, s.envelope_id) for s in stated for d in s.decisions if d.kind == "source_merge"]
        rows = [(d.kind, d.a, d.b, time_of(d.occurred), d.tie, id_) for d, id_ in merges]
        rows += [("link", a, b, datetime.now(UTC), "", envelope_id) for a, b, envelope_id in self.links]
        for kind, a, b, at, tie, envelope_id in rows:
            self._run(
                conn,
                """INSERT INTO decisions (organization_id, id, kind, source_a, external_id_a, source_b, external_id_b,
                                          occurred_at, tie, actor, envelope_id)
                   VALUES (:organization_id, :id, :kind, :source_a, :id_a, :source_b, :id_b, :at, :tie, 'x',
                           :envelope)""",
                id=ids.new(),
                kind=kind,
                source_a=a[0],
                id_a=a[1],
                source_b=b[0],
                id_b=b[1],
                at=at,
                tie=tie,
                envelope=envelope_id,
            )

    def _write_ledgers(self, conn, stated):
        for statements in stated:
            for said in statements.consents:
                self._write_consent(conn, _before(said)._replace(is_undated=False), statements.envelope_id)
            for said in statements.suppressions:
                suppressions.append(Tx(conn, self.organization_id), [(_before(said), statements.envelope_id)])

    def _write_consent(self, conn, said, envelope_id):
        self._run(
            conn,
            """INSERT INTO consents (organization_id, id, statement_key, channel, purpose, address, status, occurred_at,
                                     source, external_id, method, evidence, envelope_id)
               VALUES (:organization_id, :id, :key, :channel, :purpose, :address, :status, :at, :source, :external_id,
                       :method, CAST(:evidence AS jsonb), :envelope_id) ON CONFLICT DO NOTHING""",
            id=ids.new(),
            key=keyed(said, envelope_id).key,
            channel=said.channel,
            purpose=said.purpose,
            address=said.address,
            status=said.status,
            at=time_of(said.occurred),
            source=said.ref[0],
            external_id=said.ref[1],
            method=said.method,
            evidence=orjson.dumps(dict(said.evidence)).decode(),
            envelope_id=envelope_id,
        )


def _before(said):
    """What a guest said was nobody's."""
    return said._replace(ref=(said.ref[0], "")) if said.ref[1].startswith("guest:") else said


def _ref(name):
    source, _, external_id = name.partition(":")
    return (source, external_id)


def _name(ref):
    return ":".join(ref)
