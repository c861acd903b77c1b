"""Hostile texts for every reader of text: the time for twice the length over that for the length, up to the limit.

A reader in linear time has a ratio of 2, one in quadratic time of 4. Both times are the best of several.
"""

import contextlib
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from uuid import UUID

from connectors import cleaning, consent_terms, countries, json_values, shopify, woocommerce
from connectors.contract import Account, Envelope, MalformedPayloadError
from connectors.files import cells
from tests.attack.finding import Finding
from tests.flows.stack import RunningStack
from worker.api import json_route
from worker.domain import emails, identifiers, names, phone_numbers
from worker.domain.normalise import normalise
from worker.errors import ConfigError
from worker.files import formula_guard, tabular
from worker.store import contact_terms

MOST_RATIO = 3.0
#: a time below this is noise, not a cost
_SMALLEST_S = 0.004
#: and no single text may take longer, whatever its length
MOST_S = 1.0

Reader = Callable[[str], object]

_PIECES = {
    "combining marks": "\u0301",
    "marks in wrong order": "\u0327\u0301\u0323",
    "letters and 30 marks": "a" + "\u0301" * 30,
    "a ligature of 18 letters": "\ufdfa",
    "Korean vowels": "\u1100\u1161\u11a8",
    "zero-width": "\u200b",
    "blanks": " ",
    "blanks and commas": " , ",
    "no-break blanks": "\u00a0",
    "line ends": "\n",
    "carriage returns": "\r",
    "tabs": "\t",
    "at signs": "@",
    "dots": ".",
    "dotted": "a.",
    "angles": "<",
    "angled": "<a>",
    "quotes": '"',
    "quoted": '"",',
    "backslashes": "\\",
    "brackets": "[",
    "braces": '{"a":',
    "digits": "1",
    "digits and slashes": "030/",
    "pluses": "+",
    "equals": "=",
    "apostrophes": "'",
    "ampersands": "&#0",
    "emoji": "\U0001f469\u200d",
    "extensions": "ext 1 ",
    "words": "ayu lestari ",
    "separators": ",;|",
    "surrogates": "\ud83d",
}
_SHAPES: Mapping[str, Callable[[str], str]] = {
    "": lambda text: text,
    "in an address": lambda text: f"a{text}@example.com",
    "in a domain": lambda text: f"a@example{text}.com",
    "in a number": lambda text: f"+49 30{text}7",
    "named": lambda text: f"Ayu <{text}@example.com",
}


def _shopify(text: str) -> object:
    body = {"id": 1, "first_name": text, "last_name": "B", "note": text, "tags": text, "email": text, "phone": text}
    return _normalised(shopify, "customers/update", {**body, "default_address": {"address1": text, "country": text}})


def _woocommerce(text: str) -> object:
    body = {"id": 1, "first_name": text, "email": text, "billing": {"phone": text, "country": text, "address_1": text}}
    return _normalised(woocommerce, "customer.updated", body)


def _normalised(connector: object, topic: str, body: object) -> object:
    now = datetime(2026, 9, 14, tzinfo=UTC)
    envelope = Envelope(topic=topic, delivery_id="d", sent_at=now, headers={}, body=json.dumps(body).encode())
    account = Account(source="shop", region="DE")
    return normalise(UUID(int=1), envelope, connector, account, ceiling=now)  # type: ignore[arg-type] # a module


def _file(text: str) -> object:
    with io.BytesIO(f"id,name,note\n1,{text},x\n2,b,c\n".encode("utf-8", "replace")) as stream:
        return sum(1 for _ in tabular.read_table(stream).rows())


def _lines(text: str) -> object:
    with io.BytesIO(json.dumps({"id": 1, "name": text}).encode() + b"\n") as stream:
        return sum(1 for _ in tabular.read_table(stream).rows())


def _cards(text: str) -> object:
    card = f"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:{text}\r\nEMAIL:{text}\r\nEND:VCARD\r\n"
    with io.BytesIO(card.encode("utf-8", "replace")) as stream:
        return sum(1 for _ in tabular.read_table(stream).rows())


def _tag_cell(text: str) -> object:
    return cells.Cells({"t": text}, {"tags": "t"}, empty_is_none=False).tags("tags")


def _request(text: str) -> object:
    return json_route._composed({"name": text, "custom_fields": {text: [text]}})


READERS: Mapping[str, tuple[Reader, int]] = {
    "e-mail": (emails.email.__wrapped__, 1_000),
    "e-mail of the API": (emails.given_email, 1_000),
    "number": (lambda text: phone_numbers.phone.__wrapped__(text, "DE"), 1_000),
    "number of the API": (lambda text: phone_numbers.given_phone(text, "DE"), 1_000),
    "address of a channel": (lambda text: identifiers.type_of_address("whatsapp", text), 1_000),
    "other identifier": (lambda text: identifiers.normal_form("telegram", text, None), 100_000),
    "cleaning": (cleaning.plain_text, 20_000),
    "cleaning of an e-mail": (cleaning.plain_email, 20_000),
    "id": (cleaning.is_damaged, 20_000),
    "word of consent": (consent_terms.word_of, 100_000),
    "country": (countries.code_of.__wrapped__, 100_000),
    "name": (names.tokens.__wrapped__, 100_000),
    "names compared": (lambda text: names.disagree({text}, {"Ayu Lestari"}), 100_000),
    "words of a search": (contact_terms.words, 100_000),
    "text of a body": (lambda text: json_values.text({"a": text}, "a", limit=20_000), 100_000),
    "body": (lambda text: json_values.load_json(json.dumps({"a": text, text: 1}).encode()), 100_000),
    "body of no JSON": (lambda text: json_values.load_json(text.encode("utf-8", "replace")), 100_000),
    "time of a body": (lambda text: json_values.moment({"a": text}, "a"), 100_000),
    "customer of Shopify": (_shopify, 50_000),
    "customer of WooCommerce": (_woocommerce, 50_000),
    "secret of WooCommerce": (woocommerce.signing_key, 50_000),
    "row of a CSV file": (_file, 50_000),
    "line of JSON": (_lines, 50_000),
    "vCard": (_cards, 20_000),
    "cell of tags": (_tag_cell, 50_000),
    "cell that guards a formula": (formula_guard.unguard, 50_000),
    "cell to guard": (formula_guard.guard, 50_000),
    "request of the API": (_request, 50_000),
}


def attack(_stack: RunningStack, *, full: bool) -> Iterator[Finding]:
    """Give each reader each hostile text, in half of its longest length and in its longest."""
    for name, (read, limit) in READERS.items():
        worst, slowest = worst_of(read, limit if full else min(limit, 5_000), repeats=5 if full else 2)
        held = worst[0] < MOST_RATIO and slowest[0] < MOST_S
        yield Finding(
            f"hostile texts for: {name}",
            f"time of 2n over n under {MOST_RATIO:.0f}, none above {MOST_S:.0f} s",
            f"{worst[0]:.1f} ({worst[1]}); {slowest[0]:.3f} s ({slowest[1]})",
            held,
        )


def worst_of(read: Reader, limit: int, repeats: int) -> tuple[tuple[float, str], tuple[float, str]]:
    """Return the worst ratio and the longest time in seconds, each with its text."""
    worst, slowest = (0.0, "nothing above noise"), (0.0, "nothing")
    for piece_name, piece in _PIECES.items():
        for shape_name, shape in _SHAPES.items():
            name = f"{piece_name} {shape_name}".strip()
            whole = shape(piece * (limit // len(piece)))
            long_s = _time(read, whole, 1)
            slowest = max(slowest, (long_s, name))
            if long_s < _SMALLEST_S:
                continue
            half = shape(piece * (limit // len(piece) // 2))
            short_s = _time(read, half, repeats)
            ratio = _time(read, whole, repeats) / short_s
            # A reader that refuses the whole and reads the half, or the other way round, is no matter of length.
            if short_s >= _SMALLEST_S / 4:
                worst = max(worst, (ratio, name))
    return worst, slowest


def _time(read: Reader, text: str, repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        began = time.thread_time()
        with contextlib.suppress(MalformedPayloadError, ConfigError, ValueError, json_route.ApiError):
            read(text)
        best = min(best, time.thread_time() - began)
    return best
