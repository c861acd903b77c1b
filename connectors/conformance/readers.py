"""What a connector owes if its provider can be read: no customer is lost, whatever happens on the way."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from connectors.conformance.script import (
    EndlessError,
    Fault,
    Script,
    answering_from,
    cut_at,
    failing_at,
    ids_of,
    no_fault,
)
from connectors.conformance.shapes import flaw_of_event
from connectors.conformance.subject import BrokenError, NotCheckedError, Subject, called, quotes, sound
from connectors.contract import Envelope, Event, MalformedPayloadError, ProfileRemoved
from connectors.reader import NOT_BEFORE, Kind, NotYetError, Page, ReadingError, Row, TryAgainError

T = TypeVar("T")

_AT = datetime(2026, 9, 14, 18, 42, 7, tzinfo=UTC)  #: when nothing else matters
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_MOST_PLACES = 25  #: of a run, the first so many requests meet a fault, each in a run of its own
_LEAK = "Wrong Of Type 4711"


def names(subject: Subject) -> None:
    """It has every name of ``Reader``, of the right kind."""
    connector = subject.connector
    for name in ("api_url", "authorize", "renewal", "renewed", "read", "read_some", "gone", "wanted"):
        if not callable(getattr(connector, name, None)):
            raise BrokenError(f"{name}: expected a function")
    if not _are_texts(getattr(connector, "DOWNLOAD_HOSTS", None), frozenset):
        raise BrokenError("DOWNLOAD_HOSTS: expected a frozenset of text")
    if not _are_texts(getattr(connector, "CREDENTIALS", None), tuple):
        raise BrokenError("CREDENTIALS: expected a tuple of text")


def gone(subject: Subject) -> None:
    """``gone`` returns a row that ``parse`` reads as the customer's removal."""
    for id_ in _some_ids(subject):
        row = called("gone", lambda id_=id_: subject.connector.gone(id_, _AT))  # type: ignore[misc]
        if not isinstance(row, Row) or row.external_id != id_:
            raise BrokenError("gone: expected a Row of the given customer")
        sound(row, "gone")
        events = _parsed(subject, row, "gone")
        if [type(event) for event in events] != [ProfileRemoved] or events[0].external_id != id_:  # type: ignore[union-attr]
            raise BrokenError("gone: expected parse to give one ProfileRemoved of that customer for its row")


def wanted(subject: Subject) -> None:
    """``wanted`` returns a customer's id or None, and never raises."""
    received = [(subject.topic(example), example.raw()) for example in subject.examples]
    for topic, body in [
        *received,
        *((topic, b"\xff no JSON") for topic, _ in received),
        ("nobody/knows", b"[]"),
        ("", b""),
    ]:
        found = called("wanted", lambda topic=topic, body=body: subject.connector.wanted(topic, body))  # type: ignore[misc]
        if found is not None and (not isinstance(found, str) or not found):
            raise BrokenError("wanted: expected the id of a customer, or None")


def everybody(subject: Subject) -> None:
    """A full run gives every customer, in sound pages and rows, and a second run gives the same."""
    script, pages = _full(subject)
    for page in pages:
        for row in page.rows:
            if not isinstance(row, Row):
                raise BrokenError("full: a page holds something that is no Row")
            sound(row, "full")
            if row.not_before > row.not_after:
                raise BrokenError("full: a row has a not_before that is later than its not_after")
        sound(page, "full")
    _require_all(script, ids_of(pages), "full")
    if _rows_by_id(pages) != _rows_by_id(_read(script, "full")):
        raise BrokenError("full: read twice, the rows of some customers are not the same bytes")


def resumed(subject: Subject) -> None:
    """From any cursor a run reaches all customers that are left; a customer that is read twice gives the same row."""
    script, pages = _full(subject)
    if len(pages) < 2:
        raise NotCheckedError("the simulator has a single page of customers")
    rows = _rows_by_id(pages)
    for count, page in enumerate(pages, start=1):
        rest = _read(script, "full", page.cursor)
        _require_all(script, ids_of(pages[:count]) | ids_of(rest), f"resumed after page {count}")
        if any(rows[id_] != row for id_, row in _rows_by_id(rest).items()):
            raise BrokenError(f"resumed after page {count}: a row read twice is not the same bytes")


def try_again(subject: Subject) -> None:
    """If the provider fails for a while, at any request, no customer is lost."""
    for at in range(_places(subject)):
        _require_all_despite(subject, failing_at(at), f"the provider failed at request {at + 1}")


def cut_download(subject: Subject) -> None:
    """After a download breaks off, the run goes on or ends with an error; no customer is left out in silence."""
    script, _ = _full(subject)
    downloads = [number for number, request in enumerate(script.requests) if request.offset is not None]
    if not downloads:
        raise NotCheckedError("nothing is downloaded")
    for at in downloads[:_MOST_PLACES]:
        for share in (0.0, 0.5, 0.9):
            where = f"the download of request {at + 1} was cut"
            _require_all_despite(subject, cut_at(at, share, is_noticed=True), where)
            _require_all_despite(subject, cut_at(at, share, is_noticed=False), where, may_refuse=True)


def odd_answers(subject: Subject) -> None:
    """A refusal, or an undocumented answer, ends the run with an error of the contract, never in silence."""
    for at in range(_places(subject)):
        for status, body, is_certain in _odd(_scripted(subject)):
            where = f"{status} with an odd body from request {at + 1} on"
            script = Script(subject, answering_from(at, status, body))
            refused = False
            pages: list[Page] = []
            try:
                pages = _read(script, "full", may_refuse=True)
            except (ReadingError, MalformedPayloadError):
                refused = True
            except BrokenError as error:
                # A reader may ask without end if it raises TryAgainError or NotYetError: the worker limits that.
                refused = isinstance(error, EndlessError) and any(
                    isinstance(earlier, TryAgainError | NotYetError) for earlier in script.errors
                )
                if not refused:
                    raise BrokenError(f"{where}: {error}") from None
            if is_certain and not refused and not set(script.provider.external_ids) <= ids_of(pages):
                raise BrokenError(f"{where}: the run ends as if it had read everybody")


def same_ids(subject: Subject) -> None:
    """A run of the kind ``ids`` gives the same customers as a full one."""
    script = _scripted(subject)
    pages = _read(script, "ids")
    _require_all(script, ids_of(pages), "ids")
    for page in pages:
        sound(page, "ids")


def increment(subject: Subject) -> None:
    """An increment since long ago gives every customer."""
    script = _scripted(subject)
    found = ids_of(_read(script, "increment", since=_LONG_AGO))
    expected = getattr(script.provider, "increment_ids", None)
    if expected is not None and found != set(expected):
        raise BrokenError("increment since the year 2000: not the customers that the simulator says it can find")
    if expected is None:
        _require_all(script, found, "increment since the year 2000")


def rows_parse(subject: Subject) -> None:
    """``parse`` reads every row, and gives an event about its customer."""
    script, pages = _full(subject)
    for row in (row for page in pages for row in page.rows):
        events = _parsed(subject, row, "a row", script)
        if not any(getattr(event, "external_id", None) == row.external_id for event in events):
            raise BrokenError("a row: no event is about the customer of the row")


def some(subject: Subject) -> None:
    """``read_some`` gives the customers that the provider has, and leaves out the others."""
    script = _scripted(subject)
    known = sorted(script.provider.external_ids)[:99]
    unknown = _unknown(known)
    for ids, expected in (([*known, unknown], known), ([unknown], []), (known[-1:], known[-1:]), ([], [])):
        rows = called("read_some", lambda ids=ids: script.read_some(ids))  # type: ignore[misc]
        for row in rows:
            if not isinstance(row, Row):
                raise BrokenError("read_some: yields something that is no Row")
            sound(row, "read_some")
            _parsed(subject, row, "read_some", script)
        found = {row.external_id for row in rows}
        if found - set(expected):
            raise BrokenError("read_some: yields a customer that the provider does not have, or that was not requested")
        if set(expected) - found:
            raise BrokenError("read_some: leaves out a customer that the provider has")


def credentials(subject: Subject) -> None:
    """No cursor, row or error text holds a credential or quotes an answer."""
    script, pages = _full(subject)
    _read(script, "ids")
    secrets = [value for value in script.provider.credentials.values() if value]
    written = [json.dumps(cursor) for cursor in script.cursors]
    written += [f"{row.external_id} {row.topic} {row.body!r}" for page in pages for row in page.rows]
    if any(secret in text for secret in secrets for text in written):
        raise BrokenError("a cursor or a row holds a credential")
    for at in range(_places(subject)):
        for status, body, _ in _odd(script):
            other = Script(subject, answering_from(at, status, body))
            # Other checks judge the outcome; this one looks at texts only.
            with suppress(ReadingError, MalformedPayloadError, BrokenError):
                _read(other, "full", may_refuse=True)
            if any(quotes(str(error), [*secrets, _LEAK]) for error in other.errors):
                raise BrokenError(
                    f"{status} with an odd body: the error's text holds a credential or quotes the answer"
                )


def _scripted(subject: Subject, fault: Fault = no_fault) -> Script:
    if subject.simulator is None:
        raise NotCheckedError("the connector has no SIMULATOR")
    script = Script(subject, fault)
    if len(set(script.provider.external_ids)) < 2:
        raise NotCheckedError("the simulator has fewer than two customers")
    return script


def _full(subject: Subject) -> tuple[Script, list[Page]]:
    script = _scripted(subject)
    return script, _read(script, "full")


def _places(subject: Subject) -> int:
    """Return at how many requests of a full run a fault is tried."""
    return min(len(_full(subject)[0].requests), _MOST_PLACES)


def _read(script: Script, kind: Kind, cursor: Any = None, *, may_refuse: bool = False, since: Any = None) -> list[Page]:
    """Return all pages; an error that the reader may not raise here is a BrokenError."""

    def reading() -> list[Page] | Exception:
        try:
            return script.read(kind, cursor, since)
        except (ReadingError, MalformedPayloadError) as error:
            if may_refuse:
                return error
            raise

    found = called(f"{kind}: read", reading)
    if isinstance(found, Exception):
        raise found
    return found


def _require_all(script: Script, found: set[str], where: str) -> None:
    expected = set(script.provider.external_ids)
    if expected - found:
        raise BrokenError(f"{where}: {len(expected - found)} of {len(expected)} customers are missing")
    if found - expected:
        raise BrokenError(f"{where}: {len(found - expected)} customers are not the provider's")


def _require_all_despite(subject: Subject, fault: Fault, where: str, *, may_refuse: bool = False) -> None:
    script = Script(subject, fault)
    try:
        pages = _read(script, "full", may_refuse=may_refuse)
    except (ReadingError, MalformedPayloadError):
        return
    except BrokenError as error:
        raise BrokenError(f"{where}: {error}") from None
    _require_all(script, ids_of(pages), where)


def _rows_by_id(pages: list[Page]) -> dict[str, tuple[Any, ...]]:
    return {row.external_id: (row.updated_at, row.topic, row.body) for page in pages for row in page.rows}


def _odd(script: Script) -> list[tuple[int, bytes, bool]]:
    """Return odd answers: status, body, and whether it can never mean that there is nothing to read."""
    quoting = json.dumps({"error": _LEAK, "token": list(script.provider.credentials.values())}).encode()
    refusals = [(status, quoting, True) for status in (400, 401, 403, 404, 409)]
    rubbish = [(200, body, True) for body in (b"<html>" + quoting, b"null", b'"' + _LEAK.encode() + b'"', b"\xff")]
    return [*refusals, *rubbish, (200, quoting, False), (200, b"{}", False), (200, b"[]", False)]


def _parsed(subject: Subject, row: Row, where: str, script: Script | None = None) -> list[Event]:
    envelope = Envelope(
        topic=row.topic,
        delivery_id="delivery",
        sent_at=row.not_after,
        headers={NOT_BEFORE: row.not_before.isoformat()},
        body=row.body,
    )
    events = subject.events(envelope, script.provider.account if script else None, where)
    if isinstance(events, MalformedPayloadError):
        raise BrokenError(f"{where}: parse calls the row malformed")
    for event in events:
        if wrong := flaw_of_event(event):
            raise BrokenError(f"{where}: {wrong}")
    return events


def _some_ids(subject: Subject) -> list[str]:
    if subject.simulator is not None:
        return sorted(_scripted(subject).provider.external_ids)[:5]
    events = [event for example in subject.examples for event in subject.events_of(example)]
    return sorted({id_ for event in events if (id_ := getattr(event, "external_id", None))})[:5] or ["4711"]


def _unknown(known: list[str]) -> str:
    """Invent an id of the same form that no customer has."""
    if all(id_.isdigit() for id_ in known):
        return str(max(map(int, known)) + 1_000)
    return next(f"{known[0][:-1]}{end}" for end in "zyxwvu9876543210" if f"{known[0][:-1]}{end}" not in known)


def _are_texts(value: object, kind: type[frozenset[str]] | type[tuple[str, ...]]) -> bool:
    return isinstance(value, kind) and all(isinstance(entry, str) for entry in value)


CHECKS: Mapping[str, Callable[[Subject], None]] = {
    "read.names": names,
    "read.gone": gone,
    "read.wanted": wanted,
    "read.full": everybody,
    "read.resumed": resumed,
    "read.try_again": try_again,
    "read.cut_download": cut_download,
    "read.odd_answers": odd_answers,
    "read.ids": same_ids,
    "read.increment": increment,
    "read.rows_parse": rows_parse,
    "read.some": some,
    "read.credentials": credentials,
}
