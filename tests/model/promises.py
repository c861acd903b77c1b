"""Promises: what must hold in every state, and in every step from one state to the next (the issue's Shows 3 and 4).

Each function returns complaints, so an empty list is good news. They ask a ``World`` only, so they hold the model to
account; the product is held to the model.
"""

from collections.abc import Iterable, Iterator

from tests.model.history import NO, TYPE_OF_CHANNEL, YES, Ref, is_guest
from tests.model.model import World
from tests.model.permission import Said


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
        is_parted = no.ref in former and no.ref not in contact and address not in no.covers
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
    people, found = world.people, []
    for ref in people.customers | people.guests:
        if world.contact(ref) is None:
            found.append(f"{ref} lives and is in no contact")
    for group in people.decided.groups.all():
        if people.decided.must_stay_apart(group, group):
            found.append(f"{sorted(group)} holds two whom an operator keeps apart")
        if group not in world.contacts and any(is_guest(ref) and world.records[ref].lives() for ref in group):
            found.append(f"{sorted(group)} is no contact, though a guest lives in it")
    for ident in people.claims:
        if ident not in people.nobody and people.owner(ident) not in world.contacts:
            found.append(f"{ident} is claimed, and no contact owns it")
    return found
