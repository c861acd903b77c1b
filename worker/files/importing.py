"""Imports: the rows of a file become envelopes of a source of its own, drained like webhooks.

The same file imported twice is the same envelopes; a file that was corrected speaks for a later time (when it was
last changed), so it wins. Rows that cannot be read are not kept but handed back with the reason.
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
from worker.files.tabular import TabularRow
from worker.inbox import drain, dry_run
from worker.store import connections, db, envelopes, runs
from worker.store.connections import ConnectionRow
from worker.store.db import Tx
from worker.store.envelopes import LANES, Incoming
from worker.store.runs import RunRow

T = TypeVar("T")

_PAGE = 500
#: rows kept and not worked off, before the next page
_BACKLOG = 2_000
#: all that others hold is worked off within a lease, or is ours again
_STUCK_S = 120.0


@dataclass(slots=True)
class Imported:
    """What became of a file."""

    read: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    report: dict[str, object] = field(default_factory=dict)  #: of a dry run


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """How the rows of a file are to be understood."""

    mapping: Mapping[str, str]  #: our name: column
    as_of: datetime  #: the time it speaks for
    empty_is_none: bool = False

    def headers(self) -> str:
        """The headers of its rows' envelopes."""
        headers = files.headers_of(self.mapping, self.as_of, empty_is_none=self.empty_is_none)
        return db.json([[name, value] for name, value in headers.items()])


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
    """Import rows and wait until they have taken effect; ``reject`` gets each that cannot be read, and why.

    Raises ConfigError if the source belongs to something else than files.
    """
    if is_dry:
        return _dry_run(engine, _unsaved_connection(organization_id, source, region), file, rows, reject, on_progress)
    with engine.begin() as conn:
        tx = Tx(conn, organization_id)
        connection = _connection(tx, source, region)
        run = runs.start_import(tx, connection.id, uuid4())
    result = Imported()
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


def _copy_counts(result: Imported, run: RunRow) -> None:
    result.changed, result.unchanged = run.changed, run.unchanged


def _work_off(engine: Engine, run: RunRow, *, down_to: int) -> RunRow:
    """Drain until no more than ``down_to`` rows wait; whatever workers there are help."""
    lane, still, left = run.connection_id.int % LANES, time.monotonic(), -1
    while True:
        with engine.connect() as conn:
            found = runs.by_id(Tx(conn, run.organization_id), run.id)
        if found is None or found.left <= down_to:
            return found or run
        if found.left != left:
            left, still = found.left, time.monotonic()
        if time.monotonic() - still > _STUCK_S:
            raise PermanentError(f"{left:,} rows are kept and not worked off; see `contactsync status`")
        if drain.drain_batch(engine, lane).claimed + drain.drain_batch(engine, lane, suspects=True).claimed == 0:
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
        applied = dry_run.try_out(engine, connection.organization_id, connection.id, statements)
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
    """Make a row's envelope and read it at once: the operator is there to put it right."""
    reason = row.error or "no row"
    if row.values is not None:
        incoming = _incoming(connection, file, row)
        try:
            stated = dry_run.read(incoming, connection)
        except MalformedPayloadError as error:
            reason = str(error)
        else:
            if not stated.is_empty:
                return incoming, stated
            reason = "its e-mail or phone cannot be read, and it has no external_id: it is about nobody"
    reject(row, reason)
    result.rejected += 1
    return None


def _incoming(connection: ConnectionRow, file: File, row: TabularRow) -> Incoming:
    body = files.body_of(row.values or {})
    headers = file.headers()
    # Of two rows about one customer the later one wins: the id breaks the tie of their times.
    digest = sha256(headers.encode() + b"\0" + body).hexdigest()
    return Incoming(
        organization_id=connection.organization_id,
        id=ids.new(),
        connection_id=connection.id,
        topic=files.TOPIC,
        delivery_id=f"file:{row.number:012d}:{digest}",
        sent_at=file.as_of,
        headers=headers,
        body=body,
        body_sha256=sha256(body).digest(),
    )


def _connection(tx: Tx, source: str, region: str | None) -> ConnectionRow:
    """Find the connection of a source of files, made on first use."""
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
    """A connection that is not stored, for a dry run."""
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
