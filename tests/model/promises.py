"""Promises: what must hold in every state, and in every step from one state to the next (the issue's Shows 3 and 4).

Each function returns complaints, so an empty list is good news. ``refusals`` asks the envelopes alone, so it judges the
product as well as the model; the others ask a ``World``.
"""

import itertools
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from tests.model.decisions import decide
from tests.model.history import NO, TYPE_OF_CHANNEL, YES, ApiConsent, Consent, Envelope, Ref, edit_of, is_guest
from tests.model.model import World
from tests.model.permission import Said
from tests.model.records import is_customer_of_a_source


def opened_by_accident(before: World, after: World) -> list[str]:
    """Find the addresses of contacts that a step turned from refused to open for marketing without a reason.

    The reasons are an opt-in for the address by one of the contact's records that is newer than every "no", a lift, or
    that the person was parted from the record that said "no" about something else.
    """
    found = []
    for contact in after.contacts:
        for former in before.contacts:
            if contact & former:
                for channel in TYPE_OF_CHANNEL:
                    both = set(after.addresses(contact, channel)) & set(before.addresses(former, channel))
                    for address in sorted(both):
                        if _may_send(after, contact, channel, address):
                            found += _unexplained(before, after, former, contact, channel, address)
    return found


def _may_send(world: World, contact: frozenset[Ref], channel: str, address: str) -> bool:
    until = world.ledger.suppressed_until(contact, channel, "marketing", address)
    is_free = until is not None and until <= world.now
    return is_free and world.ledger.is_open(contact, channel, "marketing", address)


def _unexplained(
    before: World, after: World, former: frozenset[Ref], contact: frozenset[Ref], channel: str, address: str
) -> Iterator[str]:
    yes = after.ledger.yes(contact, channel, "marketing", address)
    for no in before.ledger.unanswered(former, channel, "marketing", address):
        is_parted = no.ref in former and no.ref not in contact and no.address != address
        if not is_parted and not _is_answered(after, no, yes):
            yield f"{channel} to {address} of {sorted(contact)} was opened against {no}"
    lifts = {one for _, one in after.ledger.suppressions if one.lift}
    for time, one in before.ledger.suppressions:
        is_about = (one.channel, one.address) == (channel, address) and one.scope in ("all", "marketing")
        counts = is_about and not one.lift and (one.expires is None or one.expires > after.now)
        lifted = any((lift.channel, lift.address, lift.reason) == (channel, address, one.reason) for lift in lifts)
        if counts and not lifted and not any(opted_in.time > time for opted_in in yes if not opted_in.is_of_guest):
            yield f"{channel} to {address} of {sorted(contact)} was opened against {one}"


def _is_answered(after: World, no: Said, yes: Iterable[Said]) -> bool:
    """Whether an opt-in is newer than a "no".

    A "no" without a time of its own may meanwhile count from the earlier one that it repeats.
    """
    subject = (no.ref, no.address)
    times = [one.time for one in after.ledger.about(no.channel, no.purpose, NO) if (one.ref, one.address) == subject]
    return any(one.time > max(times, default=no.time) and (no.is_of_guest or not one.is_of_guest) for one in yes)


def refusals(
    envelopes: Iterable[Envelope], members: AbstractSet[Ref], channel: str, address: str
) -> list[Consent | ApiConsent]:
    """Return each "no" to marketing that concerns an address of a person and has no newer "yes" in the envelopes.

    ``members`` are all records of the contact, passengers included. Where this finds something, nothing may be sent.
    It is a coarse check, made without the ledger: a "no" without a time of its own counts from the earliest that its
    record said about the address, and any "yes" of a member with a time answers, whatever it repeats.
    """
    said = [
        (edit_of(saying.records), subject, saying, one)
        if isinstance(saying, ApiConsent)
        else ((saying.source, saying.who or ""), subject, saying, one)
        for one in envelopes
        for saying in one.says
        if isinstance(saying, Consent | ApiConsent) and (saying.channel, saying.purpose) == (channel, "marketing")
        for subject in (saying.subjects if isinstance(saying, ApiConsent) else (saying.address,))
    ]
    yes = [
        (one.time_of(saying.t), is_guest(ref))
        for ref, subject, saying, one in said
        if saying.status == YES and ref in members and subject in (None, address)
        if isinstance(saying, ApiConsent) or (saying.t is not None and not one.is_clamped(saying.t))
    ]
    found = []
    no = [(ref, subject, saying, one.time_of(saying.t)) for ref, subject, saying, one in said if saying.status == NO]
    for ref, subject, saying, own_time in no:
        if subject == address or (ref in members and not is_guest(ref)):
            same = [time for other, about, _, time in no if (other, about) == (ref, subject)]
            is_undated = isinstance(saying, Consent) and saying.t is None
            time = min(same) if is_undated else own_time
            if not any(at > time and (is_guest(ref) or not by_guest) for at, by_guest in yes):
                found.append(saying)
    return found


def open_against_a_no(world: World, envelopes: list[Envelope]) -> list[str]:
    """Find addresses that are open for marketing although somebody concerned said no, and nobody yes since."""
    return [
        f"{channel} to {address} of {sorted(contact)}: {refused}"
        for contact in world.contacts
        for channel in TYPE_OF_CHANNEL
        for address in world.addresses(contact, channel)
        if world.ledger.is_open(contact, channel, "marketing", address)
        and (refused := refusals(envelopes, contact, channel, address))
    ]


def disagreements(world: World) -> list[str]:
    """Find contacts whose consent and sendability contradict each other (Shows 4)."""
    found = []
    for contact, shown in world.contacts.items():
        for channel, purpose, answer in shown.consents:
            needs_yes = purpose == "marketing"
            may_send = answer.status == YES if needs_yes else answer.status != NO
            if answer.sendable != (may_send and answer.address is not None and not answer.is_suppressed):
                found.append(f"{sorted(contact)} {channel} {purpose}: {answer}")
    return found


def broken_groups(world: World) -> list[str]:
    """Find groups that break a rule of section 5 on their face."""
    people = world.people
    live = people.customers | people.guests
    by_decision = decide(world.records, world.decisions).groups
    found = [f"{ref} lives and is in no contact" for ref in live if world.contact(ref) is None]
    for group in people.decided.groups.all():
        if people.decided.must_stay_apart(group, group):
            found.append(f"{sorted(group)} holds two whom an operator keeps apart")
        customers = sorted(ref for ref in group & people.customers if is_customer_of_a_source(ref))
        for a, b in itertools.combinations(customers, 2):
            if a[0] == b[0] and by_decision.of[a] != by_decision.of[b]:
                found.append(f"{a} and {b} of one source are together, and nobody decided that")
    owned = people.claims.keys() - people.nobody
    return found + [f"no contact owns {ident}" for ident in owned if people.owner(ident) not in world.contacts]
