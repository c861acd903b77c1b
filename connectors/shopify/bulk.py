"""All customers of a shop through a bulk operation: start it, wait for it, then read its file line by line.

https://shopify.dev/docs/api/usage/bulk-operations/queries
Quirk: ``url`` is null if there are no results. It is signed, expires, and opens the file without a password. So the
cursor keeps the operation's id, and each download asks for the address again.
Quirk: counts and the file's size are strings.
Quirk: rows of nested connections are lines of their own with ``__parentId``, since 2026-01 in any order.
Quirk: Shopify cancels operations that stall, and asks to run them again.
Quirk: a field without scope fails the operation, and a field without approval is null without an error. So we first
query a page of one customer, whose errors name these fields.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NoReturn

from connectors import json_values
from connectors.json_values import Payload
from connectors.reader import (
    AccessRefusedError,
    Answer,
    Cursor,
    Fetch,
    Job,
    NotYetError,
    Page,
    Request,
    Row,
    UnreadableError,
)
from connectors.shopify import reads
from connectors.shopify.graphql import HiddenPath, ask, shown_code, without

PAGE_ROWS = 500
_MOST_RUNS = 3  #: operations that are started before the run fails
_MOST_STALLS = 4  #: downloads in a row that bring no line
_FIRST_WAITS = (0.3, 0.7, 1.0, 2.0, 4.0, 7.0)  #: seconds between looks at an operation
_LONGEST_WAIT = 10.0  #: seconds between the looks after those

_PROBE = "query Customers($first: Int!) {{ customers(first: $first) {{ nodes {{ {fields} }} }} }}"
_INNER = "{{ customers {{ edges {{ node {{ {fields} }} }} }} }}"
# groupObjects is given, because its default changed in 2026-01.
_START = """mutation BulkStart($query: String!) {
  bulkOperationRunQuery(query: $query, groupObjects: false) {
    bulkOperation { id status } userErrors { field message code }
  }
}"""
_STATE = """query BulkState($id: ID!) {
  bulkOperation(id: $id) {
    id status errorCode createdAt completedAt objectCount rootObjectCount fileSize url
  }
}"""


@dataclass(frozen=True, slots=True)
class _State:
    """The cursor of a run."""

    operation: str | None = None
    offset: int = 0  #: of the first byte that is not read yet
    lines: int = 0
    rows: int = 0
    run: int = 1
    looks: int = 0  #: at the operation, since its start
    stalls: int = 0
    hidden: tuple[HiddenPath, ...] = ()

    @classmethod
    def of(cls, cursor: Cursor | None) -> "_State":
        given = dict(cursor or {})
        return cls(**given | {"hidden": tuple(tuple(path) for path in given.get("hidden", ()))})

    def cursor(self) -> dict[str, Any]:
        return asdict(self) | {"hidden": [list(path) for path in self.hidden]}


@dataclass(frozen=True, slots=True)
class _Result:
    """An operation that has completed."""

    url: str | None = field(repr=False)
    created_at: datetime
    completed_at: datetime
    lines: int | None
    rows: int | None
    size: int | None  #: of the file, in bytes

    def is_read_by(self, state: _State) -> bool:
        """Whether the file is read to its end."""
        if self.size is not None and state.offset >= self.size:
            return True
        return state.lines >= self.lines if self.lines is not None else self.url is None


def read(job: Job, cursor: Cursor | None, fetch: Fetch) -> Iterator[Page]:
    """Yield all customers."""
    state = _State.of(cursor)
    if state.operation is None:
        _start(job, state, fetch)
    result = _result(state, fetch)
    if result.url is None and not result.is_read_by(state):
        _run_again(state, "its result is gone")
    while not result.is_read_by(state):
        before = state.offset
        for page in _download(job, result, state, fetch):
            state = _State.of(page.cursor)
            yield page
        if result.is_read_by(state):
            break
        if state.offset == before:
            _stall(state)
        state = replace(state, stalls=0)
        result = _result(state, fetch)  # the address may have expired meanwhile
    yield Page(rows=(), cursor=state.cursor(), expected=result.rows, watermark=result.created_at)


def _start(job: Job, state: _State, fetch: Fetch) -> NoReturn:
    """Start an operation; raises NotYetError, whose cursor has the operation's id."""
    selected = "id updatedAt"
    if job.kind != "ids":
        seen = ask(fetch, "Customers", _PROBE.format(fields=reads.fields()), {"first": 1})
        state = replace(state, hidden=tuple(sorted(seen.hidden)))
        selected = reads.fields(state.hidden)
    reply = ask(fetch, "BulkStart", _START, {"query": _INNER.format(fields=selected)})
    run = json_values.nested(reply.data, "bulkOperationRunQuery") or {}
    errors = run.get("userErrors") or []
    codes = {str(error.get("code") or "without a code") for error in errors if type(error) is dict}
    if codes & {"OPERATION_IN_PROGRESS", "LIMIT_REACHED"}:
        raise NotYetError(replace(state, looks=state.looks + 1).cursor(), timedelta(seconds=_LONGEST_WAIT))
    if errors:
        raise UnreadableError(
            f"Shopify does not start the bulk operation ({', '.join(sorted(set(map(shown_code, codes))))})"
        )
    operation = json_values.nested(run, "bulkOperation") or {}
    gid = json_values.required(json_values.text(operation, "id"), "the gid of a BulkOperation", "bulkOperation.id")
    raise NotYetError(replace(state, operation=gid, looks=0).cursor(), timedelta(seconds=_FIRST_WAITS[0]))


def _result(state: _State, fetch: Fetch) -> _Result:
    """Look at the operation; raises NotYetError if it is not done, or if it failed and a new one must start."""
    reply = ask(fetch, "BulkState", _STATE, {"id": state.operation})
    operation = json_values.nested(reply.data, "bulkOperation")
    if operation is None:
        _run_again(state, "Shopify does not know it any more")
    status = (json_values.text(operation, "status") or "").upper()
    if status in ("CREATED", "RUNNING", "CANCELING"):
        looks = state.looks + 1
        wait = _FIRST_WAITS[looks] if looks < len(_FIRST_WAITS) else _LONGEST_WAIT
        raise NotYetError(replace(state, looks=looks).cursor(), timedelta(seconds=wait))
    if status in ("FAILED", "CANCELED", "EXPIRED"):
        code = (json_values.text(operation, "errorCode") or "").upper()
        if code == "ACCESS_DENIED":
            raise AccessRefusedError("Shopify refuses the bulk operation: the token needs the scope read_customers")
        # partialDataUrl is not used: nobody can tell which customers it lacks, so all must be read again anyway.
        _run_again(state, f"{status} {code}".strip())
    if status != "COMPLETED":
        raise UnreadableError("the bulk operation has a status that is not documented")
    return _result_of(operation)


def _result_of(operation: Payload) -> _Result:
    created_at = json_values.required(json_values.moment(operation, "createdAt"), "a time", "bulkOperation.createdAt")
    return _Result(
        url=json_values.text(operation, "url", limit=10_000),
        created_at=created_at,
        completed_at=json_values.moment(operation, "completedAt") or created_at,
        lines=json_values.count(operation, "objectCount"),
        rows=json_values.count(operation, "rootObjectCount"),
        size=json_values.count(operation, "fileSize"),
    )


def _run_again(state: _State, reason: str) -> NoReturn:
    if state.run >= _MOST_RUNS:
        raise UnreadableError(f"{_MOST_RUNS} bulk operations came to nothing, the last: {reason}")
    raise NotYetError(_State(run=state.run + 1).cursor(), timedelta(seconds=_LONGEST_WAIT))


def _stall(state: _State) -> NoReturn:
    if state.stalls >= _MOST_STALLS:
        raise UnreadableError("the result of the bulk operation cannot be downloaded to its end")
    wait = timedelta(seconds=2**state.stalls)
    raise NotYetError(replace(state, stalls=state.stalls + 1).cursor(), wait)


def _download(job: Job, result: _Result, state: _State, fetch: Fetch) -> Iterator[Page]:
    """Yield pages of the file from the state on, until it ends, breaks off or its address has expired."""
    answer = fetch(Request(url=result.url or "", offset=state.offset))
    if answer.status not in (200, 206):  # mostly 403, 400 or 404: the address has expired
        return
    if answer.status == 200 and state.offset:
        raise UnreadableError("the download starts again instead of going on")
    start, rows = state.offset, list[Row]()
    for end, line, content in _whole_lines(answer, result.size):
        state = replace(state, offset=end, lines=state.lines + bool(line))
        row = _row(line, content, job, state, result, answer) if line else None
        if row is not None:
            rows.append(row)
        if len(rows) >= PAGE_ROWS:
            state = replace(state, rows=state.rows + len(rows), stalls=0)
            yield Page(rows=rows, cursor=state.cursor(), expected=result.rows)
            rows = []
    if state.offset > start:
        state = replace(state, rows=state.rows + len(rows), stalls=0)
        yield Page(rows=rows, cursor=state.cursor(), expected=result.rows)


def _whole_lines(answer: Answer, size: int | None) -> Iterator[tuple[int, bytes, object]]:
    """Yield offset, text and content of each line; leaves out the last line if it was cut short.

    A part of an object is not JSON. So a last line that is not JSON was cut, unless the file is known to end there.
    """
    held: tuple[int, bytes, object] | None = None
    for end, line in answer.lines:
        if held is not None:
            yield held
            held = None
        try:
            yield end, line, reads.parsed(line) if line else None
        except ValueError:
            held = (end, line, None)
    if held is not None and size is not None and held[0] >= size:
        yield held


def _row(line: bytes, content: object, job: Job, state: _State, result: _Result, answer: Answer) -> Row | None:
    """Return the row of a line; None for a child's line, which is not a customer."""
    if type(content) is dict:
        if "__parentId" in content:
            return None
        without(content, state.hidden)
    is_bare = job.kind == "ids"
    not_after = max(result.completed_at, answer.not_after)
    row = reads.row(content, line, result.created_at, not_after, is_bare=is_bare)
    if is_bare and not row.external_id:
        # With a hole in the list of ids, the worker would take a customer for deleted.
        raise UnreadableError("the list of all ids has a line that is not a customer")
    return row
