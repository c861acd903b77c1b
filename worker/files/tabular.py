"""Tabular: the rows of a CSV or JSONL file, one at a time, however large the file is.

Memory holds one row and a sample of the first 64 KB. The sample decides the format, the encoding and the delimiter;
the operator names none of them. A bad row is yielded with the reason, and reading goes on. ConfigError is raised
only if the whole file cannot be read.
"""

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from connectors import json_values
from connectors.contract import MalformedPayloadError
from worker.errors import ConfigError
from worker.files import csv_rows, encodings, vcard
from worker.files.column_guess import header_of, names_of, shared_names
from worker.files.csv_rows import MAX_ROW, Shapes, TabularRow

SAMPLE = 65_536  #: bytes from which format, encoding and delimiter are guessed; the header must fit in
SAMPLE_ROWS = 200
_BLOCK = 65_536

Format = Literal["csv", "jsonl", "vcard"]

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_BYTE = re.compile("[\udc80-\udcff]")  #: a byte that is not UTF-8, as Python's "surrogateescape" decodes it
_GZIP = b"\x1f\x8b"
#: first bytes of files that are not text
_FOREIGN = {
    b"PK\x03\x04": "an Excel or zip file: save it as CSV, or unpack it",
    b"\xd0\xcf\x11\xe0": "an old Excel file: save it as CSV",
    b"PAR1": "a Parquet file: save it as CSV or JSONL",
    b"%PDF": "a PDF file: save what it shows as CSV",
}


@dataclass(slots=True)
class Table:
    """An open file of rows, and what its first 64 KB show."""

    format: Format
    columns: list[str]  #: in JSONL the keys that the sample has; a key inside an object is ``address.city``
    sample: list[dict[str, Any]]  #: the first rows, for ``guess`` and for showing the mapping to a person
    delimiter: str = ","
    notes: list[str] = field(default_factory=list)  #: remarks for the operator; reading the rows may add more
    _lines: "_Lines" = field(repr=False, kw_only=True)
    _cards: BinaryIO | None = field(repr=False, kw_only=True, default=None)
    _shapes: Shapes | None = field(repr=False, kw_only=True, default=None)
    _unguards: bool = field(kw_only=True, default=True)

    @property
    def is_ours(self) -> bool:
        """Whether it is an export of ours, which leaves empty cells empty."""
        return {"contact_id", "external_source", "external_id"} <= set(self.columns)

    def rows(self) -> Iterator[TabularRow]:
        """Yield the rows; works once. Raises ConfigError in the middle if the rest of the file is damaged."""
        if self._cards is not None:
            return vcard.rows(self._cards)
        if self.format == "jsonl":
            return _objects(self._lines)
        return csv_rows.rows(self._lines, self.delimiter, self._shapes, unguards=self._unguards)


@contextmanager
def open_table(path: Path, *, unguards: bool = True, encoding: str | None = None) -> Iterator[Table]:
    """Open a CSV or JSONL file, gzipped or not; close it when the block ends.

    ``encoding`` is that of a file that is not UTF-8, by Python's name.

    ``unguards`` removes the apostrophe that our exports put before cells that a spreadsheet would run as formulas.
    Raises ConfigError if the file cannot be read or holds no rows.
    """
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise ConfigError(f"no such file: {path}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    with stream:
        yield read_table(stream, unguards=unguards, encoding=encoding)


def read_table(stream: BinaryIO, *, unguards: bool = True, encoding: str | None = None) -> Table:
    """Return a stream of bytes as a table, judged by its first 64 KB; raises ConfigError if it holds no rows."""
    head, stream = _peek(stream, len(_GZIP))
    if head.startswith(_GZIP):
        stream = cast("BinaryIO", gzip.GzipFile(fileobj=stream))
    sample, stream = _peek(stream, SAMPLE)
    encoding = _encoding(sample, encoding)
    notes: list[str] = []
    is_whole = len(sample) < SAMPLE
    beginning = _Lines(io.BytesIO(sample), encoding, [])
    first = next((line for _, line in beginning if line.strip()), "").lstrip()
    if not first:
        raise ConfigError("the file is empty")
    if first.startswith("["):
        raise ConfigError("the file is one JSON list: write one object a line (JSONL)")
    if first.strip().upper() == vcard.BEGIN:
        found = _sample(vcard.rows(io.BytesIO(sample)), is_whole=is_whole)
        return Table("vcard", list(vcard.COLUMNS), found, notes=notes, _lines=beginning, _cards=stream)
    lines = _Lines(stream, encoding, notes)
    if first.startswith("{"):
        found = _sample(_objects(_Lines(io.BytesIO(sample), encoding, [])), is_whole=is_whole)
        return Table("jsonl", _keys(found), found, notes=notes, _lines=lines)
    beginning = _Lines(io.BytesIO(sample), encoding, [])
    delimiter, header = header_of([line for _, line in beginning], is_whole=is_whole)
    columns = names_of(header)
    notes += shared_names(header)
    beginning = _Lines(io.BytesIO(sample), encoding, [])
    shapes = Shapes.of_lines(columns, (line for _, line in beginning), delimiter)
    records = csv_rows.rows(_Lines(io.BytesIO(sample), encoding, []), delimiter, shapes, unguards=unguards)
    found = _sample(records, is_whole=is_whole)
    return Table("csv", columns, found, delimiter, notes, _lines=lines, _shapes=shapes, _unguards=unguards)


def _sample(rows: Iterator[TabularRow], *, is_whole: bool) -> list[dict[str, Any]]:
    found = [row.values for row, _ in zip(rows, range(SAMPLE_ROWS + 1), strict=False)]
    if not is_whole or len(found) > SAMPLE_ROWS:
        found = found[:-1]  # the last row may be cut off where the sample ends
    return [values for values in found if values is not None]


def _keys(found: list[dict[str, Any]]) -> list[str]:
    keys: dict[str, None] = {}

    def walk(values: dict[str, Any], prefix: str, level: int) -> None:
        for key, value in values.items():
            keys[prefix + key] = None
            if type(value) is dict and level < 3:
                walk(value, f"{prefix}{key}.", level + 1)

    for values in found:
        walk(values, "", 1)
    return list(keys)


def _objects(lines: "_Lines") -> Iterator[TabularRow]:
    """Yield the rows of a JSONL file."""
    for number, line in lines:
        raw = line.rstrip("\r\n")
        if not raw.strip():
            continue
        if lines.error is not None:
            yield TabularRow(number, None, lines.error, raw)
            continue
        try:
            values = json_values.load_json(raw.encode("utf-8", "surrogatepass"))
        except MalformedPayloadError as error:
            reason = str(error).replace("the body", "the line").replace("see line 1, ", "see ")
            yield TabularRow(number, None, reason, raw)
        else:
            yield TabularRow(number, values, None, raw)


class _Lines:
    """Numbered lines of a stream of bytes, with their line ends; ``error`` says what is wrong with the last line.

    Text without a byte order mark is UTF-8, or else Windows-1252, in which spreadsheets save in Europe and America.
    The first line with a character outside ASCII decides between the two.
    """

    def __init__(self, stream: BinaryIO, encoding: str, notes: list[str]) -> None:
        self._encoding = encoding
        self._is_utf8 = None if encoding == "utf-8" else True
        self._is_wide = encoding in ("utf-16", "utf-32")
        # Bytes that are not UTF-8 become half surrogates, which encode back to the same bytes.
        errors = "replace" if self._is_wide else "surrogateescape"
        self._text = io.TextIOWrapper(stream, encoding, errors, newline="")
        self._notes = notes
        self._number = 0
        self.error: str | None = None

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return self

    def __next__(self) -> tuple[int, str]:
        self.error = None
        line = self._read()
        if not line:
            raise StopIteration
        self._number += 1
        if len(line) > MAX_ROW:
            self.error = f"the line is longer than {MAX_ROW:,} characters"
            rest = line
            while rest and rest[-1] not in "\r\n":
                rest = self._read()
            line = line[:MAX_ROW] + "\n"
        return self._number, line if self._is_wide or line.isascii() else self._decoded(line)

    def _read(self) -> str:
        with _damage_reported(f"after line {self._number:,}"):
            return self._text.readline(MAX_ROW + 1)

    def _decoded(self, line: str) -> str:
        is_utf8 = not _BYTE.search(line)
        if self._is_utf8 is None:
            is_western = not is_utf8 and encodings.is_surely_western(line.encode("utf-8", "surrogateescape"))
            self._is_utf8 = not is_western
            if is_western:
                self._notes.append("the file is not UTF-8; it was read as Windows-1252")
            elif not is_utf8:
                self.error = encodings.ASK
        if self._is_utf8:
            name = "UTF-8" if self._encoding.startswith("utf-8") else self._encoding
            self.error = self.error or (None if is_utf8 else f"this line is not {name}, but the rest of the file is")
            return line
        try:
            return line.encode("utf-8", "surrogateescape").decode("cp1252")
        except UnicodeDecodeError:
            self.error = self.error or "this line is neither UTF-8 nor Windows-1252"
            return line


class _Joined(io.RawIOBase):
    """A stream that begins with bytes already read, and goes on with the rest."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = len(buffer)
        chunk, self._head = self._head[:size], self._head[size:]
        chunk = chunk or self._rest.read(size)
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _peek(stream: BinaryIO, size: int) -> tuple[bytes, BinaryIO]:
    """Return the first bytes of a stream, and a stream that still begins with them."""
    head = b""
    with _damage_reported("at its beginning"):
        while len(head) < size and (more := stream.read(size - len(head))):
            head += more
    return head, io.BufferedReader(_Joined(head, stream), _BLOCK)


@contextmanager
def _damage_reported(where: str) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise ConfigError(f"the file is cut off or damaged {where}") from None
    except OSError as error:
        raise ConfigError(f"the file cannot be read {where}: {error.strerror}") from None


def _encoding(sample: bytes, given: str | None) -> str:
    """Return the encoding that was given or that a byte order mark names, else UTF-8.

    Raises ConfigError if the file is not text, or not UTF-8 and readable in more than one way.
    """
    known = None if given is None else encodings.checked(given)
    for magic, what in _FOREIGN.items():
        if sample.startswith(magic):
            raise ConfigError(f"this is {what}")
    for mark, encoding in _BOMS:
        if sample.startswith(mark):
            return encoding
    if known is not None:
        return known
    if b"\0" in sample:
        raise ConfigError("this is not text, or it is UTF-16 without a byte order mark: save it as CSV in UTF-8")
    if encodings.is_ambiguous(sample.split(b"\n")[: -1 if len(sample) == SAMPLE else None]):
        raise ConfigError(encodings.ASK)
    return "utf-8"
