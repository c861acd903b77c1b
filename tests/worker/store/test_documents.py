"""Documents are kept as they were written, and hold nothing that other columns do not."""

from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from worker.store.batch_writer import document

_WRITE = """
    INSERT INTO records (organization_id, id, source, external_id, kind, state, is_live, is_lost)
    SELECT :organization_id, :id, 'shop', '1', 'customer', {written}, true, true
      FROM (SELECT CAST(:state AS text) AS state) AS new
"""


def write(conn, organization_id, state, written):
    given = {"organization_id": organization_id, "id": uuid4(), "state": state}
    conn.execute(text(_WRITE.format(written=written)), given)
    return conn.execute(text("SELECT state, state::text FROM records")).one()


@pytest.mark.parametrize("said", [r'{"b": 1e2,"a":"é"}', r'{"a":"\\u0000 is how NUL is written"}', r'{"a":"\u0001"}'])
def test_a_document_is_kept(engine, organization_id, said):
    with engine.connect() as conn:
        read, kept = write(conn, organization_id, said, document("new.state"))

    assert read.keys() <= {"a", "b"}
    assert kept == said or r"\\u0000" in said


@pytest.mark.parametrize("said", [r'{"a":"x\u0000y"}', r'{"a":"\\\u0000"}', r'{"\u0000":1}'])
def test_nul_is_refused(engine, organization_id, said):
    with engine.connect() as conn, pytest.raises(DBAPIError) as refused:
        write(conn, organization_id, said, document("new.state"))

    assert refused.value.orig.sqlstate == "22P05"


def test_the_release_before_writes_it_too(engine, organization_id):
    with engine.connect() as conn:
        read, _ = write(conn, organization_id, '{"b":1,"a":[2]}', "new.state::jsonb")

    assert read == {"a": [2], "b": 1}
