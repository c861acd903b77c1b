"""The webhook route: it commits the raw bytes of each request as an envelope, then answers.

Concurrent requests share one insert and one synchronous commit. A request waits for Postgres alone, so a frozen
broker cannot delay its answer. The route is a plain ASGI application: it takes thousands of requests a
second and needs none of the framework's routing, validation and threads.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPMethod
from typing import Any
from uuid import UUID

import orjson
import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import Receive, Scope, Send

from connectors.contract import BadSignatureError
from worker import ids, logs
from worker.api.answers import answers
from worker.api.bodies import Bodies, CrowdedError, EndedEarlyError, TooLargeError
from worker.api.http_protocol import recognise
from worker.api.linger import linger
from worker.api.lookups import Lookups
from worker.errors import ConfigError, sqlstate_behind
from worker.inbox.ingest import Source, accept, is_ping, source_of
from worker.inbox.nudge import nudger
from worker.settings import settings
from worker.store import connections, db, envelopes
from worker.store.envelopes import Incoming, Kept

log = structlog.get_logger()
_seldom = logs.Seldom()

PREFIX = "/webhooks/"
#: How long a connection is cached: a rotated secret or a removal takes effect within this time.
_CACHE_S = 2.0
#: Requests in one insert. While it commits, requests gather for the next.
_MAX_BATCH = 200
#: An insert that takes longer is cancelled with its session, and its senders are answered 503.
_FLUSH_TIMEOUT_S = 10.0
#: How long after a delivery the figures of its connection are stored, for `contactsync status`.
_STORE_FIGURES_AFTER_S = 0.25
#: Bytes of bodies in one insert, unless the first alone is larger: it is copied twice on its way to Postgres.
_MAX_BATCH_BYTES = 8 * 1024 * 1024
#: Bytes of bodies that may wait for Postgres, and of bodies that come in. Above it, senders are answered 503.
_MAX_WAITING_BYTES = _MAX_READING_BYTES = 32 * 1024 * 1024
#: Unknown connections are looked up together, this often.
_STRANGE_EVERY_S = 0.05
_RETRY_AFTER_S = "5"


class Unavailable(Exception):  # noqa: N818 - a state, answered with 503
    """Postgres has not confirmed the request. The sender should send it again."""


class _Refused(Exception):  # noqa: N818 - an answer
    """The request is answered with an error and not stored."""

    def __init__(self, status: int, error: str, code: str, **headers: str) -> None:
        super().__init__(code)
        self.status = status
        self.content = {"error": error, "code": code}
        self.headers = headers


@dataclass(slots=True)
class _Figures:
    """What happened at a connection since its figures were last stored."""

    delivered_at: datetime | None = None
    refused: int = 0


@dataclass(slots=True)
class Inbox:
    """Gathers requests into inserts. Each process has one, on its event loop."""

    write: Callable[[list[Incoming]], Coroutine[Any, Any, list[Kept]]]
    _waiting: list[tuple[Incoming, "asyncio.Future[Kept]"]] = field(default_factory=list)
    _figures: dict[UUID, _Figures] = field(default_factory=dict)
    _flushing: "asyncio.Task[None] | None" = None
    _storing_figures: "asyncio.Task[None] | None" = None
    _waiting_bytes: int = 0

    async def keep(self, incoming: Incoming) -> Kept:
        """Return once the request is committed; raises Unavailable if that is not certain.

        A request that is stored already is a duplicate; it returns the envelope of the first.
        """
        if self._waiting_bytes > _MAX_WAITING_BYTES:
            raise Unavailable
        future: asyncio.Future[Kept] = asyncio.get_running_loop().create_future()
        self._waiting.append((incoming, future))
        self._waiting_bytes += len(incoming.body)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        self._figures_of(incoming.connection_id).delivered_at = datetime.now(UTC)
        return await future

    def refuse(self, connection_id: UUID) -> None:
        """Count a bad signature in the figures of the connection."""
        self._figures_of(connection_id).refused += 1

    async def _flush(self) -> None:
        try:
            while self._waiting:
                batch = self._take_batch()
                # A request that timed out meanwhile was answered 503, and its sender will send it again.
                live = [(incoming, future) for incoming, future in batch if not future.done()]
                if live:
                    await self._write(live)
        finally:
            self._flushing = None  # Even after an error, the next request starts a new flush.

    def _take_batch(self) -> "list[tuple[Incoming, asyncio.Future[Kept]]]":
        n = size = 0
        for n, (incoming, _) in enumerate(self._waiting[:_MAX_BATCH], start=1):  # noqa: B007 - its last value is used
            size += len(incoming.body)
            if size >= _MAX_BATCH_BYTES:
                break
        batch, self._waiting = self._waiting[:n], self._waiting[n:]
        self._waiting_bytes -= size
        return batch

    async def _write(self, batch: "list[tuple[Incoming, asyncio.Future[Kept]]]") -> None:
        try:
            async with asyncio.timeout(_FLUSH_TIMEOUT_S):
                kept = await self.write([incoming for incoming, _ in batch])
        except Exception as error:  # noqa: BLE001 - every waiting request has to be answered
            log.error("ingest_failed", requests=len(batch), error=error)
            for _, future in batch:
                if not future.done():
                    unavailable = Unavailable()
                    unavailable.__cause__ = error  # for its SQLSTATE
                    future.set_exception(unavailable)
            return
        lanes = set()
        for (incoming, future), result in zip(batch, kept, strict=True):
            if not future.done():
                future.set_result(result)
            if not result.is_duplicate:
                lanes.add(incoming.lane)
            elif result.is_mismatch:
                log.warning("delivery_id_reused", envelope_id=str(result.envelope_id))
        if lanes:
            nudger.nudge(lanes)

    def _figures_of(self, connection_id: UUID) -> _Figures:
        if self._storing_figures is None:
            self._storing_figures = asyncio.create_task(self._store_figures())
        figures = self._figures.get(connection_id)
        if figures is None:
            figures = self._figures[connection_id] = _Figures()
        return figures

    async def _store_figures(self) -> None:
        await asyncio.sleep(_STORE_FIGURES_AFTER_S)
        self._storing_figures = None
        figures_of, self._figures = self._figures, {}
        rows = [(id_, figures.delivered_at, figures.refused) for id_, figures in figures_of.items()]
        try:
            await asyncio.to_thread(_note_deliveries, rows)
        except SQLAlchemyError as error:
            log.warning("notes_lost", error=error)


class _Writer:
    """Stores batches from the event loop, because a thread would wait for the interpreter after every round trip."""

    def __init__(self) -> None:
        self._engine: AsyncEngine | None = None

    async def __call__(self, batch: list[Incoming]) -> list[Kept]:
        if self._engine is None:
            self._engine = db.make_ingest_engine(settings().database_url)
        try:
            return await self._keep(self._engine, batch)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # Postgres has restarted. We do not know whether it committed the batch, and need not know: requests
            # that are stored already come back as duplicates.
            return await self._keep(self._engine, batch)

    async def _keep(self, engine: AsyncEngine, batch: list[Incoming]) -> list[Kept]:
        async with engine.begin() as conn:
            return await conn.run_sync(envelopes.keep, batch)


def _note_deliveries(rows: list[tuple[UUID, datetime | None, int]]) -> None:
    with db.engine().begin() as conn:
        connections.note_deliveries(conn, rows)


class Sources:
    """A cache of connections by their ids."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Source]] = {}
        self._of_known = Lookups(_load)
        self._of_strange = Lookups(_load, every_s=_STRANGE_EVERY_S)

    async def find(self, shown_id: str) -> Source | None:
        """Return the connection with an id, cached for two seconds; None if it is unknown or removed.

        Invented ids cost no memory and 20 statements a second, whatever their number. Known ones never wait for them.
        """
        cached = self._known.get(shown_id)
        if cached is not None and cached[0] > time.monotonic():
            return cached[1]
        id_ = ids.parse(ids.CONNECTION, shown_id)
        if id_ is None:
            return None
        source = await (self._of_strange if cached is None else self._of_known).find(id_)
        if source is None:
            self._known.pop(shown_id, None)
        else:
            self._known[shown_id] = (time.monotonic() + _CACHE_S, source)
        return source


def _load(ids_: list[UUID]) -> list[Source | None]:
    with db.engine().connect() as conn:
        rows = connections.by_ids(conn, set(ids_))
        if len(rows) < len(ids_):
            db.check_scope(conn)  # a sender that is answered 404 may not come again
    found = {id_: source_of(row) for id_, row in rows.items()}
    return [found.get(id_) for id_ in ids_]


inbox = Inbox(_Writer())
sources = Sources()
bodies = Bodies(_MAX_READING_BYTES)


async def receive(scope: Scope, receive_: Receive, send: Send) -> None:
    """``POST /webhooks/{connection_id}``, as an ASGI application."""
    try:
        async with asyncio.timeout(settings().ingest_timeout_s):
            kept = await _store(scope, receive_)
        content: Mapping[str, object] = {"ping": True}
        if kept is not None:
            content = {"envelope_id": ids.show(ids.ENVELOPE, kept.envelope_id), "duplicate": kept.is_duplicate}
        await _answer(send, 200, content)
    except _Refused as refused:
        await _refuse(receive_, send, refused)
    except EndedEarlyError:
        answers.count(400)  # Nobody is there to read it.
    except Exception as error:
        state = sqlstate_behind(error)
        if isinstance(error, TimeoutError | Unavailable | CrowdedError | SQLAlchemyError | ConfigError):
            _seldom.log(log.error, "ingest_unavailable", error=error)
        else:
            log.error("ingest_unavailable", error=error, exc_info=error)
        content = {"error": "not kept, try again", "code": "unavailable"}
        if state is not None:
            content = {**content, "sqlstate": state}
        await _answer(send, 503, content, **{"retry-after": _RETRY_AFTER_S})


async def _refuse(receive_: Receive, send: Send, refused: _Refused) -> None:
    """Answer and close; what comes of a refused body is not kept."""
    body = await _begin_answer(send, refused.status, refused.content, {"connection": "close", **refused.headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await linger(receive_)
    await send({"type": "http.response.body", "body": b""})


async def _store(scope: Scope, receive_: Receive) -> Kept | None:
    """Check a request and store it; return None for a ping, which is not stored.

    Raises _Refused with the answer for a request that we refuse.
    """
    if scope["method"] != HTTPMethod.POST:
        raise _Refused(405, "expected POST", "method_not_allowed", allow="POST")
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    limit = settings().max_body_bytes
    for name, value in headers:
        if name == "content-length" and int(value) > limit:
            raise _too_large(limit)
        if name == "content-encoding" and value.strip().lower() not in ("", "identity"):
            raise _Refused(415, "a body is taken without Content-Encoding only", "unsupported_encoding")
    source = await sources.find(scope["path"].removeprefix(PREFIX).removesuffix("/"))
    if source is None:
        raise _Refused(404, "unknown connection", "not_found")
    try:
        body = await bodies.read(receive_, limit)
    except TooLargeError:
        raise _too_large(limit) from None
    try:
        incoming = accept(source, headers, body)
    except BadSignatureError:
        if is_ping(source, headers, body):
            return None
        inbox.refuse(source.id)
        raise _Refused(401, "bad or missing signature", "unauthorized") from None
    recognise(scope)
    return await inbox.keep(incoming)


def _too_large(limit: int) -> _Refused:
    return _Refused(413, f"body larger than {limit} bytes", "too_large")


async def _answer(send: Send, status: int, content: Mapping[str, object], **headers: str) -> None:
    body = await _begin_answer(send, status, content, headers)
    await send({"type": "http.response.body", "body": body})


async def _begin_answer(send: Send, status: int, content: Mapping[str, object], headers: Mapping[str, str]) -> bytes:
    """Send the head of an answer; return its body."""
    answers.count(status)
    body = orjson.dumps(content)
    raw = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    raw += [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    return body
