"""Stored: a store on Postgres, fed through the one write path and read as the API reads it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Engine, text

from tests.model.adapters import statements_of
from tests.model.follower import Step
from tests.model.history import Envelope, Ref
from tests.model.states import Contact, State, Verdicts, held, of_product
from worker.domain.changes import Change
from worker.pipeline import contact_view
from worker.pipeline.apply import Batch, apply
from worker.pipeline.contact_view import ContactView
from worker.store import changes, contacts, organizations
from worker.store.db import Tx


class StoredStore:
    """What a history makes of an empty database, and what it tells whoever follows."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        with engine.begin() as conn:
            self.organization_id = organizations.ensure(conn, "default")
        self.updated: dict[UUID, datetime] = {}
        self.known: set[UUID] = set()  #: every id that was ever given
        self.logged = UUID(int=0)  #: the last entry of the change log that was read

    def apply(self, batch: Sequence[Envelope]) -> None:
        """Take in a batch; the inbox lets nothing into it twice."""
        statements = [statements_of(one) for one in {one.key: one for one in batch}.values()]
        apply(self.engine, self.organization_id, Batch(statements, {one.envelope_id: uuid4() for one in statements}))

    def step(self, now: datetime) -> Step:
        """Return what the store shows, and what it told since the last step."""
        with self.engine.connect() as conn:
            tx = Tx(conn, self.organization_id)
            present = [row[0] for row in conn.execute(text("SELECT id FROM contacts"))]
            views = contact_view.load(tx, list(contacts.by_ids(tx, present).values()))
            refs = {row.id: (row.source, row.external_id) for row in conn.execute(text(_RECORDS))}
            claims = [(c.type, c.key, refs[c.record_id], c) for c in conn.execute(text(_CLAIMS))]
            owner_of = {(kind, key): ref for kind, key, ref, claim in claims if claim.is_owner}
            shown: dict[frozenset[Ref], Contact] = {}
            verdicts: dict[frozenset[Ref], Verdicts] = {}
            id_of: dict[frozenset[Ref], UUID] = {}
            records_of: dict[UUID, frozenset[Ref]] = {}
            for view in views:
                group = frozenset(row.ref for row in view.records if row.record.seen is not None)
                id_of[group] = view.contact.id
                records_of[view.contact.id] = frozenset(row.ref for row in view.records)
                shown[group], verdicts[group] = _shown(view, owner_of, now)
            group_of = {ref: group for group in shown for ref in group}
            state = State(
                contacts=shown,
                verdicts=verdicts,
                owners={ident: group_of[ref] for ident, ref in owner_of.items()},
                contested=frozenset((k, key) for k, key, _, claim in claims if claim.is_contested and claim.role == 0),
            )
            fields = {view.contact.id: _fields(view) for view in views}
            self.known |= fields.keys()
            answers = contacts.by_any_ids(tx, self.known | refs.keys())
            aliases = {id_: row.id for id_, row in answers.items() if row.id != id_}
            return Step(state, id_of, aliases, self._told(tx, views), self._log(tx), fields, records_of)

    def _told(self, tx: Tx, views: Sequence[ContactView]) -> set[UUID]:
        """Return the contacts that the feed brings: those changed since, and the former ones."""
        updated = {view.contact.id: view.contact.updated_at for view in views}
        told = {id_ for id_, at in updated.items() if self.updated.get(id_) != at}
        former = {row[0] for row in tx.conn.execute(text("SELECT id FROM former_contacts"))}
        told |= (self.updated.keys() - updated.keys()) & former
        self.updated = {id_: at for id_, at in updated.items() if at is not None}
        return told

    def _log(self, tx: Tx) -> list[Change]:
        rows = [row for row in changes.page(tx, list(self.known), None, 10_000) if row.id > self.logged]
        rows.sort(key=lambda row: row.id)
        if rows:
            self.logged = rows[-1].id
        return [Change(row.contact_id, row.kind, {n: tuple(d) for n, d in row.details.items()}, ()) for row in rows]


_RECORDS = "SELECT id, source, external_id FROM records"
_CLAIMS = "SELECT type, key, record_id, is_owner, is_contested, role FROM claims"


def _shown(view: ContactView, owner_of: dict[tuple[str, str], Ref], now: datetime) -> tuple[Contact, Verdicts]:
    records = [row.record for row in view.records]
    lost = {row.ref for row in view.records if row.merged is not None}
    return of_product(
        name=view.contact.name,
        email=view.contact.email,
        phone=view.contact.phone_number,
        tags=view.contact.tags,
        identifiers=held(records, lost, owner_of.get, {row.ref for row in view.records}),
        holder=view.holder,
        permissions=view.permissions,
        now=now,
    )


def _fields(view: ContactView) -> dict[str, object]:
    names = ("name", "email", "phone_number", "external_source", "external_id", "tags")
    found = {name: value for name in names if (value := getattr(view.contact, name))}
    return found | view.contact.shown
