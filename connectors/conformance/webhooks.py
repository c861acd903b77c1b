"""What every connector owes before a body is parsed: its names, its receipts, and the check of signatures."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from connectors.conformance.examples import Example
from connectors.conformance.mutations import ODD_HEADERS
from connectors.conformance.subject import BrokenError, NotCheckedError, Subject, sound
from connectors.reader import NOT_BEFORE

_OTHER_SECRET = "c29tZSBvdGhlciBzZWNyZXQgb2YgbmFtZQ=="  # noqa: S105 - nobody's


def names(subject: Subject) -> None:
    """It has every name of ``Connector``, of the right kind."""
    connector = subject.connector
    for name in ("receive", "verify", "parse"):
        if not callable(getattr(connector, name, None)):
            raise BrokenError(f"{name}: expected a function")
    fields = getattr(connector, "PROTECTED_FIELDS", None)
    if not isinstance(fields, frozenset) or not all(isinstance(field, str) for field in fields):
        raise BrokenError("PROTECTED_FIELDS: expected a frozenset of text")
    skipped = getattr(connector, "SKIPPED_TOPICS", None)
    if not isinstance(skipped, Mapping) or not all(isinstance(topic, str) for topic in skipped):
        raise BrokenError("SKIPPED_TOPICS: expected a mapping from topic to reason")
    for example in subject.examples:
        if not isinstance(example, Example):
            raise BrokenError("EXAMPLES: expected instances of Example only")


def own_name(subject: Subject) -> None:
    """Its name is a plain word, and it is registered under the same name."""
    name = getattr(subject.connector, "name", None)
    if not (isinstance(name, str) and name.isascii() and name.isidentifier() and name == name.lower()):
        raise BrokenError("name: expected a plain word: small letters, digits and underscores")
    if name != subject.registered:
        raise BrokenError(f"name: expected {subject.registered!r}, under which it is registered")


def odd_headers(subject: Subject) -> None:
    """``receive`` accepts every value of a header, and returns a sound receipt."""
    requests = [({}, b"", "no headers"), ({"unrelated": "x"}, b"{}", "unrelated headers")]
    for example in subject.examples:
        headers, body = example.lowered(), example.raw()
        requests.append((headers, body, example.name))
        for name in headers:
            rest = {key: value for key, value in headers.items() if key != name}
            requests.append((rest, body, f"{example.name} without {name}"))
            requests += [({**headers, name: odd}, body, f"{example.name}, {name} odd") for odd in ODD_HEADERS]
    for headers, body, where in requests:
        receipt = subject.receipt(headers, body, where)
        # The worker cleans odd text, so only types are checked here.
        if not isinstance(receipt.topic, str) or not isinstance(receipt.delivery_id, str) or not receipt.delivery_id:
            raise BrokenError(f"{where}: expected a topic and a delivery id of text, the id not empty")
        if receipt.sent_at is not None:
            _in_utc(receipt, where)


def delivery_id(subject: Subject) -> None:
    """One delivery has one id, however often it is received; another delivery has another."""
    first, second = (subject.receipt({}, body, "no headers") for body in (b"one", b"two"))
    if first.sent_at is not None:
        raise BrokenError("no headers: expected no sending time")
    if first != subject.receipt({}, b"one", "no headers"):
        raise BrokenError("no headers: the same request gives another receipt the second time")
    if first.delivery_id == second.delivery_id:
        raise BrokenError("no headers: two bodies share a delivery id")
    for example in subject.examples:
        headers, body = example.lowered(), example.raw()
        receipt = subject.receipt(headers, body, example.name)
        sound(receipt, example.name)
        if receipt != subject.receipt(dict(headers), bytes(body), example.name):
            raise BrokenError(f"{example.name}: the same request gives another receipt the second time")
        # A row of a reading has no headers of a sender, and keeps the topic that its reader gave it.
        is_sent = bool(headers.keys() - {NOT_BEFORE})
        if is_sent and example.topic is not None and receipt.topic != example.topic:
            raise BrokenError(f"{example.name}: the headers give another topic than the example's")
        others = [({**headers, name: "another-4711"}, body) for name in headers] + [(headers, body + b" ")]
        if all(subject.receipt(*other, example.name).delivery_id == receipt.delivery_id for other in others):
            raise BrokenError(f"{example.name}: the delivery id depends on nothing in the request")


def accepted(subject: Subject) -> None:
    """``verify`` accepts a request that was signed with any of the secrets."""
    for example in _signed(subject):
        headers, body = example.lowered(), example.raw()
        for secrets in (example.secrets, [*example.secrets, _OTHER_SECRET], [_OTHER_SECRET, *example.secrets]):
            if not subject.accepts(headers, body, secrets, example.name):
                raise BrokenError(f"{example.name}: the signature is refused, with {len(secrets)} secrets")


def unsigned(subject: Subject) -> None:
    """``verify`` refuses a request without a signature, and any request if there are no secrets."""
    requests: list[tuple[Mapping[str, str], bytes, Collection[str], str]] = [({}, b"{}", (), "no headers")]
    requests += [(example.lowered(), example.raw(), example.secrets, example.name) for example in subject.examples]
    for headers, body, secrets, where in requests:
        if subject.accepts({}, body, [*secrets, _OTHER_SECRET], where):
            raise BrokenError(f"{where}: accepted without any header")
        for none in ([], [""]):
            if subject.accepts(headers, body, none, where):
                raise BrokenError(f"{where}: accepted with no secret, or an empty one")


def tampered(subject: Subject) -> None:
    """``verify`` refuses a changed body, a changed signature and another secret."""
    for example in _signed(subject):
        headers, body, where = example.lowered(), example.raw(), example.name
        for other in {body + b" ", body[:-1] + b" ", body[: len(body) // 2], b""} - {body}:
            if subject.accepts(headers, other, example.secrets, where):
                raise BrokenError(f"{where}: accepted with another body")
        if subject.accepts(headers, body, [_flipped(secret, len(secret) // 2) for secret in example.secrets], where):
            raise BrokenError(f"{where}: accepted with another secret")
        for name, forged in _forged(subject, example):
            if subject.accepts({**headers, name: forged}, body, example.secrets, where):
                raise BrokenError(f"{where}: accepted with another {name}")


def _signed(subject: Subject) -> list[Example]:
    found = [example for example in subject.some_examples() if example.secrets]
    if not found:
        raise NotCheckedError("no example is signed (has secrets)")
    return found


def _forged(subject: Subject, example: Example) -> Iterator[tuple[str, str]]:
    """Yield other values for the headers of the signature: those without which ``verify`` refuses."""
    headers = example.lowered()
    for name, value in headers.items():
        rest = {key: kept for key, kept in headers.items() if key != name}
        if subject.accepts(rest, example.raw(), example.secrets, example.name):
            continue
        yield from ((name, odd) for odd in ODD_HEADERS)
        if " " not in value:  # in a list of signatures, another one may still fit
            yield from ((name, _flipped(value, index)) for index in range(len(value)))


def _flipped(text: str, index: int) -> str:
    """Return the text with one character changed, by more than its case."""
    other = "A" if text[index : index + 1] not in ("A", "a") else "B"
    return text[:index] + other + text[index + 1 :]


def _in_utc(receipt: Any, where: str) -> None:
    offset = getattr(receipt.sent_at, "utcoffset", lambda: None)()
    if offset is None or offset:
        raise BrokenError(f"{where}: expected a sending time in UTC, or none")


CHECKS = {
    "names": names,
    "name": own_name,
    "receive.odd_headers": odd_headers,
    "receive.delivery_id": delivery_id,
    "verify.accepts": accepted,
    "verify.refuses_unsigned": unsigned,
    "verify.refuses_tampered": tampered,
}
