"""A row that was read becomes an envelope."""

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from uuid import uuid4

import orjson
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import Envelope
from connectors.reader import NOT_BEFORE, Row, read_from
from worker.backfill import refetch

CONNECTION = SimpleNamespace(organization_id=uuid4(), id=uuid4())
NOW = datetime(2026, 9, 14, 18, 42, 7, tzinfo=UTC)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def a_row(not_before=NOW, body=b"{}"):
    return Row(external_id="1", updated_at=None, topic="row", body=body, not_before=not_before, not_after=NOW)


@given(st.datetimes(datetime(1000, 1, 1), timezones=st.just(UTC) | ZONES))  # noqa: DTZ001 - the zone comes beside it
def test_its_header_says_since_when_it_was_read(at):
    headers = orjson.loads(refetch.envelope_of_row(CONNECTION, a_row(at), None).headers)
    assert headers == [[NOT_BEFORE, at.isoformat()]]
    envelope = Envelope(topic="row", delivery_id="1", sent_at=NOW, headers=dict(headers), body=b"{}")
    assert read_from(envelope) == at


def test_read_again_it_is_the_same_delivery_within_a_run_only():
    run = uuid4()
    in_run = [refetch.envelope_of_row(CONNECTION, a_row(body=body), run) for body in (b"{}", b"{}", b"[]")]
    assert in_run[0].delivery_id == in_run[1].delivery_id != in_run[2].delivery_id
    assert len({one.id for one in in_run}) == 3
    alone = [refetch.envelope_of_row(CONNECTION, a_row(), None) for _ in range(2)]
    assert alone[0].delivery_id != alone[1].delivery_id
