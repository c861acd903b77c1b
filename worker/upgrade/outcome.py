"""Outcome: what contacts were before a batch of an upgrade, what they are after it, and the difference, counted."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from worker import ids
from worker.domain.changeset import Changeset
from worker.domain.consent import ConsentEntry, SuppressionEntry
from worker.domain.permission import Key
from worker.domain.rows import RecordRow
from worker.domain.terms import Ref
from worker.pipeline import contact_view
from worker.pipeline.contact_view import ContactView
from worker.store import contacts, records
from worker.store.db import Tx
from worker.upgrade.kinship import Kin
from worker.upgrade.old_rules import OldContact, keys_of
from worker.upgrade.report import Report


@dataclass(slots=True)
class Outcome:
    """The contacts of a batch before it, and who they are after it."""

    before: dict[UUID, OldContact] = field(default_factory=dict)
    speaking: set[UUID] = field(default_factory=set)  #: contacts with records that the ledgers have statements by
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def of(cls, tx: Tx, found: Kin) -> "Outcome":
        """Look at the contacts of some records by the rules of before. Call it before anything is corrected."""
        members: dict[UUID, list[RecordRow]] = defaultdict(list)
        for row in found.rows.values():
            if row.contact_id is not None:
                members[row.contact_id].append(row)
        lost = _lost(tx, found)
        by_address: dict[str, list[ConsentEntry]] = defaultdict(list)
        by_ref: dict[Ref, list[ConsentEntry]] = defaultdict(list)
        suppressed: dict[str, list[SuppressionEntry]] = defaultdict(list)
        for entry in found.consents:
            (by_ref[entry.ref] if entry.address is None else by_address[entry.address]).append(entry)
        for suppression in found.suppressions:
            suppressed[suppression.address].append(suppression)
        speaking = {entry.ref for entry in found.consents}
        outcome = cls()
        for contact_id, contact in contacts.by_ids(tx, members.keys()).items():
            rows = members[contact_id]
            held = [one for row in rows for one in found.held.get(row.id, ())]
            keys = {one.claim.key for one in held}
            consents = [entry for key in keys for entry in by_address.get(key, ())]
            consents += [entry for row in rows for entry in by_ref.get(row.ref, ())]
            about = [entry for key in keys for entry in suppressed.get(key, ())]
            outcome.before[contact_id] = OldContact(contact, rows, held, consents, about, lost)
            if any(row.ref in speaking for row in rows):
                outcome.speaking.add(contact_id)
        return outcome

    def shown(self) -> dict[UUID, dict[str, str]]:
        """Return what contacts showed beside their fields, of those of whom it is not written down yet."""
        shown = {id_: one.shown() for id_, one in self.before.items() if not one.contact.shown}
        return {id_: states for id_, states in shown.items() if states}

    def add_to(self, report: Report, tx: Tx, people: Changeset, contact_of: Mapping[Ref, UUID | None]) -> None:
        """Count who parts, who meets, who goes, and to whom other things may be sent."""
        lost = people.resolution.lost
        after = {
            contact_id: {
                new
                for row in one.rows
                if row.record.is_live and row.record.kind != "edit" and row.ref not in lost
                if (new := contact_of[row.ref]) is not None
            }
            for contact_id, one in self.before.items()
        }
        came: dict[UUID, list[UUID]] = defaultdict(list)
        for contact_id, news in after.items():
            for new in news:
                came[new].append(contact_id)
        follows = {contact_id: _heir(people, contact_id) for contact_id in self.before}
        for contact_id, news in sorted(after.items()):
            if len(news) > 1:
                report.add("part", {"contact_id": _show(contact_id), "people": len(news)})
            if follows[contact_id] is None:
                report.add("go", _show(contact_id))
            together = sorted({other for new in news for other in came[new]})
            if len(together) > 1:
                report.add("meet", [_show(contact_id), *(_show(one) for one in together if one != contact_id)])
        self._add_sendable(report, tx, came, follows)
        report.contacts += len(self.before)

    def _add_sendable(
        self, report: Report, tx: Tx, came: Mapping[UUID, Collection[UUID]], follows: Mapping[UUID, UUID | None]
    ) -> None:
        views = self._views(tx, came)
        more: dict[UUID, set[Key]] = defaultdict(set)
        less: dict[UUID, set[Key]] = defaultdict(set)
        for new, olds in came.items():
            view = views.get(new)
            if view is None:
                continue
            found = view.permissions(self.now)
            keys = {key for old in olds for key in self.before[old].keys} | found.rulings.keys()
            keys |= keys_of((one.channel, one.scope) for one in found.suppressions)
            for key in sorted(keys):
                may = view.verdict(key, self.now).sendable
                for old in olds:
                    might = self.before[old].is_sendable(key, self.now)
                    if may and not might:
                        more[old].add(key)
                    elif might and not may and follows[old] == new:
                        less[old].add(key)
        for name, found_by in (("more", more), ("less", less)):
            for contact_id, keys in sorted(found_by.items()):
                on = [f"{channel}:{purpose}" for channel, purpose in sorted(keys)]
                report.add(name, {"contact_id": _show(contact_id), "on": on})

    def _views(self, tx: Tx, came: Mapping[UUID, Collection[UUID]]) -> dict[UUID, ContactView]:
        """Load the new contacts of which the ledgers tell anything, or may."""
        asked = {
            new
            for new, olds in came.items()
            if list(olds) != [new] or any(old in self.speaking or self.before[old].keys for old in olds)
        }
        found = contacts.by_ids(tx, asked) if asked else {}
        told = [
            contact
            for contact in found.values()
            if any(self.before[old].keys for old in came[contact.id])
            or any(name.startswith(("consent:", "suppression:")) for name in contact.shown)
        ]
        return {view.contact.id: view for view in contact_view.load(tx, told)} if told else {}


def _lost(tx: Tx, found: Kin) -> set[Ref]:
    """Return the records that their sources merged away, of those that made statements that this takes back."""
    lost = {row.ref for row in found.rows.values() if row.merged is not None}
    others = {entry.ref for entry in found.consents if entry.ref[1] and entry.status != "opted_out"} - found.rows.keys()
    return lost | {row.ref for row in records.by_refs(tx, others) if row.merged is not None} if others else lost


def _heir(people: Changeset, contact_id: UUID) -> UUID | None:
    """Return who answers to the id of a contact now; None: nobody."""
    change = people.changes.get(contact_id)
    if change is None or change.kind in ("created", "changed"):
        return contact_id
    return None if change.kind == "removed" else UUID(change.details["merged_into"][1])


def _show(contact_id: UUID) -> str:
    return ids.show(ids.CONTACT, contact_id)
