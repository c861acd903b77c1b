"""Bulk operations of a simulated shop: they take a while, fail on demand, and leave a file to download.

https://shopify.dev/docs/api/usage/bulk-operations/queries
"""

import re
import shutil
import tempfile
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from connectors.shopify.simulator.customers import FIELDS, Body, Population, iso
from connectors.shopify.simulator.faults import CutError, Faults

MOST_AT_ONCE = 5
_CHUNK = 1 << 18
_QUICK = 5_000  #: up to so many customers, the file is written at once; else on a thread of its own
_GARBAGE = b'{"id": "gid:\\/\\/shopify\\/Customer\\/17", "firstName"\n["not", "a", "customer"]\n{"id":null}\n'


@dataclass(slots=True, eq=False)
class Operation:
    """One bulk operation, and its file once there is one."""

    gid: str
    created_at: float
    due_at: float
    status: str = "COMPLETED"  #: at the end
    error: str | None = None
    file: Path | None = None
    size: int = 0
    rows: int = 0
    roots: int = 0
    signatures: set[str] = field(default_factory=set)
    written: threading.Event = field(default_factory=threading.Event)


class Bulk:
    """The bulk operations of one shop."""

    def __init__(self, customers: Population, faults: Faults, clock: Callable[[], float], delay: float) -> None:
        self.operations: dict[str, Operation] = {}
        self.served = {"downloads": 0, "bytes": 0}
        self._customers = customers
        self._faults = faults
        self._clock = clock
        self._delay = delay
        self._folder = Path(tempfile.mkdtemp(prefix="simulated-shop-"))
        self.close = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)  # at the latest, at exit
        self._urls = 0

    def run(self, query: str, names: tuple[str, ...]) -> Body:
        """``bulkOperationRunQuery`` of customers with these fields."""
        running = [o.gid for o in self.operations.values() if self._state(o) in ("CREATED", "RUNNING")]
        if len(running) >= MOST_AT_ONCE or self._faults.takes("busy_times"):
            message = f"A bulk query operation for this app and shop is already in progress: {', '.join(running)}."
            error = {"field": None, "message": message, "code": "OPERATION_IN_PROGRESS"}
            return {"bulkOperation": None, "userErrors": [error]}
        if not re.search(r"\b(edges|nodes)\b", query) or "customers" not in query:
            message = "Bulk queries must contain at least one connection."
            return {"bulkOperation": None, "userErrors": [{"field": ["query"], "message": message, "code": "INVALID"}]}
        now = self._clock()
        gid = f"gid://shopify/BulkOperation/{9_100_000_000_000 + len(self.operations)}"
        operation = self.operations[gid] = Operation(gid, now, now + self._delay)
        if self._faults.takes("cancel_bulk_times"):
            operation.status = "CANCELED"
        elif self._faults.takes("fail_bulk_times"):
            operation.status, operation.error = "FAILED", "INTERNAL_SERVER_ERROR"
        elif denied := self._faults.names("deny") & set(names):
            operation.status, operation.error = "FAILED", "ACCESS_DENIED" if denied else None
        selected = None if set(names) >= set(FIELDS) else names
        if len(self._customers) <= _QUICK:
            self._write(operation, selected)
        else:
            threading.Thread(target=self._write, args=(operation, selected), daemon=True).start()
        return {"bulkOperation": {"id": gid, "status": "CREATED"}, "userErrors": []}

    def shown(self, gid: str, base_url: str) -> Body | None:
        """``bulkOperation(id:)``; a finished operation gets a new address at each call."""
        operation = self.operations.get(gid)
        if operation is None:
            return None
        status = self._state(operation)
        is_done = status not in ("CREATED", "RUNNING")
        url = None
        if is_done and operation.roots:
            self._urls += 1
            signature = f"sig{self._urls}"
            operation.signatures.add(signature)
            url = f"{base_url}/_bulk/{gid.rpartition('/')[2]}/customers.jsonl?sig={signature}"
        return {
            "id": gid,
            "status": status,
            "errorCode": operation.error if is_done else None,
            "createdAt": iso(int(operation.created_at)),
            "completedAt": iso(int(max(operation.due_at, operation.created_at))) if is_done else None,
            "objectCount": str(operation.rows),
            "rootObjectCount": str(operation.roots),
            "fileSize": str(operation.size) if is_done and operation.roots else None,
            "url": url if status == "COMPLETED" else None,
            "partialDataUrl": url if status == "FAILED" else None,
        }

    async def download(self, request: Request) -> Response:
        """``GET /_bulk/…``: the file, from a byte on if the request has a range."""
        gid = f"gid://shopify/BulkOperation/{request.path_params['number']}"
        operation = self.operations.get(gid)
        self.served["downloads"] += 1
        signature = request.query_params.get("sig", "")
        if operation is not None and self._faults.due("expire_url_every"):
            operation.signatures.discard(signature)
        if operation is None or operation.file is None or signature not in operation.signatures:
            problem = "<?xml version='1.0'?><Error><Code>ExpiredToken</Code></Error>"
            return Response(problem, self._faults.number("expired_url_status") or 403, media_type="application/xml")
        byte_range = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        start = int(byte_range[1]) if byte_range else 0
        if start >= operation.size:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{operation.size}"})
        end = operation.size
        headers = {"Date": formatdate(self._clock(), usegmt=True), "Accept-Ranges": "bytes"}
        if byte_range:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{end}"
        cut_at = None
        if self._faults.due("cut_every"):
            cut_at = start + (end - start) // 2
        elif self._faults.due("truncate_every"):
            end = start + max(1, (end - start) // 2)
        headers["Content-Length"] = str(end - start)
        parts = self._parts(operation.file, start, end, cut_at)
        return StreamingResponse(parts, 206 if byte_range else 200, headers, "application/jsonl")

    async def _parts(self, path: Path, start: int, end: int, cut_at: int | None) -> AsyncIterator[bytes]:
        with path.open("rb") as file:
            file.seek(start)
            while start < end:
                if cut_at is not None and start >= cut_at:
                    raise CutError
                part = file.read(min(_CHUNK, (end if cut_at is None else cut_at) - start))
                start += len(part)
                self.served["bytes"] += len(part)
                yield part

    def _state(self, operation: Operation) -> str:
        if self._clock() < operation.due_at or not operation.written.is_set():
            return "RUNNING" if self._clock() > operation.created_at else "CREATED"
        return operation.status

    def _write(self, operation: Operation, names: tuple[str, ...] | None) -> None:
        operation.file = self._folder / operation.gid.rpartition("/")[2]
        with operation.file.open("wb") as file:
            hidden = self._faults.names("unapproved")
            for line in self._customers.lines(names, hidden, children=self._faults.is_on("children")):
                operation.roots += b'"__parentId"' not in line
                operation.rows += 1
                file.write(line)
            if self._faults.is_on("garbage"):
                file.write(_GARBAGE)
                operation.rows += 3
                operation.roots += 3
            operation.size = file.tell()
            if operation.status == "FAILED":
                operation.roots //= 2
        operation.written.set()
