"""Stories: short histories for tests. Step n of a story arrives, and is sent, at minute 10 n, counted from 1."""

from tests.model.history import (
    ABSENT,
    NO,
    PENDING,
    UNKNOWN,
    YES,
    ApiConsent,
    ApiDelete,
    ApiEdit,
    Consent,
    Envelope,
    GuestOrder,
    Merged,
    Removed,
    Seen,
)
from tests.model.model import World
from tests.model.people import Limits

S, EU, W = "shopify", "shopify-eu", "woocommerce"
E1, E2, E3, MALLORY = (f"{name}@example.com" for name in ("ayu", "budi", "citra", "mallory"))
P1, P2, P3 = (f"+6281273509{n}00" for n in (1, 2, 3))


def story(*steps, sent=()):
    """Return the envelopes of a story; a step is one saying or several. ``sent`` corrects the clocks, by step."""
    envelopes = []
    for n, step in enumerate(steps, 1):
        says = step if isinstance(step, tuple) else (step,)
        envelopes.append(Envelope(f"e{n:03}", 10 * n, dict(sent).get(n, 10 * n), says))
    return envelopes


def world(*steps, sent=(), now=None, crowd=10, component=200):
    return World(story(*steps, sent=sent), now=now, limits=Limits(crowd, component))


def seen(source, id_, email=ABSENT, phone=ABSENT, name=ABSENT, t=None, created=None, verified=False):
    return Seen(source, id_, t, email, phone, name, created, verified)


def guest(source, t, email=None, phone=None, name=None):
    return GuestOrder(source, t, email, phone, name)


def removed(source, id_, t=None):
    return Removed(source, id_, t)


def merged(source, kept, lost, t=None):
    return Merged(source, kept, lost, t)


def consent_of(status):
    def state(source, who, address=None, t=None, channel="email", purpose="marketing"):
        return Consent(source, who, channel, status, t, address, purpose)

    return state


yes, no, pending, unknown = map(consent_of, (YES, NO, PENDING, UNKNOWN))


def edit(*records, email=ABSENT, phone=ABSENT, name=ABSENT, tags=()):
    return ApiEdit(records, email, phone, name, tags)


def api_consent(status, *records, address=None, channel="email", purpose="marketing", t=None):
    return ApiConsent(records, channel, status, (address,) if address else (), purpose, t)


def delete(*records, addresses=()):
    return ApiDelete(records, addresses)


def people(world):
    """Return the contacts as sets of ids, short enough to read: {"S1", "W2", "guest:email:…"}."""
    short = {S: "S", EU: "EU", W: "W", "api": "api "}
    return {frozenset(short[source] + id_ for source, id_ in contact) for contact in world.contacts}


def sendable(world, ref, channel="email", purpose="marketing"):
    """Return the address that a contact may be written to; None if none."""
    answer = world.answer(world.contact(ref), channel, purpose, world.now)
    return answer.address if answer.sendable else None
