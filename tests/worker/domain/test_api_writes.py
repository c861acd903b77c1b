"""API writes: a request is encoded for its envelope, and decoding gives the same request."""

from datetime import UTC, datetime
from unicodedata import normalize
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import (
    ConsentStated,
    ErasureRequested,
    Identifier,
    NoteAdded,
    ProfileRemoved,
    ProfileSeen,
    SuppressionStated,
    TagsAdded,
    TagsRemoved,
)
from worker.domain import api_writes
from worker.domain.api_writes import ApiWrite
from worker.domain.terms import Stamp
from worker.domain.times import microseconds

times = st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
texts = st.text(characters, min_size=1, max_size=20).map(lambda text: normalize("NFC", text))
emails = st.builds(Identifier, type=st.just("email"), value=texts, verified=st.booleans())
events = st.one_of(
    st.builds(
        ProfileSeen,
        external_id=texts,
        occurred_at=times,
        fields=st.dictionaries(texts, st.none() | texts | st.integers(-(2**53), 2**53) | st.lists(texts)),
        identifiers=st.dictionaries(st.sampled_from(["email", "phone"]), st.none() | emails),
    ),
    st.builds(ProfileRemoved, external_id=texts, occurred_at=times),
    st.builds(TagsAdded, external_id=texts, tags=st.lists(texts).map(tuple), occurred_at=times),
    st.builds(TagsRemoved, external_id=texts, tags=st.lists(texts).map(tuple), occurred_at=times),
    st.builds(
        ConsentStated,
        external_id=texts,
        channel=st.just("email"),
        status=st.just("opted_out"),
        address=st.none() | texts,
        occurred_at=times,
        evidence=st.dictionaries(texts, texts),
        expires_at=times,
        region=st.none(),
    ),
    st.builds(
        SuppressionStated,
        external_id=texts,
        channel=st.just("all"),
        address=texts,
        reason=st.just("manual"),
        occurred_at=times,
        expires_at=times,
        region=st.none(),
    ),
    st.builds(
        ErasureRequested,
        subject=st.just("contact"),
        external_id=st.none(),
        identifiers=st.lists(emails).map(tuple),
        occurred_at=times,
        customers=st.lists(st.tuples(texts, texts)).map(tuple),
    ),
    st.builds(NoteAdded, external_id=texts, body=texts, occurred_at=times),
)


@given(
    st.builds(
        ApiWrite,
        events=st.lists(st.tuples(texts, events)).map(tuple),
        links=st.lists(st.tuples(st.tuples(texts, texts), st.tuples(texts, texts))).map(tuple),
    )
)
def test_a_write_is_the_same_after_encoding_and_decoding(write):
    assert api_writes.decode(api_writes.encode(write)) == write


@pytest.mark.parametrize(("occurred", "is_arrival"), [(5, True), (4, False)])
def test_a_statement_without_a_time_of_its_own_counts_from_the_arrival_of_its_request(occurred, is_arrival):
    stamp = Stamp(occurred, 5, api_writes.delivery_id(UUID(int=1)), 0, UUID(int=1).hex)

    assert api_writes.is_of_request(stamp) is is_arrival
    assert not api_writes.is_of_request(stamp._replace(delivery_id="1234"))


def test_an_unknown_field_of_a_later_version_is_left_out():
    write = ApiWrite(events=(("shop", ProfileRemoved(external_id="1", occurred_at=datetime(2026, 1, 1, tzinfo=UTC))),))

    kept = api_writes.encode(write).replace(b'"external_id":"1"', b'"external_id":"1","later":[1]')

    assert api_writes.decode(kept) == write
    assert microseconds(write.events[0][1].occurred_at)
