"""Faults: what an SQLSTATE means for the work that met it."""

import pytest
from sqlalchemy import bindparam, create_engine, text
from sqlalchemy.exc import DBAPIError, StatementError

from worker.store import sqlstates

RACES = {"40001": "serialization failure", "40P01": "deadlock", "23505": "unique", "23503": "foreign key"}
POISON = {"22P05": "NUL in text", "22003": "number too large", "23502": "null", "23514": "check", "54000": "too long"}
SYSTEM = {"08006": "connection", "53100": "disk full", "57P01": "shutdown", "42P01": "no such table", "58030": "i/o"}
#: one envelope's doing, perhaps: no reason to park it, and none to let all others wait
UNDECIDED = {"57014": "statement timeout", "55P03": "lock timeout", "XX000": "internal error"}


def meanings(error):
    return (sqlstates.is_race(error), sqlstates.is_poison(error), sqlstates.is_system_fault(error))


@pytest.mark.parametrize(
    ("code", "expected"),
    [(code, (True, False, False)) for code in RACES]
    + [(code, (False, True, False)) for code in POISON]
    + [(code, (False, False, True)) for code in SYSTEM]
    + [(code, (False, False, False)) for code in UNDECIDED],
)
def test_a_code_has_one_meaning(engine, code, expected):
    with engine.connect() as conn, pytest.raises(DBAPIError) as raised:
        conn.execute(text(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$"))

    assert sqlstates.sqlstate(raised.value) == code
    assert meanings(raised.value) == expected
    assert sqlstates.is_timeout(raised.value) == (code in ("57014", "55P03"))


def test_a_lost_connection_is_a_system_fault(engine):
    with engine.connect() as conn, pytest.raises(DBAPIError) as raised:
        conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    assert sqlstates.is_system_fault(raised.value)


def test_a_database_that_is_away_is_a_system_fault():
    away = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")

    with pytest.raises(DBAPIError) as raised:
        away.connect()

    assert sqlstates.sqlstate(raised.value) is None
    assert sqlstates.is_system_fault(raised.value)


def test_text_that_has_no_bytes_is_poison(engine):
    with engine.connect() as conn, pytest.raises((StatementError, UnicodeEncodeError)) as raised:
        conn.execute(text("SELECT :value").bindparams(bindparam("value")), {"value": "Ujang\ud800"})

    assert sqlstates.is_poison(raised.value)


def test_a_bug_is_no_fault_of_the_database():
    error = ZeroDivisionError()

    assert sqlstates.sqlstate(error) is None
    assert not sqlstates.is_poison(error)
    assert not sqlstates.is_system_fault(error)
