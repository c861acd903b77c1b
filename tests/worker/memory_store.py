"""A store in memory for tests of the changeset. It makes the same checks on a write that Postgres makes."""

import itertools
from collections import defaultdict
from uuid import UUID

import orjson

from worker import ids
from worker.domain import record_state
from worker.domain.changeset import Encoder, changeset
from worker.domain.concerned import concerned
from worker.domain.folded import fold_batch
from worker.domain.grouping import Limits
from worker.domain.identifiers import of_address
from worker.domain.keyed_consents import keyed_consents
from worker.domain.ledger import Ledgers, as_entry, as_suppression, ledger_changes
from worker.domain.rows import ContactRow, RecordRow
from worker.domain.snapshot import Snapshot
from worker.domain.terms import kind_of

#: keeps rows readable for the tests; the encoders of the real store have tests of their own
PLAIN = Encoder(
    record=lambda record: orjson.dumps(record_state.encode(record)),
    contact=lambda id_, shown, first_id: (
        id_,
        shown.name,
        shown.email,
        shown.phone_number,
        shown.external_source,
        shown.external_id,
        dict(shown.custom_fields),
        list(shown.tags),
        first_id,
    ),
    terms=lambda name, tags: (name, list(tags)),
    details=lambda details: orjson.dumps(details, option=orjson.OPT_NON_STR_KEYS),
)


class MemoryStore:
    """Rows by their keys. An insert fails if the row exists, and an update fails if it does not."""

    def __init__(self, limits=Limits(crowd=10, component=200)):  # noqa: B008 - a tuple
        self.limits = limits
        self.records = {}  # by ref: (id, kind, state, version, placement)
        self.claims = {}
        self.contacts = {}
        self.terms = {}
        self.decisions = {}
        self.links = set()
        self.consents = {}
        self.suppressions = {}
        self.notes = {}
        self.aliases = {}
        self.shown = {}
        self.log = []
        self._ids = itertools.count(1)

    def new_id(self):
        """Return an id that is greater than every id before it."""
        return UUID(int=next(self._ids) << 64)

    def apply(self, statements):
        """Write a batch of statements; return what was written as (changeset, ledger changes)."""
        snapshot = self._load(statements)
        people = changeset(snapshot, PLAIN)
        about = concerned(people)
        ledger = ledger_changes(
            people,
            about,
            self._ledgers(about),
            contact_of=people.contact_of(),
            connection_of=defaultdict(lambda: UUID(int=0)),
            name_note=lambda envelope_id, position: (ids.within(envelope_id, position), "note"),
        )
        self._write(people, ledger)
        return people, ledger

    def _load(self, statements):
        about = {ref for stated in statements for ref in stated.records}
        rows = {ref: self._row(ref) for ref in self.records}
        folded = fold_batch([row for ref, row in rows.items() if ref in about], statements, self.new_id)
        rows |= folded.rows
        snapshot = Snapshot(folded, self.limits, self.new_id, stated=statements)
        news = {one.key: one for one in reversed(keyed_consents(statements)) if one.key not in self.consents}
        snapshot.news = list(news.values())
        suppressed = [one for stated in statements for one in stated.suppressions]
        addressed = {
            of_address(one.channel, one.address)
            for one in (*(new.consent for new in snapshot.news), *suppressed)
            if one.address
        }
        start = set(folded.ties_before) | {new.consent.ref for new in snapshot.news if new.consent.ref[1]}
        start |= {ref for ref, row in rows.items() if row.record.ties().keys() & addressed}
        snapshot.rows = {ref: rows[ref] for ref in self._connected(rows, folded, statements, start)}
        idents = {ident for known in folded.ties_before.values() for ident in known} | addressed
        idents |= {ident for row in snapshot.rows.values() for ident in row.record.ties()}
        for ident in idents:
            snapshot.claimed[ident] = sorted(claim for claim in self.claims.values() if claim.ident == ident)
        decided = [new.decision for new in self.decisions.values()]
        snapshot.decisions = {one for one in decided if {one.a, one.b} & snapshot.rows.keys()}
        snapshot.contacts = {id_: ContactRow(*values, self.shown[id_]) for id_, values in self.contacts.items()}
        snapshot.aliases = dict(self.aliases)
        return snapshot

    def _connected(self, rows, folded, statements, start):
        """Find every record that decisions, edits or identifiers, dropped ones too, connect to those to start from."""
        ties = [{new.decision.a, new.decision.b} for new in self.decisions.values()]
        ties += [{decision.a, decision.b} for stated in statements for decision in stated.decisions]
        ties += [{ref, about} for ref, row in rows.items() for about in row.record.about() if about in rows]
        claimants = defaultdict(set)
        for ref, row in rows.items():
            for ident in row.record.ties():
                claimants[ident].add(ref)
        for ref, known in folded.ties_before.items():
            for ident in known:
                claimants[ident].add(ref)
        ties += claimants.values()
        found = set(start)
        while more := {ref for tie in ties if tie & found for ref in tie} - found:
            found |= more
        return found & rows.keys()

    def _row(self, ref):
        id_, kind, state, version, placement = self.records[ref]
        assert kind == kind_of(ref)
        return RecordRow(id_, record_state.decode(*ref, kind, orjson.loads(state)), version, *placement)

    def _ledgers(self, about):
        consents = [as_entry(one) for one in self.consents.values()]
        return Ledgers(
            [e for e in consents if e.address in about.addresses or e.ref in about.refs],
            [as_suppression(one, UUID(int=0)) for one in self.suppressions if one.address in about.addresses],
            set(self.notes),
        )

    def _write(self, people, ledger):
        self._write_people(people)
        self._write_ledger(ledger)
        self._check()

    def _write_people(self, people):
        for new in people.decisions:
            d = new.decision
            _insert_new(self.decisions, (d.kind, d.a, d.b, d.tie), new)
        self._write_contacts(people)
        for write in people.updated_records:
            row = write.row
            assert self.records[row.ref][3] == row.version, "a record is written once a batch"
            self.records[row.ref] = (row.id, row.record.kind, write.state, row.version + 1, write.placement)
        for write in people.new_records:
            row = write.row
            _insert_new(self.records, row.ref, (row.id, row.record.kind, write.state, 1, write.placement))
        self._write_claims(people)
        self.aliases |= people.ids.aliases
        self.links |= set(people.links)

    def _write_contacts(self, people):
        for id_ in people.deleted_contacts:
            self.contacts.pop(id_)
            self.shown.pop(id_)
        for values in people.updated_contacts:
            _update(self.contacts, values[0], values)
        for values in people.new_contacts:
            _insert_new(self.contacts, values[0], values)
            self.shown[values[0]] = {}
        for change in people.terms:
            if change.after is None:
                self.terms.pop(change.contact_id)
            else:
                self.terms[change.contact_id] = change.after
        for id_, terms in people.new_terms:
            _insert_new(self.terms, id_, terms)

    def _write_claims(self, people):
        for claim in people.deleted_claims:
            self.claims.pop((claim.ident, claim.record_id))
        for claim in people.disowned_claims:
            key = (claim.ident, claim.record_id)
            _update(self.claims, key, self.claims[key]._replace(is_owner=False))
        for claim in people.claims:
            self.claims[claim.ident, claim.record_id] = claim
            owners = [one for (ident, _), one in self.claims.items() if ident == claim.ident and one.is_owner]
            assert len(owners) <= 1, "an identifier loses its owner before it gets another"
        for claim in people.new_claims:
            _insert_new(self.claims, (claim.ident, claim.record_id), claim)

    def _write_ledger(self, ledger):
        for statement, _ in ledger.suppressions:
            self.suppressions.setdefault(statement, statement)
        for one in ledger.new_consents:
            _insert_new(self.consents, one.key, one)
        for note in ledger.notes:
            self.notes.setdefault(note.id, note.note)
        for id_, shown in (ledger.shown | ledger.shown_only).items():
            _update(self.shown, id_, shown)
        self.log += ledger.log

    def _check(self):
        """Check what the constraints of the tables demand, and what everybody who loads from them relies on."""
        owners = [claim.ident for claim in self.claims.values() if claim.is_owner]
        assert len(owners) == len(set(owners)), "an identifier has one owner"
        placed = {values[4].contact_id for values in self.records.values()} - {None}
        assert placed == self.contacts.keys() == self.terms.keys(), (
            "a contact exists if and only if a record belongs to it"
        )
        for id_, values in self.contacts.items():
            assert self.terms[id_] == (values[1], values[7]), (
                "the search terms of a contact come from the name and the tags that it shows"
            )

    def state(self):
        """Return all that must not depend on order, batches or repeats, with customers in the place of our ids."""
        ref_of = {values[0]: ref for ref, values in self.records.items()}
        groups = defaultdict(set)
        records = {}
        for ref, (_, kind, state, _, placement) in self.records.items():
            groups[placement.contact_id].add(ref)
            records[ref] = (kind, orjson.loads(state), placement.merged, placement.is_oversize)
        contacts = [[*v[1:6], sorted(v[6].items()), v[7], self.shown[v[0]]] for v in self.contacts.values()]
        return {
            "records": records,
            "groups": {frozenset(group) for id_, group in groups.items() if id_ is not None},
            "claims": {claim._replace(record_id=ref_of[claim.record_id]) for claim in self.claims.values()},
            "contacts": sorted(contacts, key=str),
            "decisions": {new.decision for new in self.decisions.values()},
            "consents": set(self.consents),
            "suppressions": set(self.suppressions),
            "notes": sorted(map(str, self.notes.values())),
            "links": {(envelope_id, ref_of[record_id]) for envelope_id, record_id in self.links},
        }


def _insert_new(table, key, row):
    assert key not in table, f"{key} is stored already"
    table[key] = row


def _update(table, key, row):
    assert key in table, f"{key} is not stored"
    table[key] = row
