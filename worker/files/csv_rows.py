"""CSV rows: the rows of a CSV file, one at a time; a broken row costs one row.

A quote that is never closed would swallow the rows behind it. So a line inside a quoted cell that looks like a row of
its own ends the broken row, and reading goes on there.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from worker.errors import ConfigError
from worker.files.column_guess import names_of
from worker.files.formula_guard import unguard

#: characters in a row, all its lines together; a longer row is rejected
MAX_ROW = 1_000_000
_JUDGED_ROWS = 200
_MOST_LINES = 2_000  #: of one row: a longer one has a quote that is not closed
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_DIGITS = re.compile(r"'?[+(]?\d[\d ().\-/]{3,24}")
_SHAPES = (_MAIL, _DIGITS)


class TabularRow(NamedTuple):
    """A row, or the reason why it cannot be read."""

    number: int  #: the number of its first line, as an editor shows it
    values: dict[str, Any] | None  #: by column; text in CSV, any JSON value in JSONL; None if the row is rejected
    error: str | None
    raw: str  #: the row as it is in the file


class Lines(Protocol):
    """Numbered lines; ``error`` says what is wrong with the last one."""

    error: str | None

    def __next__(self) -> tuple[int, str]: ...


@dataclass(frozen=True, slots=True)
class Shapes:
    """What the cells of columns look like, as far as nearly all of the first rows agree."""

    columns: int
    of_column: Mapping[int, re.Pattern[str]]

    @classmethod
    def of_lines(cls, names: Sequence[str], lines: Iterable[str], delimiter: str) -> "Shapes":
        """Learn the shapes of the columns from those first lines that are whole rows."""
        read = [cells for line in lines if len(cells := _cells(line, delimiter)) == len(names)]
        found: dict[int, re.Pattern[str]] = {}
        for place in range(len(names)):
            given = [cells[place].strip() for cells in read[1:_JUDGED_ROWS] if cells[place].strip()]
            for shape in _SHAPES:
                if given and 5 * sum(shape.fullmatch(cell) is not None for cell in given) >= 4 * len(given):
                    found.setdefault(place, shape)
        return cls(len(names), found)

    def fit(self, cells: Sequence[str]) -> bool:
        """Return whether all cells have the shapes of their columns. Empty cells do not count; one other is needed."""
        given = [
            shape.fullmatch(cells[place].strip()) is not None
            for place, shape in self.of_column.items()
            if place < len(cells) and cells[place].strip()
        ]
        return bool(given) and all(given)

    def is_row(self, line: str, delimiter: str) -> bool:
        """Whether a line inside a quoted cell looks like a row of its own."""
        if line.count('"') % 2 or line.count(delimiter) < self.columns - 1:
            return False
        cells = _cells(line, delimiter)
        if len(cells) != self.columns:
            return False
        return self.fit(cells) if self.of_column else self.columns > 2


def _cells(line: str, delimiter: str) -> list[str]:
    """Return the cells of a line by itself; none if it is no row by itself."""
    if line.count('"') % 2:
        return []
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []


def rows(lines: Lines, delimiter: str, shapes: Shapes | None, *, unguards: bool) -> Iterator[TabularRow]:
    """Yield the rows of a CSV file after its header; ``shapes`` are not known yet when they are looked for."""
    csv.field_size_limit(MAX_ROW)  # for the whole process; the default, 128 KB, is too small
    columns: list[str] | None = None
    short: _Row | None = None
    for row in _read(lines, delimiter, shapes):
        if row.error is None and (not row.raw.strip() or (columns is None and row.raw.lower().startswith("sep="))):
            continue
        if columns is None:
            if row.error is not None:
                raise ConfigError(f"the header cannot be read: {row.error}")
            columns = names_of(row.cells)
            continue
        fitted = _fitted(row, columns, shapes)
        if short is not None:
            # A line break that nobody quoted has cut a row in two, if what follows is no row either.
            is_cut = fitted.error is not None and len(short.cells) + len(row.cells) <= len(columns) + 1
            first = _wrong_count(short, columns) if is_cut else _fitted(short, columns, shapes)
            yield first.shown(columns, unguards=unguards)
            short = None
        if fitted.is_short:
            short = row
            continue
        yield fitted.shown(columns, unguards=unguards)
    if short is not None and columns is not None:
        # A file that was cut off ends in the middle of a row.
        last = _fitted(short, columns, shapes) if short.ends else _wrong_count(short, columns)
        yield last.shown(columns, unguards=unguards)


class _Row(NamedTuple):
    number: int
    cells: list[str]
    error: str | None
    raw: str
    ends: bool = True  #: its last line has an end
    is_short: bool = False  #: cells at its end are missing

    def shown(self, columns: Sequence[str], *, unguards: bool) -> TabularRow:
        if self.error is not None:
            return TabularRow(self.number, None, self.error, self.raw)
        cells = map(unguard, self.cells) if unguards else self.cells
        return TabularRow(self.number, dict(zip(columns, cells, strict=True)), None, self.raw)


def _fitted(row: _Row, columns: Sequence[str], shapes: Shapes | None) -> _Row:
    """Return the row with one cell per column. Empty cells may be missing or spare at its end; else it is an error."""
    found, wanted = len(row.cells), len(columns)
    if row.error is not None or found == wanted:
        return row
    if found > wanted and not any(cell.strip() for cell in row.cells[wanted:]):
        return row._replace(cells=row.cells[:wanted])
    if found < wanted and shapes is not None and shapes.fit(row.cells):
        return row._replace(cells=row.cells + [""] * (wanted - found), is_short=True)
    return _wrong_count(row, columns)


def _wrong_count(row: _Row, columns: Sequence[str]) -> _Row:
    return row._replace(error=row.error or f"{len(row.cells)} cells, where the header has {len(columns)}")


def _read(lines: Lines, delimiter: str, shapes: Shapes | None) -> Iterator[_Row]:
    """Yield rows. If a row cannot be read, its first line is the error, and the next line begins a new row."""
    source = _RowLines(lines, delimiter, shapes)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    while True:
        source.start()
        cells: list[str] = []
        error = None
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            error = "a quote is not closed, or closed in the middle of a cell"
        except _BrokenError as broken:
            error = str(broken)
        if error is not None:
            source.give_back()
            reader = csv.reader(source, delimiter=delimiter, strict=True)  # the old one is inside a cell
        raw = "".join(source.lines)
        ends = raw.endswith(("\n", "\r"))
        yield _Row(source.number, cells, source.error or error, raw.rstrip("\r\n"), ends)
        source.is_past_header = True


class _BrokenError(Exception):
    pass


class _RowLines:
    """Feeds lines to ``csv.reader``, and remembers the lines of the current row."""

    def __init__(self, lines: Lines, delimiter: str, shapes: Shapes | None) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._shapes = shapes
        self._again: list[tuple[int, str, str | None]] = []  #: lines given back, the next one last
        self.is_past_header = False
        self.start()

    def start(self) -> None:
        self._taken: list[tuple[int, str, str | None]] = []
        self.number = 0
        self.error: str | None = None
        self._length = 0

    @property
    def lines(self) -> list[str]:
        return [line for _, line, _ in self._taken]

    def give_back(self) -> None:
        """Keep the first line of the row, and read the others again."""
        self._again += reversed(self._taken[1:])
        self._taken = self._taken[:1]
        self.error = self._taken[0][2] if self._taken else None

    def __iter__(self) -> "_RowLines":
        return self

    def __next__(self) -> str:
        number, line, error = self._again.pop() if self._again else self._next()
        if self._taken and self.is_past_header and self._shapes and self._shapes.is_row(line, self._delimiter):
            self._again.append((number, line, error))
            raise _BrokenError("a quote is not closed: the next line looks like a row of its own")
        self.number = self.number or number
        self.error = self.error or error
        self._length += len(line)
        self._taken.append((number, line, error))
        if self._length > MAX_ROW or len(self._taken) > _MOST_LINES:
            raise _BrokenError(f"longer than {MAX_ROW:,} characters or {_MOST_LINES:,} lines, or a quote is not closed")
        return line

    def _next(self) -> tuple[int, str, str | None]:
        number, line = next(self._lines)
        return number, line, self._lines.error
