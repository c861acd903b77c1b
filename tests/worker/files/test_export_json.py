"""Export as JSON: the same envelopes give the same bytes, whatever their order."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.contract import (
    ConsentStated,
    Identifier,
    ProfileRemoved,
    ProfileSeen,
    ProfilesMerged,
    SuppressionStated,
    TagsAdded,
    TagsRemoved,
    TagsSnapshot,
)
from tests.conftest import empty
from worker import ids
from worker.domain.normalise import ceiling_of, normalise_api_write
from worker.files import export_json
from worker.pipeline.apply import Batch, apply
from worker.store import db, organizations
from worker.store.db import Tx

T0 = datetime(2026, 10, 1, tzinfo=UTC)
PHONES = ["+6281273509101", "+6281273509102"]
EMAILS = ["ayu@example.com", "Ayu@Example.com", "budi@example.com", "noreply@example.com"]

times = st.integers(0, 3).map(lambda minute: T0 + timedelta(minutes=minute))
maybe_times = st.none() | times
customers = st.sampled_from(["1", "2", "3"])


def email(value, *, verified=False):
    return value and Identifier(type="email", value=value, verified=verified)


def phone(value):
    return value and Identifier(type="phone", value=value)


profiles = st.builds(
    ProfileSeen,
    external_id=st.none() | customers,
    occurred_at=maybe_times,
    created_at=st.none() | times,
    fields=st.dictionaries(
        st.sampled_from(["name", "first_name", "last_name", "tier", "segments.1", "segments.2"]),
        st.sampled_from(["Ayu", "Budi", None]),
    ),
    identifiers=st.fixed_dictionaries(
        {},
        optional={
            "email": st.builds(email, st.sampled_from([*EMAILS, None]), verified=st.booleans()),
            "second_email": st.builds(email, st.sampled_from([*EMAILS, None]), verified=st.booleans()),
            "phone": st.builds(phone, st.sampled_from([*PHONES, None])),
            "order_phone": st.builds(phone, st.sampled_from([*PHONES, None])),
        },
    ),
    exists=st.booleans(),
)
tags = st.lists(st.sampled_from(["vip", "VIP", "wholesale"]), max_size=2).map(tuple)
ADDRESSES = {"email": EMAILS, "sms": PHONES, "whatsapp": PHONES, "all": [*EMAILS, *PHONES]}


def about(*channels):
    """A channel and one of its addresses."""
    pairs = [{"channel": channel, "address": address} for channel in channels for address in ADDRESSES[channel]]
    return st.sampled_from(pairs)


consents = st.builds(
    lambda pair, is_addressed, **said: ConsentStated(**{**pair, **({} if is_addressed else {"address": None})}, **said),
    about("email", "sms", "whatsapp"),
    st.booleans(),
    external_id=st.none() | customers,
    status=st.sampled_from(["opted_in", "opted_out", "pending", "unknown"]),
    occurred_at=maybe_times,
    method=st.sampled_from([None, "form", "checkout"]),
    evidence=st.sampled_from([{}, {"ip": "192.0.2.1"}]),
)
suppressions = st.builds(
    lambda pair, **said: SuppressionStated(**pair, **said),
    about("email", "sms", "all"),
    external_id=st.none() | customers,
    reason=st.sampled_from(["hard_bounce", "unsubscribed"]),
    occurred_at=maybe_times,
    lifted=st.booleans(),
    expires_at=maybe_times,
)
events = (
    profiles
    | profiles
    | consents
    | suppressions
    | st.builds(ProfileRemoved, external_id=customers, occurred_at=maybe_times)
    | st.builds(ProfilesMerged, kept_external_id=customers, lost_external_id=customers, occurred_at=maybe_times)
    | st.builds(TagsAdded, external_id=customers, tags=tags, occurred_at=maybe_times)
    | st.builds(TagsRemoved, external_id=customers, tags=tags, occurred_at=maybe_times)
    | st.builds(TagsSnapshot, external_id=customers, tags=tags, occurred_at=maybe_times)
)
#: a delivery of a source: (source, sending time, events)
deliveries = st.tuples(st.sampled_from(["shop", "till"]), times, st.lists(events, min_size=1, max_size=2))


def feed(engine, sent, *, batch):
    """Apply numbered deliveries to an empty store and return its canonical export."""
    empty(engine)
    with engine.begin() as conn:
        organization_id = organizations.ensure(conn, "default")
    for start in range(0, len(sent), batch):
        statements = [
            normalise_api_write(
                ids.new(),
                [(source, event) for event in events],
                sent_at=at,
                delivery_id=f"d{number}",
                ceiling=ceiling_of(at),
            )
            for number, (source, at, events) in sent[start : start + batch]
        ]
        apply(engine, organization_id, Batch(statements, {one.envelope_id: uuid4() for one in statements}))
    return dump(engine, organization_id)


def dump(engine, organization_id):
    with db.snapshot(engine) as conn:
        return b"".join(export_json.canonical(Tx(conn, organization_id)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.lists(deliveries, min_size=1, max_size=10), data=st.data())
def test_shuffled_and_repeated_deliveries_print_the_same_bytes(engine, sent, data):
    numbered = list(enumerate(sent))
    repeated = data.draw(st.lists(st.sampled_from(numbered), max_size=3))
    shuffled = data.draw(st.permutations(numbered + repeated))

    in_order = feed(engine, numbered, batch=len(numbered))
    otherwise = feed(engine, shuffled, batch=data.draw(st.integers(1, 4)))

    assert otherwise.decode() == in_order.decode()


def test_a_line_has_all_values_but_no_ids_and_times_of_ours(engine):
    seen = ProfileSeen(
        external_id="1",
        occurred_at=T0,
        fields={"name": "Ujang", "tier": "premium"},
        identifiers={"email": email("Ujang@example.com", verified=True), "phone": phone(PHONES[0])},
    )
    rival = ProfileSeen(external_id="2", occurred_at=T0, identifiers={"phone": phone(PHONES[0])})
    events = [
        seen,
        TagsAdded(external_id="1", tags=("VIP",), occurred_at=T0 + timedelta(microseconds=5)),
        ConsentStated(
            external_id="1",
            channel="email",
            status="opted_out",
            address="ujang@EXAMPLE.com",
            occurred_at=T0,
            method="form",
            evidence={"ip": "192.0.2.1"},
        ),
        SuppressionStated(
            external_id=None, channel="email", address="ujang@example.com", reason="hard_bounce", occurred_at=T0
        ),
    ]

    lines = feed(engine, [(0, ("shop", T0 + timedelta(minutes=1), events)), (1, ("shop", T0, [rival]))], batch=2)

    first, second = map(orjson.loads, lines.splitlines())
    assert first == {
        "external_source": "shop",
        "external_id": "1",
        "name": "Ujang",
        "email": "Ujang@example.com",
        "phone_number": PHONES[0],
        "custom_fields": {"tier": "premium"},
        "tags": ["VIP"],
        "origins": {
            **{
                name: {"source": "shop", "external_id": "1", "occurred_at": "2026-10-01T00:00:00Z"}
                for name in ("name", "email", "phone_number", "tier")
            },
            "tag:vip": {"source": "shop", "external_id": "1", "occurred_at": "2026-10-01T00:00:00.000005Z"},
        },
        "identities": [
            {
                "type": "email",
                "source": "",
                "key": "ujang@example.com",
                "value": "Ujang@example.com",
                "verified": True,
                "contested": False,
                "claimant": ["shop", "1"],
                "owner": ["shop", "1"],
            },
            {
                "type": "external_id",
                "source": "shop",
                "key": "1",
                "value": "1",
                "verified": True,
                "contested": False,
                "claimant": ["shop", "1"],
                "owner": ["shop", "1"],
            },
            {
                "type": "phone",
                "source": "",
                "key": PHONES[0],
                "value": PHONES[0],
                "verified": False,
                "contested": True,
                "claimant": ["shop", "1"],
                "owner": ["shop", "1"],
            },
        ],
        "unowned": [],
        "records": [{"source": "shop", "external_id": "1", "kind": "customer", "lost": False}],
        "consents": [
            {
                "channel": "email",
                "purpose": "marketing",
                "status": "opted_out",
                "address": "ujang@example.com",
                "occurred_at": "2026-10-01T00:00:00Z",
                "source": "shop",
                "external_id": "1",
                "method": "form",
                "evidence": {"ip": "192.0.2.1"},
            }
        ],
        "suppressions": [
            {
                "channel": "email",
                "address": "ujang@example.com",
                "scope": "all",
                "reason": "hard_bounce",
                "source": "shop",
                "first_seen_at": "2026-10-01T00:00:00Z",
                "last_seen_at": "2026-10-01T00:00:00Z",
                "lifted_at": None,
                "expires_at": None,
                "count": 1,
            }
        ],
    }
    assert [(one["key"], one["contested"], one["owner"]) for one in second["unowned"]] == [
        (PHONES[0], True, ["shop", "1"])
    ]


def test_an_export_has_the_contacts_of_every_page(engine, monkeypatch):
    monkeypatch.setattr(export_json, "_PAGE", 2)
    sent = [
        (n, ("shop", T0, [ProfileSeen(external_id=str(n), occurred_at=T0, fields={"tier": "premium"})]))
        for n in (5, 10, 3, 1, 4)
    ]

    lines = feed(engine, sent, batch=5)

    assert [orjson.loads(line)["external_id"] for line in lines.splitlines()] == ["1", "10", "3", "4", "5"]


def test_an_export_has_the_contacts_of_its_organization_only(engine):
    feed(engine, [(0, ("shop", T0, [ProfileSeen(external_id="1", occurred_at=T0)]))], batch=1)
    with engine.begin() as conn:
        other = organizations.ensure(conn, "other")

    assert dump(engine, other) == b""
