"""The rules of release 0.1 about consent, frozen: what a contact showed, and whether a message could be sent to it.

An upgrade compares with them, so that it tells the feed and the change log of what is otherwise now, and of nothing
else. They are used for nothing else, and go when upgrades from 0.1 are no longer supported.

For each address the newest statement counted, by whomever; a contact showed the most restrictive of its addresses.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from worker.domain.concerned import shown_identifiers
from worker.domain.consent import LIFTED_BY_OPT_IN, RESTRICTIVENESS, ConsentEntry, SuppressionEntry
from worker.domain.identifiers import of_address
from worker.domain.permission import Key, types_of
from worker.domain.rows import ContactRow, RecordRow
from worker.domain.terms import EVIDENCE, Ident, Ref, key_of_guest
from worker.store.claims import HeldRow


@dataclass(frozen=True, slots=True)
class _Suppression:
    channel: str
    address: str
    scope: str
    reason: str
    is_lifted: bool
    expires_at: datetime | None

    def is_active(self, now: datetime) -> bool:
        return not self.is_lifted and (self.expires_at is None or self.expires_at > now)


class OldContact:
    """A contact as release 0.1 saw it."""

    def __init__(
        self,
        contact: ContactRow,
        rows: Sequence[RecordRow],
        held: Sequence[HeldRow],
        consents: Iterable[ConsentEntry],
        suppressions: Iterable[SuppressionEntry],
        lost: Collection[Ref],
    ) -> None:
        """Take the contact's records and their claims, what the ledgers say of both, and who was merged away."""
        self.contact = contact
        # A removed record was in no contact then. If it is, the contact has been brought to today's rules before.
        self.rows = [row for row in rows if row.record.removed is None or row.record.is_live or row.merged is not None]
        self._refs = {row.ref: row.id for row in self.rows}
        own = set(self._refs.values())
        self.held = [one for one in held if one.claim.role <= EVIDENCE and one.claim.record_id in own]
        idents = {one.claim.ident for one in self.held}
        self._lost = lost
        stated = [
            entry
            for entry in consents
            if (entry.ref in self._refs if entry.address is None else _is_held(entry.channel, entry.address, idents))
        ]
        self._stated = stated
        self._suppressed = [entry for entry in suppressions if _is_held(entry.channel, entry.address, idents)]
        self._consents = self._shown_consents()
        self._suppressions = self._added_up()

    @property
    def keys(self) -> set[Key]:
        """Each (channel, purpose) on which anything was said."""
        return set(self._consents) | keys_of((one.channel, one.scope) for one in self._suppressions)

    def shown(self) -> dict[str, str]:
        """Return what the contact showed beside its fields, by the names of the change log."""
        shown = self._identities()
        for (channel, purpose), entry in self._consents.items():
            shown[f"consent:{channel}:{purpose}"] = entry.status
        for one in self._suppressions:
            name = f"suppression:{one.channel}:{one.reason}:{one.scope}"
            if not one.is_lifted or name not in shown:
                shown[name] = "lifted" if one.is_lifted else "active"
        return shown

    def is_sendable(self, key: Key, now: datetime) -> bool:
        """Whether a message could be sent on a (channel, purpose)."""
        channel, purpose = key
        address = self._address(channel)
        if address is None:
            return False
        for one in self._suppressions:
            is_meant = one.scope == "all" or (one.scope == "marketing") == (purpose == "marketing")
            if one.address == address and one.channel in (channel, "all") and is_meant and one.is_active(now):
                return False
        said = self._consents.get(key)
        if purpose != "marketing":
            return said is None or said.status != "opted_out"
        is_open = said is not None and said.status == "opted_in"
        return is_open and (said is None or said.expires_at is None or said.expires_at > now)

    def _address(self, channel: str) -> str | None:
        kinds = types_of(channel)
        primaries = shown_identifiers(self.contact.email, self.contact.phone_number)
        by_id = {row_id: ref for ref, row_id in self._refs.items()}
        found = [
            (kinds.index(c.type), c.ident not in primaries, one.owner != by_id[c.record_id], c.key)
            for one in self.held
            if (c := one.claim).type in kinds
        ]
        return min(found)[-1] if found else None

    def _shown_consents(self) -> dict[Key, ConsentEntry]:
        counting: dict[tuple[str, str, str | Ref], ConsentEntry] = {}
        for entry in self._stated:
            subject = (entry.channel, entry.purpose, entry.address or entry.ref)
            known = counting.get(subject)
            if known is None or self._strength(entry) > self._strength(known):
                counting[subject] = entry
        shown: dict[Key, ConsentEntry] = {}
        for (channel, purpose, _), entry in counting.items():
            first = shown.get((channel, purpose))
            if first is None or self._restriction(entry) > self._restriction(first):
                shown[channel, purpose] = entry
        return shown

    def _strength(self, entry: ConsentEntry) -> tuple[object, ...]:
        is_empty = entry.ref in self._lost and entry.status != "opted_out"
        occurred = 0 if is_empty else entry.occurred
        rest = (entry.origin or "", entry.legal_basis or "", str(entry.expires_at))
        evidence = sorted(entry.evidence.items())
        rank = (entry.status != "unknown", occurred, RESTRICTIVENESS[entry.status])
        return (*rank, entry.occurred, entry.ref, entry.method or "", evidence, rest)

    def _restriction(self, entry: ConsentEntry) -> tuple[object, ...]:
        return (RESTRICTIVENESS[entry.status], self._strength(entry), entry.address or "")

    def _added_up(self) -> list[_Suppression]:
        opted_in: dict[tuple[str, str, str], int] = defaultdict(int)
        for consent in self._stated:
            if consent.status == "opted_in" and consent.address and consent.ref not in self._lost:
                key = (consent.channel, consent.address, consent.purpose)
                opted_in[key] = max(opted_in[key], consent.occurred)
        grouped: dict[tuple[str, str, str, str], list[SuppressionEntry]] = defaultdict(list)
        for entry in self._suppressed:
            grouped[entry.channel, entry.address, entry.scope, entry.reason].append(entry)
        found = []
        for (channel, address, scope, reason), group in sorted(grouped.items()):
            begun = sorted((s for s in group if not s.is_lift), key=_by_time)
            if not begun:
                continue
            lift = max((s.occurred for s in group if s.is_lift), default=0)
            if reason in LIFTED_BY_OPT_IN:
                purpose = "transactional" if scope == "transactional" else "marketing"
                lift = max(lift, opted_in[channel, address, purpose])
            last = begun[-1]
            found.append(_Suppression(channel, address, scope, reason, lift > last.occurred, last.expires_at))
        return found

    def _identities(self) -> dict[str, str]:
        primaries = shown_identifiers(self.contact.email, self.contact.phone_number)
        shown: dict[str, str] = {}
        keys = {row.id: key_of_guest(row.ref) for row in self.rows if row.record.kind == "guest"}
        for claim, owner in self.held:
            state = "owned" if owner in self._refs else "unowned"
            if state == "unowned" and keys.get(claim.record_id, claim.ident) != claim.ident:
                continue  # a guest gave it beside its key: today it proves nothing, and is not told
            if state == "owned" and claim.is_contested:
                state = "contested"
            if state != "owned" or claim.ident not in primaries:
                shown[f"identity:{claim.type}:{claim.key}"] = state
        lead = (self.contact.external_source, self.contact.external_id)
        for row in self.rows:
            if row.record.kind == "customer" and row.ref != lead:
                shown[f"identity:external_id:{row.record.source}:{row.record.external_id}"] = "owned"
        return shown


def keys_of(suppressed: Iterable[tuple[str, str]]) -> set[Key]:
    """Return each (channel, purpose) on which suppressions, given as (channel, scope), may keep a message back."""
    return {
        (one, purpose)
        for channel, scope in suppressed
        for one in (("email", "sms", "whatsapp") if channel == "all" else (channel,))
        for purpose in ("marketing", "transactional")
        if scope in ("all", purpose)
    }


def _is_held(channel: str, address: str, held: Collection[Ident]) -> bool:
    return of_address(channel, address) in held or (channel, address) in held


def _by_time(s: SuppressionEntry) -> tuple[object, ...]:
    return (s.occurred, s.ref, str(s.expires_at), s.origin or "", s.note or "")
