"""Strategies: histories of two shops, WooCommerce, their guests and an operator, about few people.

A history is invented step by step, because an operator acts on what a contact shows at that moment. What a request of
the API freezes is taken from the model; afterwards the envelopes are a set like any other.
"""

from hypothesis import strategies as st

from tests.model.history import (
    ABSENT,
    API,
    NO,
    PENDING,
    PURPOSES,
    TYPE_OF_CHANNEL,
    UNKNOWN,
    YES,
    ApiConsent,
    ApiDelete,
    ApiEdit,
    Apart,
    Consent,
    Envelope,
    GuestOrder,
    Link,
    Merged,
    Removed,
    Seen,
    Suppression,
    TagsChanged,
    TagsRead,
    guest_id,
    is_edit,
)
from tests.model.model import World

SOURCES = ("shopify", "shopify-eu", "woocommerce")
IDS = ("1", "2", "3")
EMAILS = tuple(f"{name}@example.com" for name in ("ayu", "budi", "citra", "dewi"))
PHONES = tuple(f"+6281273509{n}00" for n in range(1, 5))
NAMES = ("Ayu Lestari", "A. Lestari", "Áyu Lestary", "Budi Santoso", "Citra", "-")
REASONS = ("unsubscribed", "hard_bounce", "spam_complaint", "stop_keyword")
#: how far a clock that is ahead is ahead, in minutes
AHEAD = 600

emails, phones, names = map(st.sampled_from, (EMAILS, PHONES, NAMES))
sources, ids = st.sampled_from(SOURCES), st.sampled_from(IDS)


def or_else(strategy, *others):
    return st.one_of(strategy, strategy, strategy, st.sampled_from(others))


@st.composite
def times(draw, now):
    """A time up to now, mostly close to it; sometimes none, or that of a clock ahead."""
    kind = draw(st.integers(0, 19))
    if kind < 2:
        return None
    return now + AHEAD if kind == 2 else max(1, now - draw(st.integers(0, 12)))


@st.composite
def consents(draw, source, t):
    channel = draw(st.sampled_from(("email", "email", "sms", "whatsapp")))
    values = emails if TYPE_OF_CHANNEL[channel] == "email" else phones
    who = draw(st.one_of(ids, ids, ids, st.builds(guest_id, emails, st.none()), st.none()))
    # A statement about nobody is about an address.
    address = draw(values if who is None else or_else(values, None))
    status = draw(st.sampled_from((YES, YES, NO, NO, PENDING, UNKNOWN)))
    return Consent(source, who, channel, status, t, address, draw(st.sampled_from(("marketing", *PURPOSES))))


@st.composite
def suppressions(draw, source, t, now):
    channel = draw(st.sampled_from(("email", "sms")))
    return Suppression(
        source,
        channel,
        draw(emails if channel == "email" else phones),
        draw(st.sampled_from(REASONS)),
        t,
        lift=draw(st.sampled_from((False, False, True))),
        expires=draw(st.sampled_from((None, None, now + 3))),
        scope=draw(st.sampled_from(("all", "all", "marketing", "transactional"))),
    )


@st.composite
def sayings(draw, now, sent):
    """What a source says."""
    source, id_ = draw(sources), draw(ids)
    t = draw(times(now))
    kind = draw(st.integers(0, 19))
    if kind < 8:
        values = [draw(or_else(values, ABSENT, None)) for values in (emails, phones, names)]
        return Seen(source, id_, t, *values, created=draw(or_else(st.integers(1, 9), None)), verified=draw(st.booleans()))
    if kind < 11:
        email, phone = draw(st.tuples(or_else(emails, None), or_else(phones, None)).filter(any))
        return GuestOrder(source, t or now, email, phone, draw(or_else(names, None)))
    if kind < 15:
        return draw(consents(source, t))
    if kind == 15:
        return draw(suppressions(source, t, now))
    if kind == 16:
        return Removed(source, id_, t)
    if kind == 17:
        return Merged(source, id_, draw(ids), t)
    tags = tuple(draw(st.lists(st.sampled_from(("vip", "new")), unique=True, min_size=1)))
    return TagsChanged(source, id_, tags, draw(st.booleans()), t) if kind == 18 else TagsRead(source, id_, tags, t)


def records_frozen_of(world, contact):
    """Return the records of a contact in the order in which a request freezes them, edits aside."""
    best = world.best(contact)
    return tuple([*best, *sorted(ref for ref in contact - set(best) if not is_edit(ref))])


def addresses_frozen_of(world, contact):
    """Return the addresses that only this contact holds: those that it owns and nobody contests."""
    people = world.people
    return tuple(
        sorted(
            ident
            for ident in people.held_by(contact) - people.contested()
            if people.owner(ident) == contact
        )
    )


@st.composite
def api_writes(draw, world):
    """What an operator does to a contact of the present state."""
    contact = draw(st.sampled_from(list(world.contacts)))
    records = records_frozen_of(world, contact)
    kind = draw(st.integers(0, 9))
    if kind < 3:
        email, phone, name = (draw(or_else(st.sampled_from((*values, ABSENT)), None)) for values in (EMAILS, PHONES, NAMES))
        return ApiEdit(records, email, phone, name, draw(st.sampled_from(((), ("vip",)))))
    if kind < 6:
        channel = draw(st.sampled_from(("email", "sms")))
        address = getattr(world.contacts[contact], TYPE_OF_CHANNEL[channel])
        t = draw(st.sampled_from((None, None, max(1, world.now - 5))))
        return ApiConsent(records, channel, draw(st.sampled_from((YES, NO, PENDING))), address, draw(st.sampled_from(PURPOSES)), t)
    if kind == 6:
        return draw(suppressions(API, None, world.now))
    if kind == 7:
        return ApiDelete(tuple(sorted(contact)), addresses_frozen_of(world, contact))
    others = [other for other in world.contacts if other != contact]
    if kind == 8 and others:
        return Link(records[0], world.best(draw(st.sampled_from(others)))[0])
    if len(records) > 1:
        return Apart(records[0], draw(st.sampled_from(records[1:])))
    return ApiEdit(records, tags=("new",))


@st.composite
def histories(draw, max_steps=12):
    """A list of envelopes in the order of arrival; some of them come again."""
    envelopes = []
    now = 20
    for n in range(draw(st.integers(1, max_steps))):
        now += draw(st.integers(1, 4))
        kind = draw(st.integers(0, 19))
        if kind == 0 and envelopes:
            envelopes.append(draw(st.sampled_from(envelopes)))
            continue
        world = World(envelopes) if kind < 6 else None
        if world is not None and world.contacts:
            saying = draw(api_writes(world))
            # A request counts after all that is known, as the API takes care of; never beyond its own ceiling.
            sent = max([now, *(1 + stamp.time for record in world.records.values() for stamp in record.seen)])
            envelopes.append(Envelope(f"e{n:02}", now, sent, (saying,)))
            continue
        sent = draw(st.sampled_from((now, now, now, now - 1, None, now + AHEAD)))
        says = draw(st.lists(sayings(now, sent), min_size=1, max_size=2))
        envelopes.append(Envelope(f"e{n:02}", now, sent, tuple(says)))
    return envelopes
