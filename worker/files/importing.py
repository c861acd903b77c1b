"""Importing: the rows of a file become envelopes of a source of their own, and are drained like webhooks.

Commits in steps, a page of rows at a time. Importing the same file twice keeps the same envelopes once. The time of
a file is when it was last changed, so a corrected file is newer and wins. A row that cannot be read is not kept; it
is handed back with the reason.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import TypeVar
from uuid import UUID, uuid4

from sqlalchemy import Engine

from connectors import files
from connectors.contract import MalformedPayloadError
from worker import ids
from worker.domain.statements import EnvelopeStatements
from worker.errors import ConfigError, PermanentError
from worker.files.csv_rows import TabularRow
from worker.inbox import drain, dry_run
from worker.store import connections, db, envelopes, ready, runs
from worker.store.connections import ConnectionRow
from worker.store.db import Tx
from worker.store.envelopes import Incoming
from worker.store.lanes import lane_of
from worker.store.runs import RunRow

T = TypeVar("T")

_PAGE = 500
_SHOWN_ROWS = 3
_CLOCKS_DIFFER_MS = 300_000
_HINTS = {
    "emails": "they are kept as they are, and nobody can be written to there",
    "texts": "they are too long, or have too many combining marks in a row; they are left out",
    "phones": "numbers in national form need --region, such as --region ID, or a column of countries",
}
#: The next page waits until at most this many kept rows are still due.
_BACKLOG = 2_000
#: After this long without progress we give up. A lease lasts seconds, so a killed worker's rows are due long before.
_STUCK_S = 120.0


@dataclass(slots=True)
class Unread:
    """Counts the values that cannot be read or used, by kind, and remembers the first rows that have one.

    These rows are accepted: the rest of each is imported.
    """

    counts: dict[str, int] = field(default_factory=dict)
    rows: dict[str, list[int]] = field(default_factory=dict)

    def add(self, registers: Iterable[str], row: int) -> None:
        """Count the values of a row; ``registers`` are those of ``EnvelopeStatements.unread``."""
        for register in registers:
            self._count("emails" if register.startswith("email") else "phones", 1, row)

    def _count(self, kind: str, count: int, row: int) -> None:
        if count:
            self.counts[kind] = self.counts.get(kind, 0) + count
            shown = self.rows.setdefault(kind, [])
            if len(shown) < _SHOWN_ROWS:
                shown.append(row)

    def add_left_out(self, count: int, row: int) -> None:
        """Count the texts of a row that are too long or hostile."""
        self._count("texts", count, row)

    def report(self) -> dict[str, dict[str, object]]:
        """Return what an operator should know, with the way out."""
        return {
            kind: {"count": count, "rows": self.rows[kind], "hint": _HINTS[kind]} for kind, count in self.counts.items()
        }


@dataclass(slots=True)
class Imported:
    """Counts of the rows of a file, so far or at the end."""

    read: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    run_id: UUID | None = None  #: of an import that is no dry run; it can be undone by this id
    unread: Unread = field(default_factory=Unread)
    report: dict[str, object] = field(default_factory=dict)  #: of a dry run: what would have changed


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """How to understand the rows of a file."""

    mapping: Mapping[str, str]  #: our name -> column
    as_of: datetime  #: aware; the file states what was true then
    empty_is_none: bool = False  #: an empty cell clears the field; else it says nothing
    fixed: Mapping[str, str] = field(default_factory=dict)  #: our name -> what all rows say
    keeps_null_words: bool = False  #: NULL is a name like others; else it is an empty cell

    def headers(self, *more: tuple[str, str]) -> str:
        """Return the headers of each row's envelope, as JSON."""
        headers = files.headers_of(
            self.mapping,
            self.as_of,
            empty_is_none=self.empty_is_none,
            fixed=self.fixed,
            keeps_null_words=self.keeps_null_words,
        )
        return db.json([[name, value] for name, value in (*headers.items(), *more)])


def import_rows(
    engine: Engine,
    organization_id: UUID,
    source: str,
    file: File,
    rows: Iterable[TabularRow],
    *,
    region: str | None,
    is_dry: bool,
    reject: Callable[[TabularRow, str], None],
    on_progress: Callable[[Imported], None] = lambda _: None,
) -> Imported:
    """Import rows, and return when all of them have been drained.

    ``reject`` is called with each row that cannot be read, and the reason. With ``is_dry`` nothing is stored, and
    the result has a ``report``. Rows that were imported before count as unchanged. Raises ConfigError if the source
    is another system's or paused, and PermanentError if the rows are not drained for two minutes.
    """
    if is_dry:
        return _dry_run(engine, _unsaved_connection(organization_id, source, region), file, rows, reject, on_progress)
    with engine.begin() as conn:
        tx = Tx(conn, organization_id)
        connection = _connection(tx, source, region)
        run = runs.start_import(tx, connection.id, uuid4())
    result = Imported(run_id=run.id)
    for page in _pages(rows):
        good = [one for row in page if (one := _read_row(connection, file, row, result, reject))]
        with engine.begin() as conn:
            db.enter(Tx(conn, organization_id))
            kept = envelopes.keep(conn, [incoming for incoming, _ in good], run.id) if good else []
            known = sum(1 for one in kept if one.is_duplicate)
            run = runs.advance_import(conn, run, read=len(kept), unchanged=known)
        result.read += len(page)
        _copy_counts(result, run)
        on_progress(result)
        _work_off(engine, run, down_to=_BACKLOG)
    with engine.begin() as conn:
        runs.end_import(conn, run)
    run = _work_off(engine, run, down_to=0)
    _copy_counts(result, run)
    result.rejected += run.parked
    return result


def undo(engine: Engine, organization_id: UUID, run_id: UUID) -> int:
    """Take back all statements of an import, as if its rows had been empty; return the number of rows.

    What others said about the same customers counts again. The same file can be imported again afterwards. Raises
    ConfigError if there is no such import.
    """
    with engine.begin() as conn:
        tx = Tx(conn, organization_id)
        run = runs.by_id(tx, run_id)
        if run is None or run.kind != "import":
            raise ConfigError(f"--undo: there is no import {ids.show(ids.RUN, run_id)}")
        # The ids of rows are younger than that of their run, but for the clocks of two processes.
        since = UUID(int=run_id.int - (_CLOCKS_DIFFER_MS << 80))
        header = (files.RUN, ids.show(ids.RUN, run_id))
        rows = envelopes.rename(tx, run.connection_id, since, header=header, topic=files.TOPIC, to=files.UNDONE)
        ready.replay(tx, rows)
    lane = lane_of(run.connection_id)
    while drain.drain_batch(engine, lane).leased + drain.drain_batch(engine, lane, suspects=True).leased:
        pass
    return len(rows)


def _copy_counts(result: Imported, run: RunRow) -> None:
    result.changed, result.unchanged = run.changed, run.unchanged


def _work_off(engine: Engine, run: RunRow, *, down_to: int) -> RunRow:
    """Drain the run's lane until at most ``down_to`` rows are left; workers, if any run, drain beside us."""
    lane, still, left = lane_of(run.connection_id), time.monotonic(), -1
    while True:
        with engine.connect() as conn:
            found = runs.by_id(Tx(conn, run.organization_id), run.id)
        if found is None or found.left <= down_to:
            return found or run
        if found.left != left:
            left, still = found.left, time.monotonic()
        if time.monotonic() - still > _STUCK_S:
            raise PermanentError(f"{left:,} rows are kept but were not drained; see `contactsync status`")
        if drain.drain_batch(engine, lane).leased + drain.drain_batch(engine, lane, suspects=True).leased == 0:
            time.sleep(0.05)


def _dry_run(
    engine: Engine,
    connection: ConnectionRow,
    file: File,
    rows: Iterable[TabularRow],
    reject: Callable[[TabularRow, str], None],
    on_progress: Callable[[Imported], None],
) -> Imported:
    result = Imported()
    for page in _pages(rows):
        good = [one for row in page if (one := _read_row(connection, file, row, result, reject))]
        statements = [stated for _, stated in good]
        applied = dry_run.try_statements(engine, connection.organization_id, connection.id, statements)
        changed = sum(1 for stated in statements if stated.envelope_id in applied.changed_by)
        result.read += len(page)
        result.changed += changed
        result.unchanged += len(statements) - changed
        result.report = dry_run.report(result.report, applied, ())
        on_progress(result)
    return result


def _read_row(
    connection: ConnectionRow,
    file: File,
    row: TabularRow,
    result: Imported,
    reject: Callable[[TabularRow, str], None],
) -> tuple[Incoming, EnvelopeStatements] | None:
    """Return a row's envelope and its statements; hand a row without statements to ``reject`` and return None.

    The drain would find the same mistakes, but only now is the operator there to correct them.
    """
    reason = row.error or "no row"
    if row.values is not None:
        incoming = _incoming(connection, file, row, result.run_id)
        try:
            stated = dry_run.statements_of(incoming, connection)
        except MalformedPayloadError as error:
            reason = str(error)
        else:
            if not stated.is_empty:
                result.unread.add(stated.unread, row.number)
                result.unread.add_left_out(len(stated.left_out), row.number)
                return incoming, stated
            reason = "it has no external_id, and no e-mail or phone that can be read: it identifies nobody"
    reject(row, reason)
    result.rejected += 1
    return None


def _incoming(connection: ConnectionRow, file: File, row: TabularRow, run_id: UUID | None) -> Incoming:
    """Return a row's envelope. Its run is no part of its delivery id: the same row is the same in every run."""
    body = files.body_of(row.values or {})
    headers = file.headers()
    stored = headers if run_id is None else file.headers((files.RUN, ids.show(ids.RUN, run_id)))
    # Both rows of one customer have the time of the file. The delivery id breaks the tie, so the later row wins.
    digest = sha256(headers.encode() + b"\0" + body).hexdigest()
    return Incoming(
        organization_id=connection.organization_id,
        id=ids.new(),
        connection_id=connection.id,
        topic=files.TOPIC,
        delivery_id=f"file:{row.number:012d}:{digest}",
        sent_at=file.as_of,
        headers=stored,
        body=body,
        body_sha256=sha256(body).digest(),
    )


def _connection(tx: Tx, source: str, region: str | None) -> ConnectionRow:
    """Return the connection of a source of files; the first import creates it."""
    found = next(
        (one for one in connections.of_organization(tx) if _is_in_use(one, source)),
        None,
    )
    if found is None:
        id_ = connections.insert_new(
            tx,
            connector=files.name,
            source=source,
            options={},
            region=region,
            priority=100,
            webhook_secrets=(),
        )
        found = connections.by_id(tx.conn, id_)
    if found is None or found.connector != files.name:
        raise ConfigError(f"--source: {source!r} is another system's; a file needs a name of its own")
    if found.state == "paused":
        raise ConfigError(f"--source: {source!r} is paused; resume it first")
    return found


def _is_in_use(connection: ConnectionRow, source: str) -> bool:
    return connection.source == source and connection.state != "removed"


def _unsaved_connection(organization_id: UUID, source: str, region: str | None) -> ConnectionRow:
    """Return a connection for a dry run; it is not in the store."""
    return ConnectionRow(
        organization_id=organization_id,
        id=ids.new(),
        connector=files.name,
        source=source,
        options={},
        region=region,
        priority=100,
        approved_fields=[],
        webhook_secrets=[],
        access_token=None,
        sealed_credentials=None,
        state="active",
        revoked_at=None,
        refused_signatures=0,
        last_delivery_at=None,
        created_at=datetime.now().astimezone(),
    )


def _pages(rows: Iterable[T]) -> Iterator[list[T]]:
    left = iter(rows)
    while page := list(islice(left, _PAGE)):
        yield page
