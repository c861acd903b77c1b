"""Histories: invented statements of three sources about a few people, to be combined in every way."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from connectors.contract import Identifier, ProfileRemoved, ProfileSeen, ProfilesMerged, TagsAdded
from worker import ids
from worker.domain.normalise import ceiling_of, normalise_api_write
from worker.domain.terms import Decision

T0 = datetime(2026, 10, 1, tzinfo=UTC)


PHONES = [f"+62812735091{n}0" for n in range(4)]


NAMES = ["Ayu Sari", "Sari", "Budi Hartono", None]


EMAILS = [f"{name}@example.com" for name in ("ayu", "budi", "citra")]


def statements_of(source, *events, minute=0, number=0):
    """Return what one envelope of a source says; its delivery id follows from ``number``."""
    sent_at = T0 + timedelta(minutes=minute)
    statements = normalise_api_write(
        ids.new(),
        [(source, event) for event in events],
        sent_at=sent_at,
        delivery_id=f"d{number}",
        ceiling=ceiling_of(sent_at),
    )
    statements.source = source  # as if a webhook of the source had delivered them, not a request to our API
    return statements


def a_profile(external_id="1", *, phone=None, email=None, at=0, created=0, verified=False, **fields):
    identifiers = {}
    if phone:
        identifiers["phone"] = Identifier(type="phone", value=phone)
    if email:
        identifiers["email"] = Identifier(type="email", value=email, verified=verified)
    return ProfileSeen(
        external_id=external_id,
        occurred_at=T0 + timedelta(minutes=at),
        created_at=None if created is None else T0 + timedelta(days=created - 9),
        identifiers=identifiers,
        fields=fields,
    )


@st.composite
def histories(draw, *kinds, most=14):
    """Draw envelopes of these kinds, functions of a number; each envelope has a delivery id of its own."""
    return [draw(draw(st.sampled_from(kinds))(number)) for number in range(draw(st.integers(1, most)))]


@st.composite
def events(draw, number):
    source = draw(st.sampled_from(["a", "b", "c"]))
    minute = draw(st.integers(0, 3))
    external_id = draw(st.sampled_from(["1", "2", "3", None]))
    kind = draw(st.integers(0, 10))
    if kind == 0 and external_id:
        event = ProfileRemoved(external_id=external_id, occurred_at=T0 + timedelta(minutes=minute))
    elif kind == 1 and external_id:
        event = ProfilesMerged(kept_external_id=external_id, lost_external_id="2", occurred_at=T0)
    elif kind == 2 and external_id:
        event = TagsAdded(external_id=external_id, tags=("vip",), occurred_at=T0)
    elif kind == 3:
        return draw(edits(number, minute))
    else:
        event = a_profile(
            external_id,
            phone=draw(st.sampled_from([*PHONES, None])),
            email=draw(st.sampled_from([*EMAILS, None])),
            at=minute,
            created=draw(st.sampled_from([None, 0, 1])),
            verified=draw(st.booleans()),
            **draw(st.fixed_dictionaries({}, optional={"name": st.sampled_from(NAMES)})),
        )
    return statements_of(source, event, minute=5, number=number)


@st.composite
def edits(draw, number, minute):
    """Draw an edit of a contact that had up to two records."""
    refs = st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(["1", "2", "3", f"guest:email:{EMAILS[0]}"]))
    about = draw(st.lists(refs, unique=True, min_size=1, max_size=2))
    profile = a_profile(
        "edit:" + ":".join(about[0]),
        email=draw(st.sampled_from([*EMAILS, None])),
        at=minute,
        created=None,
        name="Edited",
    )
    sent_at = T0 + timedelta(minutes=minute)
    return normalise_api_write(
        ids.new(),
        [("api", profile)],
        about={profile.external_id: about},
        sent_at=sent_at,
        delivery_id=f"d{number}",
        ceiling=ceiling_of(sent_at),
    )


@st.composite
def operator_decisions(draw):
    refs = [(source, id_) for source in "abc" for id_ in "123"]
    decisions = []
    for n in range(draw(st.integers(0, 3))):
        a, b = draw(st.lists(st.sampled_from(refs), unique=True, min_size=2, max_size=2))
        decisions.append(Decision(draw(st.sampled_from(["link", "apart"])), a, b, n + 1, str(n)))
    return decisions
