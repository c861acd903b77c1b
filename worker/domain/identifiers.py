"""Identifiers: the one normal form of numbers, e-mails and ids, for every source and every look-up.

A number is stored in E.164 as its source has it, and compared by its *key*. The key also evens out three countries
in which one line has two spellings (ADR 4). A number with an extension keeps it, in both: ``+16135550100;ext=101``. An
e-mail is compared in lower case.
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import PhoneNumber, PhoneNumberFormat

#: longer values are refused: the b-tree holds 2,704 bytes, and no real identifier comes near
MAX_LENGTH = 255
#: local parts of mailboxes that belong to a machine
MACHINE_MAILBOXES = frozenset({"noreply", "no-reply", "no_reply", "donotreply", "do-not-reply", "mailer-daemon"})

_SHORT = 8  #: characters of a number whose national part may have fewer than four digits
#: channels whose addresses are numbers
_PHONE_CHANNELS = frozenset({"sms", "whatsapp", "voice"})

_BRAZIL_MOBILE_WITHOUT_NINE = re.compile(r"\+55([1-9][1-9])([6-9][0-9]{7})")
_MEXICO_WITH_ONE = re.compile(r"\+521([0-9]{10})")
_ARGENTINA_WITH_NINE = re.compile(r"\+549([0-9]{10})")
#: between a number and its extension in the normal form (RFC 3966)
_EXTENSION = ";ext="
#: the extension at the end of a number, in the normal form and as people write it
_ENDS_WITH_EXTENSION = re.compile(r"(?:ext(?:n|ension)?[.:=]?|x)\s*\d+\s*$", re.IGNORECASE)
#: what most numbers look like: E.164 without blanks
_PLAIN_PHONE = re.compile(r"\+[1-9][0-9]{5,16}")
#: what most addresses look like: a local part that has one reading, and a domain in ASCII
_PLAIN_EMAIL = re.compile(r"([a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*)@([A-Za-z0-9.-]+)")
_MAX_EMAIL = 254
#: values that are remembered: those of some batches, because a batch states the same address several times
_CACHED = 8192


class Address(NamedTuple):
    """An identifier in its normal form: ``key`` to compare by, ``value`` to show."""

    key: str
    value: str


@lru_cache(maxsize=_CACHED)
def phone(value: str, region: str | None) -> Address | None:
    """Return the normal form of a phone number; None if the text is no number.

    ``region`` (ISO 3166-1 alpha-2) is the country of numbers in national form. A national number must be valid. An
    international number need only be possible, because numbering plans grow faster than the library's tables.

    An extension is kept digit by digit, because 007 and 7 are two telephones. The library takes up to 20 digits after
    a word like "ext.", and fewer after a sign; a text with a longer one is no number.
    """
    if _is_plain(value):
        return Address(phone_key(value), value)
    text = value.strip()
    if not 4 <= len(text) <= MAX_LENGTH:
        return None
    if text.startswith("00") and text[2:3] not in ("", "0"):
        text = "+" + text[2:]  # the library misreads "00 62 …"
    is_international = text.startswith("+")
    try:
        number = phonenumbers.parse(text, None if is_international else region)
    except phonenumbers.NumberParseException:
        return None
    shown = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    extension = _EXTENSION + phonenumbers.normalize_digits_only(number.extension) if number.extension else ""
    key = phone_key(shown)
    if not (_is_usable(number, is_international=is_international) or (key != shown and _is_valid(key))):
        return None
    if not (_is_plain(shown) or shown == text.partition(_EXTENSION)[0]):
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


def given_phone(value: str, region: str | None) -> Address | None:
    """Return the normal form of a number that a person or a program gave, also without its plus.

    WhatsApp writes its ids without a plus.
    """
    text = value.strip()
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
        e164, mark, extension = value.partition(_EXTENSION)
        if found := _BRAZIL_MOBILE_WITHOUT_NINE.fullmatch(e164):
            return f"+55{found[1]}9{found[2]}{mark}{extension}"
        if found := _MEXICO_WITH_ONE.fullmatch(e164):
            return f"+52{found[1]}{mark}{extension}"
        if found := _ARGENTINA_WITH_NINE.fullmatch(e164):
            return f"+54{found[1]}{mark}{extension}"
    return value


@lru_cache(maxsize=_CACHED)
def email(value: str) -> Address | None:
    """Return the normal form of an e-mail address; None if the text is no address.

    White space is dropped, as shops do.
    """
    text = "".join(value.split())
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if not text or len(text) > MAX_LENGTH:
        return None
    # The library checks a domain letter by letter. The customers of a shop share few domains, so these are remembered.
    if (plain := _PLAIN_EMAIL.fullmatch(text)) and "--" not in plain[2] and len(text) <= _MAX_EMAIL:
        domain = _domain(plain[2])
        shown = domain and f"{plain[1]}@{domain}"
    else:
        shown = _email(text)
    return None if shown is None else Address(shown.lower(), shown)


@lru_cache(maxsize=4096)
def _domain(given: str) -> str | None:
    """Return the normal form of a domain; None if no address can have it."""
    shown = _email(f"a@{given}")
    return shown and shown.removeprefix("a@")


def _email(given: str) -> str | None:
    try:
        return validate_email(given, check_deliverability=False).normalized
    except EmailNotValidError:
        return None


def normal_form(kind: str, value: str, region: str | None) -> Address | None:
    """Return the normal form of an identifier of any type; None if the value cannot be one.

    ``region`` is as in ``phone``.
    """
    if kind == "email":
        return email(value)
    if kind == "phone":
        return phone(value, region)
    text = unicodedata.normalize("NFC", value.strip())
    return Address(text, text) if 0 < len(text) <= MAX_LENGTH else None


def type_of_address(channel: str, address: str) -> str:
    """Return which type of identifier an address of a channel is. The channel ``all`` has e-mails and numbers.

    The answer is the same for an address as it was given and for its normal form.
    """
    if channel == "whatsapp" and any(map(str.isalpha, address)) and not _has_extension(address):
        return "whatsapp_bsuid"  # WhatsApp's business-scoped user id, which is no number
    if channel in _PHONE_CHANNELS:
        return "phone"
    if channel == "all":
        return "email" if "@" in address else "phone"
    return channel


def _has_extension(address: str) -> bool:
    """Whether the only letters of an address are those of an extension."""
    return (found := _ENDS_WITH_EXTENSION.search(address)) is not None and not any(
        map(str.isalpha, address[: found.start()])
    )


def of_address(channel: str, address: str) -> tuple[str, str]:
    """Return the identifier that an address in its normal form is.

    It ties a row of a ledger to the records that claim the address.
    """
    return (type_of_address(channel, address), address)


@lru_cache(maxsize=_CACHED)
def identifies_nobody(kind: str, key: str) -> bool:
    """Whether a value is a placeholder: the mailbox of a machine, or a number that repeats one digit.

    The extension of a number does not matter.
    """
    if kind == "email":
        return key.partition("@")[0] in MACHINE_MAILBOXES
    if kind == "phone":
        number = key.partition(_EXTENSION)[0]
        if len(number) > _SHORT and len({*number[-4:]} - {"0"}) > 1:
            # The last four digits belong to the national number. Two of them differ, so it does not repeat one digit.
            return False
        return len(set(str(phonenumbers.parse(number, None).national_number))) == 1
    return False


def _is_usable(number: PhoneNumber, *, is_international: bool) -> bool:
    # The first check looks only at the length, and answers for nearly every number.
    return (is_international and phonenumbers.is_possible_number(number)) or phonenumbers.is_valid_number(number)


def _is_valid(e164: str) -> bool:
    return bool(phonenumbers.is_valid_number(phonenumbers.parse(e164, None)))
