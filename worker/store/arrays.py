"""Arrays of parameters in the binary format, which is how whole tables travel to the server."""

import struct
from collections.abc import Callable
from typing import Any

from psycopg.abc import Buffer
from psycopg.postgres import types
from psycopg.types.array import ListBinaryDumper

# https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/arrayfuncs.c, array_recv: dimensions, whether
# there are nulls, type of the elements, then size and lower bound of a dimension; each element after its length.
_HEAD = struct.Struct("!IIIII")
_LENGTH = struct.Struct("!i").pack
_NULL = _LENGTH(-1)
_LENGTHS = tuple(map(_LENGTH, range(4096)))
_BOOLEANS = {False: _LENGTH(1) + b"\0", True: _LENGTH(1) + b"\1", None: _NULL}
_UUID = _LENGTH(16)


def _texts(values: list[Any]) -> list[bytes]:
    written = [None if value is None else value.encode() for value in values]
    return [
        _NULL if text is None else (_LENGTHS[size] if (size := len(text)) < 4096 else _LENGTH(size)) + text
        for text in written
    ]


def _booleans(values: list[Any]) -> list[bytes]:
    return [_BOOLEANS[value] for value in values]


def _uuids(values: list[Any]) -> list[bytes]:
    return [_NULL if value is None else _UUID + value.int.to_bytes(16) for value in values]


_WRITERS: dict[int, Callable[[list[Any]], list[bytes]]] = {
    types["text"].oid: _texts,
    types["bool"].oid: _booleans,
    types["uuid"].oid: _uuids,
}


class ArrayDumper(ListBinaryDumper):
    """The driver's own, which asks for each element how to write it, and without asking for those most written."""

    def dump(self, obj: list[Any]) -> Buffer | None:
        """Write an array."""
        oid = 0 if self.sub_dumper is None else self.sub_dumper.oid
        write = _WRITERS.get(oid)
        if write is None or not obj or isinstance(obj[0], list):
            return super().dump(obj)
        written = write(obj)
        return _HEAD.pack(1, _NULL in written, oid, len(obj), 1) + b"".join(written)
