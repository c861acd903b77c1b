"""SQLSTATEs: what an error of the database means for the work that met it, grouped by what happens next.

Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from worker.errors import ConfigError
from worker.store.sessions import RefusedError

#: serialization failure and deadlock; unique and foreign key violations, which here mean that another writer was faster
_RACES = frozenset({"40001", "40P01", "23505", "23503"})
#: a lock or a statement took too long
_TIMEOUTS = frozenset({"55P03", "57014"})
#: classes and codes of a value that the database will never take
_POISON = ("22", "23502", "23514", "54")
#: classes and codes of a database that is away, full, read-only, or not migrated yet
_SYSTEM = ("08", "53", "57P", "42", "58", "25006")
#: those of them that are no mistake in a statement of ours
_OPERATORS = ("08", "53", "57P", "42501", "58", "25006")
#: an undefined table, column, function or other object
_MISSING = frozenset({"42P01", "42703", "42883", "42704"})
#: the role may not do it
_DENIED = "42501"
#: A schema before 0012 takes what a session says to see all rows for an id (``worker/store/sessions.py``).
_NO_ID = "22P02"


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of a database error; None where there is none."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def is_race(error: DBAPIError) -> bool:
    """Return whether another writer was faster: do the same transaction again."""
    return sqlstate(error) in _RACES


def is_timeout(error: Exception) -> bool:
    """Return whether a lock or a statement took too long, perhaps because of somebody else."""
    return sqlstate(error) in _TIMEOUTS


def is_poison(error: Exception) -> bool:
    """Return whether a value can never be stored: park the envelope that it came with."""
    if isinstance(getattr(error, "orig", error), UnicodeEncodeError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = sqlstate(error)
    return state is None or state.startswith(_POISON)


def is_system_fault(error: Exception) -> bool:
    """Return whether the database is away, full, read-only, or not migrated yet, or a setting is missing.

    Then all envelopes wait, and none is blamed.

    A statement or lock that timed out is no system fault, because one envelope may have caused it.
    """
    if not isinstance(error, DBAPIError):
        return isinstance(error, ConfigError)
    state = sqlstate(error)
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    if state is None:
        return isinstance(error, OperationalError)
    return state.startswith(_SYSTEM)


def is_for_an_operator(error: DBAPIError) -> bool:
    """Return whether the same request succeeds once an operator has put the database right, or it comes back."""
    state = sqlstate(error)
    return (state is not None and state.startswith(_OPERATORS)) or is_other_schema(error)


def is_other_schema(error: DBAPIError) -> bool:
    """Return whether a table, column, function or type is missing: the database is not migrated, or further than we."""
    return sqlstate(error) in _MISSING


def is_setup_fault(error: BaseException) -> bool:
    """Return whether the operator has to act before anything works: the role, the schema, or what is in between."""
    return isinstance(getattr(error, "orig", None), RefusedError) or sqlstate(error) in {_DENIED, *_MISSING}


def reason(error: Exception) -> str:
    """Say why the database serves nobody, for its operator; nothing of the error is quoted."""
    original = getattr(error, "orig", None)
    if isinstance(error, ConfigError) or isinstance(original, RefusedError):
        return str(original or error)
    state = sqlstate(error)
    if state == _DENIED:
        return "the database's role may not use our tables: all processes need the role that migrated"
    if state in _MISSING or state == _NO_ID:
        return "the database is not at this version; run: contactsync migrate"
    return "no database"
