"""Every check of the conformance suite can fail: the example connector, sabotaged in one place at a time."""

import importlib.util
import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from connectors import conformance
from connectors.conformance import Example
from connectors.contract import (
    Account,
    BadSignatureError,
    MalformedPayloadError,
    ProfileRemoved,
    ProfileSeen,
    Receipt,
)
from connectors.reader import AccessRefusedError, Answer, NotYetError, Page, Request, Row, TryAgainError

EXAMPLE = Path(__file__).parents[3] / "docs" / "example-connector" / "contactsync_pasar.py"
AT = datetime(2026, 9, 14, 18, 42, 7, tzinfo=UTC)


def load() -> Any:
    spec = importlib.util.spec_from_file_location("contactsync_pasar", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pasar = load()


def like(module: Any, **others: Any) -> SimpleNamespace:
    return SimpleNamespace(**{**vars(module), **others})


def findings(connector: Any, registered: str | None = None) -> dict[str, conformance.Finding]:
    return {found.check: found for found in conformance.check(conformance.subject_of(connector, registered=registered))}


def failed(connector: Any, registered: str | None = None) -> set[str]:
    return {name for name, found in findings(connector, registered).items() if found.state == "failed"}


# Webhooks.


def raises_for_an_odd_time(headers, body):
    seconds = int(headers.get("webhook-timestamp", "0"))
    return replace(pasar.receive(headers, body), sent_at=datetime.fromtimestamp(seconds, UTC))


def one_id_for_all(headers, body):
    return Receipt(topic=headers.get("webhook-topic", ""), delivery_id="always the same", sent_at=None)


_counted = itertools.count()


def another_id_every_time(headers, body):
    return replace(pasar.receive(headers, body), delivery_id=str(next(_counted)))


def local_time(headers, body):
    receipt = pasar.receive(headers, body)
    return replace(receipt, sent_at=receipt.sent_at and receipt.sent_at.replace(tzinfo=None))


def refuse_all(headers, body, secrets):
    raise BadSignatureError("no")


def believe_all(headers, body, secrets):
    pass


def believe_who_shows_a_signature(headers, body, secrets):
    if "webhook-signature" not in headers or not any(secrets):
        raise BadSignatureError("no")


def stumble_over_the_signature(headers, body, secrets):
    headers["webhook-signature"].encode("ascii")  # KeyError, UnicodeEncodeError
    pasar.verify(headers, body, secrets)


# Bodies.


def parse_with(change: Callable[[Any, list[Any]], Any]) -> Callable[..., Any]:
    """Parse as Pasar does, then change the events."""

    def parse(envelope, account):
        events = list(pasar.parse(envelope, account))
        if envelope.topic not in ("customer.created", "customer.updated"):
            return events
        return change(json.loads(envelope.body), events)

    return parse


def swallow(envelope, account):
    try:
        return list(pasar.parse(envelope, account))
    except MalformedPayloadError:
        return []


def quote(envelope, account):
    try:
        return list(pasar.parse(envelope, account))
    except MalformedPayloadError:
        raise MalformedPayloadError(f"cannot read {envelope.body[:200]!r}") from None


def say_nothing_of_the_field(envelope, account):
    try:
        return list(pasar.parse(envelope, account))
    except MalformedPayloadError:
        raise MalformedPayloadError("the body is not in the documented shape") from None


def know_every_topic(envelope, account):
    if envelope.topic not in ("customer.created", "customer.updated", "customer.deleted", "order.paid"):
        raise MalformedPayloadError("the topic is unknown")
    return pasar.parse(envelope, account)


def remember(envelope, account):
    return [replace(e, occurred_at=AT + timedelta(seconds=next(_counted))) for e in pasar.parse(envelope, account)]


def raise_if(condition: Callable[[Any], bool]) -> Callable[..., Any]:
    def change(body, events):
        if condition(body):
            raise TypeError("a stray one")
        return events

    return parse_with(change)


def stumble_over_two(envelope, account):
    with suppress(ValueError, RecursionError, AttributeError):
        body = json.loads(envelope.body)
        odd = [key for key in ("name", "email", "phone", "updated_at") if not isinstance(body.get(key, ""), str)]
        if len(odd) > 1:
            raise TypeError("two at once")
    return pasar.parse(envelope, account)


def recurse(envelope, account):
    if envelope.topic == "customer.created":
        with suppress(ValueError):
            json.loads(envelope.body)
    return pasar.parse(envelope, account)


def choke_on_a_second_key(envelope, account):
    def pairs(found):
        if len(dict(found)) != len(found):
            raise KeyError("twice")
        return dict(found)

    if envelope.topic == "customer.created" and envelope.body[-1:] == b"}":
        with suppress(ValueError, RecursionError):
            json.loads(envelope.body, object_pairs_hook=pairs)
    return pasar.parse(envelope, account)


def rounded(_body, events):
    return [replace(e, external_id=str(int(float(e.external_id)))) for e in events]


# Reading.


def read_with(change: Callable[[Any, list[Page]], Any]) -> Callable[..., Any]:
    """Read as Pasar does, then change the pages."""

    def read(job, cursor, fetch):
        yield from change(job, list(pasar.read(job, cursor, fetch)))

    return read


def off_by_one(job, cursor, fetch):
    start = cursor and {"after": str(int(cursor["after"]) + 1)}
    return pasar.read(job, start, fetch)


def end_when_it_fails(job, cursor, fetch):
    try:
        yield from pasar.read(job, cursor, fetch)
    except TryAgainError:
        return


def end_when_refused(job, cursor, fetch):
    try:
        yield from pasar.read(job, cursor, fetch)
    except AccessRefusedError:
        return


def quote_the_answer(job, cursor, fetch):
    def check(answer):
        if answer.status != 200:
            raise AccessRefusedError(f"refused: {answer.body[:200]!r}")

    yield from pasar.read(job, cursor, lambda request, _check=None: fetch(request, check))


def new_bytes(_job, pages):
    return [
        replace(page, rows=[replace(row, body=row.body + b" " * next(_counted)) for row in page.rows]) for page in pages
    ]


def all_that_are_asked_for(job, external_ids, fetch):
    return [pasar.gone(id_, AT) for id_ in external_ids]


def with_cursors(**more: Any) -> Callable[..., Any]:
    return read_with(lambda job, pages: [replace(p, cursor={**p.cursor, **more, **(job.credentials)}) for p in pages])


SABOTAGE: list[tuple[str, dict[str, Any]]] = [
    ("names", {"PROTECTED_FIELDS": ["email"]}),
    ("names", {"SKIPPED_TOPICS": None}),
    ("names", {"verify": None}),
    ("name", {"name": "Pasar, the shop"}),
    ("receive.odd_headers", {"receive": raises_for_an_odd_time}),
    ("receive.odd_headers", {"receive": local_time}),
    ("receive.delivery_id", {"receive": one_id_for_all}),
    ("receive.delivery_id", {"receive": another_id_every_time}),
    ("verify.accepts", {"verify": refuse_all}),
    ("verify.refuses_unsigned", {"verify": believe_all}),
    ("verify.refuses_unsigned", {"verify": stumble_over_the_signature}),
    ("verify.refuses_tampered", {"verify": believe_who_shows_a_signature}),
    ("verify.refuses_tampered", {"verify": stumble_over_the_signature}),
    ("parse.events", {"parse": parse_with(lambda _, events: events[:-1])}),
    ("parse.events", {"parse": parse_with(lambda _, events: [replace(events[0], fields={}), *events[1:]])}),
    ("parse.twice_the_same", {"parse": remember}),
    (
        "parse.well_formed",
        {"parse": parse_with(lambda _, events: [replace(e, occurred_at=AT.replace(tzinfo=None)) for e in events])},
    ),
    ("parse.well_formed", {"parse": parse_with(lambda body, events: [replace(e, external_id=7) for e in events])}),
    ("parse.unknown_topics", {"parse": know_every_topic}),
    ("parse.skipped_topics", {"SKIPPED_TOPICS": {"order.paid": ""}}),
    ("parse.skipped_topics", {"SKIPPED_TOPICS": {"customer.updated": "does not matter"}}),
    ("parse.key_order", {"parse": parse_with(lambda body, events: events if next(iter(body)) == "id" else [])}),
    ("parse.broken_bodies", {"parse": swallow}),
    ("parse.odd_values", {"parse": quote}),
    ("parse.odd_values", {"parse": say_nothing_of_the_field}),
    ("parse.odd_values", {"parse": raise_if(lambda body: "tags" not in body and "phone" in body)}),
    ("parse.several_odd_values", {"parse": stumble_over_two}),
    ("parse.deep_nesting", {"parse": recurse}),
    ("parse.keys_twice", {"parse": choke_on_a_second_key}),
    ("parse.big_ids", {"parse": parse_with(rounded)}),
    ("read.names", {"CREDENTIALS": "access_token"}),
    ("read.names", {"wanted": None}),
    ("read.gone", {"gone": lambda id_, at: replace(pasar.gone(id_, at), topic="customer.updated")}),
    ("read.wanted", {"wanted": lambda _topic, body: json.loads(body)["id"]}),
    ("read.full", {"read": read_with(lambda _, pages: pages[:-1])}),
    ("read.full", {"read": read_with(new_bytes)}),
    ("read.resumed", {"read": off_by_one}),
    ("read.resumed", {"read": read_with(lambda _, pages: [replace(page, cursor={1: "one"}) for page in pages])}),
    ("read.try_again", {"read": end_when_it_fails}),
    ("read.odd_answers", {"read": end_when_refused}),
    ("read.ids", {"read": read_with(lambda job, pages: pages[:1] if job.kind == "ids" else pages)}),
    ("read.increment", {"read": read_with(lambda job, pages: [] if job.since else pages)}),
    (
        "read.rows_parse",
        {
            "read": read_with(
                lambda _, pages: [replace(p, rows=[replace(r, topic="order.paid") for r in p.rows]) for p in pages]
            )
        },
    ),
    ("read.some", {"read_some": all_that_are_asked_for}),
    ("read.some", {"read_some": lambda job, ids, fetch: list(pasar.read_some(job, ids, fetch))[1:]}),
    ("read.credentials", {"read": with_cursors()}),
    ("read.credentials", {"read": quote_the_answer}),
]


@pytest.mark.parametrize(("check", "others"), [pytest.param(c, o, id=f"{c}-{n}") for n, (c, o) in enumerate(SABOTAGE)])
def test_a_sabotaged_connector_fails_the_check_that_is_about_it(check: str, others: dict[str, Any]):
    subject = conformance.subject_of(like(pasar, **others), registered=others.get("name", "pasar"))

    found = conformance.judge(subject, check)

    assert found.state == "failed"
    assert "budi" not in found.reason.lower()
    assert pasar.ScriptedShop().credentials["access_token"] not in found.reason


def test_there_is_a_sabotage_for_every_check():
    assert {check for check, _ in SABOTAGE} | {"read.cut_download"} == set(conformance.CHECKS)


def test_the_example_connector_keeps_every_promise():
    unchecked = {name for name, found in findings(pasar, "pasar").items() if found.state != "passed"}

    assert unchecked == {"read.cut_download"}


def test_a_name_is_the_one_that_is_registered():
    assert failed(pasar, "bazaar") == {"name"}


def test_a_reader_without_simulator_is_not_checked_which_is_not_passed():
    states = {name: found.state for name, found in findings(like(pasar, SIMULATOR=None)).items()}

    assert {name for name, state in states.items() if state == "not checked"} == {
        name for name in states if name.startswith("read.")
    } - {"read.names", "read.gone", "read.wanted"}


def test_without_examples_little_is_checked():
    found = findings(like(pasar, EXAMPLES=(), SIMULATOR=None))

    assert {found[name].state for name in ("verify.accepts", "parse.events", "parse.odd_values")} == {"not checked"}
    assert "EXAMPLES" in found["parse.events"].reason


# A connector of files, which has no webhooks and refuses every request.


def row_of_a_file(envelope, account):
    return list(pasar.parse(replace(envelope, topic="customer.updated"), account)) if envelope.topic == "row" else []


def test_a_connector_without_webhooks_passes():
    example = Example(name="row", topic="row", body={"id": 70001, "name": "Budi"}, events=[ProfileSeen])
    digest = lambda headers, body: replace(pasar.receive({}, body), topic="")  # noqa: E731
    file = SimpleNamespace(
        name="file",
        WEBHOOKS=False,
        PROTECTED_FIELDS=frozenset(),
        SKIPPED_TOPICS={},
        receive=digest,
        verify=refuse_all,
        parse=row_of_a_file,
        EXAMPLES=[example],
    )

    found = findings(file)

    assert failed(file) == set()
    assert [name for name, finding in found.items() if finding.state != "passed"] == [
        "verify.accepts",
        "verify.refuses_tampered",
    ]


# A provider that prepares a file, which is waited for, downloaded, and sometimes cut.


class Bulk:
    def __init__(self) -> None:
        self.account = Account(source="pasar")
        self.credentials = {"access_token": "pasar_token_4711"}
        self.external_ids = tuple(str(70001 + number) for number in range(9))
        self.requests = 0

    def answer(self, request: Request) -> Answer:
        answer = Answer(status=200, headers={}, body=b'{"ready": true}', not_before=AT, not_after=AT)
        if request.offset is None:
            self.requests += 1
            return replace(answer, body=json.dumps({"ready": self.requests > 2}).encode())
        return replace(answer, lines=self.lines(request.offset))

    def lines(self, offset: int):
        at = 0
        for id_ in self.external_ids:
            line = json.dumps({"id": int(id_), "name": "Budi Santoso"}).encode()
            at += len(line) + 1
            if at > offset:
                yield at, line


def read_bulk(job, cursor, fetch, *, is_careful=True):
    state = dict(cursor or {"offset": None})
    if state["offset"] is None:
        answer = fetch(Request(url="/bulk"))
        if answer.status != 200 or not isinstance(ready := json.loads(answer.body), dict) or "ready" not in ready:
            raise AccessRefusedError("no bulk")
        if not ready["ready"]:
            raise NotYetError({"offset": None}, timedelta(seconds=1))
        state["offset"] = 0
    answer = fetch(Request(url="/file", offset=state["offset"]))
    if answer.status != 200:
        raise AccessRefusedError("no file")
    for offset, line in answer.lines:
        try:
            id_ = str(json.loads(line)["id"])
        except (ValueError, TypeError, KeyError):
            if is_careful:
                raise TryAgainError("the file was cut") from None
            return
        row = Row(external_id=id_, updated_at=None, topic="customer.updated", body=line, not_before=AT, not_after=AT)
        yield Page(rows=[row], cursor={"offset": offset})


def test_a_cut_download_is_gone_on_with():
    careless = lambda job, cursor, fetch: read_bulk(job, cursor, fetch, is_careful=False)  # noqa: E731
    bulk = {"SIMULATOR": Bulk, "read_some": lambda *_: []}

    good, bad = (findings(like(pasar, read=read, **bulk)) for read in (read_bulk, careless))

    assert good["read.cut_download"].state == good["read.full"].state == good["read.resumed"].state == "passed"
    assert good["read.try_again"].state == "passed"
    assert bad["read.cut_download"].state == "failed"
    assert "missing" in bad["read.cut_download"].reason


def test_what_a_removal_says_is_the_removed_customer():
    def parse(envelope, account):
        return [
            replace(event, external_id="1") if isinstance(event, ProfileRemoved) else event
            for event in pasar.parse(envelope, account)
        ]

    assert "read.gone" in failed(like(pasar, parse=parse))


def test_what_only_several_odd_values_show_is_not_shown_by_one():
    assert failed(like(pasar, parse=stumble_over_two)) == {"parse.several_odd_values"}
