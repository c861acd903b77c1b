"""Phone numbers: the one normal form of a number, for every source and every look-up.

A number is stored in E.164 as its source has it, and compared by its *key*. The key also evens out three countries in
which one line has two spellings (ADR 4). A number with an extension keeps it, in both: ``+16135550100;ext=101``.

A text is a number only if all of it is one. The library would dial letters, and join two numbers into a third.
"""

import re
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat

from connectors.cleaning import plain_text
from worker.domain.terms import CACHED, MAX_LENGTH, Address

_BRAZIL_MOBILE_WITHOUT_NINE = re.compile(r"\+55([1-9][1-9])([6-9][0-9]{7})")
_MEXICO_WITH_ONE = re.compile(r"\+521([0-9]{10})")
_ARGENTINA_WITH_NINE = re.compile(r"\+549([0-9]{10})")
#: between a number and its extension in the normal form (RFC 3966)
EXTENSION = ";ext="
#: the extension at the end of a number, in the normal form and as people write it; the words are the library's
_EXTENDED = re.compile(
    r"(?:;ext=|\s*(?:[,;]\s*)?(?:ext(?:n|ension)?|x|int|anexo|доб)[.:=]?\s*|\s*#\s*|[,;]{1,2})\d{1,20}#?",
    re.IGNORECASE,
)
_ENDS_WITH_EXTENSION = re.compile(_EXTENDED.pattern + r"\s*$", re.IGNORECASE)
#: digits, and what people put between them
_ONE_NUMBER = re.compile(r"[\[(]?\+?[\d ()\[\].\-\u2010-\u2015\u2212ー~·•'/]+")
_TEL = re.compile(r"tel:", re.IGNORECASE)
#: 81234567890.0: a spreadsheet took it for an amount
_AMOUNT = re.compile(r"\+?\d{5,}[.,]0+")
#: digits in front of a slash that can be an area code: in national form, in international form, without a leading 0
_AREA, _AREA_ABROAD, _AREA_WITHOUT_ZERO = 6, 8, 4
_LONG = 6  #: digits that are a number of their own, if a 0 is the first of them
_MOST_GIVEN = 1024  #: characters, with what people put around a number
#: what most numbers look like: E.164 without blanks
_PLAIN_PHONE = re.compile(r"\+[1-9][0-9]{5,16}")


@lru_cache(maxsize=CACHED)
def phone(value: str, region: str | None) -> Address | None:
    """Return the normal form of a phone number; None if the text is no number.

    ``region`` (ISO 3166-1 alpha-2) is the country of numbers in national form. A national number must be valid. An
    international number need only be possible, because numbering plans grow faster than the library's tables.

    An extension is kept digit by digit, because 007 and 7 are two telephones. The library takes up to 20 digits after
    a word like "ext.", and fewer after a sign; a text with a longer one is no number.
    """
    if _is_plain(value):
        return Address(phone_key(value), value)
    text = plain_text(value) if len(value) <= _MOST_GIVEN else ""
    if scheme := _TEL.match(text):
        text = text[scheme.end() :]
    if not 4 <= len(text) <= MAX_LENGTH or not _is_one_number(text):
        return None
    if text.startswith("00") and text[2:3] not in ("", "0"):
        text = "+" + text[2:]  # the library misreads "00 62 …"
    is_international = text.startswith("+")
    try:
        number = phonenumbers.parse(text, None if is_international else region)
    except phonenumbers.NumberParseException:
        return None
    shown = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    extension = EXTENSION + phonenumbers.normalize_digits_only(number.extension) if number.extension else ""
    key = phone_key(shown)
    if not (_is_usable(number, is_international=is_international) or (key != shown and _is_valid(key))):
        return None
    if not (_is_plain(shown) or shown == text.partition(EXTENSION)[0]):
        # The library takes one prefix off each time, and a normal form has to be its own normal form.
        again = phone(shown, None)
        return None if again is None else Address(again.key + extension, again.value + extension)
    return Address(key + extension, shown + extension)


class _Plan(NamedTuple):
    """What the library knows about a country calling code, as far as plain numbers need it."""

    start: int  #: index of the national number's first digit in E.164
    lengths: frozenset[int]  #: possible lengths of the national number
    rewritten: re.Pattern[str]  #: matches the start of a national number that the library may change


@lru_cache(maxsize=1000)
def _plan(digits: str) -> _Plan | None:
    """Return the plan of numbers that begin with these three digits; None if no country has them."""
    codes = (int(digits[:length]) for length in (1, 2, 3))
    code = next((code for code in codes if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE), None)
    if code is None:
        return None
    region = phonenumbers.region_code_for_country_code(code)
    metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    if metadata is None or (general := metadata.general_desc) is None:
        return None
    prefix = metadata.national_prefix_for_parsing
    return _Plan(
        start=1 + len(str(code)),
        lengths=frozenset((*general.possible_length, *general.possible_length_local_only)),
        rewritten=re.compile(f"0|{prefix}" if prefix else "0"),
    )


def _is_plain(given: str) -> bool:
    """Whether the library would call a number possible and write it unchanged.

    Nearly every number that a machine sends is like that, and the library takes twenty times as long to see it.
    """
    if not _PLAIN_PHONE.fullmatch(given) or (plan := _plan(given[1:4])) is None:
        return False
    return len(given) - plan.start in plan.lengths and not plan.rewritten.match(given, plan.start)


def _is_one_number(text: str) -> bool:
    """Return whether the text is one number and nothing else. The letters of an extension may follow it."""
    number = _ENDS_WITH_EXTENSION.sub("", text)
    if not _ONE_NUMBER.fullmatch(number) or _AMOUNT.fullmatch(text):
        return False
    first, *parts = number.split("/")
    if parts and not (_is_area(first) and sum(_digits(part) >= 5 for part in parts) <= 1):
        return False
    seen = 0
    for part in number.split():
        if seen >= _LONG and part.startswith("0") and _digits(part) >= _LONG:
            return False
        seen += _digits(part)
    return True


def _is_area(text: str) -> bool:
    """Return whether the text before a slash can be an area code, as in 030/1234567."""
    digits = "".join(filter(str.isdigit, text))
    is_abroad = "+" in text or digits.startswith("00")
    most = _AREA_ABROAD if is_abroad else _AREA if digits.startswith("0") else _AREA_WITHOUT_ZERO
    return len(digits) <= most + 2 * digits.startswith("00")


def _digits(text: str) -> int:
    return sum(map(str.isdigit, text))


def given_phone(value: str, region: str | None) -> Address | None:
    """Return the normal form of a number that a person or a program gave, also without its plus.

    WhatsApp writes its ids without a plus.
    """
    if len(value) > _MOST_GIVEN:
        return None
    text = plain_text(value)
    found = phone(text, region)
    if found is None and text[:1].isdigit():
        found = phone("+" + text, None)
    return found


def phone_key(value: str) -> str:
    """Return the one spelling under which a number in its normal form is compared: the key of ``Address.value``.

    Brazil put a nine before mobile numbers, and WhatsApp often leaves it out. Mexico's 1 after +52 and Argentina's 9
    after +54 mark a mobile line; people add or drop them by habit.
    """
    if value.startswith("+5"):
        e164, mark, extension = value.partition(EXTENSION)
        if found := _BRAZIL_MOBILE_WITHOUT_NINE.fullmatch(e164):
            return f"+55{found[1]}9{found[2]}{mark}{extension}"
        if found := _MEXICO_WITH_ONE.fullmatch(e164):
            return f"+52{found[1]}{mark}{extension}"
        if found := _ARGENTINA_WITH_NINE.fullmatch(e164):
            return f"+54{found[1]}{mark}{extension}"
    return value


def has_extension(address: str) -> bool:
    """Whether the only letters of an address are those of an extension."""
    text = plain_text(address[:_MOST_GIVEN])
    return (found := _ENDS_WITH_EXTENSION.search(text)) is not None and not any(map(str.isalpha, text[: found.start()]))


def _is_usable(number: PhoneNumber, *, is_international: bool) -> bool:
    # The first check looks only at the length, and answers for nearly every number.
    return (is_international and phonenumbers.is_possible_number(number)) or phonenumbers.is_valid_number(number)


def _is_valid(e164: str) -> bool:
    return bool(phonenumbers.is_valid_number(phonenumbers.parse(e164, None)))
