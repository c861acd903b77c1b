"""People: who lives, who shares what with whom, and who got whose number. No record is wrong yet."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.identity import names
from bench.identity.dirt import Dirt

DAYS = 5 * 365  #: what the data tells of
_PAUSE = 90  #: days after which a carrier gives a number to somebody else, at the earliest
_COUNTRY_WEIGHTS = {"CA": 4, "US": 4, "GB": 2, "FR": 2, "DE": 2}
_MAIL = ("mail.example.com", "post.example.net", "inbox.example.org", "web.example.com")
_OFFICE_SIZES = (4, 4, 6, 6, 8, 12, 20)
_HOUSEHOLD_SIZES = (2, 2, 2, 2, 3, 3, 4, 4, 5)
_SAME_SURNAME = 0.8  #: of the members of a household
_JUNIOR = 0.02  #: of the members of a household: named as the first of it

#: prefixes of numbers that are kept free for films and books, and how many digits follow
_AREAS = (
    204, 226, 236, 249, 250, 289, 306, 343, 365, 403, 416, 418, 431, 437, 438, 450, 506, 514, 519, 579, 581, 587, 604,
    613, 639, 647, 705, 709, 778, 780, 807, 819, 867, 873, 902, 905, 201, 202, 203, 205, 206, 207, 208, 209, 210, 212,
    213, 214, 215, 216, 217, 218, 219, 224, 225, 228, 229, 231, 234, 239, 240, 248, 251, 252, 253, 254, 256, 260, 262,
)  # fmt: skip
_FREE = {
    "+1": [(f"{area}55501", 2) for area in _AREAS],
    "+44": [("7700900", 3), ("2079460", 3), ("1134960", 3), ("1214960", 3), ("1314960", 3)],
    "+33": [("63998", 4)],
    "+49": [("3023125", 3), ("6990009", 3), ("4066969", 3), ("2214710", 3), ("8999998", 3)],
}
CODES = {"CA": "+1", "US": "+1", "GB": "+44", "FR": "+33", "DE": "+49"}


class Numbers:
    """Numbers that nobody has, each given out once."""

    def __init__(self, rng: random.Random) -> None:
        self._left = {
            code: [f"{code}{prefix}{number:0{digits}}" for prefix, digits in free for number in range(10**digits)]
            for code, free in _FREE.items()
        }
        for left in self._left.values():
            rng.shuffle(left)

    def new(self, country: str) -> str:
        return self._left[CODES[country]].pop()


@dataclass
class Household:
    number: str | None = None
    email: str | None = None


@dataclass
class Office:
    name: str
    number: str
    domain: str
    mailbox: str | None


@dataclass(eq=False)
class Person:
    """Somebody, with what is true of them from a day on; lists begin with day 0."""

    id: int
    country: str
    given: str
    surnames: list[tuple[int, str]]
    numbers: list[tuple[int, str]]
    emails: list[str] = field(default_factory=list)  #: the usual one first
    household: Household | None = None
    office: Office | None = None
    extension: str = ""  #: in the office
    companion: "Person | None" = None  #: whose name a record of theirs may have

    def number(self, day: int) -> str:
        return _at(self.numbers, day)

    def surname(self, day: int) -> str:
        return _at(self.surnames, day)


def _at(history: list[tuple[int, str]], day: int) -> str:
    return next(value for since, value in reversed(history) if since <= day)


def people(rng: random.Random, count: int, dirt: Dirt) -> list[Person]:
    """Return ``count`` people or a few more; the same seed gives the same."""
    numbers = Numbers(rng)
    found: list[Person] = []
    while len(found) < count:
        # The rate is of people, and a household has three of them.
        is_alone = rng.random() > dirt.in_household / (3 - 2 * dirt.in_household)
        found += _living_together(rng, 1 if is_alone else rng.choice(_HOUSEHOLD_SIZES), len(found), numbers)
    taken: set[str] = set()
    for person in found:
        near = found[max(person.id - 4, 0) : person.id] + found[person.id + 1 : person.id + 5]
        housemates = [other for other in near if person.household and other.household is person.household]
        person.companion = rng.choice(housemates or found)
        person.emails = [_new_email(rng, person, taken)]
        if rng.random() < dirt.has_second_email:
            person.emails.append(_new_email(rng, person, taken))
    _share(rng, found, dirt, numbers, taken)
    _found_offices(rng, found, dirt, numbers)
    for person in found:
        if rng.random() < dirt.has_changed_surname:
            person.surnames.append((rng.randrange(DAYS), rng.choice(_language(rng, person.country).surnames)))
    _change_numbers(rng, found, dirt, numbers)
    return found


def _language(rng: random.Random, country: str) -> names.Language:
    languages = names.COUNTRIES[country]
    return rng.choices(list(languages), list(languages.values()))[0]


def _living_together(rng: random.Random, size: int, first_id: int, numbers: Numbers) -> Iterator[Person]:
    country = rng.choices(list(_COUNTRY_WEIGHTS), list(_COUNTRY_WEIGHTS.values()))[0]
    language = _language(rng, country)
    household = Household() if size > 1 else None
    surname = _new_surname(rng, language)
    given = rng.sample(language.given, size)
    for place in range(size):
        is_junior = place > 0 and rng.random() < _JUNIOR
        is_named_alike = place == 0 or is_junior or rng.random() < _SAME_SURNAME
        yield Person(
            id=first_id + place,
            country=country,
            given=given[0 if is_junior else place],
            surnames=[(0, surname if is_named_alike else _new_surname(rng, language))],
            numbers=[(0, numbers.new(country))],
            household=household,
        )


def _new_surname(rng: random.Random, language: names.Language) -> str:
    return " ".join(rng.sample(language.surnames, 2 if language.has_two_surnames else 1))


def _new_email(rng: random.Random, person: Person, taken: set[str]) -> str:
    given, surname = _in_address(person.given), _in_address(person.surname(0))
    nickname = _in_address(rng.choice(names.NICKNAMES.get(person.given, (person.given,))))
    forms = (f"{given}.{surname}", f"{given[0]}{surname}", f"{surname}.{given}", f"{nickname}{rng.randint(50, 99)}")
    return _free_email(rng, rng.choice(forms), taken)


def _in_address(name: str) -> str:
    """Return the first word of a name as it stands in an address."""
    return names.spelt_out(names.latin(name.split(maxsplit=1)[0])).lower().replace("'", "")


def _free_email(rng: random.Random, wanted: str, taken: set[str]) -> str:
    domain = rng.choice(_MAIL)
    email, number = f"{wanted}@{domain}", 1
    while email in taken:
        number += 1
        email = f"{wanted}{number}@{domain}"
    taken.add(email)
    return email


def _share(rng: random.Random, people: list[Person], dirt: Dirt, numbers: Numbers, taken: set[str]) -> None:
    """Let households share a number and an address: one of their own, or those of the first member."""
    firsts = {id(person.household): person for person in reversed(people) if person.household}
    for first in reversed(firsts.values()):
        household = first.household
        if rng.random() < dirt.shares_number:
            household.number = first.number(0) if rng.random() < 0.5 else numbers.new(first.country)
        if rng.random() < dirt.shares_email:
            is_of_first = rng.random() < 0.5
            family = f"{_in_address(first.surname(0))}.family"
            household.email = first.emails[0] if is_of_first else _free_email(rng, family, taken)


def _found_offices(rng: random.Random, people: list[Person], dirt: Dirt, numbers: Numbers) -> None:
    """Let people work in offices with one number; in Germany the extension is dialled as its last digits."""
    staff = [person for person in people if rng.random() < dirt.in_office]
    rng.shuffle(staff)
    staff.sort(key=lambda person: person.country)
    founded = 0
    while staff:
        size, country = rng.choice(_OFFICE_SIZES), staff[0].country
        team = [person for person in staff[:size] if person.country == country]
        staff = staff[len(team) :]
        founded += 1
        domain = f"office{founded}.example.com"
        mailbox = f"info@{domain}" if rng.random() < dirt.shares_mailbox else None
        name = f"{rng.choice(names.ENGLISH.surnames)} {rng.choice(('Ltd', 'Inc', 'Group', '& Sons'))}"
        office = Office(name, numbers.new(country), domain, mailbox)
        for place, person in enumerate(team):
            person.office, person.extension = office, str(101 + place)
            person.emails.append(f"{_in_address(person.given)}.{person.extension}@{domain}")


def _change_numbers(rng: random.Random, people: list[Person], dirt: Dirt, numbers: Numbers) -> None:
    """Let people get new numbers, and some of them a number that somebody in the same country has given up."""
    for person in people:
        if rng.random() < dirt.has_changed_number:
            person.numbers.append((rng.randrange(DAYS), numbers.new(person.country)))
    given_up = [(person, since) for person in people for since, _ in person.numbers[1:] if since + 2 * _PAUSE < DAYS]
    rng.shuffle(given_up)
    others = [person for person in people if len(person.numbers) == 1]
    rng.shuffle(others)
    for former, since in given_up[: round(dirt.got_used_number * len(people))]:
        code = CODES[former.country]
        later = next(place for place, other in enumerate(others) if CODES[other.country] == code)
        others.pop(later).numbers.append((rng.randrange(since + _PAUSE, DAYS), former.number(0)))
