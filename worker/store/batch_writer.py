"""Batch writer: what makes writes of many rows fast. No other module knows it.

- All rows of a batch travel as the array parameters of one statement, in the binary format (``rows_of``).
- An insert of new rows has no conflict clause, because looking for a conflict costs as much as the row. Tables offer it
  as ``insert_new``, where a conflict raises, beside ``ensure``, which may be repeated.
- Such inserts are planned once, and sent without waiting for each other (``unawaited``).
- A document that is always loaded whole is a column of type ``json``, stored as it was written (``document``).
"""

import itertools
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import psycopg
import sqlalchemy
from psycopg import AsyncConnection, Connection
from psycopg.adapt import Buffer, Dumper
from psycopg.postgres import types
from psycopg.pq import Format
from sqlalchemy import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import UserDefinedType

# https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/arrayfuncs.c, array_recv: an array has its
# number of dimensions, whether it has nulls, the type of its elements, and the size and lower bound of each dimension;
# then each element, after its length.
_HEAD = struct.Struct("!IIIII")
_EMPTY_HEAD = struct.Struct("!III")
_LENGTH = struct.Struct("!i").pack
_NULL = _LENGTH(-1)
_LENGTHS = tuple(map(_LENGTH, range(4096)))
_BOOLEANS = {False: _LENGTH(1) + b"\0", True: _LENGTH(1) + b"\1", None: _NULL}
_UUID = _LENGTH(16)
_LONG = 200
_SMALLINT = struct.Struct("!ih").pack
_INTEGER = struct.Struct("!ii").pack
_BIGINT = struct.Struct("!iq").pack
# https://www.postgresql.org/docs/current/datatype-datetime.html: a time is microseconds since 2000, in UTC
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BEFORE_2000 = (_EPOCH - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND


# Control characters that hardly any text has. If a text of a column has one, ``joined`` takes characters of the private
# use area instead.
_SEPARATOR, _NULL_TEXT = "\x1f", "\x1e"
_PRIVATE_USE = range(0xF0000, 0x10FFFE)


def _sized(values: list[bytes | None]) -> list[bytes]:
    if len(values[0] or b"") > _LONG:  # long values: do not copy each once more to put its length before it
        return [part for value in values for part in ((_NULL,) if value is None else (_LENGTH(len(value)), value))]
    return [
        _NULL if value is None else (_LENGTHS[size] if (size := len(value)) < 4096 else _LENGTH(size)) + value
        for value in values
    ]


def _texts(values: list[Any]) -> list[bytes]:
    return _sized([value if value is None or type(value) is bytes else value.encode() for value in values])


def _booleans(values: list[Any]) -> list[bytes]:
    return [_BOOLEANS[value] for value in values]


def _uuids(values: list[Any]) -> list[bytes]:
    return [_NULL if value is None else _UUID + value.int.to_bytes(16) for value in values]


def _smallints(values: list[Any]) -> list[bytes]:
    return [_NULL if value is None else _SMALLINT(2, value) for value in values]


def _integers(values: list[Any]) -> list[bytes]:
    return [_NULL if value is None else _INTEGER(4, value) for value in values]


def _times(values: list[Any]) -> list[bytes]:
    return [_NULL if value is None else _BIGINT(8, _since_2000(value)) for value in values]


def _since_2000(value: datetime | int) -> int:
    if type(value) is int:  # microseconds since 1970
        return value - _BEFORE_2000
    return (value - _EPOCH) // _MICROSECOND  # type: ignore[operator]


_WRITERS: dict[str, Callable[[list[Any]], list[bytes]]] = {
    "text": _texts,
    "bytea": _sized,
    "boolean": _booleans,
    "uuid": _uuids,
    "smallint": _smallints,
    "integer": _integers,
    "timestamptz": _times,
}


class _Written:
    """An array in the server's binary format."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


def _type_of(kind: str) -> tuple[type[_Written], type[Dumper]]:
    """Make the class of written arrays of a kind, and the dumper by which the driver sends one as it is."""
    written = type(f"_{kind}", (_Written,), {"__slots__": ()})

    def dump(_self: Dumper, array: _Written) -> Buffer:
        return array.data

    members = {"oid": types[kind].array_oid, "format": Format.BINARY, "dump": dump}
    return written, type(f"_{kind}Dumper", (Dumper,), members)


_TYPES = {kind: _type_of(kind) for kind in _WRITERS}


class ArrayOf(UserDefinedType[list[Any]]):
    """The type of an array parameter of a known kind.

    Without it the driver would look at all elements to find their type, and look up for each how to write it.
    """

    cache_ok = True

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def get_col_spec(self, **_: Any) -> str:
        """Name the type in SQL."""
        return f"{self.kind}[]"

    def bind_processor(self, dialect: Dialect) -> Callable[[list[Any] | None], Any]:  # noqa: ARG002 - SQLAlchemy's
        """Return the function that writes a value."""
        write, oid, array_class = _WRITERS[self.kind], types[self.kind].oid, _TYPES[self.kind][0]

        def process(values: list[Any] | None) -> _Written | None:
            if not values:
                return None if values is None else array_class(_EMPTY_HEAD.pack(0, 0, oid))
            n, first = len(values), values[0]
            is_constant = first is values[-1] and values.count(first) == n  # true of many columns
            written = write(values[:1]) * n if is_constant else write(values)
            return array_class(b"".join([_HEAD.pack(1, 1, oid, n, 1), *written]))

        return process


class Texts(UserDefinedType[list[Any]]):
    """The type of a parameter with a column of texts, which ``joined`` writes."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Name the type in SQL."""
        return "text"

    def bind_processor(self, dialect: Dialect) -> Callable[[list[Any] | None], str | None]:  # noqa: ARG002 - as above
        """Return the function that writes a value."""
        return lambda texts: None if texts is None else joined(texts)


def joined(texts: list[Any]) -> str:
    """Join texts into one: a separator, a text that stands for NULL, then the texts, each after the separator.

    The separator and the NULL text are single characters that none of the texts has.
    """
    has_null = None in texts
    all_of_them = "".join([text for text in texts if text is not None] if has_null else texts)
    separator, null = _SEPARATOR, _NULL_TEXT
    if separator in all_of_them or null in all_of_them:
        taken = set(all_of_them)
        separator, null = itertools.islice((chr(code) for code in _PRIVATE_USE if chr(code) not in taken), 2)
    given = [null if text is None else text for text in texts] if has_null else texts
    return separator.join(["", null, *given])


def is_known(kind: str) -> bool:
    """Return whether this module writes arrays of a type of Postgres; the driver writes all others."""
    return kind in _WRITERS


def send_written(connection: Connection[Any] | AsyncConnection[Any]) -> None:
    """Have a connection of the driver send the arrays that this module writes."""
    for written, dumper in _TYPES.values():
        connection.adapters.register_dumper(written, dumper)


def rows_of(**columns: str) -> str:
    """Write the SQL of a table ``new`` with these columns and types, made of array parameters.

    ``rows_of(id="uuid", name="text")`` takes the parameters ``:id`` and ``:name``. JSON travels as text (``"json"``),
    because escaping it twice inside an array costs more than the cast. A column of short texts travels as one text
    (``joined``), at half the cost of an array. The columns are unnested side by side in SELECT, because FROM would
    store each column before joining them.
    """
    selected = ", ".join(f"unnest({_array(name, kind)}) AS {name}" for name, kind in columns.items())
    return f"(SELECT {selected}) AS new"


def keys_of(**columns: str) -> str:
    """Write the SQL of ``rows_of`` for keys by which rows are looked up, with the organization beside each key.

    The planner should find each row by an index, and never read the organization or the table. So two things are
    hidden from it.

    - The organization is a column. As a constant it would be a condition by itself, and an index would be read from
      the first row of the organization to the last where statistics make it look small, as they do if it is new.
    - The number of keys. Arrays out of a subquery count for ten rows, however long they are. The planner would rather
      hash a table of some ten thousand rows than look up a hundred.
    """
    arrays = ", ".join(f"{_array(name, kind)} AS {name}" for name, kind in columns.items())
    selected = ", ".join(f"unnest({name}) AS {name}" for name in columns)
    given = f"(SELECT CAST(:organization_id AS uuid) AS organization_id, {arrays} OFFSET 0) AS given"
    return f"(SELECT organization_id, {selected} FROM {given}) AS new"


def _array(name: str, kind: str) -> str:
    if kind != "text":
        return f"CAST(:{name} AS {'text' if kind == 'json' else kind}[])"
    texts = f"CAST(:{name} AS text)"  # see joined
    return f"(string_to_array({texts}, left({texts}, 1), split_part({texts}, left({texts}, 1), 2)))[3:]"


def columns_of(rows: Sequence[Sequence[Any]], *names: str) -> dict[str, list[Any]]:
    """Turn rows into the array parameters of ``rows_of``."""
    if not rows:
        return {name: [] for name in names}
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def array(texts: Iterable[str]) -> str:
    """Write the array of a single row as text, because arrays in an array must have one length."""
    given = list(texts)
    joint = '","'.join(given)
    if joint.count('"') != 2 * (len(given) - 1) or "\\" in joint:  # or there is none
        joint = '","'.join([text.replace("\\", "\\\\").replace('"', '\\"') for text in given])
    return f'{{"{joint}"}}' if given else "{}"


def document(column: str) -> str:
    """Write the cast of a ``json`` column of ``rows_of``.

    The type ``json`` accepts an escaped NUL, which ``jsonb`` refuses. It would fail later, when the value goes into a
    column of its own, and then harm another envelope. So a document that may have a NUL (or has an escaped backslash
    before the same letters) is parsed as ``jsonb`` first.
    """
    return f"CASE WHEN strpos({column}, '\\u0000') = 0 THEN {column}::json ELSE {column}::jsonb::json END"


def json_bytes(value: Any) -> bytes:
    """Write a value as JSON, as a ``json`` column of ``rows_of`` takes it."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # a key that is no text: rare, and the option takes twice as long
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)


# A plain insert reads no table, so one plan fits all its parameters. Other statements need a plan for theirs (see
# ``_SESSION`` in ``db``).
_PLAN_ONCE = "SET LOCAL plan_cache_mode = force_generic_plan"
_PLAN_ANEW = "SET LOCAL plan_cache_mode = force_custom_plan"


@contextmanager
def unawaited(conn: sqlalchemy.Connection) -> Iterator[None]:
    """Send the inserts of the block without waiting for their results.

    The next insert is prepared while the server works on the last, so locks are held for a third less time. The results
    have no rows and no counts, and an error is raised at the end of the block.
    """
    driver = conn.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - the engine's only driver
    try:
        with driver.pipeline():
            driver.execute(_PLAN_ONCE)
            yield
            driver.execute(_PLAN_ANEW)
    except psycopg.Error as error:  # the pipeline is the driver's, so SQLAlchemy has not wrapped it
        raise DBAPIError.instance(None, None, error, psycopg.Error, hide_parameters=True) from None
