"""Tables: the result of a command, for a person."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from worker.shown import cell, columns, console


def print_tables(found: Any) -> None:
    """Print a list as a table with a row for each item, and a document with a line for each value.

    What a document holds of other documents and lists comes after it, in tables of their own. If the rows of a list are
    too wide for the terminal, each item is printed like a document.
    """
    out = console()
    tables = [_of_rows("", found)] if isinstance(found, list) else list(_of_document("", found))
    if isinstance(found, list) and not _fits(tables[0], out):
        tables = [table for item in found for table in _of_document("", item)]
    if not any(table.row_count for table in tables):
        print("none")
        return
    for number, table in enumerate(tables):
        if number:
            out.print()
        out.print(table)


def _fits(table: Table, out: Console) -> bool:
    wide = out.options.update(max_width=out.width + 1)
    return Measurement.get(out, wide, table).maximum <= out.width


def _of_document(title: str, found: Mapping[str, Any]) -> Iterator[Table]:
    plain = {name: value for name, value in found.items() if not _has_parts(value)}
    if plain:
        table = _table(title, ("what", "value"))
        for name, value in plain.items():
            if value not in (None, {}, []):
                table.add_row(cell(name), cell(_text(value)))
        yield table
    for name, value in found.items():
        if _has_parts(value):
            yield from _of_part(name, value)


def _of_part(name: str, value: Any) -> Iterator[Table]:
    if isinstance(value, list):
        yield _of_rows(name, value)
    elif all(isinstance(part, Mapping) for part in value.values()):
        yield _of_rows(name, [{"what": key, **part} for key, part in value.items()])
    else:
        yield from _of_document(name, value)


def _of_rows(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))  # not all rows have the same
    table = _table(title, names)
    for row in rows:
        table.add_row(*(cell(_text(row.get(name))) for name in names))
    return table


def _table(title: str, names: Sequence[str]) -> Table:
    return Table(*columns(*names), title=title.replace("_", " ") or None, title_justify="left", box=None)


def _has_parts(value: Any) -> bool:
    """Whether a value needs a table of its own."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(part, Mapping) for part in value)
    return isinstance(value, Mapping) and bool(value)


def _text(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_text(part)}" for name, part in value.items() if part not in ({}, []))
    if isinstance(value, list | tuple):
        return str(len(value)) if _has_parts(value) else ", ".join(str(_text(part)) for part in value)
    return value
