"""The webhook route: raw bytes in, one committed row each, grouped; then the answer.

Concurrent requests share one insert and one synchronous commit. Nothing but Postgres stands between a
request and its answer: a frozen broker cannot delay it.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import orjson
import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from connectors.contract import BadSignatureError
from worker import ids, metrics
from worker.errors import ConfigError
from worker.ingest import Source, accept, source_of
from worker.nudge import nudger
from worker.settings import settings
from worker.store import connections, db, envelopes
from worker.store.envelopes import Incoming, Kept

log = structlog.get_logger()

#: how long a change to a connection (a rotated secret, a removal) may take to be noticed
_CACHE_S = 2.0
#: requests in one insert; a commit's wait fills the next
_MOST_IN_FLUSH = 200
#: the per-connection figures of the status are written this long after a delivery
_NOTE_AFTER_S = 0.25
_RETRY_AFTER_S = "5"


class Unavailable(Exception):  # noqa: N818 - a state, answered with 503
    """Postgres did not take the request; the sender should try again."""


@dataclass(slots=True)
class _Notes:
    """What happened to a connection since its figures were last written."""

    delivered_at: datetime | None = None
    refused: int = 0


@dataclass(slots=True)
class Inbox:
    """Groups requests into inserts; one per process, living on its event loop."""

    write: Callable[[list[Incoming]], list[Kept]]
    _waiting: list[tuple[Incoming, "asyncio.Future[Kept]"]] = field(default_factory=list)
    _notes: dict[UUID, _Notes] = field(default_factory=dict)
    _flushing: "asyncio.Task[None] | None" = None
    _noting: "asyncio.Task[None] | None" = None

    async def keep(self, incoming: Incoming) -> Kept:
        """Return once the request is committed; raises Unavailable if it could not be."""
        future: asyncio.Future[Kept] = asyncio.get_running_loop().create_future()
        self._waiting.append((incoming, future))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        self._note(incoming.connection_id).delivered_at = datetime.now(UTC)
        return await future

    def refuse(self, connection_id: UUID) -> None:
        """Count a bad signature."""
        self._note(connection_id).refused += 1

    async def _flush(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST_IN_FLUSH], self._waiting[_MOST_IN_FLUSH:]
            try:
                kept = await asyncio.to_thread(self.write, [incoming for incoming, _ in batch])
            except Exception as error:  # noqa: BLE001 - every waiting request has to be answered
                log.error("ingest_failed", requests=len(batch), error=type(error).__name__)
                for _, future in batch:
                    if not future.done():
                        future.set_exception(Unavailable())
                continue
            for (_, future), one in zip(batch, kept, strict=True):
                if not future.done():
                    future.set_result(one)
            fresh = {incoming.lane for (incoming, _), one in zip(batch, kept, strict=True) if not one.is_duplicate}
            if fresh:
                nudger.nudge(fresh)
        self._flushing = None

    def _note(self, connection_id: UUID) -> _Notes:
        if self._noting is None:
            self._noting = asyncio.create_task(self._write_notes())
        return self._notes.setdefault(connection_id, _Notes())

    async def _write_notes(self) -> None:
        await asyncio.sleep(_NOTE_AFTER_S)
        self._noting = None
        notes, self._notes = self._notes, {}
        rows = [(id_, note.delivered_at, note.refused) for id_, note in notes.items()]
        try:
            await asyncio.to_thread(_note_deliveries, rows)
        except SQLAlchemyError as error:
            log.warning("notes_lost", error=type(error).__name__)


def write(batch: list[Incoming]) -> list[Kept]:
    """Keep a batch in one transaction."""
    with db.engine().begin() as conn:
        kept = envelopes.keep(conn, batch)
    for one in kept:
        if one.is_mismatch:
            log.warning("delivery_id_reused", envelope_id=str(one.envelope_id))
    return kept


def _note_deliveries(rows: list[tuple[UUID, datetime | None, int]]) -> None:
    with db.engine().begin() as conn:
        connections.note_deliveries(conn, rows)


class Sources:
    """Connections by id, remembered for a moment."""

    def __init__(self) -> None:
        self._known: dict[UUID, tuple[float, Source | None]] = {}

    async def find(self, shown_id: str) -> Source | None:
        """Return the connection behind an id; None for an unknown or removed one."""
        id_ = ids.read(ids.CONNECTION, shown_id)
        if id_ is None:
            return None
        known = self._known.get(id_)
        if known is None or known[0] < time.monotonic():
            if len(self._known) > 10_000:  # ids that were made up must not fill the memory
                self._known.clear()
            known = (time.monotonic() + _CACHE_S, await asyncio.to_thread(_load, id_))
            self._known[id_] = known
        return known[1]


def _load(id_: UUID) -> Source | None:
    with db.engine().connect() as conn:
        row = connections.by_id(conn, id_)
    return None if row is None else source_of(row)


inbox = Inbox(write)
sources = Sources()


async def receive(request: Request) -> Response:
    """``POST /webhooks/{connection_id}``."""
    limit = settings().max_body_bytes
    if int(request.headers.get("content-length") or 0) > limit:
        return _answer(413, {"error": f"body larger than {limit} bytes", "code": "too_large"})
    try:
        async with asyncio.timeout(settings().ingest_timeout_s):
            source = await sources.find(request.path_params["connection_id"])
            if source is None:
                return _answer(404, {"error": "unknown connection", "code": "not_found"})
            body = await _body(request, limit)
            if body is None:
                return _answer(413, {"error": f"body larger than {limit} bytes", "code": "too_large"})
            return await _take(source, request, body)
    except (TimeoutError, Unavailable, SQLAlchemyError, ConfigError) as error:
        log.error("ingest_unavailable", error=type(error).__name__)
        answer = _answer(503, {"error": "not kept, try again", "code": "unavailable"})
        answer.headers["Retry-After"] = _RETRY_AFTER_S
        return answer
    except ClientDisconnect:
        return _answer(400, {"error": "the body ended early", "code": "bad_request"})


async def _take(source: Source, request: Request, body: bytes) -> Response:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
    try:
        incoming = accept(source, headers, body)
    except BadSignatureError:
        inbox.refuse(source.id)
        return _answer(401, {"error": "bad or missing signature", "code": "unauthorized"})
    kept = await inbox.keep(incoming)
    return _answer(200, {"envelope_id": ids.show(ids.ENVELOPE, kept.envelope_id), "duplicate": kept.is_duplicate})


async def _body(request: Request, limit: int) -> bytes | None:
    """Read the body as it comes; None once it passes the limit."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
    return b"".join(parts)


def _answer(status: int, content: dict[str, object]) -> Response:
    metrics.ingested_total.labels(str(status)).inc()
    return Response(orjson.dumps(content), status, media_type="application/json")
