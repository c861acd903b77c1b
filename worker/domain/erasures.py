"""Erasures: what a request to be forgotten hides at once, and which addresses it suppresses. Pure.

What is stored stays until the erasure is carried out. Until then it counts for nothing that was said before the
request, so that no read shows it, and whatever comes late changes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from connectors.consent_terms import SuppressionReason
from connectors.contract import Account, ErasureRequested, Identifier
from worker.domain import identifiers
from worker.domain.folded import Folded
from worker.domain.rows import RecordRow
from worker.domain.snapshot import Snapshot
from worker.domain.statements import EnvelopeStatements, RemovalStatement, SuppressionStatement
from worker.domain.terms import GUEST, Ident, Ref, Stamp

REASON: SuppressionReason = "erasure_request"


class Erasure(NamedTuple):
    """What a request names."""

    records: Sequence[Ref] = ()
    addresses: Sequence[Ident] = ()
    unread: Sequence[str] = ()  #: types of the addresses that cannot be read


def asked_for(event: ErasureRequested, account: Account) -> Erasure:
    """Return the records that a request hides, and the addresses that it suppresses.

    A source speaks of its customer and of the guests with the customer's addresses. A request through the API names
    its records, and states suppressions of its own. A whole shop is hidden bit by bit (``worker/privacy/shops.py``).
    """
    if event.subject == "contact":
        return Erasure(tuple(event.customers))
    if event.subject == "shop":
        return Erasure()
    records: list[Ref] = [] if event.external_id is None else [(account.source, event.external_id)]
    addresses: list[Ident] = []
    unread = []
    for given in event.identifiers:
        read = _readings(given, account)
        if not read:
            unread.append(given.type)
        for kind, key in read:
            if identifiers.identifies_nobody(kind, key):
                continue
            addresses.append((kind, key))
            records.append((account.source, f"{GUEST}{kind}:{key}"))
            if kind == "phone":  # a guest's number with two readings (ADR 19)
                records.append((account.source, f"{GUEST}{kind}?:{key}"))
    return Erasure(records, addresses, unread)


def _readings(given: Identifier, account: Account) -> list[Ident]:
    found = identifiers.normal_form(given.type, given.value, account.region)
    return [] if found is None else [(given.type, found.key)]


def suppression(ident: Ident, speaker: Ref, stamp: Stamp) -> SuppressionStatement:
    """Return the statement that an address must not be used any more, on any channel."""
    return SuppressionStatement(
        channel=channel_of(ident),
        address=ident[1],
        scope="all",
        reason=REASON,
        is_lift=False,
        occurred=stamp.occurred,
        expires_at=None,
        ref=speaker,
    )


def channel_of(ident: Ident) -> str:
    """Return the channel of a suppression that is to hold wherever the address can be used."""
    if ident[0] in ("email", "phone"):
        return "all"
    return "whatsapp" if ident[0] == "whatsapp_bsuid" else ident[0]


def remark(unread: Sequence[str]) -> str | None:
    """Return what an operator has to do about addresses that cannot be read; it quotes nothing."""
    if not unread:
        return None
    return f"erasure: cannot read the {' and the '.join(unread)}: look into the envelope, and suppress it by hand"


def subjects(event: ErasureRequested) -> dict[str, Any] | None:
    """Return what a contact held when its erasure was asked for, as the request is stored."""
    if event.subject != "contact":
        return None
    claims = [
        (one.type, found.key)
        for one in event.identifiers
        if (found := identifiers.normal_form(one.type, one.value, None))
    ]
    return {"records": sorted(event.customers), "identifiers": sorted(claims)}


def newest(known: Mapping[str, Stamp], statements: Iterable[EnvelopeStatements]) -> dict[str, Stamp]:
    """Return the newest request of each source that is to be forgotten, of those known and those of a batch."""
    found = dict(known)
    for stated in statements:
        if stated.shop_erased is not None:
            found[stated.source] = max(stated.shop_erased, found.get(stated.source, stated.shop_erased))
    return found


def spread(statements: Iterable[EnvelopeStatements], erased: Mapping[str, Stamp]) -> None:
    """Let the records that statements are about meet the request that their whole source is to be forgotten.

    ``erased`` has the newest request of each such source. So nothing that comes late brings somebody back.
    """
    for stated in statements:
        for ref, about in stated.records.items():
            at = erased.get(ref[0])
            if at is not None and not any(type(one) is RemovalStatement and one.stamp == at for one in about):
                about.append(RemovalStatement(at, erases=True))
                stated.erased.append(ref)


def forgotten(snapshot: Snapshot) -> set[UUID]:
    """Return every id of the contacts that showed a record that a batch erases."""
    rows = snapshot.record_rows()
    # A record that repeats itself was erased before.
    erased = {ref for stated in snapshot.stated for ref in stated.erased} & snapshot.folded.ties_before.keys()
    contact_ids = {rows[ref].contact_id for ref in erased if ref in rows} - {None}
    own = {row.id for row in rows.values() if row.contact_id in contact_ids}
    carried = {id_ for id_, record_id in snapshot.aliases.items() if record_id in own}
    return {id_ for id_ in contact_ids if id_ is not None} | own | carried


def void_edits(folded: Folded, rows: Mapping[Ref, RecordRow]) -> dict[Ref, UUID]:
    """Let edits of those who are erased count for nothing from before; return the newly voided, with the envelopes.

    An edit is about records. While one of them has never been erased, the edit is that person's, and stays. Else what
    was entered before the last erasure is void.
    """
    voided: dict[Ref, UUID] = {}
    for ref, row in rows.items():
        if row.record.kind != "edit":
            continue
        about = [rows[one].record.erased if one in rows else None for one in row.record.about()]
        at = max((stamp for stamp in about if stamp is not None), default=None)
        if None in about:
            at = None
        if row.record.voided == at:
            continue
        if ref not in folded.ties_before:
            folded.rows[ref] = row
            folded.ties_before[ref] = row.record.ties()
        row.record.void(at)
        folded.changed.add(ref)
        if at is not None:
            voided[ref] = UUID(at.envelope_id)
    return voided
