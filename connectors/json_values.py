"""Typed values from JSON that others wrote: any key may be missing, any value may be of any type.

The functions that read a value take an object, a key, and the path of the object
in the body (``at``). They return None for absent, null and empty alike. Where
absent is not empty, the caller asks ``key in payload`` first.

They raise MalformedPayloadError with the path, what was expected and the kind of
value that came. They never quote a value: values are personal data, and the text
is shown and logged.
"""

import json
import re
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import orjson

from connectors import left_out
from connectors.cleaning import normalised
from connectors.contract import MalformedPayloadError, UnusableTextError

Payload = dict[str, Any]
T = TypeVar("T")

MAX_DEPTH = 64  #: levels; orders, the deepest bodies we read, have fewer than ten
MAX_TEXT = 1_000  #: characters, if the caller sets no limit; generous for a name or a line of an address
MAX_ID_DIGITS = 64  #: far beyond 64-bit ids, and still short enough for an index
MAX_COUNT = 2**64 - 1  #: an unsigned 64-bit counter; no provider counts further, and orjson writes no bigger number
FIRST_YEAR, LAST_YEAR = 1970, 2100  #: a time outside comes from an unset clock or a wrong unit

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # Postgres takes neither NUL nor half a surrogate pair
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(Z|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII | re.IGNORECASE
)
_AMOUNT = re.compile(r"-?\d{1,30}(?:\.\d{1,30})?", re.ASCII)

_LONGEST_TIME = 40  #: characters: 2026-09-14T18:42:07.123456789+07:00 has 35
_DECOMPOSED = 4  #: characters that become one in NFC, at most: a letter with three marks

_STRAY = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
_KINDS: dict[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "nothing",
}


def load_json(body: bytes) -> Payload:
    """Read a body that must be one JSON object; raises MalformedPayloadError for anything else.

    Stricter than ``json.loads``: a key given twice, NaN and Infinity are refused,
    because two readers of such a body would see two different things.
    """
    payload = _at_once(body)
    if payload is not None:
        return payload
    try:
        # A byte order mark is dropped: RFC 8259 (8.1) lets a reader ignore it, and nothing is ambiguous about it.
        payload = _DECODER.decode(body.decode("utf-8").removeprefix("\ufeff"))
    except UnicodeDecodeError:
        raise MalformedPayloadError("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedPayloadError(f"the body is not JSON: see {where}") from None
    except ValueError:  # Python reads no number above sys.get_int_max_str_digits(), because that takes quadratic time
        raise MalformedPayloadError("the body has a number of more than 4,300 digits") from None
    except RecursionError:
        raise _too_deep() from None
    if type(payload) is not dict:
        raise MalformedPayloadError(f"the body: expected an object, got {kind_of(payload)}")
    if _is_too_deep(body, payload):
        raise _too_deep()
    return payload


def load_own(body: bytes) -> Payload:
    """Read a body that our own code wrote; the result is that of ``load_json``.

    Faster, because such a body has no key twice.
    """
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        return load_json(body)
    return load_json(body) if type(payload) is not dict or _is_too_deep(body, payload) else payload


def _at_once(body: bytes) -> Payload | None:
    r"""Read a body in half the time, if it is in compact form; None leaves it to the strict decoder.

    orjson keeps only the last value of a key given twice. If it writes the payload back as the same bytes, no key was
    lost. Some senders write ``/`` as ``\/``; undoing that can neither end a text nor begin one.
    """
    try:
        payload = orjson.loads(body)
        if type(payload) is not dict:
            return None
        again = orjson.dumps(payload)
        if again != body and again != body.replace(b"\\/", b"/"):  # most bodies have nothing to replace
            return None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return None if _is_too_deep(body, payload) else payload


def _is_too_deep(body: bytes, payload: Payload) -> bool:
    # Counting brackets is nearly free and clears nearly every body; only the rest is walked.
    return body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_deeper_than(MAX_DEPTH, payload)


def _object(pairs: list[tuple[str, Any]]) -> Payload:
    payload = dict(pairs)
    if len(payload) != len(pairs):
        raise MalformedPayloadError("the body has a key twice in one object")  # not which: a key can be a person's name
    return payload


def _no_constant(_name: str) -> NoReturn:
    raise MalformedPayloadError("the body has NaN or Infinity, which JSON does not know")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)


def _is_deeper_than(levels: int, payload: Payload) -> bool:
    level: list[Any] = [payload]
    for _ in range(levels):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def _too_deep() -> MalformedPayloadError:
    return MalformedPayloadError(f"the body is nested more than {MAX_DEPTH} levels deep")


class malformed:  # noqa: N801 - used like a function
    """Turn stray errors of a translation into MalformedPayloadError, without their text."""

    # A class, because a generator with @contextmanager takes three times as long for each envelope.
    __slots__ = ("_provider",)

    def __init__(self, provider: str) -> None:
        self._provider = provider

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is not None and isinstance(error, _STRAY):
            # "from None", because the text of such an error quotes the value.
            message = f"{self._provider}: the body is not in the documented shape ({kind.__name__})"
            raise MalformedPayloadError(message) from None


def path_of(key: str, at: str = "") -> str:
    """Return the path of a key as errors name it: ``customer.email``."""
    return f"{at}.{key}" if at else key


def kind_of(value: object) -> str:
    """Return the kind of a value in words for a shop owner, such as ``a number``."""
    return _KINDS.get(type(value), "something else")


def unexpected(expected: str, got: object, key: str, at: str = "") -> MalformedPayloadError:
    """Build the error that names the field, what was expected and the kind of value that came."""
    return MalformedPayloadError(f"{path_of(key, at)}: expected {expected}, got {kind_of(got)}")


def required(value: T | None, expected: str, key: str, at: str = "") -> T:
    """Return the value; raises MalformedPayloadError if it is None."""
    if value is None:
        raise unexpected(expected, None, key, at)
    return value


def clean(value: str) -> str:
    """Return text that can be stored and compared: NFC, stripped, U+FFFD for NUL and lone surrogates.

    Raises UnusableTextError for text that cannot be normalised in linear time.
    """
    if not value.isascii():
        try:
            return normalised("NFC", _UNSTORABLE.sub("\ufffd", value)).strip()
        except ValueError as error:
            raise UnusableTextError(str(error)) from None
    if "\0" in value:
        value = value.replace("\0", "\ufffd")
    return value.strip()


def cleaned(value: str, key: str, at: str = "") -> str:
    """Clean text as ``clean`` does; the error names the path of the key."""
    try:
        return clean(value)
    except UnusableTextError as error:
        raise UnusableTextError(f"{path_of(key, at)}: {error}") from None


def text(payload: Payload, key: str, at: str = "", *, limit: int = MAX_TEXT) -> str | None:
    """Read text, cleaned; None if it is empty then.

    Raises UnusableTextError above ``limit`` characters, and for text that cannot be normalised in linear time.
    """
    value = payload.get(key)
    if value is None:
        return None
    if type(value) is not str:
        raise unexpected("text", value, key, at)
    if value.isascii() and "\0" not in value:
        found = value.strip()  # as clean does, quicker
    else:
        found = cleaned(value, key, at) if len(value) <= limit * _DECOMPOSED else value
    if len(found) > limit:
        raise UnusableTextError(f"{path_of(key, at)}: longer than {limit:,} characters")
    return found or None


def dispensable_text(payload: Payload, key: str, at: str = "") -> str | None:
    """Read text as ``text`` does; text that cannot be used is left out."""
    try:
        return text(payload, key, at)
    except UnusableTextError as error:  # not the context of left_out, which would cost as much as reading the text
        left_out.note(error)
        return None


def texts_of(payload: Payload, table: Iterable[tuple[str, str]], at: str = "") -> dict[str, str | None]:
    """Read many texts as ``text`` does, those that the object has; ``table`` has our name and theirs.

    A text that cannot be used is left out.
    """
    found: dict[str, str | None] = {}
    for name, key in table:
        value = payload.get(key, payload)
        if value is payload:
            continue
        # Nearly all are short and ASCII. They are read here, because a call each would take twice as long.
        if type(value) is str and len(value) <= MAX_TEXT and value.isascii() and "\0" not in value:
            found[name] = value.strip() or None
        elif value is None:
            found[name] = None
        else:
            try:
                found[name] = text(payload, key, at)
            except UnusableTextError as error:
                left_out.note(error)
    return found


def word(payload: Payload, key: str, at: str = "") -> str | None:
    """Read a word of the provider's vocabulary, in lower case."""
    value = text(payload, key, at)
    return value and value.lower()


def choice(payload: Payload, key: str, words: Collection[str], at: str = "") -> str | None:
    """Read one of these lower-case words, in any case; any other word is malformed."""
    value = word(payload, key, at)
    if value is not None and value not in words:
        raise MalformedPayloadError(f"{path_of(key, at)}: expected {', '.join(words)}, got another word")
    return value


def boolean(payload: Payload, key: str, at: str = "") -> bool | None:
    """Read true or false; numbers and words that mean the same are refused."""
    value = payload.get(key)
    if value is None or value is True or value is False:
        return value
    raise unexpected("true or false", value, key, at)


def number_id(payload: Payload, key: str, at: str = "", *, expected: str = "a whole number above 0") -> str | None:
    """Read a provider's numeric id as decimal text, of any size.

    Takes a number, or the same as text. A fraction is refused even if it is whole: it was rounded on its way.
    ``expected`` is what the error names, for a provider that writes ids in another form too.
    """
    value = payload.get(key)
    if value is None:
        return None
    # Nearly every id in text has this form and needs no more work.
    if type(value) is str and value.isascii() and value.isdigit() and value[0] != "0" and len(value) <= MAX_ID_DIGITS:
        return value
    written = str(value) if type(value) is int else value
    if type(written) is not str:
        raise unexpected(expected, value, key, at)
    written = written.strip()
    if not written:
        return None
    digits = written.lstrip("0") if written.isascii() and written.isdigit() else ""
    if not digits:
        raise MalformedPayloadError(f"{path_of(key, at)}: expected {expected}, got {kind_of(value)} that is none")
    if len(digits) > MAX_ID_DIGITS:
        raise MalformedPayloadError(f"{path_of(key, at)}: longer than {MAX_ID_DIGITS} digits")
    return digits


def count(payload: Payload, key: str, at: str = "") -> int | None:
    """Read a count: a number, or the same as text."""
    value = payload.get(key)
    if type(value) is str:
        digits = value.strip()
        if not digits:
            return None
        if digits.isascii() and digits.isdigit() and len(digits) <= len(str(MAX_COUNT)) and int(digits) <= MAX_COUNT:
            return int(digits)
    elif value is None or (type(value) is int and 0 <= value <= MAX_COUNT):
        return value
    raise MalformedPayloadError(f"{path_of(key, at)}: expected a count, got {kind_of(value)} that is none")


def amount(payload: Payload, key: str, at: str = "") -> str | None:
    """Read an amount of money as decimal text, in the digits that the provider wrote."""
    value = payload.get(key)
    if value is None:
        return None
    if type(value) is int or type(value) is float:  # some bodies have 398.0 where others have "398.00"
        value = repr(value)
    if type(value) is not str:
        raise unexpected("an amount such as 12.50", value, key, at)
    digits = value.strip()
    if digits and not _AMOUNT.fullmatch(digits):
        raise MalformedPayloadError(f"{path_of(key, at)}: expected an amount such as 12.50, got something else")
    return digits or None


def moment(payload: Payload, key: str, at: str = "") -> datetime | None:
    """Read a date and time with an offset as an aware time in UTC."""
    value = payload.get(key)
    if value is None:
        return None
    if type(value) is not str:
        raise unexpected("a date and time with an offset", value, key, at)
    written = value.strip()
    if not written:
        return None
    if len(written) > _LONGEST_TIME:  # it would stay in the cache
        raise MalformedPayloadError(f"{path_of(key, at)}: expected a date and time with an offset, got other text")
    try:
        return as_utc(written)
    except ValueError as error:
        raise MalformedPayloadError(f"{path_of(key, at)}: expected {error}") from None


@lru_cache(maxsize=4096)  # one body tells the same time several times
def as_utc(written: str) -> datetime:
    """Read ISO 8601 with an offset or Z, up to nine digits of a second (microseconds are kept).

    Raises ValueError. Its text says what was expected and what came instead, and quotes nothing.
    """
    # The usual forms are 2026-09-14T18:42:07Z and 2026-09-14T14:42:07-04:00.
    if written[4:20:3] in ("--T::Z", "--T::+", "--T::-") and (len(written) == 20 or written[22:23] == ":"):
        try:
            read = datetime.fromisoformat(written).astimezone(UTC)
        except (ValueError, OverflowError):
            read = None  # the long way below finds out what is wrong
        if read is not None and FIRST_YEAR <= read.year <= LAST_YEAR:
            return read
    parts = _TIME.fullmatch(written)
    if parts is None:
        raise ValueError("a date and time with an offset, got other text")
    if parts[1] is None:
        raise ValueError("a date and time with an offset, got one without")
    try:
        read = datetime.fromisoformat(written.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("a date and time with an offset, got one that no calendar has") from None
    if not FIRST_YEAR <= read.year <= LAST_YEAR:
        raise ValueError(f"a time from {FIRST_YEAR} to {LAST_YEAR}, got one outside")
    return read


def nested(payload: Payload, key: str, at: str = "") -> Payload | None:
    """Read an object inside the object."""
    value = payload.get(key)
    if value is None or type(value) is dict:
        return value
    raise unexpected("an object", value, key, at)


def texts(payload: Payload, key: str, at: str = "") -> list[str] | None:
    """Read a list of text, each entry cleaned; empty entries stay in the list."""
    value = payload.get(key)
    if value is None:
        return None
    if type(value) is not list:
        raise unexpected("a list of text", value, key, at)
    found = []
    for entry in value:
        if type(entry) is not str:
            raise MalformedPayloadError(f"{path_of(key, at)}: expected a list of text, got {kind_of(entry)} in it")
        found.append(cleaned(entry, key, at))
    return found
