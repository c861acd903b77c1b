"""Arrays in the binary format: what the driver would write, and the server reads back."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.postgres import adapters
from psycopg.types.array import ListBinaryDumper
from sqlalchemy import text

from worker.store.arrays import ArrayDumper


class _Context:
    def __init__(self, dumper):
        self.adapters, self.connection = AdaptersMap(adapters), None
        self.adapters.register_dumper(list, dumper)


def written(dumper, values):
    found = Transformer(_Context(dumper)).get_dumper(values, PyFormat.AUTO)
    return found.oid, bytes(found.dump(values) or b"")


TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.just("é" * 5000)


@given(
    st.one_of(
        st.lists(TEXTS | st.none()),
        st.lists(st.uuids() | st.none()),
        st.lists(st.booleans() | st.none()),
        st.lists(st.integers(-(2**40), 2**40) | st.none()),
        st.lists(st.binary() | st.none()),
        st.lists(st.lists(st.text("ab"), min_size=2, max_size=2), min_size=1),
    )
)
def test_they_are_written_as_the_driver_would(values):
    assert written(ArrayDumper, values) == written(ListBinaryDumper, values)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", ["", None, "é\n\"'{},\\", "x" * 5000]),
        ("uuid", [uuid4(), None, UUID(int=0)]),
        ("boolean", [True, None, False]),
        ("integer", [1, None, -1]),
    ],
)
def test_the_server_reads_them_back(engine, kind, values):
    with engine.connect() as conn:
        found = conn.execute(text(f"SELECT unnest(CAST(:values AS {kind}[]))"), {"values": values})
        assert list(found.scalars()) == values


def test_half_a_surrogate_pair_is_refused_before_it_is_sent(engine):
    with engine.connect() as conn, pytest.raises(UnicodeEncodeError):
        conn.execute(text("SELECT unnest(CAST(:values AS text[]))"), {"values": ["\ud800"]})
