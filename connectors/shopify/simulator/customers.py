"""The customers of a simulated shop in GraphQL's shape: each a pure function of the shop's seed and a number.

A shop may have any size, because only customers that change, join or leave later are kept. Nobody here exists:
e-mails are of example.com and example.org, numbers are drawn. A customer whose number is 3 modulo 8 is the same
person in every shop. One in 64 has the phone number, and one in 128 the e-mail, of the customer before.
"""

import heapq
import math
import random
from bisect import bisect_right, insort
from collections.abc import Collection, Iterator
from datetime import date
from functools import lru_cache
from itertools import islice
from typing import Any

import orjson

Body = dict[str, Any]
Key = tuple[int, int]  #: a place in the order of ``updatedAt``: the second, and a number that breaks ties

FIRST_CHANGE, LAST_CHANGE = 1_761_955_200, 1_793_491_200  #: November 2025 to November 2026
_DAY = 86_400
_STRIDE = 32_771  #: between two ids
_MASK = 2**64 - 1
_EPOCH_DAY = date(1970, 1, 1).toordinal()

#: fields of a customer, in the order in which they are written
FIELDS = (
    *("id", "firstName", "lastName", "locale", "state", "verifiedEmail", "taxExempt", "tags", "note", "createdAt"),
    *("updatedAt", "numberOfOrders", "amountSpent", "lastOrder", "defaultEmailAddress"),
    *("defaultPhoneNumber", "defaultAddress"),
)
_FIRST_NAMES = ("Budi", "Siti", "Dewi", "Agus", "Emma", "Noah", "Zoë", "Lukas", "Jürgen", "Anneliese", "João", "Wati")
_LAST_NAMES = ("Santoso", "Wijaya", "O'Neill", "Miller", "Strauß", "Köhler", "Gonçalves", "da Silva", "Halim", "Baker")
_TAGS = ("VIP", "wholesale", "newsletter", "Léon", "Noël", "returns", "B2B", "spring 2026", "gift", "loyal")
_EMAIL_STATES = ("NOT_SUBSCRIBED",) * 6 + ("SUBSCRIBED",) * 5 + ("UNSUBSCRIBED",) * 3 + ("PENDING", "INVALID")
_SMS_STATES = ("NOT_SUBSCRIBED",) * 9 + ("SUBSCRIBED",) * 3 + ("UNSUBSCRIBED",) * 2 + ("PENDING", "REDACTED")
_WHATSAPP_STATES = ("NEVER_SUBSCRIBED",) * 8 + ("SUBSCRIBED",) * 4 + ("UNSUBSCRIBED",) * 2 + ("PENDING", "REDACTED")
_COUNTRIES = ("ID", "CA", "DE", "BR")
_CITIES = ("Harbour", "Northgate", "Millbrook", "Easton")


class Population:
    """All customers of one shop."""

    def __init__(self, seed: int, size: int) -> None:
        self.seed = seed
        self.size = size  #: of the shop before anything was changed
        self.added = 0
        self.deleted: set[int] = set()
        self._kept: dict[int, Body] = {}
        self._moved: list[tuple[int, int, int]] = []  # of kept customers: (second, tie-breaker, number)
        self._salt = _mix(seed)
        self._first_id = 6 * 10**12 + self._salt % 10**9
        # The order of changes is a permutation of the numbers, so that it is not the order of ids.
        self._factor = next(f for f in range(self._salt % 10**6 + 1, 10**7) if math.gcd(f, max(size, 1)) == 1)
        self._back = pow(self._factor, -1, size) if size > 1 else 0

    def __len__(self) -> int:
        return self.size + self.added - len(self.deleted)

    def gid(self, number: int) -> str:
        """Return the customer's id as GraphQL writes it."""
        return f"gid://shopify/Customer/{self._first_id + number * _STRIDE}"

    def number_of(self, gid: str) -> int | None:
        """Return the number of the customer with this gid; None if there is nobody."""
        kind, _, written = gid.rpartition("/")
        if kind != "gid://shopify/Customer" or not (written.isascii() and written.isdigit()):
            return None
        number, rest = divmod(int(written) - self._first_id, _STRIDE)
        exists = rest == 0 and 0 <= number < self.size + self.added and number not in self.deleted
        return number if exists else None

    def customer(self, number: int) -> Body:
        """Return the customer as they are now."""
        return self._kept.get(number) or self._invented(number)

    def numbers(self, *, backwards: bool = False) -> Iterator[int]:
        """Yield the numbers of all customers."""
        numbers = range(self.size + self.added)
        return (n for n in (reversed(numbers) if backwards else numbers) if n not in self.deleted)

    def lines(
        self, names: Collection[str] | None, hidden: Collection[str] = (), *, children: bool = False
    ) -> Iterator[bytes]:
        """Yield all customers, as they are at the first line, as JSONL with these fields; hidden fields are null."""
        kept, deleted, end = dict(self._kept), set(self.deleted), self.size + self.added
        for number in range(end):
            if number in deleted:
                continue
            customer = kept.get(number) or self._invented(number)
            if names is not None:
                customer = {name: value for name, value in customer.items() if name in names}
            line = written(customer | dict.fromkeys(hidden) if hidden else customer)
            if not children:
                yield line
            elif number % 3:  # since 2026-01 children need not follow their parent
                yield from (line, self._child(number))
            else:
                yield from (self._child(number), line)

    def changed_since(self, second: int, after: Key | None, limit: int) -> list[tuple[Key, int]]:
        """Return the customers that changed at or after the second, in the order of changes, as (key, number)."""
        first = (second, -1) if after is None else max((second, -1), after)
        return list(islice(heapq.merge(self._invented_after(first), self._kept_after(first)), limit))

    def keep(self, number: int, customer: Body, second: int) -> None:
        """Keep a customer that was changed at the second."""
        self.forget(number)
        self._kept[number] = customer | {"updatedAt": iso(second)}
        insort(self._moved, (second, self.size + number, number))

    def forget(self, number: int) -> None:
        """Drop what is kept of a customer."""
        if self._kept.pop(number, None) is not None:
            self._moved = [entry for entry in self._moved if entry[2] != number]

    def add(self, second: int) -> int:
        """Add a customer; return the number."""
        number = self.size + self.added
        self.added += 1
        self.keep(number, self._invented(number, second) | {"createdAt": iso(second)}, second)
        return number

    def delete(self, number: int) -> None:
        """Delete a customer; nobody gets the number again."""
        self.forget(number)
        self.deleted.add(number)

    def _updated(self, rank: int) -> int:
        return FIRST_CHANGE + rank * (LAST_CHANGE - FIRST_CHANGE) // self.size

    def _invented_after(self, key: Key) -> Iterator[tuple[Key, int]]:
        second, tie = key
        if self.size == 0:
            return
        from_tie = tie + 1 if 0 <= tie < self.size else 0
        first_second = second if tie < self.size else second + 1
        guess = (first_second - FIRST_CHANGE) * self.size // (LAST_CHANGE - FIRST_CHANGE)
        rank = max(0, guess - 1, from_tie)
        while rank < self.size and self._updated(rank) < first_second:
            rank += 1
        for found in range(rank, self.size):
            number = found * self._back % self.size
            if number not in self._kept and number not in self.deleted:
                yield (self._updated(found), found), number

    def _kept_after(self, key: Key) -> Iterator[tuple[Key, int]]:
        start = bisect_right(self._moved, (*key, self.size + self.added))
        for second, tie, number in self._moved[start:]:
            yield (second, tie), number

    def _child(self, number: int) -> bytes:
        return written(
            {"id": f"gid://shopify/MailingAddress/{number}?model_name=CustomerAddress", "__parentId": self.gid(number)}
        )

    def _invented(self, number: int, second: int | None = None) -> Body:
        bits = _mix(self._salt + number)
        if second is None:
            second = self._updated(number * self._factor % self.size)
        person = _mix(number) if number % 8 == 3 else bits  # the same people in every shop
        first, last = _FIRST_NAMES[person % 12], _LAST_NAMES[(person >> 8) % 10]
        country = (person >> 12) % 4
        orders = (bits >> 16) % 8
        since = second - 60 - (bits >> 20) % (200 * _DAY)  # the customer decided then
        return {
            "id": self.gid(number),
            "firstName": first,
            "lastName": last,
            "locale": "en",
            "state": "DISABLED",
            "verifiedEmail": bits >> 24 & 1 == 1,
            "taxExempt": False,
            "tags": [tag for place, tag in enumerate(_TAGS) if not (bits >> 25 + 2 * place) & 3],
            "note": None if bits >> 46 & 7 else "Prefers to be called / after six",
            "createdAt": iso(since - _DAY),
            "updatedAt": iso(second),
            "numberOfOrders": str(orders),
            "amountSpent": {"amount": f"{orders * 12}.5", "currencyCode": "USD"},
            "lastOrder": {"id": f"gid://shopify/Order/{number * 8 + orders}"} if orders else None,
            "defaultEmailAddress": self._email(number, bits, since) if bits >> 49 & 7 else None,
            "defaultPhoneNumber": self._phone(number, bits, since) if bits >> 52 & 3 else None,
            "defaultAddress": {
                "company": None,
                "address1": f"{number % 90 + 1} Lantern Row",
                "address2": None,
                "city": _CITIES[country],
                "provinceCode": None,
                "countryCodeV2": _COUNTRIES[country],
                "zip": f"{number % 90_000 + 10_000}",
                "phone": "555-555-SHIP",
            },
        }

    def _person(self, number: int) -> int:
        return _mix(number) if number % 8 == 3 else _mix(self._salt + number)

    def _email(self, number: int, bits: int, since: int) -> Body:
        state = _EMAIL_STATES[bits >> 54 & 15]
        if number % 128 == 77:
            number -= 1  # Shopify forbids two customers with one e-mail today, but old and imported records have them
        person = self._person(number)
        shop = "" if number % 8 == 3 else f".{self.seed}"
        name = f"{_LAST_NAMES[(person >> 8) % 10].strip('ß').replace(' ', '')}".encode("ascii", "ignore").decode()
        return {
            "emailAddress": f"{name.replace(chr(39), '')}{number}{shop}@example.{'org' if person & 1 else 'com'}",
            "marketingState": state,
            "marketingOptInLevel": "CONFIRMED_OPT_IN" if state == "PENDING" else "SINGLE_OPT_IN",
            "marketingUpdatedAt": None if state == "NOT_SUBSCRIBED" else iso(since),
        }

    def _phone(self, number: int, bits: int, since: int) -> Body:
        state, whatsapp = _SMS_STATES[bits >> 58 & 15], _WHATSAPP_STATES[bits >> 60 & 15]
        if number % 64 == 29:
            number -= 1
        person = self._person(number)
        digits = person >> 16
        country = (person >> 12) % 4
        if country == 1:
            written_number = f"+1613{2 + digits % 8}{digits % 999_983:06}"
        else:
            written_number = f"{('+62812', '', '+4915', '+55119')[country]}{digits % 99_999_989:08}"
        return {
            "phoneNumber": written_number if country != 2 else written_number[:5] + "1" + written_number[5:],
            "marketingState": state,
            "marketingOptInLevel": "SINGLE_OPT_IN",
            "marketingUpdatedAt": None if state == "NOT_SUBSCRIBED" else iso(since),
            "marketingCollectedFrom": "SHOPIFY" if bits >> 57 & 1 else "OTHER",
            "whatsAppMarketingConsent": {
                "state": whatsapp,
                "optInLevel": "SINGLE_OPT_IN",
                "updatedAt": None if whatsapp == "NEVER_SUBSCRIBED" else iso(since + 7),
                "collectedFrom": "OTHER",
            },
        }


def altered(customer: Body, rng: random.Random, second: int) -> tuple[Body, list[str]]:
    """Return the customer after a change at the second, and the names of the changed fields."""
    now, changed = customer | {"updatedAt": iso(second)}, []
    if rng.random() < 0.5:
        now["firstName"] = rng.choice([name for name in _FIRST_NAMES if name != now["firstName"]])
        changed.append("firstName")
    if rng.random() < 0.5 or not changed:
        tag = rng.choice(_TAGS)
        now["tags"] = sorted({*now["tags"]} ^ {tag})
        changed.append("tags")
    email = now["defaultEmailAddress"]
    if email and rng.random() < 0.3:
        email = email | {"emailAddress": f"moved{rng.randrange(10**9)}@example.org"}
        changed.append("email")
    if email and rng.random() < 0.4:
        state = "UNSUBSCRIBED" if email["marketingState"] == "SUBSCRIBED" else "SUBSCRIBED"
        email = email | {"marketingState": state, "marketingUpdatedAt": iso(second)}
        changed.append("email consent")
    phone = now["defaultPhoneNumber"]
    if phone and rng.random() < 0.3:
        state = "UNSUBSCRIBED" if phone["marketingState"] == "SUBSCRIBED" else "SUBSCRIBED"
        phone = phone | {"marketingState": state, "marketingUpdatedAt": iso(second)}
        changed.append("phone consent")
    now |= {"defaultEmailAddress": email, "defaultPhoneNumber": phone}
    return now, changed


def written(row: Body) -> bytes:
    """Return a line of a bulk operation's result; Shopify escapes slashes in it."""
    return orjson.dumps(row).replace(b"/", b"\\/") + b"\n"


def iso(second: int) -> str:
    """Return a time as GraphQL writes it, in whole seconds."""
    day, rest = divmod(second, _DAY)
    return f"{_date(day)}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}Z"


@lru_cache(4096)
def _date(day: int) -> str:
    return date.fromordinal(_EPOCH_DAY + day).isoformat()


def _mix(value: int) -> int:
    """Scramble 64 bits (splitmix64)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _MASK
    return value ^ value >> 31
