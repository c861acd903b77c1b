"""Tabular: the rows of a CSV or JSONL file, one at a time, however large the file is.

Nothing but a row and a sample of the first 64 KB is held. What kind of file it is, its encoding and its delimiter are
judged by that sample, never asked. A bad row is yielded with the reason, and the rest goes on; ConfigError is raised
only for what makes a whole file unreadable.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, cast

from connectors import json_values
from connectors.contract import MalformedPayloadError
from worker.errors import ConfigError
from worker.files.column_guess import header_of, names_of
from worker.files.formula_guard import unguard

#: characters of a row, over as many lines as it takes; longer ones are rejected
MAX_ROW = 1_000_000
SAMPLE = 65_536  #: bytes that the file is judged by; its header must fit
SAMPLE_ROWS = 200
_BLOCK = 65_536

Format = Literal["csv", "jsonl"]

_BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),  # before UTF-16, whose mark it begins with
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_BYTE = re.compile("[\udc80-\udcff]")  #: a byte that is no UTF-8, as Python's "surrogateescape" shows it
_GZIP = b"\x1f\x8b"
#: beginnings of files that are no text
_FOREIGN = {
    b"PK\x03\x04": "an Excel or zip file: save it as CSV, or unpack it",
    b"\xd0\xcf\x11\xe0": "an old Excel file: save it as CSV",
    b"PAR1": "a Parquet file: save it as CSV or JSONL",
    b"%PDF": "a PDF file: save what it shows as CSV",
}


class TabularRow(NamedTuple):
    """A row, or why it cannot be read."""

    number: int  #: of its first line, as an editor shows it
    values: dict[str, Any] | None  #: by column; text, or of a JSON line anything; None if the row is rejected
    error: str | None
    raw: str  #: the row as it was


@dataclass(slots=True)
class Table:
    """An open file of rows."""

    format: Format
    columns: list[str]  #: of a JSONL file those of the sample; an object's inner ones as ``address.city``
    sample: list[dict[str, Any]]  #: the first rows, for ``guess`` and for showing what was understood
    delimiter: str = ","
    notes: list[str] = field(default_factory=list)  #: what the operator should know; more may come while reading
    _lines: "_Lines" = field(repr=False, kw_only=True)
    _unguards: bool = field(kw_only=True, default=True)

    def rows(self) -> Iterator[TabularRow]:
        """Yield the rows, once. Raises ConfigError if the file turns out to be damaged further on."""
        if self.format == "jsonl":
            return _objects(self._lines)
        return _records(self._lines, self.delimiter, unguards=self._unguards)


@contextmanager
def open_table(path: Path, *, unguards: bool = True) -> Iterator[Table]:
    """Open a file, packed by gzip or not.

    ``unguards`` takes off the apostrophe that our exports put before what a spreadsheet would take for a formula.
    """
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise ConfigError(f"no such file: {path}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    with stream:
        yield read_table(stream, unguards=unguards)


def read_table(stream: BinaryIO, *, unguards: bool = True) -> Table:
    """Look at the beginning of a stream of bytes and say what it is; raises ConfigError if it holds no rows."""
    head, stream = _peek(stream, len(_GZIP))
    if head.startswith(_GZIP):
        stream = cast("BinaryIO", gzip.GzipFile(fileobj=stream))
    sample, stream = _peek(stream, SAMPLE)
    encoding = _encoding(sample)
    notes: list[str] = []
    is_whole = len(sample) < SAMPLE
    beginning = _Lines(io.BytesIO(sample), encoding, [])
    first = next((line for _, line in beginning if line.strip()), "").lstrip()
    if not first:
        raise ConfigError("the file is empty")
    if first.startswith("["):
        raise ConfigError("the file is one JSON list: write one object a line (JSONL)")
    lines = _Lines(stream, encoding, notes)
    if first.startswith("{"):
        found = _sample(_objects(_Lines(io.BytesIO(sample), encoding, [])), is_whole=is_whole)
        return Table("jsonl", _keys(found), found, notes=notes, _lines=lines)
    beginning = _Lines(io.BytesIO(sample), encoding, [])
    delimiter, columns = header_of([line for _, line in beginning], is_whole=is_whole)
    records = _records(_Lines(io.BytesIO(sample), encoding, []), delimiter, unguards=unguards)
    found = _sample(records, is_whole=is_whole)
    return Table("csv", columns, found, delimiter, notes, _lines=lines, _unguards=unguards)


def _sample(rows: Iterator[TabularRow], *, is_whole: bool) -> list[dict[str, Any]]:
    found = [row.values for row, _ in zip(rows, range(SAMPLE_ROWS + 1), strict=False)]
    if not is_whole or len(found) > SAMPLE_ROWS:
        found = found[:-1]  # cut off where the sample ends
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
    """Rows of JSON lines."""
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


def _records(lines: "_Lines", delimiter: str, *, unguards: bool) -> Iterator[TabularRow]:
    """Rows of CSV, after the header."""
    csv.field_size_limit(MAX_ROW)  # of the process; the default is an eighth of it
    row_lines = _RowLines(lines)
    records = csv.reader(row_lines, delimiter=delimiter, strict=True)
    columns: list[str] | None = None
    while True:
        row_lines.start()
        error = None
        try:
            cells = next(records)
        except StopIteration:
            return
        except csv.Error:
            cells, error = [], "a quote is not closed, or closed in the middle of a cell"
        except _TooLongError:
            cells, error = [], f"longer than {MAX_ROW:,} characters, or a quote is not closed"
        raw = "".join(row_lines.lines).rstrip("\r\n")
        error = row_lines.error or error
        if error is None and (not raw.strip() or (columns is None and raw.lower().startswith("sep="))):
            continue
        if columns is None:
            if error is not None:
                raise ConfigError(f"the header cannot be read: {error}")
            columns = names_of(cells)
            continue
        if error is None and len(cells) != len(columns):
            error = f"{len(cells)} cells, where the header has {len(columns)}"
        if error is not None:
            yield TabularRow(row_lines.number, None, error, raw)
            continue
        yield TabularRow(
            row_lines.number, dict(zip(columns, map(unguard, cells) if unguards else cells, strict=True)), None, raw
        )


class _TooLongError(Exception):
    pass


class _RowLines:
    """Hands lines to the reader of CSV and remembers those of the row that it is at."""

    def __init__(self, lines: "_Lines") -> None:
        self._lines = lines
        self.start()

    def start(self) -> None:
        self.lines: list[str] = []
        self.number = 0
        self.error: str | None = None
        self._length = 0

    def __iter__(self) -> "_RowLines":
        return self

    def __next__(self) -> str:
        number, line = next(self._lines)
        self.number = self.number or number
        self.error = self.error or self._lines.error
        self._length += len(line)
        self.lines.append(line)
        if self._length > MAX_ROW:
            raise _TooLongError
        return line


class _Lines:
    """Numbered lines of a stream of bytes, with their ends; ``error`` says what is wrong with the last one.

    Text without a mark of its encoding is UTF-8 or, if it cannot be, Windows-1252, which is what spreadsheets save
    in Europe and America. The first line that is not plain ASCII decides.
    """

    def __init__(self, stream: BinaryIO, encoding: str, notes: list[str]) -> None:
        self._is_utf8 = None if encoding == "utf-8" else True
        self._is_wide = encoding in ("utf-16", "utf-32")
        # What is no UTF-8 comes through as half surrogates, from which the bytes can be had back.
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
            self._is_utf8 = is_utf8
            if not is_utf8:
                self._notes.append("the file is not UTF-8; it was read as Windows-1252")
        if self._is_utf8:
            self.error = self.error or (None if is_utf8 else "not UTF-8, which the rest of the file is")
            return line
        try:
            return line.encode("utf-8", "surrogateescape").decode("cp1252")
        except UnicodeDecodeError:
            self.error = self.error or "neither UTF-8 nor Windows-1252"
            return line


class _Joined(io.RawIOBase):
    """What was read of a stream already, then the rest of it."""

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
    """Return the first bytes of a stream, and the stream with them."""
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


def _encoding(sample: bytes) -> str:
    """Return the encoding that the file is marked with, else UTF-8; raises ConfigError for what is no text."""
    for magic, what in _FOREIGN.items():
        if sample.startswith(magic):
            raise ConfigError(f"this is {what}")
    for mark, encoding in _BOMS:
        if sample.startswith(mark):
            return encoding
    if b"\0" in sample:
        raise ConfigError("this is no text, or UTF-16 without a mark: save it as CSV in UTF-8")
    return "utf-8"
