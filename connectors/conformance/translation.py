"""What every connector owes when it parses a body: the recorded events, and a reason for a damaged body."""

import copy
import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from connectors.conformance import mutations
from connectors.conformance.examples import Example, envelope, written
from connectors.conformance.shapes import flaw_of_event
from connectors.conformance.subject import BrokenError, NotCheckedError, Subject
from connectors.contract import Envelope, Event, MalformedPayloadError

UNKNOWN_TOPICS = ("", "nobody/knows", "\0", "Customer/unheard_of")

#: no double holds the first exactly; the second is just below 2^63
_BIG_IDS = ("9007199254740993", "9223372036854775783")
_SHORTEST_ID = 4  #: digits; a shorter number may stand in a body for something else


def recorded_events(subject: Subject) -> None:
    """Every example gives exactly its events."""
    for example in subject.some_examples():
        found = subject.events_of(example)
        if len(found) != len(example.events):
            raise BrokenError(f"{example.name}: expected {len(example.events)} events, got {len(found)}")
        for number, (event, expected) in enumerate(zip(found, example.events, strict=True), start=1):
            if wrong := _differs(event, expected):
                raise BrokenError(f"{example.name}: event {number}: {wrong}")


def twice_the_same(subject: Subject) -> None:
    """The same envelope gives the same events every time, and stays as it was."""
    for example in subject.some_examples():
        given = envelope(example, subject.topic(example))
        account = example.account or subject.account
        before = copy.deepcopy((given.headers, account.options))
        first = subject.events(given, account, example.name)
        if subject.events(given, account, example.name) != first or subject.events_of(example) != first:
            raise BrokenError(f"{example.name}: the same envelope gives other events the second time")
        if (given.headers, account.options) != before:
            raise BrokenError(f"{example.name}: parse changes the headers or options that it is given")


def well_formed(subject: Subject) -> None:
    """Events are of the contract's types: times in UTC, ids of text, known channels and identifiers."""
    for example in subject.some_examples():
        for event in subject.events_of(example):
            if wrong := flaw_of_event(event):
                raise BrokenError(f"{example.name}: {wrong}")


def unknown_topics(subject: Subject) -> None:
    """An unknown topic gives nothing, whatever the body."""
    for topic in UNKNOWN_TOPICS:
        if topic not in [example.topic for example in subject.examples]:
            _gives_nothing(subject, topic, (b'{"id": 1}', b"\xff no JSON"), "unknown")


def skipped_topics(subject: Subject) -> None:
    """A skipped topic gives nothing, and has a reason."""
    for topic, reason in subject.connector.SKIPPED_TOPICS.items():
        if not isinstance(reason, str) or not reason.strip():
            raise BrokenError(f"SKIPPED_TOPICS: {topic!r} has no reason")
        _gives_nothing(subject, topic, (b'{"id": 1}',), "skipped")


def key_order(subject: Subject) -> None:
    """Keys in another order give the same events."""
    for example, body in subject.json_examples():
        raw = json.dumps(mutations.reordered(body), ensure_ascii=False).encode()
        found = subject.events(envelope(example, subject.topic(example), raw), example.account, example.name)
        if isinstance(found, MalformedPayloadError) or _as_set(found) != _as_set(subject.events_of(example)):
            raise BrokenError(f"{example.name}: keys in another order give other events")


def broken_bodies(subject: Subject) -> None:
    """A body that is cut short, not UTF-8 or not JSON is malformed, if the connector reads its topic."""
    for example, body in subject.json_examples():
        raw, topic = example.raw().strip(), subject.topic(example)
        # If the connector does not read a topic's bodies, neither rubbish nor the example gives events or errors.
        is_read = bool(example.events) or _is_refused(subject, example, topic, b"\xff no JSON", None)
        bodies = [(raw[:length], "cut short") for length in {0, 1, len(raw) // 3, len(raw) // 2, len(raw) - 1}]
        if isinstance(body, dict):
            bodies += [(other, "not an object") for other in mutations.NO_OBJECTS]
        for broken, what in [*bodies, (b"\xff" + raw, "not UTF-8"), (raw + b"}", "with a bracket too many")]:
            if _is_refused(subject, example, topic, broken, body) != is_read:
                raise BrokenError(f"{example.name}: a body {what} is not malformed to parse")


def odd_values(subject: Subject) -> None:
    """Any value of any type, or no value, gives sound events or a reason that quotes nothing."""
    for example, body in subject.json_examples():
        _judge_all(subject, example, mutations.with_odd_values(body))


def several_odd_values(subject: Subject) -> None:
    """Several odd values at once give sound events or a reason that quotes nothing."""
    for example, body in subject.json_examples():
        _judge_all(subject, example, mutations.with_several_odd_values(body, example.name))


def deep_nesting(subject: Subject) -> None:
    """A body with very many levels is malformed, or gives sound events."""
    for example, body in subject.json_examples():
        topic = subject.topic(example)
        for raw in mutations.nested_deeply(body):
            subject.judge(example, topic, raw, ["Wrong Of Type 4711", body], "nested deeply")


def keys_twice(subject: Subject) -> None:
    """A key given twice gives sound events or a reason that quotes nothing."""
    for example, body in subject.json_examples():
        topic = subject.topic(example)
        for where, raw in mutations.with_keys_twice(body):
            subject.judge(example, topic, raw, ["Wrong Of Type 4711", body], f"{where} twice")


def big_ids(subject: Subject) -> None:
    """Ids beyond 53 bits stay as they are."""
    tried = False
    for example, body in subject.json_examples():
        before = subject.events_of(example)
        topic = subject.topic(example)
        ids = {id_ for event in before for id_ in _ids(event)}
        for old in sorted(id_ for id_ in ids if id_.isdigit() and len(id_) >= _SHORTEST_ID):
            for new in _BIG_IDS:
                bigger = mutations.with_id(body, old, new)
                if bigger == body:
                    continue
                tried = True
                raw = json.dumps(bigger).encode()
                after = subject.events(envelope(example, topic, raw), example.account, example.name)
                expected = [new if id_ == old else id_ for event in before for id_ in _ids(event)]
                if isinstance(after, MalformedPayloadError) or [i for e in after for i in _ids(e)] != expected:
                    raise BrokenError(f"{example.name}: an id beyond 53 bits is refused or changed")
    if not tried:
        raise NotCheckedError("no example has a number for an external id")


def _judge_all(subject: Subject, example: Example, bodies: Iterator[tuple[str, Any]]) -> None:
    topic = subject.topic(example)
    for where, body in bodies:
        judge_body(subject, example, topic, body, where)


def judge_body(subject: Subject, example: Example, topic: str, body: Any, where: str) -> None:
    """Check the outcome of a body in an example's place."""
    # UTF-8 has no half of a surrogate pair; JSON writes it as an escape.
    subject.judge(example, topic, json.dumps(body).encode(), body, where)


def _is_refused(subject: Subject, example: Example, topic: str, raw: bytes, held: Any) -> bool:
    where = f"{example.name}: a broken body"
    found = subject.events(envelope(example, topic, raw), example.account, where)
    if isinstance(found, MalformedPayloadError):
        subject.judge_reason(found, held, where)
        return True
    return False


def _gives_nothing(subject: Subject, topic: str, bodies: tuple[bytes, ...], what: str) -> None:
    for body in bodies:
        given = Envelope(topic=topic, delivery_id="delivery", sent_at=None, headers={}, body=body)
        if subject.events(given, None, f"{what} topic {topic!r}") != []:
            raise BrokenError(f"{what} topic {topic!r}: expected no events and no error")


def _differs(event: Event, expected: Any) -> str | None:
    kind = expected.get("event") if isinstance(expected, Mapping) else _class_of(expected).__name__
    if type(event).__name__ != kind:
        return f"expected {kind}, got {type(event).__name__}"
    if isinstance(expected, type):
        return None
    recorded = expected if isinstance(expected, Mapping) else written(expected)
    got = written(event)
    names = [each.name for each in dataclasses.fields(event) if got.get(each.name) != recorded.get(each.name)]
    return f"{', '.join(names)}: not as recorded" if names or got.keys() != recorded.keys() else None


def _class_of(expected: Any) -> type:
    return expected if isinstance(expected, type) else type(expected)


def _as_set(events: list[Event]) -> list[str]:
    """Return events in a fixed order, because the order of keys may change the order of events."""
    return sorted(json.dumps(written(event), sort_keys=True) for event in events)


def _ids(event: Event) -> list[str]:
    return [
        value
        for each in dataclasses.fields(event)
        if each.name.endswith("external_id") and isinstance(value := getattr(event, each.name), str)
    ]


CHECKS = {
    "parse.events": recorded_events,
    "parse.twice_the_same": twice_the_same,
    "parse.well_formed": well_formed,
    "parse.unknown_topics": unknown_topics,
    "parse.skipped_topics": skipped_topics,
    "parse.key_order": key_order,
    "parse.broken_bodies": broken_bodies,
    "parse.odd_values": odd_values,
    "parse.several_odd_values": several_odd_values,
    "parse.deep_nesting": deep_nesting,
    "parse.keys_twice": keys_twice,
    "parse.big_ids": big_ids,
}
