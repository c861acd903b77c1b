"""Writing: how a name, an address or a number looks when somebody has typed it."""

import random

import phonenumbers
from phonenumbers import PhoneNumberFormat

from bench.identity import names

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "1234567890")
_NEAR = {row[i]: row[max(i - 1, 0) : i] + row[i + 1 : i + 2] for row in _ROWS for i in range(len(row))}
_SHORTEST = 4  #: letters that a name needs before people make mistakes in it
_LOCAL_PREFIX = 3  #: digits that a mistake in a number leaves alone
_LOCAL_DIGITS = 2  #: digits after them; in the last digits a mistake would hit numbers that we have given out
_EXTENSIONS = (" x{}", " ext. {}", ";ext={}", " #{}")


def typo(rng: random.Random, text: str) -> str:
    """Return a text with one mistake: a letter left out, doubled, swapped with the next, or beside the right key."""
    place = rng.randrange(1, len(text) - 1)
    letter, after = text[place], text[place + 1 :]
    wrong = (
        after,
        letter + letter + after,
        after[0] + letter + after[1:],
        rng.choice(_NEAR.get(names.without_accents(letter).lower(), letter)) + after,
    )
    return text[:place] + rng.choice(wrong)


def name_typo(rng: random.Random, parts: list[str]) -> list[str]:
    """Return a name with one mistake in one of its words; a short name is left alone."""
    long = [place for place, part in enumerate(parts) if len(part) >= _SHORTEST]
    if long:
        place = rng.choice(long)
        parts = [*parts[:place], typo(rng, parts[place]), *parts[place + 1 :]]
    return parts


def email_typo(rng: random.Random, email: str) -> str:
    """Return an address with one mistake before the @, or in the first word after it."""
    local, _, domain = email.partition("@")
    if rng.random() < 0.3:
        word, dot, rest = domain.partition(".")
        return f"{local}@{typo(rng, word)}{dot}{rest}"
    return f"{typo(rng, local)}@{domain}"


def number_typo(rng: random.Random, e164: str, code: str) -> str:
    """Return a number with one wrong digit."""
    place = len(code) + _LOCAL_PREFIX + rng.randrange(_LOCAL_DIGITS)
    digit = rng.choice([digit for digit in "0123456789" if digit != e164[place]])
    return e164[:place] + digit + e164[place + 1 :]


def initial(rng: random.Random, given: str) -> str:
    return given[0] + rng.choice(("", "."))


def accents_lost(rng: random.Random, parts: list[str]) -> list[str]:
    """Return a name without accents, or spelt out as in German."""
    change = rng.choice((names.without_accents, names.without_accents, names.spelt_out))
    return [change(part) for part in parts]


def in_some_case(rng: random.Random, parts: list[str]) -> list[str]:
    """Return a name as it is, seldom in capitals or in small letters."""
    change = rng.choices((str, str.upper, str.lower), (90, 5, 5))[0]
    return [change(part) for part in parts]


def number(rng: random.Random, e164: str) -> str:
    """Return a number as people and forms write it; in national form only where that can be read back."""
    parsed = phonenumbers.parse(e164)
    forms = [PhoneNumberFormat.E164, PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL]
    if phonenumbers.is_valid_number(parsed):
        forms.append(PhoneNumberFormat.NATIONAL)
    return phonenumbers.format_number(parsed, rng.choice(forms))


def extension(rng: random.Random, digits: str) -> str:
    return rng.choice(_EXTENSIONS).format(digits)


def email(rng: random.Random, address: str) -> str:
    """Return an address as it is typed: the case of letters does not matter."""
    return rng.choices((address, address.title(), address.upper()), (90, 7, 3))[0]
