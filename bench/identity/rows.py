"""Rows: what two shops and a messenger list hold about people, labelled with whom each row is about.

Shop ``a`` sells online, shop ``b`` has tills as well, ``c`` is the contact list of a messenger. Guests order at both
shops; some are customers there, before or after. Each row also names the dirt that has got into it.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from bench.identity import names, writing
from bench.identity.dirt import Dirt
from bench.identity.people import CODES, DAYS, Person, people
from worker.domain import identifiers

MESSENGER = "c"
CUSTOMERS = {"a": 0.60, "b": 0.50, MESSENGER: 0.35}  #: the share of people that each source knows
GUESTS = {"a": 0.20, "b": 0.20}
_GIVES_SHARED = 0.5  #: of the records of who has a shared number or address
_GIVES_SHARED_TO_MESSENGER = 0.1
_GIVES_DESK = 0.6  #: of the records of who has a desk in an office
_GIVES_MAILBOX = 0.2  #: of the records of who has a shared mailbox
_GIVES_SECOND_EMAIL = 0.25
_UPDATES = 0.5  #: of the customers whose number or surname has changed: they tell the shop
_MIDDLE_INITIAL = 0.05
_SECOND_SURNAME = 0.5  #: of the records of who has two surnames
_TRIES = 10  #: to open a second account
_TILL_EMAILS = 4  #: times as many customers without e-mail has a shop with tills
_PROFILE_NAMES = {"whole": 45, "given": 30, "nickname": 12, "pseudonym": 8, "none": 5}
_EMAIL_PLACEHOLDERS = ("noreply@{}.example.com", "no-email@{}.example.com", "none@example.com", "x@example.com")
_NUMBER_PLACEHOLDERS = ("0000000000", "1234567890", "+1 000 000 0000", "+1 999 999 9999", "+1 123 456 7890")
_TILLS = ("+16135550199", "+14165550199", "+12125550199")  #: the branches of shop b


@dataclass(frozen=True)
class Statement:
    """What a record says from a day on."""

    day: int
    given: str | None  #: in the list of a messenger the whole name that a person shows there
    surname: str | None
    email: str | None
    number: str | None  #: as it is typed, without its extension
    extension: str  #: as it is typed behind the number


@dataclass(frozen=True)
class Row:
    """A customer of a source, or a guest's order."""

    person: int  #: the truth
    source: str
    external_id: str | None  #: None: a guest
    region: str  #: the country of the address, in which national numbers are read
    statements: tuple[Statement, ...]  #: oldest first; the last is what the source shows now
    dirt: frozenset[str]  #: names of the rates in ``Dirt`` that came true here

    @property
    def now(self) -> Statement:
        return self.statements[-1]

    @property
    def is_guest(self) -> bool:
        return self.external_id is None

    @property
    def is_messenger(self) -> bool:
        return self.source == MESSENGER


def keys(row: Row) -> set[tuple[str, str]]:
    """Return the e-mail and the number that a row shows now, in normal form, extensions dropped."""
    given = (("email", row.now.email), ("phone", row.now.number))
    read = [(kind, identifiers.normal_form(kind, text, row.region)) for kind, text in given if text]
    return {(kind, found.key) for kind, found in read if found is not None}


def generate(seed: int, count: int, dirt: Dirt) -> list[Row]:
    """Return the rows of ``count`` people or a few more, in a random order; the same seed gives the same."""
    rng = random.Random(seed)
    found = people(rng, count, dirt)
    had = Counter(number for person in found for _, number in person.numbers)
    used = {number for number, owners in had.items() if owners > 1}
    rows = [row for person in found for row in _Writer(rng, dirt, person, used).rows()]
    ids = rng.sample(range(1000, 1000 + 5 * len(rows)), len(rows))
    rows = [row if row.external_id is None else replace(row, external_id=str(ids.pop())) for row in rows]
    rng.shuffle(rows)
    return rows


def _is_refused(second: Row, first: Row) -> bool:
    """Return whether the shop refuses the second account because the first has the same e-mail or number.

    WooCommerce gives an e-mail to one account only. Shopify (here the shop named a) does the same with a number.
    """
    unique = ("email", "phone") if first.source == "a" else ("email",)
    return any(ident[0] in unique for ident in keys(second) & keys(first))


class _Writer:
    """Writes the rows of one person."""

    def __init__(self, rng: random.Random, dirt: Dirt, person: Person, used_numbers: set[str]) -> None:
        self._rng, self._dirt, self._person, self._used_numbers = rng, dirt, person, used_numbers
        self._seen: set[str] = set()  #: the dirt in the row that is being written

    def rows(self) -> Iterator[Row]:
        known = [source for source, share in CUSTOMERS.items() if self._happens(share)]
        ordered = [source for source, share in GUESTS.items() if self._happens(share)]
        if not known and not ordered:
            known = [self._rng.choice(("a", "b"))]
        for source in known:
            account = self._row(source)
            yield account
            if source != MESSENGER and self._happens(self._dirt.has_two_accounts):
                yield from self._second_account(account)
        for source in ordered:
            yield self._row(source, is_guest=True)

    def _second_account(self, first: Row) -> Iterator[Row]:
        """Yield a second account, if the person gives what the shop accepts."""
        drawn = (self._row(first.source, "has_two_accounts") for _ in range(_TRIES))
        yield from islice((row for row in drawn if not _is_refused(row, first)), 1)

    def _happens(self, rate: float) -> bool:
        return self._rng.random() < rate

    def _comes_true(self, rate: str, times: float = 1) -> bool:
        is_true = self._happens(times * getattr(self._dirt, rate))
        if is_true:
            self._seen.add(rate)
        return is_true

    def _row(self, source: str, *seen: str, is_guest: bool = False) -> Row:
        person, day = self._person, self._rng.randrange(DAYS)
        self._seen = set(seen)
        if person.household:
            self._seen.add("in_household")
        if person.office:
            self._seen.add("in_office")
        email = None if source == MESSENGER else self._email(source, is_guest=is_guest)
        number, extension = self._number(source, day, is_guest=is_guest, is_needed=source == MESSENGER or email is None)
        given, surname = self._profile_name() if source == MESSENGER else self._name(day)
        first = Statement(day, given, surname, email, self._typed(number), extension)
        statements = (first,) if is_guest else (first, *self._update(first, number))
        return Row(
            person=person.id,
            source=source,
            external_id=None if is_guest else "",
            region=person.country,
            statements=statements,
            dirt=frozenset(self._seen),
        )

    def _update(self, first: Statement, number: str | None) -> Iterator[Statement]:
        """Yield what the record says after the person has told the shop a new number or surname."""
        person, before = self._person, first.day
        day = max(person.numbers[-1][0], person.surnames[-1][0])
        if day <= before or not self._happens(_UPDATES):
            return
        later = replace(first, day=day)
        if number == person.number(before) != person.number(day):
            self._seen.add("has_changed_number")
            later = replace(later, number=self._typed(person.number(day)))
        if first.surname and person.surname(before) != person.surname(day):
            self._seen.add("has_changed_surname")
            later = replace(later, surname=names.latin(person.surname(day)))
        yield later

    def _email(self, source: str, *, is_guest: bool) -> str | None:
        person = self._person
        if not is_guest and self._comes_true("email_placeholder"):
            return self._rng.choice(_EMAIL_PLACEHOLDERS).format(f"shop-{source}")
        if not is_guest and self._comes_true("no_email", _TILL_EMAILS if source == "b" else 1):
            return None
        email = person.emails[0]
        if person.household and person.household.email and self._happens(_GIVES_SHARED):
            self._seen.add("shares_email")
            email = person.household.email
        elif person.office and person.office.mailbox and self._happens(_GIVES_MAILBOX):
            self._seen.add("shares_mailbox")
            email = person.office.mailbox
        elif len(person.emails) > 1 and self._happens(_GIVES_SECOND_EMAIL):
            self._seen.add("has_second_email")
            email = self._rng.choice(person.emails[1:])
        if self._comes_true("email_typo"):
            email = writing.email_typo(self._rng, email)
        return writing.email(self._rng, email)

    def _number(self, source: str, day: int, *, is_guest: bool, is_needed: bool) -> tuple[str | None, str]:
        """Return a number and the extension that is typed behind it."""
        person, household = self._person, self._person.household
        if not is_guest and source == "b" and self._comes_true("till_number"):
            return self._rng.choice(_TILLS), ""
        if not is_guest and source != MESSENGER and self._comes_true("number_placeholder"):
            return self._rng.choice(_NUMBER_PLACEHOLDERS), ""
        if not is_needed and self._comes_true("no_number"):
            return None, ""
        if person.office and source != MESSENGER and self._happens(_GIVES_DESK):
            return self._desk()
        gives_shared = _GIVES_SHARED_TO_MESSENGER if source == MESSENGER else _GIVES_SHARED
        if household and household.number and self._happens(gives_shared):
            self._seen.add("shares_number")
            return household.number, ""
        number = person.number(day)
        if number != person.number(0):
            self._seen.add("has_changed_number")
        if number in self._used_numbers:
            self._seen.add("got_used_number")
        if source != MESSENGER and self._comes_true("number_typo"):
            number = writing.number_typo(self._rng, number, CODES[person.country])
        return number, ""

    def _desk(self) -> tuple[str, str]:
        """Return the number of the office; in Germany the extension is dialled as its last digits."""
        office, extension = self._person.office, self._person.extension
        if self._comes_true("without_extension"):
            return office.number, ""
        if self._person.country == "DE":
            return office.number + extension, ""
        return office.number, writing.extension(self._rng, extension)

    def _typed(self, number: str | None) -> str | None:
        is_placeholder = number in _NUMBER_PLACEHOLDERS
        return number if number is None or is_placeholder else writing.number(self._rng, number)

    def _profile_name(self) -> tuple[str | None, None]:
        """Return the name that a person shows in a messenger."""
        person, rng = self._person, self._rng
        kind = rng.choices(list(_PROFILE_NAMES), list(_PROFILE_NAMES.values()))[0]
        surname = person.surname(DAYS).split()[0]
        shown = {
            "whole": f"{person.given} {surname}",
            "given": person.given,
            "nickname": rng.choice(names.NICKNAMES.get(person.given, (person.given,))),
            "pseudonym": rng.choice(names.PSEUDONYMS),
            "none": None,
        }
        return shown[kind], None

    def _name(self, day: int) -> tuple[str | None, str | None]:
        """Return a given name and a surname as a shop shows them."""
        person = self._person
        if self._comes_true("no_name"):
            return None, None
        if person.office and self._comes_true("company_name"):
            return None, person.office.name
        if self._comes_true("other_name"):
            person = person.companion
        elif person.surname(day) != person.surname(0):
            self._seen.add("has_changed_surname")
        return self._written(person.given, person.surname(day))

    def _written(self, given: str, surname: str) -> tuple[str | None, str | None]:
        rng = self._rng
        if " " in surname and not self._happens(_SECOND_SURNAME):
            surname = surname.split(maxsplit=1)[0]
        if given in names.NICKNAMES and self._comes_true("nickname"):
            given = rng.choice(names.NICKNAMES[given])
        parts = [names.latin(given), names.latin(surname)]
        if self._comes_true("initial"):
            parts[0] = writing.initial(rng, parts[0])
        elif self._happens(_MIDDLE_INITIAL):
            parts[0] += f" {rng.choice('ABCDEGHJKLMNPRST')}."
        if not "".join(parts).isascii() and self._comes_true("accents_lost"):
            parts = writing.accents_lost(rng, parts)
        if self._comes_true("name_typo"):
            parts = writing.name_typo(rng, parts)
        parts = writing.in_some_case(rng, parts)
        if self._comes_true("swapped"):
            parts.reverse()
        if self._comes_true("part_of_name"):
            parts[rng.randrange(2)] = None
        return parts[0], parts[1]
