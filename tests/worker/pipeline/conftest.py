"""Fixtures for tests of the write path and of the view of what it wrote."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from worker import ids
from worker.domain.normalise import ceiling_of, normalise_api_write
from worker.pipeline.apply import Batch, apply

T0 = datetime(2026, 10, 1, tzinfo=UTC)


@pytest.fixture
def feed(engine, organization_id):
    """A function that applies events of a source and returns the id of their envelope."""

    def feed(source, *events, minute=60):
        at = T0 + timedelta(minutes=minute)
        statements = normalise_api_write(
            ids.new(),
            [(source, event) for event in events],
            sent_at=at,
            delivery_id=uuid4().hex,
            ceiling=ceiling_of(at),
        )
        apply(engine, organization_id, Batch([statements], {statements.envelope_id: uuid4()}))
        return statements.envelope_id

    return feed
