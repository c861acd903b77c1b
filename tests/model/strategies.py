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
    Apart,
    ApiConsent,
    ApiDelete,
    ApiEdit,
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
EMAILS = tuple(f"{name}@example.com" for name in ("ayu", "budi", "citra", "dewi"))
PHONES = tuple(f"+6281273509{n}00" for n in range(1, 5))
NAMES = ("Ayu Lestari", "A. Lestari", "Áyu Lestary", "Budi Santoso", "Citra", "-")
REASONS = ("unsubscribed", "hard_bounce", "spam_complaint", "stop_keyword")
#: how far a clock that is ahead is ahead, in minutes
AHEAD = 600

names, sources = st.sampled_from(NAMES), st.sampled_from(SOURCES)
statuses = st.sampled_from((YES, YES, YES, NO, NO, PENDING, UNKNOWN))
purposes = st.sampled_from(("marketing",) * 4 + PURPOSES)
channels = st.sampled_from(("email", "email", "email", "email", "sms", "whatsapp"))


class Cast:
    """Who plays in a history. A small cast meets and contradicts itself more often."""

    def __init__(self, size):
        self.emails, self.phones = st.sampled_from(EMAILS[:size]), st.sampled_from(PHONES[:size])
        self.ids = st.sampled_from(("1", "2", "3")[: size - 1])

    def addresses(self, channel):
        return self.emails if TYPE_OF_CHANNEL[channel] == "email" else self.phones


casts = st.builds(Cast, st.sampled_from((2, 2, 3, 4)))


def or_else(strategy, *others):
    return st.one_of(strategy, strategy, strategy, st.sampled_from(others))


@st.composite
def times(draw, now):
    """A time up to now, mostly close to it; sometimes none, or that of a clock ahead."""
    kind = draw(st.integers(0, 19))
    if kind < 2:
        return None
    return now + AHEAD if kind == 2 else max(1, now - draw(st.sampled_from((0, 0, 1, 2, 5, 12))))


@st.composite
def profiles(draw, cast, source, now):
    """A customer, in part or whole, often with what the customer decided about the address shown."""
    email, phone, name = (draw(or_else(values, ABSENT, None)) for values in (cast.emails, cast.phones, names))
    created, is_verified = draw(or_else(st.integers(1, 9), None)), draw(st.booleans())
    profile = Seen(source, draw(cast.ids), draw(times(now)), email, phone, name, created, is_verified)
    if not draw(st.booleans()):
        return [profile]
    channel = draw(channels)
    address = draw(st.sampled_from(((email if TYPE_OF_CHANNEL[channel] == "email" else phone) or None, None)))
    t = draw(times(now))
    return [profile, Consent(source, profile.id, channel, draw(statuses), t, address, draw(purposes))]


@st.composite
def orders(draw, cast, source, now):
    """A guest's order, often with a tick about the address that the guest typed."""
    email, phone = draw(st.tuples(or_else(cast.emails, None), or_else(cast.phones, None)).filter(any))
    order = GuestOrder(source, draw(times(now)) or now, email, phone, draw(or_else(names, None)))
    if not draw(st.booleans()):
        return [order]
    channel = "email" if email else "sms"
    return [order, Consent(source, order.id, channel, draw(statuses), order.t, email or phone)]


@st.composite
def consents(draw, cast, source, now):
    """A consent alone: of a customer, a guest, or nobody, about any address or none."""
    channel = draw(channels)
    values = cast.addresses(channel)
    who = draw(st.one_of(cast.ids, cast.ids, cast.ids, st.builds(guest_id, cast.emails, st.none()), st.none()))
    # A statement about nobody is about an address.
    address = draw(values if who is None else or_else(values, None))
    return [Consent(source, who, channel, draw(statuses), draw(times(now)), address, draw(purposes))]


@st.composite
def suppressions(draw, cast, source, now, t):
    channel = draw(st.sampled_from(("email", "sms")))
    return Suppression(
        source,
        channel,
        draw(cast.addresses(channel)),
        draw(st.sampled_from(REASONS)),
        t,
        lift=draw(st.sampled_from((False, False, True))),
        expires=draw(st.sampled_from((None, None, now + 3))),
        scope=draw(st.sampled_from(("all", "all", "marketing", "transactional"))),
    )


@st.composite
def tags(draw, cast, source, t):
    id_, names_ = draw(cast.ids), tuple(draw(st.lists(st.sampled_from(("vip", "new")), unique=True, min_size=1)))
    is_change, is_put_on = draw(st.booleans()), draw(st.booleans())
    return TagsChanged(source, id_, names_, is_put_on, t) if is_change else TagsRead(source, id_, names_, t)


@st.composite
def sayings(draw, cast, source, now):  # noqa: PLR0911 - one case a kind
    """What a source says in one envelope."""
    kind = draw(st.integers(0, 19))
    if kind < 8:
        return draw(profiles(cast, source, now))
    if kind < 11:
        return draw(orders(cast, source, now))
    if kind < 15:
        return draw(consents(cast, source, now))
    t = draw(times(now))
    if kind == 15:
        return [draw(suppressions(cast, source, now, t))]
    if kind == 16:
        return [Removed(source, draw(cast.ids), t)]
    if kind < 19:
        return [Merged(source, draw(cast.ids), draw(cast.ids), t)]
    return [draw(tags(cast, source, t))]


def records_frozen_of(world, contact):
    """Return the records of a contact in the order in which a request freezes them, edits aside."""
    best = world.best(contact)
    return (*best, *sorted(ref for ref in contact - set(best) if not is_edit(ref)))


def addresses_frozen_of(world, contact):
    """Return the addresses that the contact owns and that no other contact claims."""
    people = world.people
    return tuple(
        sorted(ident for ident in people.held_by(contact) - people.contested() if people.owner(ident) == contact)
    )


@st.composite
def api_writes(draw, cast, world, with_addresses):
    """What an operator does to a contact of the present state."""
    contact = draw(st.sampled_from(list(world.contacts)))
    records = records_frozen_of(world, contact)
    kind = draw(st.integers(0, 11))
    if kind < 3:
        values = [draw(or_else(st.sampled_from((*some, ABSENT)), None)) for some in (EMAILS, PHONES, NAMES)]
        return ApiEdit(records, *values, draw(st.sampled_from(((), ("vip",)))))
    if kind < 6:
        channel = draw(st.sampled_from(("email", "sms")))
        t = draw(st.sampled_from((None, None, max(1, world.now - 5))))
        return ApiConsent(records, channel, draw(statuses), tuple(world.addresses(contact, channel)), draw(purposes), t)
    if kind == 6:
        return draw(suppressions(cast, API, world.now, None))
    if kind == 7:
        return ApiDelete(tuple(sorted(contact)), addresses_frozen_of(world, contact) if with_addresses else ())
    if kind == 8:
        return Seen(
            API,
            draw(cast.ids),
            None,
            draw(cast.emails),
            draw(or_else(cast.phones, ABSENT)),
            draw(or_else(names, ABSENT)),
        )
    decide = draw(st.sampled_from((Link, Apart)))
    others = [ref for ref in world.records if not is_edit(ref) and ref != records[0]]
    return decide(records[0], draw(st.sampled_from(others))) if others else ApiEdit(records, tags=("new",))


@st.composite
def changes_of_mind(draw, world):
    """A person says yes or no, at one of the sources that know the person, about an address that the contact holds."""
    contact = draw(st.sampled_from(list(world.contacts)))
    source, who = draw(st.sampled_from(sorted(ref for ref in contact if ref[0] != API) or [(SOURCES[0], "1")]))
    channel = draw(channels)
    address = draw(st.sampled_from((*world.addresses(contact, channel), None)))
    return Consent(source, who, channel, draw(st.sampled_from((YES, NO))), world.now, address, draw(purposes))


@st.composite
def histories(draw, max_steps=12, *, min_steps=1, with_addresses=False):
    """A list of envelopes in the order of arrival; some of them come again.

    ``with_addresses``: a delete is also about the addresses of the contact.
    """
    envelopes, cast, now = [], draw(casts), 20
    for n in range(draw(st.integers(min_steps, max_steps))):
        now += draw(st.integers(1, 4))
        kind = draw(st.integers(0, 19))
        world = World(envelopes) if 0 < kind < 9 else None
        if kind == 0 and envelopes:
            envelopes.append(draw(st.sampled_from(envelopes)))
        elif kind > 5 and world is not None and world.contacts:
            envelopes.append(Envelope(f"e{n:02}", now, now, (draw(changes_of_mind(world)),)))
        elif world is not None and world.contacts:
            # A request counts after all that is known, as the API takes care of; never beyond its own ceiling.
            sent = max([now, *(1 + stamp.time for record in world.records.values() for stamp in record.seen)])
            envelopes.append(Envelope(f"e{n:02}", now, sent, (draw(api_writes(cast, world, with_addresses)),)))
        else:
            sent = draw(st.sampled_from((*[now] * 7, now - 1, None, now + AHEAD)))
            envelopes.append(Envelope(f"e{n:02}", now, sent, tuple(draw(sayings(cast, draw(sources), now)))))
    return envelopes
