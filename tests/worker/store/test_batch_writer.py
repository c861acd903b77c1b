"""Arrays in the binary format: the server reads back what was written."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import StatementError

from worker.store.batch_writer import rows_of
from worker.store.db import sql

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")) | st.just("é" * 5000)
TIMES = st.datetimes(timezones=st.just(UTC))
KINDS = {
    "text": TEXTS,
    "bytea": st.binary() | st.just(b"x" * 5000),
    "boolean": st.booleans(),
    "uuid": st.uuids(),
    "smallint": st.integers(-(2**15), 2**15 - 1),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "timestamptz": TIMES,
}
SHOWN = {
    "text": ["", None, "é\n\"'{},\\", "x" * 5000],
    "bytea": [b"", None, b"\0\xff", b"x" * 5000],
    "boolean": [True, None, False],
    "uuid": [uuid4(), None, UUID(int=0)],
    "smallint": [1, None, -1],
    "timestamptz": [datetime(1969, 7, 20, 20, 17, 40, 123456, UTC), None, datetime(2026, 2, 28, tzinfo=UTC)],
    "integer": [1, None, -(2**31)],
    "bigint": [1, None, -1],  # the driver's own
}


def read_back(engine, kind, values):
    with engine.connect() as conn:
        return list(conn.execute(sql(f"SELECT unnest(CAST(:values AS {kind}[]))"), {"values": values}).scalars())


@pytest.mark.parametrize("kind", KINDS)
def test_the_server_reads_them_back(engine, kind):
    @given(st.lists(KINDS[kind] | st.none()))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    def check(values):
        assert read_back(engine, kind, values) == values

    check()


@pytest.mark.parametrize("kind", SHOWN)
@pytest.mark.parametrize("part", [slice(None), slice(1), slice(1, 2), slice(0)], ids=["all", "one", "null", "none"])
def test_some_of_them(engine, kind, part):
    assert read_back(engine, kind, SHOWN[kind][part]) == SHOWN[kind][part]


@given(st.lists(TEXTS | st.sampled_from(["\x1e", "\x1f", "a\x1fb", "\x1e\x1f"]) | st.none()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_column_of_texts_arrives_as_it_was(engine, texts):
    with engine.connect() as conn:
        statement = sql(f"SELECT new.given FROM {rows_of(given='text')}")
        assert list(conn.execute(statement, {"given": texts}).scalars()) == texts


def test_half_a_surrogate_pair_among_texts_is_refused_too(engine):
    with engine.connect() as conn, pytest.raises(UnicodeEncodeError):
        conn.execute(sql(f"SELECT new.given FROM {rows_of(given='text')}"), {"given": ["Ujang\ud800"]})


def test_microseconds_are_a_time(engine):
    with engine.connect() as conn:
        found = conn.execute(sql("SELECT unnest(CAST(:values AS timestamptz[]))"), {"values": [1_790_949_600_000_001]})
        assert found.scalar_one() == datetime(2026, 10, 2, 14, 0, 0, 1, UTC)


def test_no_array_at_all_is_null(engine):
    with engine.connect() as conn:
        assert conn.execute(sql("SELECT CAST(:values AS text[]) IS NULL"), {"values": None}).scalar_one()


def test_half_a_surrogate_pair_is_refused_before_it_is_sent(engine):
    with engine.connect() as conn, pytest.raises(StatementError) as refused:
        conn.execute(sql("SELECT unnest(CAST(:values AS text[]))"), {"values": ["Ujang\ud800"]})
    assert type(refused.value.orig) is UnicodeEncodeError
    assert "Ujang" not in str(refused.value)
